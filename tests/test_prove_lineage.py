"""Ranks among audited models: compared with brute force, on generated worlds, and on malformed input."""

import contextlib
import json
import math
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from distill_teacher import Reply, teaching
from lineage_world import (
    PROMPTS,
    STRANGERS,
    STUDENTS,
    TEACHERS,
    WORLD,
    Made,
    lineage_toml,
    pool_of,
    write_pool,
)
from stillwatch.cli.main import app
from stillwatch.prove import Evidence, Grade, Outcome, ProveError, Row, evidence_json, outcome
from stillwatch.prove.leads.claims import claims
from stillwatch.prove.leads.evidence import claims_lead, rare_lead
from stillwatch.prove.lineage import Lineage, LineageError, Role
from stillwatch.prove.lineage.checkup import area, checkup
from stillwatch.prove.lineage.evidence import trace
from stillwatch.prove.lineage.lines import base_in, family_of, line_of
from stillwatch.prove.lineage.margins import centre_families, choose_field, margins
from stillwatch.prove.lineage.ranks import rank_among
from stillwatch.prove.lineage.reading import month, read_lineage
from stillwatch.prove.lineage.suspicions import doubtful, nearer_pupils
from stillwatch.prove.pool import Pool, PoolError
from stillwatch.prove.pool.checks import fit, is_refusal
from stillwatch.prove.pool.likeness import likeness, prompt_likeness, tokens
from stillwatch.prove.pool.reading import read_pool

SHARED = Path(__file__).parents[2] / "shared" / "provenance"


@pytest.fixture(scope="module")
def world() -> Pool:
    return pool_of(WORLD)


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    path = tmp_path_factory.mktemp("lineage") / "lineage.toml"
    path.write_text(lineage_toml())
    return read_lineage([path])


def slow_likeness(answers: list[list[str]]) -> np.ndarray:
    """The same by sets and dictionaries."""
    sets = [{tuple(a[i : i + k]) for k in (1, 2, 3) for i in range(len(a) - k + 1)} for a in answers]
    found = {gram for one in sets for gram in one}
    weight = {gram: math.log(len(answers) / sum(gram in one for one in sets)) for gram in found}
    norm = [math.sqrt(sum(weight[g] ** 1.5 for g in one)) for one in sets]
    return np.array(
        [
            [sum(weight[g] ** 1.5 for g in a & b) / (norm[i] * norm[j] or 1.0) for j, b in enumerate(sets)]
            for i, a in enumerate(sets)
        ]
    )


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=9), min_size=2, max_size=5))
def test_likeness_is_what_sets_give(answers: list[list[str]]) -> None:
    assert np.allclose(prompt_likeness(answers), slow_likeness(answers))


def test_likeness_leaves_out_prompts_that_one_did_not_answer() -> None:
    pool = Pool(
        ("p", "q"), {"a": {"p": ("x y",), "q": ("u",)}, "b": {"p": ("x y",)}, "c": {"p": ("z",)}}, {}, {}
    )
    alike = likeness(pool, "a")
    assert alike.mean[0, 1] == pytest.approx(1.0)
    assert alike.shared[0, 1] == 1
    assert np.isnan(alike.by_prompt[1, 1])


def test_only_the_beginning_of_an_answer_counts() -> None:
    assert len(tokens("word " * 5000)) == 100


@pytest.mark.parametrize("kins", [9, 19, 40])
def test_a_rank_is_uniform_or_larger_under_its_null(kins: int) -> None:
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 4, kins)
    kin = [str(k) for k, size in enumerate(sizes) for _ in range(size)]
    rows = np.ones(len(kin), bool)
    p = []
    for _ in range(1500):
        level = rng.normal(size=kins)  # models of one family resemble each other
        null = np.repeat(level, sizes) + 0.3 * rng.normal(size=len(kin))
        p.append(rank_among(rng.normal() + 0.3 * rng.normal(), null, kin, rows).p_value)
    for alpha in (0.05, 0.1, 0.25, 0.5):
        assert np.mean(np.array(p) <= alpha) <= alpha + 3 * math.sqrt(alpha / 1500)
    assert min(p) >= 1 / (kins + 1)


