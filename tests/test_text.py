"""The text kernel compared with a slow definition in plain Python; SipHash with CPython's own."""

import re
import struct
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growth import grows_with_the_text
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.text.classes import CLASSES
from stillwatch.text.kernel import CONTENT, CONTEXT_BITS, EDGE, LONG, PHRASES, ROOM, SHORT
from stillwatch.text.keyed import hash_texts, mix, siphash_word
from stillwatch.text.phrase_table import phrase_hash, phrase_table

SKETCHER = Sketcher()
KEY0, KEY1 = int(SKETCHER._key0), int(SKETCHER._key1)
ALL = (1 << 64) - 1


# ------------------------------------------------------------------ the definition, slowly
def names_of(mask):
    return tuple(one.name for one in CLASSES if mask >> one.bit & 1)


def slow_mix(x):
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & ALL
    x = (x ^ x >> 27) * 0x94D049BB133111EB & ALL
    return x ^ x >> 31


def slow_rotate(x, bits):
    return (x << bits | x >> 64 - bits) & ALL


def slow_siphash(key0, key1, data):
    v = [
        key0 ^ 0x736F6D6570736575,
        key1 ^ 0x646F72616E646F6D,
        key0 ^ 0x6C7967656E657261,
        key1 ^ 0x7465646279746573,
    ]

    def turn():
        v[0] = v[0] + v[1] & ALL
        v[2] = v[2] + v[3] & ALL
        v[1] = slow_rotate(v[1], 13) ^ v[0]
        v[3] = slow_rotate(v[3], 16) ^ v[2]
        v[0] = slow_rotate(v[0], 32)
        v[2] = v[2] + v[1] & ALL
        v[0] = v[0] + v[3] & ALL
        v[1] = slow_rotate(v[1], 17) ^ v[2]
        v[3] = slow_rotate(v[3], 21) ^ v[0]
        v[2] = slow_rotate(v[2], 32)

    padded = data + b"\0" * (7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        turn()
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(3):
        turn()
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def slow_word(key0, key1, word):
    return slow_siphash(key0, key1, word.to_bytes(8, "little"))


def fnv(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & ALL
    return h


ALONE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2000-\u2bff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
)
ALONE += "\U0001f000-\U0010ffff"
WORD = re.compile(f"(?:[a-zA-Z]|[^\x00-\x7f{ALONE}])+")
TOKEN = re.compile(f"(?P<space>[ \t-\r]+)|(?P<number>[0-9]+)|(?P<word>{WORD.pattern})|(?P<mark>.)", re.DOTALL)
ASCII_LOWER = str.maketrans({chr(c): chr(c + 32) for c in range(65, 91)})


def slow_tokens(text):
    """Return (hash, masked hash, word hash or 0, content hash or 0) of each token."""
    found, at, glyph = [], 0, 0
    while at < len(text):
        match = TOKEN.match(text, at)
        at = match.end()
        raw = match[0].translate(ASCII_LOWER).encode()
        if match["space"]:
            continue
        h = masked = fnv(raw)
        word = h if match["word"] else 0
        content = h if match["word"] and SHORT <= len(raw) <= LONG else 0
        before, glyph = glyph, h if match["mark"] and ord(match["mark"]) >= 128 else 0
        if before and glyph:
            content = slow_mix(before) ^ h
        if match["number"]:
            masked = 0x6E756D
        elif match["word"] and len(raw) > LONG:
            masked = 0x626C62
        elif match["word"] and 2 <= len(raw) <= 6 and text.startswith("://", at):
            rest = re.compile("[^\x00-\x20]*").match(text, at)
            at = rest.end()
            h, masked, word, content = fnv(raw + rest[0].encode()), 0x6C6E6B, 0, 0
        found.append((h, masked, word, content))
    return found


def slow_sketch(text, keep=PHRASES):
    found = slow_tokens(text)
    n = len(found)
    whole = KEY0
    for h, *_ in found:
        whole = (whole ^ h) * 0xBF58476D1CE4E5B9 & ALL
        whole ^= whole >> 29
    parts = [found] if n <= ROOM else [found[: ROOM // 2], found[n - ROOM // 2 :]]

    def edge(h, some):
        for _, masked, *_ in some:
            h = slow_mix(h ^ masked)
        return slow_word(KEY0, KEY1, h)

    phrases, votes, hits = set(), [0] * 16, set()
    for part in parts:
        keyed = [slow_mix(masked ^ KEY0) for _, masked, *_ in part]
        for a, b, c in zip(keyed, keyed[1:], keyed[2:], strict=False):
            phrases.add(slow_mix(c ^ slow_rotate(b, 21) ^ slow_rotate(a, 42)) or 1)
        for h, (_, _, word, _) in zip(keyed, part, strict=True):
            for bit in range(16):
                votes[bit] += (1 if h >> 40 + bit & 1 else -1) if word else 0
        words = [word for _, _, word, _ in part if word]
        for c in CLASSES:
            for phrase in c.phrases:
                wanted = [fnv(w.encode()) for w in phrase.split()]
                if any(words[k : k + len(wanted)] == wanted for k in range(len(words))):
                    hits.add((c, phrase))
    read = [token for part in parts for token in part]
    keyed = [slow_mix(masked ^ KEY0) for _, masked, *_ in read]
    content = {}
    for k, (*_, meaning) in enumerate(read):
        if meaning:
            beside = (keyed[k - 1] if k else 1, keyed[k + 1] if k + 1 < len(read) else 2)
            context = slow_mix(slow_rotate(beside[0], 21) ^ beside[1])
            content.setdefault(slow_mix(meaning ^ KEY0), context)
    kept = [
        slow_word(KEY0, KEY1, h) >> 32 >> CONTEXT_BITS << CONTEXT_BITS | content[h] >> 64 - CONTEXT_BITS or 1
        for h in sorted(content)[:CONTENT]
    ]
    smallest = [slow_word(KEY0, KEY1, g) >> 32 or 1 for g in sorted(phrases)[:keep]]
    return {
        "words": n,
        "exact": slow_word(KEY0, KEY1, whole ^ n) if n else 0,
        "head": edge(KEY1, found[:EDGE]) if n >= EDGE else 0,
        "tail": edge(~KEY1 & ALL, found[-EDGE:]) if n >= 2 * EDGE else 0,
        "cell": sum(1 << bit for bit in range(16) if votes[bit] > 0),
        "classes": sum(1 << c.bit for c in CLASSES if sum(h[0] is c for h in hits) >= c.needs),
        "phrases": smallest + [0] * (keep - len(smallest)),
        "content": kept + [0] * (CONTENT - len(kept)),
    }


def fast_sketch(text):
    return {name: column[0].tolist() for name, column in vars(SKETCHER(pa.array([text]))).items()}


# ------------------------------------------------------------------ texts
ASCII = ["Hello", "WORLD", "x", "3", "2024", "https://a.b/c?d=1", "ftp:", "://", "a" * 41, "b" * 40, "\x00"]
OTHER = [
    "日本語",
    "안녕",
    "สวัสดี",
    "e\u0301",
    "👩\u200d🚀",
    "Привет",
    "été",
    "http://é",
    "é" * 21,
    "\u00a0",
    "—",
]
ASKED = [
    "Chain of",
    "thought",
    "system PROMPT",
    "rubric",
    "rating",
    "rate the",
    "act as",
    "",
    " ",
    "\n\n",
    "'s",
]
PIECES = st.sampled_from([*ASCII, *OTHER, *ASKED])
TEXTS = st.one_of(
    st.text(max_size=80),
    st.lists(PIECES, max_size=60).map(" ".join),
    st.lists(PIECES, max_size=60).map("".join),
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_kernel_is_its_definition(text):
    assert fast_sketch(text) == slow_sketch(text)


@pytest.mark.parametrize("n", [ROOM - 1, ROOM, ROOM + 1, ROOM + 2, ROOM + 1000, 2 * ROOM + 7])
def test_long_texts_are_read_at_both_ends(n):
    text = " ".join(f"{chr(97 + k % 26)}{chr(97 + k // 26 % 26)}{'xyz'[k % 3]}" for k in range(n - 6))
    text = f"chain of {text} system prompt rubric rating"
    assert fast_sketch(text) == slow_sketch(text)


def test_no_phrase_spans_what_was_skipped():
    words = [f"q{chr(97 + k % 26)}{chr(97 + k // 26 % 26)}" for k in range(ROOM + 500)]
    words[ROOM // 2 - 1], words[len(words) - ROOM // 2] = "system", "prompt"
    assert names_of(fast_sketch(" ".join(words))["classes"]) == ()
    words[ROOM // 2 - 2 : ROOM // 2] = ["system", "prompt"]
    assert names_of(fast_sketch(" ".join(words))["classes"]) == ("hidden_prompt_extraction",)


def test_exact_sees_the_middle_of_a_long_text():
    words = ["word"] * (3 * ROOM)
    one = fast_sketch(" ".join(words))
    words[3 * ROOM // 2] = "other"
    other = fast_sketch(" ".join(words))
    assert one["exact"] != other["exact"]
    assert one["phrases"] == other["phrases"]


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6), st.data())
def test_any_bytes_are_sketched_and_neighbours_do_not_matter(texts, data):
    """The kernel may get invalid UTF-8: it must stay inside the text, for any bytes."""

    def sketches(some):
        ends = np.cumsum([0, *map(len, some)]).astype(np.int32)
        raw = pa.py_buffer(b"".join(some))
        return SKETCHER(pa.Array.from_buffers(pa.string(), len(some), [None, pa.py_buffer(ends), raw]))

    k = data.draw(st.integers(0, len(texts) - 1))
    together, alone = sketches(texts), sketches([texts[k]])
    for name, column in vars(together).items():
        assert np.array_equal(column[k], vars(alone)[name][0]), name


def test_case_and_white_space_do_not_matter_but_numbers_do():
    one, same = fast_sketch("Solve  THIS:\n 12 apples"), fast_sketch("solve this: 12 apples")
    assert one == same
    other = fast_sketch("solve this: 13 apples")
    assert other["exact"] != one["exact"]
    assert other["phrases"] == one["phrases"]


# ------------------------------------------------------------------ hashes
@pytest.mark.skipif(sys.hash_info.algorithm != "siphash13", reason="this CPython hashes otherwise")
def test_siphash_is_cpythons():
    """With its seed off, CPython hashes bytes by SipHash-1-3 under a key of zeros."""
    texts = [b"a", b"1234567", b"12345678", b"123456789", bytes(range(256)), b"x" * 1001]
    code = f"print(*[hash(t) for t in {texts!r}])"
    out = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=True
    )
    ours = np.empty(len(texts), np.uint64)
    ends = np.cumsum([0, *map(len, texts)])
    hash_texts(np.frombuffer(b"".join(texts), np.uint8), ends, np.uint64(0), np.uint64(0), ours)
    assert ours.view(np.int64).tolist() == [int(h) for h in out.stdout.split()]
    eight = np.uint64(int.from_bytes(texts[2], "little"))
    assert siphash_word(np.uint64(0), np.uint64(0), eight) == ours[2]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, ALL), st.integers(0, ALL), st.binary(min_size=1, max_size=40))
def test_siphash_is_the_published_one(key0, key1, text):
    out = np.empty(1, np.uint64)
    hash_texts(np.frombuffer(text, np.uint8), np.array([0, len(text)]), np.uint64(key0), np.uint64(key1), out)
    assert out[0] == slow_siphash(key0, key1, text)
    assert mix(np.uint64(key0)) == slow_mix(key0)


# ------------------------------------------------------------------ lexical classes
@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
@pytest.mark.parametrize("found", CLASSES, ids=lambda c: c.name)
def test_every_phrase_is_found_in_any_case(found, case):
    for k, phrase in enumerate(found.phrases):
        others = [p for q, p in enumerate(found.phrases) if q != k][: found.needs - 1]
        text = case(" , ".join(["Well", *others, phrase.replace(" ", " - "), "please"]))
        assert found.name in names_of(fast_sketch(text)["classes"]), phrase


def test_the_same_phrase_twice_is_one_phrase():
    assert names_of(fast_sketch("rubric rubric rubric rubric")["classes"]) == ()
    assert names_of(fast_sketch("rubric and rating")["classes"]) == ("rubric_grading",)


def test_words_inside_longer_words_are_not_found():
    assert fast_sketch("systems promptly boxedly rubricated")["classes"] == 0


def test_phrase_table_holds_every_phrase_once():
    table, needs = phrase_table(CLASSES)
    held = set(table[table[:, 0] != 0, 0].tolist())
    assert held == {int(phrase_hash(p)) for c in CLASSES for p in c.phrases}
    assert needs.tolist() == [c.needs for c in CLASSES]
    assert all(1 <= len(p.split()) <= 4 and p == p.lower() for c in CLASSES for p in c.phrases)
    assert all(len(c.phrases) <= 62 for c in CLASSES)  # the limit of a slot


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["chain of chain of the ", "a ", "日本", "https://a/b ", "9 ", "x"])
def test_time_grows_with_the_text_and_no_faster(unit):
    """Up to 10 MB and two million tokens."""
    assert grows_with_the_text(
        lambda text: SKETCHER(pa.array([text])), unit, 10_000_000 // len(unit.encode())
    )
