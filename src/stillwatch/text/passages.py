"""Passages of a text: keyed hashes of runs of words, few and spread, the same wherever the run occurs.

Every eight consecutive words are hashed. A hash is kept if it is the smallest among its neighbours, and of
these the text's smallest. A part of a text therefore keeps what the whole text kept of that part, except at
its edges. Punctuation, case, white space and JSON escapes are ignored, so stripped Markdown, or an answer
inside a string, has the same words.

Null: two texts written independently share no run of eight words with four different ones among them.
Blind to: rewording, translation, and a change in every eighth word; runs of numbers alone.
Fooled by: quotations, licences, boilerplate: whatever both took from a third text.
Source: Schleimer, Wilkerson and Aiken 2003, SIGMOD (local selection of hashes); Broder 1997 (the least ones).
"""

import numpy as np

from stillwatch.compiled_code.library import kernels


def passages(
    data: np.ndarray, offsets: np.ndarray, key0: int | np.uint64, key1: int | np.uint64, out: np.ndarray
) -> None:
    """Keep the smallest passages of every text of an Arrow string buffer, in order of selection hash.

    data: (bytes,) uint8; offsets: (texts + 1,) int64; out: (texts, k) uint32, zeroed by the caller, 0 if
    there are fewer.
    """
    kernels.passages(data, offsets, len(offsets) - 1, key0, key1, out, out.shape[1])
