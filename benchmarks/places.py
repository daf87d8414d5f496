"""The place of a campaign's questions in its requests, and how many of its accounts a scan still names.

The campaigns' exchanges of a log are rewritten as requests with the question in one place, go through the
gateway's reader and memory (`range/placing.py`), and the log is scanned.

    python benchmarks/places.py                              # the sample
    python benchmarks/places.py EXCHANGES ACCOUNTS TRUTH_EXCHANGES --places message,tool_result
"""

import tempfile
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from arguments import parser_of
from stillwatch.range.placing import PLACES, PlaceCapture
from stillwatch.scan.pipeline import run

SAMPLE = Path(__file__).parents[1] / "sample"


def put(log: pa.Table, covert: set[str], place: str) -> pa.Table:
    """Return the log, with the covert exchanges' texts as captured if they are in a place."""
    if place == "as shipped":
        return log
    captured = PlaceCapture()
    rows = log.select(["exchange_id", "account", "time", "system", "prompt", "output_tokens"]).to_pylist()
    for row in sorted(rows, key=when):
        if row["exchange_id"] in covert:
            captured.put(row, place)
    for name in ("system", "prompt"):
        at = log.schema.get_field_index(name)
        log = log.set_column(at, log.schema.field(at), pa.array([row[name] for row in rows], pa.string()))
    return log


def when(row: dict[str, object]) -> tuple[datetime, str]:
    return row["time"], str(row["exchange_id"])  # type: ignore[return-value]


def scan(log: pa.Table, accounts: Path, folder: Path) -> tuple[set[str], int]:
    """Return the accounts that the findings name, and the number of leads."""
    pq.write_table(log, folder / "log.parquet")
    result = run([folder / "log.parquet"], accounts=accounts)
    return {account for c in result.campaigns for account in c.accounts}, len(result.leads)


def main() -> None:
    parser = parser_of(__doc__)
    files = ("exchanges.parquet", "accounts.parquet", "truth_exchanges.parquet")
    for n, name in enumerate(("exchanges", "accounts", "truth")):
        parser.add_argument(name, nargs="?", type=Path, default=SAMPLE / files[n])
    parser.add_argument("--places", default="as shipped," + ",".join(PLACES))
    given = parser.parse_args()
    log = pq.read_table(given.exchanges)
    truth = pq.read_table(given.truth)
    covert = set(truth.filter(pc.is_valid(truth["campaign"]))["exchange_id"].to_pylist())
    theirs = log.filter(pc.is_in(log["exchange_id"], pa.array(sorted(covert))))["account"]
    guilty = set(theirs.to_pylist())
    for place in given.places.split(","):
        with tempfile.TemporaryDirectory() as folder:
            named, leads = scan(put(log, covert, place), given.accounts, Path(folder))
        print(f"{place:16s} {len(named & guilty):5d} of {len(guilty)} campaign accounts named, "
              f"{len(named - guilty):3d} others, {leads} leads", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
