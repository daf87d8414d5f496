"""Intervals over a run's seeds: the range of a figure on other seeds.

Seeds with the same honest people count as one value (clusters.py); counts may then be fractions.
Null: seeds are independent draws of one scene, and a figure (of a multiple, its logarithm) is about normal
over them. Blind to: everything a scene fixes; other scenes. Fooled by: few seeds that happen to agree: with
two or three the interval is wide or, if all are equal, too narrow. Counts therefore get an exact interval as
well, and the wider of both is shown.
Source: Student 1908; Clopper and Pearson 1934; Garwood 1936 (exact bounds on a Poisson mean).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stillwatch.stats.intervals import clopper_pearson
from stillwatch.stats.tails import gamma_quantile, student_bound

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over `n` seeds with its bounds; they are None if one seed tells nothing about another."""

    mean: float
    low: float | None
    high: float | None
    n: int
    at_least: bool = False  # some seed gave only a lower bound

    def widen_share(self, half: float) -> "Interval":
        """Add an independent uncertainty of `half` to each side of a share, in quadrature, within 0 to 1."""
        if self.low is None or self.high is None:
            return self
        low = self.mean - math.hypot(self.mean - self.low, half)
        high = self.mean + math.hypot(self.high - self.mean, half)
        return Interval(self.mean, max(0, low), min(1, high), self.n, self.at_least)


def half_width(values: Sequence[float]) -> float | None:
    """Return half of Student's interval; None for fewer than two values."""
    n = len(values)
    if n < 2:
        return None
    mean = sum(values) / n
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    return student_bound(CONFIDENCE, n - 1) * deviation / math.sqrt(n)


def over_seeds(values: Sequence[float], least: float = -math.inf, most: float = math.inf) -> Interval | None:
    """Return Student's interval, limited to possible values.

    >>> told = over_seeds([1.0, 2.0, 3.0], least=0)
    >>> told.mean, told.low, round(told.high, 3)
    (2.0, 0, 4.484)
    """
    if not values:
        return None
    mean, half = sum(values) / len(values), half_width(values)
    if half is None:
        return Interval(mean, None, None, 1)
    return Interval(mean, max(least, mean - half), min(most, mean + half), len(values))


def of_multiples(values: Sequence[float], at_least: bool = False) -> Interval | None:
    """Return the geometric mean of positive multiples, with Student's interval of their logarithms."""
    logs = over_seeds([math.log(v) for v in values])
    if logs is None:
        return None
    low, high = (None if x is None else math.exp(x) for x in (logs.low, logs.high))
    return Interval(math.exp(logs.mean), low, high, logs.n, at_least)


def of_share(
    hits: Sequence[float], tries: Sequence[float], each: Sequence[float] | None = None
) -> Interval | None:
    """Return the pooled share with the hull of Student's interval over seeds and Clopper and Pearson's.

    each: the shares for Student's, if they are others than hits by tries.

    >>> of_share([4, 4, 4], [4, 4, 4]).low > 0.7
    True
    """
    k, n = sum(hits), sum(tries)
    if n == 0:
        return None
    low, high = clopper_pearson(k, n, CONFIDENCE)
    if each is None:
        each = [h / m for h, m in zip(hits, tries, strict=True) if m]
    return _hull(k / n, low, high, each, 1.0)


def of_rate(
    events: Sequence[float], units: Sequence[float], per: float, each: Sequence[float] | None = None
) -> Interval | None:
    """Return events per number of units with the hull of Student's interval over seeds and Garwood's.

    each: the rates for Student's, if they are others than events by units.

    >>> round(of_rate([0, 0], [10_000, 10_000], 10_000).high, 2)
    1.84
    """
    k, n = sum(events), sum(units)
    if n <= 0:
        return None
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if k == 0 else gamma_quantile(tail, k)
    high = gamma_quantile(1 - tail, k + 1)
    if each is None:
        each = [per * e / u for e, u in zip(events, units, strict=True) if u > 0]
    return _hull(per * k / n, per * low / n, per * high / n, each, math.inf)


def _hull(mean: float, low: float, high: float, each: Sequence[float], most: float) -> Interval:
    half = half_width(each)
    if half is not None:
        low, high = min(low, mean - half), max(high, mean + half)
    return Interval(mean, max(0.0, low), min(most, high), len(each))
