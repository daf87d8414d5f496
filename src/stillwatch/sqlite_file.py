"""How a process opens a SQLite file: through SQLite alone, and without ever taking away its write-ahead log.

POSIX locks belong to a process and a file. Closing *any* descriptor of the file drops all of them, those of
SQLite's open connections among them (https://sqlite.org/howtocorrupt.html, section 2.2). The next process
that closes the database then believes that it is alone, and deletes the write-ahead log that others still
write to: from there on two processes see two databases. So no code of ours may open such a file by
itself, not even to create it with narrow rights. Whoever opens one uses this module. It knows no tables.
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

PARTS = ("", "-wal", "-shm")  # the files that make up one database in WAL mode
_STATX_INO, _STATX_BTIME = 0x100, 0x800  # linux/stat.h
_AT_FDCWD = -100  # linux/fcntl.h
_STATX = struct.Struct("=I28xQ40xqI")  # struct statx: stx_mask, stx_ino, stx_btime's seconds, nanoseconds
_STATX_BYTES = 256
_creating = threading.Lock()


@dataclass(frozen=True)
class FileId:
    """Which file lies at a path. An inode number is used again; with its time of birth it is not."""

    inode: int
    born_ns: int  # 0 where the file system does not say


def file_id(path: Path | str) -> FileId | None:
    """Say which file lies at a path, without opening it; None where there is none. Raises: OSError."""
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
    """Say which files make up the database now: itself, its write-ahead log, the log's index."""
    return tuple([file_id(f"{path}{part}") for part in PARTS])


def create(path: Path) -> None:
    """Make an empty file that only its owner may read, where there is none. Raises: OSError.

    SQLite would make it 0644. A file that exists is not opened: see above.
    """
    with _creating, suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def use_wal(db: sqlite3.Connection, timeout_s: float) -> None:
    """Switch to WAL mode, once in a file's life. Raises: sqlite3.Error.

    Of two that switch together SQLite refuses one without waiting, whatever its timeout.
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
    """Open for reading alone. Such a connection deletes and writes nothing, also when it is the last.

    Raises: sqlite3.Error.
    """
    # Whoever shares it between threads locks: SQLite itself is serialised.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=timeout_s,
        isolation_level=None,
        check_same_thread=False,
    )


class Keeper:
    """Keeps the write-ahead log from being deleted, as long as it is open, by whatever process closes.

    SQLite deletes the log, *by its name*, when the last connection closes. Where the database was replaced in
    the meantime that would be the log of another one. A reader that is opened beside each writer, and closed
    after it, makes the writer never the last. Raises: sqlite3.Error.
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
    """Move what the write-ahead log holds into the database where nobody reads it, without waiting."""
    with suppress(sqlite3.Error):
        db.execute("PRAGMA busy_timeout = 0")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@cache
def _statx() -> Any:
    """The C library's `statx`: Python has no time of birth on Linux."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), "statx", None)
