"""Identification: copies under another name, strangers, versions, tokenizers, an altered library."""

import itertools
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from distill_teacher import Reply, teaching
from lineage_world import Made, answers, pool_of, write_pool
from stillwatch.cli.main import app
from stillwatch.prove import ProveError
from stillwatch.prove.identify import IdentificationResult, IdentifyError, Reference
from stillwatch.prove.identify.asking import probes
from stillwatch.prove.identify.library import MANIFEST, add, read_library, references
from stillwatch.prove.identify.normal import scores
from stillwatch.prove.identify.tokens import shapes
from stillwatch.prove.identify.version import kernel_of, same_version
from stillwatch.prove.identify.who import _threshold, doubted_kins, identify
from stillwatch.prove.pool import Pool, PoolError, prompt_id
from stillwatch.prove.pool.likeness import COHORT

REFERENCES = [Made(f"m{i:02d}", f"kin{i % 15:02d}k", own=0.6) for i in range(30)]
COPY = Made("copy", "kin03k", own=0.45)  # a model of kin03 with less of its phrases: a disguise
STRANGER = Made("stranger", "nobodyk", own=0.6)
RUN = CliRunner()


@pytest.fixture(scope="module")
def pool() -> Pool:
    return pool_of([*REFERENCES, COPY, STRANGER])


@pytest.fixture(scope="module")
def known() -> dict[str, Reference]:
    return {m.name: Reference(m.name, m.line, "", 60, "") for m in REFERENCES}


@pytest.mark.slow
def test_a_copy_is_named_and_a_stranger_is_unknown(pool: Pool, known: dict[str, Reference]) -> None:
    found, _ = identify(pool.of([m for m in pool.models if m != "stranger"]), known, "copy")
    assert (found.answer, found.kin) == (IdentificationResult.NAMED, "kin03k")
    assert found.nearest[0].kin == found.nearest[1].kin == "kin03k"
    assert found.p_comparison == pytest.approx(found.floor_comparison)
    other, _ = identify(pool.of([m for m in pool.models if m != "copy"]), known, "stranger", alpha=0.05)
    assert other.answer is IdentificationResult.UNKNOWN
    assert other.kin == ""


def test_strangers_pass_a_threshold_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    null = rng.normal(size=399)
    fresh = rng.normal(size=40_000)
    for alpha in (0.01, 0.05, 0.2):
        at = _threshold(null, alpha)
        assert (null > at).sum() == int(alpha * 400) - 1  # the rank of a passing value is at most alpha
        assert np.mean(fresh > at) <= alpha * 1.8
    assert _threshold(np.array([1.0, 3.0, 2.0]), 0.01) == 3.0  # too few: the maximum


def test_scores_are_what_the_definition_gives() -> None:
    rng = np.random.default_rng(2)
    mean = rng.uniform(0.01, 0.3, (9, 9))
    mean = (mean + mean.T) / 2
    kin = list("aabbccdde")
    refs = np.array([0, 1, 2, 4, 5, 7])
    for row in (3, 0):
        found = scores(mean, row, refs, kin)
        for at, other in enumerate(refs):
            cohort = [r for r in refs if kin[r] != kin[other] and r != row]
            if other == row:
                assert np.isnan(found[at])
                continue
            own, theirs = (sorted(mean[x, c] for c in cohort)[-COHORT:] for x in (row, other))
            slow = np.log(mean[row, other]) - (np.log(np.mean(own)) + np.log(np.mean(theirs))) / 2
            assert found[at] == pytest.approx(slow)


@pytest.mark.slow
def test_a_library_too_small_says_so(pool: Pool, known: dict[str, Reference]) -> None:
    few = {name: one for name, one in known.items() if one.kin in ("kin00k", "kin01k", "kin03k")}
    with pytest.raises(IdentifyError, match="at least 8 are needed"):
        identify(pool.of([*few, "copy"]), few, "copy")


def swapped(pairs: list[tuple[str, str]]) -> float:
    """The exact p-value: every way to swap the answers of each prompt."""
    kernel = kernel_of(pairs)
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=len(pairs))))
    all_of_them = ((signs @ kernel) * signs).sum(axis=1)
    return float(np.mean(all_of_them >= kernel.sum() - 1e-9))


def test_the_p_of_versions_is_what_all_swaps_give() -> None:
    rng = Random(4)
    words = ["one", "two", "three", "four", "five", "six"]
    pairs = [
        (" ".join(rng.choices([*words, "indeed"], k=8)), " ".join(rng.choices(words, k=8))) for _ in range(22)
    ]
    few = pairs[:12]
    pool = versions_pool(pairs)
    assert same_version(pool, "a", "b").p_value <= 0.05
    exact = swapped(few)
    kernel = kernel_of(few)
    drawn = np.random.default_rng(0).choice([-1.0, 1.0], (20000, 12))
    sampled = np.mean(((drawn @ kernel) * drawn).sum(axis=1) >= kernel.sum() - 1e-9)
    assert sampled == pytest.approx(exact, abs=0.02)


