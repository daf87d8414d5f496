"""Is a group more of one mind than its members' population? Over-dispersed multinomial tails, combined.

It does not know what the categories are.
"""

from functools import lru_cache

import numpy as np
from scipy.special import gammaln
from scipy.stats import betabinom

GRID = np.array([0.02, 0.03, 0.05, 0.08, 0.12, 0.18, 0.27, 0.4])


@lru_cache(maxsize=200_000)
def concentration_tail(count: int, members: int, share: float, correlation: float) -> float:
    """P(at least `count` of `members` choose a category that a share of the population chooses).

    Null: members choose independently but for a within-group correlation (beta-binomial).
    `share` and `correlation` in (0, 1). Source: Skellam 1948, J. R. Stat. Soc. B 10:257.

    >>> round(concentration_tail(2, 2, 0.5, 0.02), 3)
    0.255
    """
    strength = (1 - correlation) / correlation
    tail = betabinom.sf(count - 1, members, share * strength, (1 - share) * strength)
    return float(max(tail, 1e-300))


def within_correlation(counts: list[np.ndarray], base: np.ndarray, floor: float) -> float:
    """The within-group correlation at which the groups' choices are most likely, not below `floor`.

    counts: one (categories,) vector per group; base: (categories,) shares of the population. Maximum
    likelihood of a Dirichlet-multinomial over a fixed grid, so that equal input gives equal output.
    """
    if not counts:
        return floor
    table = np.asarray(counts, float)
    best, best_value = floor, -np.inf
    for correlation in GRID[floor <= GRID]:
        strength = (1 - correlation) / correlation
        alpha = base * strength
        total = table.sum(1)
        value = np.sum(
            gammaln(strength)
            - gammaln(strength + total)
            + np.sum(gammaln(table + alpha) - gammaln(alpha), axis=1)
        )
        if value > best_value + 1e-9:
            best, best_value = float(correlation), value
    return best


def combine(p_values: list[float]) -> float:
    """One p-value from several that may depend on each other in any way short of the extreme.

    The Cauchy combination; below 1e-10 Bonferroni's bound, where the tangent loses its digits.
    Source: Liu and Xie 2020, J. Am. Stat. Assoc. 115:393.

    >>> round(combine([0.01, 0.5, 0.9]), 3)
    0.033
    """
    least = min(p_values)
    if least < 1e-10:
        return min(1.0, least * len(p_values))
    clipped = np.clip(p_values, 1e-15, 0.99)  # a p of exactly 1 would outvote any evidence
    return float(0.5 - np.arctan(np.mean(np.tan((0.5 - clipped) * np.pi))) / np.pi)
