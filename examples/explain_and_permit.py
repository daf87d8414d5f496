"""Tell how a finding came about, and what it would be if its accounts had a permission.

python examples/explain_and_permit.py [LOG.parquet ACCOUNTS.parquet]
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import stillwatch as sw

SAMPLE = Path(__file__).parent.parent / "sample"
log, table = sys.argv[1:] or (SAMPLE / "exchanges.parquet", SAMPLE / "accounts.parquet")
accounts = pq.read_table(table)

result = sw.scan(log, accounts)
if not result.campaigns:
    raise SystemExit(str(result))
finding = result.campaigns[0]

print(finding.title)
for reason in finding.reasons[:3]:
    print(f"  {reason.bits:5.1f} bits  {reason.text}")
for other in finding.benign_alternatives[:2]:
    print(f"  or honest? {other.kind}: {other.text}")
# result.explain(finding.id) is the whole story, as `stillwatch explain` prints it.

rows = accounts.to_pylist()
for row in rows:
    if row["account"] in finding.accounts:
        row["permissions"] = ["synthetic_data"]
permitted = sw.scan(log, pa.Table.from_pylist(rows, accounts.schema))
named = {account for one in permitted.campaigns for account in one.accounts}
print(f"\nWith a permission for synthetic data {len(named & set(finding.accounts))} of its")
print(f"{len(finding.accounts)} accounts are named in a finding.")
