"""Copies the data that SQL may query into DuckDB files: tables of cases, claims, exchanges.

`python -m stillwatch.console.copies FILE` copies a large store in a separate process.

No texts and no addresses are copied, nor people, sessions or the audit trail.
"""

import gc
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import Connection, Select, Text, func, select, type_coerce

from stillwatch.cases import tables
from stillwatch.cases.store import Store
from stillwatch.console import ConsoleError
from stillwatch.exchanges import RECORD
from stillwatch.exchanges.parquet import DAMAGED
from stillwatch.report.amounts import plural

MEMORY = "256MB"
COPIED = ("cases", "members", "findings", "hours", "acts")
LEFT_OUT = {("members", "home")}  # our own marker that an account is in one case only
BLOCK = 20_000
MOST_CELLS = 600_000  # in the copy for one query: half a second's work
SQL_TYPES = {pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.string(): "VARCHAR"}
CLAIMS = (  # of each case's latest finding, one row per claim
    ("case_id", pa.string()), ("finding", pa.int64()), ("detector", pa.string()), ("text", pa.string()),
    ("actual", pa.float64()), ("baseline", pa.float64()), ("peer_p95", pa.float64()),
    ("effect", pa.float64()), ("bits", pa.float64()), ("p_value", pa.float64()), ("n", pa.int64()),
)  # fmt: skip
EXCHANGES = tuple(  # properties of an exchange, never its text or address
    (name, RECORD.field(name).type)
    for name in (
        "exchange_id", "time", "account", "end_user", "asn", "user_agent", "operation", "model", "turn",
        "tools", "input_tokens", "output_tokens", "reasoning_tokens", "temperature", "top_p", "max_tokens",
        "n", "top_logprobs", "stream", "response_format", "status", "finish_reason", "latency_ms",
    )
)  # fmt: skip
MOST_EXCHANGES = 1_000_000  # the newest; 20 bytes each on the disk


def columns(name: str) -> list[Any]:
    """Return the columns of a table of cases that are copied."""
    return [c for c in getattr(tables, name).c if (name, c.name) not in LEFT_OUT]


def copy(store: Store, path: Path, since: int | None = None) -> int:
    """Copy the tables of a store into a DuckDB file and return the copy's revision.

    since: the revision that the file has already; then only cases changed since are copied.
    """
    options: dict[str, Any] = {"threads": 1, "memory_limit": MEMORY}
    with duckdb.connect(str(path), config=options) as target, store.reading() as db:
        revision = int(db.execute(select(func.max(tables.cases.c.revision))).scalar() or 0)
        changed: Select[Any] | None = None
        if since is not None:
            if since == revision:
                return revision
            changed = select(tables.cases.c.id).where(tables.cases.c.revision > since)
            names = {"ids": pa.array(list(db.execute(changed).scalars()), pa.string())}
            target.register("changed", pa.table(names))
        # one transaction: DuckDB rewrites tables filled in several at the first deletion
        target.execute("BEGIN")
        for name in (*COPIED, "claims"):
            if changed is not None:
                key = "id" if name == "cases" else "case_id"
                target.execute(f"DELETE FROM {name} WHERE {key} IN (SELECT ids FROM changed)")
            rows = _claim_rows(db, changed) if name == "claims" else _column_rows(db, columns(name), changed)
            _fill_table(target, name, *rows, exists=changed is not None)
        target.execute("COMMIT")
        return revision


def copy_named(store: Store, path: Path, query: str) -> bool:
    """Copy only what a query names, after FROM or JOIN and elsewhere; False if that is nothing or too much.

    Omitted columns cause an error in a query: its answer from this copy is right, or there is none.
    """
    words = set(re.findall(r"\w+", query.lower()))
    table_names = set(COPIED) & set(re.findall(r"\b(?:from|join)\s+(\w+)", query.lower()))
    cells = 0
    options: dict[str, Any] = {"threads": 1, "memory_limit": MEMORY}
    with duckdb.connect(str(path), config=options) as target, store.reading() as db:
        for name in table_names:
            named_columns = [c for c in columns(name) if c.name in words]
            rows = db.execute(select(func.count()).select_from(getattr(tables, name))).scalar_one()
            cells += rows * len(named_columns)
            if cells > MOST_CELLS:
                return False
            if named_columns:
                _fill_table(target, f"named_{name}", *_column_rows(db, named_columns))
            else:
                target.execute(f"CREATE TABLE named_{name} AS FROM range({rows})")
            values = (
                c.name
                if c in named_columns
                else f"error(rowid::VARCHAR)::{SQL_TYPES[_arrow_type(c.type)]} AS {c.name}"
                for c in columns(name)
            )
            target.execute(f"CREATE VIEW {name} AS SELECT {', '.join(values)} FROM named_{name}")
    return bool(table_names)


def load() -> None:
    """Load what DuckDB needs to read Arrow, so that the first change does not wait for it."""
    with duckdb.connect(config={"threads": 1}) as target:
        target.register("rows", pa.table({"id": pa.array([""])}))
        target.execute("CREATE TABLE ids AS SELECT * FROM rows")


