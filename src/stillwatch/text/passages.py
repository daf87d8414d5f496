"""Passages of a text: keyed hashes of runs of words, few and spread, the same wherever the run stands.

Of every eight words in a row a hash is made. One is kept where it is the least of its neighbours, and of
these the text's least. A part of a text therefore keeps what the whole kept of that part, but for its edges.
Marks, case and white space count for nothing, nor do the escapes of JSON: Markdown that was stripped or an
answer inside a string is the same words. It does not know whose text it is, nor what it is compared with.

Null: two texts that were written apart share no run of eight words with four different ones among them.
Blind to: rewording, translation, and a change in every eighth word; runs of numbers alone.
Fooled by: quotations, licences, boilerplate: whatever both took from a third text.
Source: Schleimer, Wilkerson and Aiken 2003, SIGMOD (local selection of hashes); Broder 1997 (the least ones).
"""

# mypy: allow-untyped-defs
# (numba infers the types of what it compiles)

import numpy as np
from numba import njit

from stillwatch.text.kernel import (
    BASIS,
    DIGIT,
    FNV,
    KIND,
    LETTER,
    LOWER,
    WIDE,
    codepoint_at,
    is_own_token,
    take_character,
)
from stillwatch.text.keyed import mix, siphash_word

RUN = 8  # words of a passage
REACH = 8  # passages on either side among which a kept one is the least: two kept ones are 9 words apart
DIFFERENT = 4  # words of letters in a passage, at least, that are not the same
HELD = 31  # a mask: words and runs at hand, at least RUN + 2 * REACH of them
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # of the rolling hash: odd, 2^64 / golden ratio
BACKSLASH = 92
ESCAPED = (110, 114, 116, 34, 92, 47)  # n r t " \ /: what may follow a backslash in JSON


@njit(cache=True, nogil=True)
def _last_power():
    power = np.uint64(1)
    for _ in range(RUN):
        power *= FACTOR
    return power


@njit(cache=True, nogil=True)
def _word(data, i, end):
    """The hash of the word at i, where it ends, and whether it is of letters; 0 for a mark."""
    kind = KIND[data[i]]
    if kind == WIDE and is_own_token(codepoint_at(data, i, end)):
        h, i = take_character(data, i, end, BASIS)
        return h, i, True
    if kind not in (LETTER, DIGIT, WIDE):
        if data[i] == BACKSLASH and i + 1 < end and data[i + 1] in ESCAPED:
            i += 1
        return np.uint64(0), i + 1, False
    h = BASIS
    letters = False
    while i < end:
        inside = KIND[data[i]]
        if inside in (LETTER, DIGIT):
            h = (h ^ LOWER[data[i]]) * FNV
            letters |= inside == LETTER
            i += 1
        elif inside == WIDE and not is_own_token(codepoint_at(data, i, end)):
            h, i = take_character(data, i, end, h)
            letters = True
        else:
            break
    return h, i, letters


@njit(cache=True, nogil=True)
def _plain(words, letters, first):
    """Whether a run has fewer different words of letters than a passage needs."""
    seen = 0
    for k in range(first, first + RUN):
        if not letters[k & HELD]:
            continue
        again = False
        for q in range(first, k):
            again |= words[q & HELD] == words[k & HELD]
        seen += not again
    return seen < DIFFERENT


@njit(cache=True, nogil=True)
def passages(data, offsets, key0, key1, out):
    """Keep of every text of an Arrow string buffer its least passages, ascending by what they are chosen by.

    data: (bytes,) uint8; offsets: (texts + 1,) int64; out: (texts, k) uint32, zeroed by the caller, 0 where
    there are fewer.
    """
    power = _last_power()
    words = np.zeros(HELD + 1, np.uint64)
    letters = np.zeros(HELD + 1, np.bool_)
    runs = np.zeros(HELD + 1, np.uint64)  # the last runs' hashes, by their first word
    best = np.zeros(out.shape[1], np.uint64)
    for t in range(len(offsets) - 1):
        i, end = offsets[t], offsets[t + 1]
        rolled = np.uint64(0)
        n = count = 0
        while i < end:
            h, i, of_letters = _word(data, i, end)
            if h == np.uint64(0):
                continue
            rolled = rolled * FACTOR + h
            if n >= RUN:
                rolled -= words[(n - RUN) & HELD] * power
            words[n & HELD] = h
            letters[n & HELD] = of_letters
            n += 1
            made = n - RUN + 1
            if made >= 1:
                runs[(made - 1) & HELD] = mix(rolled ^ key0)
            if made > REACH:
                count = _keep(runs, words, letters, made, made - 1 - REACH, best, count)
        made = n - RUN + 1
        for middle in range(max(0, made - REACH), made):
            count = _keep(runs, words, letters, made, middle, best, count)
        for k in range(count):
            p = np.uint32(siphash_word(key0, key1, best[k]) >> np.uint64(32))
            out[t, k] = p if p != np.uint32(0) else np.uint32(1)


@njit(cache=True, nogil=True)
def _keep(runs, words, letters, made, middle, best, count):
    """Take a run among the least ones if it is the least of its neighbours; how many are kept then."""
    g = runs[middle & HELD]
    if count == len(best) and g >= best[count - 1]:
        return count
    for k in range(max(0, middle - REACH), min(made, middle + REACH + 1)):
        if k != middle and runs[k & HELD] <= g:
            return count
    j = count - 1
    while j >= 0 and best[j] > g:
        j -= 1
    if (j >= 0 and best[j] == g) or _plain(words, letters, middle):
        return count
    count = min(count + 1, len(best))
    for q in range(count - 1, j + 1, -1):
        best[q] = best[q - 1]
    best[j + 1] = g
    return count
