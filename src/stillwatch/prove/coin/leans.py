"""What a lean is, and how likely so many fall to what was served, with Python 3.9's own library.

This file travels in a proof's bundle as it is: what measured a lean and what checks it are one formula. It
knows no suspect and no ledger.

Null: each coin is fair and apart from all else, given the size of every lean; then each lean falls to the
served answer with chance 1/2, whatever the suspect is. All 2^n ways the coins could have fallen are
counted.
Fooled by: coins that were known before the answers were drawn; answers put in an order that fits the coin.
Source: Fisher's sign-flip test over levels 1 to 8, by convolution of one binomial a level.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

ORDERS = (1, 2, 3, 4)  # words in a row
MOST_WORDS = 1 << 15  # of one text: a suspect that never stops costs no more
LEVELS, CLIP = 8, 3.0  # a lean counts 1 to 8; 8 from 3 medians of the sizes on
LEAST = 1e-300


def foretold(leans: Sequence[tuple[float, float]]) -> float:
    """How much of a base's lean to take off a suspect's: the least squares through zero, never below 0.

    It knows no coin, and a lean keeps its size and changes its sign with the order of the answers: so the
    test stays exact, whatever this gives. A base that foretells nothing costs nothing.

    >>> foretold([(1.0, 2.0), (-0.5, -1.0)])
    0.5
    """
    size = sum(base * base for _, base in leans)
    return max(0.0, sum(suspect * base for suspect, base in leans) / size) if size else 0.0


def overlap(text: str, one: str, other: str) -> float:
    """How much more of what only `one` says is in a text than of what only `other` says, in [-1, 1].

    >>> overlap("the cat sat", "the cat sat", "the dog sat")
    1.0
    >>> overlap("a bird flew", "the cat sat", "the dog sat")
    0.0
    """
    total = orders = 0.0
    words, first, second = (_words(said) for said in (text, one, other))
    for order in ORDERS:
        mine, a, b = _rows(words, order), _rows(first, order), _rows(second, order)
        only_a, only_b = a - b, b - a
        if only_a or only_b:
            orders += 1
            total += _share(only_a, mine) - _share(only_b, mine)
    return total / orders if orders else 0.0


def overlap_of(answer: str, texts: Sequence[str]) -> float:
    """The share of an answer's runs of 1 to 4 words that texts hold, averaged over runs and texts.

    >>> overlap_of("the cat sat", ["the cat sat", "no"])
    0.5
    """
    words = _words(answer)
    orders = [order for order in ORDERS if order <= len(words)]
    if not orders or not texts:
        return 0.0
    shares = (_share(_rows(words, order), _rows(_words(text), order)) for text in texts for order in orders)
    return sum(shares) / (len(orders) * len(texts))


def _words(text: str) -> list[str]:
    return text.split(None, MOST_WORDS)[:MOST_WORDS]


def _rows(words: list[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[at : at + order]) for at in range(len(words) - order + 1))


def _share(only: Counter[tuple[str, ...]], mine: Counter[tuple[str, ...]]) -> float:
    wanted = only.total()
    return (only & mine).total() / wanted if wanted else 0.0


# --- what so many leans say ---


def levels(values: Sequence[float]) -> list[int]:
    """What each lean counts, by its size beside the median size; 0 for none. The coins have no part in it."""
    sizes = [abs(value) for value in values]
    some = [size for size in sizes if size > 0]
    if not some:
        return [0] * len(sizes)
    top = CLIP * statistics.median(some)
    return [max(1, math.ceil(LEVELS * (min(size, top) / top))) if size > 0 else 0 for size in sizes]


def tail(towards: Sequence[float], missing: int = 0) -> tuple[int, int, float]:
    """(leans, those to the served answer, p): P(the levels to the served answer sum to as much), exact.

    missing: pairs that could not be measured. Each counts as the largest lean, and against: leaving out what
    does not suit gains nothing.

    >>> tail([1.0] * 10)
    (10, 10, 0.0009765625)
    """
    counted = levels(towards) + [LEVELS] * missing
    n = sum(level > 0 for level in counted)
    hits = sum(value > 0 for value in towards)
    reached = sum(level for level, value in zip(counted, towards) if value > 0)
    ways = [1]  # exact: whole numbers
    for level, many in sorted(Counter(level for level in counted if level).items()):
        binomial = [math.comb(many, k) for k in range(many + 1)]
        sums = [0] * (len(ways) + level * many)
        for k, times in enumerate(binomial):
            for at, one in enumerate(ways, level * k):
                sums[at] += one * times
        ways = sums
    above = sum(ways[reached:])
    return n, hits, max(LEAST, above / (1 << n)) if n else 1.0


def leans(
    measured: Mapping[str, Sequence[float]], before: Mapping[str, Sequence[float]] | None
) -> dict[str, float]:
    """The lean to the first answer over the second of each pair, less what a base foretells of it.

    measured, before: of each pair the value of the first answer and of the second, by suspect and by base.
    """
    mine = {pair: two[0] - two[1] for pair, two in measured.items()}
    if before is None:
        return mine
    theirs = {pair: two[0] - two[1] for pair, two in before.items() if pair in mine}
    share = foretold([(mine[pair], theirs[pair]) for pair in sorted(theirs)])
    return {pair: mine[pair] - share * theirs[pair] for pair in theirs}


def valued(texts: Sequence[str], answers: Sequence[str]) -> tuple[float, float] | None:
    """Of a suspect's own answers: what they have of the first answer alone over the second, and 0."""
    if not texts:
        return None
    return sum(overlap(text, answers[0], answers[1]) for text in texts) / len(texts), 0.0
