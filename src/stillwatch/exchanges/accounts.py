"""The optional accounts table: Parquet, JSONL or CSV into the ACCOUNTS schema."""

import re
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.errors import InputError
from stillwatch.exchanges import ACCOUNTS, content, envelopes, parquet, sources, typed_values
from stillwatch.exchanges.formats import Refused, Row, own
from stillwatch.exchanges.json_text import Good, UndecodableValue
from stillwatch.exchanges.mapping import list_columns
from stillwatch.exchanges.python_text import python_value
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.strict_json import decode
from stillwatch.exchanges.tables import InMemoryLog, TableSource
from stillwatch.exchanges.unpack import Limits, UnpackedFile
from stillwatch.exchanges.values import Clock, as_text, as_time, without_key

ALIASES = {  # the first one that a table has is used
    "account": (
        "account_id", "customer", "customer_id", "api_key_id", "api_key_hash", "key_id", "key_hash", "token",
        "api_key", "tenant", "tenant_id", "subscription_id", "workspace_id", "client_id", "consumer",
        "consumer_id", "account_name", "id", "user_id",
    ),
    "org": (
        "organization", "organisation", "org_id", "org_name", "organization_id", "organisation_id",
        "organization_name", "organisation_name", "company", "company_id", "company_name", "team_id", "team",
    ),
    "created": (
        "created_at", "signup", "sign_up", "signed_up_at", "signup_date", "created_on", "created_date",
        "registered_at", "registered",
    ),
    "tier": ("plan",),
    "country": ("country_code",),
    "email_domain": ("domain", "email"),
    "payment": ("payment_fingerprint", "card_fingerprint"),
    "declared_use": ("use", "purpose"),
    "permissions": ("permission",),
}  # fmt: skip
_FOLDED = {own.fold_name(a): name for name, also in ALIASES.items() for a in (*also, name)}
_EXACT = {name: name for name in ALIASES} | {a: name for name, also in ALIASES.items() for a in also}
_RANK = {own.fold_name(a): n for name, also in ALIASES.items() for n, a in enumerate((name, *also))}


def column_of(written: str) -> str | None:
    """Return the table column that a name means, or None. "Account ID" and "accountId" are equivalent."""
    return _EXACT.get(written) or _FOLDED.get(own.fold_name(written))


def read_accounts(
    given: str | Path | InMemoryLog,
    *,
    rejects: Rejects,
    assume_utc: bool = False,
    now: datetime | None = None,
) -> pa.Table:
    """Read accounts from a file, a folder, a glob, or a table in memory.

    A bad row is rejected. If an account has several rows, the last one counts.

    Raises: InputError if nothing in it is usable.
    """
    clock = Clock(now or datetime.now(UTC), assume_utc)
    row_of: dict[str, Row] = {}
    refused_before = rejects.count
    given_name = given.what if isinstance(given, InMemoryLog) else str(given)
    for source in given if isinstance(given, InMemoryLog) else sources.find([given]):
        try:
            for item in _items(source):
                place = f"{source.shown}:{item.number}"
                if isinstance(item, UndecodableValue):
                    rejects.add(place, item.reason, item.raw, offset=item.offset)
                    continue
                for value in _each(item.value):
                    notes: list[str] = []
                    try:
                        row = _row(value, clock, notes)
                        row_of[str(row["account"])] = row
                        for note in notes:
                            rejects.note(place, note)
                    except Refused as why:
                        rejects.add(place, str(why), item.raw, offset=item.offset)
        except Refused as why:
            rejects.add_file(source.shown, str(why))
        except parquet.DAMAGED as why:
            rejects.add_file(source.shown, f"damaged: {str(why)[:200]}")
    if not row_of:
        example = rejects.examples[-1] if rejects.count > refused_before and rejects.examples else given_name
        raise InputError(f"no account could be read. {example}")
    rows = list(row_of.values())
    return pa.Table.from_arrays(
        [pa.array([row.get(f.name) for row in rows], type=f.type) for f in ACCOUNTS], schema=ACCOUNTS
    )


def _each(value: object) -> list[object]:
    """Return the accounts in a value: itself, a list, or a page of an API that contains a list."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and not any(column_of(str(name)) == "account" for name in value):
        opened = envelopes.inside(value) or [value]
        return [(isinstance(inner, dict) and typed_values.plain(inner)) or inner for inner in opened]
    return [value]


def _items(source: sources.Source | TableSource) -> Iterator[Good | UndecodableValue]:
    if isinstance(source, TableSource):
        _check_header(source.batches.schema.names)
        yield from _of_batches(source.batches)
        return
    limits = Limits()
    with UnpackedFile(source.path, limits) as data:
        head = data.peek()
        kind = content.kind_of(head)
        if kind in ("json", "csv"):
            yield from content.values_of(data, head, kind, limits, _check_header)
            return
    if kind != "parquet":
        raise Refused("is protobuf; right would be Parquet, JSONL or CSV")
    with pq.ParquetFile(source.path) as file:
        yield from _of_batches(file.iter_batches())


def _of_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[Good]:
    number = 0
    for batch in batches:
        for obj in parquet.plain(batch):
            number += 1
            yield Good(number, 0, msgspec.json.encode(obj, enc_hook=repr), obj)


def _check_header(names: Collection[str]) -> None:
    if not any(column_of(name) == "account" for name in names):
        raise Refused(
            f"has no column 'account' (accepted too: {', '.join(ALIASES['account'])}); its columns: "
            f"{list_columns(names)}. Rename the one that holds what the log calls the account"
        )


@lru_cache(maxsize=64)
def _plan(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the written name of each table column that is present."""
    plan: dict[str, str] = {}
    for written in sorted(names, key=lambda name: _RANK.get(own.fold_name(name), 0)):
        if (column := column_of(written)) is not None:
            plan.setdefault(column, written)
    return tuple(plan.items())


def _row(value: object, clock: Clock, notes: list[str]) -> Row:
    """Return one account. An unreadable cell is left empty and noted. Rejecting the row would lose its
    permissions and could accuse an honest account because of a date format."""
    if not isinstance(value, dict):
        raise Refused("is no object; right would be one account a line")
    row: Row = {}
    for name, written in _plan(tuple(map(str, value))):
        cell = value.get(written)
        if cell is None or cell != cell:
            continue
        try:
            row[name] = _cell(name, cell, clock)
        except Refused as why:
            reason = f"column {name}: {why}" if name == "created" else f"column {name} {why}"
            if name == "account":
                raise Refused(reason) from None
            notes.append(f"{reason}; left empty, the account is kept")
    if row.get("account") in (None, ""):
        raise Refused(
            f"has no account (accepted too: {', '.join(ALIASES['account'])}); it has: "
            f"{list_columns(list(map(str, value)))}"
        )
    return row


def _cell(name: str, cell: object, clock: Clock) -> object:
    if name == "created":
        return as_time(cell, clock)
    if name == "account":
        return without_key(as_text(cell))
    if name == "email_domain":
        return as_text(cell).rpartition("@")[2]  # of an address only the domain is kept
    if name != "permissions":
        return as_text(cell)
    if isinstance(cell, str) and cell.startswith("["):
        cell = python_value(cell) if cell.startswith("['") else decode(cell.encode())
    if isinstance(cell, str):
        cell = re.split("[,;|]", cell)
    if not isinstance(cell, list):
        raise Refused("must be a list of texts")
    return [as_text(part).strip() for part in cell if part is not None]
