"""Do some accounts react when others are refused? Exact tests that bet on which block was drawn.

Each function gives a wealth: what a bettor has who starts with 1 and bets, window by window, that reactions
fall into the drawn blocks. Where nobody reacts no bet is favourable, so that the chance that the wealth ever
reaches 1 / p is at most p, however often it is looked at (Ville's inequality).
It does not know what an account is, nor how the draw was made: `stillwatch.terms.holds` does.
"""

import numpy as np

# Shares of the wealth that are bet, a bettor each; the wealth is their mean. Small bets survive where
# reactions are hard to tell from chance, large ones earn most where they are not.
BETS = (0.1, 0.4, 0.9)


def pair_wealth(happened: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Bet that something happens to what held accounts ask in drawn blocks rather than in others.

    happened: (units, windows, blocks) bool, whether anything that a held account first asked in that block
    was asked later by somebody else. held: (windows,) the drawn block. Gives (units, windows), the wealth
    after each window.

    A block counts only up to the drawn one: then an account that gives up for some hours after it was
    refused takes nothing from the side that it is compared with. Given that no earlier block was drawn,
    block b of B is drawn with the chance h = 1 / (B - b); a bet of x pays 1 + x (drawn / h - 1).

    Null: what the others ask does not depend on whether a block is drawn, given all that was before it.
    Blind to: work that moves to nobody, or moves in other words.
    Fooled by: an honest client that goes on with another of its own accounts; a draw that was known.
    Source: Ville 1939; Shafer 2021, "Testing by betting", J. R. Stat. Soc. A 184:407; Ramdas et al. 2023,
        "Game-theoretic statistics and safe anytime-valid inference", https://arxiv.org/abs/2210.01948.

    >>> drawn = np.full(6, 3)
    >>> happened = np.arange(8) == np.full((1, 6, 1), 3)
    >>> bool(pair_wealth(happened, drawn)[0, -1] > 1_000)
    True
    """
    blocks = happened.shape[2]
    chance = 1.0 / (blocks - np.arange(blocks))
    before = np.arange(blocks) < held[:, None]
    lost = (happened & before).sum(axis=2)
    won = np.take_along_axis(happened, held[None, :, None], axis=2)[:, :, 0]
    gain = np.where(won, 1 / chance[held] - 1, 0.0)
    return _mean_wealth([lost * np.log1p(-x) + np.log1p(x * gain) for x in BETS])


def load_wealth(scores: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Bet that accounts which are not held ask more in drawn blocks than in others.

    scores: (units, windows, blocks), for instance sums of square roots of counts, so that one burst weighs
    little. held: (windows,) the drawn block. Gives (units, windows), the wealth after each window. A bet of
    x pays 1 + x (score of the drawn block / mean score of its window - 1).

    Null: what these accounts ask in a window does not depend on which of its blocks is drawn, given all that
        was before it. Exact for any traffic: bursts, nights, heavy tails, an outage common to all.
    Blind to: work that waits until its account is served again, or moves after the block.
    Fooled by: as `pair_wealth`.
    Source: as `pair_wealth`.

    >>> scores = np.ones((1, 40, 8))
    >>> scores[:, :, 3] = 4
    >>> bool(load_wealth(scores, np.full(40, 3))[0, -1] > 1_000)
    True
    """
    total = scores.sum(axis=2)
    drawn = np.take_along_axis(scores, held[None, :, None], axis=2)[:, :, 0]
    safe = np.where(total > 0, total, 1.0)
    surplus = np.where(total > 0, scores.shape[2] * drawn / safe - 1, 0.0)
    return _mean_wealth([np.log1p(x * surplus) for x in BETS])


def p_values(wealth: np.ndarray) -> np.ndarray:
    """Give the p-value by each window: one over the most that the wealth has been, at most 1."""
    most: np.ndarray = np.maximum.accumulate(np.maximum(wealth, 1.0), axis=-1)
    return 1.0 / most


def likely_true(p_value: np.ndarray, false_share: float) -> np.ndarray:
    """Choose hypotheses to reject so that at most `false_share` of them are expected to be true.

    Null: each p-value is one over a wealth; however they depend on each other.
    Source: Wang and Ramdas 2022, "False discovery rate control with e-values", J. R. Stat. Soc. B 84:822.

    >>> likely_true(np.array([0.01, 0.02, 0.9]), 0.1).tolist()
    [True, True, False]
    """
    order = np.argsort(p_value, kind="stable")
    rank = np.arange(1, len(order) + 1)
    passing = np.flatnonzero(p_value[order] * len(order) <= false_share * rank)
    chosen = np.zeros(len(order), bool)
    if len(passing):
        chosen[order[: passing[-1] + 1]] = True
    return chosen


def _mean_wealth(log_factors: list[np.ndarray]) -> np.ndarray:
    bettors = np.cumsum(np.stack(log_factors), axis=-1)
    mean: np.ndarray = np.exp(np.minimum(bettors, 300.0)).mean(axis=0)
    return mean
