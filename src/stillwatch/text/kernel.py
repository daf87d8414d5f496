"""One linear pass over a text: tokens, keyed hashes, a sample of its phrases. Native code through numba.

A text is UTF-8 bytes. Tokens are runs of letters (ASCII lowered), single punctuation marks, single characters
of scripts written without spaces, and masks for numbers, links and very long words. It does not know what a
prompt is, nor where texts come from.
"""

import numpy as np
from numba import njit

PHRASES = 12  # phrases kept per text: the smallest hashes, so that equal phrases are kept together everywhere
GRAM = 3  # tokens per phrase
EDGE = 6  # tokens of a head or a tail
LONG = 40  # bytes: a longer word is a blob (an id, base64), masked

M1 = np.uint64(0xBF58476D1CE4E5B9)  # splitmix64's finaliser, Steele, Lea and Flood 2014
M2 = np.uint64(0x94D049BB133111EB)
FNV = np.uint64(0x100000001B3)  # FNV-1a's prime
BASIS = np.uint64(0xCBF29CE484222325)
NUMBER, LINK, BLOB = np.uint64(0x6E756D), np.uint64(0x6C6E6B), np.uint64(0x626C62)


# byte -> its eight bits, each in a byte lane of its own
SPREAD = np.array([sum((b >> k & 1) << 8 * k for k in range(8)) for b in range(256)], np.uint64)


@njit(cache=True, nogil=True)
def _flush(votes, low, high, voters):
    for k in range(8):
        votes[k] += 2 * np.int64(low >> np.uint64(8 * k) & np.uint64(0xFF)) - voters
        votes[8 + k] += 2 * np.int64(high >> np.uint64(8 * k) & np.uint64(0xFF)) - voters


@njit(cache=True, nogil=True, inline="always")
def mix(x):
    x ^= x >> np.uint64(30)
    x *= M1
    x ^= x >> np.uint64(27)
    x *= M2
    return x ^ (x >> np.uint64(31))


@njit(cache=True, nogil=True)
def _rotl(x, b):
    return (x << np.uint64(b)) | (x >> np.uint64(64 - b))


@njit(cache=True, nogil=True)
def siphash_word(key0, key1, word):
    """SipHash-1-3 of one 64-bit word (Aumasson and Bernstein 2012): what leaves the kernel is keyed by it."""
    v0 = key0 ^ np.uint64(0x736F6D6570736575)
    v1 = key1 ^ np.uint64(0x646F72616E646F6D)
    v2 = key0 ^ np.uint64(0x6C7967656E657261)
    v3 = key1 ^ np.uint64(0x7465646279746573)
    for block in range(2):
        m = word if block == 0 else np.uint64(8) << np.uint64(56)
        v3 ^= m
        v0 += v1
        v1 = _rotl(v1, 13) ^ v0
        v0 = _rotl(v0, 32)
        v2 += v3
        v3 = _rotl(v3, 16) ^ v2
        v0 += v3
        v3 = _rotl(v3, 21) ^ v0
        v2 += v1
        v1 = _rotl(v1, 17) ^ v2
        v2 = _rotl(v2, 32)
        v0 ^= m
    v2 ^= np.uint64(0xFF)
    for _ in range(3):
        v0 += v1
        v1 = _rotl(v1, 13) ^ v0
        v0 = _rotl(v0, 32)
        v2 += v3
        v3 = _rotl(v3, 16) ^ v2
        v0 += v3
        v3 = _rotl(v3, 21) ^ v0
        v2 += v1
        v1 = _rotl(v1, 17) ^ v2
        v2 = _rotl(v2, 32)
    return v0 ^ v1 ^ v2 ^ v3


@njit(cache=True, nogil=True)
def _alone(codepoint):
    """Whether a character stands as a token of its own: CJK, kana, hangul, Thai, Lao, Khmer, Myanmar, emoji."""
    return (
        0x0E00 <= codepoint <= 0x0EFF
        or 0x1000 <= codepoint <= 0x109F
        or 0x1780 <= codepoint <= 0x17FF
        or 0x2000 <= codepoint <= 0x2BFF
        or 0x2E80 <= codepoint <= 0x9FFF
        or 0xAC00 <= codepoint <= 0xD7AF
        or 0xF900 <= codepoint <= 0xFAFF
        or 0xFF00 <= codepoint <= 0xFFEF
        or codepoint >= 0x1F000
    )


