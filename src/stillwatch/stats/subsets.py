"""Tests whether a marked subset has more positives than chance explains. The tails are exact."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stillwatch.stats.chances import chances
from stillwatch.stats.tails import beta_tail


@dataclass(frozen=True)
class Stratum:
    """Counts of one block within which any items could have been marked."""

    items: int
    positive: int
    marked: int
    marked_positive: int


def subset_tail(strata: Iterable[Stratum]) -> float:
    """Return P(at least as many marked items are positive), with marks dealt at random in each stratum.

    Null: within a stratum, being marked is independent of being positive. The tail is exact: the sum of
        independent hypergeometric counts.
    Blind to: differences between strata.
    Fooled by: something that varies within a stratum and makes items both marked and positive.
    Source: Mantel and Haenszel 1959, J. Natl. Cancer Inst. 22:719; the exact form, Birch 1964.

    >>> round(subset_tail([Stratum(10, 2, 2, 2)]), 4)
    0.0222
    """
    sums, seen = np.ones(1), 0
    for stratum in strata:
        sums = np.convolve(sums, _hypergeometric(stratum))
        seen += stratum.marked_positive
    return float(min(1.0, sums[seen:].sum()))


def rate_tail(positive: int, items: int, rate: float) -> float:
    """Return P(at least `positive` of `items`), each positive with probability `rate`.

    Null: independent items at a known rate. Blind to: a rate that is lower. Fooled by: items that depend on
    each other. Source: the binomial distribution.

    >>> f"{rate_tail(3, 20, 0.008):.1e}"
    '5.3e-04'
    """
    if positive <= 0 or not items:
        return 1.0
    return beta_tail(rate, positive, items - positive + 1) if positive <= items else 0.0


def _hypergeometric(stratum: Stratum) -> np.ndarray:
    """Return the probabilities of 0, 1, 2, ... positive marked items, up to the maximum."""
    rest = stratum.items - stratum.positive - stratum.marked
    most = min(stratum.positive, stratum.marked)
    k = np.arange(max(0, -rest), most, dtype=float)
    ratios = (stratum.positive - k) * (stratum.marked - k) / ((k + 1) * (k + 1 + rest))
    return np.concatenate([np.zeros(max(0, -rest)), chances(ratios)])
