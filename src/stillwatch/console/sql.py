"""Answers SQL over copies of cases and exchanges: read-only, isolated, within a second.

The copies are DuckDB files of some tables, never of people, sessions or the audit trail, and of exchanges
without texts. `query` runs in a separate process, because one call of a function such as `repeat` ignores
interrupts and DuckDB's memory limit. The process for the next query is started in advance.
"""

import fcntl
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import select as select_rows

from stillwatch.cases import tables
from stillwatch.cases.store import Store
from stillwatch.console import ConsoleError
from stillwatch.console import query as query_process
from stillwatch.console.copies import (
    CLAIMS,
    COPIED,
    EXCHANGES,
    columns,
    copy,
    copy_exchanges,
    copy_named,
    load,
)
from stillwatch.errors import StillwatchError

PREFIX = "stillwatch-sql-"
LIMIT_MS = 1_000
LONGEST_QUERY = 20_000
GRACE_S = 0.5  # beyond the limit, to report the interruption
STARTED_S = 20.0
WAIT_S, FIRST_COPY_S = 5.0, 120.0  # for another query; for the first copy
LARGE = 2_000  # cases
# words in queries whose answer would differ on a partial copy
CATALOGUE = re.compile(
    r"try|show|describe|summarize|pragma\w*|duckdb_\w*|information_schema|sqlite_\w*|pg_\w*"
)
FRESH_S = 300.0  # how long the copy of the exchanges is used


@dataclass(frozen=True)
class QueryResult:
    """The result of a query, or why there is none."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    cut: bool  # there were more rows
    took_ms: float
    error: str | None = None
    note: str | None = None  # which exchanges could not be copied


class QueryProcess:
    """A process that answers one query, with a time limit. It is started in advance and waits."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-P", query_process.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,
        )
        self.end = weakref.finalize(self, _end_process, self._child)  # at this process's end, too

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def answer(self, path: Path, query: str, limit_ms: int, exchanges: Path | None) -> QueryResult:
        """Run one statement on the copies. Can be called once."""
        started_s = time.perf_counter()
        request = {"copy": str(path), "exchanges": exchanges and str(exchanges), "limit_ms": limit_ms}
        question = json.dumps(request).encode() + b"\n" + query.encode("utf-8", "backslashreplace")
        try:
            with self._child as child:
                assert child.stdout is not None
                begins = select.poll()  # select() takes no descriptor above 1,023
                begins.register(child.stdout, select.POLLIN)
                ready = begins.poll(STARTED_S * 1000) and child.stdout.read(1)
                if not ready:
                    child.kill()
                    return _refused_query("the process that answers did not start; try again", started_s)
                started_s = time.perf_counter()
                try:
                    answer_text, _ = child.communicate(question, limit_ms / 1000 + GRACE_S)
                except subprocess.TimeoutExpired:
                    child.kill()
                    return _refused_query(f"ended after {limit_ms:,} ms; ask for less", started_s)
        finally:
            self.end()
        try:
            document = json.loads(answer_text)
        except ValueError:
            return _refused_query("ended: it needed more memory or time than it may", started_s)
        rows = tuple(tuple(row) for row in document["rows"])
        return QueryResult(
            tuple(document["columns"]), rows, document["cut"], _elapsed_ms(started_s), document["error"]
        )


