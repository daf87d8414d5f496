"""Is a marked subset richer in something than chance would make it? Exact tails. It knows no exchanges."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, hypergeom


@dataclass(frozen=True)
class Stratum:
    """Counts of one block within which the marks could have fallen on any of the items."""

    items: int
    positive: int
    marked: int
    marked_positive: int


def subset_tail(strata: Iterable[Stratum]) -> float:
    """Give P(at least as many marked items are positive), marks dealt at random within each stratum.

    Null: within a stratum, being marked has nothing to do with being positive. The tail is exact: the sum of
        independent hypergeometric counts.
    Blind to: differences between strata.
    Fooled by: something that varies inside a stratum and makes items both marked and positive.
    Source: Mantel and Haenszel 1959, J. Natl. Cancer Inst. 22:719; the exact form, Birch 1964.

    >>> round(subset_tail([Stratum(10, 2, 2, 2)]), 4)
    0.0222
    """
    sums, seen = np.ones(1), 0
    for stratum in strata:
        most = min(stratum.positive, stratum.marked)
        chances = hypergeom.pmf(np.arange(most + 1), stratum.items, stratum.positive, stratum.marked)
        sums = np.convolve(sums, chances)
        seen += stratum.marked_positive
    return float(min(1.0, sums[seen:].sum()))


def rate_tail(positive: int, items: int, rate: float) -> float:
    """Give P(at least `positive` of `items`), each positive with probability `rate`.

    Null: independent items at a known rate. Blind to: a rate that is lower. Fooled by: items that depend on
    each other. Source: the binomial distribution.

    >>> f"{rate_tail(3, 20, 0.008):.1e}"
    '5.3e-04'
    """
    return float(binom.sf(positive - 1, items, rate)) if items else 1.0
