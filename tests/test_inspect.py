"""`stillwatch inspect`: what a log contains and lacks, and logs that arrive through a pipe."""

import io
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.errors import InputError
from stillwatch.exchanges import ACCOUNTS, RECORD
from stillwatch.exchanges.read import Rejects, read
from stillwatch.exchanges.registry import all_formats
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import sketch_batch
from stillwatch.exchanges.sources import local_files
from stillwatch.scan.inspect import CHOSEN, COSTS, REMEDIES, TABLE, inspect
from stillwatch.scan.pipeline import Options

DATA = Path(__file__).parent / "data" / "formats"
OPTIONS = Options(now=datetime(2026, 6, 1, tzinfo=UTC))
ROWS = [
    {
        "time": f"2026-03-{2 + i // 24:02}T{i % 24:02}:00:00Z",
        "account": f"a-{i % 12}",
        "prompt": f"Describe the river number {i} and where its water comes from",
        "model": f"m-{i % 2}",
        "max_tokens": None if i % 3 else 100 + i,
        "status": 200,
    }
    for i in range(96)
]


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def without(*names: str) -> list[dict]:
    return [{name: value for name, value in row.items() if name not in names} for row in ROWS]


def run(*words: str | Path, stdin: str | None = None):
    return CliRunner().invoke(app, ["inspect", *map(str, words)], input=stdin)


def test_a_good_log_has_its_format_columns_and_what_can_be_judged(tmp_path):
    found = inspect([write(tmp_path / "log", ROWS)], options=OPTIONS)
    assert [(one.format, one.rows) for one in found.files] == [("Stillwatch record", 96)]
    assert (found.rows, found.accounts, found.models, found.whole) == (96, 12, 2, True)
    assert found.filled["prompt"] == 1
    assert found.filled["max_tokens"] == pytest.approx(1 / 3)
    assert found.judged is not None
    assert found.judged.groups
    assert not found.judged.lacks
    lacks = {m.column: m for m in found.missing}
    assert "max_tokens" not in lacks, "a request that sets none lacks nothing"
    assert {"temperature", "output_tokens", "client_ip", "accounts table"} <= lacks.keys()
    assert "status" not in lacks
    assert "--map output_tokens=COLUMN" in lacks["output_tokens"].remedy


@pytest.mark.parametrize(
    ("gone", "lacks"), [(("prompt",), "texts"), (("model", "max_tokens"), "model"), (("model",), "model")]
)
def test_what_is_missing_is_what_a_scan_would_miss(tmp_path, gone, lacks):
    found = inspect([write(tmp_path / "log", without(*gone))], options=OPTIONS)
    assert found.judged is not None
    assert lacks in found.judged.lacks
    assert gone[0] in {m.column for m in found.missing}
    assert run(write(tmp_path / "log", without(*gone))).exit_code == 4


def test_the_accounts_table_is_no_longer_missing_when_it_names_the_accounts(tmp_path):
    log = write(tmp_path / "log", ROWS)
    (tmp_path / "a.csv").write_text("account,org\n" + "".join(f"a-{i},o-{i}\n" for i in range(12)))
    found = inspect([log], accounts=tmp_path / "a.csv", options=OPTIONS)
    assert "accounts table" not in {m.column for m in found.missing}
    assert found.filled["org"] == 1
    lacks = {m.column: m for m in found.missing}
    assert {"payment", "email_domain", "created"} <= lacks.keys()
    assert "accounts table" in lacks["payment"].remedy
    assert "org" not in lacks, "most customers belong to no organisation"
    (tmp_path / "b.csv").write_text("account,org\nx,o\n")
    found = inspect([log], accounts=tmp_path / "b.csv", options=OPTIONS)
    assert "names none of the log's accounts" in " ".join(found.notes)


def test_formats_are_told_apart_by_file_with_who_wrote_them(tmp_path):
    for name in ("litellm_payload.ndjson", "traceloop_0.62.4.jsonl", "kong.jsonl"):
        (tmp_path / name).write_bytes((DATA / name).read_bytes())
    found = inspect([tmp_path], options=OPTIONS)
    assert {(Path(one.file).name, one.format, one.version) for one in found.files} == {
        ("litellm_payload.ndjson", "LiteLLM", None),
        ("kong.jsonl", "Kong AI Gateway", None),
        ("traceloop_0.62.4.jsonl", "OpenTelemetry GenAI", "opentelemetry.instrumentation.openai.v1 0.62.4"),
    }
    assert "5 rows name no account" in " ".join(found.notes)


def test_no_more_rows_than_asked_are_read_and_that_is_said(tmp_path):
    log = write(tmp_path / "log", ROWS)
    found = inspect([log], options=OPTIONS, limit=10)
    assert (found.rows, found.whole) == (10, False)
    assert inspect([log], options=OPTIONS, limit=0).rows == 96
    assert "--rows 0" in run(log, "--rows", "10").output
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "p")
    assert inspect([tmp_path / "p"], options=OPTIONS, limit=10).rows == 10


UNKNOWN = "happened,company_label,utterance,id\n2026-03-02T09:00:00Z,c-1,How deep is the lake,1\n"


