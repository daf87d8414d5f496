"""One linear pass over a text: tokens, keyed hashes, a sample of its phrases. Native code through numba.

A text is UTF-8 bytes. Tokens are words (runs of letters, ASCII lowered), numbers (runs of digits), single
marks and single characters of scripts written without spaces. Numbers, links and very long words are masked
where a template is looked for. It does not know what a prompt is, nor where texts come from.
"""

# mypy: allow-untyped-defs
# (numba infers the types of what it compiles)

import numpy as np
from numba import njit

from stillwatch.text.keyed import M1, mix, rotate, siphash_word

PHRASES = 12  # phrases kept per text: the smallest hashes, so that equal phrases are kept together everywhere
EDGE = 6  # tokens of a head or a tail
LONG = 40  # bytes: a longer word is a blob (an id, base64), masked
ROOM = 4096  # tokens read closely; of a longer text its first and last half as many
CONTENT = 24  # words kept per text; 12 or 16 left a pool of seven accounts undecided (docs/lab.md)
SHORT = 4  # bytes: a shorter word is mostly grammar, and kept as no content word
CONTEXT_BITS = 12  # of a content word's 32 bits: the two tokens beside it

FNV = np.uint64(0x100000001B3)  # FNV-1a's prime
BASIS = np.uint64(0xCBF29CE484222325)
NUMBER, LINK, BLOB = np.uint64(0x6E756D), np.uint64(0x6C6E6B), np.uint64(0x626C62)  # "num", "lnk", "blb"

MARK, SPACE, DIGIT, LETTER, WIDE = range(5)
KIND = np.full(256, MARK, np.uint8)  # byte -> what it begins
KIND[[9, 10, 11, 12, 13, 32]] = SPACE
KIND[48:58] = DIGIT
KIND[65:91] = KIND[97:123] = LETTER
KIND[128:] = WIDE  # a byte of a character beyond ASCII, or no UTF-8 at all
LOWER = np.arange(256, dtype=np.uint64)
LOWER[65:91] += np.uint64(32)
LETTERS = np.where(KIND == LETTER, LOWER, np.uint64(0))  # byte -> the letter, lowered; 0 for what is none
# byte -> its eight bits, each in a byte lane of its own
LANES = np.array([sum((b >> k & 1) << 8 * k for k in range(8)) for b in range(256)], np.uint64)


@njit(cache=True, nogil=True)
def is_own_token(codepoint):
    """Whether a character is a token of its own: CJK, kana, hangul, Thai, Lao, Khmer, Myanmar, emoji."""
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
def codepoint_at(data, i, end):
    c = np.int64(data[i])
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
def tokens(data, begin, end, key, masked, plain, content):
    """Fill `masked` (numbers, links, blobs masked), `plain` (words as they are, all else 0) and `content`.

    `content` holds words of SHORT bytes to LONG, and pairs of neighbours where a script writes no spaces; all
    else is 0. Returns how many tokens the text has and a hash of all of them, nothing masked. At most
    len(masked) are written, the first half from the start of the text and the rest as a ring over its end.
    """
    room = len(masked)
    half = room // 2
    whole = key
    n = 0
    i = np.uint64(begin)  # unsigned: an index that may be negative is checked for it, at every byte
    last = np.uint64(end)
    one = np.uint64(1)
    at = 0
    glyph = np.uint64(0)  # the token before this one, where it was a single character of such a script
    while i < last:
        kind = KIND[data[i]]
        if kind == SPACE:
            i += one
            continue
        h = BASIS
        start = i
        before = glyph
        glyph = np.uint64(0)
        word = content_word = np.uint64(0)
        if kind == WIDE and not is_own_token(codepoint_at(data, np.int64(i), end)):
            kind = LETTER
        if kind == LETTER:
            while i < last:
                letter = LETTERS[data[i]]
                if letter:
                    h = (h ^ letter) * FNV
                    i += one
                elif KIND[data[i]] == WIDE and not is_own_token(codepoint_at(data, np.int64(i), end)):
                    h, after = take_character(data, np.int64(i), end, h)
                    i = np.uint64(after)
                else:
                    break
            m = h
            word = h
            length = np.int64(i - start)
            if length >= SHORT:
                content_word = h
            if length > LONG:
                m = BLOB
                content_word = np.uint64(0)
            elif 2 <= length <= 6 and i + np.uint64(2) < last and _colon_slashes(data, np.int64(i)):
                while i < last and data[i] > 32:
                    h = (h ^ np.uint64(data[i])) * FNV
                    i += one
                m = LINK
                word = content_word = np.uint64(0)  # a link is no word
        elif kind == DIGIT:
            while i < last and KIND[data[i]] == DIGIT:
                h = (h ^ np.uint64(data[i])) * FNV
                i += one
            m = NUMBER
        else:
            h, after = take_character(data, np.int64(i), end, h)
            i = np.uint64(after)
            m = h
            if kind == WIDE:
                glyph = h
                if before:
                    content_word = mix(before) ^ h
        masked[at] = m
        plain[at] = word
        content[at] = content_word
        whole = (whole ^ h) * M1
        whole ^= whole >> np.uint64(29)
        n += 1
        at += 1
        if at == room:
            at = half
    return n, whole


