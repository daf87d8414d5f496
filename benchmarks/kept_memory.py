"""Memory and time per exchange in the detector: `python benchmarks/kept_memory.py --copies 34 67`.

The sample is sketched as by a gateway's recorder, with an answer to each request and without, and repeated:
each copy has its own accounts (of 34 at most), ids, times and hashes, so that it shares wording within itself
and with no other copy. A log is replayed in a process of its own: all but the last hours are added at once,
of which only the last is evaluated, then hour by hour. Printed are bytes per exchange above the process's
earlier memory (without file pages) and CPU seconds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from arguments import parser_of
from stillwatch.exchanges.read import Rejects, read, read_accounts
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import PASSAGES, SKETCHES, sketch_batch
from stillwatch.gateway import detector, heartbeat
from stillwatch.scan.carried import CarriedScan
from stillwatch.scan.live import HOUR_US, Keep, LiveScan
from stillwatch.scan.pipeline import Options

SECRET = b"benchmarks/kept_memory.py: no secret"
OPTIONS = Options(key=SECRET, threads=1)  # as the detector's
SAMPLE = Path(__file__).parent.parent / "sample"
HOURS = 3  # evaluated one by one, at the end
GROUPS = 34  # of accounts: further copies are further work of the same ones
SHIFT_US = 137_000_000  # between copies, within an hour
SPAN_US = 6 * HOUR_US  # written at once
HASHED = [
    f.name for f in (*SKETCHES, *PASSAGES) if f.name not in ("prompt_cell", "prompt_classes", "prompt_words")
]


def answered(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch with an answer to each request: its words backwards, which no request contains."""
    prompts = batch.column("prompt").to_pylist()
    answers = pa.array([" ".join(reversed((text or "").split())) for text in prompts], pa.string())
    at = batch.schema.get_field_index("completion")
    return batch.set_column(at, "completion", answers)


def write(path: Path, accounts: Path, copies: int, answers: bool) -> None:
    """Write copies of the sketched sample to one file, in order of time, and their accounts."""
    known = pq.read_table(SAMPLE / "accounts.parquet")
    groups = [with_number(known, k, ("account", "org", "payment")) for k in range(min(copies, GROUPS))]
    pq.write_table(pa.concat_tables(groups), accounts)
    sketcher = Sketcher(SECRET)
    rows = read([SAMPLE / "exchanges.parquet"], rejects=Rejects())
    once = pa.Table.from_batches([sketch_batch(answered(b) if answers else b, sketcher) for b in rows])
    once = once.sort_by("time")
    span = once["time"].cast(pa.int64()).to_numpy() // SPAN_US
    unfinished = path.with_suffix(".part")
    with pq.ParquetWriter(unfinished, once.schema, compression="zstd", compression_level=1) as out:
        for one in np.unique(span):
            lo, hi = np.searchsorted(span, [one, one + 1])
            piece = once.slice(lo, hi - lo).combine_chunks()
            together = pa.concat_tables([copy_of(piece, k) for k in range(copies)]).combine_chunks()
            out.write_table(together.sort_by("time"), row_group_size=60_000)
    unfinished.rename(path)


def copy_of(table: pa.Table, copy: int) -> pa.Table:
    """One copy of some rows."""
    table = with_number(table, copy % GROUPS, ("account",))
    table = with_number(table, copy, ("exchange_id", "conversation", "end_user"))
    times = table["time"].cast(pa.int64()).to_numpy() + copy * SHIFT_US % HOUR_US
    table = with_column(table, "time", pa.array(times).cast(table.schema.field("time").type))
    key = int(np.random.default_rng(copy).integers(1, 2**31))
    for name in HASHED if copy else ():
        column, kind = table[name].combine_chunks(), table.schema.field(name).type
        if column.null_count:
            continue  # no answers
        listed = pa.types.is_fixed_size_list(kind)
        values = (column.flatten() if listed else column).to_numpy(zero_copy_only=False)
        moved = pa.array(np.where(values == 0, 0, values ^ values.dtype.type(key)))
        table = with_column(
            table, name, pa.FixedSizeListArray.from_arrays(moved, type=kind) if listed else moved
        )
    return table


def with_number(table: pa.Table, number: int, names: tuple[str, ...]) -> pa.Table:
    """Return the table with a number added to every value of some columns."""
    for name in names:
        table = with_column(table, name, pc.binary_join_element_wise(table[name], f"{number:03d}", "-"))
    return table