@njit(cache=True, nogil=True)
def tokens(data, begin, end, raw, masked, plain):
    """Fill `raw` (numbers kept), `masked` (numbers, links, blobs masked) and `plain` (unkeyed, words only).

    Returns how many tokens were found; at most len(raw) are written, the first half from the start of the
    text and the rest as a ring over its end, so that head and tail are both exact for any length.
    """
    cap = len(raw)
    half = cap // 2
    n = 0
    i = begin
    while i < end:
        c = data[i]
        if c == 32 or (9 <= c <= 13):
            i += 1
            continue
        h = BASIS
        start = i
        kind = 0  # 0 word, 1 number, 2 single mark
        if 48 <= c <= 57:
            kind = 1
            while i < end and 48 <= data[i] <= 57:
                h = (h ^ np.uint64(data[i])) * FNV
                i += 1
        elif (97 <= c <= 122) or (65 <= c <= 90):
            while i < end:
                c = data[i]
                if 65 <= c <= 90:
                    c += 32
                elif not (97 <= c <= 122):
                    if c < 128 or _alone(_codepoint(data, i, end)):
                        break
                h = (h ^ np.uint64(c)) * FNV
                i += 1
                if c >= 128:
                    while i < end and data[i] & 0xC0 == 0x80:
                        h = (h ^ np.uint64(data[i])) * FNV
                        i += 1
        elif c < 128:
            kind = 2
            h = (h ^ np.uint64(c)) * FNV
            i += 1
        else:
            alone = _alone(_codepoint(data, i, end))
            kind = 2 if alone else 0
            first = True
            while i < end and (
                first or (not alone and data[i] >= 128 and not _alone(_codepoint(data, i, end)))
            ):
                first = False
                h = (h ^ np.uint64(data[i])) * FNV
                i += 1
                while i < end and data[i] & 0xC0 == 0x80:
                    h = (h ^ np.uint64(data[i])) * FNV
                    i += 1
            if not alone:  # a word may go on in ASCII letters
                while i < end and (97 <= data[i] <= 122 or 65 <= data[i] <= 90):
                    h = (h ^ np.uint64(data[i] | 32)) * FNV
                    i += 1
        m = h
        if kind == 1:
            m = NUMBER
        elif kind == 0:
            if i - start > LONG:
                m = BLOB
            elif (
                i + 2 < end
                and data[i] == 58
                and data[i + 1] == 47
                and data[i + 2] == 47
                and 2 <= i - start <= 6
            ):
                while i < end and data[i] > 32:
                    h = (h ^ np.uint64(data[i])) * FNV
                    i += 1
                m = LINK
        at = n if n < half else half + (n - half) % (cap - half)
        raw[at] = h
        masked[at] = m
        plain[at] = h if kind == 0 else np.uint64(0)
        n += 1
    return n


@njit(cache=True, nogil=True, inline="always")
def _codepoint(data, i, end):
    c = np.int64(data[i])
    if c < 0x80:
        return c
    if c < 0xE0 and i + 1 < end:
        return (c & 0x1F) << 6 | np.int64(data[i + 1] & 0x3F)
    if c < 0xF0 and i + 2 < end:
        return (c & 0x0F) << 12 | np.int64(data[i + 1] & 0x3F) << 6 | np.int64(data[i + 2] & 0x3F)
    if i + 3 < end:
        return (
            (c & 0x07) << 18
            | np.int64(data[i + 1] & 0x3F) << 12
            | np.int64(data[i + 2] & 0x3F) << 6
            | np.int64(data[i + 3] & 0x3F)
        )
    return np.int64(0xFFFD)


@njit(cache=True, nogil=True)
def _place(n, k, cap):
    half = cap // 2
    return k if k < half else half + (k - half) % (cap - half)


