"""`stillwatch distill`: its output and exit codes."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from distill_teacher import Reply, teaching
from stillwatch.cli.main import app
from stillwatch.distill.rows import read_json


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["distill", *words], env={"COLUMNS": "200"})


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "p.jsonl"
    rows = ({"id": f"q{n}", "prompt": f"{n} + 1 ?", "task": "maths", "expected": n + 1} for n in range(8))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def asked(url: str, prompts: Path, *more: str) -> tuple[str, ...]:
    folder = str(prompts.parent / "run")
    return ("--base-url", url, "--model", "acme", "--prompts", str(prompts), "--folder", folder, *more)


def answer(number: int, body: dict[str, object]) -> Reply:
    first = int(str(body["messages"][0]["content"]).split()[0])  # type: ignore[index]
    return Reply(content=f"<think>{first} and one more</think>{first + 1 if first != 3 else 0}")


@pytest.mark.slow
def test_a_plan_to_start_from(tmp_path: Path) -> None:
    file = tmp_path / "clock.toml"
    assert run("new", str(file)).exit_code == 0
    again = run("new", str(file))
    assert again.exit_code == 2
    assert "--force" in again.stderr
    assert run("new", str(file), "--force").exit_code == 0
    assert run("new", "-").stdout == file.read_text()
    done = run("estimate", str(file), "--json")
    assert done.exit_code == 0, done.stderr
    most = json.loads(done.stdout)
    assert most["requests"] == 1000
    assert 0 < most["most_usd"] < 1
    assert most["teacher"]["licence"] == "Apache-2.0"


@pytest.mark.slow
def test_collect_and_curate(prompts: Path) -> None:
    with teaching(answer) as (url, seen):
        done = run("collect", *asked(url, prompts, "--requests", "100"))
        assert done.exit_code == 0, done.stderr
        assert "8 of 8 answers are stored (8 new), 8 requests, 120 tokens" in done.stdout
        assert "nothing is known of the terms of acme" in done.stderr
        folder = str(prompts.parent / "run")
        done = run("collect", folder, "--json")
        assert json.loads(done.stdout)["new"] == 0
        assert len(seen.bodies) == 8
    done = run("curate", folder)
    assert done.exit_code == 0, done.stderr
    assert "7 of 8 answers are kept" in done.stdout
    assert "is 0, not 4" in done.stdout
    told = json.loads(run("curate", folder, "--json", "--set", "curate.verify=false").stdout)
    assert told["kept"] == 8
    assert "verify = false" in Path(folder, "plan.toml").read_text(), "the next step goes by it"


@pytest.mark.slow
def test_at_the_budget_it_exits_with_4_and_goes_on(prompts: Path) -> None:
    with teaching(answer) as (url, seen):
        done = run("collect", *asked(url, prompts, "--requests", "3"))
        assert done.exit_code == 4
        assert "3 of 8 answers are stored" in done.stdout
        assert "3 of 3 requests are used; a larger budget goes on from here" in done.stderr
        folder = str(prompts.parent / "run")
        assert run("collect", folder).exit_code == 4
        assert run("collect", folder, "--requests", "50").exit_code == 0
    assert len(seen.bodies) == 8


@pytest.mark.slow
def test_rejected_lines_and_missing_answers_exit_with_3(prompts: Path) -> None:
    with prompts.open("a") as file:
        file.write("nonsense\n")
    with teaching(answer) as (url, _):
        done = run("collect", *asked(url, prompts, "--requests", "50"))
    assert done.exit_code == 3
    assert f"{prompts}:9: is no JSON" in done.stderr
    refusing = Reply(status=400, body=b'{"error": {"message": "no \\u001b[2J sevens"}}')
    with teaching(lambda n, body: refusing if n == 7 else answer(n, body)) as (url, _):
        done = run("collect", *asked(url, prompts, "--requests", "50", "--max-tokens", "9"))
    assert done.exit_code == 3
    assert "1 answer missing: HTTP 400: no \\x1b[2J sevens" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("collect",), "the run has no folder"),
        (("collect", "nowhere.toml"), "nowhere.toml: cannot be read"),
        (("collect", "--folder", "x", "--set", "collect.samples"), "KEY=VALUE is wanted"),
        (("collect", "--folder", "x", "--set", "nothing.of=1"), "the command line: nothing: unknown key"),
        (("curate",), "which run?"),
        (("train", "--folder", "nowhere"), "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_nobody_there_is_exit_2_and_says_what_stays(prompts: Path) -> None:
    done = run("collect", *asked("http://127.0.0.1:9/v1", prompts, "--requests", "50"))
    assert done.exit_code == 2
    assert "cannot be reached" in done.stderr
    assert "0 of 8 answers are stored and stay; the same command goes on" in done.stderr


def test_without_the_client_it_says_what_to_install(prompts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    done = run("collect", *asked("http://127.0.0.1:9/v1", prompts, "--requests", "50"))
    assert done.exit_code == 2
    assert "pip install 'stillwatch[train]'" in done.stderr


@pytest.mark.slow
def test_a_statement_is_recorded_and_needed(prompts: Path) -> None:
    def ask(url: str, *more: str) -> Result:
        words = ("--base-url", url, "--model", "gpt-4o-mini", "--prompts", str(prompts))
        return run("collect", *words, "--folder", str(prompts.parent / "run"), "--requests", "50", *more)

    with teaching(answer) as (url, seen):
        refused = ask(url)
        assert refused.exit_code == 2
        assert "compete with OpenAI" in refused.stderr
        assert not seen.bodies
        allowed = ask(url, "--i-may", "it is our own model behind that name")
        assert allowed.exit_code == 0, allowed.stderr
        assert "You say you may" in allowed.stderr
    kept = read_json(prompts.parent / "run" / "teacher.json")
    assert kept["i_may"] == "it is our own model behind that name"
    assert kept["said_by"]
    assert '"Traceback' not in allowed.output


@pytest.mark.slow
def test_help_names_every_verb_and_exit_code() -> None:
    for verb in ("new", "estimate", "collect", "curate", "train", "evaluate", "report", "run", "teach"):
        assert "Examples:" in run(verb, "--help").stdout
    assert "4 stopped at the budget" in " ".join(run("collect", "--help").stdout.split())


SIGNS = {"add": "+", "plus": "+", "minus": "-", "take": "-", "times": "*", "by": "*"}


def clock_answer(number: int, body: dict[str, object]) -> Reply:
    """Answer a clock problem as its teacher would."""
    words = str(body["messages"][-1]["content"]).split()  # type: ignore[index]
    at, steps = int(words[1]), []
    for place in range(2, len(words) - 1, 3):
        sign, by = SIGNS[words[place + 1]], int(words[place + 2])
        to = {"+": at + by, "-": at - by, "*": at * by}[sign] % 10
        steps.append(f"{words[place]} {at} {sign} {by} = {to}")
        at = to
    return Reply(content=f"<think>{' '.join(steps)}</think>{at}")


@pytest.mark.train
def test_all_of_it_from_one_command_and_again_for_nothing(tmp_path: Path) -> None:
    plan = tmp_path / "clock.toml"
    assert run("new", str(plan)).exit_code == 0
    small = ("--n", "40", "--set", "heldout.n=10", "--set", "train.steps=5", "--set", "train.batch=8")
    with teaching(clock_answer) as (url, seen):
        words = ("run", str(plan), "--base-url", url, *small, "--quiet")
        done = run(*words)
        assert done.exit_code == 0, done.output
        assert "40 of 40 answers are kept" in done.stdout
        folder = tmp_path / "clock"
        page = folder / "report.html"
        assert f"Page: {page}" in done.stdout
        assert page.exists()
        paid = len(seen.bodies)
        assert paid == 50, "40 to learn from, 10 to measure the teacher by"
        again = run(*words)
        assert again.exit_code == 0, again.output
        assert len(seen.bodies) == paid
    marks = read_json(folder / "evaluation.json")
    assert marks["teacher"]["clock"]["right"] == 10
    with teaching(clock_answer) as (url, seen):
        elsewhere = ("--folder", str(tmp_path / "short"), "--requests", "25")
        short = run("run", str(plan), "--base-url", url, *small, *elsewhere, "--quiet")
    assert short.exit_code == 4, short.output
    assert len(seen.bodies) == 25
    assert (tmp_path / "short" / "report.html").exists(), "a run that stopped at its budget has its page"
    assert "Apache-2.0" in (folder / "model" / "README.md").read_text()
    assert read_json(folder / "spent.json")["evaluation"]["answers"] == 10
