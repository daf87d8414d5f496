"""Texts as vectors: hashed words and pairs of words. It knows no meaning: a paraphrase lies far off.

The detectors from papers compare embeddings of queries. Where the papers took a trained encoder, this takes
signed feature hashing, so that no model has to be there; what they do with the vectors is theirs.

Source: Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning".
"""

# mypy: allow-untyped-defs

import numpy as np
import pyarrow as pa
from numba import njit

WIDTH = 128
LONGEST = 20_000  # bytes of a text that are read
FNV, BASIS = np.uint64(0x100000001B3), np.uint64(0xCBF29CE484222325)  # FNV-1a
PAIR = np.uint64(0x9E3779B97F4A7C15)


def embed(texts: pa.Array | pa.ChunkedArray, width: int = WIDTH) -> np.ndarray:
    """(n, width) float32 of length 1; nought where there is no text.

    Words are runs of letters, ASCII lowered; runs of digits count as one word. Counts enter by their root.
    """
    whole = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    whole = whole.cast(pa.large_string()).fill_null("")
    if len(whole) == 0:
        return np.zeros((0, width), np.float32)
    _, offsets, data = whole.buffers()
    begin = np.frombuffer(offsets, np.int64)[whole.offset : whole.offset + len(whole) + 1]
    held = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    out = np.zeros((len(whole), width), np.float32)
    _fill(held, begin, out)
    return out


@njit(cache=True, nogil=True)
def _fill(data, begin, out):
    width = np.uint64(out.shape[1])
    for i in range(len(out)):
        before = np.uint64(0)
        k = begin[i]
        end = min(begin[i + 1], k + LONGEST)
        while k < end:
            kind = _kind(data[k])
            if kind == 0:
                k += 1
                continue
            word = BASIS
            while k < end and _kind(data[k]) == kind:
                if kind == 1:
                    c = np.uint64(data[k])
                    word = (word ^ (c + np.uint64(32) if 65 <= c <= 90 else c)) * FNV
                k += 1
            _add(out[i], word, width)
            if before != np.uint64(0):
                _add(out[i], (before * PAIR) ^ word, width)
            before = word
        total = np.float32(0)
        for j in range(out.shape[1]):
            out[i, j] = np.sqrt(out[i, j]) if out[i, j] >= 0 else -np.sqrt(-out[i, j])
            total += out[i, j] * out[i, j]
        if total > 0:
            out[i] /= np.sqrt(total)


@njit(cache=True, nogil=True, inline="always")
def _kind(c):
    """0 none, 1 a letter or beyond ASCII, 2 a digit."""
    if 48 <= c <= 57:
        return 2
    return 1 if 65 <= c <= 90 or 97 <= c <= 122 or c >= 128 else 0


@njit(cache=True, nogil=True, inline="always")
def _add(row, h, width):
    h = (h ^ (h >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    h = h ^ (h >> np.uint64(32))
    row[h % width] += np.float32(1) if (h >> np.uint64(40)) & np.uint64(1) else np.float32(-1)
