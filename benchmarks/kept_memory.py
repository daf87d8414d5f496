"""What an exchange costs the detector in memory: `python benchmarks/kept_memory.py`, or with `--copies 20`.

Copies of the sample (speed_log.py), with an answer each and without, are sketched into files as a gateway's
recorder does, and replayed in a process of its own: all but the last hours are added and evaluated, then hour
by hour. Printed are bytes an exchange above what the process held before: of the columns that are kept, and
the peaks.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import speed_log
from stillwatch.exchanges.read import Rejects, read, read_accounts
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import sketch_batch
from stillwatch.gateway import detector
from stillwatch.scan.live import HOUR_US, Keep, LiveScan
from stillwatch.scan.pipeline import Options
from stillwatch.text.kernel import CONTENT

SECRET = b"benchmarks/kept_memory.py: no secret"
OPTIONS = Options(key=SECRET, threads=1, every_account=False)
SAMPLE = Path(__file__).parent.parent / "sample"
HOURS = 3  # evaluated one by one, at the end


def answered(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch with an answer to each request: its words backwards, which no request holds."""
    prompts = batch.column("prompt").to_pylist()
    answers = pa.array([" ".join(reversed((text or "").split())) for text in prompts], pa.string())
    at = batch.schema.get_field_index("completion")
    return batch.set_column(at, "completion", answers)


def write(log: Path, path: Path, answers: bool) -> None:
    """Sketch a log into one file, in order of time."""
    sketcher = Sketcher(SECRET)
    batches = [sketch_batch(answered(b) if answers else b, sketcher) for b in read([log], rejects=Rejects())]
    table = pa.Table.from_batches(batches).sort_by("time")
    pq.write_table(table, path, row_group_size=50_000)


def resident() -> tuple[int, int]:
    """(bytes held now, peak since it was set back)."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text("ascii").splitlines())
    return tuple(int(lines[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))


def reset_peak() -> None:
    """Begin the peak anew."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def measure(path: Path, accounts: Path) -> dict:
    """One log, in this process; the first row group is a run that compiles what is compiled."""
    detector.return_freed_memory()  # as its process does
    file = pq.ParquetFile(path)
    known = read_accounts(accounts, rejects=Rejects())
    many, last_us = file.metadata.num_rows, _last_us(file)
    warm = LiveScan(OPTIONS, accounts=known)
    warm.add(file.read_row_group(0).slice(0, 20_000))
    warm.tick(last_us, last_us)
    del warm
    begin, _ = resident()
    live = LiveScan(OPTIONS, keep=Keep(exchanges=many + 10_000), accounts=known)
    reset_peak()
    waiting = []
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        early = _before(table, last_us - HOURS * HOUR_US)
        live.add(table.slice(0, early))
        waiting.append(table.filter(np.arange(len(table)) >= early))  # a slice would hold the whole
        del table
    added = resident()[1]
    later = pa.concat_tables(waiting)
    reset_peak()
    live.tick(last_us, last_us - HOURS * HOUR_US)
    caught_up = resident()[1]
    reset_peak()
    for hour in range(HOURS - 1, -1, -1):
        until = last_us - hour * HOUR_US
        early = _before(later, until)
        live.add(later.slice(0, early))
        later = later.slice(early)
        live.tick(until, until)
    held, peak = resident()
    columns = live._kept.arrays()
    return {
        "exchanges": many,
        "columns": round(sum(column.nbytes for column in columns.values()) / many),
        "held": round((held - begin) / many),
        "peak_adding": round((added - begin) / many),
        "peak_catching_up": round((caught_up - begin) / many),
        "peak_of_an_hour": round((peak - begin) / many),
        "exchanges_in_4096_mb": int((4096 * 2**20 - begin) / (max(added, caught_up, peak) - begin) * many),
    }


def _last_us(file: pq.ParquetFile) -> int:
    times = file.read_row_group(file.num_row_groups - 1, columns=["time"])["time"]
    return int(times.cast(pa.int64())[-1].as_py()) // HOUR_US * HOUR_US


def _before(table: pa.Table, until_us: int) -> int:
    return int((table["time"].cast(pa.int64()).to_numpy() < until_us).sum())


def main() -> None:
    """Measure with answers and without, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--copies", type=int, default=20, help="of the sample's 29,957 exchanges")
    parser.add_argument("--folder", type=Path, help="where the logs are made; what is there is taken")
    parser.add_argument("--measure", nargs=2, metavar=("LOG", "ACCOUNTS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(Path(given.measure[0]), Path(given.measure[1]))))
        return
    found = {"content_words": CONTENT}
    with tempfile.TemporaryDirectory(prefix="stillwatch-memory-") as made:
        folder = given.folder or Path(made)
        log, accounts = speed_log.make(SAMPLE, folder, given.copies)
        for name, answers in (("without_answers", False), ("with_answers", True)):
            sketched = folder / f"{name}-{given.copies}.parquet"
            if not sketched.exists():
                write(log, sketched, answers)
            command = [sys.executable, __file__, "--measure", str(sketched), str(accounts)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[name] = json.loads(done.stdout)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
