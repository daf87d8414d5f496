"""How a process opens a SQLite file: only through SQLite, and without ever deleting its write-ahead log.

POSIX locks belong to a process and a file. Closing *any* descriptor of the file drops all of them, including
those of SQLite's open connections (https://sqlite.org/howtocorrupt.html, section 2.2). The next process that
closes the database then believes that it is alone and deletes the write-ahead log that others still write to:
from then on, two processes see two databases. So no code of ours may open such a file directly, not even to
create it with narrow rights. Always open it through this module.
"""

import ctypes
import os
import sqlite3
import struct
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PARTS = ("", "-wal", "-shm")  # the files of one database in WAL mode
_STATX_INO, _STATX_BTIME = 0x100, 0x800  # linux/stat.h
_AT_FDCWD = -100  # linux/fcntl.h
_STATX = struct.Struct("=I28xQ40xqI")  # struct statx: stx_mask, stx_ino, stx_btime's seconds, nanoseconds
_STATX_BYTES = 256
_creating = threading.Lock()


@dataclass(frozen=True)
class FileId:
    """Identifies the file at a path: inode numbers are reused, so the birth time is included."""

    inode: int
    born_ns: int  # 0 if the file system does not say


def file_id(path: Path | str) -> FileId | None:
    """Return which file is at a path, without opening it; None if there is none. Raises: OSError."""
    statx = _statx()
    if statx is not None:
        found = ctypes.create_string_buffer(_STATX_BYTES)
        wanted = _STATX_INO | _STATX_BTIME
        if statx(_AT_FDCWD, os.fsencode(path), 0, wanted, found) == 0:
            mask, inode, seconds, ns = _STATX.unpack_from(found)
            if mask & wanted == wanted:
                return FileId(inode, seconds * 1_000_000_000 + ns)
    try:
        found_file = os.stat(path)
    except FileNotFoundError:
        return None
    return FileId(found_file.st_ino, int(getattr(found_file, "st_birthtime", 0) * 1e9))


def database_ids(path: Path) -> tuple[FileId | None, ...]:
    """Return which files make up the database now: itself, its write-ahead log, the log's index."""
    return tuple([file_id(f"{path}{part}") for part in PARTS])


def create(path: Path) -> None:
    """Create an empty file that only its owner may read, unless it exists. Raises: OSError.

    SQLite would create it with mode 0644. An existing file is not opened: see above.
    """
    with _creating, suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def use_wal(db: sqlite3.Connection, timeout_s: float) -> None:
    """Switch to WAL mode, once in a file's life. Raises: sqlite3.Error.

    If two connections switch at once, SQLite refuses one without waiting, whatever its timeout.
    """
    until = time.monotonic() + timeout_s
    while db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as why:
            if "locked" not in str(why) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def reader(path: Path, timeout_s: float) -> sqlite3.Connection:
    """Open read-only. Such a connection deletes and writes nothing, even if it is the last to close.

    Raises: sqlite3.Error.
    """
    # Callers that share it between threads must lock: SQLite itself is serialised.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=timeout_s,
        isolation_level=None,
        check_same_thread=False,
    )


class Keeper:
    """While open, keeps the write-ahead log from being deleted when another connection closes, in any
    process.

    SQLite deletes the log *by name* when the last connection closes. If the database has been replaced in the
    meantime, that is the log of another one. A reader opened beside each writer, and closed after it, ensures
    that the writer is never the last. Raises: sqlite3.Error.
    """

    def __init__(self, path: Path) -> None:
        self._db = reader(path, 1.0)
        with ExitStack() as undo:
            undo.callback(self._db.close)
            self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()  # takes the lock that it keeps
            undo.pop_all()

    def close(self) -> None:
        self._db.close()


def fold_log(db: sqlite3.Connection) -> None:
    """Move the write-ahead log's content into the database if nobody reads it, without waiting."""
    with suppress(sqlite3.Error):
        db.execute("PRAGMA busy_timeout = 0")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@cache
def _statx() -> Any:
    """Return the C library's `statx`: Python offers no birth time on Linux."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), "statx", None)
