"""Tests whether a group's choices are more alike than its members' population explains. It uses
over-dispersed multinomial tails, combined.
"""

from collections import Counter
from functools import lru_cache
from math import atan, pi, tan

import numpy as np

from stillwatch.compiled_code.library import kernels

GRID = np.array([0.02, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.12, 0.15, 0.2, 0.27, 0.4])


@lru_cache(maxsize=200_000)
def concentration_tail(count: int, members: int, share: float, correlation: float) -> float:
    """P(at least `count` of `members` choose a category that a share of the population chooses).

    Null: members choose independently, except for a within-group correlation (beta-binomial). `share` and
    `correlation` in (0, 1). Source: Skellam 1948, J. R. Stat. Soc. B 10:257.

    >>> round(concentration_tail(2, 2, 0.5, 0.02), 3)
    0.255
    """
    if share >= 1:
        return 1.0
    strength = (1 - correlation) / correlation
    weight = np.empty(members + 1)
    kernels.choice_weights(members, share * strength, (1 - share) * strength, weight)
    weight /= weight.sum()
    tail = weight[max(count, 0) :].sum()  # 1 - cdf would lose a small tail
    return float(min(max(tail, 1e-300), 1.0))


def within_correlation(groups: list[tuple[int, int, float]], tries: int, floor: float) -> float:
    """Return the smallest within-group correlation, from `floor` on, that explains unsuspected groups.

    groups: (count of the most common choice, members, population share of that choice) each; tries: how many
    choices could have been the most common. The correlation is raised until at most a quarter of the groups
    have a p-value below 0.2. A few campaigns among them, which would mislead a maximum-likelihood fit,
    therefore hardly matter.
    """
    if not groups:
        return float(floor)
    often = Counter(groups)
    times = np.fromiter(often.values(), np.int64, len(often))
    for correlation in (floor, *GRID[floor < GRID]):
        tails = [concentration_tail(k, n, share, float(correlation)) for k, n, share in often]
        if times[tries * np.array(tails) < 0.2].sum() <= 0.25 * len(groups):
            return float(correlation)
    return float(GRID[-1])


def combine(p_values: list[float]) -> float:
    """Combine several p-values, which may depend on each other in any way short of the extreme.

    It is the Cauchy combination; below 1e-10, where the tangent loses its digits, Bonferroni's bound.
    Source: Liu and Xie 2020, J. Am. Stat. Assoc. 115:393.

    >>> round(combine([0.01, 0.5, 0.9]), 3)
    0.033
    """
    least = min(p_values)
    if least < 1e-10:
        return min(1.0, least * len(p_values))
    # a p of exactly 1 would outweigh any evidence
    angles = [tan((0.5 - min(max(p, 1e-15), 0.99)) * pi) for p in p_values]
    return 0.5 - atan(sum(angles) / len(angles)) / pi
