"""Feed a log hour by hour, as it would come, and print each alarm when it is raised.

python examples/watch_live.py [LOG.parquet ACCOUNTS.parquet]
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import stillwatch as sw

SAMPLE = Path(__file__).parent.parent / "sample"
log, accounts = sys.argv[1:] or (SAMPLE / "exchanges.parquet", SAMPLE / "accounts.parquet")


def days(table: pa.Table) -> list[pa.Table]:
    """The log in pieces of a day, as a job at night would get them."""
    day = pc.floor_temporal(table["time"], unit="day")
    return [table.filter(pc.equal(day, one)) for one in pc.unique(day).sort()]


live = sw.LiveScan(accounts, key=b"a secret of your own: 16 bytes or more")
for batch in days(pq.read_table(log)):
    live.add(batch)
    for alarm in live.look():
        doubt = " (provisional)" if alarm.provisional else ""
        print(f"{alarm.at:%m-%d %H:%M}  {alarm.campaign}  {len(alarm.accounts):>2} accounts{doubt}")
live.finish()
print(live.result)
# live.save("live.npz") and sw.LiveScan.load("live.npz", key=...) go on after a restart.
