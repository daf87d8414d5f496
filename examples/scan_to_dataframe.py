"""Scan a log that is already in memory, and take what was found as a table.

python examples/scan_to_dataframe.py [LOG.parquet ACCOUNTS.parquet]
"""

import sys
from pathlib import Path

import pyarrow.parquet as pq

import stillwatch as sw

SAMPLE = Path(__file__).parent.parent / "sample"
log, accounts = sys.argv[1:] or (SAMPLE / "exchanges.parquet", SAMPLE / "accounts.parquet")

# A pandas or polars DataFrame does as well: whatever speaks Arrow.
result = sw.scan(pq.read_table(log), pq.read_table(accounts))

print(result)
for warning in (*result.warnings, *result.notes):
    print("-", warning)

campaigns = result.campaigns.to_arrow()  # or .to_pandas()
columns = ["id", "since", "alarm_at", "exchanges", "p_value"]
for row in campaigns.select(columns).to_pylist():
    print(f"{row['id']}  {row['since']:%m-%d %H:%M}  {row['exchanges']:>5,}  p = {row['p_value']:.1e}")
