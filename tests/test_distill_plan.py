"""Plans, prices, teachers' terms, and the creation of a run's folder."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.distill import DistillError, DistillRun, PlanError, Prompt
from stillwatch.distill.plan import DistillPlan, Teacher, TeacherPrices, load, read_plan, text
from stillwatch.distill.prepare import PreparedRun, prepare
from stillwatch.distill.prices import PUSD, price_list, price_of
from stillwatch.distill.rows import read_json, read_prompts
from stillwatch.distill.teachers import NEEDS_LEAVE, entries, record, says, warning
from stillwatch.errors import InputError
from stillwatch.toml.document import parse
from stillwatch.toml.reading import Mistakes, TableReader


def plan_of(at: Path, **sections: Any) -> DistillPlan:
    table = {
        "folder": str(at / "run"),
        "teacher": {"base_url": "http://127.0.0.1:1/v1", "model": "acme"},
        "prompts": {"task": "clock", "n": 5},
        "budget": {"requests": 10},
    }
    return read_plan(TableReader(table | sections, (), Mistakes("test", None)))


def made(plan: DistillPlan, again: bool = True) -> PreparedRun:
    return prepare(plan, "tester", 1_000_000, again)


# --- the file --------------------------------------------------------------------------------------------


def test_the_plan_that_ships_is_one(tmp_path: Path) -> None:
    file = tmp_path / "clock.toml"
    file.write_text(files("stillwatch.distill").joinpath("example.toml").read_text())
    plan = load(file, {})
    assert plan.folder == str(tmp_path / "clock")
    assert (plan.teacher.base_url, plan.prompts.n, plan.train.steps) == ("embedded:clock", 1000, 1400)


def test_every_key_of_a_plan_is_in_its_page() -> None:
    page = (Path(__file__).parent.parent / "docs" / "distill.md").read_text()
    from dataclasses import fields

    for name in ("teacher", "prompts", "collect", "budget", "prices", "curate"):
        for one in fields(getattr(DistillPlan(), name)):
            assert f"`{one.name}`" in page, f"[{name}] {one.name}"


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.mark.slow
@given(texts, texts, st.floats(0, 1e6), st.integers(1, 10**6), st.lists(texts, max_size=3), texts)
def test_a_plan_written_is_the_plan_read(
    model: str, why: str, usd: float, tokens: int, stop: list[str], key: str
) -> None:
    table: dict[str, Any] = {
        "folder": "/x",
        "teacher": {"model": model, "i_may": why, "headers": {key: why}},
        "collect": {"max_tokens": tokens, "stop": stop, "extra": {key: {"deep": [1, True, 2.5]}}},
        "budget": {"usd": usd},
        "train": {"curve": [1, 5], "learning_rate": 5e-3},
    }
    plan = read_plan(TableReader(table, (), Mistakes("test", None)))
    assert read_plan(parse(text(plan), "again")) == plan


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[collect]\nsampels = 3", r"plan\.toml:2: collect\.sampels: unknown key; did you mean `samples`\?"),
        ("[collekt]\n", r":1: collekt: unknown key; did you mean `collect`\?"),
        ('[collect]\nsamples = "3"', r":2: collect\.samples: '3' is text; give a whole number"),
        ("[collect]\nsamples = true", r":2: collect\.samples: true is a boolean; give a whole number"),
        ("\n[collect]\nsamples = 0", r":3: collect\.samples: is 0; give 1 to 100,000"),
        ("[collect]\nconcurrency = 100000", "1 to 1,024"),
        (
            "[collect]\ntemperature = nan",
            r":2: collect\.temperature: nan is not finite; give a finite number",
        ),
        ("collect = 3", ":1: collect: 3 is a whole number; give a table"),
        ("[collect.extra]\nmodel = 1", r":2: collect\.extra\.model: has a place of its own"),
        ("[budget]\nusd = -1", ":2: budget.usd: is -1; give 0 or more"),
        ('[collect]\nin_doubt = "never"', '"ask" or "leave"'),
        ('[train]\nmethod = "magic"', r":2: train\.method: is 'magic'; give .text. or"),
        ("[train]\nstep = 3", r":2: train\.step: unknown key"),
        ("[evaluate]\nn = -1", ":2: evaluate.n: is -1; give 0 or more"),
        ("[teacher]\nbase_url = 1", r":2: teacher\.base_url: 1 is a whole number; give text"),
        ("= 1", "not TOML"),
        ("a = " + "[" * 5000, "not TOML"),
        ("[collect]\nsamples = 1000000000000", "collect.samples"),
        ("[prompts]\nn = 1000000000000", "prompts.n"),
        ("[prices]\ninput = 1e300", "prices.input"),
        ("[collect.extra]\nmax_completion_tokens = 9", r"collect\.extra\.max_completion_tokens: has a place"),
        ('[teacher]\nbase_url = "https://me:secret@host/v1"', "has a login in it"),
        ("[teacher]\nmodel = 'a'\nmodel = 'b'", "not TOML"),
    ],
)
def test_a_wrong_plan_is_refused_with_its_key(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(content)
    with pytest.raises(PlanError, match=words) as found:
        load(file, {})
    assert str(file) in str(found.value)


def test_names_that_are_none(tmp_path: Path) -> None:
    for changes in ({"folder": "a\x00b"}, {"prompts.file": "\x00"}, {"teacher.i_may": "\udcff because"}):
        with pytest.raises(PlanError, match=r"no name of a file|text that is not valid UTF-8"):
            load(None, changes)


def test_no_plan_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="No such file"):
        load(tmp_path / "none.toml", {})
    file = tmp_path / "latin.toml"
    file.write_bytes(b"model = '\xe9'")
    with pytest.raises(PlanError, match="is not UTF-8"):
        load(file, {})
    with pytest.raises(PlanError, match=r"plan\.toml: cannot be read"):
        load(tmp_path, {})


def test_changes_go_over_the_file_and_files_are_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    file = tmp_path / "sub" / "p.toml"
    file.write_text('[prompts]\nfile = "a.jsonl"\n[collect]\nsamples = 2\n')
    monkeypatch.chdir(tmp_path)
    plan = load(file, {"collect.samples": 5, "heldout.file": "b.jsonl"})
    assert plan.prompts.file == str(tmp_path / "sub" / "a.jsonl")
    assert plan.heldout.file == str(tmp_path / "b.jsonl")
    assert (plan.collect.samples, plan.folder) == (5, str(tmp_path / "sub" / "p"))
    with pytest.raises(PlanError, match="is no section"):
        load(file, {"prompts.file.deep": 1})


def test_a_model_beside_the_plan_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub" / "clock").mkdir(parents=True)
    (tmp_path / "sub" / "m.gguf").touch()
    file = tmp_path / "sub" / "p.toml"
    file.write_text('[train]\nstudent = "m.gguf"\nteacher = "org/name"\n[evaluate]\nteacher = "clock"\n')
    monkeypatch.chdir(tmp_path)
    plan = load(file, {})
    assert plan.train.student == str(tmp_path / "sub" / "m.gguf")
    assert (plan.train.teacher, plan.evaluate.teacher) == ("org/name", "clock"), "a hub's name, a word"
    assert load(file, {"train.student": "sub/m.gguf"}).train.student == plan.train.student


def test_a_run_that_was_moved_is_found_where_it_is(tmp_path: Path) -> None:
    run = made(plan_of(tmp_path)).run
    run.path.rename(tmp_path / "elsewhere")
    assert load(tmp_path / "elsewhere", {}).folder == str(tmp_path / "elsewhere")


# --- prices ----------------------------------------------------------------------------------------------


def test_prices_are_whole_picodollars_and_sourced() -> None:
    for model, price in price_list().items():
        assert 0 <= price.input <= price.output, model
        assert "as of 2026-" in price.source
        assert "https://" in price.source
    assert price_of("gpt-4o-mini", TeacherPrices()).input == 150_000
    assert 10**6 * price_of("gpt-4o-mini", TeacherPrices()).output == 0.6 * PUSD


def test_a_plan_s_own_price_goes_first_and_dates_are_looked_past() -> None:
    own = TeacherPrices(input=1.0, output=2.0, source="contract 7")
    assert price_of("gpt-4o-mini", own) == price_of("unheard-of", own)
    assert price_of("gpt-4o-mini", own).source == "contract 7"
    assert price_of("azure/gpt-4o-2024-11-20", TeacherPrices()) == price_of("gpt-4o", TeacherPrices())
    assert price_of("unheard-of", TeacherPrices()) is None
    assert price_of("gpt-4o-mini", TeacherPrices(input=1.0)) == price_of("gpt-4o-mini", TeacherPrices()), (
        "half a price is none"
    )


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**8))
def test_cached_tokens_never_cost_more_nor_less_than_nothing(into: int, out: int, cached: int) -> None:
    price = price_of("gpt-4o", TeacherPrices())
    assert 0 <= price.cost_pusd(into, out, cached) <= price.cost_pusd(into, out)


# --- terms -----------------------------------------------------------------------------------------------


def test_every_entry_has_a_source_and_what_forbids_has_its_words() -> None:
    for one in entries():
        assert one.source, one.id
        assert one.training in ("allowed", "conditions", *NEEDS_LEAVE)
        assert one.families or one.names
        if one.training != "allowed":
            assert one.quote, one.id
        assert one.licence or one.terms_url, one.id


@pytest.mark.parametrize(
    ("model", "url", "training", "licence"),
    [
        ("gpt-4o-mini", "https://api.openai.com/v1", "competing", ""),
        ("openai/gpt-oss-20b", "http://127.0.0.1/v1", "allowed", "Apache-2.0"),
        ("claude-haiku-5-5", "https://proxy.example/v1", "forbidden", ""),
        ("gemini-2.5-flash", "https://x/v1", "competing", ""),
        ("google/gemma-3-27b-it", "http://127.0.0.1/v1", "conditions", "gemma"),
        ("google/gemma-4-31b-it", "http://127.0.0.1/v1", "allowed", "Apache-2.0"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "http://x/v1", "forbidden", "llama3"),
        ("llama-2-7b-chat", "http://x/v1", "forbidden", "llama3"),
        ("meta-llama/Llama-3.1-8B-Instruct", "http://x/v1", "conditions", "llama-community"),
        ("llama3.2:1b", "http://x/v1", "conditions", "llama-community"),
        ("Llama-3_3-70B", "http://x/v1", "conditions", "llama-community"),
        ("Llama-4-Scout-17B", "http://x/v1", "conditions", "llama-community"),
        ("deepseek-chat", "https://api.deepseek.com/v1", "allowed", ""),
        ("deepseek-ai/DeepSeek-R1", "http://127.0.0.1/v1", "allowed", "MIT"),
        ("Qwen/Qwen3-8B", "http://127.0.0.1/v1", "allowed", "Apache-2.0"),
        ("qwen-max", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "competing", ""),
        ("glm-5", "https://api.z.ai/v1", "forbidden", ""),
        ("SmolLM2-135M-Instruct", "http://127.0.0.1/v1", "allowed", "Apache-2.0"),
        ("clock-teacher", "embedded:clock", "allowed", "Apache-2.0"),
        ("sympy", "embedded:sympy", "allowed", "BSD-3-Clause"),
        ("acme-7b", "http://127.0.0.1/v1", "unknown", ""),
        ("my-gpt-clock", "https://evil-openai.com.example/v1", "competing", ""),
    ],
)
def test_what_the_table_says(model: str, url: str, training: str, licence: str) -> None:
    found = says(model, url)
    assert (found.training, found.licence) == (training, licence)


def test_a_teacher_that_forbids_needs_a_statement_and_keeps_it(tmp_path: Path) -> None:
    teacher = {"base_url": "https://api.openai.com/v1", "model": "gpt-4o-mini"}
    with pytest.raises(DistillError, match=r"do not allow.*compete with OpenAI.*--i-may"):
        made(plan_of(tmp_path, teacher=teacher))
    assert not (tmp_path / "run").exists()
    with pytest.raises(DistillError, match="--i-may"):
        made(plan_of(tmp_path, teacher=teacher | {"i_may": "yes  \n"}))
    why = "our contract 2026-17 with OpenAI, section 4, allows it"
    kept = made(plan_of(tmp_path, teacher=teacher | {"i_may": why})).teacher
    assert why in warning(kept)
    on_disk = read_json(tmp_path / "run" / "teacher.json")
    assert (on_disk["i_may"], on_disk["said_by"], on_disk["said_at_us"]) == (why, "tester", 1_000_000)
    assert on_disk["quote"] in warning(kept) or on_disk["terms_url"] in warning(kept)
    later = prepare(plan_of(tmp_path, teacher=teacher | {"i_may": why}), "another", 2_000_000).teacher
    assert (later["said_by"], later["said_at_us"]) == ("tester", 1_000_000), "who said it first, and when"


def test_the_plan_s_licence_goes_first_and_unknown_is_said() -> None:
    own = record(Teacher("http://x/v1", "acme", licence="CC-BY-4.0", terms_url="https://t"), "me", 1)
    assert (own["licence"], own["licence_from"], warning(own)) == ("CC-BY-4.0", "the plan", None)
    unknown = record(Teacher("http://x/v1", "acme"), "me", 1)
    assert unknown["licence"] == "unknown"
    assert "nothing is known" in warning(unknown)
    duties = record(Teacher("http://x/v1", "gemma-3-4b"), "me", 1)
    assert "attaches duties" in warning(duties)


# --- the folder ------------------------------------------------------------------------------------------


def test_preparing_again_writes_the_same(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, heldout={"task": "clock", "n": 7, "seed": 9})
    run = made(plan).run
    before = {one.name: one.read_bytes() for one in run.path.iterdir()}
    made(plan)
    assert {one.name: one.read_bytes() for one in run.path.iterdir()} == before
    assert made(load(run.path, {}), again=False).prompts == 5
    assert load(run.path, {}) == plan
    assert len(list(read_prompts(run.heldout))) == 7


BAD = [
    ("not json", "is no JSON"),
    ("[1]", "holds a list, not an object"),
    ('{"prompt": 3}', 'has neither "prompt"'),
    ('{"prompt": "  "}', "asks nothing"),
    ('{"messages": []}', "no list with messages"),
    ('{"messages": [{"role": "user"}]}', "no content that is text"),
    ('{"messages": [{"role": "king", "content": "x"}]}', "a message's role is 'king'"),
    ('{"messages": [{"role": "assistant", "content": "x"}]}', "the last message is the assistant's"),
    ('{"prompt": "x", "task": "chess"}', "there is no task 'chess'; there are"),
    ('{"prompt": "x", "task": "maths"}', '"expected" is neither a number nor a text'),
    ('{"prompt": "x", "task": "code", "expected": {"tests": ""}}', "exactly one of tests"),
    ('{"prompt": "x", "id": "good"}', "the id 'good' stands at"),
    ('{"prompt": "x", "id": ""}', '"id" is no text'),
    ('{"prompt": "half \\ud800"}', "half a character"),
    ("[" * 5000, "is no JSON"),
    ("\xff\xfe", "is no JSON"),
]


def test_bad_lines_are_named_and_the_rest_is_used(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    lines = ['{"prompt": "fine", "id": "good"}', *(line for line, _ in BAD), "", '{"prompt": "fine"}']
    file.write_bytes("\n".join(lines).encode("latin-1"))
    got = made(plan_of(tmp_path, prompts={"file": str(file)}))
    assert [(one.place, why in one.reason) for one, (_, why) in zip(got.rejected, BAD, strict=True)] == [
        (f"{file}:{number + 2}", True) for number in range(len(BAD))
    ]
    assert (got.prompts, got.duplicates) == (1, 1)
    kept = [json.loads(line) for line in (got.run.path / "rejected.jsonl").read_text().splitlines()]
    assert len(kept) == len(BAD)


def test_a_line_without_end_is_skipped_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillwatch.distill.rows.LONGEST_LINE", 1000)
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt": "' + "x" * 5000 + '"}\n{"prompt": "short"}\n')
    got = made(plan_of(tmp_path, prompts={"file": str(file)}))
    assert (got.prompts, len(got.rejected)) == (1, 1)


def test_nothing_that_is_held_out_is_asked(tmp_path: Path) -> None:
    shared = "how many boats of the nine red ones in the harbour were built before the war began"
    prompts, heldout = tmp_path / "p.jsonl", tmp_path / "h.jsonl"
    prompts.write_text(
        json.dumps({"prompt": f"So: {shared}?"}) + "\n" + json.dumps({"prompt": "else"}) + "\n"
    )
    heldout.write_text(json.dumps({"prompt": f"{shared}!"}) + "\n")
    got = made(plan_of(tmp_path, prompts={"file": str(prompts)}, heldout={"file": str(heldout)}))
    assert (got.prompts, got.contaminated) == (1, 1)
    heldout.write_text(prompts.read_text())
    with pytest.raises(
        DistillError, match="no prompt can be used: 0 lines were rejected, 2 are in the held-out"
    ):
        made(plan_of(tmp_path, prompts={"file": str(prompts)}, heldout={"file": str(heldout)}))


def test_a_task_makes_as_many_as_are_wanted_whatever_is_left_out(tmp_path: Path) -> None:
    got = made(
        plan_of(tmp_path, prompts={"task": "clock", "n": 700}, heldout={"task": "clock", "n": 200, "seed": 3})
    )
    assert got.prompts == 700


def test_a_task_whose_every_prompt_is_left_out_comes_to_an_end(tmp_path: Path) -> None:
    """One word in common is too strict: the draw never ended."""
    plan = plan_of(
        tmp_path,
        prompts={"task": "clock", "n": 3},
        heldout={"task": "clock", "n": 2},
        curate={"contamination_words": 1},
    )
    with pytest.raises(DistillError, match="no prompt can be used"):
        made(plan)


def test_a_system_message_goes_before_prompts_that_have_none(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    own = {"messages": [{"role": "system", "content": "own"}, {"role": "user", "content": "a"}]}
    file.write_text(json.dumps({"prompt": "b"}) + "\n" + json.dumps(own) + "\n")
    run = made(plan_of(tmp_path, prompts={"file": str(file), "system": "be short"})).run
    assert [one.messages[0]["content"] for one in read_prompts(run.prompts)] == ["be short", "own"]


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"budget": {}}, "there is no budget"),
        ({"teacher": {"model": "acme"}}, "teacher.base_url and teacher.model are needed"),
        ({"prompts": {}}, "there are no prompts"),
        ({"prompts": {"task": "clock"}}, "prompts.n is 0"),
        ({"prompts": {"task": "chess", "n": 3}}, "there is no task 'chess'"),
        ({"prompts": {"task": "maths", "n": 3}}, "makes no prompts"),
        ({"folder": ""}, "the run has no folder"),
        ({"folder": "/proc/nowhere"}, "cannot be made"),
        ({"prompts": {"file": "/nowhere.jsonl"}}, "cannot be read"),
    ],
)
def test_what_a_run_cannot_do_without(tmp_path: Path, sections: dict[str, Any], words: str) -> None:
    with pytest.raises((DistillError, InputError), match=words):
        made(plan_of(tmp_path, **sections))


def test_a_run_s_own_files_are_read_back_as_they_were(tmp_path: Path) -> None:
    run = DistillRun(tmp_path)
    odd = Prompt(
        "\u202e<b>", ({"role": "user", "content": "a\x00\n\x1b\ud800"},), "free", {"x": [1, None]}, "s"
    )
    from stillwatch.distill.rows import write_rows

    write_rows(run.prompts, [odd])
    assert list(read_prompts(run.prompts)) == [odd]
    run.prompts.write_text('{"id": "a"}\n')
    with pytest.raises(InputError, match=r"prompts\.jsonl:1"):
        list(read_prompts(run.prompts))