def versions_pool(pairs: list[tuple[str, str]]) -> Pool:
    ids = [f"p{i:02d}" for i in range(len(pairs))]
    sides = ({p: (pair[side],) for p, pair in zip(ids, pairs, strict=True)} for side in (0, 1))
    return Pool(tuple(ids), dict(zip("ab", sides, strict=True)), {}, {})


@pytest.mark.slow
def test_one_model_is_rejected_as_often_as_alpha_says() -> None:
    hits = 0
    for trial in range(120):
        rng = Random(trial)
        texts = [
            [" ".join(rng.choices(["red", "blue", "green", "grey"], k=9)) for _ in (0, 1)] for _ in range(24)
        ]
        hits += same_version(versions_pool([(a, b) for a, b in texts]), "a", "b", swaps=99).p_value <= 0.1
    assert hits <= 12 + 3 * (120 * 0.1 * 0.9) ** 0.5


def test_equal_answers_say_nothing() -> None:
    found = same_version(versions_pool([(f"same {i}", f"same {i}") for i in range(30)]), "a", "b")
    assert (found.p_value, found.equal, found.prompts) == (1.0, 30, 0)
    with pytest.raises(PoolError, match="needs 20"):
        same_version(versions_pool([("x", "y")] * 5), "a", "b")


def test_tokenizers_are_told_by_differences() -> None:
    mine = {str(i): 5 + (i * 7) % 11 for i in range(12)}
    same, other = {p: n + 9 for p, n in mine.items()}, {p: n + i % 3 for i, (p, n) in enumerate(mine.items())}
    found = shapes(mine, {"same": same, "other": other, "few": {"0": 5}})
    assert [(one.reference, one.same, one.overhead) for one in found] == [
        ("same", True, -9),
        ("other", False, 0),
    ]


