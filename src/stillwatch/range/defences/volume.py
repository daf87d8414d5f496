"""Volume against own history: an account that sends far more in a day than on its days before.

Null: an account's days are alike; the level of their ratio is set on the clean days.
Blind to: a new account, which has no history; a pool whose accounts are slow; slow growth.
Fooled by: a Monday, a deadline, a migration, a load test.
Source: the volume rules of vendors (docs/field.md, "Other tools").
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from stillwatch.range.defences import Accusation, DefenceWatch
from stillwatch.range.defences.calibration import WithLevel
from stillwatch.range.defences.hours import HourBatch, HourlyLevel
from stillwatch.units import DAY_US

NAME = "volume"
AT_LEAST = 3.0  # exchanges added to both sides: from 0 to 3 is no growth


class _Volume(WithLevel):
    def __init__(self, clean_until_us: int, dial: float) -> None:
        super().__init__(clean_until_us, dial)
        self.first_day: dict[int, int] = {}
        self.before: dict[int, int] = defaultdict(int)  # exchanges on the days before today
        self.today: dict[int, int] = defaultdict(int)
        self.day = 0

    def see(self, hour: HourBatch) -> Sequence[Accusation]:
        day = (hour.until_us - 1) // DAY_US
        if day != self.day:
            for account, many in self.today.items():
                self.before[account] += many
            self.today.clear()
            self.day = day
        self.count(hour)
        accusations: list[Accusation] = []
        who, counts = np.unique(hour.account, return_counts=True)
        for account, count in zip(who.tolist(), counts.tolist(), strict=True):
            self.today[account] += count
            days = day - self.first_day.setdefault(account, day)
            if days == 0 or account in self.accused:
                continue
            usual = self.before[account] / days
            score = float(np.log((self.today[account] + AT_LEAST) / (usual + AT_LEAST)))
            accusations += self.judge(account, score, hour, "volume")
        return accusations


def open_watch(accounts: pa.Table | None, clean_until_us: int, seed: int, dial: float) -> DefenceWatch:
    """Start a watch; `dial` is the false-positive budget in cases per 10,000 account-days."""
    return HourlyLevel(_Volume(clean_until_us, dial))
