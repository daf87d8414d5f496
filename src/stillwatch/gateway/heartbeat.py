"""`run/<process>.json`: each process of the gateway says once a second that it lives, and how it is doing.

A file that is not renewed is the sign that something hangs. Nothing here decides what is done about it.
"""

import errno
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

# of whoever looks: they say nothing of what is looked at
SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def beat(path: Path, now_us: int, **says: Any) -> None:
    """Renew one heartbeat. It is replaced whole and not synchronised: it means nothing after a crash.

    On a full disk the last one is written over, which needs no room.
    Raises: OSError where it cannot be written.
    """
    temporary = path.with_suffix(".json.new")
    text = json.dumps({"pid": os.getpid(), "at": now_us, **says})
    try:
        temporary.write_text(text, encoding="utf-8")
    except FileNotFoundError:  # a copy of the gateway's folder was put in its place, without what only ran
        path.parent.mkdir(mode=0o700, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
    except OSError as why:
        if why.errno not in NO_ROOM or not _write_over(path, text.encode()):
            raise
        return
    os.replace(temporary, path)


def _write_over(path: Path, text: bytes) -> bool:
    """Write over a heartbeat of this process, in one piece. False where there is none, or no room either."""
    if read(path).get("pid") != os.getpid():
        return False
    try:
        with open(path, "r+b", buffering=0) as file:
            length = max(len(text), os.fstat(file.fileno()).st_size)
            return os.pwrite(file.fileno(), text.ljust(length), 0) == length
    except OSError:
        return False


def read(path: Path) -> dict[str, Any]:
    """Give the last heartbeat; empty where there is none that can be read."""
    try:
        return read_if_possible(path)
    except OSError:
        return {}


def read_if_possible(path: Path) -> dict[str, Any]:
    """Read a heartbeat, but let this process's own shortages through. Raises: OSError of `SHORTAGES`."""
    for _ in range(2):  # one that is written over just now is whole the next time
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
    """Take away what an earlier run of the gateway left: its processes are gone, but for those named."""
    for path in (*run.glob("*.json"), *run.glob("*.json.new")):
        if path.name.partition(".")[0] not in but:
            path.unlink(missing_ok=True)


def rss_bytes(pid: int | None = None) -> int:
    """Memory that a process holds now; 0 where that cannot be told."""
    try:
        pages = Path(f"/proc/{pid or 'self'}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def held_bytes(pid: int) -> int:
    """Memory of a process that no file lies behind, so that the system cannot take it; 0 where unknown."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")
