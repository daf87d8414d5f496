"""Keyed hashes: SipHash-1-3 of words and of texts, and an unkeyed mixer. It does not know what is hashed.

Source: Aumasson and Bernstein 2012, INDOCRYPT. One compression round a word and three at the end, as in
CPython and Rust: enough to keep who does not hold the key from choosing or recognising hashes.
"""

# mypy: allow-untyped-defs
# (numba infers the types of what it compiles)

import numpy as np
from numba import njit

M1 = np.uint64(0xBF58476D1CE4E5B9)  # splitmix64's finaliser, Steele, Lea and Flood 2014
M2 = np.uint64(0x94D049BB133111EB)


@njit(cache=True, nogil=True)
def mix(x):
    """Spread a word's bits over all 64 (splitmix64): a bijection, not keyed."""
    x ^= x >> np.uint64(30)
    x *= M1
    x ^= x >> np.uint64(27)
    x *= M2
    return x ^ (x >> np.uint64(31))


@njit(cache=True, nogil=True, inline="always")
def rotate(x, bits):
    return (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))


@njit(cache=True, nogil=True)
def _start(key0, key1):
    return (
        key0 ^ np.uint64(0x736F6D6570736575),
        key1 ^ np.uint64(0x646F72616E646F6D),
        key0 ^ np.uint64(0x6C7967656E657261),
        key1 ^ np.uint64(0x7465646279746573),
    )


@njit(cache=True, nogil=True)
def _round(v0, v1, v2, v3):
    v0 += v1
    v1 = rotate(v1, 13) ^ v0
    v0 = rotate(v0, 32)
    v2 += v3
    v3 = rotate(v3, 16) ^ v2
    v0 += v3
    v3 = rotate(v3, 21) ^ v0
    v2 += v1
    v1 = rotate(v1, 17) ^ v2
    v2 = rotate(v2, 32)
    return v0, v1, v2, v3


@njit(cache=True, nogil=True)
def _absorb(v0, v1, v2, v3, word):
    v0, v1, v2, v3 = _round(v0, v1, v2, v3 ^ word)
    return v0 ^ word, v1, v2, v3


@njit(cache=True, nogil=True)
def _finish(v0, v1, v2, v3):
    v2 ^= np.uint64(0xFF)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


@njit(cache=True, nogil=True)
def siphash_word(key0, key1, word):
    """SipHash-1-3 of one word's eight bytes, little end first."""
    v0, v1, v2, v3 = _start(key0, key1)
    v0, v1, v2, v3 = _absorb(v0, v1, v2, v3, word)
    v0, v1, v2, v3 = _absorb(v0, v1, v2, v3, np.uint64(8) << np.uint64(56))
    return _finish(v0, v1, v2, v3)


@njit(cache=True, nogil=True)
def hash_texts(data, offsets, key0, key1, out):
    """SipHash-1-3 of each text's bytes into out (texts,) uint64; an empty text gives 0, no other does."""
    for t in range(len(offsets) - 1):
        begin, end = offsets[t], offsets[t + 1]
        if begin == end:
            out[t] = 0
            continue
        v0, v1, v2, v3 = _start(key0, key1)
        i = begin
        while i + 8 <= end:
            word = np.uint64(0)
            for k in range(8):
                word |= np.uint64(data[i + k]) << np.uint64(8 * k)
            v0, v1, v2, v3 = _absorb(v0, v1, v2, v3, word)
            i += 8
        word = np.uint64(end - begin) << np.uint64(56)
        for k in range(end - i):
            word |= np.uint64(data[i + k]) << np.uint64(8 * k)
        v0, v1, v2, v3 = _absorb(v0, v1, v2, v3, word)
        h = _finish(v0, v1, v2, v3)
        out[t] = h if h != np.uint64(0) else np.uint64(1)
