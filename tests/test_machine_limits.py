"""Refusals by the machine become a sentence and an exit code, and no file is written into by mistake."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

RUN = (sys.executable, "-c", "from stillwatch.cli.main import run; run()")
ROWS = [
    {"time": f"2026-11-0{1 + k % 9}T08:00:00Z", "account": f"acct_{k % 7}", "prompt": f"what is {k} plus two"}
    for k in range(60)
]


def command(*words: str | Path | bytes, **more: Any) -> subprocess.CompletedProcess[bytes]:
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run([*RUN, *words], timeout=120, check=False, **{**streams, **more})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["--version"], ["--help"], ["inspect", "LOG"], ["scan", "LOG", "--out", "OUT"]]
)
def test_an_output_without_room_is_a_sentence(words: list[str], log: Path, tmp_path: Path) -> None:
    places = {"LOG": str(log), "OUT": str(tmp_path / "out")}
    with open("/dev/full", "wb") as full:
        done = command(*(places.get(word, word) for word in words), stdout=full)
    assert (done.returncode, done.stderr) == (2, b"stillwatch: No space left on device\n")


@pytest.mark.slow
def test_a_closed_standard_input_is_an_empty_one(log: Path, tmp_path: Path) -> None:
    words = ["scan", "-", "--out", str(tmp_path / "out")]
    done = command(*words, stdin=None, preexec_fn=lambda: os.close(0))
    assert done.returncode == 2
    assert b"stdin: is empty" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
def test_closed_streams_lend_their_numbers_to_no_file(tmp_path: Path) -> None:
    """Output of C code to descriptor 1 or 2 would go into that file."""
    script = (
        "import os; from stillwatch.cli import main; main._open_closed_streams();"
        f"file = open({str(tmp_path / 'file')!r}, 'w'); print(file.fileno(), file=file);"
        "print('lost'); [file.write(os.readlink(f'/proc/self/fd/{k}') + '\\n') for k in range(3)]"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], preexec_fn=lambda: os.closerange(0, 3), timeout=60, check=False
    )
    assert done.returncode == 0
    number, *streams = (tmp_path / "file").read_text().split()
    assert int(number) > 2
    assert streams == ["/dev/null"] * 3


@pytest.mark.slow
def test_a_parquet_file_whose_name_is_not_utf8_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/l\xff.parquet"
    with open(path, "wb") as file:
        pq.write_table(pa.Table.from_pylist(ROWS), file)
    for verb in ("inspect", "scan"):
        done = command(verb, path, *(["--out", tmp_path / "out"] if verb == "scan" else []))
        assert done.returncode == 2
        assert b"has a name that is not UTF-8" in done.stderr
        assert b"Traceback" not in done.stderr
