"""Limits per key: requests per minute and per day, by tier. They accuse nobody.

For every tier the limits are set such that on days like the clean ones they would refuse something on as many
account-days as the budget allows: half by the minute, half by the day. An account without tier, or of a tier
with few account-days, has the common limits. Nothing is refused during the clean days.

Null: account-days to come are like the clean ones.
Blind to: a harvest spread over accounts: 5 to 25 exchanges a day and account (docs/field.md).
Fooled by: a backfill, a load test, a launch.
Source: the published limits of providers are of this form (requests per minute and per day, by tier).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from stillwatch.range.defences import Accusation, LogJudgement
from stillwatch.range.defences.calibration import level
from stillwatch.range.defences.hours import HourBatch, Hourly, refused_ids
from stillwatch.units import DAY_US, MINUTE_US

NAME = "limits"
LEAST_DAYS = 50  # account-days that a tier needs for limits of its own


def tiers_of(accounts: pa.Table | None) -> dict[str, str]:
    """Account -> tier, where it has one."""
    if accounts is None or not {"account", "tier"} <= set(accounts.column_names):
        return {}
    pairs = zip(accounts["account"].to_pylist(), accounts["tier"].to_pylist(), strict=True)
    return {account: tier for account, tier in pairs if account and tier}


class LimitWatch(Hourly):
    """Running limits. `refuses` is called for each request, in order of time; what it lets through counts."""

    def __init__(self, accounts: pa.Table | None, clean_until_us: int, dial: float) -> None:
        super().__init__(self._learn)
        self.clean_until_us, self.dial = clean_until_us, dial
        self.tier = tiers_of(accounts)
        self.minutes: dict[tuple[str, int], int] = defaultdict(int)  # (account, day) -> its fullest minute
        self.days: dict[tuple[str, int], int] = defaultdict(int)
        self.limits: dict[str, tuple[float, float]] | None = None
        self.now: dict[str, tuple[int, int, int, int]] = {}  # account -> minute, in it, day, in it

    def enrol(self, accounts: pa.Table) -> None:
        """Replace the accounts table."""
        self.tier = tiers_of(accounts)

    def calibrate(self, other: Any) -> None:
        """Take the limits of other people's clean days."""
        self.limits = other.set_limits()

    def cannot_fire(self) -> str:
        """Return why nothing can be refused; empty if something can."""
        limits = self.set_limits() if self.limits is None else self.limits
        finite = any(np.isfinite(most) for pair in limits.values() for most in pair)
        return "" if finite else f"{len(self.days)} clean account-days are too few for a limit"

    def _learn(self, hour: HourBatch) -> Sequence[Accusation]:
        if hour.until_us > self.clean_until_us:
            return ()
        day = (hour.until_us - 1) // DAY_US
        pairs = np.stack([hour.account.astype(np.int64), hour.ts_us // MINUTE_US])
        pairs, counts = np.unique(pairs, axis=1, return_counts=True)
        for account, count in zip(pairs[0].tolist(), counts.tolist(), strict=True):
            at = (hour.names[account], day)
            self.minutes[at] = max(self.minutes[at], count)
            self.days[at] += count
        return ()

    def set_limits(self) -> dict[str, tuple[float, float]]:
        """Return tier -> most requests per minute and per day; "" applies to all others."""
        by_tier: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for at in self.days:
            by_tier[""].append(at)
            if tier := self.tier.get(at[0]):
                by_tier[tier].append(at)
        return {
            tier: (self._limit(self.minutes, keys), self._limit(self.days, keys))
            for tier, keys in by_tier.items()
            if tier == "" or len(keys) >= LEAST_DAYS
        }

    def _limit(self, counts: dict[tuple[str, int], int], keys: list[tuple[str, int]]) -> float:
        logs = np.log(np.array([counts[at] for at in keys], float))
        drawn = level(logs, self.dial * len(keys) / 10_000 / 2)
        if not np.isfinite(drawn):
            return float("inf")
        return float(np.floor(np.exp(min(drawn, 50.0)) + 1e-9))

    def refuses(self, account: str, at_us: int, model: str | None = None) -> bool:
        """Return whether one more request would exceed a limit; if not, it counts as made."""
        if at_us < self.clean_until_us:
            return False
        if self.limits is None:
            self.limits = self.set_limits()
            self.minutes.clear()
            self.days.clear()
        least, each = self.limits.get(self.tier.get(account, ""), self.limits.get("", (np.inf, np.inf)))
        minute, in_minute, day, in_day = self.now.get(account, (0, 0, 0, 0))
        in_minute = in_minute if minute == at_us // MINUTE_US else 0
        in_day = in_day if day == at_us // DAY_US else 0
        if in_minute >= least or in_day >= each:
            return True
        self.now[account] = (at_us // MINUTE_US, in_minute + 1, at_us // DAY_US, in_day + 1)
        return False


def open_watch(accounts: pa.Table | None, clean_until_us: int, seed: int, dial: float) -> LimitWatch:
    """Start a watch; `dial` is the budget in account-days with any refusal, per 10,000."""
    return LimitWatch(accounts, clean_until_us, dial)


def judge(watch: LimitWatch, exchanges: pa.Table) -> LogJudgement:
    """Return for every exchange after the clean days whether it would have been refused."""
    refused = frozenset(refused_ids(watch, exchanges))
    return LogJudgement((), refused, watch.cannot_fire() if exchanges.num_rows else "")
