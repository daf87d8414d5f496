"""DuckDB in this process: the default engine. It sees only registered tables, no files."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from stillwatch.engine import EngineError
from stillwatch.engine.settings import no_address, size_bytes, table_name, thread_count


class DuckDBEngine:
    """An in-memory DuckDB that reads no file, no URL and no extension, and spills to a directory of its own.

    `threads` None means all cores; `memory_limit` is DuckDB's notation ("3GB"), None means four fifths of the
    machine. Neither changes a result.
    """

    def __init__(self, threads: int | None = None, memory_limit: str | None = None) -> None:
        threads = None if threads is None else thread_count(threads)
        limit_bytes = None if memory_limit is None else size_bytes(memory_limit)
        self._spill = tempfile.TemporaryDirectory(prefix="stillwatch-spill-")
        settings: dict[str, str | bool | int | float | list[str]] = {
            "temp_directory": self._spill.name,
            "preserve_insertion_order": False,  # nothing here relies on it, and it costs memory
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,  # a name means a registered table, never a variable
        }
        if threads is not None:
            settings["threads"] = threads
        if limit_bytes is not None:
            settings["memory_limit"] = f"{limit_bytes}B"
        try:
            self._connection = duckdb.connect(":memory:", config=settings)
            self._connection.execute("SET enable_external_access = false")  # once the spill place is set
            # else a query of two seconds writes a progress bar to stdout, into the output of --json
            self._connection.execute("SET enable_progress_bar = false")
        except duckdb.Error as error:
            self._spill.cleanup()
            raise EngineError(f"DuckDB cannot start: {error}") from error

    def register(self, name: str, table: pa.Table) -> None:
        self.forget(table_name(name))
        self._connection.register(name, table)

    def forget(self, name: str) -> None:
        self._connection.unregister(table_name(name))
        self._connection.execute(f"DROP TABLE IF EXISTS {name}")

    def create(self, name: str, sql: str) -> list[str]:
        self.forget(name)
        with _refusals():
            self._connection.execute(f"CREATE TEMP TABLE {name} AS {sql}")
            return self._connection.table(name).columns

    def query(self, sql: str) -> pa.Table:
        with _refusals():
            return self._connection.sql(sql).to_arrow_table()

    def close(self) -> None:
        self._connection.close()
        self._spill.cleanup()


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise EngineError(f"DuckDB failed: {error}") from error


def open_engine(threads: int | None, memory_limit: str | None, address: str) -> DuckDBEngine:
    no_address("duckdb", address)
    return DuckDBEngine(threads, memory_limit)
