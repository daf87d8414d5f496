"""SQL engines behind one interface.

SQL is written once, in the portable part of DuckDB's dialect. An engine with another dialect transpiles it
with sqlglot. docs/features.md says what is portable and what only looks portable.
"""

from typing import Protocol

import pyarrow as pa

from stillwatch.errors import StillwatchError


class EngineError(StillwatchError):
    """An engine cannot be opened or refused a query; the text says which engine and why."""


class SqlEngine(Protocol):
    """Arrow tables under names, and SQL over them that returns Arrow tables."""

    def register(self, name: str, table: pa.Table) -> None:
        """Register `table` under a name for later queries, replacing any table of that name."""

    def forget(self, name: str) -> None:
        """Drop the table registered as `name` and free its memory. An unknown name is no error."""

    def create(self, name: str, sql: str) -> list[str]:
        """Store the result of one SELECT in the engine as `name` and return its column names, but no rows.

        An existing table of that name is replaced; `forget` drops it. Raises: EngineError as `query` does.
        """

    def query(self, sql: str) -> pa.Table:
        """Run one SELECT in DuckDB's dialect. Row order is undefined without ORDER BY.

        Raises: EngineError with the engine's own message.
        """

    def close(self) -> None:
        """Release all resources; the engine cannot be used afterwards."""
