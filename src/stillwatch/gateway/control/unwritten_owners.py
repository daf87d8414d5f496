"""`run/worker-N.owners`: objects that `objects.db` could not take yet, so that a killed worker loses none.

Written only while `objects.db` cannot be, and before the client learns the names. Its first blocks are
allocated at the start, for a full disk. A power cut loses it, as it loses the last entries of `objects.db`.
"""

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

ROOM = 128 << 10  # bytes allocated at the start: some 1,500 objects
END = b"\0"  # after the last line: what follows is of earlier use


class Unwritten(NamedTuple):
    """An object whose owner is not written yet."""

    name: str
    account: str
    kind: str
    made_us: int


_line = msgspec.json.Decoder(Unwritten).decode


class UnwrittenOwners:
    """One worker's file. The kernel releases its lock however the worker ends."""

    def __init__(self, path: Path) -> None:
        """Raises: OSError."""
        self.path = path
        self._file = _open(path)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        with suppress(OSError):  # no room now: each write tries again
            os.posix_fallocate(self._file, 0, ROOM)
        self._at = len(_text(self._file))

    def lines(self) -> list[Unwritten]:
        """Return what the file holds, from an earlier worker of this number. Raises: OSError."""
        return _lines(_text(self._file))

    def take_over(self) -> list[Unwritten]:
        """Return what ended workers of other numbers left, and move it into this file. Raises: OSError."""
        found: list[Unwritten] = []
        for path in sorted(self.path.parent.glob("worker-*.owners")):
            if path == self.path:
                continue
            file = _open(path)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if left := _lines(_text(file)):
                    self.add(left)
                    os.pwrite(file, END, 0)
                    found += left
            except BlockingIOError:  # its worker lives
                continue
            finally:
                os.close(file)
        return found

    def add(self, objects: Iterable[Unwritten]) -> None:
        """Write more lines. Raises: OSError if the disk takes them not at all, or not whole."""
        text = b"".join(msgspec.json.encode(each) + b"\n" for each in objects)
        done = 0
        while done < len(text) + 1:
            done += os.pwrite(self._file, (text + END)[done:], self._at + done)
        self._at += len(text)

    def clear(self) -> None:
        """Empty the file: all is written elsewhere."""
        if self._at:
            with suppress(OSError):  # written twice, later: harmless
                os.pwrite(self._file, END, 0)
                self._at = 0
                if os.fstat(self._file).st_size > ROOM:
                    os.ftruncate(self._file, ROOM)

    def close(self) -> None:
        os.close(self._file)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _text(file: int) -> bytes:
    """Return a file's whole lines."""
    text = os.pread(file, os.fstat(file).st_size, 0).partition(END)[0]
    return text[: text.rfind(b"\n") + 1]


def _lines(text: bytes) -> list[Unwritten]:
    found = []
    for line in text.splitlines():
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):  # damaged by something else
            found.append(_line(line))
    return found
