"""Lexical classes as one open-addressed hash table for the kernel."""

import numpy as np

from stillwatch.text.classes import LexicalClass
from stillwatch.text.kernel import BASIS, FNV
from stillwatch.text.keyed import mix


def word_hash(word: str) -> np.uint64:
    """Return FNV-1a of a lower-case ASCII word, as the kernel computes it."""
    w = BASIS
    with np.errstate(over="ignore"):
        for byte in word.encode():
            w = (w ^ np.uint64(byte)) * FNV
    return w


def phrase_hash(phrase: str) -> int:
    """Return the hash of one to four lower-case ASCII words, as the kernel computes it over a text."""
    first, *rest = phrase.split()
    h = mix(word_hash(first))
    for word in rest:
        h = mix(h ^ int(word_hash(word)))
    return h


def phrase_table(classes: tuple[LexicalClass, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Returns (table, needs): (slots, 2) uint64 and (classes,) int64.

    A slot holds the phrase's hash, and its class | number << 8 | 12 bits of its last word's hash << 16
    | 12 bits of its last two words' hash << 28 | one word only << 40.
    """
    total = sum(len(c.phrases) for c in classes)
    slots = 1 << max(4, int(np.ceil(np.log2(8 * total))))
    table = np.zeros((slots, 2), np.uint64)
    needs = np.zeros(max(c.bit for c in classes) + 1, np.int64)
    for c in classes:
        needs[c.bit] = c.needs
        for number, phrase in enumerate(c.phrases):
            h = phrase_hash(phrase)
            s = int(h) & (slots - 1)
            while table[s, 0]:
                s = (s + 1) & (slots - 1)
            words = phrase.split()
            last = int(phrase_hash(words[-1])) & 0xFFF
            pair = int(phrase_hash(" ".join(words[-2:]))) & 0xFFF
            alone = len(words) == 1
            table[s] = h, np.uint64(c.bit | min(number, 62) << 8 | last << 16 | pair << 28 | alone << 40)
    return table, needs
