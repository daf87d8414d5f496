"""Detects a mark: selects the pairs of context and token to score, and computes their scores under a key.

The pairs and their weights are determined by the texts alone, before a key is used.

Null: the text does not depend on the key. Then the scores of distinct pairs are independent unit
exponentials, whatever the text says and however often it repeats itself.
Blind to: a mark in text that was reworded, translated, or tokenised otherwise; a student that saw too little.
Fooled by: text in which somebody put the mark on purpose, which needs the key; a prompt that carries marked
text into an answer (such contexts are left out); counting a pair twice (each counts once over all texts).
Source: Sander et al. 2024, arXiv:2402.14904, 4.2; Fernandez et al. 2023, arXiv:2308.00113, for distinct
k-grams.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stillwatch.watermark import MarkError
from stillwatch.watermark.formula import score

Pair = tuple[tuple[int, ...], int]  # the tokens before, and the token
BACK_OFF = 5.0  # counts given to the token's share of all text, in rare contexts
RAREST = 0.01  # below it, a probability estimated from counts is unreliable


def pairs_in(
    texts: Sequence[Sequence[int]], window: int, prompts: Sequence[Sequence[int]] | None = None
) -> Counter[Pair]:
    """Count the pairs of texts of tokens; none crosses the end of a text.

    prompts: one per text; a context that occurs in a text's prompt is not counted in that text, since its
    continuation may be copied.
    Raises: MarkError if the numbers of texts and prompts differ.
    """
    if prompts is not None and len(prompts) != len(texts):
        raise MarkError(f"{len(prompts):,} prompts for {len(texts):,} texts")
    found: Counter[Pair] = Counter()
    for n, tokens in enumerate(texts):
        places = ((tuple(tokens[i - window : i]), tokens[i]) for i in range(window, len(tokens)))
        if prompts is None:
            found.update(places)
            continue
        prompt = prompts[n]
        brought = {tuple(prompt[i : i + window]) for i in range(len(prompt) - window + 1)}
        found.update(pair for pair in places if pair[0] not in brought)
    return found


def scored_pairs(suspect: Counter[Pair]) -> list[Pair]:
    """Choose the pairs to score, without a key: each pair once."""
    return sorted(suspect)


@dataclass(frozen=True)
class WeightedPair:
    """A pair with its weight, determined without a key.

    weight: how far the suspect's share of the token after the context is above the reference's, in counts,
    over the token's probability. exponent: (1 - p) / p at the unmarked teacher's probability p: if u is the
    token's number, u**exponent is the chance that the marked teacher writes it.
    """

    pair: Pair
    weight: float
    exponent: float
    size: float  # the counts behind it, over the token's probability: the weight of a share of one


def weighted_pairs(
    suspect: Counter[Pair], reference: Counter[Pair], teacher: Counter[Pair]
) -> list[WeightedPair]:
    """Weigh every pair for the score test of "a small share of the suspect's text is marked teacher's text".

    reference: text of the suspect as it would be without the marked answers (its base, or unmarked text of
    its kind); teacher: the teacher's own unmarked text. Neither may hold marked text.
    Source: Rao's score test; P(t is chosen | u) = u^((1-p)/p) for Gumbel-max (Aaronson 2022).
    """
    here, there, taught = _by_context(suspect), _by_context(reference), _by_context(teacher)
    alone: Counter[int] = Counter()
    for (_, token), n in teacher.items():
        alone[token] += n
    whole = alone.total()
    found = []
    for context, token in sorted(suspect.keys() | reference.keys()):
        n, m = here[context], there[context]
        if not n or not m or not whole:
            continue
        prior = BACK_OFF * alone[token] / whole
        p = (teacher[context, token] + prior) / (taught[context] + BACK_OFF)
        p = min(max(p, RAREST), 1 - RAREST)
        size = n * m / (n + m) / p
        above = suspect[context, token] / n - reference[context, token] / m
        if above:
            found.append(WeightedPair((context, token), size * above, (1 - p) / p, size))
    return found


def _by_context(pairs: Counter[Pair]) -> Counter[tuple[int, ...]]:
    found: Counter[tuple[int, ...]] = Counter()
    for (context, _), n in pairs.items():
        found[context] += n
    return found


def scores(key: bytes, pairs: Sequence[Pair]) -> Iterator[float]:
    """Yield each pair's score under a key. Raises: MarkError for a repeated pair."""
    if len(set(pairs)) != len(pairs):
        raise MarkError("a pair of context and token is scored once; one stands there twice")
    return (score(key, context, token) for context, token in pairs)
