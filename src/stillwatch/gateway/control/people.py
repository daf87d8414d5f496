"""The owner's data about accounts, as the table that a scan takes: organisations and permissions.

The live scan uses `detector/accounts.parquet`; give it to `stillwatch scan --accounts` with the segments to
get the same campaigns.
"""

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.exchanges import ACCOUNTS
from stillwatch.gateway.control.migrations import StateError
from stillwatch.sqlite_file import reader
from stillwatch.terms import Permission
from stillwatch.units import time_of

ACCOUNTS_FILE = "accounts.parquet"


def accounts_table(state: Path, permissions: Iterable[Permission], now_us: int) -> pa.Table:
    """Return every account that has a key or that a permission names. Raises: StateError."""
    known = {account: (org, created_us) for account, org, created_us in _issued_keys(state)}
    live = [p for p in permissions if p.expires_us > now_us]
    names = sorted(known.keys() | {p.account for p in live if p.account is not None})
    rows = []
    for account in names:
        org, created_us = known.get(account, (None, None))
        held = sorted({p.kind for p in live if p.account == account or (org is not None and p.org == org)})
        created = None if created_us is None else time_of(created_us)
        rows.append({"account": account, "org": org, "created": created, "permissions": held})
    return pa.Table.from_pylist(rows, schema=ACCOUNTS)


def _issued_keys(state: Path) -> list[tuple[str, str | None, int]]:
    if not state.exists():
        return []
    try:
        db = reader(state, 1.0)
        try:
            return list(db.execute("SELECT account, org, created_us FROM accounts"))
        finally:
            db.close()
    except sqlite3.Error as why:
        raise StateError(f"{state}: cannot be read: {why}") from why


def write_accounts(table: pa.Table, folder: Path) -> None:
    """Write the table, whole or not at all. Raises: OSError."""
    temporary = folder / f".{ACCOUNTS_FILE}.{os.getpid()}"
    try:
        pq.write_table(table, temporary)
        os.replace(temporary, folder / ACCOUNTS_FILE)
    finally:
        temporary.unlink(missing_ok=True)