def test_many_kin_are_one_witness() -> None:
    null, rows = np.array([9.0] * 50 + [0.0]), np.ones(51, bool)
    assert rank_among(5.0, null, ["big"] * 50 + ["small"], rows).p_value == pytest.approx(2 / 3)
    assert rank_among(5.0, null, [str(i) for i in range(51)], rows).p_value == pytest.approx(51 / 52)


def test_margins_leave_out_who_may_not_stand() -> None:
    alike = np.array([[0.4, 0.2, 0.1]])
    assert margins(alike, np.array([[True, True, False]]))[0][:2] == pytest.approx(
        [math.log(2), -math.log(2)]
    )
    assert np.isnan(margins(alike, np.array([[True, False, False]]))).all()
    raw = np.array([[1.0, 0.0], [3.0, 0.0], [2.0, np.nan]])
    assert centre_families(raw, np.array([True, True, True]))[:, 0].tolist() == [-1.0, 1.0, 0.0]


def test_area_is_the_chance_of_the_right_order() -> None:
    rng = Random(1)
    right, wrong = [rng.random() for _ in range(9)], [rng.randrange(3) / 2 for _ in range(7)]
    slow = sum((a > b) + (a == b) / 2 for a in right for b in wrong) / 63
    assert area(right, wrong) == pytest.approx(slow)
    assert math.isnan(area([], wrong))


@pytest.mark.slow
def test_answers_without_a_word_in_common_are_refused(world: Pool, lineage: Lineage) -> None:
    mine = {p: (f"совсем другой ответ номер{p}",) for p in world.prompts}
    with pytest.raises(LineageError, match="shares no words"):
        trace(Pool(world.prompts, {**world.answers, "x": mine}, {}, {}), lineage, "x")


def test_several_answers_are_read_in_any_order(tmp_path: Path) -> None:
    lines = [
        json.dumps({"model": "a", "prompt_id": i, "output": f"{i} {k}"}) for i in range(9) for k in range(3)
    ]
    pools = []
    for order in (lines, lines[::-1]):
        (tmp_path / "a.jsonl").write_text("\n".join(order))
        pools.append(read_pool([tmp_path / "a.jsonl"]))
    assert pools[0] == pools[1]


@pytest.mark.slow
def test_a_student_is_traced_to_its_teacher(world: Pool, lineage: Lineage) -> None:
    found = trace(world, lineage, "ada-7b")
    assert found.evidence.grade is Grade.RANK
    assert found.judged.standings[0].family == "ash"
    assert [row.name for row in found.evidence.found()] == ["ash"]
    assert outcome((found.evidence,)) is Outcome.CONSISTENT
    assert found.evidence.p_floor is not None
    assert min(r.p_value for r in found.evidence.rows if r.p_value) >= found.evidence.p_floor
    assert "candidate is a teacher for 5" in " ".join(found.evidence.power.replace("likest ", "").split())


@pytest.mark.slow
def test_without_the_teacher_nobody_is_accused(world: Pool, lineage: Lineage) -> None:
    left = world.of([m for m in world.models if not m.startswith("ash-")])
    found = trace(left, lineage, "ada-7b")
    assert found.judged.accused == ""
    assert outcome((found.evidence,)) in (Outcome.INDETERMINATE, Outcome.NONE)


@pytest.mark.slow
def test_the_checkup_counts_who_was_found(world: Pool, lineage: Lineage) -> None:
    found = checkup(likeness(world, "ada-7b"), lineage, 0.1)
    assert found.count()["teacher_first"] == found.count()["students"] == len(STUDENTS)
    assert found.count()["innocents"] == len(STRANGERS)
    assert found.auc() == 1.0
    assert found.skipped == ()


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.1, 0.2])
def test_strangers_are_accused_no_more_often_than_stated(lineage: Lineage, alpha: float) -> None:
    """In generated worlds all innocents are exchangeable: over many of them alpha must hold."""
    accused = of = 0
    for seed in range(12):
        found = checkup(likeness(pool_of(WORLD, seed, 20), "ada-7b"), lineage, alpha).count()
        accused += found["innocents_accused"] + found["absent_accused"]
        of += found["innocents"] + found["teacher_absent"]
    assert accused <= alpha * of + 3 * math.sqrt(alpha * of)
    assert accused > 0  # it can accuse at all


