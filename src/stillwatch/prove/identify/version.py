"""Tests whether the suspect is exactly this model. It is a classifier two-sample test on the same prompts,
with an exact null.

Each prompt gives the words of the suspect's answer minus those of the reference's. A linear classifier
trained on all other prompts guesses which of the two is the suspect's; the statistic is its summed margin.
Under the null the two answers to a prompt are exchangeable, so random swaps give the null distribution.

Null: for each prompt, both answers come from one distribution (same weights, prompt, sampling). Blind to:
differences that words do not show. Different sampling settings of one model are rejected, too. Fooled by:
greedy decoding on both sides, where copies are equal and the test has no data; answers to one prompt that
depend on another. Source: Lopez-Paz and Oquab 2017, ICLR (classifier two-sample tests); labels swapped within
prompts and (1 + k) / (1 + B): Phipson and Smyth 2010, SAGMB 9; the gap in published tests:
docs/provenance.md.
"""

import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stillwatch.prove.pool import Pool, PoolError
from stillwatch.prove.pool.likeness import Floats
from stillwatch.stats.dealing import begins
from stillwatch.stats.sparse_rows import row_products

FEWEST = 20
MOST = 2000  # prompts, chosen by a hash of their id: the cost is quadratic, and 200 tell versions apart
SWAPS = 9999
_WORD = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]|[^\W\u3040-\u30ff\u4e00-\u9fff]+|[^\w\s]|\n+")
_ABOUT = 6000  # characters read of an answer


@dataclass(frozen=True)
class SameVersion:
    """The test's result."""

    suspect: str
    reference: str
    prompts: int  # with two different answers: the others carry no information
    equal: int  # prompts with the very same text
    told_apart: float  # share of prompts where the classifier is right; 0.5 is chance
    p_value: float
    floor: float
    swaps: int


def same_version(pool: Pool, suspect: str, reference: str, *, swaps: int = SWAPS) -> SameVersion:
    """Test whether two models' answers could come from one model. Raises: PoolError for too few prompts."""
    a, b = pool.answers[suspect], pool.answers[reference]
    both = [prompt for prompt in pool.prompts if prompt in a and prompt in b]
    if len(both) < FEWEST:
        raise PoolError(
            f"{suspect} and {reference} share {len(both)} prompts; the test of versions needs {FEWEST}"
        )
    if len(both) > MOST:
        both = sorted(both, key=lambda prompt: hashlib.sha256(prompt.encode(errors="replace")).digest())[
            :MOST
        ]
    pairs = [(a[prompt][0], b[prompt][0]) for prompt in both]
    different = [pair for pair in pairs if pair[0] != pair[1]]
    equal = len(pairs) - len(different)
    if len(different) < 2:
        return SameVersion(suspect, reference, len(different), equal, 0.5, 1.0, 1.0, 0)
    kernel = kernel_of(different)
    observed = float(kernel.sum())
    rng = np.random.default_rng(1)
    as_good, drawn = 0, 0
    while drawn < swaps:
        size = min(1000, swaps - drawn)
        signs = rng.choice(np.array([-1.0, 1.0]), size=(size, len(different)))
        as_good += int((((signs @ kernel) * signs).sum(axis=1) >= observed - 1e-9 * abs(observed)).sum())
        drawn += size
    right = float(np.mean(np.sign(kernel.sum(axis=1)) / 2 + 0.5))
    p_value = (1 + as_good) / (1 + swaps)
    return SameVersion(suspect, reference, len(different), equal, right, p_value, 1 / (1 + swaps), swaps)


def kernel_of(pairs: Sequence[tuple[str, str]]) -> Floats:
    """(prompts, prompts): inner products of the differences, nothing on the diagonal.

    Its row sums are what a classifier trained on the other prompts says about each.
    """
    vocabulary: dict[str, int] = {}
    held: list[dict[int, float]] = []  # for each prompt: word -> how much more often the first answer has it
    for mine, theirs in pairs:
        more: dict[int, float] = {}
        for sign, text in ((1.0, mine), (-1.0, theirs)):
            counts = _features(text)
            length = np.sqrt(sum(value * value for value in counts.values())) or 1.0
            for word, value in counts.items():
                place = vocabulary.setdefault(word, len(vocabulary))
                more[place] = more.get(place, 0.0) + sign * value / length
        held.append({place: more[place] for place in sorted(more) if more[place]})
    row = np.repeat(np.arange(len(held)), [len(one) for one in held])
    term = np.array([place for one in held for place in one], np.int64)
    weight = np.array([much for one in held for much in one.values()])
    shared = np.bincount(term)[term] > 1  # a word in one prompt alone cannot help with another
    row, term, weight = row[shared], term[shared], weight[shared]
    spread = np.sqrt(np.bincount(term, weight**2) / len(pairs))
    weight /= np.sqrt(spread[term])  # a compromise between rare and common words
    kernel: Floats = row_products(begins(np.bincount(row, minlength=len(pairs))), term, weight)
    np.fill_diagonal(kernel, 0.0)
    return kernel


def _features(text: str) -> dict[str, float]:
    """Words and pairs of words, dampened; the opening; the length."""
    words = _WORD.findall(text[:_ABOUT].lower())
    counts: dict[str, float] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    for this_word, next_word in itertools.pairwise(words):
        counts[f"{this_word} {next_word}"] = counts.get(f"{this_word} {next_word}", 0) + 1
    found = {word: float(np.log1p(count)) for word, count in counts.items()}
    if words:
        found[f"^{words[0]}"] = found[f"${words[-1]}"] = 1.0
    for power in range(1, len(words).bit_length()):
        found[f"#{power}"] = 1.0
    return found