@njit(cache=True, nogil=True)
def take_character(data, i, end, h):
    """Hash one character: a byte and the continuation bytes after it, which only follow a wide one."""
    wide = data[i] >= 128
    h = (h ^ np.uint64(data[i])) * FNV
    i += 1
    while wide and i < end and data[i] & 0xC0 == 0x80:
        h = (h ^ np.uint64(data[i])) * FNV
        i += 1
    return h, i


@njit(cache=True, nogil=True)
def _colon_slashes(data, i):
    return data[i] == 58 and data[i + 1] == 47 and data[i + 2] == 47


@njit(cache=True, nogil=True)
def _unroll(n, values, spare):
    """Put a ring over a long text's end into the text's order."""
    half = len(values) // 2
    length = len(values) - half
    for k in range(length):
        spare[k] = values[half + k]
    for k in range(length):
        values[half + k] = spare[(n + k - half) % length]


@njit(cache=True, nogil=True)
def sketch(
    data, offsets, key0, key1, table, needs, exact, head, tail, cell, classes, words, phrases, content
):
    """Sketch every text of an Arrow string buffer into the given columns.

    data: (bytes,) uint8; offsets: (texts + 1,) int64; table: (slots, 2) uint64 from `phrase_table`;
    needs: (classes,) int64. Out, zeroed by the caller: exact, head, tail (texts,) uint64, 0 where the text is
    too short; cell uint16; classes uint32; words int32; phrases (texts, k) uint32, 0 where there are fewer;
    content (texts, j) uint32, as `_content` fills it, or with j = 0.
    """
    masked = np.empty(ROOM, np.uint64)
    plain = np.empty(ROOM, np.uint64)
    keyed = np.empty(ROOM, np.uint64)
    spare = np.empty(ROOM, np.uint64)
    meaning = np.empty(ROOM, np.uint64)
    best = np.empty(phrases.shape[1], np.uint64)
    kept = np.empty((2, content.shape[1]), np.uint64)
    hits = np.zeros(len(needs), np.int64)
    endings = _endings(table)
    half = ROOM // 2
    for t in range(len(offsets) - 1):
        n, whole = tokens(data, offsets[t], offsets[t + 1], key0, masked, plain, meaning)
        words[t] = n
        if n == 0:
            continue
        exact[t] = siphash_word(key0, key1, whole ^ np.uint64(n))
        seen = min(n, ROOM)
        if n > ROOM:
            _unroll(n, masked, spare)
            _unroll(n, plain, spare)
            _unroll(n, meaning, spare)
        if n >= EDGE:
            h = key1
            for k in range(EDGE):
                h = mix(h ^ masked[k])
            head[t] = siphash_word(key0, key1, h)
        if n >= 2 * EDGE:
            h = ~key1
            for k in range(seen - EDGE, seen):
                h = mix(h ^ masked[k])
            tail[t] = siphash_word(key0, key1, h)
        for k in range(seen):
            keyed[k] = mix(masked[k] ^ key0)
        if content.shape[1]:
            _content(meaning, keyed, seen, key0, key1, kept, content[t])
        count = _smallest(keyed, seen, half if n > ROOM else 0, spare, masked, best)
        for j in range(count):
            p = np.uint32(siphash_word(key0, key1, best[j]) >> np.uint64(32))
            phrases[t, j] = p if p != np.uint32(0) else np.uint32(1)
        gap = seen  # words before the skipped middle
        m = np.int64(0)  # a plain 0 would be a type of its own, and what takes it compiled twice
        for k in range(seen):  # words only, from here on
            if k == half and n > ROOM:
                gap = m
            w = plain[k]
            plain[m] = w
            keyed[m] = keyed[k]
            m += w != np.uint64(0)
        cell[t] = _cell(keyed, m)
        classes[t] = _classes(plain, m, gap, table, endings, needs, hits)