@pytest.mark.slow
def test_none_of_the_candidates_is_an_outcome(lineage: Lineage) -> None:
    many = [
        Made(f"t{i}x-7b", f"t{i}own", own=0.3, teacher=("ash", "birch", "cedar")[i % 3], learned=0.35)
        for i in range(12)
    ]
    path_lineage = lineage.models | {
        m.name: lineage.models["ada-7b"].__class__(
            m.name, Role.STUDENT, teachers=frozenset({m.teacher}), kin=m.name, released="2024-06"
        )
        for m in many
    }
    pool = pool_of([*TEACHERS, *STRANGERS, *many, Made("human", "humanown", own=0.6)])
    found = trace(pool, Lineage(path_lineage), "human")
    assert found.evidence.none_of_them
    assert outcome((found.evidence,)) is Outcome.NONE


@pytest.mark.slow
def test_what_came_later_and_the_own_base_are_no_candidates(world: Pool, lineage: Lineage) -> None:
    alike = likeness(world, "ada-7b")
    assert choose_field(alike, lineage, "ada-7b", base="cedar").families == ("ash", "birch")
    with pytest.raises(LineageError, match="candidate families left: none"):
        choose_field(alike, lineage, "ada-7b", released="2023-01")
    with pytest.raises(LineageError, match="at least two"):
        choose_field(
            likeness(world.of(["ash-1", "ada-7b", *[m.name for m in STRANGERS]]), "ada-7b"), lineage, "ada-7b"
        )


@pytest.mark.slow
def test_an_innocent_that_was_taught_is_doubted(lineage: Lineage) -> None:
    fallen = Made("s00x", "line0x", own=0.2, teacher="birch", learned=0.6)  # called innocent
    pool = pool_of([fallen if m.name == "s00x" else m for m in WORLD])
    alike = likeness(pool, "ada-7b")
    assert [
        (one.model, one.family)
        for one in doubtful(alike, choose_field(alike, lineage, "ada-7b"), lineage, "ada-7b")
    ] == [("s00x", "birch")]


@pytest.mark.slow
def test_a_pupil_between_them_is_seen(lineage: Lineage) -> None:
    grand = Made("ada-8b", "adaown", own=0.75)  # it answers as ada-7b does, independently
    pool = pool_of(
        [*(m for m in WORLD if m.name != "ada-7b"), Made("ada-7b", "adaown", 0.5, "ash", 0.4), grand]
    )
    alike = likeness(pool, "ada-8b")
    assert nearer_pupils(alike, choose_field(alike, lineage, "ada-8b"), lineage, "ada-8b", "ash") == (
        "ada-7b",
    )


def test_a_lead_has_no_p_value_and_moves_nothing(world: Pool) -> None:
    rare, shared = rare_lead(world, "ada-7b")
    assert shared[0].model.startswith("ash-") or shared[0].model == "dot-7b"
    assert all(row.p_value is None for row in rare.rows)
    assert outcome((rare, claims_lead(world, "ada-7b")[0])) is Outcome.INDETERMINATE
    with pytest.raises(ProveError, match="never a p-value"):
        Evidence(Grade.LEAD, "m", "s", "c", "null", 0.05, "u", (Row("a", 1, 1.0, None, None, 0.01, 0.01),))


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("I am a large language model trained by OpenAI.", "gpt"),
        ("As an AI assistant made by Anthropic, I cannot.", "claude"),
        ("I'm Claude, nice to meet you.", "claude"),
        ("The model was trained by a coach.", None),
        ("Claude Monet painted water lilies.", None),
    ],
)
def test_claims_are_found(text: str, family: str | None) -> None:
    pool = Pool(("p",), {"s": {"p": (text,)}}, {}, {})
    assert [one.family for one in claims(pool, "s")] == ([family] if family else [])


def test_refusals_are_left_out_and_counted(world: Pool) -> None:
    mine = dict(world.answers["ada-7b"])
    for prompt in list(mine)[:20]:
        mine[prompt] = ("I'm sorry, but I can't help with that.",)
    pool = Pool(world.prompts, {**world.answers, "ada-7b": mine}, {}, {})
    notes = {note.what: note for note in fit(pool, "ada-7b").notes}
    assert "20 of 60 left out" in notes["refusals"].found
    assert not notes["refusals"].clear
    assert not is_refusal("Sorry is a word with five letters.")


