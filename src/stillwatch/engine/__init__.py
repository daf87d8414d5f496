"""SQL engines behind one interface. It knows nothing of what the SQL says.

SQL is written once, in DuckDB's dialect and within the portable part of it; an engine that speaks another
dialect transpiles it with sqlglot. What is portable, and what only looks so, is in docs/features.md.
"""

from typing import Protocol

import pyarrow as pa

from stillwatch.errors import StillwatchError


class EngineError(StillwatchError):
    """An engine cannot be opened, or refused a query; the text says which and why."""


class SqlEngine(Protocol):
    """A place where Arrow tables have names and SQL over them gives Arrow tables back."""

    def register(self, name: str, table: pa.Table) -> None:
        """Give `table` a name for later queries; a table that had the name before is replaced."""

    def forget(self, name: str) -> None:
        """Let go of the table registered as `name`, and of its memory; an unknown name is no error."""

    def create(self, name: str, sql: str) -> list[str]:
        """Keep in the engine, as `name`, what one SELECT gives; its columns' names come back, no row.

        What had the name before is replaced; `forget` lets it go. Raises: EngineError as `query` does.
        """

    def query(self, sql: str) -> pa.Table:
        """Run one SELECT written in DuckDB's dialect. Row order is undefined unless it says ORDER BY.

        Raises: EngineError with the engine's own words.
        """

    def close(self) -> None:
        """Give everything back; the engine cannot be used afterwards."""
