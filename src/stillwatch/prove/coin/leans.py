"""Defines a lean, and how likely so many fall to what was served, with Python 3.9's standard library.

This file travels unchanged in a proof's bundle, so that measuring and checking use one formula.

Null: each coin is fair and apart from all else, given the size of every lean; then each lean falls to the
served answer with chance 1/2, whatever the suspect is. All 2^n ways the coins could have fallen are
counted.
Fooled by: coins known before the answers were drawn; answers put in an order that depends on the coin.
Source: Fisher's sign-flip test over levels 1 to 8, by convolution of one binomial a level.
"""

from __future__ import annotations

import itertools
import math
import operator
import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

ORDERS = (1, 2, 3, 4)  # words in a row
MOST_WORDS = 1 << 15  # of one text: bounds the cost of a suspect that never stops
LEVELS, CLIP = 8, 3.0  # a lean counts 1 to 8; it counts 8 from 3 median sizes on
LEAST = 1e-300
RATIO = "continuation-ratio"
STATISTICS = ("likelihood", "top", "continuation", "continuation-by-prompt", "overlap", RATIO)
CONTINUATIONS = ("continuation", "continuation-by-prompt", RATIO)  # statistics of what a suspect says next
BY_HEART = 0.3  # of RATIO: the chance that a word is recited, if the suspect memorised it
LEAST_CHANCE = 1e-4  # of a word by the base; below it, a probability read off a model is unreliable
AHEAD = 6  # words after a cut that are compared
_CJK = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # no spaces: each character is a word
_WORD = re.compile(f"[{_CJK}]|[^\\s{_CJK}]+")
_PART = re.compile(f"[{_CJK}]|(?:(?![{_CJK}])\\w)+|[^\\w\\s]")  # words and punctuation apart


def foretold(leans: Sequence[tuple[float, float]]) -> float:
    """Return how much of a base's lean to subtract from a suspect's: least squares through zero, at least 0.

    The coins are not used, and a lean keeps its size and changes its sign with the order of the answers: the
    test stays exact, whatever this returns. A base that predicts nothing costs nothing.

    >>> foretold([(1.0, 2.0), (-0.5, -1.0)])
    0.5
    """
    size = sum(base * base for _, base in leans)
    return max(0.0, sum(suspect * base for suspect, base in leans) / size) if size else 0.0


def overlap(text: str, one: str, other: str) -> float:
    """Return how much more of what is only in `one` a text has than of what is only in `other`, in [-1, 1].

    >>> overlap("the cat sat", "the cat sat", "the dog sat")
    1.0
    >>> overlap("a bird flew", "the cat sat", "the dog sat")
    0.0
    """
    total = orders = 0.0
    words, first, second = (_words(words_of_text) for words_of_text in (text, one, other))
    for order in ORDERS:
        mine, a, b = _rows(words, order), _rows(first, order), _rows(second, order)
        only_a, only_b = a - b, b - a
        if only_a or only_b:
            orders += 1
            total += _share(only_a, mine) - _share(only_b, mine)
    return total / orders if orders else 0.0


def overlap_of(answer: str, texts: Sequence[str]) -> float:
    """Return the share of an answer's runs of 1 to 4 words that texts hold, averaged over runs and texts.

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


def _share(only: Counter[tuple[str, ...]], words: Counter[tuple[str, ...]]) -> float:
    wanted = sum(only.values())  # Python 3.9 has no Counter.total
    return sum((only & words).values()) / wanted if wanted else 0.0


# --- the test of the leans ---


def levels(values: Sequence[float]) -> list[int]:
    """Return the level of each lean, by its size relative to the median size; 0 for none."""
    sizes = [abs(value) for value in values]
    known = [size for size in sizes if size > 0]
    if not known:
        return [0] * len(sizes)
    top = CLIP * statistics.median(known)
    return [max(1, math.ceil(LEVELS * (min(size, top) / top))) if size > 0 else 0 for size in sizes]


def tail(towards: Sequence[float], missing: int = 0) -> tuple[int, int, float]:
    """(leans, those to the served answer, p): P(the levels to the served answer sum to as much), exact.

    missing: pairs that could not be measured. Each counts as the largest lean, against the served answer, so
    that leaving out unwelcome pairs gains nothing.

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
            for at, way in enumerate(ways, level * k):
                sums[at] += way * times
        ways = sums
    above = sum(ways[reached:])
    return n, hits, max(LEAST, above / (1 << n)) if n else 1.0


