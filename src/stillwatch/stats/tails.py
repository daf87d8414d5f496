"""Tails and quantiles of the distributions used by the statistics here, each in a few lines.

Binomial tails, exact bounds on a share and Student's t all follow from the beta distribution. Down to 1e-300
the relative error is below 1e-12 (tests/test_tails.py).
"""

from collections.abc import Iterator
from itertools import count
from math import exp, inf, lgamma, log, log1p, pi, sqrt

# Stirling's series for ln n!, DLMF 5.11.1: coefficients of 1/n, 1/n³, 1/n⁵ ...
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
LEAST_OF_SERIES = 10.0  # below it the series has too few digits, and ln n! itself suffices
EPSILON = 2.0**-52
_LARGE = 1e12  # parameter of a beta variable that approximates a gamma one


def beta_tail(x: float, a: float, b: float) -> float:
    """P(a beta variable with parameters a and b is at most x): the regularised incomplete beta function.

    P(at least k of n, each with chance x) is `beta_tail(x, k, n - k + 1)`.
    Source: DLMF 8.17.5 and, for how it is computed, `_log_beta_tail`.

    >>> round(beta_tail(0.5, 2, 2), 12)
    0.5
    """
    if not (0 <= x <= 1 and 0 < a < inf and 0 < b < inf):
        raise ValueError(f"no beta tail at {x} for {a} and {b}: x is in [0, 1], the others are above 0")
    return float(x) if x in (0, 1) else min(1.0, exp(_log_beta_tail(x, 1 - x, a, b)[0]))


def beta_odds(p: float, a: float, b: float) -> float:
    """Return x / (1 - x) for the x at which `beta_tail` is p, in (0, 1), with all digits near 0 and 1.

    Newton's method in the logarithm of the odds: the logarithm of the tail is concave there, so every step
    but the first goes up, and none too far.

    >>> round(beta_odds(0.5, 3, 3), 12)
    1.0
    """
    if not 0 < p < 1:
        raise ValueError(f"no beta quantile at {p}: right would be above 0 and below 1")
    if p > 0.5:
        return 1 / beta_odds(1 - p, b, a)
    at, step = log(a / b), inf
    while abs(step) > 1e-9:  # the next step would be about its square
        log_tail, log_slope = _log_beta_tail(1 / (1 + exp(-at)), 1 / (1 + exp(at)), a, b)
        step = (log(p) - log_tail) * exp(log_tail - log_slope)
        at += step
    return exp(at)


def student_bound(confidence: float, freedom: float) -> float:
    """Return the bound that Student's t exceeds in neither direction, with probability `confidence`.

    Source: t² / (t² + freedom) has the beta distribution of 1/2 and freedom/2. Student 1908, Biometrika 6:1.

    >>> round(student_bound(0.95, 3), 6)
    3.182446
    """
    return sqrt(freedom * beta_odds(confidence, 0.5, freedom / 2))


def gamma_quantile(p: float, shape: float) -> float:
    """Return the x below which a gamma variable of scale 1 is with probability p, to eight digits.

    Source: a beta variable's odds, times b, tend to a gamma variable as b grows: they agree up to a / b.

    >>> round(gamma_quantile(1 - 0.5, 1), 9)
    0.693147181
    """
    return _LARGE * beta_odds(p, shape, _LARGE)


def poisson_tail(least: int, mean: float) -> float:
    """P(a Poisson variable of this mean, 0 or more, is at least `least`).

    >>> round(poisson_tail(1, 1.0), 6)
    0.632121
    """
    if not 0 <= mean < inf:
        raise ValueError(f"a Poisson mean of {mean}")
    if least <= 0 or mean == 0:
        return float(least <= 0)
    chance = exp(-_stirling_rest(least) - _deviance(least, mean, 1.0)) / sqrt(2 * pi * least)
    if least > mean:
        return chance * _sum_of_products(mean / k for k in count(least + 1))
    return 1 - chance * (_sum_of_products(k / mean for k in range(least, 0, -1)) - 1)


def _log_beta_tail(x: float, y: float, a: float, b: float) -> tuple[float, float]:
    """ln `beta_tail`, and ln of its slope over ln(x / y); y = 1 - x.

    The slope is a binomial term in Loader's form, which subtracts no large numbers. The tail is that times a
    continued fraction of positive parts, on the shorter side of the mean, where b >= 1.
    Source: Loader 2000, *Fast and Accurate Computation of Binomial Probabilities*; Didonato and Morris 1992,
    ACM Trans. Math. Softw. 18:360, equation 9, the even part of DLMF 8.17.22.
    """
    n = a + b
    log_slope = _stirling_rest(n) - _stirling_rest(a) - _stirling_rest(b)
    log_slope += 0.5 * log(a / n * b / (2 * pi)) - _deviance(a, n, x) - _deviance(b, n, y)
    if a * y < b * x:
        return log1p(-exp(log_slope) / _beta_fraction(y, x, b, a)), log_slope
    return log_slope - log(_beta_fraction(x, y, a, b)), log_slope


def _beta_fraction(x: float, y: float, a: float, b: float) -> float:
    """Return the continued fraction by Lentz's method, from its beginning, as deep as it matters."""
    fraction = front = a * (a * y - b * x + 1) / (a + 1)
    back = inf
    for m in count(1):
        above = (a + m - 1) * (a + b + m - 1) * m * (b - m) * (x / (a + 2 * m - 1)) ** 2
        beside = m + m * (b - m) * x / (a + 2 * m - 1)
        beside += (a + m) * (a * y - b * x + 1 + m * (2 - x)) / (a + 2 * m + 1)
        front, back = beside + above / front, beside + above / back
        fraction *= front / back
        if abs(front - back) <= EPSILON * front:
            break
    return fraction


def _deviance(x: float, n: float, chance: float) -> float:
    """Return x ln(x / mean) + mean - x, mean = n * chance, without cancellation."""
    mean = n * chance
    v = (x - mean) / (x + mean)
    if abs(v) > 0.5:
        return x * (log(x / n) - log(chance)) + mean - x  # n * chance may underflow to 0
    total, power = (x - mean) * v, 2 * x * v
    for j in count(3, 2):
        power *= v * v
        if total + power / j == total:
            break
        total += power / j
    return total


def _stirling_rest(n: float) -> float:
    """Return ln n! less Stirling's (n + 1/2) ln n - n + ln(2 pi) / 2; n above 0."""
    if n < LEAST_OF_SERIES:
        return lgamma(n + 1) - (n + 0.5) * log(n) + n - 0.5 * log(2 * pi)
    rest = 0.0
    for part in reversed(STIRLING):
        rest = rest / (n * n) + part
    return rest / n


def _sum_of_products(factors: Iterator[float]) -> float:
    """Return 1 + f1 + f1 f2 + ..., of positive decreasing factors, as far as it changes the value."""
    total = term = 1.0
    for factor in factors:
        term *= factor
        if total + term == total:
            break
        total += term
    return total
