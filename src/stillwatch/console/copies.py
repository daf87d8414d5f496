"""Copies what SQL may ask about into DuckDB files: tables of cases, claims, exchanges. It answers nothing.

`python -m stillwatch.console.copies FILE` makes the copy of a large store in a process of its own.

Nothing that was said in an exchange is copied, nor an address; of a store no people, sessions or trail.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
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
LEFT_OUT = {("members", "home")}  # how we keep an account in one case: of no use to anybody else
BLOCK = 20_000
CLAIMS = (  # of each case's latest finding, one row a claim
    ("case_id", pa.string()), ("finding", pa.int64()), ("detector", pa.string()), ("text", pa.string()),
    ("actual", pa.float64()), ("baseline", pa.float64()), ("peer_p95", pa.float64()),
    ("effect", pa.float64()), ("bits", pa.float64()), ("p_value", pa.float64()), ("n", pa.int64()),
)  # fmt: skip
EXCHANGES = tuple(  # what an exchange was, never what was said in it, nor from which address
    (name, RECORD.field(name).type)
    for name in (
        "exchange_id", "time", "account", "end_user", "asn", "user_agent", "operation", "model", "turn",
        "tools", "input_tokens", "output_tokens", "reasoning_tokens", "temperature", "top_p", "max_tokens",
        "n", "top_logprobs", "stream", "response_format", "status", "finish_reason", "latency_ms",
    )
)  # fmt: skip
MOST_EXCHANGES = 1_000_000  # the newest; 20 bytes each on the disk


def columns(name: str) -> list[Any]:
    """Give the columns of a table of cases that are copied."""
    return [c for c in getattr(tables, name).c if (name, c.name) not in LEFT_OUT]


def copy(store: Store, path: Path, since: int | None = None) -> int:
    """Copy the tables of a store into a DuckDB file; give the revision that the copy has.

    since: the revision that the file has already; only cases that changed after it are then copied anew.
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
        # one transaction: of tables that were filled in many, DuckDB writes all anew at the first deletion
        target.execute("BEGIN")
        for name in (*COPIED, "claims"):
            if changed is not None:
                key = "id" if name == "cases" else "case_id"
                target.execute(f"DELETE FROM {name} WHERE {key} IN (SELECT ids FROM changed)")
            schema, blocks = _claims(db, changed) if name == "claims" else _rows_of(db, name, changed)
            put = _Filling(target, name, schema, made=changed is not None)
            for rows in blocks:
                put.add(rows)
            put.end()
        target.execute("COMMIT")
        return revision


def load() -> None:
    """Load what DuckDB needs to read Arrow, so that the first change need not wait for it."""
    with duckdb.connect(config={"threads": 1}) as target:
        target.register("rows", pa.table({"id": pa.array([""])}))
        target.execute("CREATE TABLE ids AS SELECT * FROM rows")


def _rows_of(db: Connection, name: str, changed: Select[Any] | None) -> tuple[pa.Schema, Iterator[pa.Table]]:
    """Give a table of cases, of some or of all."""
    wanted = columns(name)
    schema = pa.schema([(c.name, _kind(c.type)) for c in wanted])
    # texts as they are stored: a million of them are read back at once, below
    query = select(*(type_coerce(c, Text) if _kind(c.type) == pa.string() else c for c in wanted))
    if changed is not None:
        table = getattr(tables, name).c
        query = query.where((table.id if name == "cases" else table.case_id).in_(changed))

    def blocks() -> Iterator[pa.Table]:
        for block in db.execute(query.execution_options(yield_per=BLOCK)).partitions(BLOCK):
            columns_of_block = zip(zip(*block, strict=True), schema, strict=True)
            arrays = [_array(values, f.type) for values, f in columns_of_block]
            yield pa.Table.from_arrays(arrays, schema=schema)

    return schema, blocks()


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if kind != pa.string():
        return pa.array(values, kind)
    return pa.array([_storable(tables.read_back(v)) if v and v[0] == "\x1a" else v for v in values], kind)


class _Filling:
    """One table of a copy, filled piece by piece."""

    def __init__(
        self, target: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema, made: bool = False
    ) -> None:
        self._target, self._name, self._schema = target, name, schema
        self._made = made

    def add(self, rows: pa.Table) -> None:
        self._target.register("rows", rows)
        begin = f"INSERT INTO {self._name}" if self._made else f"CREATE TABLE {self._name} AS"
        self._target.execute(f"{begin} SELECT * FROM rows")
        self._target.unregister("rows")
        self._made = True

    def end(self) -> None:
        """Make the table where nothing came."""
        if not self._made:
            self.add(self._schema.empty_table())


def _claims(db: Connection, changed: Select[Any] | None) -> tuple[pa.Schema, Iterator[pa.Table]]:
    """Give the claims of each case's latest finding."""
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
                for one in json.loads(context)["why"]:
                    values = {name: _storable(one[name]) for name in names}
                    rows.append({"case_id": case_id, "finding": finding, **values})
            yield pa.Table.from_pylist(rows, schema=pa.schema(CLAIMS))

    return pa.schema(CLAIMS), blocks()


def copy_exchanges(files: Sequence[str], path: Path, most: int = MOST_EXCHANGES) -> str | None:
    """Copy the newest exchanges of some Parquet files, the last ones first; say what was left out.

    Files that are gone were merged or let go in this moment. Raises: ConsoleError for a damaged one.
    """
    schema, left = pa.schema(EXCHANGES), most
    with duckdb.connect(str(path), config={"threads": 1, "memory_limit": MEMORY}) as target:
        put = _Filling(target, "exchanges", schema)
        for at, name in enumerate(reversed(files)):
            if left <= 0:
                put.end()
                older = plural(len(files) - at, "older file")
                return f"exchanges: the newest {most - left:,}; left out: {older}"
            try:
                with pq.ParquetFile(name) as file:
                    there = [field for field in schema if field.name in file.schema_arrow.names]
                    for batch in file.iter_batches(BLOCK, columns=[field.name for field in there]):
                        put.add(_fit_schema(batch, schema))
                        left -= batch.num_rows
            except FileNotFoundError:
                continue
            except (OSError, *DAMAGED) as why:
                raise ConsoleError(f"{name}: cannot be copied: {str(why)[:200]}") from None
        put.end()
    return None


def _fit_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """Give the columns of the schema; those that are not there are null."""
    return pa.table(
        [
            batch.column(f.name).cast(f.type) if f.name in batch.schema.names
            else pa.nulls(batch.num_rows, f.type)
            for f in schema
        ],
        schema=schema,
    )  # fmt: skip


def _kind(kind: Any) -> pa.DataType:
    name = type(kind).__name__
    return pa.int64() if name == "BigInteger" else pa.float64() if name == "Double" else pa.string()


def _storable(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def main() -> None:
    """Copy the cases of a store, whose URL is on standard input, into a file; print the copy's revision."""
    with Store(sys.stdin.read()) as store:
        print(copy(store, Path(sys.argv[1])))


if __name__ == "__main__":
    main()
