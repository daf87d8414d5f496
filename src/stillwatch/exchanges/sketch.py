"""Sketches: what is stored instead of a text. Keyed: without the key they cannot be matched with any text."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.text.classes import CLASSES
from stillwatch.text.kernel import CONTENT, PHRASES, count_tokens, sketch
from stillwatch.text.keyed import hash_texts
from stillwatch.text.passages import passages
from stillwatch.text.phrase_table import phrase_table

SYSTEM_PHRASES = 4  # a system text is usually shared as a whole, so few shingles suffice
PROBE = 256  # texts compared to see whether a column repeats itself
DEFAULT_KEY = b"stillwatch: no sketch leaves this process"


@dataclass(frozen=True)
class Sketches:
    """Sketches of one batch of texts, one row per text. 0 if a text is missing or too short."""

    exact: np.ndarray  # (n,) uint64, of the text with white space and case folded
    head: np.ndarray  # (n,) uint64, first six tokens, numbers and links masked
    tail: np.ndarray  # (n,) uint64, last six
    cell: np.ndarray  # (n,) uint16, SimHash of the words: similar texts fall into nearby cells
    classes: np.ndarray  # (n,) uint32, one bit per lexical class
    words: np.ndarray  # (n,) int32, tokens
    phrases: np.ndarray  # (n, k) uint32, the k smallest hashes of three-token phrases: a MinHash sketch
    # (n, j) uint32, the j smallest hashes of content words: 20 bits, and 12 of the context
    content: np.ndarray


class Sketcher:
    """Sketches columns of texts under one deployment's key."""

    def __init__(self, key: bytes = DEFAULT_KEY) -> None:
        if len(key) < 16:
            raise ValueError(f"a sketch key of {len(key)} bytes: give at least 16 bytes")
        digest = hashlib.blake2b(key, digest_size=16, person=b"stillwatch.key").digest()
        self._key0, self._key1 = (np.uint64(v) for v in np.frombuffer(digest, np.uint64))
        self._table, self._needs = phrase_table(CLASSES)
        self.public = key == DEFAULT_KEY  # then its sketches hide nothing and must not be stored
        # identifies the key without revealing it: sketches of two keys must never be mixed unnoticed
        self.fingerprint = hashlib.blake2b(key, digest_size=8, person=b"stillwatch.kid").hexdigest()

    def __call__(self, texts: pa.Array, phrases: int = PHRASES, content: int = CONTENT) -> Sketches:
        """Sketch an Arrow string array; nulls sketch like the empty text."""
        data, offsets = _utf8(texts)
        n = len(texts)
        out = Sketches(
            np.zeros(n, np.uint64),
            np.zeros(n, np.uint64),
            np.zeros(n, np.uint64),
            np.zeros(n, np.uint16),
            np.zeros(n, np.uint32),
            np.zeros(n, np.int32),
            np.zeros((n, phrases), np.uint32),
            np.zeros((n, content), np.uint32),
        )
        sketch(data, offsets, (self._key0, self._key1), self._table, self._needs, (*vars(out).values(),))
        return out

    def repeated(self, texts: pa.Array, phrases: int = PHRASES, content: int = CONTENT) -> Sketches:
        """Sketch like a call, but in a column that repeats itself, each distinct text only once."""
        texts = _one_chunk(texts)
        if not _repeats(texts):
            return self(texts, phrases, content)
        coded = pc.fill_null(texts, "").dictionary_encode()
        once = self(coded.dictionary, phrases, content)
        at = coded.indices.to_numpy()
        return Sketches(**{name: column[at] for name, column in vars(once).items()})

    def passages(self, texts: pa.Array, keep: int) -> np.ndarray:
        """Return (n, keep) uint32, each text's passages, 0 if it has fewer."""
        texts = _one_chunk(texts)
        if _repeats(texts):
            coded = pc.fill_null(texts, "").dictionary_encode()
            kept: np.ndarray = self.passages(coded.dictionary, keep)[coded.indices.to_numpy()]
            return kept
        data, offsets = _utf8(texts)
        out = np.zeros((len(texts), keep), np.uint32)
        passages(data, offsets, self._key0, self._key1, out)
        return out

    def words(self, texts: pa.Array) -> np.ndarray:
        """Return (n,) int32, the tokens of each text, counted as in a call."""
        data, offsets = _utf8(texts)
        out = np.zeros(len(texts), np.int32)
        count_tokens(data, offsets, out)
        return out

    def hashes(self, texts: pa.Array) -> np.ndarray:
        """Return (n,) uint64, a keyed hash of each text's bytes, unfolded; 0 for null and empty."""
        data, offsets = _utf8(texts)
        out = np.empty(len(texts), np.uint64)
        hash_texts(data, offsets, self._key0, self._key1, out)
        return out


def _one_chunk(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def _repeats(texts: pa.Array) -> bool:
    """Return whether less than half of a column's first texts are distinct, comparing lengths first."""
    if pa.types.is_null(texts.type):
        return False
    probe = texts.slice(0, PROBE)
    return all(2 * len(column.unique()) < len(probe) for column in (pc.binary_length(probe), probe))


def _utf8(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return an Arrow string array's bytes and int64 offsets, without copying the bytes."""
    texts = _one_chunk(texts)
    if pa.types.is_null(texts.type) or len(texts) == 0:
        return np.zeros(1, np.uint8), np.zeros(len(texts) + 1, np.int64)
    if texts.null_count:
        texts = pc.fill_null(texts, "")
    wide = pa.types.is_large_string(texts.type)
    _, offsets, data = texts.buffers()
    raw = np.frombuffer(offsets, np.int64 if wide else np.int32)
    raw = raw[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    return (np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)), raw
