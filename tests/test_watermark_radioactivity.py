"""Watermarks searched for in a suspect's answers: actors named, innocents left alone, bad input refused."""

import hashlib
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from stillwatch.cases.audit.signing import new_signer
from stillwatch.cli.main import app
from stillwatch.prove import Outcome, Row, bundle, checker, evidence_json, exact, outcome
from stillwatch.prove import protocol as protocols
from stillwatch.prove.radioactivity import RadioactivityError, RadioactivitySettings, TokenSelection
from stillwatch.prove.radioactivity.judge import RadioactivityResult, judge
from stillwatch.prove.radioactivity.plan import protocol, reveal
from stillwatch.prove.radioactivity.statistic import Each, Weighed, tokens_needed
from stillwatch.prove.radioactivity.texts import read_prompts, read_texts, tokenizer, tokens_of
from stillwatch.watermark import Mark
from stillwatch.watermark.choosing import choose_token
from stillwatch.watermark.keys import Owner
from stillwatch.watermark.reading import pairs_in, weighted_pairs


def key_of(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(4, "little")).digest()


OWNER = Owner(bytes(range(32)))
MARKS = [OWNER.mark(f"actor-{k}") for k in range(6)]
WORDS = 400


def answers(mark: Mark | None, share: float, seed: int, texts: int = 40, length: int = 30) -> list[list[int]]:
    """Text of a student that learned a mark at a share of its places, in a language of 400 words."""
    draw, p = random.Random(seed), np.full(WORDS, 1 / WORDS)
    found = []
    for _ in range(texts):
        text: list[int] = [draw.randrange(WORDS), draw.randrange(WORDS)]
        while len(text) < length:
            token = None
            if mark is not None and draw.random() < share:
                token = choose_token(mark, p, text, draw.random)
            text.append(draw.randrange(WORDS) if token is None else token)
        found.append(text)
    return found


def judged(texts: list[list[int]], **other: Any) -> RadioactivityResult:
    return judge("acme-7b", texts, MARKS, RadioactivitySettings(effect=0.3), **other)


def row(one: RadioactivityResult, actor: str) -> Row:
    return next(row for row in one.evidence.rows if row.name == actor)


@pytest.mark.slow
def test_the_actor_is_named_and_nobody_else() -> None:
    one = judged(answers(MARKS[2], 0.2, 1))
    assert [row.name for row in one.evidence.found()] == ["actor-2"]
    assert outcome((one.evidence,)) is Outcome.OWNER_WORD  # no third party dates a mark's key
    assert row(one, "actor-2").effect > 0.2
    assert one.evidence.rows[0].name == "actor-2"


def rotated(mark: Mark, share: float, texts: int = 30) -> list[list[int]]:
    """As `answers`, each answer under one of the mark's keys."""
    draw = random.Random(3)
    one_each = [answers(mark.of_answer(draw.random), share, k, 1) for k in range(texts)]
    return [text for one in one_each for text in one]


@pytest.mark.slow
def test_an_actor_of_several_keys_is_named_and_nobody_else() -> None:
    owner = Owner(OWNER.key, keys=3)
    marks = [owner.mark(f"actor-{k}") for k in range(6)]
    settings = RadioactivitySettings(effect=0.3, keys=3)
    one = judge("acme-7b", rotated(marks[2], 0.3), marks, settings)
    assert [row.name for row in one.evidence.found()] == ["actor-2"]
    held = row(one, "actor-2")
    assert held.counts is not None
    assert held.counts.n == 3 * held.n
    of_one_key = row(judged(rotated(MARKS[2], 0.3)), "actor-2").effect
    assert held.effect == pytest.approx(of_one_key, rel=0.2)  # each place carries one key
    assert Each([((k,), 1) for k in range(900)]).smallest_effect(1e-5, 6, 3) == pytest.approx(
        Each([((k,), 1) for k in range(300)]).smallest_effect(1e-5, 6)
    )
    with pytest.raises(RadioactivityError, match="number of keys"):
        judge("acme-7b", answers(None, 0, 1), marks, RadioactivitySettings())