@njit(cache=True, nogil=True)
def _content(meaning, keyed, n, key0, key1, kept, out):
    """The distinct content words of smallest hash, each with the first context that it stands in, ascending.

    Equal words are kept together everywhere, as phrases are. Upper 20 bits the word, lower 12 its context, so
    that a word of a template is told from the same word in free text.
    """
    word, context = kept
    keep = len(out)
    count = 0
    for k in range(n):
        if meaning[k] == np.uint64(0):
            continue
        h = mix(meaning[k] ^ key0)
        if count == keep and h >= word[keep - 1]:
            continue
        j = count - 1
        while j >= 0 and word[j] > h:
            j -= 1
        if j >= 0 and word[j] == h:
            continue
        if count < keep:
            count += 1
        for q in range(count - 1, j + 1, -1):
            word[q] = word[q - 1]
            context[q] = context[q - 1]
        word[j + 1] = h
        before = keyed[k - 1] if k else np.uint64(1)
        after = keyed[k + 1] if k + 1 < n else np.uint64(2)
        context[j + 1] = mix(rotate(before, 21) ^ after)
    bits = np.uint64(CONTEXT_BITS)
    for q in range(count):
        upper = siphash_word(key0, key1, word[q]) >> np.uint64(32) >> bits
        v = np.uint32(upper << bits | context[q] >> (np.uint64(64) - bits))
        out[q] = v if v != np.uint32(0) else np.uint32(1)


