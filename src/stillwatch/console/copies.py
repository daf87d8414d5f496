"""Copies what SQL may ask about into DuckDB files: tables of cases, claims, exchanges. It answers nothing.

Nothing that was said in an exchange is copied, nor an address; of a store no people, sessions or trail.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, func, select

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


def copy(store: Store, path: Path) -> None:
    """Copy the tables of a store into a DuckDB file."""
    with (
        duckdb.connect(str(path), config={"threads": 1, "memory_limit": MEMORY}) as target,
        store.reading() as db,
    ):
        for name in COPIED:
            wanted = columns(name)
            schema = pa.schema([(c.name, _kind(c.type)) for c in wanted])
            result = db.execute(select(*wanted).execution_options(yield_per=BLOCK))
            put = _Filling(target, name, schema)
            for block in result.partitions(BLOCK):
                arrays = [
                    pa.array(map(_storable, values), f.type)
                    for values, f in zip(zip(*block, strict=True), schema, strict=True)
                ]
                put.add(pa.Table.from_arrays(arrays, schema=schema))
            put.end()
        put = _Filling(target, "claims", pa.schema(CLAIMS))
        for rows in _claims(db):
            put.add(rows)
        put.end()


class _Filling:
    """One table of a copy, filled piece by piece."""

    def __init__(self, target: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema) -> None:
        self._target, self._name, self._schema = target, name, schema
        self._made = False

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


def _claims(db: Connection) -> Iterator[pa.Table]:
    """Give the claims of each case's latest finding."""
    e = tables.evidence.c
    newest = select(func.max(e.finding)).group_by(e.case_id)
    query = select(e.case_id, e.finding, e.context).where(e.finding.in_(newest))
    names = [name for name, _ in CLAIMS[2:]]
    for block in db.execute(query.execution_options(yield_per=500)).partitions(500):
        rows: list[dict[str, Any]] = []
        for case_id, finding, context in block:
            for one in json.loads(context)["why"]:
                told = {name: _storable(one[name]) for name in names}
                rows.append({"case_id": case_id, "finding": finding, **told})
        yield pa.Table.from_pylist(rows, schema=pa.schema(CLAIMS))


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
