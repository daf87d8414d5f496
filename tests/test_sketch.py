"""Sketches: keyed, coordinated, the same for any Arrow shape of the column, and without text."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.exchanges.sketch import PROBE, Sketcher

KEY, OTHER = b"a key of the deployment", b"a key of somebody else."
WORDS = st.lists(st.sampled_from([*"abcdefgh", "12", ","]), max_size=60)
TEXT = "Explain how a heat pump moves heat from a cold place to a warm one, in 3 steps, with an example"


def same(a, b):
    return all(np.array_equal(column, vars(b)[name]) for name, column in vars(a).items())


def test_the_same_key_gives_the_same_sketches_and_another_key_others():
    texts = pa.array([TEXT, TEXT.upper(), "short", None])
    one, again, other = Sketcher(KEY)(texts), Sketcher(KEY)(texts), Sketcher(OTHER)(texts)
    assert same(one, again)
    for name in ("exact", "head", "tail"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert not (set(mine.tolist()) & set(theirs.tolist()) - {0}), name
    assert not set(one.phrases.ravel().tolist()) & set(other.phrases.ravel().tolist()) - {0}
    assert one.words.tolist() == other.words.tolist()
    assert one.classes.tolist() == other.classes.tolist()
    hashes = [Sketcher(key).hashes(texts) for key in (KEY, OTHER)]
    assert not (hashes[0] == hashes[1])[:3].any()


def test_a_short_key_is_refused():
    with pytest.raises(ValueError, match="a sketch key of 5 bytes: give at least 16 bytes"):
        Sketcher(b"short")


def test_no_text_in_any_output():
    """Only numbers, which is visible without a key; and unkeyed guesses never give equal sketches."""
    secret = "xylophone quartz secret phrase number seven and some more words here"
    sketches = Sketcher(KEY)(pa.array([secret]))
    for name, column in vars(sketches).items():
        assert column.dtype.kind in "iu", name
        held = column.tobytes()
        assert not any(word.encode()[:4] in held for word in secret.split() if len(word) >= 4), name
    assert "xylo" not in repr(sketches)


@pytest.mark.parametrize(
    "texts",
    [
        pa.array([], pa.string()),
        pa.array([None, None], pa.string()),
        pa.nulls(3),
        pa.array(["", " ", "\n\t", None]),
        pa.array([""], pa.large_string()),
    ],
)
def test_empty_and_missing_texts(texts):
    for sketches in (Sketcher(KEY)(texts), Sketcher(KEY).repeated(texts)):
        assert all(len(column) == len(texts) and not column.any() for column in vars(sketches).values())


def test_missing_and_empty_texts_hash_to_nothing_and_case_counts():
    hashes = Sketcher(KEY).hashes(pa.array([None, "", "req_aB", "req_Ab", "req_aB", " "]))
    assert hashes[:2].tolist() == [0, 0]
    assert len(set(hashes[2:].tolist())) == 3
    assert hashes[2] == hashes[4]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=30), WORDS.map(" ".join)), max_size=12), st.data())
def test_arrow_shape_does_not_matter(texts, data):
    sketcher = Sketcher(KEY)
    cut = data.draw(st.integers(0, len(texts)))
    plain = sketcher(pa.array(texts, pa.string()))
    assert same(plain, sketcher(pa.array(texts, pa.large_string())))
    assert same(plain, sketcher(pa.chunked_array([texts[:cut], texts[cut:]], pa.string())))
    assert same(plain, sketcher(pa.array(["before", *texts, "after"], pa.string()).slice(1, len(texts))))
    assert same(plain, sketcher.repeated(pa.array(texts, pa.string())))
    assert np.array_equal(plain.words, sketcher.words(pa.array(texts, pa.string())))


@pytest.mark.parametrize("many", [3, PROBE, 3 * PROBE])
@pytest.mark.parametrize("distinct", [1, 7, PROBE, 3 * PROBE])
def test_repeated_texts_are_sketched_once_with_the_same_result(distinct, many):
    texts = pa.array([None if k % 11 == 0 else f"You are helper {k % distinct}" for k in range(many)])
    sketcher = Sketcher(KEY)
    assert same(sketcher(texts, 4), sketcher.repeated(texts, 4))
    assert np.array_equal(sketcher(texts).words, sketcher.words(texts))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(WORDS, WORDS, st.integers(1, 12))
def test_phrases_kept_are_coordinated(shared, more, keep):
    """The smallest are kept: the shorter text keeps all of its shingles that the longer text keeps."""
    sketcher = Sketcher(KEY)
    short, long = pa.array([" ".join(shared)]), pa.array([" ".join(shared + more)])
    every = sketcher(short, 200).phrases[0]
    kept = sketcher(short, keep).phrases[0]
    assert np.array_equal(every[:keep], kept)
    assert set(sketcher(long, keep).phrases[0].tolist()) & set(every.tolist()) - {0} <= set(kept.tolist())


def test_sketches_estimate_resemblance():
    """The share of common ones among the smallest kept, compared with the shingles' true Jaccard index."""
    rng = np.random.default_rng(1)
    vocabulary = [f"{a}{b}{c}" for a in "bcdfgklm" for b in "aeiou" for c in "nprst"]
    a = rng.choice(vocabulary, 400).tolist()
    b = a[:200] + rng.choice(vocabulary, 200).tolist()
    sketches = Sketcher(KEY)(pa.array([" ".join(a), " ".join(b)]), 128)
    grams = [set(zip(x, x[1:], x[2:], strict=False)) for x in (a, b)]
    truth = len(grams[0] & grams[1]) / len(grams[0] | grams[1])
    common = set(sketches.phrases[0].tolist()) & set(sketches.phrases[1].tolist())
    assert (
        abs(len(common) / 128 - 2 * truth / (1 + truth)) < 0.15
    )  # of 128 kept each, about this share is common


def test_near_texts_fall_into_near_cells():
    words = TEXT.split() * 4
    near = " ".join([*words[:-1], "instance"])
    far = "Write a poem about winter rain falling over quiet harbours while ships sleep " * 4
    cells = Sketcher(KEY)(pa.array([" ".join(words), near, far])).cell.tolist()
    assert (cells[0] ^ cells[1]).bit_count() < (cells[0] ^ cells[2]).bit_count()
    assert (cells[0] ^ cells[1]).bit_count() <= 3