def test_another_language_and_a_copy_are_seen(world: Pool) -> None:
    mine = {p: ("Привет, это ответ номер " + p,) for p in world.prompts}
    mixed = Pool(world.prompts, {**world.answers, "x": mine}, {}, {})
    assert not {n.what: n for n in fit(mixed, "x").notes}["language"].clear
    copied = Pool(world.prompts, {**world.answers, "x": world.answers["ash-1"]}, {}, {})
    note = {n.what: n for n in fit(copied, "x").notes}["copies"]
    assert "ash-1" in note.found
    assert not note.clear


@pytest.mark.parametrize(
    ("mine", "said"),
    [
        ({f"q{i}": (f"answer {i}",) for i in range(60)}, "on the same prompts"),
        ({f"p{i:03d}": (f"answer {i}",) for i in range(12)}, "at least 30 are needed"),
        ({f"p{i:03d}": ("Yes.",) for i in range(60)}, "says the same"),
        ({f"p{i:03d}": ("I'm sorry, I cannot do that.",) for i in range(60)}, "60 more are refusals"),
    ],
)
def test_what_cannot_be_compared_is_refused(world: Pool, mine: dict[str, tuple[str]], said: str) -> None:
    pool = Pool(tuple(sorted({*world.prompts, *mine})), {**world.answers, "x": mine}, {}, {})
    with pytest.raises(PoolError, match=said):
        fit(pool, "x")


def test_too_few_audited_kins_are_refused(world: Pool, lineage: Lineage) -> None:
    few = world.of(["ada-7b", *[m.name for m in TEACHERS], "s00x", "s01x"])
    with pytest.raises(LineageError, match="at least 10 are needed"):
        trace(few, lineage, "ada-7b")


@pytest.mark.slow
def test_a_teacher_among_the_innocents_is_no_innocent(world: Pool, tmp_path: Path) -> None:
    """Listed as innocent *and* candidate: the first entry counts, and it judges no model of its own maker."""
    path = tmp_path / "l.toml"
    path.write_text(lineage_toml() + '\n[[model]]\nname = "ash-1"\nrole = "innocent"\n')
    told = read_lineage([path])
    assert told.models["ash-1"].role is Role.CANDIDATE
    where = choose_field(likeness(world, "ada-7b"), told, "ada-7b")
    row = world.models.index("ash-1")
    assert not where.innocent[row, where.families.index("ash")]


LINES = [
    ('{"model": "a", "prompt_id": "1"}', "output is needed"),
    ('{"model": "a", "output": "x"}', "neither prompt nor prompt_id"),
    ('{"model": "a", "prompt_id": "1", "output": 3}', "an output is text"),
    ('["a"]', "not JSON"),
    ("{", "not JSON"),
    ('{"model": "a", "prompt_id": "1", "output": "x"}', "fewer than 8"),
    ('{"model": "a", "prompt_id": "1", "output": ""}', "every answer is empty"),
    ("", "holds no answers"),
]


@pytest.mark.parametrize(("text", "said"), LINES)
def test_bad_outputs_are_refused_with_their_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(ProveError, match=said) as why:
        read_pool([path])
    assert "out.jsonl" in str(why.value)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("raw") / "x.jsonl"
    good = b'{"model": "a", "prompt_id": "1", "output": "x"}\n'
    path.write_bytes(good + raw)
    with pytest.raises(ProveError):  # one answer is too few, whatever else is there
        read_pool([path])
    for suffix, read in ((".parquet", lambda p: read_pool([p])), (".toml", lambda p: read_lineage([p]))):
        other = path.with_suffix(suffix)
        other.write_bytes(raw)
        with pytest.raises(ProveError):
            read(other)