@pytest.mark.slow
def test_several_keys_make_no_innocent_guilty() -> None:
    keys = [[key_of(9 * k + j) for j in range(3)] for k in range(300)]
    each = Each(sorted(pairs_in(answers(None, 0, 7, 10), 2)))
    p = [each.p_value(*three) for three in keys]
    assert stats.kstest(p, "uniform").pvalue > 0.01


@pytest.mark.slow
def test_two_actors_in_one_student_are_both_named() -> None:
    mixed = answers(MARKS[0], 0.4, 1) + answers(MARKS[5], 0.4, 2)
    assert {row.name for row in judged(mixed).evidence.found()} == {"actor-0", "actor-5"}


@pytest.mark.slow
def test_innocents_have_uniform_p() -> None:
    p = [
        row.p_value
        for seed in range(4)
        for row in judge(
            "x", answers(None, 0, seed, 12), MARKS, RadioactivitySettings(), tell=lambda _: None
        ).evidence.rows
    ]
    assert stats.kstest(p, "uniform").pvalue > 0.01


@pytest.mark.slow
def test_not_shown_needs_power() -> None:
    few, many = judged(answers(None, 0, 1, 10)), judged(answers(None, 0, 1, 40))
    assert outcome((few.evidence,)) is Outcome.INDETERMINATE
    assert outcome((many.evidence,)) is Outcome.NOT_SHOWN


def test_the_planner_agrees_with_itself() -> None:
    n = tokens_needed(0.05, 1e-5, 20)
    assert Each([((k,), 1) for k in range(n)]).smallest_effect(1e-5, 20) <= 0.05
    assert Each([((k,), 1) for k in range(n - 50)]).smallest_effect(1e-5, 20) > 0.05


@pytest.mark.slow
def test_prompts_that_carry_marked_text_do_not_count() -> None:
    """A suspect that repeats its prompt's marked text has learned nothing."""
    prompts = answers(MARKS[1], 1.0, 3, texts=20)
    echoes = [text + answers(None, 0, i, 1)[0] for i, text in enumerate(prompts)]
    fooled = judged(echoes)
    assert row(fooled, "actor-1").p_value < 1e-20  # type: ignore[operator]
    honest = judged(echoes, prompts=prompts)
    assert row(honest, "actor-1").p_value > 1e-4  # type: ignore[operator]


@pytest.mark.slow
def test_a_relay_is_told_from_a_student() -> None:
    served = answers(MARKS[0], 1.0, 1, texts=20)

    def clear(texts: list[list[int]]) -> bool:
        found = judged(texts, served=served).evidence.confounds
        return next(c for c in found if c.what.startswith("a suspect that passes")).clear

    assert clear(answers(MARKS[0], 0.2, 2))
    assert not clear(answers(MARKS[0], 1.0, 2))
    assert not any(c.clear for c in judged(served).evidence.confounds if "passes" in c.what)


def few_ways(mark: Mark | None, share: float, seed: int, texts: int = 150) -> list[list[int]]:
    """A language of sixteen words, seen repeatedly: every pair occurs, marked or not."""
    draw, p = random.Random(seed), np.array([3.0, 2, 1, 1] * 4) / 28
    found = []
    for _ in range(texts):
        text = draw.choices(range(16), p, k=2)
        while len(text) < 40:
            token = None
            if mark is not None and draw.random() < share:
                token = choose_token(mark, p, text, draw.random)
            text.append(draw.choices(range(16), p)[0] if token is None else token)
        found.append(text)
    return found


@pytest.mark.slow
def test_where_all_pairs_turn_up_a_reference_shows_the_mark() -> None:
    marks = [Owner(OWNER.key, 2).mark(f"actor-{k}") for k in range(6)]
    texts, reference, teacher = few_ways(marks[3], 0.1, 1), few_ways(None, 0, 2), few_ways(None, 0, 3)
    plain = judge("x", texts, marks, RadioactivitySettings()).evidence
    assert not plain.found()
    settings = RadioactivitySettings(2, TokenSelection.MATCHED)
    one = judge("x", texts, marks, settings, reference=reference, teacher=teacher).evidence
    assert [row.name for row in one.found()] == ["actor-3"]
    assert one.rows[0].effect_low is not None
    assert one.rows[0].effect_high is not None
    assert one.rows[0].effect_low < 0.1 < one.rows[0].effect_high  # the marked share
    innocent = judge("x", few_ways(None, 0, 4), marks, settings, reference=reference, teacher=teacher)
    assert not innocent.evidence.found()
    with pytest.raises(RadioactivityError, match="only it takes them"):
        judge("x", texts, marks, RadioactivitySettings(), reference=reference)
    with pytest.raises(RadioactivityError, match="teacher's own"):
        judge("x", texts, marks, settings, reference=reference)
    with pytest.raises(RadioactivityError, match="more reference text"):
        judge("x", texts, marks, settings, reference=[[99, 98, 97]], teacher=teacher)