def _column_rows(
    db: Connection, table_columns: Sequence[Any], changed: Select[Any] | None = None
) -> tuple[pa.Schema, Iterator[pa.Table]]:
    """Yield columns of a table, for some cases or for all."""
    schema = pa.schema([(c.name, _arrow_type(c.type)) for c in table_columns])
    # texts in their stored form: a million of them are decoded at once, below
    query = select(
        *(type_coerce(c, Text) if _arrow_type(c.type) == pa.string() else c for c in table_columns)
    )
    if changed is not None:
        table = table_columns[0].table
        query = query.where((table.c.id if table is tables.cases else table.c.case_id).in_(changed))

    def blocks() -> Iterator[pa.Table]:
        for block in db.execute(query.execution_options(yield_per=BLOCK)).partitions(BLOCK):
            columns_of_block = zip(zip(*block, strict=True), schema, strict=True)
            arrays = [_arrow_array(values, f.type) for values, f in columns_of_block]
            yield pa.Table.from_arrays(arrays, schema=schema)

    return schema, blocks()


def _arrow_array(stored: Sequence[Any], kind: pa.DataType) -> pa.Array:
    array = pa.array(stored, kind)
    if kind != pa.string() or not pc.any(pc.starts_with(array, "\x1a")).as_py():
        return array
    return pa.array([v and _as_utf8(tables.read_back(v)) for v in stored], kind)


def _fill_table(
    target: duckdb.DuckDBPyConnection,
    name: str,
    schema: pa.Schema,
    blocks: Iterable[pa.Table],
    exists: bool = False,
) -> None:
    """Insert rows into a table of a copy, creating it if needed."""
    if not exists:
        target.register("rows", schema.empty_table())
        target.execute(f"CREATE TABLE {name} AS FROM rows")
    for rows in blocks:
        target.register("rows", rows)
        target.execute(f"INSERT INTO {name} FROM rows")
    target.unregister("rows")


def _claim_rows(db: Connection, changed: Select[Any] | None) -> tuple[pa.Schema, Iterator[pa.Table]]:
    """Yield the claims of each case's latest finding."""
    e = tables.evidence.c
    newest = select(func.max(e.finding)).group_by(e.case_id)
    if changed is not None:
        newest = newest.where(e.case_id.in_(changed))
    query = select(e.case_id, e.finding, e.context).where(e.finding.in_(newest))
    names = [name for name, _ in CLAIMS[2:]]

    def blocks() -> Iterator[pa.Table]:
        for block in db.execute(query.execution_options(yield_per=500)).partitions(500):
            rows: list[dict[str, Any]] = []
            for case_id, finding, context in block:
                for claim in json.loads(context)["why"]:
                    values = {name: _as_utf8(claim[name]) for name in names}
                    rows.append({"case_id": case_id, "finding": finding, **values})
            yield pa.Table.from_pylist(rows, schema=pa.schema(CLAIMS))

    return pa.schema(CLAIMS), blocks()


def copy_exchanges(files: Sequence[str], path: Path, most: int = MOST_EXCHANGES) -> str | None:
    """Copy the newest exchanges of some Parquet files, the last files first; return what was left out.

    Missing files were merged or deleted meanwhile. Raises: ConsoleError for a damaged one.
    """
    schema, rows_left = pa.schema(EXCHANGES), most
    with duckdb.connect(str(path), config={"threads": 1, "memory_limit": MEMORY}) as target:
        _fill_table(target, "exchanges", schema, ())
        for number, name in enumerate(reversed(files)):
            if rows_left <= 0:
                older = plural(len(files) - number, "older file")
                return f"exchanges: the newest {most - rows_left:,}; left out: {older}"
            try:
                with pq.ParquetFile(name) as file:
                    fields_present = [field for field in schema if field.name in file.schema_arrow.names]
                    for batch in file.iter_batches(BLOCK, columns=[field.name for field in fields_present]):
                        _fill_table(target, "exchanges", schema, (_fit_schema(batch, schema),), exists=True)
                        rows_left -= batch.num_rows
            except FileNotFoundError:
                continue
            except (OSError, *DAMAGED) as why:
                raise ConsoleError(f"{name}: cannot be copied: {str(why)[:200]}") from None
    return None


def _fit_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """Return the columns of the schema; missing ones are null."""
    return pa.table(
        [
            batch.column(f.name).cast(f.type) if f.name in batch.schema.names
            else pa.nulls(batch.num_rows, f.type)
            for f in schema
        ],
        schema=schema,
    )  # fmt: skip


def _arrow_type(kind: Any) -> pa.DataType:
    name = type(kind).__name__
    return pa.int64() if name == "BigInteger" else pa.float64() if name == "Double" else pa.string()


def _as_utf8(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def main() -> None:
    """Copy the cases of a store, whose URL is on standard input, into a file; print the copy's revision."""
    gc.disable()  # millions of objects pass through, which it would scan again and again
    with Store(sys.stdin.read()) as store:
        print(copy(store, Path(sys.argv[1])))


if __name__ == "__main__":
    main()