class Snapshots:
    """Copies of a store, refreshed when it has changed. One query at a time; thread-safe.

    recorded: the files of exchanges, if any; their copy is refreshed every five minutes.
    """

    def __init__(self, store: Store, recorded: Callable[[], Sequence[Path]] | None = None) -> None:
        self._store, self._recorded = store, recorded
        self._lock, self._lock_of_early = threading.Lock(), threading.Lock()
        self._folder: Path | None = None
        self._remove: Callable[[], object] | None = None  # run at the process's end, too
        self._revision: int | None = None  # of the copy of the cases
        self._files: tuple[str, ...] | None = None
        self._copied_s = 0.0
        self._note: str | None = None
        self._next: QueryProcess | None = None

    def close(self) -> None:
        """Remove the copies."""
        with self._lock:
            if self._next is not None:
                self._next.end()
                self._next = None
            self._folder = None
            if self._remove is not None:
                self._remove()

    @property
    def path(self) -> Path | None:
        """Return the path of the copy of the cases, if there is one."""
        return None if self._folder is None else self._folder / "cases.duckdb"

    @property
    def tables(self) -> dict[str, tuple[str, ...]]:
        """Return the tables that can be queried, with their columns."""
        names = {name: tuple(c.name for c in columns(name)) for name in COPIED}
        names["claims"] = tuple(name for name, _ in CLAIMS)
        return (
            names if self._recorded is None else names | {"exchanges": tuple(name for name, _ in EXCHANGES)}
        )

    def ask(self, query: str, limit_ms: int = LIMIT_MS) -> QueryResult:
        """Run one query on the present state. Raises: ConsoleError if it is too long; StillwatchError."""
        if len(query) > LONGEST_QUERY:
            raise ConsoleError(f"the query has {len(query):,} characters; give at most {LONGEST_QUERY:,}")
        if self._revision is None and self._lock.locked() and (early := self._answer_early(query, limit_ms)):
            return early
        if not self._lock.acquire(timeout=FIRST_COPY_S if self._revision is None else WAIT_S):
            making = self._revision is None
            problem = "the first copy of the cases is being made" if making else "another query is running"
            raise ConsoleError(f"{problem}; try again in a moment")
        try:
            cases = self._cases()
            exchanges = self._exchanges() if self._recorded is not None else None
            return replace(self._process().answer(cases, query, limit_ms, exchanges), note=self._note)
        finally:
            self._start_next()
            self._lock.release()

    def _answer_early(self, query: str, limit_ms: int) -> QueryResult | None:
        """Answer while the first copy is being made, from the tables that the query names, if small."""
        words = re.findall(r"\w+", query.lower())
        folder = self._folder
        if folder is None or words[:1] not in (["select"], ["with"]) or any(map(CATALOGUE.fullmatch, words)):
            return None
        if not self._lock_of_early.acquire(blocking=False):
            return None
        path = folder / "early.duckdb"
        try:
            if not copy_named(self._store, path, query):
                return None
            result = self._process().answer(path, query, limit_ms, None)
            return None if result.error else result
        finally:
            path.unlink(missing_ok=True)
            self._start_next()
            self._lock_of_early.release()

    def _process(self) -> QueryProcess:
        """Return a process that waits for a query: the one started in advance, if it is still alive."""
        waiting, self._next = self._next, None
        return waiting if waiting is not None and waiting.alive else QueryProcess()

    def _start_next(self) -> None:
        with suppress(OSError):  # then the next query starts it, and gets that error
            self._next = self._next or QueryProcess()

    def prepare(self) -> None:
        """Make the copies in the background, so that the first query does not wait for them."""
        if self._revision is None:
            threading.Thread(target=self._prepare, daemon=True).start()

    def _prepare(self) -> None:
        with self._lock, suppress(StillwatchError):  # the next query gets the same error, and shows it
            self._place()  # needed by queries that are answered early
            self._start_next()
            load()
            self._cases()
            if self._recorded is not None:
                self._exchanges()

    def _place(self) -> Path:
        if self._folder is None:
            _remove_left_behind()
            self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))  # 0700
            self._remove = weakref.finalize(self, _remove_held, self._folder, _hold(self._folder))
            self._revision, self._files = None, None
        return self._folder

    def _cases(self) -> Path:
        path = self._place() / "cases.duckdb"
        if self._revision is None:
            path.unlink(missing_ok=True)
            self._revision = copy_whole(self._store, path)
        else:
            self._revision = copy(self._store, path, self._revision)
        return path

    def _exchanges(self) -> Path:
        assert self._recorded is not None
        path, now_s = self._place() / "exchanges.duckdb", time.monotonic()
        if self._files is None or now_s > self._copied_s + FRESH_S:
            files = [str(path_recorded) for path_recorded in self._recorded()]
            if self._files != tuple(files):
                path.unlink(missing_ok=True)
                self._note = copy_exchanges(files, path)
                self._files = tuple(files)
            self._copied_s = now_s
        return path


def _hold(folder: Path) -> int:
    """Lock a folder of copies for the life of this process; return the lock's descriptor."""
    lock = os.open(folder / "lock.new", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(folder / "lock.new", folder / "lock")  # visible only once it is locked
    return lock


def _remove_held(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, True)
    os.close(lock)


def _remove_left_behind() -> None:
    """Remove the copies of killed processes, whose locks are released."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with (folder / "lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, True)


def is_large(store: Store) -> bool:
    """Return whether a store has so many cases that its first copy takes longer than a query may."""
    with store.reading() as db:
        return db.execute(select_rows(tables.cases.c.id).offset(LARGE).limit(1)).first() is not None


def copy_whole(store: Store, path: Path) -> int:
    """Copy all tables of a store; a large one in a separate process, so that pages stay responsive."""
    if not is_large(store):
        return copy(store, path)
    child = subprocess.run(
        [sys.executable, "-m", "stillwatch.console.copies", str(path)],
        input=store.url.render_as_string(hide_password=False).encode(),  # not an argument
        capture_output=True,
        env=_environment(),
        start_new_session=True,
        check=False,
    )
    if child.returncode or not child.stdout.strip().isdigit():
        path.unlink(missing_ok=True)
        raise ConsoleError(
            f"the copy of the cases could not be made: {child.stderr.decode(errors='replace')[-200:]}"
        )
    return int(child.stdout)


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PYTHONPATH", "PATH") if name in os.environ}


def _end_process(child: subprocess.Popen[bytes]) -> None:
    with child:
        child.kill()


def _refused_query(why: str, started_s: float) -> QueryResult:
    return QueryResult((), (), False, _elapsed_ms(started_s), why)


def _elapsed_ms(started_s: float) -> float:
    return round((time.perf_counter() - started_s) * 1000, 1)


def distinct_names(columns: Sequence[str]) -> list[str]:
    """Return column names that differ from each other.

    >>> distinct_names(["a", "a"])
    ['a', 'a_2']
    """
    counts: dict[str, int] = {}
    names = []
    for column in columns:
        counts[column] = counts.get(column, 0) + 1
        names.append(column if counts[column] == 1 else f"{column}_{counts[column]}")
    return names
