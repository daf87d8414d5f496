"""Texts as vectors: hashed words and pairs of words. The vectors do not capture meaning: a paraphrase is far
away.

Detectors from papers compare embeddings of queries. The papers use a trained encoder; this uses signed
feature hashing, so that no model is needed.

Source: Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning".
"""

import numpy as np
import pyarrow as pa

from stillwatch.compiled_code.library import kernels

WIDTH = 128
LONGEST = 20_000  # bytes of a text that are read


def embed(texts: pa.Array | pa.ChunkedArray, width: int = WIDTH) -> np.ndarray:
    """(n, width) float32 of length 1; zero without a text.

    Words are runs of letters, ASCII lowered; runs of digits count as one word. Counts enter by their root.
    """
    column = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    column = column.cast(pa.large_string()).fill_null("")
    if len(column) == 0:
        return np.zeros((0, width), np.float32)
    _, offsets, data = column.buffers()
    begin = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    characters = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    out = np.zeros((len(column), width), np.float32)
    kernels.embed(characters, begin, len(out), width, LONGEST, out)
    return out
