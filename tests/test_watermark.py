"""Watermarks: the formula by hand, uniform p-values without a mark, separate keys. Uses no model."""

import hashlib
import hmac
import math
import random
import stat
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stillwatch.prove.exact import gamma_tail
from stillwatch.watermark import Mark, MarkError
from stillwatch.watermark.choosing import choose_token, numbers_of
from stillwatch.watermark.formula import BLOCK, actor_key, commitment, score
from stillwatch.watermark.keys import make_owner_key, mark_of, read_owner_key
from stillwatch.watermark.reading import Pair, pairs_in, scored_pairs, scores, weighted_pairs

OWNER = bytes(range(32))
TEXTS = sorted((Path(__file__).parent.parent / "docs").glob("*.md"))


def key_of(number: int) -> bytes:
    return hashlib.sha256(struct.pack("<I", number)).digest()


def real_tokens() -> list[list[int]]:
    """Our own pages as tokens: words and signs, with every repeated heading, table and phrase."""
    seen: dict[str, int] = {}
    texts = []
    for path in TEXTS[:12]:
        words = path.read_text("utf-8").split()[:1500]
        texts.append([seen.setdefault(word, len(seen)) for word in words])
    return texts


def test_one_formula_for_generator_and_detector() -> None:
    mark, tokens = mark_of(OWNER, "a"), np.arange(3 * BLOCK + 7)
    u = numbers_of(mark, (5, 9), tokens)
    assert [-math.log1p(-x) for x in u[[0, 255, 256, 700]]] == [
        score(mark.key, (5, 9), t) for t in (0, 255, 256, 700)
    ]
    by_hand = hashlib.shake_128(mark.key + struct.pack("<4I", 2, 5, 9, 1)).digest(4 * BLOCK)[:4]
    assert u[256] == int.from_bytes(by_hand, "little") / 2**32


@pytest.mark.slow
@given(st.lists(st.integers(0, 60_000), min_size=1, unique=True), st.integers(0, 5))
def test_some_tokens_numbers_are_those_of_all(tokens: list[int], actor: int) -> None:
    mark, some = mark_of(OWNER, str(actor)), np.array(sorted(tokens))
    whole = numbers_of(mark, (1, 2), np.arange(60_001))
    assert (numbers_of(mark, (1, 2), some) == whole[some]).all()


@pytest.mark.slow
def test_over_keys_it_is_sampling() -> None:
    p = np.array([0.5, 0.3, 0.0, 0.15, 0.05])
    got = Counter(choose_token(Mark("a", key_of(k)), p, [7, 8], lambda: 0.0) for k in range(8000))
    assert 2 not in got
    seen = [got[t] for t in (0, 1, 3, 4)]
    assert stats.chisquare(seen, [4000, 2400, 1200, 400]).pvalue > 1e-3


def test_where_chance_decides() -> None:
    mark, p = mark_of(OWNER, "a"), np.array([0.5, 0.5])
    assert choose_token(mark, p, [1], lambda: 0.0) is None  # the window reaches before the answer
    assert choose_token(mark, p, [1, 2, 3, 1, 2], lambda: 0.0) is None  # a repeated context
    assert choose_token(mark, np.array([0.0, 1.0]), [1, 2], lambda: 0.0) is None  # no choice
    half = mark_of(OWNER, "a", strength=0.5)
    assert choose_token(half, p, [1, 2], lambda: 0.5) is None
    assert choose_token(half, p, [1, 2], lambda: 0.49) == choose_token(mark, p, [1, 2], lambda: 0.9)


def test_marked_text_is_found_under_its_key_alone() -> None:
    mark, draw = mark_of(OWNER, "a"), random.Random(1)
    p = np.full(50, 0.02)
    texts = []
    for _ in range(20):
        text = [draw.randrange(50), draw.randrange(50)]
        while len(text) < 60:
            token = choose_token(mark, p, text, draw.random)
            text.append(draw.randrange(50) if token is None else token)
        texts.append(text)
    pairs = scored_pairs(pairs_in(texts, mark.window))
    assert gamma_tail(sum(scores(mark.key, pairs)), len(pairs)) < 1e-100
    other = [gamma_tail(sum(scores(mark_of(OWNER, str(k)).key, pairs)), len(pairs)) for k in range(20)]
    assert min(other) > 1e-3


@pytest.mark.slow
def test_p_is_uniform_over_keys_on_real_text_with_repeats() -> None:
    """200 keys here; a thousand in the slow test. Counting each pair as often as it occurs would fail."""
    _uniform(200, 2000)


@pytest.mark.slow
def test_p_is_uniform_over_a_thousand_keys() -> None:
    _uniform(1000, 6000)


