"""Write the extract of prompts and arrivals that travels with the package:

`python benchmarks/range_stock.py`.

Reads the corpora and traces in $STILLWATCH_RANGE (default /work/shared/range) and writes
src/stillwatch/range/data/. Only rows whose licence allows it are taken (see data/SOURCES.md), and no honest
prompts that quote news articles or reviews at length.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SHARED = Path(os.environ.get("STILLWATCH_RANGE", "/work/shared/range"))
OUT = Path(__file__).parents[1] / "src/stillwatch/range/data"
PIPELINES = ("orca_flan", "reasoning_sft_math", "reasoning_sft_code", "gpteacher_roleplay")
# Sources inside P3 that are news or reviews: the collection is Apache-2.0, the articles have owners of their
# own
LEFT_OUT = (
    "xsum", "cnn", "multi_news", "gigaword", "imdb", "amazon", "app_reviews", "yelp", "rotten", "samsum",
    "ag_news",
)  # fmt: skip
LONGEST = 2500  # characters of a turn
CLIENTS = 120  # of ServeGen's 422 clients
SCHEMA = pa.schema(
    [
        ("corpus", pa.string()),
        ("kind", pa.string()),
        ("item", pa.string()),
        ("user", pa.string()),
        ("turns", pa.list_(pa.string())),
        ("system", pa.string()),
        ("tools", pa.int16()),
    ]
)


def honest() -> list[dict[str, Any]]:
    """Return rows of honest use that may be redistributed."""
    rows = []
    for row in pq.read_table(SHARED / "corpora" / "benign.parquet").to_pylist():
        if row["ship"] != "redistributable":
            continue
        messages = json.loads(row["messages"])
        turns = [m["content"][:LONGEST] for m in messages if m["role"] == "user" and m["content"].strip()]
        systems = [m["content"][:LONGEST] for m in messages if m["role"] == "system"]
        if turns:
            rows.append(
                {
                    "corpus": row["corpus"],
                    "kind": row["kind"],
                    "item": row["item_id"],
                    "user": row["user_id"],
                    "turns": turns,
                    "system": systems[0] if systems else None,
                    "tools": max(1, (row["tools"] or "").count('"name"')) if row["tools"] else 0,
                }
            )
    return rows


def pipelines() -> list[dict[str, Any]]:
    """Return rows of published distillation pipelines that may be redistributed."""
    rows = []
    for row in pq.read_table(SHARED / "corpora" / "distill.parquet").to_pylist():
        if row["pipeline"] in PIPELINES and not row["item_id"].startswith(LEFT_OUT):
            turn = {"turns": [row["prompt"]], "user": None, "tools": 0, "kind": "pipeline"}
            rows.append(
                {**turn, "corpus": row["pipeline"], "item": row["item_id"], "system": row["system"] or None}
            )
    return [row for row in rows if len(row["turns"][0]) <= LONGEST]


def arrivals() -> pa.Table:
    """Return the windows of some of ServeGen's clients, both busy and quiet, in small types."""
    table = pq.read_table(SHARED / "traces" / "servegen_client_windows.parquet")
    table = table.filter(pc.equal(table["category"], "language"))
    key = pc.binary_join_element_wise(
        table["model"].cast(pa.string()), table["client"].cast(pa.string()), "/"
    )
    counts = table.append_column("key", key).group_by("key").aggregate([("t", "count")])
    full = sorted(counts.filter(pc.greater_equal(counts["t_count"], 300))["key"].to_pylist())
    chosen = [full[i] for i in np.linspace(0, len(full) - 1, min(CLIENTS, len(full))).astype(int)]
    table = table.append_column("key", key)
    table = table.filter(pc.is_in(table["key"], value_set=pa.array(chosen)))
    number = pc.index_in(table["key"], value_set=pa.array(chosen)).to_numpy()
    rate, cv = table["rate_rps"].to_numpy(), table["cv"].to_numpy()
    usual = np.array([np.median(rate[number == n]) for n in range(len(chosen))])
    out = pa.table(
        {
            "client": pa.array(number, pa.int16()),
            "window": pc.divide(table["t"], 600).cast(pa.int16()),
            "rate_eighths": pa.array(eighths(rate / usual[number])),
            "cv_eighths": pa.array(eighths(cv)),
        }
    )
    return out.sort_by([("client", "ascending"), ("window", "ascending")])


def eighths(values: np.ndarray) -> np.ndarray:
    """Return logarithms to base 2 in eighths of an octave, as one byte: accurate to 5 %."""
    return np.clip(np.round(8 * np.log2(np.maximum(values, 1e-9))), -127, 127).astype(np.int8)


def main() -> None:
    """Write both files and report their sizes."""
    OUT.mkdir(exist_ok=True)
    prompts = pa.Table.from_pylist(honest() + pipelines(), SCHEMA)
    pq.write_table(prompts, OUT / "prompts.parquet", compression="zstd", compression_level=19)
    pq.write_table(arrivals(), OUT / "arrivals.parquet", compression="zstd", compression_level=19)
    for name in ("prompts.parquet", "arrivals.parquet"):
        file = OUT / name
        print(f"{file}: {pq.ParquetFile(file).metadata.num_rows:,} rows, {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