def test_repeated_rows_are_one_and_reasoning_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    line = '{"prompt": "What  is it?", "response": "<think>hm</think>It is."}\n'
    more = "".join(json.dumps({"prompt": f"q{i}", "response": f"a{i}"}) + "\n" for i in range(9))
    path.write_text(line + line.replace("  ", " ") + more)
    pool = read_pool([path])
    assert pool.models == ("m",)
    assert sorted(len(a) for a in pool.answers["m"].values()) == [1] * 10
    assert ("It is.",) in pool.answers["m"].values()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.toml", '[[model]]\nname = "x"\nrole = "friend"', "role is 'friend'"),
        ("a.toml", '[[model]]\nrole = "candidate"', "no name"),
        ("a.toml", '[[model]]\nname = "x"\ncolour = 1', "colour is unknown"),
        ("a.toml", '[[model]]\nname = "x"\nrole = "candidate"\nreleased = "soon"', "write a month"),
        ("a.toml", '[[model]]\nname = "x"\nrole = "innocent"', "names no candidate"),
        ("a.json", '{"other": 1}', "neither"),
        ("a.json", "[" * 100000, "cannot be read"),
        ("a.csv", "model,colour\nx,red\n", "model and role are needed"),
        ("a.txt", "", "give .toml"),
    ],
)
def test_bad_lineage_is_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(LineageError, match=said):
        read_lineage([path])


def test_a_library_needs_no_candidates(tmp_path: Path) -> None:
    path = tmp_path / "kins.toml"
    path.write_text('[[model]]\nname = "x-7b"\nkin = "of x"\n')
    with pytest.raises(LineageError, match="names no candidate"):
        read_lineage([path])
    assert read_lineage([path], candidates=False).models["x-7b"].kin == "of x"


def test_the_three_forms_of_lineage_say_the_same(tmp_path: Path) -> None:
    rows = [
        ("gpt-4-0613", "teacher", "", "2023-06"), ("claude-2", "teacher", "", "2023-07"),
        ("pupil-7b", "student", "gpt-4", "2023-09"), ("human-7b", "independent", "", ""),
    ]  # fmt: skip
    (tmp_path / "a.csv").write_text(
        "model,role,teachers,released\n" + "".join(",".join(row) + "\n" for row in rows)
    )
    (tmp_path / "a.json").write_text(
        json.dumps(
            {
                "candidate_dates": {"gpt-4-0613": 23.06, "claude-2": 23.07},
                "students": {"pupil-7b": {"teacher_family": "gpt4", "date": 23.09}},
                "human_data": ["human-7b"],
            }
        )
    )
    csv_told, json_told = (read_lineage([tmp_path / name]) for name in ("a.csv", "a.json"))
    assert csv_told == json_told
    assert csv_told.models["pupil-7b"].teachers == {"gpt4"}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("text_davinci_003", "davinci"),
        ("gpt35_turbo_instruct", "gpt35"),
        ("gpt4_1106_preview", "gpt4t"),
        ("gpt-4o-mini-2024-07-18", "gpt4o"),
        ("gpt4", "gpt4"),
        ("claude", "claude1"),
        ("claude-2.1", "claude2"),
        ("claude-3-5-sonnet-20240620", "claude3"),
        ("Mixtral-8x7B-Instruct-v0.1", "mixtral"),
        ("Meta-Llama-3.1-8B", "llama3"),
        ("oasst-sft-llama-33b", "llama1"),
        ("acme-9b", ""),
    ],
)
def test_lines_are_read_from_names(name: str, line: str) -> None:
    assert line_of(name)[0] == line


def test_a_closed_line_is_never_a_base() -> None:
    assert base_in("claude2-alpaca-13b") == ""
    assert base_in("dolphin-2.2.1-mistral-7b") == "mistral"
    assert family_of("Qwen1.5-72B-Chat") == ("qwen1", "alibaba")


@pytest.mark.parametrize("value", ["2023", 23.13, 23.0, True, None, "2023-13", 1e9])
def test_a_month_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(LineageError, match="write a month"):
        month(value, "here")