def _uniform(keys: int, most: int) -> None:
    counted = pairs_in(real_tokens(), 1)
    pairs = scored_pairs(counted)[:most]
    p = [gamma_tail(sum(scores(key_of(k), pairs)), len(pairs)) for k in range(keys)]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) < 0.05) < 0.05 + 4 * math.sqrt(0.05 * 0.95 / keys)


@pytest.mark.slow
def test_counting_repeats_is_what_breaks() -> None:
    """The naive test on the same text, with each occurrence scored. It accuses far too often, unlike ours."""
    counted = Counter(dict(pairs_in(real_tokens(), 1).most_common(400)))
    naive = []
    for k in range(100):
        total = sum(n * score(key_of(k), c, t) for (c, t), n in counted.items())
        naive.append(gamma_tail(total, sum(counted.values())))
    assert np.mean(np.array(naive) < 0.05) > 0.15


def test_weights_by_hand() -> None:
    suspect: Counter[Pair] = Counter({((1,), 2): 6, ((1,), 3): 4, ((4,), 5): 1, ((9,), 9): 1})
    reference: Counter[Pair] = Counter({((1,), 2): 9, ((1,), 3): 1, ((9,), 9): 7})
    teacher: Counter[Pair] = Counter({((1,), 2): 8, ((1,), 3): 2})
    first, second = weighted_pairs(suspect, reference, teacher)  # (9,) is as often, (4,) has no reference
    p = (2 + 5 * 0.2) / (10 + 5)
    assert (first.pair, second.pair) == (((1,), 2), ((1,), 3))
    assert second.size == pytest.approx(10 * 10 / 20 / p)
    assert second.weight == pytest.approx(second.size * (0.4 - 0.1))
    assert second.exponent == pytest.approx((1 - p) / p)
    assert first.weight < 0


def test_what_a_prompt_brings_is_left_out_of_its_own_answer() -> None:
    texts, asked = [[7, 1, 2, 3], [7, 1, 2, 3]], [[1, 2, 9], [4]]
    assert pairs_in(texts, 2, asked) == Counter({((7, 1), 2): 2, ((1, 2), 3): 1})
    assert pairs_in(texts, 1, asked) == Counter({((7,), 1): 2, ((1,), 2): 1, ((2,), 3): 1})
    with pytest.raises(MarkError, match="1 prompts for 2 texts"):
        pairs_in(texts, 2, asked[:1])
    with pytest.raises(MarkError, match="once"):
        scores(OWNER, [((1,), 2), ((1,), 2)])


def test_order_of_texts_changes_nothing() -> None:
    texts = real_tokens()
    assert scored_pairs(pairs_in(texts, 2)) == scored_pairs(pairs_in(texts[::-1], 2))


def test_keys_of_actors_and_of_purposes_are_apart() -> None:
    keys = {actor_key(OWNER, a, purpose) for a in ("a", "b", "a\nb") for purpose in ("evidence", "public")}
    assert len(keys) == 6
    with pytest.raises(ValueError, match="purpose"):
        actor_key(OWNER, "a", "other")


def test_further_keys_of_an_actor_are_apart_and_the_first_is_what_it_was() -> None:
    one, many = mark_of(OWNER, "a"), mark_of(OWNER, "a", keys=4)
    assert (many.key, one.more, len({*many.keys, mark_of(OWNER, "a\n1").key})) == (one.key, (), 5)
    assert one.key.hex() == hmac.new(OWNER, b"stillwatch.mark.1\nevidence\na", "sha256").hexdigest()
    drawn = [many.of_answer(random.Random(k).random) for k in range(40)]
    assert {mark.key for mark in drawn} == set(many.keys)
    assert (
        one.of_answer(lambda: 1 / 0) == one
    )  # nothing is drawn with one key: a seeded answer stays the same
    with pytest.raises(MarkError, match="of_answer"):
        choose_token(many, np.array([0.5, 0.5]), [1, 2], lambda: 0.0)
    for keys in (0, 17):
        with pytest.raises(MarkError, match="keys"):
            mark_of(OWNER, "a", keys=keys)
    with pytest.raises(MarkError, match="differ"):
        Mark("a", OWNER, more=(OWNER,))


def test_the_owner_key_is_kept_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mark.key"
    told = make_owner_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert told == commitment(read_owner_key(path))
    with pytest.raises(MarkError, match="stays"):
        make_owner_key(path)
    path.write_text("zz")
    with pytest.raises(MarkError, match="64 hex"):
        read_owner_key(path)
    with pytest.raises(MarkError, match="cannot be read"):
        read_owner_key(tmp_path / "none")


@pytest.mark.parametrize(
    "wrong", [{"key": b"short"}, {"window": 0}, {"window": 9}, {"strength": 0.0}, {"strength": 1.1}]
)
def test_what_is_no_mark(wrong: dict[str, object]) -> None:
    with pytest.raises(MarkError):
        Mark(**({"actor": "a", "key": OWNER} | wrong))  # type: ignore[arg-type]