def test_of_a_log_that_nobody_knows_the_columns_are_shown_and_a_mapping_to_check_is_written(tmp_path):
    (tmp_path / "log.csv").write_text(UNKNOWN)
    told = run(tmp_path / "log.csv", "--write-map", tmp_path / "map.toml")
    assert told.exit_code == 2
    assert "happened, company_label, utterance, id" in told.output
    assert "--map account=company_label --map prompt=utterance" in told.output
    assert "--map time=COLUMN" in told.output, "no name sounds like a time: none is made up"
    again = run(tmp_path / "log.csv", "--map-file", tmp_path / "map.toml", "--map", "time=happened", "--json")
    found = json.loads(again.stdout)
    assert found["taken"]["account"] == "company_label"
    assert (found["rows"], again.exit_code) == (1, 4)
    assert run(tmp_path / "log.csv", "--write-map", tmp_path / "map.toml").exit_code == 2, "never over a file"


def test_nested_columns_are_proposed_by_path_and_a_time_only_if_it_is_one(tmp_path):
    line = {
        "ev": {"when": "noon", "at": 1772000000},
        "org": {"name": "x"},
        "body": {"question": "Why is it?"},
    }
    found = inspect([write(tmp_path / "log", [line])], options=OPTIONS)
    assert found.proposal["account"] == "org.name"
    assert found.proposal["prompt"] == "body.question"
    assert found.proposal.get("time") in (None, "ev.at")


def test_a_log_that_is_sketched_already_has_its_texts_as_sketches(tmp_path):
    log, key = write(tmp_path / "log", ROWS[:-1] + without("prompt")[-1:]), b"sixteen bytes of secret"
    (tmp_path / "key").write_bytes(key)
    sketcher = Sketcher(key)
    batches = [
        sketch_batch(batch, sketcher, keep_text=False)
        for batch in read([log], rejects=Rejects(), now=OPTIONS.now, needs_texts=False)
    ]
    pq.write_table(pa.Table.from_batches(batches), tmp_path / "sketched")
    found = json.loads(run(tmp_path / "sketched", "--key-file", tmp_path / "key", "--json").stdout)
    assert [one["format"] for one in found["files"]] == ["sketched exchanges"]
    assert found["filled"]["prompt"] == pytest.approx(95 / 96, abs=1e-4)
    told = run(tmp_path / "sketched")
    assert (told.exit_code, told.stdout) == (2, ""), "another key is no question of columns"
    assert "--key-file" in told.stderr


def test_known_columns_with_bad_values_are_a_refusal_and_no_riddle(tmp_path):
    told = run(write(tmp_path / "log", [{"time": "noon", "account": "a", "prompt": "Hello"}]))
    assert (told.exit_code, told.stdout) == (2, "")
    assert "is no time" in told.stderr


def test_what_is_no_log_at_all_is_refused_in_a_line(tmp_path):
    (tmp_path / "x").write_bytes(b"\x00\x01\x02" * 99)
    told = run(tmp_path / "x")
    assert (told.exit_code, told.stdout) == (2, "")
    assert run(tmp_path / "none").exit_code == 2
    assert run("--help").exit_code == 0


def test_standard_input_and_pipes_are_read_like_files(tmp_path):
    text = "\n".join(map(json.dumps, ROWS))
    told = run("-", "--json", stdin=text)
    assert json.loads(told.stdout)["rows"] == 96
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text(text))
    writer.start()
    with local_files([tmp_path / "pipe"]) as local:
        writer.join()
        assert inspect(local, options=OPTIONS).rows == 96
        copy = Path(local[0])
        assert copy.parent.stat().st_mode & 0o077 == 0, "nobody else may look into it"
    assert not copy.exists()


def test_a_copy_is_called_by_its_own_name_and_goes_when_the_process_is_ended(tmp_path):
    text = json.dumps(ROWS[0]) + "\nnonsense\n"
    code = (
        "import io, os, sys, time\n"
        "from stillwatch.exchanges.sources import local_files\n"
        "with local_files(['-'], io.BytesIO(b'{}')) as local:\n"
        "    print(local[0], flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    copy = Path(process.stdout.readline().strip())
    assert copy.exists()
    process.terminate()
    assert process.wait(60) == 143
    process.stdout.close()
    assert not copy.parent.exists()
    assert json.loads(run("-", "--json", stdin=text).stdout)["refused_examples"][0].startswith("stdin:2: ")


def test_standard_input_twice_or_without_room_is_refused(tmp_path):
    class Broken(io.BytesIO):
        def read(self, *_):
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="once"), local_files(["-", "-"], io.BytesIO(b"{}")):
        pass
    with pytest.raises(InputError, match="No space left"), local_files(["-"], Broken()):
        pass
    with local_files(["a", tmp_path]) as local:
        assert local == ["a", tmp_path]


def test_costs_and_remedies_name_columns_and_formats_that_there_are():
    names = {*RECORD.names, *ACCOUNTS.names, TABLE}
    assert set(COSTS) <= names
    assert set(CHOSEN) <= set(COSTS)
    formats = {one.name for one in all_formats()}
    for key in REMEDIES:
        assert key in names if isinstance(key, str) else (key[0] in formats and key[1] in names)