@njit(cache=True, nogil=True)
def sketch(data, offsets, key0, key1, table, needs, exact, head, tail, cell, classes, words, phrases):
    """Sketch every text of an Arrow string buffer into the given columns.

    data: (bytes,) uint8; offsets: (texts + 1,) int64; table: (slots, 2) uint64 from `phrase_table`;
    needs: (classes,) int64. Out: exact, head, tail (texts,) uint64, 0 where the text is too short; cell uint16;
    classes uint32; words int32; phrases (texts, k) uint32, 0 where there are fewer.
    """
    cap = 4096
    raw = np.empty(cap, np.uint64)
    masked = np.empty(cap, np.uint64)
    plain = np.empty(cap, np.uint64)
    keep = phrases.shape[1]
    best = np.empty(keep, np.uint64)
    low = np.uint64(0)  # the topic cell's 16 votes, as two words of eight byte lanes
    high = np.uint64(0)
    votes = np.empty(16, np.int64)
    lasts = np.zeros(64, np.uint64)  # a filter over the last words of phrases
    for s in range(len(table)):
        if table[s, 0] != np.uint64(0):
            lasts[table[s, 1] >> np.uint64(22) & np.uint64(63)] |= np.uint64(1) << (
                table[s, 1] >> np.uint64(16) & np.uint64(63)
            )
    hits = np.zeros(len(needs), np.int64)
    half = cap // 2
    slots = np.uint64(len(table) - 1)
    for t in range(len(offsets) - 1):
        n = tokens(data, offsets[t], offsets[t + 1], raw, masked, plain)
        words[t] = n
        if n == 0:
            continue
        seen = min(n, cap)  # of a longer text the middle is skipped: its head and tail are read
        whole = key0 ^ np.uint64(n)
        for k in range(seen):
            whole = (whole ^ raw[k]) * M1
            whole ^= whole >> np.uint64(29)
        exact[t] = siphash_word(key0, key1, whole)
        if n >= EDGE:
            h = key1
            for k in range(EDGE):
                h = mix(h ^ masked[k])
            head[t] = siphash_word(key0, key1, h)
        if n >= 2 * EDGE:
            h = ~key1
            for k in range(n - EDGE, n):
                h = mix(h ^ masked[_place(n, k, cap)])
            tail[t] = siphash_word(key0, key1, h)
        count = 0
        votes[:] = 0
        low = np.uint64(0)
        high = np.uint64(0)
        voters = 0
        hits[:] = 0
        prev1 = np.uint64(0)
        prev2 = np.uint64(0)
        word1 = np.uint64(0)
        word2 = np.uint64(0)
        word3 = np.uint64(0)
        for k in range(seen):
            m = mix(masked[k] ^ key0)
            if k >= 2 and not (n > cap and half <= k < half + 2):
                g = mix(m ^ _rotl(prev1, 21) ^ _rotl(prev2, 42))
                if g == np.uint64(0):
                    g = np.uint64(1)
                if count < keep or g < best[count - 1]:
                    j = count - 1
                    while j >= 0 and best[j] > g:
                        j -= 1
                    if j < 0 or best[j] != g:
                        top = count if count < keep else keep - 1
                        for q in range(top, j + 1, -1):
                            best[q] = best[q - 1]
                        best[j + 1] = g
                        if count < keep:
                            count += 1
            prev2 = prev1
            prev1 = m
            w = plain[k]
            if w != np.uint64(0):
                low += SPREAD[m >> np.uint64(40) & np.uint64(0xFF)]
                high += SPREAD[m >> np.uint64(48) & np.uint64(0xFF)]
                voters += 1
                if voters == 255:
                    _flush(votes, low, high, voters)
                    low = np.uint64(0)
                    high = np.uint64(0)
                    voters = 0
                h = mix(w)
                if lasts[h >> np.uint64(6) & np.uint64(63)] >> (h & np.uint64(63)) & np.uint64(1):
                    for size in range(4):
                        if size == 1:
                            if word1 == 0:
                                break
                            h = mix(mix(word1) ^ w)
                        elif size == 2:
                            if word2 == 0:
                                break
                            h = mix(mix(mix(word2) ^ word1) ^ w)
                        elif size == 3:
                            if word3 == 0:
                                break
                            h = mix(mix(mix(mix(word3) ^ word2) ^ word1) ^ w)
                        s = h & slots
                        while table[s, 0] != np.uint64(0):
                            if table[s, 0] == h:
                                bits = table[s, 1]
                                hits[bits & np.uint64(0xFF)] |= np.int64(1) << np.int64(
                                    bits >> np.uint64(8) & np.uint64(0x3F)
                                )
                                break
                            s = (s + np.uint64(1)) & slots
                word3 = word2
                word2 = word1
                word1 = w
        _flush(votes, low, high, voters)
        bits16 = 0
        for b in range(16):
            if votes[b] > 0:
                bits16 |= 1 << b
        cell[t] = bits16
        mask = 0
        for c in range(len(needs)):
            found = hits[c]
            number = 0
            while found:
                found &= found - 1
                number += 1
            if number >= needs[c]:
                mask |= 1 << c
        classes[t] = mask
        for j in range(count):
            p = np.uint32(siphash_word(key0, key1, best[j]) >> np.uint64(32))
            phrases[t, j] = p if p != np.uint32(0) else np.uint32(1)
