"""Tests whether accounts that ask items of one set go through it like one queue, or independently.

A queue deals each item once. People who choose independently ask some items twice by chance, and popular ones
more often than that.

Null: each account draws its next item uniformly from those that it has not asked, whatever others did. Draws
    by popularity repeat more often, so they look less like a queue, not more.
Blind to: a queue that draws with replacement, or goes through the set several times; a set so large that
    chance repeats nothing (about four square roots of its size must be asked); repeats by others in the
    group.
Fooled by: one honest queue (a benchmark over one firm's keys, annotators, a class); people who each keep to a
    part of the set of their own, so content must be tested as well; the authors of the set.
Source: betting against a null, Shafer 2021, J. R. Stat. Soc. A 184:407; Ville's inequality. Uniform draws
    repeat least: Wong and Yue 1973, "Properties of generalized occupancy".
"""

from dataclasses import dataclass

import numpy as np

from stillwatch.compiled_code.library import kernels

BETS = (0.0, 0.25, 0.5)  # what a repeat leaves of the stake: bets on none, few, half of the repeats of chance


@dataclass(frozen=True)
class Cover:
    """How accounts went through a set. An account's second request for an item does not count."""

    draws: int  # pairs of an account and an item that it asked
    covered: int  # different items
    repeated: int  # draws of an item that another account had asked
    expected: float  # of these, if each account draws by itself
    p_value: float  # one over the most that bets on a queue ever won; valid whenever it is read
    largest_at: int  # the draw after which they had won the most; -1 if they never won


def cover(account: np.ndarray, item: np.ndarray, size: int) -> Cover:
    """Test draws in the order of time. account, item: (draws,) whole numbers from 0; size: of the set."""
    if len(item) == 0:
        return Cover(0, 0, 0, 0.0, 1.0, -1)
    _, first = np.unique(account.astype(np.int64) << 32 | item, return_index=True)
    at = np.sort(first)
    _, who = np.unique(account[at], return_inverse=True)
    distinct_items, which = np.unique(item[at], return_inverse=True)
    bets = np.array(BETS)
    seen = np.zeros(len(distinct_items), np.bool_)
    per_account = np.zeros(int(who.max()) + 1, np.int64)
    counts, sums = np.empty(2, np.int64), np.empty(2)
    kernels.bet(
        *(who, which, len(who), size, bets, len(bets), seen, per_account, np.zeros(len(bets)), counts, sums)
    )
    repeated, largest = counts.tolist()  # and the draw after which the most was won
    expected, most_won = sums.tolist()  # by chance, and the logarithm of the most won
    p_value = float(min(1.0, np.exp(-most_won)))
    return Cover(
        len(at), len(distinct_items), repeated, expected, p_value, int(at[largest]) if largest >= 0 else -1
    )
