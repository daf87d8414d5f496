"""`run/<process>.json`: each process of the gateway reports once a second that it lives, and its state.

A file that is not renewed means that its process hangs.
"""

import errno
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

# shortages of the reading process: they say nothing of the one it reads about
SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def beat(path: Path, now_us: int, **says: Any) -> None:
    """Renew one heartbeat. It is replaced whole and not synchronised: it means nothing after a crash.

    On a full disk the last one is overwritten, which needs no space. Raises: OSError if it cannot be written.
    """
    temporary = path.with_suffix(".json.new")
    text = json.dumps({"pid": os.getpid(), "at": now_us, **says})
    try:
        temporary.write_text(text, encoding="utf-8")
    except FileNotFoundError:  # the gateway's folder was restored without `run`
        path.parent.mkdir(mode=0o700, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
    except OSError as why:
        if why.errno not in NO_ROOM or not _write_over(path, text.encode()):
            raise
        return
    os.replace(temporary, path)


def _write_over(path: Path, text: bytes) -> bool:
    """Overwrite a heartbeat of this process in one piece. Return False if there is none, or no room."""
    if read(path).get("pid") != os.getpid():
        return False
    try:
        with open(path, "r+b", buffering=0) as file:
            length = max(len(text), os.fstat(file.fileno()).st_size)
            return os.pwrite(file.fileno(), text.ljust(length), 0) == length
    except OSError:
        return False


def read(path: Path) -> dict[str, Any]:
    """Return the last heartbeat; empty if none can be read."""
    try:
        return read_if_possible(path)
    except OSError:
        return {}


def read_if_possible(path: Path) -> dict[str, Any]:
    """Read a heartbeat; empty if none. Raises: OSError for this process's own `SHORTAGES`."""
    for _ in range(2):  # a file that is being overwritten is whole the next time
        try:
            document = json.loads(path.read_bytes())
        except OSError as why:
            if why.errno in SHORTAGES:
                raise
            return {}
        except ValueError:
            continue
        return document if isinstance(document, dict) else {}
    return {}


def clear(run: Path, but: Collection[str] = ()) -> None:
    """Remove the heartbeats of an earlier run, whose processes are gone, except those named."""
    for path in (*run.glob("*.json"), *run.glob("*.json.new")):
        if path.name.partition(".")[0] not in but:
            path.unlink(missing_ok=True)


def rss_bytes(pid: int | None = None) -> int:
    """Return the resident memory of a process; 0 if unknown."""
    try:
        pages = Path(f"/proc/{pid or 'self'}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def held_bytes(pid: int) -> int:
    """Return the anonymous memory of a process, which the system cannot reclaim; 0 if unknown."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")
