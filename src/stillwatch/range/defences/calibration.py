"""Sets a detector's threshold on clean days: the level that its false-positive budget would pass.

Every detector here is set only on the clean days, to the same budget, so that they can be compared. Its clean
days give each unit (an account, a prefix, a window) its highest score. If there is a `CalibrationLog`, the
clean days are those of people who are not scored. The budget allows a number of cases per number of
account-days. A scene's clean week allows less than one. The level is then above the highest score seen, and
the tail is extrapolated as exponential.

Null: the days to come are like the clean ones, and the tail of the scores is exponential.
Fooled by: a weekly rhythm, growth, a release: anything new after the clean days.
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

TAIL = 20  # highest scores used to fit the tail
LEAST_UNITS = 5  # clean units; with fewer, the scores are unknown and no case is made


def level(scores: np.ndarray, allowed: float) -> float:
    """Return the score above which `allowed` of units like these are expected; infinity if too few are known.

    scores: (units,), finite; allowed: how many cases, any number above 0.

    >>> level(np.arange(100.0), 30)
    70.0
    """
    if len(scores) < LEAST_UNITS or allowed <= 0:
        return float("inf")
    ranked = np.sort(np.asarray(scores, float))[::-1]
    # only that many passed it
    level = float(ranked[min(max(int(allowed) - 1, 0), len(ranked) - 1)])
    tail = min(TAIL, len(ranked) // 2)
    if allowed >= tail:
        return level
    base = ranked[tail]
    excess = float((ranked[:tail] - base).mean())
    # the predictive law of an exponential tail whose mean is known from only `tail` scores
    drawn = float(base + tail * excess * ((tail / allowed) ** (1 / tail) - 1))
    return max(drawn, level)


@dataclass
class Clean:
    """The results of the clean days: account-days, and the highest score of every unit."""

    until_us: int
    false_cases_per_10k_account_days: float
    since_us: int | None = None  # scores count from here on: earlier data only taught what is usual
    scores: dict[Hashable, float] = field(default_factory=dict)
    _days: set[tuple[int, int]] = field(default_factory=set)
    adopted: bool = False  # the scores are other people's

    def adopt(self, other: "Clean") -> None:
        """Take the scores and account-days of other people's clean days instead of one's own."""
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
        """Record a unit's score; the highest counts."""
        if not self.adopted and value > self.scores.get(unit, float("-inf")):
            self.scores[unit] = value

    @property
    def allowed_cases(self) -> float:
        """Return how many false cases the clean account-days allow."""
        return self.false_cases_per_10k_account_days * len(self._days) / 10_000

    def level(self) -> float:
        """Return the level that the budget is expected to pass."""
        return level(np.array(list(self.scores.values()), float), self.allowed_cases)

    def cannot_fire(self) -> str:
        """Return why the level is infinite; empty if it is not."""
        if np.isfinite(self.level()):
            return ""
        return f"its clean days have {len(self.scores)} units, {LEAST_UNITS} are the least"


class WithLevel:
    """A defence's state with one level, set by `Clean`."""

    def __init__(self, clean_until_us: int, dial: float) -> None:
        self.clean = Clean(clean_until_us, dial)
        self.level: float | None = None
        self.middle_us: int | None = None  # until then it learns what is usual
        self.accused: set[int] = set()

    def halve(self, hour: HourBatch) -> int:
        """Return the middle of the clean days: the first half is for learning, the second sets levels."""
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
        """Record an account's score on a clean day; later accuse it, once, for a score above the level."""
        if self.clean.holds(hour):
            self.clean.score(account, score)
        elif self.level is not None and score > self.level and account not in self.accused:
            self.accused.add(account)
            name = hour.names[account]
            return [Accusation(f"{what}-{name}", hour.until_us, {name: hour.until_us})]
        return []

    def calibrate(self, other: Any) -> None:
        """Take the level of another state that received other people's clean days."""
        self.clean.adopt(other.clean)

    def cannot_fire(self) -> str:
        """Return why the level is infinite; empty if it is not."""
        return self.clean.cannot_fire()