@pytest.mark.slow
def test_the_verbs_run_and_their_evidence_makes_a_verdict(tmp_path: Path, world: Pool) -> None:
    pool_file = write_pool(world.of([m for m in world.models if m != "ada-7b"]), tmp_path / "pool.jsonl")
    suspect = write_pool(world.of(["ada-7b"]), tmp_path / "suspect.jsonl")
    (tmp_path / "l.toml").write_text(lineage_toml())
    common = ["--pool", str(pool_file), "--lineage", str(tmp_path / "l.toml")]
    out = tmp_path / "e.json"
    run = CliRunner().invoke(app, ["prove", "lineage", str(suspect), *common, "--out", str(out)])
    assert run.exit_code == 0, run.output
    assert "consistent with the candidate as its teacher: ash" in run.output
    assert evidence_json.read(out).suspect == "ada-7b"
    told = json.loads(CliRunner().invoke(app, ["prove", "lineage", str(suspect), *common, "--json"]).output)
    assert told["outcome"].endswith("ash")
    check = json.loads(CliRunner().invoke(app, ["prove", "lineage-check", *common, "--json"]).output)
    assert check["students"] == 4
    assert check["absent_accused"] == 0
    leads = CliRunner().invoke(
        app, ["prove", "leads", str(suspect), *common[:2], "--out", str(tmp_path / "leads")]
    )
    assert leads.exit_code == 0, leads.output
    assert evidence_json.read(tmp_path / "leads" / "rare.json").grade is Grade.LEAD


@pytest.mark.slow
def test_an_endpoint_is_asked_the_pools_prompts(tmp_path: Path, world: Pool) -> None:
    """The suspect answers as ada-7b does, over HTTP."""
    pool_file = write_pool(
        world.of([m for m in world.models if m != "ada-7b"]), tmp_path / "p.jsonl", texts=True
    )
    (tmp_path / "l.toml").write_text(lineage_toml())
    text_of = {f"Question {p}?": told[0] for p, told in world.answers["ada-7b"].items()}
    common = ["--pool", str(pool_file), "--lineage", str(tmp_path / "l.toml"), "--model", "fast-1", "--json"]
    with teaching(lambda n, body: Reply(content=text_of[body["messages"][-1]["content"]])) as (url, seen):
        run = CliRunner().invoke(
            app, ["prove", "lineage", url, *common, "--store", str(tmp_path / "s"), "--prompts", "40"]
        )
    assert run.exit_code == 0, run.output
    assert json.loads(run.output)["rows"][0]["name"] == "ash"
    assert len(seen.bodies) == 40


def test_a_suspect_that_is_nowhere_is_refused(tmp_path: Path, world: Pool) -> None:
    pool_file = write_pool(world, tmp_path / "pool.jsonl")
    (tmp_path / "l.toml").write_text(lineage_toml())
    run = CliRunner().invoke(
        app, ["prove", "lineage", "nobody", "--pool", str(pool_file), "--lineage", str(tmp_path / "l.toml")]
    )
    assert run.exit_code == 2
    assert "neither a file, nor an address" in run.output


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="the answers of real models are not in this checkout")
def test_on_real_models_no_student_is_wrongly_accused_when_its_teacher_is_absent() -> None:
    pool = read_pool([SHARED / "outputs_dev.parquet"])
    told = read_lineage([SHARED / "lineage_dev.json", SHARED / "lineage_dev.csv"])
    found = checkup(likeness(pool, pool.models[0]), told, 0.05)
    count = found.count()
    assert count["absent_accused"] <= 0.05 * count["teacher_absent"]
    assert found.auc() > 0.9
    assert len(pool.prompts) > PROMPTS


@pytest.mark.slow
@pytest.mark.parametrize(("words", "answers"), [(1, 0), (2, 0), (8, 0), (0, 1), (0, 6)])
def test_noise_with_a_few_of_a_teachers_words_accuses_nobody(
    world: Pool, lineage: Lineage, words: int, answers: int
) -> None:
    """It shares almost nothing with any model, so any common word stands out."""
    draw = Random(f"{words} {answers}")
    told = {}
    for at, (prompt, (said,)) in enumerate(sorted(world.answers["ash-1"].items())):
        noise = " ".join("".join(draw.choices("bcdfghjklmnpqrstvwxz", k=6)) for _ in range(40))
        some = draw.sample(said.split(), words)
        told[prompt] = (said if at < answers else " ".join([*some, noise]),)
    pool = Pool(world.prompts, {**world.answers, "suspect": told}, {}, {})
    with contextlib.suppress(LineageError):
        assert not trace(pool, lineage, "suspect").judged.accused
