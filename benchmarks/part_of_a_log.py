"""A scan's findings in a part of a log: fewer days, one model, some of the accounts.

    python benchmarks/part_of_a_log.py            # the table, of the sample
    python benchmarks/part_of_a_log.py --write    # into docs/figures/scale.md

A campaign counts as found if findings of the part name at least half of its accounts in the part. Membership
is the sample's own truth. A part in pieces has found what all its pieces name together.
"""

from pathlib import Path

import duckdb
import pyarrow as pa

import pages
import stillwatch as sw
from arguments import parser_of

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "sample"
PAGE = ROOT / "docs" / "figures" / "scale.md"
BEGIN, END = "<!-- part-of-a-log -->", "<!-- /part-of-a-log -->"
FIRST = "TIMESTAMPTZ '2026-03-02 00:00:00+00'"  # of the sample
PARTS = {
    "all 14 days": ["true"],
    "the last 9 days": [f"time >= {FIRST} + INTERVAL 5 DAY"],
    "the last 7 days": [f"time >= {FIRST} + INTERVAL 7 DAY"],
    "the last 5 days": [f"time >= {FIRST} + INTERVAL 9 DAY"],
    "each model by itself": [f"model = '{one}'" for one in ("mira-think", "mira-mini", "mira-large")],
    "the accounts dealt over 2": [f"hash(account) % 2 = {k}" for k in range(2)],
    "the accounts dealt over 4": [f"hash(account) % 4 = {k}" for k in range(4)],
}


def rows(where: str) -> pa.Table:
    """Return the sample's exchanges that satisfy a condition."""
    return duckdb.sql(f"FROM '{SAMPLE / 'exchanges.parquet'}' WHERE {where}").to_arrow_table()


def campaigns() -> list[set[str]]:
    """Return the accounts of each campaign that is in the sample."""
    truth = duckdb.sql(
        f"SELECT list(account) FROM '{SAMPLE / 'truth.parquet'}' WHERE campaign IS NOT NULL GROUP BY campaign"
    )
    return [set(accounts) for (accounts,) in truth.fetchall()]


def named_accounts(log: pa.Table) -> set[str]:
    """Scan; return the accounts of all findings."""
    found = sw.scan(log, accounts=SAMPLE / "accounts.parquet")
    return {account for one in found.campaigns for account in one.accounts}


def table() -> list[str]:
    """Scan all parts; return a line of the table for each."""
    lines = [
        "| scanned | campaigns found | their accounts named | others named | exchanges, largest piece |",
        "|---|---|---|---|---|",
    ]
    known = campaigns()
    guilty = set().union(*known)
    for name, conditions in PARTS.items():
        logs = [rows(where) for where in conditions]
        told = set().union(*map(named_accounts, logs))
        there = set().union(*(log["account"].to_pylist() for log in logs))
        found = [one for one in known if len(one & told) * 2 >= len(one & there) > 0]
        counts = (
            f"{len(found)} of {len(known)} | {len(told & guilty)} of {len(guilty)} | {len(told - guilty)}"
        )
        lines.append(f"| {name} | {counts} | {max(map(len, logs)):,} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Print the table, or write it to its page."""
    parser = parser_of(__doc__)
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}")
    given = parser.parse_args()
    lines = table()
    if given.write:
        pages.put(PAGE, BEGIN, END, lines)


if __name__ == "__main__":
    main()
