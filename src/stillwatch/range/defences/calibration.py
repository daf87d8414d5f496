"""What a detector's clean days say of its threshold: the level that its budget of false cases would pass.

Every detector here is set on the clean days alone, to one budget, so that they can be compared. Its clean
days give each unit (an account, a prefix, a window) its highest score. Where there is a `CalibrationLog`, it
is the clean days of people who are not scored that give them. The budget allows a number of cases for so many
account-days. A scene's clean week allows less than one; the level then lies beyond the highest score seen,
and the tail is drawn on as an exponential one.

Null: the days to come are like the clean ones, and the tail of the scores falls off exponentially.
Fooled by: a weekly rhythm, growth, a release: what is new after the clean days.
Source: peaks over a threshold with shape 0 (Coles 2001, section 4.3); the predictive law of an exponential
    mean (Geisser 1993, section 2.3).
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stillwatch.range.defences import Accusation
from stillwatch.range.defences.hours import HourBatch
from stillwatch.units import DAY_US, HOUR_US

TAIL = 20  # highest scores that the tail is drawn from
LEAST_UNITS = 5  # fewer clean units, and nothing is known of the scores: no case is made


def level(scores: np.ndarray, allowed: float) -> float:
    """The score above which `allowed` of units like these are expected; infinity where too few are known.

    scores: (units,), finite; allowed: how many cases, any number above 0.

    >>> level(np.arange(100.0), 30)
    70.0
    """
    if len(scores) < LEAST_UNITS or allowed <= 0:
        return float("inf")
    ranked = np.sort(np.asarray(scores, float))[::-1]
    # so many fewer than allowed passed it
    level = float(ranked[min(max(int(allowed) - 1, 0), len(ranked) - 1)])
    tail = min(TAIL, len(ranked) // 2)
    if allowed >= tail:
        return level
    base = ranked[tail]
    excess = float((ranked[:tail] - base).mean())
    # the predictive law of an exponential tail whose mean is known from `tail` scores alone
    drawn = float(base + tail * excess * ((tail / allowed) ** (1 / tail) - 1))
    return max(drawn, level)


@dataclass
class Clean:
    """What the clean days give: account-days, and the highest score of every unit."""

    until_us: int
    false_cases_per_10k_account_days: float
    since_us: int | None = None  # scores count from here on: what came before taught what is usual
    scores: dict[Hashable, float] = field(default_factory=dict)
    _days: set[tuple[int, int]] = field(default_factory=set)
    adopted: bool = False  # the scores are other people's

    def adopt(self, other: "Clean") -> None:
        """Take the scores and account-days of other people's clean days in place of one's own."""
        self.scores, self._days, self.adopted = dict(other.scores), set(other._days), True

    def holds(self, hour: HourBatch) -> bool:
        """Return whether an hour is one of the clean ones."""
        return hour.until_us <= self.until_us

    def see(self, hour: HourBatch) -> None:
        """Count the account-days of a clean hour."""
        if not self.adopted and (self.since_us is None or hour.until_us > self.since_us):
            pairs = np.unique(np.stack([hour.account, hour.ts_us // DAY_US]), axis=1)
            self._days.update(zip(*pairs.tolist(), strict=True))

    def score(self, unit: Hashable, value: float) -> None:
        """Note a unit's score; the highest counts."""
        if not self.adopted and value > self.scores.get(unit, float("-inf")):
            self.scores[unit] = value

    @property
    def allowed_cases(self) -> float:
        """How many false cases the clean account-days allow."""
        return self.false_cases_per_10k_account_days * len(self._days) / 10_000

    def level(self) -> float:
        """The level that the budget is expected to pass."""
        return level(np.array(list(self.scores.values()), float), self.allowed_cases)

    def cannot_fire(self) -> str:
        """Return why the level is infinite; empty where it is not."""
        if np.isfinite(self.level()):
            return ""
        return f"its clean days have {len(self.scores)} units, {LEAST_UNITS} are the least"


class WithLevel:
    """A defence's state with one level that `Clean` sets."""

    def __init__(self, clean_until_us: int, dial: float) -> None:
        self.clean = Clean(clean_until_us, dial)
        self.level: float | None = None
        self.middle_us: int | None = None  # until then it learns what is usual
        self.accused: set[int] = set()

    def halve(self, hour: HourBatch) -> int:
        """Return the middle of the clean days: what comes before is learnt from, the rest sets levels."""
        if self.middle_us is None:
            begun = hour.until_us - HOUR_US
            self.middle_us = begun + (self.clean.until_us - begun) // 2
            self.clean.since_us = self.middle_us
        return self.middle_us

    def count(self, hour: HourBatch) -> None:
        """Count a clean hour; set the level once the clean days are over."""
        if self.clean.holds(hour):
            self.clean.see(hour)
        elif self.level is None:
            self.level = self.clean.level()

    def judge(self, account: int, score: float, hour: HourBatch, what: str) -> list[Accusation]:
        """Note an account's score on a clean day; accuse it, once, where its score is above the level."""
        if self.clean.holds(hour):
            self.clean.score(account, score)
        elif self.level is not None and score > self.level and account not in self.accused:
            self.accused.add(account)
            name = hour.names[account]
            return [Accusation(f"{what}-{name}", hour.until_us, {name: hour.until_us})]
        return []

    def calibrate(self, other: Any) -> None:
        """Take the level of another state that was given other people's clean days."""
        self.clean.adopt(other.clean)

    def cannot_fire(self) -> str:
        """Return why the level is infinite; empty where it is not."""
        return self.clean.cannot_fire()
