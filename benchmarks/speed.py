"""The speed and memory of a scan: `make bench`, or with `--sizes 0.1,1`, or `--crowd`.

For each size a log is made (speed_log.py), DuckDB reads every column of it that a scan reads, and a process
of its own scans it. Times are wall seconds, including the machine's other work: trust CPU seconds and ratios.
"""

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

import speed_log
from stillwatch.exchanges import RECORD
from stillwatch.scan.pipeline import Options, run

STAGES = {
    "reading": "read and sketch",
    "features": "features and kinds of use",
    "spread": "spread of wording",
    "watching": "watching",
    "campaigns": "campaigns",
}


def scan(log: Path, accounts: Path, threads: int) -> dict:
    """Scan in this process: seconds and CPU seconds by stage, peak memory."""
    begun, cpu = time.perf_counter(), time.process_time()
    marks = [("reading", begun, cpu)]

    def tell(stage: str, done: int, total: int | None) -> None:
        if stage != marks[-1][0]:
            marks.append((stage, time.perf_counter(), time.process_time()))

    result = run([log], accounts=accounts, options=Options(threads=threads), tell=tell)
    ends = [*marks[1:], ("", time.perf_counter(), time.process_time())]
    return {
        "exchanges": result.scanned.exchanges,
        "accounts": result.scanned.accounts,
        "campaigns": len(result.campaigns),
        "seconds": ends[-1][1] - begun,
        "cpu_seconds": ends[-1][2] - cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "stages": {
            m[0]: {"seconds": e[1] - m[1], "cpu_seconds": e[2] - m[2]}
            for m, e in zip(marks, ends, strict=True)
        },
    }


def plain_scan(log: Path, threads: int) -> dict:
    """Let DuckDB read the same columns of the same file, every value of them."""
    schema = pq.read_schema(log)
    wanted = []
    for name in RECORD.names:
        if name in schema.names:
            kind = str(schema.field(name).type)
            value = (
                f"strlen({name})"
                if kind == "string"
                else f"epoch_us({name}) % 1000"
                if name == "time"
                else name
            )
            wanted.append(f"sum(CAST({value} AS DOUBLE))")
    begun, cpu = time.perf_counter(), time.process_time()
    with duckdb.connect(config={"threads": threads}) as db:
        db.execute(f"SELECT {', '.join(wanted)} FROM read_parquet(?)", [str(log)]).fetchall()
    return {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - cpu}


def apart(what: str, log: Path, accounts: Path, threads: int) -> dict:
    """Measure in a process of its own, so that sizes do not share memory."""
    command = [
        sys.executable,
        __file__,
        "--measure",
        what,
        str(log),
        str(accounts),
        "--threads",
        str(threads),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def shown(sizes: list[dict]) -> str:
    """Format the figures, a column per size."""
    lines = [("", *(f"{s['exchanges']:,} exchanges" for s in sizes))]
    lines.append(("accounts", *(f"{s['accounts']:,}" for s in sizes)))
    for stage, name in STAGES.items():
        cells = [s["stages"].get(stage, {"seconds": 0.0, "cpu_seconds": 0.0}) for s in sizes]
        lines.append((f"{name}, s (CPU s)", *(f"{c['seconds']:.1f} ({c['cpu_seconds']:.1f})" for c in cells)))
    lines.append(("whole scan, s (CPU s)", *(f"{s['seconds']:.1f} ({s['cpu_seconds']:.1f})" for s in sizes)))
    lines.append(("exchanges a second", *(f"{s['exchanges'] / s['seconds']:,.0f}" for s in sizes)))
    lines.append(("peak memory, GB", *(f"{s['peak_gb']:.2f}" for s in sizes)))
    plain = [s["plain_scan"] for s in sizes]
    lines.append(
        ("DuckDB's plain scan, s (CPU s)", *(f"{p['seconds']:.1f} ({p['cpu_seconds']:.1f})" for p in plain))
    )
    ratio = (f"{s['cpu_seconds'] / s['plain_scan']['cpu_seconds']:.1f}" for s in sizes)
    lines.append(("times its CPU seconds", *ratio))
    lines.append(
        (
            "growth of CPU seconds, exponent",
            *("-" if s["growth"] is None else f"{s['growth']:.2f}" for s in sizes),
        )
    )
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def main() -> None:
    """Measure the requested sizes, or one process's part of one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="0.1,1,16", help="millions of exchanges, comma between")
    parser.add_argument("--shared", type=Path, default=Path("../shared/range"), help="where dev-a lies")
    parser.add_argument("--dir", type=Path, help="keep the logs here (default: a temporary folder, removed)")
    parser.add_argument(
        "--crowd", action="store_true", help="many accounts that share wording (speed_log.py)"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=3, metavar=("WHAT", "LOG", "ACCOUNTS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what, log, accounts = options.measure
        measured = (
            scan(Path(log), Path(accounts), options.threads)
            if what == "scan"
            else plain_scan(Path(log), options.threads)
        )
        print(json.dumps(measured))
        return
    scene = options.shared / "dev-a"
    scene = scene if scene.exists() else Path(__file__).parent.parent / "sample"
    once = pq.ParquetFile(scene / "exchanges.parquet").metadata.num_rows
    sizes: list[dict] = []
    with tempfile.TemporaryDirectory(prefix="stillwatch-bench-") as temporary:
        apart("scan", scene / "exchanges.parquet", scene / "accounts.parquet", options.threads)  # compiles
        for millions in (float(size) for size in options.sizes.split(",")):
            copies = max(1, round(millions * 1e6 / once / (speed_log.KEPT if options.crowd else 1)))
            folder = options.dir or Path(temporary)
            log, accounts = speed_log.make(scene, folder, copies, crowd=options.crowd)
            measured = apart("scan", log, accounts, options.threads)
            measured["plain_scan"] = apart("plain", log, accounts, options.threads)
            last = sizes[-1] if sizes else None
            measured["growth"] = last and math.log(measured["cpu_seconds"] / last["cpu_seconds"]) / math.log(
                measured["exchanges"] / last["exchanges"]
            )
            sizes.append(measured)
            if options.dir is None:
                log.unlink()
    machine = {
        "cores": os.cpu_count(),
        "threads": options.threads,
        "load": os.getloadavg()[0],
        "scene": scene.name,
    }
    if options.json:
        print(json.dumps({**machine, "sizes": sizes}, indent=1))
    else:
        print(shown(sizes))
        print(f"\n{machine['threads']} threads, {machine['cores']} cores, load {machine['load']:.1f}.")


if __name__ == "__main__":
    main()
