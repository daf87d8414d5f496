"""The cost of a log's features on each engine, in one run: rows out, bytes in, CPU time.

    python benchmarks/engines.py sample/exchanges.parquet duckdb clickhouse 'spark:local-cluster[2,1,1024]'

Each engine runs in a process of its own. CPU seconds include all processes that it started (Spark's driver
and workers); `--copies N` repeats the log N times, under other accounts.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np
import psutil
import pyarrow as pa

from stillwatch.engine.named import open_engine
from stillwatch.exchanges.log import build
from stillwatch.exchanges.read import read
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.sketch import DEFAULT_KEY, Sketcher
from stillwatch.features.compute import account_features


def cpu_s() -> float:
    here = psutil.Process()
    return sum(sum(one.cpu_times()[:2]) for one in (here, *here.children(recursive=True)))


def exchanges(path: str, copies: int) -> pa.Table:
    """Return the log as a scan registers it."""
    sketcher = Sketcher(DEFAULT_KEY)
    table = build(read([path], sketcher=sketcher, rejects=Rejects()), sketcher).table()
    at, many = table.column_names.index("account"), pa.compute.max(table["account"]).as_py() + 1
    parts = []
    for k in range(copies):
        account = table["account"].to_numpy() + np.int32(k * many)
        parts.append(table.set_column(at, "account", pa.array(account)))
    return pa.concat_tables(parts).combine_chunks()


def measure(path: str, name: str, copies: int) -> dict[str, float | str]:
    table = exchanges(path, copies)
    begun = cpu_s()
    engine = open_engine(name, threads=2)
    query, pulled = engine.query, []

    def counted(sql: str) -> pa.Table:
        pulled.append(query(sql))
        return pulled[-1]

    engine.query = counted  # type: ignore[method-assign]
    marks = [(cpu_s(), time.perf_counter())]
    engine.register("l0", table)
    marks.append((cpu_s(), time.perf_counter()))
    features = account_features(engine, "l0")
    marks.append((cpu_s(), time.perf_counter()))
    engine.close()
    rows = sum(one.num_rows for one in pulled)
    return {
        "engine": name,
        "exchanges": table.num_rows,
        "accounts": features.num_rows,
        "rows an account": rows / features.num_rows,
        "rows an exchange": rows / table.num_rows,
        "bytes in an exchange": table.nbytes / table.num_rows,
        "start CPU s": marks[0][0] - begun,
        "register CPU s": marks[1][0] - marks[0][0],
        "features CPU s": marks[2][0] - marks[1][0],
        "features wall s": marks[2][1] - marks[1][1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log")
    parser.add_argument("engines", nargs="+")
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.here:
        print(json.dumps(measure(told.log, told.engines[0], told.copies)))
        return
    print(f"load {os.getloadavg()[0]:.1f} at the start, {os.cpu_count()} cores")
    for k, name in enumerate(told.engines):
        words = [sys.executable, __file__, told.log, name, "--here", "--copies", str(told.copies)]
        row = json.loads(
            subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        )
        if k == 0:
            print("| " + " | ".join(row) + " |\n|" + "---|" * len(row))
        print("| " + " | ".join(f"{v:,.3g}" if isinstance(v, float) else f"{v}" for v in row.values()) + " |")
    print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