@pytest.mark.slow
def test_the_bound_is_never_too_small() -> None:
    """Over 200 keys at most alpha of them are below alpha; the checker computes the same bound."""
    texts = [few_ways(None, 0, k, 20) for k in range(3)]
    pairs = weighted_pairs(*(pairs_in(one, 1) for one in texts))
    statistic = Weighed(pairs)
    p = np.array([statistic.p_value(key_of(k)) for k in range(200)])
    for alpha in (0.3, 0.1, 0.03):
        assert np.mean(p <= alpha) <= alpha
    total, bound, slope = statistic.bound(key_of(int(p.argmin())))
    weights, exponents = [one.weight for one in pairs], [one.exponent for one in pairs]
    assert exact.matched_tail(total, weights, exponents, slope) == pytest.approx(bound, rel=1e-6)


@given(st.floats(-18, 18), st.floats(0.05, 99))
def test_the_series_beside_an_integral(x: float, exponent: float) -> None:
    from scipy.integrate import quad

    value, _ = quad(lambda u: math.exp(x * u**exponent), 0, 1, limit=500, epsabs=0, epsrel=1e-9)
    assert exact.log_powers_mean(x, exponent) == pytest.approx(math.log(value), abs=1e-7)


@pytest.mark.parametrize(
    ("marks", "texts", "why"),
    [
        ([], answers(None, 0, 1), "no actor"),
        ([MARKS[0], MARKS[0]], answers(None, 0, 1), "twice"),
        ([OWNER.mark("a"), Mark("b", OWNER.mark("a").key)], answers(None, 0, 1), "twice"),
        ([Mark("a", bytes(32), 3)], answers(None, 0, 1), "window"),
        (MARKS, [[1, 2, 3]] * 5000, "1 tokens can be scored"),
        (MARKS, [[], [1]], "0 tokens can be scored"),
    ],
)
def test_what_cannot_be_judged(marks: list[Mark], texts: list[list[int]], why: str) -> None:
    with pytest.raises(RadioactivityError, match=why):
        judge("x", texts, marks, RadioactivitySettings())


@pytest.mark.parametrize("wrong", [{"window": 0}, {"alpha": 1.0}, {"alpha": 0.0}, {"effect": 0.0}])
def test_settings_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(RadioactivityError):
        RadioactivitySettings(**wrong)


