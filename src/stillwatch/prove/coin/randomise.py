"""How large would the leans be if the coins were thrown again? Exact, for any suspect.

Null: each coin is fair and apart from all else, given the size of every lean: then each lean falls to the
served answer with chance 1/2. This holds by the way the coin was thrown, whatever the suspect is.
Blind to: leans unrelated to what was served. Fooled by: coins known before the answers were drawn; pairs left
out by how their coins fell.
Source: Fisher's sign-flip test; Phipson and Smyth 2010, SAGMB 9, for (1 + k) / (1 + B); Besag and Clifford
1991, Biometrika 78, for stopping early where nothing can come of going on.
"""

from math import lgamma

import numpy as np

from stillwatch.prove.exact import LEAST

LEVELS = 8  # a lean counts 1 to 8, so that one that is huge for other reasons cannot decide alone
CLIP = 3.0  # in median sizes, from which a lean counts 8
DRAWS, FIRST_DRAWS, ENOUGH = 9_999_999, 99_999, 100
_REACH_SD = 40.0  # of a binomial; the mass beyond is below 1e-300
_CHUNK = 1 << 20
_LOG_GAMMA = np.frompyfunc(lgamma, 1, 1)


def levels(leans: np.ndarray) -> np.ndarray:
    """Return the level of each lean: 0 for none, else 1 to LEVELS by its size relative to the median size.

    It depends on the sizes alone, so it is the same however the coins fall.
    """
    sizes = np.abs(leans)
    some = sizes[sizes > 0]
    if not len(some):
        return np.zeros(len(leans), dtype=np.int64)
    top = CLIP * float(np.median(some))
    counted = np.ceil(LEVELS * (np.minimum(sizes, top) / top)).astype(np.int64)
    return np.where(sizes > 0, np.maximum(counted, 1), 0)


def count_leans(leans: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the number of leans of each level 1 to LEVELS, and the sum of those towards served answers."""
    counts = np.bincount(levels(leans), minlength=LEVELS + 1)[1:]
    return counts, int(levels(leans)[leans > 0].sum())


def all_coins(counts: np.ndarray, towards: int) -> float:
    """P(the sum of levels towards the served is at least this), over all 2^n coins.

    A sum of binomials, one per level; each is cut 40 standard deviations from its mean.
    """
    total, start = np.ones(1), 0  # the distribution of the sum, from `start` on
    for level, n in enumerate(counts.tolist(), 1):
        if not n:
            continue
        reach = int(_REACH_SD * np.sqrt(n) / 2) + 2
        low, high = max(0, n // 2 - reach), min(n, n // 2 + reach + 1)
        hits = np.arange(low, high + 1)
        ways = lgamma(n + 1) - (_LOG_GAMMA(hits + 1) + _LOG_GAMMA(n - hits + 1)).astype(float)
        chance = np.exp(ways - n * np.log(2.0))
        spread = np.zeros((high - low) * level + 1)
        spread[::level] = chance
        total = _convolve(total, spread, level)
        start += low * level
    tail = total[max(0, towards - start) :]
    return min(1.0, max(float(tail[::-1].sum()), LEAST)) if towards > start else 1.0


def _convolve(total: np.ndarray, spread: np.ndarray, level: int) -> np.ndarray:
    """The sum's distribution with one more level: positive terms only, so that small tails stay exact."""
    out = np.zeros(len(total) + len(spread) - 1)
    for at in range(0, len(spread), level):
        out[at : at + len(total)] += spread[at] * total
    return out


def thrown_again(counts: np.ndarray, towards: int, seed: int, draws: int = DRAWS) -> tuple[float, int, int]:
    """(p, draws at least as far, draws): p = (1 + k) / (1 + B).

    FIRST_DRAWS show whether the p-value can be small at all; all `draws` are made only if fewer than ENOUGH
    of them fall as far. An alpha below 0.001 can only be met in the second round, a larger one in the first:
    p is valid in each.
    """
    random = np.random.Generator(np.random.Philox(seed))
    far = done = 0
    for goal in (min(FIRST_DRAWS, draws), draws):
        while done < goal:
            size = min(_CHUNK, goal - done)
            sums = np.zeros(size, dtype=np.int64)
            for level, n in enumerate(counts.tolist(), 1):
                if n:
                    sums += level * random.binomial(n, 0.5, size)
            far += int((sums >= towards).sum())
            done += size
        if far >= ENOUGH:
            break
    return (1 + far) / (1 + done), far, done
