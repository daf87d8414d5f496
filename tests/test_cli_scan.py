"""`stillwatch scan` and `stillwatch explain` as typed: exit codes, output, and what they never print."""

import gzip
import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from typer.testing import CliRunner

from scan_world import START, Scene, scene
from stillwatch.cli.main import app
from stillwatch.exchanges import rejects
from stillwatch.report.findings import schema

CANARY = "xylocarp-quandary"


def stillwatch(*words: str | Path) -> Result:
    """Run a command in this process, as a terminal would."""
    return CliRunner().invoke(app, [str(word) for word in words])


def check_polite(done: Result, code: int) -> None:
    """Check for the wanted exit code, and for no exception except the one that carries it."""
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert "Traceback" not in done.output


@dataclass(frozen=True)
class Files:
    log: Path
    accounts: Path
    scene: Scene


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Write a pool among honest people, as files."""
    folder = tmp_path_factory.mktemp("logs")
    planted = scene(1, people=300)
    pq.write_table(planted.table, folder / "log.parquet")
    pq.write_table(planted.accounts, folder / "accounts.parquet")
    return Files(folder / "log.parquet", folder / "accounts.parquet", planted)


@pytest.fixture(scope="module")
def report(files: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    check_polite(stillwatch("scan", files.log, "--accounts", files.accounts, "--out", out), 0)
    return out


@pytest.fixture(scope="module")
def findings(report: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((report / "findings.json").read_text())
    assert found["campaigns"], "nothing to look at"
    return found


def lines(*, bad: tuple[str, ...] = (), many: int = 40, text: str = "hello") -> str:
    good = [
        json.dumps(
            {
                "time": (START + timedelta(minutes=k)).isoformat(),
                "account": f"a{k % 7}",
                "model": f"m{k % 2}",
                "prompt": f"{text} {k}",
                "system": f"{text} system",
                "completion": f"{text} answer",
            }
        )
        for k in range(many)
    ]
    return "\n".join([*good[:5], *bad, *good[5:]]) + "\n"


def without_seconds(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    found["scanned"].pop("seconds")
    return found


# --- exit codes -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_scan_writes_its_report_and_says_where(files: Files, tmp_path: Path) -> None:
    done = stillwatch("scan", files.log, "--accounts", files.accounts, "--out", tmp_path / "deep" / "report")
    check_polite(done, 0)
    assert "index.html" in done.stdout
    written = {path.name for path in (tmp_path / "deep" / "report").iterdir()}
    assert written == {"findings.json", "evidence.json", "index.html"}


@pytest.mark.slow
def test_a_campaign_is_exit_code_1_only_when_asked(files: Files, report: Path, tmp_path: Path) -> None:
    done = stillwatch(
        "scan", files.log, "--accounts", files.accounts, "--out", tmp_path, "--fail-on-campaign"
    )
    check_polite(done, 1)
    assert without_seconds((tmp_path / "findings.json").read_text()) == without_seconds(
        (report / "findings.json").read_text()
    )
    calm = tmp_path / "calm.jsonl"
    calm.write_text(lines())
    check_polite(stillwatch("scan", calm, "--out", tmp_path, "--fail-on-campaign"), 0)


@pytest.mark.slow
def test_a_refused_line_is_exit_code_3_and_a_dead_letter(tmp_path: Path) -> None:
    log, out = tmp_path / "log.jsonl", tmp_path / "out"
    log.write_text(lines(bad=("{broken", '{"time": "2026-03-02T00:00:00Z"}')))
    done = stillwatch("scan", log, "--out", out)
    check_polite(done, 3)
    assert "2 lines rejected" in done.stderr
    letters = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert [letter["place"].rpartition(":")[2] for letter in letters] == ["6", "7"]
    assert json.loads((out / "findings.json").read_text())["scanned"]["rejected"] == 2
    log.write_text(lines())
    check_polite(stillwatch("scan", log, "--out", out), 0)
    assert not (out / "rejected.jsonl").exists(), "an earlier scan's dead letters were left"


@pytest.mark.slow
def test_dead_letters_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejects, "DEAD_LETTERS", 10)
    log, out = tmp_path / "log.jsonl", tmp_path / "out"
    log.write_text(lines(bad=("{broken " + "x" * 10_000,) * 50))
    check_polite(stillwatch("scan", log, "--out", out, "--keep-text"), 3)
    letters = (out / "rejected.jsonl").read_text().splitlines()
    assert len(letters) == 10
    assert max(map(len, letters)) < 6000
    assert json.loads((out / "findings.json").read_text())["scanned"]["rejected"] == 50


def bad_inputs(folder: Path) -> dict[str, list[Path | str]]:
    """Return command lines that cannot be scanned."""
    good = folder / "good.jsonl"
    good.write_text(lines())
    contents: dict[str, bytes] = {
        "empty.jsonl": b"",
        "blank.jsonl": b"\n\n\n",
        "noise.bin": bytes(range(256)) * 20,
        "cut.parquet": b"PAR1" + b"\0" * 40,
        "cut.jsonl.gz": gzip.compress(lines().encode())[:60],
        "list.json": b"[1, 2, 3]",
        "no_prompt.csv": b"time,account,colour\n2026-03-02T00:00:00Z,a,red\n",
        "no_zone.jsonl": b'{"time": "2026-03-02 10:00:00", "account": "a", "prompt": "b"}\n',
        "nan.jsonl": b'{"time": NaN, "account": "a", "prompt": "b"}\n',
        "short.key": b"abc",
        "bad_accounts.csv": b"colour\nred\n",
        "empty_accounts.csv": b"",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "hollow").mkdir()
    (folder / "a_file").write_text("x")
    out: list[Path | str] = ["--out", folder / "out"]
    cases: dict[str, list[Path | str]] = {
        name: [folder / name, *out] for name in contents if "accounts" not in name and "key" not in name
    }
    return cases | {
        "missing file": [folder / "nothing.jsonl", *out],
        "missing folder": [folder / "no" / "such" / "*.parquet", *out],
        "empty folder": [folder / "hollow", *out],
        "missing accounts": [good, "--accounts", folder / "nothing.csv", *out],
        "bad accounts": [good, "--accounts", folder / "bad_accounts.csv", *out],
        "empty accounts": [good, "--accounts", folder / "empty_accounts.csv", *out],
        "missing key": [good, "--key-file", folder / "nothing.key", *out],
        "key is a folder": [good, "--key-file", folder / "hollow", *out],
        "short key": [good, "--key-file", folder / "short.key", *out],
        "out is a file": [good, "--out", folder / "a_file"],
        "out lies in a file": [good, "--out", folder / "a_file" / "deeper"],
        "the dial is no number": [good, "--false-cases", "nan", *out],
        "the dial is endless": [good, "--false-cases", "inf", *out],
        "no threads": [good, "--threads", "0", *out],
        "no log": [*out],
    }


@pytest.mark.slow
def test_what_cannot_be_scanned_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    for name, words in bad_inputs(tmp_path).items():
        done = stillwatch("scan", *words)
        assert done.exit_code == 2, f"{name}: exit code {done.exit_code}: {done.output}"
        check_polite(done, 2)
        assert done.stdout == "", name
        assert done.stderr.strip(), name


@pytest.mark.parametrize("name", ["missing file", "missing accounts", "short key", "out is a file"])
def test_a_refusal_names_what_is_wrong(name: str, tmp_path: Path) -> None:
    words = bad_inputs(tmp_path)[name]
    wrong = {
        "missing file": "nothing.jsonl",
        "missing accounts": "nothing.csv",
        "short key": "short.key: a sketch key of 3 bytes; give at least 16",
        "out is a file": "a_file",
    }[name]
    done = stillwatch("scan", *words)
    assert wrong in done.stderr
    assert done.stderr.startswith("stillwatch: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_key_is_taken_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, key = tmp_path / "log.jsonl", tmp_path / "key"
    log.write_text(lines())
    key.write_bytes(b"sixteen bytes of secret")
    check_polite(stillwatch("scan", log, "--key-file", key, "--out", tmp_path / "out"), 0)
    monkeypatch.setenv("STILLWATCH_KEY_FILE", str(tmp_path / "gone"))
    check_polite(stillwatch("scan", log, "--out", tmp_path / "out"), 2)


@pytest.mark.slow
def test_a_time_without_a_zone_is_taken_for_utc_only_when_told(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"time": "2026-03-02 10:00:00", "account": "a", "prompt": "b"}\n')
    check_polite(stillwatch("scan", log, "--out", tmp_path / "out"), 2)
    check_polite(stillwatch("scan", log, "--assume-utc", "--out", tmp_path / "out"), 4)  # read; one account


# --- --json -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_json_prints_the_findings_and_nothing_else(
    files: Files, findings: dict[str, Any], tmp_path: Path
) -> None:
    done = stillwatch("scan", files.log, "--accounts", files.accounts, "--out", tmp_path, "--json")
    check_polite(done, 0)
    assert done.stdout == (tmp_path / "findings.json").read_text()
    jsonschema.validate(json.loads(done.stdout), schema(), cls=jsonschema.Draft202012Validator)
    assert done.stderr == ""
    assert without_seconds(done.stdout)["campaigns"] == findings["campaigns"]


@pytest.mark.slow
def test_json_stays_json_where_lines_were_refused(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(lines(bad=("nonsense",)))
    done = stillwatch("scan", log, "--out", tmp_path / "out", "--json")
    check_polite(done, 3)
    assert json.loads(done.stdout)["scanned"]["rejected"] == 1
    assert "1 line rejected" in done.stderr


@pytest.mark.slow
def test_a_full_disk_costs_the_files_and_not_what_was_found(tmp_path: Path) -> None:
    log, out = tmp_path / "log.jsonl", tmp_path / "out"
    log.write_text(lines(bad=("{broken",) * 300))
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048)); "
        f"sys.argv = ['stillwatch', 'scan', {str(log)!r}, '--out', {str(out)!r}]; "
        "from stillwatch.cli.main import run; run()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "No campaign found in 40 exchanges" in done.stdout
    assert "Traceback" not in done.stderr
    assert "rejected.jsonl: cannot be written: File too large" in done.stderr.replace("\n", "")
    assert "could not be written: File too large" in done.stderr.splitlines()[-1]
    assert not (out / "findings.json").exists()


@pytest.mark.slow
def test_what_was_lost_in_reading_is_said(tmp_path: Path) -> None:
    log, out = tmp_path / "log.jsonl", tmp_path / "out"
    row = json.loads(lines(many=1))
    bare = {"time": row["time"], "account": "b", "prompt": None}
    log.write_text(lines() + lines() + json.dumps(bare) + "\n" + json.dumps(row | {"seed": 1e300}) + "\n")
    done = stillwatch("scan", log, "--out", out)
    check_polite(done, 3)
    said = " ".join(done.output.split())
    assert "Not every exchange has a prompt: 1 row without one, of 82." in said
    assert "41 rows repeated an earlier one" in said
    assert "1 value left empty" in said


# --- no text is disclosed ---------------------------------------------------------------------------------


def everything(done: Result, out: Path) -> dict[str, str]:
    shown = {"stdout": done.stdout, "stderr": done.stderr}
    return shown | {p.name: p.read_text("utf-8") for p in out.rglob("*") if p.is_file()}


BAD_WITH_TEXT = (
    f'{{"time": "never", "account": "a", "prompt": "{CANARY} one"}}',
    f'{{"time": "2026-03-02T00:00:00Z", "account": "", "prompt": "{CANARY} two"}}',
    f'{{"time": "2026-03-02T00:00:00Z", "prompt": "{CANARY} three"}}',
    f"{CANARY} and no JSON",
    f'{{"prompt": "{CANARY} cut',
    f'["{CANARY}"]',
    f'"{CANARY}"',
)
MISPLACED = (
    f'{{"time": "2026-03-02T00:00:00Z", "account": "a", "prompt": "{CANARY}", "turn": "{CANARY}"}}',
    f'{{"prompt": "b", "time": "2026-03-02T00:00:00Z", "account": ["{CANARY}"]}}',
    f'{{"time": "{CANARY} five", "account": "a", "prompt": "b"}}',
)


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["jsonl", "csv"])
def test_no_text_of_the_log_is_in_any_output(tmp_path: Path, shape: str) -> None:
    log, out = tmp_path / f"log.{shape}", tmp_path / "out"
    if shape == "jsonl":
        log.write_text(lines(text=CANARY, bad=BAD_WITH_TEXT))
    else:
        rows = [f"2026-03-02T00:00:{k:02}Z,a{k},m{k % 2},{CANARY} {k}" for k in range(30)]
        rows += [f"never,a,m,{CANARY}", f"2026-03-02T00:00:59Z,a,m,{CANARY},{CANARY}", f'2026,b,m,"{CANARY}']
        log.write_text("time,account,model,prompt\n" + "\n".join(rows) + "\n")
    done = stillwatch("scan", log, "--out", out)
    check_polite(done, 3)
    shown = everything(done, out)
    assert "rejected.jsonl" in shown
    assert [name for name, text in shown.items() if CANARY in text or CANARY.partition("-")[0] in text] == []
    check_polite(stillwatch("explain", "a1", "--report", out), 0)


@pytest.mark.slow
@pytest.mark.parametrize("line", MISPLACED, ids=["a number", "a list", "a time"])
def test_a_text_in_the_wrong_place_is_in_no_output(tmp_path: Path, line: str) -> None:
    log, out = tmp_path / "log.jsonl", tmp_path / "out"
    log.write_text(lines(bad=(line,)))
    done = stillwatch("scan", log, "--out", out)
    check_polite(done, 3)
    assert [name for name, text in everything(done, out).items() if CANARY in text] == []


@pytest.mark.slow
def test_no_text_of_a_campaign_is_in_any_output(files: Files, report: Path, findings: dict[str, Any]) -> None:
    """Not even the template: no file contains the words of all of the pool's prompts."""
    mine = [row["prompt"] for row in files.scene.crowd.rows if row["account"] in files.scene.pools["p0"]]
    shared = {word for word in mine[0].split() if sum(word in text.split() for text in mine) > 100}
    assert len(shared) > 5
    done = stillwatch("explain", findings["campaigns"][0]["id"], "--report", report)
    check_polite(done, 0)
    for name, text in everything(done, report).items():
        assert not [word for word in shared if word in text.split()], name


