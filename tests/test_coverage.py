"""What a log must contain for each rule to apply, and what is reported if it lacks it."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from scan_world import START, Crowd, log_of, scene
from stillwatch.cli.main import app
from stillwatch.report.findings import load, schema
from stillwatch.report.page import headline, render
from stillwatch.scan import Coverage, ScanResult
from stillwatch.scan.coverage import could_not_judge
from stillwatch.scan.pipeline import scan_log

Row = dict[str, Any]


def row(k: int) -> Row:
    """Return an exchange to which every rule applies: twelve accounts, two models, half an hour apart."""
    return {
        "time": (START + timedelta(minutes=30 * k)).isoformat(),
        "account": f"a{k % 12}",
        "model": f"m{k % 2}",
        "prompt": f"tell me of number {k} and of what comes after it",
    }


def log(path: Path, change: Callable[[Row], Row], *, many: int = 40, more: str = "") -> Path:
    path.write_text("".join(json.dumps(change(row(k))) + "\n" for k in range(many)) + more)
    return path


def without(*names: str) -> Callable[[Row], Row]:
    return lambda one: {name: value for name, value in one.items() if name not in names}


def scan(path: Path, *words: str) -> tuple[int, str, ScanResult]:
    out = path.with_suffix(".report")
    done = CliRunner().invoke(app, ["scan", str(path), "--out", str(out), *words])
    findings = json.loads((out / "findings.json").read_text())
    jsonschema.validate(findings, schema(), cls=jsonschema.Draft202012Validator)
    return done.exit_code, " ".join(done.stdout.split()), load(out)


@pytest.mark.slow
def test_a_log_that_can_be_judged_is_exit_code_0(tmp_path: Path) -> None:
    code, shown, result = scan(log(tmp_path / "log.jsonl", lambda one: one))
    assert (code, result.judged) == (0, Coverage())
    assert shown.startswith("No campaign found in 40 exchanges of 12 accounts. Scanned")


LACKING = {
    "only time and account": (without("model", "prompt"), ["texts", "model"], "the log has no texts"),
    "empty prompts": (lambda one: one | {"prompt": ""}, ["texts"], "the log has no texts"),
    "no model": (without("model"), ["model"], "the log names no model"),
    "three accounts": (
        lambda one: one | {"account": f"a{int(one['account'][1:]) % 3}"},
        ["accounts"],
        "a group has at least 4 accounts and the log has 3",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("change", "lacks", "why"), LACKING.values(), ids=list(LACKING))
def test_where_something_is_lacking_it_says_could_not_judge(
    change: Callable[[Row], Row], lacks: list[str], why: str, tmp_path: Path
) -> None:
    code, shown, result = scan(log(tmp_path / "log.jsonl", change))
    assert code == 4
    assert shown.startswith("Could not judge")
    assert why in shown
    assert "No campaign found" not in shown
    assert not result.judged.groups
    assert list(result.judged.lacks) == lacks
    assert headline(result) in render(result)
    assert could_not_judge(result)


@pytest.mark.slow
def test_a_lone_payer_may_be_judged_where_groups_are_not(tmp_path: Path) -> None:
    _, shown, result = scan(log(tmp_path / "log.jsonl", without("model")))
    assert (result.judged.groups, result.judged.lone) == (False, True)
    assert shown.startswith("Could not judge groups: the log names no model")
    assert "No lone payer found in 40 exchanges of 12 accounts." in shown


@pytest.mark.slow
def test_could_not_judge_is_graver_than_rejected_lines(tmp_path: Path) -> None:
    code, _, result = scan(log(tmp_path / "log.jsonl", without("model", "prompt"), more="{broken\n"))
    assert (code, result.scanned.rejected) == (4, 1)
    code, _, result = scan(log(tmp_path / "other.jsonl", lambda one: one, more="{broken\n"))
    assert (code, result.scanned.rejected) == (3, 1)


@pytest.mark.slow
def test_without_a_model_column_other_settings_are_tested_in_part(tmp_path: Path) -> None:
    other = log(
        tmp_path / "log.jsonl", lambda one: without("model")(one) | {"max_tokens": len(one["account"])}
    )
    code, shown, result = scan(other)
    assert (code, result.judged.groups, result.judged.lacks) == (4, True, ("model",))
    assert "output limit and temperature alone show few groups" in shown


@pytest.mark.slow
def test_prompts_of_a_word_or_two_are_said_to_share_no_wording(tmp_path: Path) -> None:
    def short(one: Row) -> Row:
        return one | {"prompt": one["prompt"].split()[4]}

    code, shown, result = scan(log(tmp_path / "log.jsonl", short))
    assert (code, result.judged.groups, result.judged.lacks) == (0, False, ())
    assert "; but the prompts are too short to share wording." in shown
    code, shown, _ = scan(log(tmp_path / "bare.jsonl", lambda one: without("model")(short(one))))
    assert code == 4
    assert shown.startswith("Could not judge groups: the prompts are too short to share wording.")


@pytest.mark.slow
def test_one_model_for_everybody_tells_as_little_as_none(tmp_path: Path) -> None:
    code, shown, result = scan(log(tmp_path / "log.jsonl", lambda one: one | {"model": "m"}))
    assert (code, result.judged.groups, result.judged.lacks) == (4, False, ("model",))
    assert shown.startswith("Could not judge groups: the log names one model, and no output limit")
    varied = log(tmp_path / "more.jsonl", lambda one: one | {"model": "m", "max_tokens": len(one["account"])})
    code, shown, result = scan(varied)
    assert (code, result.judged.groups, result.judged.lacks) == (4, True, ("model",))
    assert "the log names one model, and output limit and temperature alone show few groups" in shown


@pytest.mark.slow
def test_without_an_accounts_table_a_group_is_a_lead_and_the_scan_could_not_judge(tmp_path: Path) -> None:
    """A class looks like a pool, and only the accounts table distinguishes them."""
    planted = scene(1, people=300)
    exchanges, accounts = tmp_path / "log.parquet", tmp_path / "accounts.parquet"
    pq.write_table(planted.table, exchanges)
    pq.write_table(planted.accounts, accounts)
    code, shown, result = scan(exchanges)
    assert (code, result.campaigns, result.judged.lacks) == (4, (), ("accounts table",))
    assert shown.startswith(
        "Could not judge groups: 1 group acts like one hand, but no accounts table was given"
    )
    assert "1 lead (it accuses nobody)" in shown
    (lead,) = result.leads
    assert len(set(lead.accounts) & set(planted.pools["p0"])) >= 36
    code, _, result = scan(exchanges, "--accounts", str(accounts))
    assert (code, len(result.campaigns)) == (0, 1)


@pytest.mark.slow
def test_what_is_found_is_found_whatever_is_lacking() -> None:
    planted = scene(1, people=300)
    whole = scan_log(log_of(planted.table), planted.accounts)
    assert whole.judged.groups
    assert whole.judged.lacks == ()
    at = planted.table.column_names.index("model")
    nameless = planted.table.set_column(at, "model", pa.nulls(len(planted.table), pa.string()))
    bare = scan_log(log_of(nameless), planted.accounts)
    assert bare.judged.lacks == ("model",)
    assert could_not_judge(bare) == (not bare.campaigns)


@pytest.mark.slow
def test_a_heavy_payer_among_few_cannot_be_ranked() -> None:
    crowd = Crowd(4)
    crowd.people("h", 30, lambda k: range(0, 200, 20))
    for n in range(320):
        crowd.says("loud", 10 + n / 10)
    judged = scan_log(log_of(crowd.table())).judged
    assert not judged.lone
    assert any("1 in all" in why for why in judged.why)


def test_a_prompt_under_a_name_that_nobody_knows_is_still_refused(tmp_path: Path) -> None:
    path = log(tmp_path / "log.jsonl", lambda one: without("prompt")(one) | {"promt": one["prompt"]})
    done = CliRunner().invoke(app, ["scan", str(path), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "no column 'prompt'" in done.stderr


@pytest.mark.slow
def test_a_line_without_a_prompt_among_others_is_still_refused(tmp_path: Path) -> None:
    more = json.dumps(without("prompt", "model")(row(1))) + "\n"
    code, _, result = scan(log(tmp_path / "log.jsonl", lambda one: one, more=more))
    assert (code, result.scanned.exchanges, result.scanned.rejected) == (3, 40, 1)


@pytest.mark.slow
def test_texts_of_a_few_are_no_texts(tmp_path: Path) -> None:
    """Three prompts in forty rows: otherwise one prompt would be enough for a log to count as judged."""
    few = log(
        tmp_path / "few.jsonl", lambda one: one if one["account"] in ("a1", "a2") else one | {"prompt": None}
    )
    code, shown, result = scan(few)
    assert (code, result.judged.groups) == (4, False)
    assert "texts" in result.judged.lacks
    assert "Could not judge groups" in shown
    most = log(
        tmp_path / "most.jsonl",
        lambda one: one | ({"prompt": None} if int(one["prompt"].split()[4]) > 15 else {}),
    )
    code, _, result = scan(most)
    assert (code, "texts" in result.judged.lacks) == (4, True)
    some = log(tmp_path / "some.jsonl", lambda one: one | ({"prompt": ""} if one["account"] == "a1" else {}))
    code, shown, result = scan(some)
    assert (code, result.judged.lacks) == (0, ())
    assert "4 of 40 exchanges have no text" in shown


@pytest.mark.slow
def test_one_id_with_two_prompts_is_said_and_the_whole_prompt_is_judged(tmp_path: Path) -> None:
    lines = [row(k) | {"exchange_id": f"e{k}"} for k in range(40)]
    cut = [one | {"prompt": one["prompt"][:12]} for one in lines[:5]]
    empty = [one | {"prompt": None} for one in lines[5:8]]
    same = lines[8:10]
    for order in (1, -1):
        path = tmp_path / f"log{order}.jsonl"
        path.write_text("\n".join(map(json.dumps, [*lines, *cut, *empty, *same][::order])))
        _, shown, result = scan(path)
        assert result.scanned.exchanges == 40
        assert "10 rows repeated an earlier one" in shown
        assert "5 rows had the id, account and time of another one and a different prompt" in shown
        assert "have no text" not in shown, "of a row with a prompt and one without, the prompt is kept"
