"""Looks for a mark: which pairs of context and token are scored, and their scores under a key.

Which pairs are scored is settled by the text (and by a reference text, if any) before a key is looked at. It
does not know what a score is worth.

Null: the text does not depend on the key. Then the scores of distinct pairs are independent unit
exponentials, whatever the text says and however often it repeats itself.
Blind to: a mark in text that was reworded, translated, or tokenised otherwise; a student that saw too little.
Fooled by: text in which somebody put the mark on purpose, which needs the key; a prompt that carries marked
text into an answer (such contexts are left out); counting a pair twice (each counts once over all texts).
Source: Sander et al. 2024, arXiv:2402.14904, 4.2; Fernandez et al. 2023, arXiv:2308.00113, for distinct
k-grams.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from stillwatch.watermark import MarkError
from stillwatch.watermark.formula import score

Pair = tuple[tuple[int, ...], int]  # the tokens before, and the token


def pairs_in(texts: Iterable[Sequence[int]], window: int) -> Counter[Pair]:
    """Count the pairs of texts of tokens; none reaches over the end of a text."""
    found: Counter[Pair] = Counter()
    for tokens in texts:
        found.update((tuple(tokens[i - window : i]), tokens[i]) for i in range(window, len(tokens)))
    return found


def contexts_in(texts: Iterable[Sequence[int]], window: int) -> set[tuple[int, ...]]:
    """The contexts of texts: those of prompts are left out of what is scored."""
    return {tuple(t[i : i + window]) for t in texts for i in range(len(t) - window + 1)}


def scored_pairs(
    suspect: Counter[Pair],
    reference: Counter[Pair] | None = None,
    leave_out: set[tuple[int, ...]] | frozenset[tuple[int, ...]] = frozenset(),
) -> list[Pair]:
    """Choose what is scored, without a key: each pair once; with a reference, one pair a context.

    With a reference (text of an unmarked model) it is the token that the suspect overuses most there, and
    only where it does: what both write as often says nothing of the suspect's own training.
    """
    kept = {pair: n for pair, n in suspect.items() if pair[0] not in leave_out}
    if reference is None:
        return sorted(kept)
    here: Counter[tuple[int, ...]] = Counter()
    there: Counter[tuple[int, ...]] = Counter()
    for (context, _), n in kept.items():
        here[context] += n
    for (context, _), n in reference.items():
        there[context] += n
    best: dict[tuple[int, ...], tuple[float, int]] = {}
    for (context, token), n in kept.items():
        expected = reference[context, token] / there[context] if there[context] else 0.0
        excess = n - here[context] * expected
        if excess > 0 and (context not in best or (excess, -token) > (best[context][0], -best[context][1])):
            best[context] = (excess, token)
    return sorted((context, token) for context, (_, token) in best.items())


def scores(key: bytes, pairs: Sequence[Pair]) -> Iterator[float]:
    """Give each pair's score under a key. Raises: MarkError for a pair that stands there twice."""
    if len(set(pairs)) != len(pairs):
        raise MarkError("a pair of context and token is scored once; one stands there twice")
    return (score(key, context, token) for context, token in pairs)
