"""Finds answers that repeat an earlier one, exactly or nearly. The first of each stays.

Exact is a sketch of `exchanges.sketch` (case and white space folded). Near is the Jaccard similarity of word
triples in any script, numbers included. The sketches' own phrases mask numbers, which would make all sums the
same. MinHash finds candidates, and the triples themselves decide.

Null: two answers made independently share few word triples.
Blind to: the same content in other words.
Fooled by: long fixed wording around a short answer; shorten that wording, or raise the limit.
Source: Broder 1997; banding as in Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from stillwatch.distill.curate.words import words
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.text.keyed import M1, M2

TRIPLE = 3
HASHES, BAND = 64, 4  # 16 bands of 4: two texts of similarity 0.9 are missed once in 10^7, of 0.7 once in 80
MOST_IN_BAND = 64  # texts of one band that are compared with a new one: keeps the work linear
AT_ONCE = 8192  # triples hashed together: one endless answer takes no more memory than many short ones
SEED = 1998


def exact(texts: Sequence[str]) -> dict[int, int]:
    """Return the texts that repeat an earlier one: {index: index of the earlier one}."""
    if not texts:
        return {}
    sketches = Sketcher()(pa.array([_sound(text) for text in texts], pa.large_string()), phrases=1)
    first: dict[tuple[int, int], int] = {}
    found = {}
    for at, key in enumerate(zip(sketches.exact.tolist(), sketches.words.tolist(), strict=True)):
        if first.setdefault(key, at) != at:
            found[at] = first[key]
    return found


def near(texts: Sequence[str], least: float) -> dict[int, tuple[int, float]]:
    """Return the texts similar to an earlier one that stays: {index: (the earlier one's, similarity)}."""
    triples = [_triples(text) for text in texts]
    bands: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    found: dict[int, tuple[int, float]] = {}
    for at, signature in enumerate(_signatures(triples)):
        keys = [
            (band, signature[band * BAND : (band + 1) * BAND].tobytes()) for band in range(HASHES // BAND)
        ]
        met = sorted({other for key in keys for other in bands[key][-MOST_IN_BAND:]})
        best = max(((_jaccard(triples[at], triples[other]), -other) for other in met), default=(0.0, 0))
        if best[0] >= least:
            found[at] = (-best[1], best[0])
            continue
        for key in keys:
            bands[key].append(at)
    return found


def _triples(text: str) -> frozenset[str]:
    found = words(text)
    if len(found) < TRIPLE:
        return frozenset([" ".join(found)])
    return frozenset(" ".join(found[at : at + TRIPLE]) for at in range(len(found) - TRIPLE + 1))


def _signatures(triples: Sequence[frozenset[str]]) -> Iterator[np.ndarray]:
    """(HASHES,) uint64 for each set: the minimum of each of HASHES hashes over its members."""
    seeds = np.random.default_rng(SEED).integers(0, 1 << 63, HASHES, dtype=np.uint64)
    sketcher = Sketcher()
    for triple in triples:
        hashes = sketcher.hashes(pa.array([_sound(text) for text in sorted(triple)], pa.large_string()))
        least = np.full(HASHES, np.iinfo(np.uint64).max, np.uint64)
        for start in range(0, len(hashes), AT_ONCE):
            mixed = hashes[start : start + AT_ONCE, None] ^ seeds[None, :]
            mixed *= M1
            mixed ^= mixed >> np.uint64(29)
            mixed *= M2
            np.minimum(least, (mixed ^ (mixed >> np.uint64(32))).min(axis=0), out=least)
        yield least


def _jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)


def _sound(text: str) -> str:
    return text.encode(errors="replace").decode()