@pytest.mark.slow
def test_keep_text_keeps_the_text_of_refused_lines_alone(tmp_path: Path) -> None:
    log, out = tmp_path / "log.jsonl", tmp_path / "out"
    log.write_text(lines(text="secret-of-the-good", bad=BAD_WITH_TEXT))
    done = stillwatch("scan", log, "--out", out, "--keep-text")
    check_polite(done, 3)
    shown = everything(done, out)
    assert CANARY in shown["rejected.jsonl"]
    assert not any("secret-of-the-good" in text for text in shown.values())


# --- explain ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_explain_knows_campaigns_and_accounts_by_how_they_begin(
    report: Path, findings: dict[str, Any]
) -> None:
    case = findings["campaigns"][0]
    whole = stillwatch("explain", case["id"], "--report", report)
    check_polite(whole, 0)
    assert case["id"] in whole.stdout
    assert stillwatch("explain", case["id"][:9], "--report", report).stdout == whole.stdout
    account = stillwatch("explain", case["accounts"][0], "--report", report)
    check_polite(account, 0)
    assert case["accounts"][0] in account.stdout
    honest = next(a["account"] for a in findings["accounts"] if a["campaign"] is None)
    check_polite(stillwatch("explain", honest, "--report", report), 0)


def test_explain_as_json_says_the_same_and_of_an_account_names_no_stranger(
    report: Path, findings: dict[str, Any]
) -> None:
    case = findings["campaigns"][0]
    whole = json.loads(stillwatch("explain", case["id"], "--report", report, "--json").stdout)
    assert (whole["sort"], whole["campaign"], whole["account"]) == ("campaign", case["id"], None)
    assert {r["text"] for r in whole["reasons"]} == {r["text"] for r in case["reasons"]}
    account = case["accounts"][0]
    own = json.loads(stillwatch("explain", account, "--report", report, "--json").stdout)
    assert own["account"]["account"] == account
    assert own["campaign"] == case["id"]
    assert own["firm"] in (True, False)
    assert all(account in (link["a"], link["b"]) for link in own["links"])
    honest = next(a["account"] for a in findings["accounts"] if a["campaign"] is None)
    assert json.loads(stillwatch("explain", honest, "--report", report, "--json").stdout)["reasons"] == []


@pytest.mark.parametrize(("subject", "said"), [("acct-", "subjects begin so"), ("nobody", "no such account")])
def test_explain_says_why_it_cannot(report: Path, subject: str, said: str) -> None:
    done = stillwatch("explain", subject, "--report", report)
    check_polite(done, 2)
    assert said in done.stderr


def test_explain_without_a_report_says_what_to_run(tmp_path: Path) -> None:
    done = stillwatch("explain", "anyone", "--report", tmp_path)
    check_polite(done, 2)
    assert "stillwatch scan" in done.stderr
    (tmp_path / "findings.json").write_text("{")
    check_polite(stillwatch("explain", "anyone", "--report", tmp_path), 2)


@pytest.mark.slow
def test_the_installed_command_does_the_same(tmp_path: Path) -> None:
    """Once in a separate process: entry point, streams and exit code."""
    log = tmp_path / "log.jsonl"
    log.write_text(lines(bad=(f"{CANARY} no JSON",)))
    command = [sys.executable, "-c", "from stillwatch.cli.main import run; run()", "scan", str(log)]
    done = subprocess.run(
        [*command, "--json", "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["scanned"]["exchanges"] == 40
    assert CANARY not in done.stdout + done.stderr
