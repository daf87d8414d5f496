"""Plans a coin test: how many coins find an effect, and which effect a number of coins can find.

The effect is the mean lean towards the served answer, in standard deviations of a lean. It depends on the
suspect: 1.4 where half of a small student's training was served answers, far below 0.1 where a large one's
was diluted a hundredfold; measure it on a student of your own (docs/coin.md).
Source: the normal approximation of the sum of levels; few coins are simulated with the test itself.
"""

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np

from stillwatch.prove import ProveError
from stillwatch.prove.coin import PLACES
from stillwatch.prove.coin.leans import CONTINUATIONS, LEVELS
from stillwatch.prove.coin.randomise import all_coins, count_leans, levels

# The effect of a student taught only on served answers: z over the square root of the pairs, without a base.
# Texts were sampled at temperature 1, once for each question, `continuation` at PLACES in each answer.
# EFFECTS is the weak student of the loop in docs/figures/coin.md (63 thousand parameters, sums): no suspect
# is cleared on a smaller effect. `continuation` showed -0.007 there, standard error 0.035: no more is claimed
# for it than for `overlap`. A statistic that is not listed was not measured, and clears no suspect.
EFFECTS = {"likelihood": 0.24, "top": 0.27, "continuation": 0.02, "overlap": 0.02}
# For planning: the same student asked for its likeliest text, and a language model (135 million parameters,
# open questions, one epoch: benchmarks/prove_api.py). A suspect's API may ignore the requested temperature,
# so these clear no suspect.
STUDENTS = {
    "language model": {"likelihood": 0.48, "top": 0.57, "continuation": 0.48},
    "language model, temperature 0": {"continuation": 0.52},
    "weak student": EFFECTS,
    "weak student, temperature 0": {"continuation": 0.23, "overlap": 0.11},
}
SIMULATED = 600  # coins up to which the formula is checked by simulating the test: a second or two
RUNS = 200  # simulated tests per number of coins
MOST = 10_000_000  # coins of a plan
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Needed:
    """The coins for one effect."""

    effect: float
    alpha: float  # of one actor, adjusted for all of them
    power: float
    coins: int  # by the formula, and at least as many as can reach alpha
    simulated: float | None  # share of simulated tests that found it; None: by the formula alone
    runs: int


def floor(alpha: float) -> int:
    """Return the number of coins needed for alpha if all of them fall one way.

    >>> floor(1e-5), floor(0.05)
    (17, 5)
    """
    return math.ceil(-math.log2(alpha))


def needed_coins(effect: float, alpha: float, power: float, actors: int = 1, *, lost: float = 0.0) -> Needed:
    """Return the coins that one actor needs, without ties. lost: the share without two answers, counted
    against.

    Raises: ProveError for impossible settings.
    """
    _demand(effect, alpha, power, actors)
    each = alpha / actors
    coins = max(floor(each), math.ceil(by_formula(effect, each, power)))
    share = found_share(effect, coins, each)
    while share is not None and share < power:  # small numbers are cheap to simulate
        coins = math.ceil(coins * 1.1)
        share = found_share(effect, coins, each)
    if lost:
        coins = math.ceil(coins / (1 - lost))
        while not outweighs(effect, round(coins * (1 - lost)), round(coins * lost), each, power):
            coins = math.ceil(coins * 1.02)
            if coins > MOST:
                raise ProveError(
                    f"an effect of {effect:g} is never found where {lost:.0%} of the coins are lost"
                )
        share = None
    return Needed(effect, each, power, coins, share, 0 if share is None else RUNS)


def by_formula(effect: float, alpha: float, power: float) -> float:
    """Return the coins by the normal approximation of the test's sum of levels, for normal leans."""
    mean, null_sd, sd = _moments(effect)
    return float(((-_NORMAL.inv_cdf(alpha) * null_sd + _NORMAL.inv_cdf(power) * sd) / mean) ** 2)


@cache
def _moments(effect: float) -> tuple[float, float, float]:
    """Mean of a signed level, its standard deviation under the null and under the effect."""
    leans = effect + np.array([_NORMAL.inv_cdf((n + 0.5) / 20_000) for n in range(20_000)])
    signed = levels(leans) * np.sign(leans)
    mean, square = float(signed.mean()), float((signed**2).mean())
    return mean, math.sqrt(square), math.sqrt(square - mean**2)