def with_column(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    """Return the table with a column replaced."""
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)


class PeakMemory(threading.Thread):
    """The most memory that this process held, without file pages, since `reset`."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0

    def run(self) -> None:
        while True:
            self.most = max(self.most, heartbeat.held_bytes(os.getpid()))
            time.sleep(0.005)

    def reset(self) -> int:
        """Start again; return the maximum so far."""
        time.sleep(0.01)
        most, self.most = self.most, 0
        return most


def measure(path: Path, accounts: Path) -> dict:
    """Measure one log in this process; the first row group is for compilation."""
    detector.return_freed_memory()  # as the detector's process does
    tempfile.tempdir = str(path.parent)
    file = pq.ParquetFile(path)
    known = read_accounts(accounts, rejects=Rejects())
    many, last_us = file.metadata.num_rows, _last_us(file)
    warm = LiveScan(OPTIONS, accounts=known)
    warm.add(file.read_row_group(0).slice(0, 20_000))
    warm.tick(last_us, last_us)
    del warm
    peak = PeakMemory()
    peak.start()
    begin = heartbeat.held_bytes(os.getpid())
    live = LiveScan(OPTIONS, keep=Keep(exchanges=many + 10_000), accounts=known)
    live._states = [CarriedScan(until_us=last_us - (HOURS + 1) * HOUR_US)]
    peak.reset()
    begun, waiting = time.process_time(), []
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        early = _before(table, last_us - HOURS * HOUR_US)
        live.add(table.slice(0, early))
        waiting.append(table.filter(np.arange(len(table)) >= early))  # a slice would keep the whole
        del table
    adding_s = time.process_time() - begun
    added = peak.reset()
    later = pa.concat_tables(waiting)
    live.tick(last_us, last_us - HOURS * HOUR_US)
    first = peak.reset()
    begun = time.process_time()
    for hour in range(HOURS - 1, -1, -1):
        until = last_us - hour * HOUR_US
        early = _before(later, until)
        live.add(later.slice(0, early))
        later = later.slice(early)
        live.tick(until, until)
    hour_s = (time.process_time() - begun) / HOURS
    most, held = peak.reset(), heartbeat.held_bytes(os.getpid())
    columns = live._kept.arrays()
    return {
        "exchanges": many,
        "columns": round(sum(column.nbytes for column in columns.values()) / many),
        "held": round((held - begin) / many),
        "peak_adding": round((added - begin) / many),
        "peak_of_first_evaluation": round((first - begin) / many),
        "peak_of_an_hour": round((most - begin) / many),
        "process_mb": begin >> 20,
        "adding_cpu_us": round(adding_s / many * 1e6, 1),
        "an_hours_evaluation_cpu_s": round(hour_s, 1),
    }


def _last_us(file: pq.ParquetFile) -> int:
    times = file.read_row_group(file.num_row_groups - 1, columns=["time"])["time"]
    return int(times.cast(pa.int64())[-1].as_py()) // HOUR_US * HOUR_US


def _before(table: pa.Table, until_us: int) -> int:
    return int((table["time"].cast(pa.int64()).to_numpy() < until_us).sum())


def main() -> None:
    """Measure with answers and without, print."""
    parser = parser_of(__doc__)
    parser.add_argument(
        "--copies", type=int, nargs="+", default=[34, 67], help="of the sample's 29,957 exchanges"
    )
    parser.add_argument("--folder", type=Path, help="where the logs are made; what is there is taken")
    parser.add_argument("--measure", nargs=2, metavar=("LOG", "ACCOUNTS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(Path(given.measure[0]), Path(given.measure[1]))))
        return
    with tempfile.TemporaryDirectory(prefix="stillwatch-memory-", dir="/var/tmp") as made:
        folder = given.folder or Path(made)
        for copies in given.copies:
            for name, answers in (("without_answers", False), ("with_answers", True)):
                log, accounts = (
                    folder / f"{name}-{copies}{kind}" for kind in (".parquet", ".accounts.parquet")
                )
                if not log.exists():
                    write(log, accounts, copies, answers)
                command = [sys.executable, __file__, "--measure", str(log), str(accounts)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                print(json.dumps({"log": name, **json.loads(done.stdout)}), flush=True)


if __name__ == "__main__":
    main()
