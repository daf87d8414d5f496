"""Tests whether some accounts react when others are refused. The test is exact, and bets on which refusals
were drawn.

A bettor starts with 1 and bets, draw by draw, that reactions follow what was drawn. If nobody reacts no bet
is favourable, so the chance that the wealth ever reaches 1 / p is at most p, however often it is read
(Ville's inequality). `stillwatch.terms.holds` makes the draw.
"""

from dataclasses import dataclass, field

import numpy as np

# Share of the wealth that each bettor stakes, and each one's part of the initial 1. Small stakes survive if
# reactions are hard to separate from chance. The bettor who stakes everything gets the full odds of a single
# reaction, and has nothing left after the first that no draw explains.
BETS = np.array([0.1, 0.4, 1.0])
STAKES = np.array([0.2, 0.2, 0.6])
RUIN = -1e4  # log of no wealth: so low that no gain recovers it


def log_gains(drawn: np.ndarray, chance: np.ndarray | float) -> np.ndarray:
    """(bets, bettors) log of the factor by which a bet on each reaction multiplies each bettor's wealth.

    drawn: (bets,) bool, whether the cause of the reaction had been drawn; chance: (bets,) of each draw, or of
    all. A bet of x pays 1 + x (drawn / chance - 1): 1 on average over the draw, whatever was before it.

    >>> gains = np.exp(log_gains(np.array([True, False]), 1 / 16))
    >>> np.allclose([1 / 16, 15 / 16] @ gains, 1)
    True
    """
    net = np.where(drawn, 1 / np.asarray(chance) - 1, -1.0)
    factor = 1 + net[:, None] * BETS
    with np.errstate(divide="ignore"):
        gains: np.ndarray = np.maximum(np.log(factor), RUIN)
    return gains


def wealth(logs: np.ndarray) -> np.ndarray:
    """Return the total wealth of all bettors. logs: (..., bettors) the sums of their `log_gains` so far.

    Null: what the others do does not depend on whether something was drawn, given every other draw and
        everything before. Exact for any traffic: bursts, nights, heavy tails, an outage common to all.
    Blind to: work that moves nowhere, or is reworded.
    Fooled by: an honest client that continues with another of its own accounts; a draw that was known.
    Source: Ville 1939; Shafer 2021, "Testing by betting", J. R. Stat. Soc. A 184:407; Ramdas et al. 2023,
        "Game-theoretic statistics and safe anytime-valid inference", https://arxiv.org/abs/2210.01948.

    >>> moved = log_gains(np.array([True, True, True]), 1 / 16)
    >>> bool(wealth(moved.sum(axis=0)) > 1_000)
    True
    """
    total: np.ndarray = np.exp(np.minimum(logs, 300.0)) @ STAKES
    return total


def p_values(reached: np.ndarray) -> np.ndarray:
    """Return the p-value at each time: one over the greatest wealth so far, at most 1."""
    most: np.ndarray = np.maximum.accumulate(np.maximum(reached, 1.0), axis=-1)
    return 1.0 / most


def few_by_chance(came: np.ndarray, chance: np.ndarray, false_share: float) -> bool:
    """Return whether at most `false_share` of the units whose draw came up are expected to be chance.

    came: (units,) bool, whether each unit's only draw came up, which judges no other unit; chance: (units,)
    of that. A unit without any reaction comes up with odds `chance` / (1 - `chance`), so the odds of those
    that did not, with the largest added, bound how many did.
    Null: as `wealth`, of each unit by itself. Exact for one test of units with draws of their own;
        simulated for a stop at the first test that passes (tests/test_holds.py).
    Source: Barber and Candès 2015, "Controlling the false discovery rate via knockoffs", Ann. Stat. 43:2055
        (Selective SeqStep+), https://arxiv.org/abs/1404.5609.

    >>> few_by_chance(np.array([True] * 9 + [False]), np.full(10, 1 / 16), 0.05)
    True
    >>> few_by_chance(np.array([True] * 2 + [False] * 2), np.full(4, 1 / 16), 0.05)
    False
    """
    if len(came) == 0:
        return False
    odds = chance / (1 - chance)
    by_chance = odds.max() + odds[~came].sum()
    return bool(by_chance <= false_share * int(came.sum()))


@dataclass(frozen=True)
class DrawnCount:
    """The number of one unit's bets that were drawn, compared with chance."""

    chances: np.ndarray = field(default_factory=lambda: np.ones(1))  # (bets + 1,) by number drawn
    drawn: int = 0

    def after(self, came: bool, chance: float) -> "DrawnCount":
        """Return the count with one more bet, whose probability of being drawn was known."""
        return DrawnCount(np.convolve(self.chances, (1 - chance, chance)), self.drawn + came)

    @property
    def p_value(self) -> float:
        """Probability of as many or more.

        Null: as `wealth`, for one unit whose bets nobody ended because of what was drawn. Drawn bets may be
            left out by any rule based on the past: that makes it larger.

        >>> DrawnCount().after(True, 1 / 4).after(True, 1 / 4).p_value
        0.0625
        """
        return min(1.0, float(self.chances[self.drawn :].sum()))


def rejections(p_value: np.ndarray, false_share: float, largest: float) -> np.ndarray:
    """(units,) bool: the rejected hypotheses, a share `false_share` of them expected to be true.

    The number of true ones is estimated from the p-values above one half. largest: greatest p-value that can
    be rejected.
    Null: each p-value of a true hypothesis is uniform, or larger, and independent of the others. Repeated
        tests make more than `false_share` of them false: simulated in tests/test_holds.py.
    Source: Storey, Taylor and Siegmund 2004, J. R. Stat. Soc. B 66:187; with one added, so that it holds for
        a finite number.

    >>> rejections(np.array([0.01, 0.02, 0.02, 0.9]), 0.1, 0.1).tolist()
    [True, True, True, False]
    """
    true_count = (1 + np.count_nonzero(p_value > 0.5)) / 0.5
    ordered = np.sort(p_value)
    few = true_count * ordered <= false_share * np.arange(1, len(ordered) + 1)
    passing = np.flatnonzero(few & (ordered <= largest))
    chosen: np.ndarray = p_value <= (ordered[passing[-1]] if len(passing) else -1.0)
    return chosen