def block_levels(blocks: Sequence[Sequence[float]]) -> list[list[int]]:
    """Return the level at which each value counts, -LEVELS to LEVELS, by its distance from its block's mean.

    The scale is 3 medians of all distances. The coins are not used.
    """
    apart = [[value - math.fsum(block) / len(block) for value in block] for block in blocks]
    sizes = [abs(value) for block in apart for value in block if value]
    if not sizes:
        return [[0] * len(block) for block in apart]
    top = CLIP * statistics.median(sizes)
    return [[round(LEVELS * max(-1.0, min(1.0, value / top))) for value in block] for block in apart]


def block_tail(blocks: Sequence[Sequence[float]], missing: int = 0, draws: int = 1) -> tuple[int, float]:
    """(informative blocks, p): P(the levels of the served values sum to as much), exact.

    blocks: for each prompt the value of the served answer first, then of answers that could equally have been
    served. Null: each of a block's answers had the same chance to be the served one. All ways to name one of
    each block are counted. missing: blocks that could not be measured, of 1 + `draws` answers; each counts as
    if its served answer were the least of all and every other one the most.

    >>> block_tail([[1.0, 0.0, 0.0]] * 4) == (4, 3.0**-4)
    True
    """
    counted = block_levels(blocks) + [[-LEVELS] + [LEVELS] * draws] * missing
    counted = [[count - min(block) for count in block] for block in counted]
    informative = [block for block in counted if any(block)]
    reached = sum(block[0] for block in informative)
    ways, total = [1], 1  # exact: whole numbers
    for block in informative:
        total *= len(block)
        sums = [0] * (len(ways) + max(block))
        for level, times in Counter(block).items():
            for at, way in enumerate(ways, level):
                sums[at] += way * times
        ways = sums
    above = sum(ways[reached:])
    return len(informative), max(LEAST, above / total) if informative else 1.0


def less_foretold(blocks: Sequence[Sequence[float]], before: Sequence[Sequence[float]]) -> list[list[float]]:
    """Subtract from values what a base predicts within each block. Coins are not used.

    >>> less_foretold([[3.0, 1.0]], [[1.0, 0.0]])
    [[1.0, 1.0]]
    """

    def apart(every: Sequence[Sequence[float]]) -> list[float]:
        return [value - math.fsum(block) / len(block) for block in every for value in block]

    share = foretold(list(zip(apart(blocks), apart(before))))
    return [[value - share * base for value, base in zip(*two)] for two in zip(blocks, before)]


def leans(
    measured: Mapping[str, Sequence[float]], before: Mapping[str, Sequence[float]] | None
) -> dict[str, float]:
    """Return each pair's lean to the first answer over the second, less what a base predicts of it.

    measured, before: of each pair the value of the first answer and of the second, by suspect and by base.
    """
    by_pair = {pair: two[0] - two[1] for pair, two in measured.items()}
    if before is None:
        return by_pair
    theirs = {pair: two[0] - two[1] for pair, two in before.items() if pair in by_pair}
    share = foretold([(by_pair[pair], theirs[pair]) for pair in sorted(theirs)])
    return {pair: by_pair[pair] - share * theirs[pair] for pair in theirs}


# --- what a suspect does with a pair's two answers ---


class Cut(NamedTuple):
    """A beginning of an answer, and the continuation there by slot, in one answer or in both."""

    name: str
    begun: str
    rests: tuple[tuple[int, str], ...]
    ahead: int  # words after it that are compared


