"""Measures how close a sample is to a normal distribution."""

from functools import cache
from statistics import NormalDist

import numpy as np

# The two largest coefficients as polynomials in 1 / sqrt(n), added to one from normal scores: table 1.
_LAST = (-2.706056, 4.434685, -2.071190, -0.147981, 0.221157)
_LAST_BUT_ONE = (-3.582633, 5.682633, -1.752461, -0.293762, 0.042981)


def shapiro_wilk(values: np.ndarray) -> float:
    """Shapiro and Wilk's W: 1 for a sample as normal as it can be.

    Raises: ValueError for fewer than three values, or for values that are all equal.
    Source: Royston 1992, Statistics and Computing 2:117 (coefficients for any n); Royston 1995, AS R94.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    centred = ordered - ordered.mean()
    squares = float(centred @ centred)
    if len(ordered) < 3 or squares == 0:
        raise ValueError(f"no W of {len(ordered)} values: wanted are three or more that are not all equal")
    return min(1.0, float(_coefficients(len(ordered)) @ centred) ** 2 / squares)


@cache
def _coefficients(n: int) -> np.ndarray:
    """(n,) weights of the ordered values, of length 1 and antisymmetric."""
    if n == 3:
        return np.array([-np.sqrt(0.5), 0.0, np.sqrt(0.5)])
    normal = NormalDist()
    scores = np.array([normal.inv_cdf((k - 0.375) / (n + 0.25)) for k in range(1, n + 1)])
    squares = float(scores @ scores)
    near = 1 / np.sqrt(n)
    last = np.polyval((*_LAST, scores[-1] / np.sqrt(squares)), near)
    ends = [last]
    if n > 5:
        ends.append(np.polyval((*_LAST_BUT_ONE, scores[-2] / np.sqrt(squares)), near))
    k = len(ends)
    weights = scores.copy()
    inner = squares - 2 * float((scores[-k:] ** 2).sum())
    weights /= np.sqrt(inner / (1 - 2 * sum(end**2 for end in ends)))
    weights[-k:] = ends[::-1]
    weights[:k] = -weights[-k:][::-1]
    return weights
