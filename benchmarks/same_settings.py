#!/usr/bin/env python3
"""A world in which some campaigns have one model, limit and temperature for all accounts; else unchanged.

    python benchmarks/same_settings.py worlds/fifth g1,g4,g5,g10 --out alike
    python benchmarks/other_worlds.py fifth --fifth alike

It shows whether such campaigns were missed because their settings differ. Each campaign gets the most common
combination of its own exchanges; texts, times and places stay.
"""

import argparse
import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SETTINGS = ("model", "max_tokens", "temperature")


def with_same_settings(exchanges: pa.Table, campaign_of: dict[str, str]) -> pa.Table:
    """Return the exchanges; those in `campaign_of` (id -> campaign) have its commonest settings."""
    of = [campaign_of.get(one) for one in exchanges["exchange_id"].to_pylist()]
    rows = list(zip(*(exchanges[name].to_pylist() for name in SETTINGS), strict=True))
    counted: dict[str, Counter[tuple[object, ...]]] = {}
    for campaign, row in zip(of, rows, strict=True):
        if campaign is not None:
            counted.setdefault(campaign, Counter())[row] += 1
    commonest = {campaign: counts.most_common(1)[0][0] for campaign, counts in counted.items()}
    rows = [row if campaign is None else commonest[campaign] for campaign, row in zip(of, rows, strict=True)]
    for k, name in enumerate(SETTINGS):
        at = exchanges.schema.get_field_index(name)
        column = pa.array([row[k] for row in rows], exchanges.schema.field(at).type)
        exchanges = exchanges.set_column(at, exchanges.schema.field(at), column)
    return exchanges


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("world", type=Path, help="folder of a world")
    parser.add_argument("campaigns", help="names, with commas between")
    parser.add_argument(
        "--out", type=Path, required=True, help="the changed world becomes a folder in this one"
    )
    options = parser.parse_args()
    wanted = set(options.campaigns.split(","))
    truth = pq.read_table(options.world / "truth_exchanges.parquet").to_pylist()
    out = options.out / options.world.name
    shutil.copytree(options.world, out)
    exchanges = pq.read_table(options.world / "exchanges.parquet")
    campaign_of = {row["exchange_id"]: row["campaign"] for row in truth if row["campaign"] in wanted}
    pq.write_table(with_same_settings(exchanges, campaign_of), out / "exchanges.parquet")


if __name__ == "__main__":
    main()
