#!/usr/bin/env python3
"""Worlds without a campaign: honest accounts of the development scenes, re-drawn. Every finding is false.

    python benchmarks/calm.py [--shared ../shared/range] [--seeds 4]

Every seed keeps 70 % of a scene's honest accounts; odd seeds also shift each account's clock by whole days
within the fortnight, so that accounts no longer start together.
"""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from arguments import parser_of
from stillwatch.scan.pipeline import run

DAY_US = 86_400_000_000
SPAN_DAYS = 14


def world(scene: Path, seed: int) -> pa.Table:
    """Return the exchanges of one re-drawn honest population."""
    truth = pq.read_table(scene / "truth.parquet")
    honest = truth.filter(pc.is_null(truth["campaign"]))["account"].to_pylist()
    rng = np.random.default_rng(seed)
    kept = sorted(rng.choice(honest, int(len(honest) * 0.7), replace=False).tolist())
    table = pq.read_table(scene / "exchanges.parquet")
    table = table.filter(pc.is_in(table["account"], pa.array(kept)))
    if seed % 2 == 0:
        return table
    turn = dict(zip(kept, rng.integers(0, SPAN_DAYS, len(kept)).tolist(), strict=True))
    us = table["time"].cast(pa.int64()).to_numpy()
    start = us.min() // DAY_US * DAY_US
    by = np.array([turn[a] for a in table["account"].to_pylist()]) * DAY_US
    turned = start + (us - start + by) % (SPAN_DAYS * DAY_US)
    at = table.schema.get_field_index("time")
    return table.set_column(at, "time", pa.array(turned).cast(pa.timestamp("us", tz="UTC")))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--shared", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "range"
    )
    parser.add_argument("--seeds", type=int, default=4)
    options = parser.parse_args()
    days = found = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in ("dev-a", "dev-b"):
            scene = options.shared / name
            for seed in range(options.seeds):
                table = world(scene, seed)
                pq.write_table(table, f"{folder}/calm.parquet")
                result = run([f"{folder}/calm.parquet"], accounts=scene / "accounts.parquet")
                day = pc.floor_temporal(table["time"], unit="day")
                active = (
                    pa.table({"a": table["account"], "d": day}).group_by(["a", "d"]).aggregate([]).num_rows
                )
                false = [c for c in result.campaigns if c.suppressed_by is None]
                days += active
                found += len(false)
                told = "; ".join(c.title for c in false) or "nothing"
                print(
                    f"{name} seed {seed}: {len(table):,} exchanges, {active:,} account-days, found: {told}",
                    flush=True,
                )
    print(f"in all: {found} false cases in {days:,} account-days, {1e4 * found / days:.2f} per 10,000")


if __name__ == "__main__":
    main()
