"""The statistic of a suspect's pairs under a key: a plain sum, or a weighted one.

Null: the texts do not depend on the key; then each pair's u is uniform and independent of all others. Each:
-ln(1 - u) summed over n distinct pairs is Gamma(n, 1): p is exact. For an actor with K keys the sums of all
are added: Gamma(K n, 1), since different keys give independent numbers. Weighed: the score test for a small
share of marked text. It is a sum of bounded terms with mean 0, whatever the weights; p is Chernoff's bound,
never too small. A bad reference costs power, not validity.
Blind to, Fooled by: see `judge`; for Weighed also marked text in the reference or in the teacher's.
Source: Sander et al. 2024, arXiv:2402.14904; Rao's score test; Chernoff 1952.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Protocol

import numpy as np
import numpy.typing as npt

from stillwatch.prove import Counts, Row, exact
from stillwatch.prove.exact import LEAST
from stillwatch.prove.radioactivity import TokenSelection
from stillwatch.watermark import Mark
from stillwatch.watermark.formula import number, score
from stillwatch.watermark.reading import Pair, WeightedPair, scores

POWER = 0.8
SOME = 500  # pairs on which random keys are tried
STEEPEST = 18.0  # of slope times weight: the limit of the series
TERMS = 90  # of that series
SLOPES = 60  # at which the bound is evaluated; it is valid at any
Numbers = npt.NDArray[np.float64]
STATISTIC = {
    TokenSelection.EACH: "sum over distinct pairs (context of {window} tokens, token) of the suspect's "
    "answers of -ln(1 - u(key, context, token)); upper tail of Gamma(n, 1); Holm over actors",
    TokenSelection.MATCHED: "sum over distinct pairs (context of {window} tokens, token) of w (u^k - "
    "1/(k+1)), where p is the token's share in the unmarked teacher's text (backed off), k = (1-p)/p, and w "
    "is the excess of its count in the suspect's answers over the reference text, over p; Chernoff's bound; "
    "Holm over actors",
}
NULL = {
    TokenSelection.EACH: "What the suspect writes does not depend on the actor's key. Then the scores of "
    "its distinct pairs of context and token are independent unit exponentials and their sum is Gamma(n, "
    "1), whatever the suspect's base, style or repetitions.",
    TokenSelection.MATCHED: "Neither what the suspect writes nor the reference and the teacher's text "
    "depend on the actor's key. Then the statistic is a sum of independent bounded terms with mean 0, and p "
    "is a bound on its upper tail, whatever the suspect's base, style or repetitions.",
}


class Statistic(Protocol):
    """Interface of all statistics."""

    null: str
    unit: str

    @property
    def n(self) -> int: ...
    def row(self, mark: Mark) -> Row:
        """Return the row of an actor, not yet adjusted."""

    def p_value(self, *keys: bytes) -> float: ...
    def smallest_effect(self, alpha: float, actors: int, keys: int = 1) -> float:
        """Return the effect that is found with 80 % chance at alpha over all actors (normal approximation).

        keys: of each actor. Each adds its noise, and each answer carries one: with K keys, the root of K.
        """

    def some(self) -> "Statistic":
        """Return the same for an evenly spaced part of the pairs."""

    def disclose(self, *keys: bytes) -> dict[str, object]:
        """Return what a checker needs besides the keys."""


def _quantiles(alpha: float, actors: int) -> float:
    return NormalDist().inv_cdf(1 - alpha / actors) + NormalDist().inv_cdf(POWER)


def tokens_needed(effect: float, alpha: float, actors: int) -> int:
    """Return how many scored tokens find this effect, in nats, with 80 % chance.

    >>> tokens_needed(0.05, 1e-5, 20)
    13149
    """
    return math.ceil((_quantiles(alpha, actors) / effect) ** 2)


class Each:
    """Every distinct pair once."""

    null, unit = NULL[TokenSelection.EACH], "nats per scored token above chance"

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = pairs

    @property
    def n(self) -> int:
        return len(self.pairs)

    def row(self, mark: Mark) -> Row:
        found = [
            math.fsum(each) for each in zip(*(scores(key, self.pairs) for key in mark.keys), strict=True)
        ]
        total, many = math.fsum(found), len(mark.keys)
        mean = total / self.n
        half = 1.96 * math.sqrt(math.fsum((value - mean) ** 2 for value in found) / (self.n - 1) / self.n)
        counts = Counts("gamma", total, many * self.n)
        p = exact.gamma_tail(total, many * self.n)
        return Row(mark.actor, self.n, mean - many, mean - many - half, mean - many + half, p, None, counts)

    def p_value(self, *keys: bytes) -> float:
        total = math.fsum(score for key in keys for score in scores(key, self.pairs))
        return exact.gamma_tail(total, len(keys) * self.n)

    def smallest_effect(self, alpha: float, actors: int, keys: int = 1) -> float:
        return _quantiles(alpha, actors) * math.sqrt(keys / self.n)

    def some(self) -> "Each":
        return Each(self.pairs[:: math.ceil(self.n / SOME)])

    def disclose(self, *keys: bytes) -> dict[str, object]:
        return {"pairs": [[list(context), token] for context, token in self.pairs]}

    @staticmethod
    def by_place(texts: Sequence[Sequence[int]], mark: Mark, window: int) -> float:
        """The mean score above chance over places, repeats included: a mark's strength, not a test."""
        places = [(t[i - window : i], t[i]) for t in texts for i in range(window, len(t))]
        places = places[:: max(1, len(places) // (8 * SOME))]
        total = math.fsum(score(key, c, t) for c, t in places for key in mark.keys)
        return total / len(places) - len(mark.keys) if places else 0.0


class Weighed:
    """Every pair of the suspect's and the reference's text, weighted. Computed once for all keys."""

    null, unit = NULL[TokenSelection.MATCHED], "apparent share of marked text"

    def __init__(self, weighted: Sequence[WeightedPair]) -> None:
        self.weighted = weighted
        self._w: Numbers = np.array([pair.weight for pair in weighted])
        self._k: Numbers = np.array([pair.exponent for pair in weighted])
        self._size: Numbers = np.array([pair.size for pair in weighted])
        self._mean: Numbers = 1 / (self._k + 1)
        variance = 1 / (2 * self._k + 1) - self._mean**2
        self._error = math.sqrt(float(np.sum(self._w**2 * variance)))
        self._information = float(np.sum(self._size * variance))
        steepest = STEEPEST / float(np.abs(self._w).max())
        self._slopes: Numbers = steepest * np.geomspace(1e-4, 1, SLOPES)
        self._moments: Numbers = np.array([self._log_moment(slope) for slope in self._slopes])

    def _log_moment(self, slope: float) -> float:
        """ln E[exp(slope * statistic)] over keys: `exact.matched_tail`'s, for all pairs at once."""
        x = slope * self._w
        up, down = np.maximum(x, 0), np.maximum(-x, 0)
        total, other = np.ones_like(x), np.ones_like(x)
        power, term = np.ones_like(x), np.ones_like(x)
        for j in range(1, TERMS):
            power *= up / j
            total += power / (j * self._k + 1)
            term *= down / (j + 1 / self._k)
            other += term
        logs = np.where(x >= 0, np.log(total), np.log(other) + x)
        return float(np.sum(logs - x * self._mean))

    @property
    def n(self) -> int:
        return len(self.weighted)

    def bound(self, *keys: bytes) -> tuple[float, float, float]:
        """Return the statistic, the bound on its p-value, and the slope that minimises the bound."""
        u = np.array([[number(key, *pair.pair) for pair in self.weighted] for key in keys])
        total = float(np.sum(self._w * (u**self._k - self._mean)))
        logs = len(keys) * self._moments - self._slopes * total
        best = int(np.argmin(logs))
        p = 1.0 if logs[best] >= 0 else max(math.exp(logs[best]), LEAST)
        return total, p, float(self._slopes[best])

    def row(self, mark: Mark) -> Row:
        total, p, _ = self.bound(*mark.keys)
        error = self._error * math.sqrt(len(mark.keys))
        share, half = total / self._information, 1.96 * error / self._information
        return Row(mark.actor, self.n, share, share - half, share + half, p, None)

    def p_value(self, *keys: bytes) -> float:
        return self.bound(*keys)[1]

    def smallest_effect(self, alpha: float, actors: int, keys: int = 1) -> float:
        steps = math.sqrt(2 * math.log(actors / alpha)) + NormalDist().inv_cdf(POWER)  # Chernoff's
        return steps * math.sqrt(keys) * self._error / self._information

    def some(self) -> "Weighed":
        return Weighed(self.weighted[:: math.ceil(self.n / SOME)])

    def disclose(self, *keys: bytes) -> dict[str, object]:
        return {
            "slope": self.bound(*keys)[2],
            "pairs": [[list(pair.pair[0]), pair.pair[1]] for pair in self.weighted],
            "weights": [pair.weight for pair in self.weighted],
            "exponents": [pair.exponent for pair in self.weighted],
        }
