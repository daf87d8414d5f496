"""Embedded ClickHouse (chDB), behind the extra `clickhouse`. No server: tables live in memory.

Made to match the standard: the dialect (by sqlglot), unmatched joins (NULL) and names (a column wins over an
alias of the same SELECT). Still different, so portable SQL must avoid it: integer sums overflow silently, and
a sum over no rows is 0 instead of NULL.
"""

import uuid

import chdb
import pyarrow as pa
import sqlglot

from stillwatch.engine import EngineError
from stillwatch.engine.settings import no_address, size_bytes, table_name, thread_count


class ChdbEngine:
    """ClickHouse in this process; registered tables are copied into it.

    `threads` None means all cores; `memory_limit` as for DuckDB ("3GB"). Neither changes a result.
    """

    def __init__(self, threads: int | None = None, memory_limit: str | None = None) -> None:
        settings = ["join_use_nulls = 1", "prefer_column_name_to_alias = 1"]
        if threads is not None:
            settings.append(f"max_threads = {thread_count(threads)}")
        if memory_limit is not None:
            settings.append(f"max_memory_usage = {size_bytes(memory_limit)}")
        self._connection = chdb.connect(":memory:")
        self._database = f"stillwatch_{uuid.uuid4().hex}"  # engines in one process share chDB's catalogue
        self._run(f"CREATE DATABASE {self._database}")
        self._run(f"USE {self._database}")
        self._run("SET " + ", ".join(settings))

    def register(self, name: str, table: pa.Table) -> None:
        table_name(name)
        self.forget(name)
        # Python(table): chDB looks the variable up in the calling frames, so no helper may stand in between
        try:
            self._connection.query(f"CREATE TABLE {name} ENGINE = Memory AS SELECT * FROM Python(table)")
        except RuntimeError as error:  # base class of chDB's own, private error
            raise EngineError(f"chDB cannot load the table {name}: {error}") from error

    def forget(self, name: str) -> None:
        self._run(f"DROP TABLE IF EXISTS {table_name(name)}")

    def create(self, name: str, sql: str) -> list[str]:
        self.forget(name)
        self._run(f"CREATE TABLE {name} ENGINE = Memory AS {_clickhouse_sql(sql)}")
        return self.query(f"SELECT * FROM {name} LIMIT 0").column_names

    def query(self, sql: str) -> pa.Table:
        result = self._run(_clickhouse_sql(sql), "ArrowTable")
        assert isinstance(result, pa.Table)
        return result

    def close(self) -> None:
        self._run(f"DROP DATABASE IF EXISTS {self._database}")
        self._connection.close()

    def _run(self, sql: str, output: str = "CSV") -> object:
        try:
            return self._connection.query(sql, output)
        except RuntimeError as error:  # base class of chDB's own, private error
            raise EngineError(f"chDB failed: {error}") from error


def _clickhouse_sql(sql: str) -> str:
    return sqlglot.transpile(sql, read="duckdb", write="clickhouse")[0]


def open_engine(threads: int | None, memory_limit: str | None, address: str) -> ChdbEngine:
    no_address("clickhouse", address)
    return ChdbEngine(threads, memory_limit)
