"""Questions in SQL over a copy of the cases: read-only, without a way out, within a second.

The copy is a DuckDB file made of some tables, never of people, sessions or the trail. `query` asks it, in a
process of its own: one call of a function such as `repeat` heeds no interrupt and no memory limit of DuckDB.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from select import select as select_files
from typing import Any

import duckdb
import pyarrow as pa
from sqlalchemy import select

from stillwatch.cases import tables
from stillwatch.cases.store import Store
from stillwatch.console import ConsoleError
from stillwatch.console.looked import state_of

LIMIT_MS = 1_000
LONGEST_QUERY = 20_000
GRACE_S = 0.5  # past the limit, to say that it was interrupted
STARTED_S = 20.0
MEMORY = "256MB"
COPIED = ("cases", "members", "findings", "hours", "acts")
LEFT_OUT = {("members", "home")}  # how we keep an account in one case: of no use to anybody else
BLOCK = 20_000


@dataclass(frozen=True)
class Answer:
    """What a query gave, or why it gave nothing."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    cut: bool  # there were more rows
    took_ms: float
    error: str | None = None


class Snapshots:
    """Copies of a store, made anew when it has changed. One query at a time; threads may share it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._remove: Callable[[], object] | None = None  # done at the process's end, too
        self._revision: tuple[int, ...] = ()

    def close(self) -> None:
        """Remove the copy."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        self._folder = None
        if self._remove is not None:
            self._remove()

    @property
    def path(self) -> Path | None:
        """Where the copy lies now, if there is one."""
        return None if self._folder is None else self._folder / "cases.duckdb"

    def ask(self, query: str, limit_ms: int = LIMIT_MS) -> Answer:
        """Run one query on what stands now. Raises: ConsoleError where it is too long; nothing else."""
        if len(query) > LONGEST_QUERY:
            raise ConsoleError(f"the query has {len(query):,} characters; give at most {LONGEST_QUERY:,}")
        if not self._lock.acquire(timeout=5.0):
            raise ConsoleError("another query is running; try again in a moment")
        try:
            return run(self._current(), query, limit_ms)
        finally:
            self._lock.release()

    def _current(self) -> Path:
        revision = state_of(self._store)  # not the store's revision: looking at something raises that
        if self._folder is None or revision != self._revision:
            self._drop()
            folder = Path(tempfile.mkdtemp(prefix="stillwatch-sql-"))  # 0700
            self._remove = weakref.finalize(self, shutil.rmtree, folder, True)
            copy(self._store, folder / "cases.duckdb")
            self._folder, self._revision = folder, revision
        return self._folder / "cases.duckdb"


def copy(store: Store, path: Path) -> None:
    """Copy the tables of a store into a DuckDB file."""
    with (
        duckdb.connect(str(path), config={"threads": 1, "memory_limit": MEMORY}) as target,
        store.reading() as db,
    ):
        for name in COPIED:
            table = getattr(tables, name)
            columns = [c for c in table.c if (name, c.name) not in LEFT_OUT]
            schema = pa.schema([(c.name, _kind(c.type)) for c in columns])
            result = db.execute(select(*columns).execution_options(yield_per=BLOCK))
            first = True
            for block in result.partitions(BLOCK):
                arrays = [
                    pa.array(map(_storable, values), f.type)
                    for values, f in zip(zip(*block, strict=True), schema, strict=True)
                ]
                rows = pa.Table.from_arrays(arrays, schema=schema)
                target.register("rows", rows)
                begin = f"CREATE TABLE {name} AS" if first else f"INSERT INTO {name}"
                target.execute(f"{begin} SELECT * FROM rows")
                target.unregister("rows")
                first = False
            if first:
                target.register("rows", schema.empty_table())
                target.execute(f"CREATE TABLE {name} AS SELECT * FROM rows")


def _kind(kind: Any) -> pa.DataType:
    name = type(kind).__name__
    return pa.int64() if name == "BigInteger" else pa.float64() if name == "Double" else pa.string()


def _storable(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def run(path: Path, query: str, limit_ms: int) -> Answer:
    """Run one statement on a copy, in a process of its own that is ended after `limit_ms`."""
    begun = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "stillwatch.console.query", str(path), str(limit_ms)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in ("PYTHONPATH", "PATH") if name in os.environ},
        start_new_session=True,
    )
    try:
        with child:
            assert child.stdout is not None
            ready = select_files([child.stdout], [], [], STARTED_S)[0] and child.stdout.read(1)
            if not ready:
                child.kill()
                return _refused("the process that answers did not start; try again", begun)
            begun = time.perf_counter()
            try:
                said, _ = child.communicate(
                    query.encode("utf-8", "backslashreplace"), limit_ms / 1000 + GRACE_S
                )
            except subprocess.TimeoutExpired:
                child.kill()
                return _refused(f"ended after {limit_ms:,} ms; ask for less", begun)
    finally:
        child.kill()
    try:
        told = json.loads(said)
    except ValueError:
        return _refused("ended: it needed more memory or time than it may", begun)
    rows = tuple(tuple(row) for row in told["rows"])
    return Answer(tuple(told["columns"]), rows, told["cut"], _since(begun), told["error"])


def _refused(why: str, begun: float) -> Answer:
    return Answer((), (), False, _since(begun), why)


def _since(begun: float) -> float:
    return round((time.perf_counter() - begun) * 1000, 1)


def named(columns: Sequence[str]) -> list[str]:
    """Give column names that differ from each other.

    >>> named(["a", "a"])
    ['a', 'a_2']
    """
    seen: dict[str, int] = {}
    names = []
    for column in columns:
        seen[column] = seen.get(column, 0) + 1
        names.append(column if seen[column] == 1 else f"{column}_{seen[column]}")
    return names