def written(path: Path, texts: list[list[int]]) -> Path:
    rows = [{"prompt": f"question {i}", "output": "x", "tokens": text} for i, text in enumerate(texts)]
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "no answers"),
        ("not json\n", ":1: is no JSON"),
        ("[1]\n", ":1: is no object"),
        ('{"prompt": "x"}\n', "has no `output`"),
        ('{"output": 7}\n', "are text"),
        ('{"output": ""}\n{"output": " "}\n', "every answer is empty"),
        ('{"output": "x", "tokens": [1, -1]}\n', "token numbers"),
        ('{"output": "x", "tokens": [true]}\n', "token numbers"),
    ],
)
def test_answers_that_cannot_be_read(tmp_path: Path, data: str, why: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(data)
    with pytest.raises(RadioactivityError, match=why) as said:
        read_texts([path])
    assert "a.jsonl" in str(said.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"no")
    (tmp_path / "x.jsonl").write_bytes(b"\xff\xfe")
    for name, why in (("x.parquet", "Parquet"), ("x.jsonl", "UTF-8"), ("none.jsonl", "cannot be read")):
        with pytest.raises(RadioactivityError, match=why):
            read_texts([tmp_path / name])
    (tmp_path / "p.txt").write_text("a\na\n")
    with pytest.raises(RadioactivityError, match="twice"):
        read_prompts(tmp_path / "p.txt")
    (tmp_path / "t.jsonl").write_text('{"output": "x"}\n')
    texts = read_texts([tmp_path / "t.jsonl"])
    with pytest.raises(RadioactivityError, match="--tokenizer"):
        tokens_of(texts, None)


def test_parquet_and_jsonl_are_the_same(tmp_path: Path) -> None:
    texts = answers(None, 0, 1, 5)
    a = read_texts([written(tmp_path / "a.jsonl", texts)])
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    b = read_texts([tmp_path / "a.parquet"])
    assert [(one.prompt, one.tokens) for one in a] == [(one.prompt, one.tokens) for one in b]


@pytest.mark.slow
def test_a_revealed_key_is_checked_by_the_bundle(tmp_path: Path) -> None:
    signer, settings = new_signer(), RadioactivitySettings(effect=0.3)
    signed = protocols.sign(
        protocol("acme-7b", MARKS, ["q"], settings, "clock", "2026-11-26T01:00:00Z"), signer
    )
    one = judge("acme-7b", answers(MARKS[2], 0.2, 1), MARKS, settings, protocol=signed)
    told = reveal(one, MARKS[2], tmp_path / "scored.json").read_bytes()
    made = bundle.write(bundle.make((one.evidence,), signer, signed, {"scored.json": told}), tmp_path / "b")
    found = checker.check(made.path, signer.key)
    assert found["contradictions"] == []
    assert found["outcome"] == "owner_word"
    assert not found["sound"]  # the other actors' counts are as claimed
    assert "actor-2, scores" in found["computed_again"]
    for wrong, why in (
        (told.replace(b'"pairs":[[', b'"pairs":[[[1,2],3],[', 1), "comes out"),
        (told.replace(MARKS[2].key.hex().encode(), MARKS[3].key.hex().encode()), "comes out"),
        (told.replace(MARKS[2].key.hex().encode(), bytes(32).hex().encode()), "committed"),
    ):
        with pytest.raises(bundle.ProveError, match=why):
            bundle.write(bundle.make((one.evidence,), signer, signed, {"s.json": wrong}), tmp_path / "c")


@pytest.mark.slow
@pytest.mark.parametrize("keys", [2, 3])
def test_all_keys_of_an_actor_are_revealed_and_checked(tmp_path: Path, keys: int) -> None:
    owner, settings = Owner(OWNER.key, keys=keys), RadioactivitySettings(effect=0.3, keys=keys)
    marks, signer = [owner.mark(f"actor-{k}") for k in range(2)], new_signer()
    fixed = protocol("acme-7b", marks, ["q"], settings, "clock", "2026-11-26T01:00:00Z")
    assert len(fixed.commitments) == 2 * keys
    signed = protocols.sign(fixed, signer)
    one = judge("acme-7b", rotated(marks[1], 0.4, 40), marks, settings, protocol=signed)
    told = reveal(one, marks[1], tmp_path / "scored.json").read_bytes()
    made = bundle.write(bundle.make((one.evidence,), signer, signed, {"scored.json": told}), tmp_path / "b")
    assert "actor-1, scores" in checker.check(made.path, signer.key)["computed_again"]
    for wrong in ({"more": []}, {"more": [marks[1].key.hex()] * (keys - 1)}):
        data = json.dumps(json.loads(told) | wrong).encode()
        with pytest.raises(bundle.ProveError, match=r"comes out|scored twice"):
            bundle.write(bundle.make((one.evidence,), signer, signed, {"s.json": data}), tmp_path / "c")


@pytest.mark.slow
@pytest.mark.parametrize("keys", [1, 2])
def test_a_revealed_key_with_weights_is_checked_too(tmp_path: Path, keys: int) -> None:
    signer, settings = new_signer(), RadioactivitySettings(2, TokenSelection.MATCHED, keys=keys)
    marks = [Owner(OWNER.key, keys=keys).mark(f"actor-{k}") for k in range(2)]
    signed = protocols.sign(protocol("x", marks, ["q"], settings, "", "2026-11-26T01:00:00Z"), signer)
    texts = few_ways(marks[0].of_answer(lambda: 0.0), 0.3, 1, 60)
    reference, teacher = few_ways(None, 0, 2, 60), few_ways(None, 0, 3, 60)
    one = judge("x", texts, marks, settings, reference=reference, teacher=teacher, protocol=signed)
    told = reveal(one, marks[0], tmp_path / "scored.json").read_bytes()
    made = bundle.write(bundle.make((one.evidence,), signer, signed, {"scored.json": told}), tmp_path / "b")
    assert "actor-0, scores" in checker.check(made.path, None)["computed_again"]
    wrong = json.loads(told)
    wrong["weights"][0] *= 3
    files = bundle.make((one.evidence,), signer, signed, {"scored.json": json.dumps(wrong).encode()})
    with pytest.raises(bundle.ProveError, match="comes out"):
        bundle.write(files, tmp_path / "c")


# --- the verbs ---


def run(*words: object) -> Any:
    return CliRunner().invoke(app, ["prove", *map(str, words)])


@pytest.mark.slow
@pytest.mark.parametrize("many", [(), ("--keys", 2)])
def test_from_key_to_verdict(tmp_path: Path, many: tuple[object, ...]) -> None:
    key, names = tmp_path / "mark.key", tmp_path / "actors.txt"
    names.write_text("actor-0\nactor-1\n\nactor-2\n")
    told = json.loads(run("mark-key", key, "--actors", names, *many, "--json").stdout)
    assert set(told["actors"]) == {"actor-0", "actor-1", "actor-2"}
    assert json.loads(run("mark-key", key, "--json").stdout)["owner"] == told["owner"]
    owner = Owner(bytes.fromhex(key.read_text().strip()), keys=2 if many else 1)
    texts = rotated(owner.mark("actor-1"), 0.4, 40)
    file = written(tmp_path / "a.jsonl", texts)
    (tmp_path / "p.txt").write_text("".join(f"question {i}\n" for i in range(len(texts))))
    about = ["--suspect", "acme-7b", "--mark-key", key, "--actors", names]
    fixed = tmp_path / "protocol.json"
    to = ["--out", fixed, "--signing-key", tmp_path / "s"]
    got = run("mark-protocol", tmp_path / "p.txt", *about, *many, *to)
    assert got.exit_code == 0, got.output
    got = run("mark", file, *about, "--protocol", fixed, "--out", tmp_path / "o", "--reveal", "actor-1")
    assert got.exit_code == 0, got.output
    assert "actor-1" in got.output
    evidence = evidence_json.read(tmp_path / "o" / "evidence.json")
    assert [row.name for row in evidence.found()] == ["actor-1"]
    assert (tmp_path / "o" / "index.html").exists()
    got = run(
        "verdict", tmp_path / "o" / "evidence.json", "--protocol", fixed, "--out", tmp_path / "v",
        "--bundle", tmp_path / "b.zip", "--signing-key", tmp_path / "s",
        "--attach", tmp_path / "o" / "scored-2.json",
    )  # fmt: skip
    assert got.exit_code == 0, got.output
    checked = json.loads(run("verify", tmp_path / "b.zip", "--json", "--key", tmp_path / "s.pub").stdout)
    assert checked["contradictions"] == []
    assert "actor-1, scores" in checked["computed_again"]
    assert checked["outcome"] == "owner_word"
    as_json = run("mark", file, *about, "--protocol", fixed, "--out", tmp_path / "o2", "--json")
    assert evidence_json.of_json(json.loads(as_json.stdout), "").rows == evidence.rows


@pytest.mark.slow
def test_the_protocol_binds(tmp_path: Path) -> None:
    key = tmp_path / "mark.key"
    run("mark-key", key)
    file = written(tmp_path / "a.jsonl", answers(None, 0, 1, 20))
    (tmp_path / "p.txt").write_text("".join(f"question {i}\n" for i in range(20)))
    base = ["--suspect", "acme-7b", "--mark-key", key, "--actor", "a", "--actor", "b"]
    fixed = tmp_path / "p.json"
    run("mark-protocol", tmp_path / "p.txt", *base, "--out", fixed, "--signing-key", tmp_path / "s")
    other = tmp_path / "other.key"
    run("mark-key", other)
    for words, why in (
        (["--suspect", "x", *base[2:]], "is about 'acme-7b'"),
        ([*base[:2], "--mark-key", other, *base[4:]], "committed to another key"),
        (base[:-2], "tests 2 actors"),
        ([*base, "--tokenizer", "clock"], "tokenizer"),
    ):
        got = run("mark", file, *words, "--protocol", fixed, "--out", tmp_path / "o")
        assert got.exit_code == 2, got.output
        assert why in got.output
    coin = protocols.Protocol(
        "coin", "acme-7b", "c", "s", "n", 0.01, ("a",), 1, "0" * 64, "2026-11-26T01:00:00Z"
    )
    protocols.write(protocols.sign(coin, new_signer()), tmp_path / "coin.json")
    got = run("mark", file, *base, "--protocol", tmp_path / "coin.json", "--out", tmp_path / "o")
    assert "of another test: coin" in got.output
    file.write_text(file.read_text().replace("question 3", "question 3 b"))
    got = run("mark", file, *base, "--protocol", fixed, "--out", tmp_path / "o")
    assert "other prompts" in got.output
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_refusals_of_the_verbs(tmp_path: Path) -> None:
    key = tmp_path / "mark.key"
    run("mark-key", key)
    file = written(tmp_path / "a.jsonl", answers(None, 0, 1, 20))
    for words, why in (
        ([file, "--suspect", "x", "--mark-key", key], "no actor was named"),
        ([file, "--suspect", "x", "--mark-key", tmp_path / "none", "--actor", "a"], "cannot be read"),
        ([file, "--suspect", "x", "--mark-key", key, "--actor", "a", "--actor", "a"], "named twice"),
        ([file, "--suspect", "x", "--mark-key", key, "--actor", "a", "--reveal", "z"], "none of the actors"),
        (
            [file, "--suspect", "x", "--mark-key", key, "--actor", "a", "--actors", tmp_path / "no"],
            "list of actors",
        ),
    ):
        got = run("mark", *words, "--out", tmp_path / "o")
        assert got.exit_code == 2, got.output
        assert why in got.output


@pytest.mark.train
def test_the_clocks_tokenizer() -> None:
    assert tokenizer("clock")("start 3 first minus 8") == [5, 25, 11, 18, 30]
    with pytest.raises(RadioactivityError, match="no tokenizer"):
        tokenizer("/no/such/place")


def test_a_suspect_is_asked_what_the_protocol_says(tmp_path: Path) -> None:
    """Recorded outputs replace the suspect: weights and endpoints are tested in the same way."""
    rows = [{"prompt": f"question {i}", "output": f"answer {i}"} for i in range(3)]
    (tmp_path / "rec.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    (tmp_path / "p.txt").write_text("question 2\nquestion 0\nquestion 9\n")
    out = tmp_path / "a.jsonl"
    got = run("mark-ask", tmp_path / "rec.jsonl", tmp_path / "p.txt", "--out", out)
    assert got.exit_code == 0, got.output
    assert "2 answers" in got.output
    assert "1 prompts without one" in got.output
    texts = read_texts([out])
    assert [(one.prompt, one.output) for one in texts] == [
        ("question 2", "answer 2"), ("question 0", "answer 0"), ("question 9", ""),
    ]  # fmt: skip
    run("mark-key", tmp_path / "k")
    base = ["--suspect", "x", "--mark-key", tmp_path / "k", "--actor", "a", "--out", tmp_path / "pr"]
    run("mark-protocol", tmp_path / "p.txt", *base, "--signing-key", tmp_path / "s")
    words = ["mark-ask", tmp_path / "rec.jsonl", tmp_path / "p.txt", "--protocol", tmp_path / "pr"]
    assert run(*words, "--out", tmp_path / "b.jsonl").exit_code == 0
    (tmp_path / "p.txt").write_text("question 1\n")
    assert "other prompts" in run(*words, "--out", tmp_path / "c.jsonl").output
    got = run("mark-ask", "https://api.example.com/v1", tmp_path / "p.txt", "--model", "m")
    assert got.exit_code == 2
    assert "consent" in got.output
