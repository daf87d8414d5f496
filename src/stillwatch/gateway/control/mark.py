"""`state.mark`: the version of `state.db`, stored beside it, so that a copy put in its place is noticed.

The mark names the database and itself by file id, so in any copy of the folder, however made, the files
differ from those that its mark names. It is written after each change. A lost or late mark can only make the
folder look older than it is, never newer.
"""

import json
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillwatch.sqlite_file import FileId, file_id

NAME = "state.mark"
OLD_LOG = (
    "{path}: was replaced, but state.db-wal beside it is the log of the one before; stop `stillwatch serve`, "
    "delete state.db-wal and state.db-shm, start again"
)


@dataclass(frozen=True)
class Version:
    """A version of the state. Revisions grow within a generation; a copy put back starts a new one."""

    generation: str
    revision: int


@dataclass(frozen=True)
class DatabaseMark:
    """The version of the database when the mark was written."""

    version: Version
    event: int  # number of the last event
    intact: bool  # the database and the mark are the files named in the mark
    old_log: bool  # the write-ahead log belongs to another database than the present one


def read_mark(state: Path) -> DatabaseMark | None:
    """Read the mark of a database; None if there is no readable one."""
    path = state.with_name(NAME)
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        named = {name: FileId(*map(int, document[name])) for name in ("database", "mark")}
        log = document["log"] and FileId(*map(int, document["log"]))
        version = Version(str(document["generation"]), int(document["revision"]))
        same = named["database"] == file_id(state)
        log_path = _log(state)
        old_log = not same and log is not None and log == file_id(log_path) and log_path.stat().st_size > 0
        return DatabaseMark(version, int(document["event"]), same and named["mark"] == file_id(path), old_log)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_mark(state: Path, version: Version, event: int) -> None:
    """Replace the mark. If that fails the last one stays."""
    temporary = state.with_name(f".{NAME}.{os.getpid()}.{threading.get_ident()}")
    with suppress(OSError):
        try:
            temporary.touch(0o600)
            files = {"database": file_id(state), "log": file_id(_log(state)), "mark": file_id(temporary)}
            named = {
                name: None if sign is None else [sign.inode, sign.born_ns] for name, sign in files.items()
            }
            mark = {"generation": version.generation, "revision": version.revision, "event": event, **named}
            temporary.write_text(json.dumps(mark) + "\n", encoding="ascii")
            os.replace(temporary, state.with_name(NAME))
        finally:
            temporary.unlink(missing_ok=True)


def _log(state: Path) -> Path:
    return state.with_name(f"{state.name}-wal")
