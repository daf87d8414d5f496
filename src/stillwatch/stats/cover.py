"""Whether accounts that ask items of one set go through it as one queue does, or each by itself.

A queue deals each item once. People who choose by themselves ask some items twice, by chance alone, and the
popular ones more often than that.

Null: each account draws its next item from those of the set that it has not asked, all as likely, whatever
    others did. Draws by popularity repeat more often, so that they look less like a queue, not more.
Blind to: a queue that draws with replacement, or goes through the set several times; a set so large that
    chance repeats nothing: about four square roots of its size must be asked; repeats by others in the group.
Fooled by: one queue in honest hands (a benchmark over one firm's keys, annotators, a class); people who each
    keep to a part of the set of their own, so content must be asked as well; the authors of the set.
Source: betting against a null, Shafer 2021, J. R. Stat. Soc. A 184:407; Ville's inequality. Uniform draws
    repeat least: Wong and Yue 1973, "Properties of generalized occupancy".
"""

from dataclasses import dataclass

import numpy as np

from stillwatch.compiled_code.library import kernels

BETS = (0.0, 0.25, 0.5)  # what a repeat leaves of the stake: never, rarely, half as often as by chance


@dataclass(frozen=True)
class Cover:
    """How accounts went through a set. An account's second request for an item does not count."""

    draws: int  # pairs of an account and an item that it asked
    covered: int  # different items
    repeated: int  # draws of an item that another account had asked
    expected: float  # of these, if each account draws by itself
    p_value: float  # one over the most that bets on a queue ever won; valid at whatever time one looks
    largest_at: int  # the draw after which they had won the most; -1 where they never won


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
    repeated, largest = counts.tolist()  # and after which draw the most was won
    expected, most_won = sums.tolist()  # by chance, and the logarithm of the most
    p_value = float(min(1.0, np.exp(-most_won)))
    return Cover(
        len(at), len(distinct_items), repeated, expected, p_value, int(at[largest]) if largest >= 0 else -1
    )