@njit(cache=True, nogil=True)
def _smallest(keyed, n, gap, grams, few, best):
    """The smallest distinct phrase hashes, ascending, into best; returns how many. None spans the gap."""
    m = np.int64(0)
    for k in range(2, n):
        g = mix(keyed[k] ^ rotate(keyed[k - 1], 21) ^ rotate(keyed[k - 2], 42))
        grams[m] = g if g != np.uint64(0) else np.uint64(1)
        m += 1
    if gap:
        grams[gap - 2] = grams[gap - 1] = grams[gap - 3]
    keep = len(best)
    # hashes are uniform: enough of them lie below this, nearly always, and few must be sorted
    if m > 3 * keep:
        limit = np.uint64(5 * keep // 3) * (np.uint64(0xFFFFFFFFFFFFFFFF) // np.uint64(m))
        below = np.int64(0)
        for k in range(m):
            few[below] = grams[k]
            below += grams[k] <= limit
        if _insert(few, below, best) == keep:
            return keep
    return _insert(grams, m, best)


@njit(cache=True, nogil=True)
def _insert(grams, n, best):
    """The smallest distinct of n hashes, ascending, into best; returns how many."""
    keep = len(best)
    count = 0
    for k in range(n):
        g = grams[k]
        if count == keep and g >= best[keep - 1]:
            continue
        j = count - 1
        while j >= 0 and best[j] > g:
            j -= 1
        if j >= 0 and best[j] == g:
            continue
        if count < keep:
            count += 1
        for q in range(count - 1, j + 1, -1):
            best[q] = best[q - 1]
        best[j + 1] = g
    return count


@njit(cache=True, nogil=True)
def _cell(keyed, n):
    """SimHash of 16 bits: each word votes on every bit; the votes are counted in byte lanes."""
    votes = np.zeros(16, np.int64)
    for begin in range(0, n, 255):
        end = min(n, begin + 255)
        low = np.uint64(0)
        high = np.uint64(0)
        for k in range(begin, end):
            low += LANES[keyed[k] >> np.uint64(40) & np.uint64(0xFF)]
            high += LANES[keyed[k] >> np.uint64(48) & np.uint64(0xFF)]
        for b in range(8):
            votes[b] += 2 * np.int64(low >> np.uint64(8 * b) & np.uint64(0xFF)) - (end - begin)
            votes[8 + b] += 2 * np.int64(high >> np.uint64(8 * b) & np.uint64(0xFF)) - (end - begin)
    bits = 0
    for b in range(16):
        if votes[b] > 0:
            bits |= 1 << b
    return bits


@njit(cache=True, nogil=True)
def _endings(table):
    """Filters of 64 x 64 bits over how phrases end: last words, last two words, words that are a phrase."""
    endings = np.zeros((3, 64), np.uint64)
    for s in range(len(table)):
        if table[s, 0] != np.uint64(0):
            bits = table[s, 1]
            last, pair = bits >> np.uint64(16), bits >> np.uint64(28)
            endings[0, last >> np.uint64(6) & np.uint64(63)] |= np.uint64(1) << (last & np.uint64(63))
            if bits >> np.uint64(40):
                endings[2, last >> np.uint64(6) & np.uint64(63)] |= np.uint64(1) << (last & np.uint64(63))
            else:
                endings[1, pair >> np.uint64(6) & np.uint64(63)] |= np.uint64(1) << (pair & np.uint64(63))
    return endings


@njit(cache=True, nogil=True, inline="always")
def _in(filters, which, h):
    return filters[which, h >> np.uint64(6) & np.uint64(63)] >> (h & np.uint64(63)) & np.uint64(1)


@njit(cache=True, nogil=True)
def _classes(words, n, gap, table, endings, needs, hits):
    """Bits of the classes of which enough different phrases occur. No phrase spans the gap."""
    hits[:] = 0
    for k in range(n):
        last = mix(words[k])
        if not _in(endings, 0, last):
            continue
        first = max(k - 3, gap if k >= gap else 0)
        if _in(endings, 2, last):
            _look_up(last, table, hits)
        if first == k or not _in(endings, 1, mix(mix(words[k - 1]) ^ words[k])):
            continue
        for begin in range(first, k):  # phrases of two to four words that end here
            h = mix(words[begin])
            for q in range(begin + 1, k + 1):
                h = mix(h ^ words[q])
            _look_up(h, table, hits)
    mask = 0
    for c in range(len(needs)):
        found = hits[c]
        number = 0
        while found:
            found &= found - 1
            number += 1
        if number >= needs[c]:
            mask |= 1 << c
    return mask


@njit(cache=True, nogil=True)
def _look_up(h, table, hits):
    slots = np.uint64(len(table) - 1)
    s = h & slots
    while table[s, 0] != np.uint64(0):
        if table[s, 0] == h:
            bits = table[s, 1]
            number = np.int64(bits >> np.uint64(8) & np.uint64(0x3F))
            hits[bits & np.uint64(0xFF)] |= np.int64(1) << number
            break
        s = (s + np.uint64(1)) & slots
