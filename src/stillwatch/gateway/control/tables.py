"""A worker's look-up tables, read from `state.db` and kept in memory.

A change is detected by `PRAGMA data_version` on one open connection (some microseconds); then only rows of
newer revisions are read. If the file becomes unreadable, the last good tables stay: once serving has begun it
does not depend on the file.
"""

import sqlite3
from contextlib import ExitStack
from pathlib import Path

from stillwatch.gateway import KeyEntry, Tables
from stillwatch.gateway.control.holds import COLUMNS, schedule_of
from stillwatch.gateway.control.mark import OLD_LOG, read_mark
from stillwatch.gateway.control.migrations import MIGRATIONS, StateError
from stillwatch.sqlite_file import FileId, database_ids, reader
from stillwatch.terms import EnforcementStatus, Step

NONE = Tables(revision=-1)

_KEYS = """SELECT key_id, digest, account, number, org, revoked_us IS NOT NULL, expires_us
    FROM keys JOIN accounts USING (account) WHERE revision > ?"""
_STANDINGS = """SELECT s.account, c.step,
        c.since_us, c.reason, c.campaign, c.output_tokens_per_hour, c.until_us, c.mark
    FROM standings s LEFT JOIN changes c USING (change) WHERE s.revision > ?"""

_HOLDS = f"SELECT why_ended IS NOT NULL, {COLUMNS} FROM hold_schedules WHERE revision > ?"


def load_tables(path: Path) -> Tables:
    """Read everything. Raises: StateError if it cannot be read."""
    db = None
    try:
        db = _open(path)
        return _read(db, NONE)
    except (sqlite3.Error, OSError) as why:
        raise StateError(f"{path}: cannot be read: {why}") from why
    finally:
        if db is not None:
            db.close()


class TableFollower:
    """The present tables, for one process. `poll` is cheap and never raises for a bad file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tables = NONE
        self.error: str | None = f"{path}: not read yet"
        self._db: sqlite3.Connection | None = None
        self._files: tuple[FileId | None, ...] = ()
        self._seen = -1

    def poll(self) -> Tables | None:
        """Return new tables if something changed since the last call, else None. See `error`."""
        try:
            return self._poll()
        except (sqlite3.Error, OSError, StateError, ValueError) as why:
            self.error = f"{self.path}: {why}"
            self._drop()
            return None

    def close(self) -> None:
        self._drop()

    def _poll(self) -> Tables | None:
        files, known = database_ids(self.path), self.tables
        if self._db is None or files != self._files:
            self._drop()
            self._db = _open(self.path)
            if files[:1] != self._files[:1]:
                known = NONE  # the first time, or a back-up replaced it
        seen = self._db.execute("PRAGMA data_version").fetchone()[0]
        if seen == self._seen:
            return None
        tables = _read(self._db, known)
        self._files = database_ids(self.path)  # the first reader may have created the log
        self._seen, self.error = seen, None  # only now, so that a failed read is retried
        if tables is self.tables:
            return None
        self.tables = tables
        return tables

    def _drop(self) -> None:
        if self._db is not None:
            self._db.close()
        self._db, self._seen = None, -1


def _open(path: Path) -> sqlite3.Connection:
    """Open without waiting: a worker's event loop calls, and it calls again soon."""
    mark = read_mark(path)
    if mark is not None and mark.old_log:
        raise StateError(OLD_LOG.format(path=path))
    db = reader(path, 0)
    with ExitStack() as undo:
        undo.callback(db.close)
        shape = db.execute("PRAGMA user_version").fetchone()[0]
        if shape != len(MIGRATIONS):
            raise StateError(f"has shape {shape}, this version reads {len(MIGRATIONS)}")
        undo.pop_all()
    return db


def _read(db: sqlite3.Connection, old: Tables) -> Tables:
    """Apply rows newer than `old` to it; read everything if the file is older than `old`."""
    db.execute("BEGIN")
    try:
        meta = dict(db.execute("SELECT name, value FROM meta WHERE name IN ('revision', 'generation')"))
        revision, generation = int(meta["revision"]), str(meta.get("generation", ""))
        if (revision, generation) == (old.revision, old.generation):
            return old
        if revision < old.revision or generation != old.generation:
            old = NONE
        keys = dict(old.keys)
        for key_id, digest, account, number, org, disabled, expires_us in db.execute(_KEYS, (old.revision,)):
            keys[key_id] = KeyEntry(key_id, digest, account, number, org, bool(disabled), expires_us)
        standings = dict(old.standings)
        for account, step, *rest in db.execute(_STANDINGS, (old.revision,)):
            if not step:  # missing, or clear
                standings.pop(account, None)
            else:
                standings[account] = EnforcementStatus(Step(step), *rest)
        holds = dict(old.holds)
        for ended, *columns in db.execute(_HOLDS, (old.revision,)):
            schedule = schedule_of(*columns)
            for account in schedule.accounts:
                if not ended:
                    holds[account] = schedule
                elif account in holds and holds[account].key == schedule.key:
                    del holds[account]
        return Tables(revision, keys, standings, holds, generation)
    finally:
        db.execute("ROLLBACK")
