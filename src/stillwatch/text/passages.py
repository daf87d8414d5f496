"""Passages of a text: keyed hashes of runs of words, few and spread, the same wherever the run stands.

Of every eight words in a row a hash is made. One is kept where it is the least of its neighbours, and of
these the text's least. A part of a text therefore keeps what the whole kept of that part, but for its edges.
Marks, case and white space count for nothing, nor do the escapes of JSON: Markdown that was stripped or an
answer inside a string is the same words.

Null: two texts that were written apart share no run of eight words with four different ones among them.
Blind to: rewording, translation, and a change in every eighth word; runs of numbers alone.
Fooled by: quotations, licences, boilerplate: whatever both took from a third text.
Source: Schleimer, Wilkerson and Aiken 2003, SIGMOD (local selection of hashes); Broder 1997 (the least ones).
"""

import numpy as np

from stillwatch.compiled_code.library import kernels


def passages(
    data: np.ndarray, offsets: np.ndarray, key0: int | np.uint64, key1: int | np.uint64, out: np.ndarray
) -> None:
    """Keep of every text of an Arrow string buffer its least passages, ascending by what they are chosen by.

    data: (bytes,) uint8; offsets: (texts + 1,) int64; out: (texts, k) uint32, zeroed by the caller, 0 where
    there are fewer.
    """
    kernels.passages(data, offsets, len(offsets) - 1, key0, key1, out, out.shape[1])
