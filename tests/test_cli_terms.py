"""`stillwatch terms`: arguments in, answers and exit codes out."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from stillwatch.cli.main import app
from stillwatch.terms.load import load

TERMS = """version = 7
[models.aliases]
team-fast = "deepseek/deepseek-chat"
[[ban]]
family = "deepseek"
[[test]]
request = { model = "DEEPSEEK_R1", org = "lab", n = 2 }
expect = "deny"
rule = "ban:deepseek"
[[test]]
request = { model = "team-fast" }
resolves_to = "deepseek/deepseek-chat"
expect = "ban"
[[test]]
request = { model = "gpt-4o" }
standing = { step = "throttle", output_tokens_per_hour = 10 }
spent = { output_tokens_hour = 10 }
expect = "limit"
[[test]]
request = { model = "gpt-4o", logprobs = true, account = "a", operation = "responses" }
standing = "strip"
expect = "strip"
[[test]]
request = { model = "gpt-4o" }
served = "deepseek-chat"
expect = "deny"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "terms.toml"
    path.write_text(TERMS)
    return path


def typed(*words: object) -> Result:
    return CliRunner().invoke(app, ["terms", *map(str, words)])


def test_init_writes_terms_that_check_and_test_well(tmp_path: Path) -> None:
    path = tmp_path / "terms.toml"
    done = typed("init", path, "--owner", "Example Inc.")
    assert (done.exit_code, path.name in done.stdout) == (0, True)
    assert load(path).owner == "Example Inc."
    assert typed("check", path).stdout == (
        f"{path}: version 1, 0 bans, 0 exceptions, 0 permissions, 3 ladder rules, 2 tests\n"
    )
    assert typed("test", path).exit_code == 0
    again = typed("init", path)
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)
    assert typed("init", tmp_path / "no" / "terms.toml").exit_code == 2
    odd = typed("init", tmp_path / "odd.toml", "--owner", "a\x1bb")
    assert (odd.exit_code, (tmp_path / "odd.toml").exists()) == (2, False)


def test_check_names_every_problem(file: Path) -> None:
    good = typed("check", file)
    assert good.exit_code == 0
    assert good.stdout.splitlines() == [
        f"warning: {file}:3: models.aliases.team-fast: 'team-fast' is refused nevertheless (ban:deepseek): "
        "'deepseek/deepseek-chat' is of the banned family deepseek.",
        f"{file}: version 7, 1 ban, 0 exceptions, 0 permissions, 1 ladder rule, 5 tests",
    ]
    file.write_text(TERMS.replace("version = 7", "version = 7.5\ncolor = 1"))
    bad = typed("check", file)
    assert bad.exit_code == 2
    assert [line.split(": ")[0] for line in bad.stdout.splitlines()] == [f"{file}:1", f"{file}:2"]
    as_json = typed("check", file, "--json")
    assert as_json.exit_code == 2
    content = json.loads(as_json.stdout)
    assert (content["version"], len(content["problems"]), content["warnings"]) == (None, 2, [])
    missing = typed("check", file.with_name("none.toml"))
    assert (missing.exit_code, "does not exist" in missing.stdout) == (2, True)


def test_the_tests_in_the_file_pass(file: Path) -> None:
    done = typed("test", file)
    assert done.exit_code == 0, done.stdout
    assert done.stdout.endswith("5 of 5 passed\n")
    assert "DEEPSEEK_R1 of lab 2 answers" in done.stdout


def test_a_failing_test_says_why_and_is_exit_code_1(file: Path) -> None:
    file.write_text(
        TERMS.replace('expect = "limit"', 'expect = "allow"')
        .replace('rule = "ban:deepseek"', 'rule = "ban:qwen"')
        .replace('resolves_to = "deepseek/deepseek-chat"', 'resolves_to = "gpt-4o"')
    )
    done = typed("test", file)
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-4:] == [
        f"{file}:6: expected the rule ban:qwen, got ban:deepseek",
        f"{file}:10: expected gpt-4o as the upstream's model, got deepseek/deepseek-chat",
        f"{file}:14: expected allow, got limit from standing.throttle",
        "2 of 5 passed",
    ]
    content = json.loads(typed("test", file, "--json").stdout)
    assert (content["passed"], content["failed"]) == (2, 3)
    assert [test["passed"] for test in content["tests"]] == [False, False, False, True, True]


def test_a_file_without_tests(file: Path) -> None:
    file.write_text("version = 1")
    done = typed("test", file)
    assert (done.exit_code, "holds no [[test]]" in done.stdout) == (0, True)


def test_diff_says_what_changes(file: Path) -> None:
    new = file.with_name("new.toml")
    new.write_text("version = 8\n[limits]\nmax_n = 2\n")
    done = typed("diff", file, new)
    assert done.exit_code == 0
    for words in ("stricter  limits.max_n", "looser    ban.deepseek", "deepseek is no longer banned"):
        assert words in done.stdout
    found = json.loads(typed("diff", file, new, "--json").stdout)["changes"]
    assert {"direction": "looser", "where": "ban.deepseek", "text": "deepseek is no longer banned"} in found
    assert typed("diff", file, file).stdout == "The same rules.\n"
    new.write_text("version = 'x'")
    assert typed("diff", file, new).exit_code == 2


@pytest.mark.parametrize("verb", ["init", "check", "diff", "test"])
def test_help_shows_examples(verb: str) -> None:
    done = typed(verb, "--help")
    assert (done.exit_code, f"stillwatch terms {verb}" in done.stdout) == (0, True)
