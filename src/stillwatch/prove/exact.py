"""Exact p-values from counts, and Holm's adjustment, with Python's standard library alone.

This file travels unchanged in every bundle, so that making a p-value and checking it use one formula.

Null: stated by each function. Fooled by: counts that are not what they claim to be; nothing here can detect
that.
Source: Holm 1979, Scand. J. Statist. 6; Erlang's tail as a Poisson sum; Phipson and Smyth 2010, SAGMB 9, for
the rank's "one more" above and below; Chernoff 1952, Ann. Math. Statist. 23.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST = 1e-300  # smallest p-value: a smaller one underflows, and 0 does not exist
MOST = 1e9  # largest count: no test has more, and a longer tail would take hours
STEEPEST = 20.0  # of slope times weight: beyond it `log_powers_mean` does not hold
_SMALL = 1e-18  # relative to the sum, below which a term no longer counts


def binomial_tail(hits: int, n: int, share: float) -> float:
    """P(at least `hits` of `n`). Null: every trial hits with chance `share`, independently.

    >>> round(binomial_tail(50, 50, 0.5) * 2**50, 6)
    1.0
    """
    if hits <= 0:
        return 1.0
    if hits > n:
        raise ValueError(f"{hits} hits of {n}")
    log_odds = math.log(share) - math.log1p(-share)

    def log_term(k: int) -> float:
        ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        return ways + k * log_odds + n * math.log1p(-share)

    start = max(hits, min(n, int((n + 1) * share)))  # the largest term of the tail
    total = term = 1.0
    for k in range(start + 1, n + 1):
        term *= (n - k + 1) / k * math.exp(log_odds)
        total += term
        if term < _SMALL * total:
            break
    term = 1.0
    for k in range(start, hits, -1):
        term *= k / (n - k + 1) * math.exp(-log_odds)
        total += term
        if term < _SMALL * total:
            break
    return _bounded(log_term(start), total)


def gamma_tail(total_score: float, n: int) -> float:
    """P(a sum of n unit exponentials is at least this). Null: n independent uniform u, -ln(1-u) summed.

    >>> gamma_tail(1.0, 1) == math.exp(-1)
    True
    """
    s = total_score
    if n < 1 or s <= 0:
        return 1.0
    start = max(0, min(n - 1, int(s)))  # the largest of the n Poisson terms
    total = term = 1.0
    for k in range(start, 0, -1):
        term *= k / s
        total += term
        if term < _SMALL * total:
            break
    term = 1.0
    for k in range(start + 1, n):
        term *= s / k
        total += term
        if term < _SMALL * total:
            break
    return _bounded(start * math.log(s) - s - math.lgamma(start + 1), total)


def log_powers_mean(x: float, exponent: float) -> float:
    """ln E[exp(x u^exponent)] of a uniform u, for |x| <= 20: a series whose terms are all positive.

    Source: 1F1(1/k; 1/k + 1; x), and Kummer's transformation of it where x is negative (DLMF 13.2.39).

    >>> abs(log_powers_mean(2.0, 1.0) - math.log((math.exp(2) - 1) / 2)) < 1e-12
    True
    """
    total, term, j = 1.0, 1.0, 0
    while abs(term) > _SMALL * total or j <= abs(x):
        j += 1
        if x >= 0:
            term *= x / j
            total += term / (j * exponent + 1)
        else:
            term *= -x / (j + 1 / exponent)
            total += term
    return math.log(total) + min(x, 0.0)


def matched_tail(total: float, weights: Sequence[float], exponents: Sequence[float], slope: float) -> float:
    """A bound on P(sum of w (u^k - 1/(k+1)) is at least this), valid for any slope above 0 (Chernoff 1952).

    Raises: ValueError for a slope, a weight or an exponent for which the bound does not hold.

    Null: independent uniform u, one for each weight and exponent. The bound is above the exact tail, by a
    factor of about ten for small p.
    """
    largest = max(map(abs, weights), default=0.0)
    if not (
        0 < slope < math.inf and slope * largest <= STEEPEST and all(0 < k < math.inf for k in exponents)
    ):
        raise ValueError(f"a slope of {slope} with weights up to {largest}: no bound follows")
    log_p = -slope * total
    for weight, exponent in zip(weights, exponents):
        x = slope * weight
        log_p += log_powers_mean(x, exponent) - x / (exponent + 1)
    return 1.0 if log_p >= 0 else max(math.exp(log_p), LEAST)


def rank(as_good: int, n: int) -> float:
    """(1 + as_good) / (1 + n). Null: the one under test and the n others are exchangeable."""
    return (1 + as_good) / (1 + n)


def _bounded(log_scale: float, total: float) -> float:
    log_p = log_scale + math.log(total)
    return 1.0 if log_p >= 0 else max(math.exp(log_p), LEAST)


def p_of(test: str, hits: float, n: int, share: float) -> float:
    """Return the p-value of counts (`prove.Counts`). Raises: ValueError for impossible counts."""
    if not (1 <= n <= MOST and 0 <= hits < math.inf):
        raise ValueError(f"{test}: {hits} of {n}")
    if test == "gamma":
        return gamma_tail(hits, n)
    if hits != int(hits) or hits > n:
        raise ValueError(f"{test}: {hits} of {n}")
    if test == "binomial":
        if not 0 < share < 1:
            raise ValueError(f"binomial: a share of {share}")
        return binomial_tail(int(hits), n, share)
    if test == "rank":
        return rank(int(hits), n)
    raise ValueError(f"{test!r} is no test known here: binomial, gamma, rank")


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that the chance of any false finding is at most alpha, whatever their dependence.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[i]))
        adjusted[i] = highest
    return adjusted
