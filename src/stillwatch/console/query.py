"""The process that runs one query. It reports that it is ready, then waits for the query.

Its input is a line of JSON with the copies and the limit, then the query. It imports nothing of ours, so that
it starts quickly. It opens the copies read-only, then sets `enable_external_access = false` and locks the
configuration: no file, network or extension can be reached. The kernel limits its memory, file writes and
time. Source: DuckDB, Securing DuckDB.
"""

import json
import resource
import sys
import threading
from typing import Any

import duckdb

MOST_ROWS = 1_000
MOST_CELL = 2_000  # characters of one value
MOST_TEXT = 4_000_000  # characters of a response
MEMORY = "256MB"
ADDRESSES = 1 << 30  # bytes that may be mapped
READING = frozenset({duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN})
CONFIG: dict[str, Any] = {
    "threads": 1,
    "memory_limit": MEMORY,
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "temp_directory": "",
    "python_enable_replacements": "false",  # otherwise `FROM name` would find our own variables
}
# run once all files are open: from then on no other can be opened, and none of this changed
SHUT = ("SET enable_external_access = false", "SET lock_configuration = true")


def answer(path: str, query: str, limit_ms: int, exchanges: str | None = None) -> dict[str, Any]:
    """Run one statement; the result is fit for JSON. `path` and `exchanges` are our own, without quotes."""
    try:
        with duckdb.connect(path, read_only=True, config=CONFIG) as db:
            if exchanges is not None:
                db.execute(f"ATTACH '{exchanges}' AS recorded (READ_ONLY)")
                db.execute("CREATE TEMP VIEW exchanges AS FROM recorded.exchanges")
            for word in SHUT:
                db.execute(word)
            over = threading.Timer(limit_ms / 1000, db.interrupt)
            over.daemon = True
            over.start()
            try:
                return _answer_query(db, query)
            finally:
                over.cancel()
                over.join()
    except duckdb.InterruptException:
        return _error_answer(f"stopped after {limit_ms:,} ms; ask for less")
    except duckdb.Error as why:
        return _error_answer(str(why).split("\n\n")[0][:MOST_CELL])
    except MemoryError:
        return _error_answer("it needs more memory than it may have")


def _answer_query(db: duckdb.DuckDBPyConnection, query: str) -> dict[str, Any]:
    statements = db.extract_statements(query)
    if len(statements) != 1:
        return _error_answer(f"give one statement; there are {len(statements)}")
    if statements[0].type not in READING:
        return _error_answer("only SELECT, SUMMARIZE, DESCRIBE and EXPLAIN are for here")
    cursor = db.execute(statements[0])
    columns = [str(column[0]) for column in cursor.description or ()]
    return {"columns": columns, "error": None, **_rows_as_json(cursor.fetchmany(MOST_ROWS + 1))}


def _rows_as_json(rows_fetched: list[tuple[Any, ...]]) -> dict[str, Any]:
    rows, size = [], 0
    for row in rows_fetched[:MOST_ROWS]:
        cells = [_cell_as_json(value) for value in row]
        size += sum(len(str(cell)) for cell in cells)
        if size > MOST_TEXT:
            break
        rows.append(cells)
    return {"rows": rows, "cut": len(rows) < len(rows_fetched)}


def _cell_as_json(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if value == value and abs(value) < 1e300 else str(value)
    text = value if isinstance(value, str) else str(value)
    return (
        text if len(text) <= MOST_CELL else f"{text[:MOST_CELL]}... (+{len(text) - MOST_CELL:,} characters)"
    )


def _error_answer(why: str) -> dict[str, Any]:
    return {"columns": [], "rows": [], "cut": False, "error": why}


def main() -> None:
    """Answer one query and exit. The line before it: {"copy", "exchanges" or null, "limit_ms"}."""
    _set_limit(resource.RLIMIT_AS, ADDRESSES)
    _set_limit(resource.RLIMIT_FSIZE, 0)
    _set_limit(resource.RLIMIT_CORE, 0)
    sys.stdout.write("r")
    sys.stdout.flush()
    line, _, query = sys.stdin.buffer.read().partition(b"\n")
    if not line:
        return  # the parent process has ended
    request = json.loads(line)
    _set_limit(resource.RLIMIT_CPU, request["limit_ms"] // 1000 + 5)
    result = answer(
        request["copy"], query.decode("utf-8", "replace"), request["limit_ms"], request["exchanges"]
    )
    sys.stdout.write(json.dumps(result, ensure_ascii=True))


def _set_limit(limited: int, most: int) -> None:
    resource.setrlimit(limited, (most, most))


if __name__ == "__main__":
    main()