def test_a_library_keeps_hashes_and_replaces(tmp_path: Path, pool: Pool) -> None:
    folder = tmp_path / "known"
    add(folder, pool.of(["m00", "m01"]), {"m00": "k", "m01": "k"}, "made up")
    before = references(folder)["m00"]
    add(folder, pool.of(["m00"], pool.prompts[:40]), {"m00": "j"})
    known, read = read_library(folder)
    assert known["m00"].kin == "j"
    assert known["m00"].sha256 != before.sha256
    assert len(read.answers["m00"]) == 40
    assert len(list((folder / "answers").iterdir())) == 2
    file = folder / known["m01"].file
    file.write_text(file.read_text().replace("word1", "word2"))
    with pytest.raises(IdentifyError, match="was changed since"):
        read_library(folder)
    file.unlink()
    with pytest.raises(IdentifyError, match="cannot be read"):
        read_library(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ('{"kind": "x", "models": {}}', "is no library"),
        ('{"kind": "stillwatch identify library 1", "models": {"a": {}}}', "exactly"),
        (
            json.dumps(
                {
                    "kind": "stillwatch identify library 1",
                    "models": {"a": {"kin": "", "sha256": "", "prompts": 1, "file": "../x", "note": ""}},
                }
            ),
            "outside the library",
        ),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(IdentifyError, match=said):
        references(tmp_path)


def test_an_empty_library_says_how_to_fill_it(tmp_path: Path) -> None:
    run = RUN.invoke(app, ["identify", str(tmp_path / "x.jsonl"), "--library", str(tmp_path / "none")])
    assert run.exit_code == 2
    assert "identify add NAME FILE" in run.output


def test_probes_are_many_and_none_twice() -> None:
    assert len(probes()) == 60
    assert len({text.lower() for text in probes().values()}) == 60


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, pool: Pool) -> Path:
    folder = tmp_path_factory.mktemp("library")
    file = write_pool(pool.of([m.name for m in REFERENCES]), folder / "pool.jsonl", texts=True)
    rows = [{"name": m.name, "role": "unaudited", "kin": m.line} for m in REFERENCES]
    rows[0]["role"] = "candidate"
    (folder / "l.json").write_text(json.dumps({"model": rows}))
    run = RUN.invoke(
        app,
        [
            "identify", "add-all", str(file), "--library", str(folder / "known"), "--lineage",
            str(folder / "l.json"), "--note", "made up",
        ],
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    return folder / "known"


@pytest.mark.slow
def test_the_verbs_on_a_file(tmp_path: Path, pool: Pool, library: Path) -> None:
    file = str(write_pool(pool.of(["copy"]), tmp_path / "copy.jsonl"))
    run = RUN.invoke(app, ["identify", file, "--library", str(library)])
    assert run.exit_code == 0, run.output
    assert "kin03k answers here" in run.output
    told = json.loads(RUN.invoke(app, ["identify", file, "--library", str(library), "--json"]).output)
    assert told["answer"] == "named"
    assert told["versions"][0]["p_value"] < 0.05
    listed = json.loads(RUN.invoke(app, ["identify", "list", "--library", str(library), "--json"]).output)
    assert {one["kin"] for one in listed} == {m.line for m in REFERENCES}
    again = RUN.invoke(
        app, ["identify", "add", "copy", file, "--library", str(tmp_path / "own"), "--kin", "k"]
    )
    assert again.exit_code == 0, again.output
    assert references(tmp_path / "own")["copy"].kin == "k"


def copying(text_of: dict[str, str]) -> Any:
    """An endpoint that answers as the copy does."""

    def behave(number: int, body: dict[str, Any]) -> Reply:
        asked = body["messages"][-1]["content"]
        return Reply(content=text_of[asked])

    return behave


@pytest.mark.slow
def test_an_endpoint_is_asked_the_librarys_prompts(tmp_path: Path, library: Path) -> None:
    text_of = {f"Question {p}?": text for p, text in answers(COPY).items()}
    common = ["--library", str(library), "--model", "fast-1", "--store", str(tmp_path / "s.sqlite")]
    with teaching(copying(text_of)) as (url, seen):
        run = RUN.invoke(app, ["identify", url, *common, "--json"])
        assert run.exit_code == 0, run.output
        told = json.loads(run.output)
        assert (told["answer"], told["kin"]) == ("named", "kin03k")
        assert len(seen.bodies) == 50
        again = RUN.invoke(app, ["identify", url, *common, "--json"])
        assert json.loads(again.output) == told
        assert len(seen.bodies) == 50  # answered prompts are not sent again


@pytest.mark.slow
def test_anothers_endpoint_needs_consent(tmp_path: Path, library: Path) -> None:
    run = RUN.invoke(
        app, ["identify", "https://api.example/v1", "--model", "m", "--library", str(library), "--store", "x"]
    )
    assert run.exit_code == 2
    assert "--consent" in run.output


@pytest.mark.slow
def test_a_ban_is_judged_by_who_answers(tmp_path: Path) -> None:
    """References with names from the lineage table: a copy that denies one is exposed by its family."""
    names = [
        "deepseek-v3",
        "gpt-4o",
        "claude-3-opus",
        "llama-3-8b",
        "qwen2-7b",
        "gemma-2-9b",
        "yi-34b",
        "kimi-k2",
    ]
    made = [Made(name, f"own{i}k", own=0.6) for i, name in enumerate(names)]
    pool = pool_of([*made, Made("fast-1", "own0k", own=0.45)])
    add(tmp_path / "known", pool.of(names), {name: name for name in names})
    file = str(write_pool(pool.of(["fast-1"]), tmp_path / "fast-1.jsonl"))
    common = [
        "ban",
        "probe",
        file,
        "--library",
        str(tmp_path / "known"),
        "--family",
        "deepseek",
        "--alpha",
        "0.2",
    ]
    run = RUN.invoke(app, [*common, "--fail-on-banned"])
    assert run.exit_code == 1, run.output
    assert "terms on deepseek-v3: deny" in run.output
    told = json.loads(RUN.invoke(app, [*common[:-4], "--family", "gpt", "--alpha", "0.2", "--json"]).output)
    assert told["terms"]["allow"] is True


def test_outputs_of_several_models_want_a_name(tmp_path: Path, pool: Pool, library: Path) -> None:
    file = write_pool(pool.of(["copy", "stranger"]), tmp_path / "two.jsonl")
    run = RUN.invoke(app, ["identify", str(file), "--library", str(library)])
    assert run.exit_code == 2
    assert "name one of them" in run.output
    assert prompt_id("a b") == prompt_id(" a  b ")
    with pytest.raises(ProveError):
        raise IdentifyError("its errors are of the tree")


def mislabelled(known: dict[str, Reference]) -> dict[str, Reference]:
    """One of two copies is labelled as its own family: a wrong label among thirty."""
    return known | {"m05": Reference("m05", "wrong", "", 60, "")}


@pytest.mark.slow
def test_a_wrong_kin_in_a_library_is_named_and_does_not_set_the_threshold(
    pool: Pool, known: dict[str, Reference]
) -> None:
    seen = pool.of([m for m in pool.models if m != "stranger"])
    clean, _ = identify(seen, known, "copy")
    assert clean.doubted == ()
    found, _ = identify(seen, mislabelled(known), "copy")
    assert (found.answer, found.kin) == (IdentificationResult.NAMED, "kin03k")
    (doubt,) = found.doubted
    assert {doubt.reference, doubt.other} == {"m05", "m20"}
    assert found.named_at == pytest.approx(clean.named_at, abs=0.1)
    assert found.named_at == found.set_by.score
    other, _ = identify(pool.of([m for m in pool.models if m != "copy"]), mislabelled(known), "stranger")
    assert other.answer is not IdentificationResult.NAMED


def test_no_more_than_a_share_is_set_aside() -> None:
    draw = np.random.default_rng(1)
    table = draw.normal(0, 0.1, (60, 60))
    np.fill_diagonal(table, np.nan)
    kindred = draw.normal(1, 0.2, 60)
    assert doubted_kins(table, kindred) == ()
    for one in range(0, 12, 2):  # six wrong pairs of thirty
        table[one, one + 1] = table[one + 1, one] = 2.0
    assert len(doubted_kins(table, kindred)) == 3
    assert len(doubted_kins(table, np.full(60, np.nan))) == 3  # without examples of kin: the fence


@pytest.mark.slow
def test_kin_by_weights_goes_before_names_and_a_ban_follows_it(tmp_path: Path, pool: Pool) -> None:
    """`mystery` has DeepSeek's weights, which its name does not show."""
    names = [m.name for m in REFERENCES]
    add(tmp_path / "known", pool.of(names), {m.name: m.line for m in REFERENCES})
    kin = tmp_path / "kin.toml"
    kin.write_text(
        '[[model]]\nname = "m03"\nkin = "deepseek"\nbase = "deepseek-v3"\n'
        '[[model]]\nname = "m18"\nkin = "deepseek"\nbase = "deepseek-v3"\n'
    )
    file = str(write_pool(pool.of(["copy"]), tmp_path / "copy.jsonl"))
    said = [file, "--library", str(tmp_path / "known"), "--kin-file", str(kin)]
    told = json.loads(RUN.invoke(app, ["identify", *said, "--json"]).output)
    assert (told["answer"], told["kin"]) == ("named", "deepseek")
    assert told["kins_by"] == {"file": 2, "given": 28, "name": 0}
    run = RUN.invoke(app, ["ban", "probe", *said, "--family", "deepseek", "--fail-on-banned"])
    assert run.exit_code == 1, run.output
    assert "2 from --kin-file" in run.output
    assert "A name needs more than" in run.output
    kin.write_text('[[model]]\nname = "m03"\n')
    assert "says no model's kin" in RUN.invoke(app, ["identify", *said]).output


# --- suspects that hide, and framed innocents ---


def odd_answers(kind: str, pool: Pool, at: int, draw: Random) -> str:
    """Return a suspect's answer to one prompt; the suspect wants to be named after `m03`, or after nobody."""
    said = pool.answers["m03"][pool.prompts[at]][0].split()
    noise = [" ".join("".join(draw.choices("bcdfghjklmnpqrstvwxz", k=6)) for _ in range(40))]
    how, _, number = kind.partition(" ")
    if how == "words":  # so many of its words in each answer of noise
        return " ".join([*draw.sample(said, int(number)), *noise])
    if how == "answers":  # so many of its answers, else noise
        return " ".join(said if at < int(number) else noise)
    if how == "honest":  # so many of its answers, else a model of its own
        return " ".join(said) if at < int(number) else answers(STRANGER)[pool.prompts[at]]
    if how == "router":
        return pool.answers[draw.choice(REFERENCES).name][pool.prompts[at]][0]
    if how == "refusal":
        return f"Item {at} is not for me to discuss, {noise[0][:20]}"
    return {
        "noise": noise[0],
        "renamed": " ".join(f"ж{word}" for word in said),
        "reversed": " ".join(word[::-1] for word in said),
        "one rare word": f"{noise[0]} {max(said, key=len)}",
        "one sign": draw.choice("abcdefgh"),
    }[kind]


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        "noise", "words 1", "words 2", "words 4", "words 8", "answers 1", "answers 3", "answers 6",
        "answers 12", "honest 2", "router", "refusal", "renamed", "reversed", "one rare word", "one sign",
    ],
)  # fmt: skip
def test_what_hides_or_is_made_up_gets_no_name(pool: Pool, known: dict[str, Reference], kind: str) -> None:
    draw = Random(kind)
    told = {prompt: (odd_answers(kind, pool, at, draw),) for at, prompt in enumerate(pool.prompts)}
    whole = {name: pool.answers[name] for name in known} | {"suspect": told}
    try:
        found, _ = identify(Pool(pool.prompts, whole, {}, {}), known, "suspect")
    except PoolError:
        return  # it cannot be compared at all
    assert found.answer is not IdentificationResult.NAMED, found.nearest[0]
    if kind not in ("router", "answers 3", "answers 6", "answers 12", "honest 2"):  # a part of it is m03's
        assert (found.answer, found.kin) == (IdentificationResult.UNKNOWN, "")
    if found.nearest[0].score > found.named_at:
        assert found.reservations
