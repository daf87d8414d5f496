"""Keyed hashes: SipHash-1-3 of words and of texts, and an unkeyed mixer.

Source: Aumasson and Bernstein 2012, INDOCRYPT. One compression round per word and three at the end, as in
CPython and Rust: enough that nobody without the key can choose or recognise hashes.
"""

import numpy as np

from stillwatch.compiled_code.library import kernels

M1 = np.uint64(0xBF58476D1CE4E5B9)  # splitmix64's finaliser, Steele, Lea and Flood 2014
M2 = np.uint64(0x94D049BB133111EB)


def mix(word: int | np.uint64) -> int:
    """Spread a word's bits over all 64 (splitmix64): a bijection, not keyed."""
    return int(kernels.mix(word))


def siphash_word(key0: int | np.uint64, key1: int | np.uint64, word: int | np.uint64) -> int:
    """Return SipHash-1-3 of one word's eight bytes, little-endian."""
    return int(kernels.siphash_word(key0, key1, word))


def hash_texts(
    data: np.ndarray, offsets: np.ndarray, key0: int | np.uint64, key1: int | np.uint64, out: np.ndarray
) -> None:
    """Write SipHash-1-3 of each text's bytes into out (texts,) uint64; only an empty text gives 0."""
    kernels.hash_texts(data, offsets, len(offsets) - 1, key0, key1, out)
