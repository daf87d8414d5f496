"""The cost of the recorder alone: `python benchmarks/recorder.py --before OLD/src`.

A log is written as by a worker, once for each kind of body; a recorder in a process of its own reads it,
sketches it and writes its segments, repeatedly. CPU time per record, the least of the rounds; if other
sources are named, both take turns. The segments' rows of both must be the same.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

from arguments import parser_of
from gateway_bench.load import request
from gateway_bench.mock import WHOLE
from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.gateway.record import segments, wal
from stillwatch.gateway.record.entries import ExchangeOutcome, Intent, pack
from stillwatch.gateway.record.recorder import Recorder

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
SAMPLE = Path(__file__).parent.parent / "sample" / "exchanges.parquet"
RECORDS = {"small": 4_000, "large": 1_500, "texts": 4_000, "texts-large": 1_500, "answers": 1_500}
SHARED = 37  # frames in a group that share a commit at 128 connections


def bodies(kind: str, records: int) -> list[bytes]:
    """Return request bodies: the gateway benchmark's, all equal, or different ones of the sample's words."""
    if not kind.startswith("texts"):
        return [request("small" if kind == "small" else "large", "").partition(b"\r\n\r\n")[2]] * records
    drawn, prompts = random.Random(1), pq.read_table(SAMPLE, columns=["prompt"])["prompt"].to_pylist()
    characters = 29_780 if kind.endswith("large") else 780
    found = []
    for _ in range(records):
        words = ""
        many = drawn.randint(characters * 9 // 10, characters * 11 // 10)
        while len(words) < many:
            words += drawn.choice(prompts) + "\n"
        said = [{"role": "system", "content": "Answer."}, {"role": "user", "content": words[:many]}]
        found.append(json.dumps({"model": "bench", "messages": said, "max_tokens": 400}).encode())
    return found


def write_log(folder: Path, kind: str) -> None:
    """Create a folder whose log holds so many exchanges, each with intent and outcome."""
    made = open_folder(folder)
    writer = wal.Writer(made.wal, 0, made.secret(), durable=lambda *_: None, failed=lambda *_: None)
    reply = WHOLE["large"].partition(b"\r\n\r\n")[2] if kind == "answers" else b""
    now_us = int(NOW.timestamp()) * 1_000_000
    for number, body in enumerate(bodies(kind, RECORDS[kind]), 1):
        at_us = now_us + 500 * number
        began = Intent(
            at_us, f"acct_{number % 50}", "k1", "10.0.0.7", "bench/1", "chat", "/v1/chat/completions",
            "bench", "bench", "bench", "default",
        )  # fmt: skip
        ended = ExchangeOutcome(
            at_us + 9_000, "complete", 200, 9, 1_000, "bench", 200, 250, None, False, "stop"
        )
        writer.append(wal.frame(wal.INTENT, number, pack(began), body))
        writer.append(wal.frame(wal.OUTCOME, number, pack(ended), reply))
        if number % SHARED == 0:
            writer.flush()
            while writer.waiting_bytes:
                time.sleep(0.0002)
    writer.close()


def measure(folder: Path) -> tuple[float, int, str]:
    """Return CPU µs per record, the number of records, and a digest of the rows written."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as apart:
        copy = Folder(Path(shutil.copytree(folder, Path(apart, "copy"))))
        recorder = Recorder(copy, lambda: NOW)
        begun = time.process_time_ns()
        while recorder.step(flush=True):
            pass
        spent_us = (time.process_time_ns() - begun) / 1e3
        digest = hashlib.sha256()
        for one in segments.all_segments(copy):
            digest.update(json.dumps(pq.read_table(one.path).to_pylist(), default=str).encode())
        return spent_us / recorder.written, recorder.written, digest.hexdigest()


def run_once(folder: Path, rounds: int) -> None:
    """Measure in this process, and print the least time."""
    found = [measure(folder) for _ in range(rounds)]
    print(json.dumps(min(found)))


def compare(source: Path | None, folder: Path, rounds: int) -> list[float | int | str]:
    """Measure in a process of its own, with the package of `source`."""
    paths = [str(source.resolve())] if source else []
    env = os.environ | {"PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])}
    words = [sys.executable, __file__, "--log", str(folder), "--rounds", str(rounds)]
    done = subprocess.run(words, capture_output=True, check=True, env=env)
    return list(json.loads(done.stdout))


def main() -> None:
    """Print a table of CPU µs per record."""
    parser = parser_of(__doc__)
    parser.add_argument("--before", type=Path, help="other sources to measure beside these: OLD/src")
    parser.add_argument("--kinds", nargs="+", choices=RECORDS, default=["small", "large"])
    parser.add_argument("--rounds", type=int, default=5, help="measurements in a process (default 5)")
    parser.add_argument("--turns", type=int, default=2, help="processes of each (default 2)")
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.log:
        run_once(given.log, given.rounds)
        return
    sources = ([given.before] if given.before else []) + [None]
    print(f"load {os.getloadavg()[0]:.1f}; CPU µs a record, the least of {given.rounds * given.turns}")
    for kind in given.kinds:
        with tempfile.TemporaryDirectory() as apart:
            folder = Path(apart, kind)
            write_log(folder, kind)
            runs = [[compare(one, folder, given.rounds) for one in sources] for _ in range(given.turns)]
        least = [min(turn[n][0] for turn in runs) for n in range(len(sources))]
        digests = {one[2] for turn in runs for one in turn}
        same = "the same rows" if len(digests) == 1 else "OTHER ROWS"
        print(f"{kind:12} {', '.join(f'{value:6.1f}' for value in least)}  {same}")


if __name__ == "__main__":
    main()