def found_share(effect: float, coins: int, alpha: float, runs: int = RUNS) -> float | None:
    """Return the share of simulated suspects with such an effect that the test finds; None for many coins.

    Leans are drawn from a normal distribution: with heavier tails more levels are clipped, and less is lost.
    """
    if coins > SIMULATED:
        return None
    random = np.random.default_rng([1, coins])
    found = 0
    for _ in range(runs):
        counts, towards = count_leans(random.normal(effect, 1.0, coins))
        found += all_coins(counts, towards) <= alpha
    return found / runs


def has_power(effect: float, coins: int, alpha: float, power: float = 0.8) -> bool:
    """Return whether a number of coins finds such an effect with such power."""
    if coins < floor(alpha):
        return False
    share = found_share(effect, coins, alpha, 100)
    if share is None:
        return coins >= by_formula(effect, alpha, power)
    return share >= power


def outweighs(effect: float, coins: int, against: int, alpha: float, power: float = 0.8) -> bool:
    """Return whether a number of coins finds an effect though others count as the largest lean, against."""
    mean, null_sd, sd = _moments(effect)
    apart = -_NORMAL.inv_cdf(alpha) * math.sqrt(coins * null_sd**2 + against * LEVELS**2)
    return bool(mean * coins - LEVELS * against >= apart + _NORMAL.inv_cdf(power) * sd * math.sqrt(coins))


def smallest_effect(coins: int, alpha: float, power: float = 0.8) -> float:
    """Return the smallest effect that a number of coins finds, by the formula."""
    return float((-_NORMAL.inv_cdf(alpha) + _NORMAL.inv_cdf(power)) / math.sqrt(coins)) if coins else math.inf


@dataclass(frozen=True)
class PowerStatement:
    """Whether a test could have found its effect, and in words with what is missing."""

    enough: bool
    words: str


def power_of(
    statistic: str, effect: float | None, coins: int, alpha: float, places: int = PLACES, power: float = 0.8,
    against: int = 0,
) -> PowerStatement:  # fmt: skip
    """Return whether a number of coins, measured by a statistic, could have found an effect.

    Looking for an effect larger than the statistic's usual one does not make a test powerful: the smaller of
    the two counts. Nor is a test powerful if it reads less than what the usual one was measured on. against:
    coins that could not be measured, each of which counts as the largest lean, against.
    """
    words = (
        f"With the {coins:,} measured coins of the actor with fewest, an effect of "
        f"{smallest_effect(coins, alpha, power):.2g} standard deviations is found with {power:.0%} power at "
        f"alpha {alpha:.2g}; the test looks for {'none in particular' if effect is None else f'{effect:g}'}."
    )
    usual = EFFECTS.get(statistic)
    if usual is None:
        return PowerStatement(
            False,
            f"{words} What a student shows by {statistic} was not measured: this is not enough to tell.",
        )
    words += f" By {statistic}, a student taught on nothing but served answers showed {usual:g}."
    if statistic in CONTINUATIONS and places < PLACES:
        return PowerStatement(
            False, f"{words} That was at {PLACES} places in each answer, not {places}: not enough to tell."
        )
    looked_for = min(effect or usual, usual)
    if has_power(looked_for, coins, alpha, power):
        if not against or outweighs(looked_for, coins, against, alpha, power):
            return PowerStatement(True, words)
        return PowerStatement(
            False, f"{words} But {against:,} coins without a measured pair count against: not enough to tell."
        )
    wanted = needed_coins(looked_for, alpha, power).coins
    more = f" That takes {wanted:,} coins, {max(0, wanted - coins):,} more: this is not enough to tell."
    return PowerStatement(False, words + more)


def queries(statistic: str, samples: int = 1, places: int = PLACES) -> int:
    """Return the most queries of the suspect that one coin takes.

    >>> queries("overlap", 4), queries("continuation", 2, places=8)
    (4, 32)
    """
    if statistic in CONTINUATIONS:
        return 2 * places * samples
    return samples if statistic == "overlap" else 2


def _demand(effect: float, alpha: float, power: float, actors: int) -> None:
    if not effect > 0 or not math.isfinite(effect):
        raise ProveError(f"effect {effect}: give one above 0, in standard deviations of a lean, as in 0.3")
    if not 0 < alpha < 0.5:
        raise ProveError(f"alpha is {alpha}; give a chance above 0 and below 0.5, as in 1e-5")
    if not 0.5 <= power < 1:
        raise ProveError(f"power is {power}; give a chance from 0.5 up to, not including, 1")
    if actors < 1:
        raise ProveError(f"{actors} actors; there is at least one")