def cuts(answers: Sequence[str], places: int) -> list[Cut]:
    """Choose where to cut two answers: after equally many words, spread from where they first differ.

    The coins are not used: the two texts and `places` fix the cuts. Where both begin with the same text there
    is one cut for both.

    >>> [(cut.begun, cut.rests) for cut in cuts(["so it is", "so it was not"], 4)]
    [('so it', ((0, ' is'), (1, ' was not')))]
    """
    words = [[match.span() for match in _WORD.finditer(text)] for text in answers]
    last = min(map(len, words))
    same = 0
    while same < last and len({text[slice(*w[same])] for text, w in zip(answers, words)}) == 1:
        same += 1
    many = min(places, last - same)
    found = []
    for k in (same + i * (last - same) // many for i in range(many)):
        ends = [w[k - 1][1] if k else 0 for w in words]
        begun = [text[:end] for text, end in zip(answers, ends)]
        rests = [text[end:] for text, end in zip(answers, ends)]
        ahead = min(len(_parts(rest, AHEAD)) for rest in rests)
        if begun[0] == begun[1]:
            found.append(Cut(f"{k}", begun[0], ((0, rests[0]), (1, rests[1])), ahead))
        else:
            found += [Cut(f"{k}.{slot}", begun[slot], ((slot, rests[slot]),), ahead) for slot in (0, 1)]
    return found


def agreeing_words(continuation: Any, begun: str, rest: str, ahead: int = AHEAD) -> float:
    """Count the words of an answer's rest that a suspect says next, before it first departs from them.

    continuation: its text, less the beginning where it repeats that; or the likeliest tokens there with their
    log-probabilities: then the chance that its first token begins the rest.

    >>> agreeing_words(" sat on it", "the cat", " sat on a mat.")
    2.0
    >>> agreeing_words("the cat sat", "the cat", " sat")
    1.0
    >>> round(agreeing_words([[" sat", -0.5], [" s", -3.0], [" ran", -1.0]], "the cat", " sat on"), 2)
    0.66
    """
    if not isinstance(continuation, str):
        wanted = rest.lstrip()
        tokens = {str(token).lstrip(): float(nats) for token, nats in continuation}
        first = sum(
            math.exp(min(0.0, n)) for token, n in tokens.items() if token and wanted.startswith(token)
        )
        return min(1.0, first)
    before = _parts(begun, MOST_WORDS)
    words = _parts(continuation, len(before) + ahead)
    if before and words[: len(before)] == before:
        words = words[len(before) :]
    same = 0
    for word, wanted_word in zip(words, _parts(rest, ahead)):
        if word != wanted_word:
            break
        same += 1
    return float(same)


def _parts(text: str, most: int) -> list[str]:
    return [match.group() for match in itertools.islice(_PART.finditer(text), most)]


def continuation_values(
    measured: Mapping[str, Sequence[Any]], answers: Sequence[str], samples: int, places: int
) -> tuple[float, float] | None:
    """Average the agreeing words after each cut over the cuts of each answer.

    measured: by the cut's name, `samples` texts, or the most likely tokens once. None if one is missing,
    since leaving out unwelcome ones would be a choice.
    """

    def value(cut: Cut, slot: int, rest: str) -> float | None:
        continuations = measured.get(cut.name, ())
        if len(continuations) != samples and not (
            len(continuations) == 1 and not isinstance(continuations[0], str)
        ):
            return None
        return sum(
            agreeing_words(continuation, cut.begun, rest, cut.ahead) for continuation in continuations
        ) / len(continuations)

    return _of_cuts(answers, places, value)


def _of_cuts(
    answers: Sequence[str], places: int, value: Callable[[Cut, int, str], float | None]
) -> tuple[float, float] | None:
    """Average a value of each cut over those of each answer; None if a cut has none."""
    found: tuple[list[float], list[float]] = ([], [])
    for cut in cuts(answers, places):
        for slot, rest in cut.rests:
            of_cut = value(cut, slot, rest)
            if of_cut is None:
                return None
            found[slot].append(of_cut)
    return sum(found[0]) / max(1, len(found[0])), sum(found[1]) / max(1, len(found[1]))


def word_chances(tokens: Sequence[Sequence[float]], begun: str, rest: str, ahead: int) -> list[float]:
    """Return the probability with which a base says each of the next words, given those before it.

    tokens: of the answer's tokens, where in the text each ends, and its log-likelihood. A token counts for
    the word in which it ends.

    >>> [round(one, 2) for one in word_chances([(3, -0.1), (7, -0.7), (10, -1.2)], "the", " cat sat", 6)]
    [0.5, 0.3]
    """
    start, found = len(begun), []
    for match in itertools.islice(_PART.finditer(rest), ahead):
        end = len(begun) + match.end()
        nats = math.fsum(nats for at, nats in tokens if start < at <= end)
        found.append(min(1.0, max(LEAST_CHANCE, math.exp(min(0.0, nats)))))
        start = end
    return found


def surprise(same: float, chances: Sequence[float]) -> float:
    """Return the log-likelihood ratio of that many agreeing words, then a departure, less the base's mean.

    Under the alternative each word is recited with chance BY_HEART, otherwise said as the base says it. A
    model that writes like the base has a mean of 0, whatever the words.

    >>> surprise(1, [0.01]) > surprise(1, [0.5]) > 0 > surprise(0, [0.5]) > surprise(0, [0.9])
    True
    """
    hits = [math.log(1 - BY_HEART + BY_HEART / chance) for chance in chances]
    miss, total, reached, before = math.log(1 - BY_HEART), 0.0, 1.0, 0.0
    for k, (chance, hit) in enumerate(zip(chances, hits)):
        if k < same:
            total += hit
        elif k == same:
            total += miss
        before += reached * (chance * hit + (1 - chance) * miss)
        reached *= chance
    return total - before


def ratio_values(
    measured: Mapping[str, Sequence[Any]], base: Any, answers: Sequence[str], samples: int, places: int
) -> tuple[float, float] | None:
    """As `continuation_values`, with `surprise` under a base's probabilities in place of counted words."""

    def value(cut: Cut, slot: int, rest: str) -> float | None:
        continuations = measured.get(cut.name, ())
        if len(continuations) != samples or not all(
            isinstance(continuation, str) for continuation in continuations
        ):
            return None
        chances = word_chances(base[slot], cut.begun, rest, cut.ahead)
        every = (
            surprise(agreeing_words(continuation, cut.begun, rest, cut.ahead), chances)
            for continuation in continuations
        )
        return math.fsum(every) / samples

    return _of_cuts(answers, places, value)


def expected_values(base: Any, answers: Sequence[str], places: int) -> tuple[float, float] | None:
    """Return the words of each answer that a base is expected to say next, averaged over the cuts."""

    def value(cut: Cut, slot: int, rest: str) -> float:
        chances = word_chances(base[slot], cut.begun, rest, cut.ahead)
        return math.fsum(itertools.accumulate(chances, operator.mul))

    return _of_cuts(answers, places, value)


def overlap_values(texts: Sequence[str], answers: Sequence[str]) -> tuple[float, float] | None:
    """Return how much more a suspect's own answers hold of the first answer than of the second, and 0."""
    if not texts:
        return None
    return sum(overlap(text, answers[0], answers[1]) for text in texts) / len(texts), 0.0


def is_whole(statistic: str, measured: Any, samples: int) -> bool:
    """Return whether as many answers are there as were sealed: leaving some out would be a choice."""
    return statistic != "overlap" or measured is None or len(measured) == samples


def valued(
    statistic: str, measured: Any, answers: Sequence[str], samples: int, places: int, base: Any = None
) -> tuple[float, float] | None:
    """Return the value of each answer of a pair, from the measurements; None if they do not suffice.

    base: for RATIO, the measurements of the base in that pair; None if the value of a base is wanted.
    """
    if measured is None:
        return None
    if statistic == RATIO and isinstance(measured, Mapping):
        return None if base is None else ratio_values(measured, base, answers, samples, places)
    if statistic == RATIO:
        return expected_values(measured, answers, places) if base is None else None
    if statistic == "overlap":
        return overlap_values(measured, answers)
    if statistic in CONTINUATIONS:
        return continuation_values(measured, answers, samples, places)
    return float(measured[0]), float(measured[1])
