"""`stillwatch terms allowance`: its output follows from a log's days, and the policy accepts it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.terms.load import loads

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)


def log(folder: Path, spent: dict[str, list[int]]) -> list[Path]:
    """Write two files, each with half of every day, out of order; tokens by account and day."""
    rows = [
        {
            "time": BEGIN + timedelta(days=day, hours=half * 9),
            "account": name,
            "prompt": "?",
            "output_tokens": n,
        }
        for half in (1, 0)
        for name, days in spent.items()
        for day, n in enumerate(days)
    ]
    paths = [folder / "a.parquet", folder / "b.parquet"]
    for path, part in zip(paths, (rows[::2], rows[1::2]), strict=True):
        pq.write_table(pa.Table.from_pylist(part[::-1]), path)
    return paths


def run(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["terms", "allowance", *map(str, words)], catch_exceptions=True)
    return done.exit_code, done.stdout, f"{done.stderr}{done.exception}"


def test_everybody_has_the_usual_and_who_used_more_has_more(tmp_path: Path) -> None:
    spent = {f"a{k}": [50 + k, 10] for k in range(99)} | {'big "one"': [10, 5000]}
    code, told, errors = run(*log(tmp_path, spent), "--share", 0.98)
    assert code == 0, errors
    limits = loads("version = 1\n" + told).limits
    busiest = sorted(2 * max(days) for days in spent.values())
    assert limits.output_tokens_per_day == busiest[98]  # the 98th percentile, rounded up
    assert limits.slides
    assert limits.accounts['big "one"']["output_tokens_per_day"] == 740  # 2.5 times the others' limit
    assert "# its history supports 20_000: write that if you vouch for the account" in told
    assert "1 would need" in errors
    assert limits.accounts["a60"]["output_tokens_per_day"] == 2 * 2 * 110
    assert "a10" not in limits.accounts
    assert "100 accounts" in errors


def test_as_json(tmp_path: Path) -> None:
    code, told, _ = run(*log(tmp_path, {"a": [1, 2], "b": [3, 4]}), "--json")
    assert (code, json.loads(told)) == (
        0,
        {
            "output_tokens_per_day": 8,
            "day": "sliding",
            "answer_tokens": 4,
            "accounts": {"b": 16},
            "vouch": {},
        },
    )


def test_one_limit_for_all_is_three_times_the_busiest_day_of_any_account(tmp_path: Path) -> None:
    code, told, errors = run(*log(tmp_path, {"a": [1, 2], "b": [3, 40]}), "--flat")
    assert code == 0, errors
    limits = loads("version = 1\n" + told).limits
    assert (limits.output_tokens_per_day, limits.accounts) == (240, {})


def test_the_least_limit_that_would_have_refused_so_few(tmp_path: Path) -> None:
    """A hundred steady accounts, and two that begin on the last day with 1.4 and 30 times the tokens."""
    spent = {f"a{k}": [100, 100, 100] for k in range(100)}
    spent |= {"newcomer": [0, 0, 140], "load test": [0, 0, 3_000]}
    logs = log(tmp_path, spent)
    # the others' busiest day has 200 tokens before the last day, and the new account's 280 with it
    for most, step in ((0.5, 1), (0.005, 1.5), (0.001, 24)):
        limit = round(step * 280)
        code, told, errors = run(*logs, "--refuse", most)
        assert code == 0, errors
        assert loads("version = 1\n" + told).limits.output_tokens_per_day == limit, most
        assert f"may take {limit:,} tokens, and again 20 hours later" in " ".join(errors.split())


@pytest.mark.parametrize(
    ("days", "options", "words"),
    [
        ([9, 9], ["--refuse", 0.001], "2 days; --refuse needs 3"),
        ([9, 9, 9], ["--refuse", 0.001, "--flat"], "give one of them"),
        ([1, 1, 10**6], ["--refuse", 0], "the largest limit tried"),
    ],
    ids=["too few days", "two sizes", "no limit is large enough"],
)
def test_a_bound_that_cannot_be_had_is_refused(
    tmp_path: Path, days: list[int], options: list[object], words: str
) -> None:
    logs = log(tmp_path, {"a": days})
    code, told, errors = run(*logs, *options)
    assert (code, told) == (2, "")
    assert words in " ".join(errors.split())


@pytest.mark.parametrize("spent", [{"a": [0]}, {}], ids=["no tokens", "no rows"])
def test_a_log_without_output_is_refused(tmp_path: Path, spent: dict[str, list[int]]) -> None:
    path = tmp_path / "log.jsonl"
    rows = [
        {"time": BEGIN.isoformat(), "account": name, "prompt": "?", "output_tokens": n}
        for name, days in spent.items()
        for n in days
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, errors = run(path)
    assert code != 0
    assert "the file could not be read" in errors or "no answer with output tokens" in errors
