"""Sequential bets against fair coins: the fortune may be checked at any time without losing validity.

Null: as in `randomise`. Then the fortune is a martingale that starts at 1. The chance that it ever reaches
1/alpha is at most alpha, whenever one stops. Blind to: leans that change direction about halfway.
Fooled by: an order of the coins that was chosen after they were seen; the protocol fixes the order.
Source: Ville 1939; Waudby-Smith and Ramdas 2024, JRSS B 86, for betting on means; the stake here is Kelly's
by what the coins before it said.
"""

from bisect import insort
from collections.abc import Iterable, Iterator

BOLDEST = 0.9  # of the fortune, on one coin
CAUTION = 8.0  # pseudo-counts of coins that showed nothing
CLIP = 3.0  # in medians


class Bettor:
    """Bets on one coin after another. The stake depends on all lean sizes so far, this one included, and on
    how the earlier coins fell."""

    def __init__(self) -> None:
        self.fortune, self.highest = 1.0, 1.0
        self._won, self._squares = 0.0, CAUTION
        self._sizes: list[float] = []  # sorted

    def bet(self, lean: float) -> float:
        """The fortune after one more lean (towards the served answer: positive)."""
        if lean:
            size = abs(lean)
            insort(self._sizes, size)
            stake = min(1.0, size / (CLIP * self._sizes[len(self._sizes) // 2]))
            share = min(BOLDEST, max(0.0, self._won / self._squares))
            step = stake if lean > 0 else -stake
            self.fortune *= 1.0 + share * step
            self._won += step
            self._squares += stake * stake
            self.highest = max(self.highest, self.fortune)
        return self.fortune


def fortunes(leans: Iterable[float]) -> Iterator[float]:
    """The fortune after each lean, in the order of the protocol.

    >>> [round(f, 2) for f in fortunes([1.0, 1.0, -1.0, 0.0])]
    [1.0, 1.01, 0.99, 0.99]
    """
    bettor = Bettor()
    return (bettor.bet(lean) for lean in leans)
