"""How many coins an effect takes, and what a number of coins can find. It asks nobody.

The effect is the mean lean towards the served answer, in standard deviations of a lean. What it is depends on
the suspect: 1.4 where half of a small student's training was served answers, far below 0.1 where a large
one's was diluted a hundredfold; measure it on a student of one's own (docs/coin.md).
Source: the normal approximation for the first guess; then simulated with the test itself.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from stillwatch.prove import ProveError
from stillwatch.prove.coin.randomise import all_coins, fallen

RUNS = 200  # simulated tests a number of coins
MOST = 50_000_000


@dataclass(frozen=True)
class Needed:
    """What one effect takes."""

    effect: float
    alpha: float  # of one actor, adjusted for all of them
    power: float
    coins: int  # by the formula, and never fewer than could reach alpha at all
    simulated: float | None  # share of simulated tests that found it; None: too many coins to simulate
    runs: int


def floor(alpha: float) -> int:
    """The coins that alpha takes even where all fall one way.

    >>> floor(1e-5), floor(0.05)
    (17, 5)
    """
    return math.ceil(-math.log2(alpha))


def needed(
    effect: float, alpha: float, power: float, actors: int = 1, *, seed: int = 1, runs: int = RUNS
) -> Needed:
    """Coins with different answers that one actor needs. Raises: ProveError for what no test can have."""
    _demand(effect, alpha, power, actors)
    each = alpha / actors
    guess = (norm.isf(each) + norm.ppf(power)) ** 2 / effect**2
    coins = max(floor(each), math.ceil(guess))
    if coins > MOST:
        return Needed(effect, each, power, coins, None, 0)
    share = found_share(effect, coins, each, seed, runs)
    while share is not None and share < power and coins <= MOST:  # clipping and small numbers cost something
        coins = math.ceil(coins * 1.1)
        share = found_share(effect, coins, each, seed, runs)
    return Needed(effect, each, power, coins, share, runs)


def found_share(effect: float, coins: int, alpha: float, seed: int, runs: int = RUNS) -> float | None:
    """The share of simulated suspects with such an effect that the test finds; None beyond 100,000 coins.

    Leans are drawn from a normal distribution: with heavier tails the levels clip more, and lose less.
    """
    if coins > 100_000:
        return None
    random = np.random.default_rng([seed, coins])
    runs = runs if coins <= 5_000 else max(40, runs // 4)
    found = 0
    for _ in range(runs):
        counts, towards = fallen(random.normal(effect, 1.0, coins))
        found += all_coins(counts, towards) <= alpha
    return found / runs


def powered(effect: float, coins: int, alpha: float, power: float = 0.8, seed: int = 1) -> bool:
    """Whether so many coins find such an effect with such power."""
    if coins < floor(alpha):
        return False
    share = found_share(effect, coins, alpha, seed, 100)
    if share is None:
        return bool(effect * math.sqrt(coins) >= norm.isf(alpha) + norm.ppf(power))
    return share >= power


def smallest_effect(coins: int, alpha: float, power: float = 0.8) -> float:
    """The smallest effect that so many coins find, by the formula."""
    return float((norm.isf(alpha) + norm.ppf(power)) / math.sqrt(coins)) if coins else math.inf


def _demand(effect: float, alpha: float, power: float, actors: int) -> None:
    if not effect > 0 or not math.isfinite(effect):
        raise ProveError(f"effect {effect}: give one above 0, in standard deviations of a lean, as in 0.3")
    if not 0 < alpha < 0.5:
        raise ProveError(f"alpha is {alpha}; give a chance above 0 and below 0.5, as in 1e-5")
    if not 0.5 <= power < 1:
        raise ProveError(f"power is {power}; give a chance from 0.5 up to, not including, 1")
    if actors < 1:
        raise ProveError(f"{actors} actors; there is at least one")
