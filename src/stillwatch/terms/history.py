"""The versions of the policy that were in force, so that an older one cannot return unnoticed.

The file lies beside the policy. Each text that was accepted (stored in full) or refused adds a line of JSON.
Only the supervisor process writes it. Deletion of the file itself cannot be detected.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stillwatch.terms import TermsError
from stillwatch.units import time_of

LONGEST_WHY = 2000  # characters of a reason that are kept


@dataclass(frozen=True)
class HistoryEntry:
    """What happened to one text."""

    version: int  # 0: none given
    sha256: str
    at: str  # ISO, UTC
    outcome: str  # "accepted" or "refused"
    why: str = ""
    # of an accepted one: a process starts from it if the policy file is damaged
    text: str | None = None


def digest(content: bytes) -> str:
    """Return the hash that identifies one text of the policy."""
    return hashlib.sha256(content).hexdigest()


class TermsHistory:
    """The record in `path`. A damaged line is skipped: it stays in the file, and `damaged` counts it.

    Raises: TermsError if the file cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.entries: list[HistoryEntry] = []
        self.damaged = 0
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise TermsError([f"{path}: cannot read the terms' history: {error.strerror}"]) from error
        self._torn = not content.endswith(b"\n") and bool(content)
        for line in content.split(b"\n"):
            entry = _entry(line)
            if entry is not None:
                self.entries.append(entry)
            elif line:
                self.damaged += 1

    @property
    def in_force(self) -> HistoryEntry | None:
        """Return the accepted text of the highest version."""
        accepted = [entry for entry in self.entries if entry.outcome == "accepted"]
        return max(accepted, key=lambda entry: entry.version, default=None)

    def add(self, entry: HistoryEntry) -> None:
        """Record durably what happened to a text, unless the last record says the same.

        Raises: OSError. Then nothing is recorded, and the text must not come into force.
        """
        if self.entries and asdict(self.entries[-1]) | {"at": ""} == asdict(entry) | {"at": ""}:
            return
        line = json.dumps(asdict(entry)).encode() + b"\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if self._torn:  # half a line, from a crash or a full disk: start a new one
                line = b"\n" + line
            self._torn = True
            if os.write(handle, line) < len(line):
                raise OSError(28, "No space left on device")
            os.fsync(handle)
            self._torn = False
        finally:
            os.close(handle)
        self.entries.append(entry)


def _entry(line: bytes) -> HistoryEntry | None:
    try:
        content: Any = json.loads(line)
        entry = HistoryEntry(**content)
    except (ValueError, TypeError, RecursionError):
        return None
    types = {"version": int, "sha256": str, "at": str, "outcome": str, "why": str}
    if any(type(getattr(entry, key)) is not kind for key, kind in types.items()):
        return None
    if entry.outcome == "refused":
        return entry
    # A text that does not match its hash was tampered with: it cannot come into force from here.
    sound = (
        isinstance(entry.text, str) and digest(entry.text.encode("utf-8", "surrogatepass")) == entry.sha256
    )
    return entry if entry.outcome == "accepted" and sound else None


def at(now_us: int) -> str:
    """Format a time for the record.

    >>> at(0)
    '1970-01-01T00:00:00+00:00'
    """
    return time_of(now_us).isoformat(timespec="seconds")
