"""Bounds on a share from a count: Wilson's for people, Clopper and Pearson's where they have to hold exactly.

It does not know what was counted.
"""

from math import sqrt

from scipy.special import betaincinv, ndtri


def wilson(right: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Bound a share by Wilson's score interval; (0, 1) where nothing was tried.

    Null: n independent tries with one chance of success. Blind to: questions that resemble each other.
    Fooled by: choosing n after looking. Source: Wilson 1927, J. Am. Stat. Assoc. 22:209.

    >>> [round(bound, 4) for bound in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    if n == 0:
        return 0.0, 1.0
    z = float(ndtri(0.5 + confidence / 2))
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
    low = 0.0 if right == 0 else float(betaincinv(right, n - right + 1, tail))
    high = 1.0 if right == n else float(betaincinv(right + 1, n - right, 1 - tail))
    return low, high
