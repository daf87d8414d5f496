"""Bounds on a share from a count: Wilson's for display, Clopper and Pearson's where they must be exact."""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist, fmean, stdev

from stillwatch.stats.tails import beta_odds, student_bound


def wilson(right: int, n: int) -> tuple[float, float]:
    """Bound a share by Wilson's score interval at 95 %; (0, 1) without trials.

    Null: n independent trials with one chance of success. Blind to: questions that resemble each other.
    Fooled by: choosing n after looking. Source: Wilson 1927, J. Am. Stat. Assoc. 22:209.

    >>> [round(bound, 4) for bound in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.975)
    share, z2 = right / n, z * z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low = 0.0 if right == 0 else max(0.0, middle - half)
    high = 1.0 if right == n else min(1.0, middle + half)
    return low, high


def clopper_pearson(right: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Bound a share so that the bounds hold at least that often, whatever the share is.

    Null, Blind to, Fooled by: as Wilson's. Source: Clopper and Pearson 1934, Biometrika 26:404.

    >>> [round(bound, 4) for bound in clopper_pearson(8, 10)]
    [0.4439, 0.9748]
    """
    if n == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if right == 0 else 1 / (1 + 1 / beta_odds(tail, right, n - right + 1))
    high = 1.0 if right == n else 1 / (1 + beta_odds(tail, n - right, right + 1))
    return low, high


def further_sum(values: Sequence[float], more: int) -> tuple[float, float]:
    """Bound the sum, at 95 %, of `more` further values of which these are a random sample; at least 0.

    Null: the values are drawn at random from one population, and their mean is about normal.
    Blind to: rare values far larger than all those seen. Fooled by: values in an order that depends on their
    size. Source: prediction interval for a future sum, Student's t; Hahn and Meeker 1991, Statistical
    Intervals, chapter 4.

    >>> [round(bound, 1) for bound in further_sum([9, 10, 11, 10], 100)]
    [867.5, 1132.5]
    """
    n = len(values)
    if n < 2:
        raise ValueError(f"{n} values bound no sum; two at least are wanted")
    half = student_bound(0.95, n - 1) * stdev(values) * sqrt(more + more * more / n)
    return max(0.0, more * fmean(values) - half), more * fmean(values) + half
