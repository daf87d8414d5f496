"""What other processes of the gateway have handed over as files: findings and gaps. It waits for nobody."""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillwatch.gateway.folder import Folder
from stillwatch.report.findings import FINDINGS, load
from stillwatch.scan import ScanResult

BLOCK = 1 << 16


@dataclass(frozen=True)
class Gap:
    """A span in which exchanges were not captured."""

    number: int  # its line in gaps.jsonl
    worker: int
    from_us: int
    until_us: int
    exchanges: int
    reason: str


class Findings:
    """The detector's findings, read again only when they were replaced. Safe to share between threads."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._sign = (0, 0, 0)
        self._result: ScanResult | None = None

    def current(self) -> tuple[tuple[int, int, int], ScanResult | None]:
        """Give a sign that changes with them, and the findings; None before the first.

        Raises: InputError where they cannot be read; the last good ones are then given no more.
        """
        with self._lock:
            try:
                found = (self._folder.detector / FINDINGS).stat()
            except FileNotFoundError:
                return self._sign, self._result
            sign = (found.st_ino, found.st_mtime_ns, found.st_size)
            if sign != self._sign:
                self._result = load(self._folder.detector)
                self._sign = sign
            return self._sign, self._result


def gaps(path: Path, before: int | None = None, limit: int = 100) -> list[Gap]:
    """Read the gaps, newest first, those above the line `before`. A line torn by a crash is passed over."""
    found: list[Gap] = []
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    for number in range(min(len(lines), (before or len(lines) + 1) - 1), 0, -1):
        gap = _gap(number, lines[number - 1])
        if gap is not None:
            found.append(gap)
            if len(found) == limit:
                break
    return found


def newest_gap(path: Path) -> Gap | None:
    """Read the last gap alone, from the file's end."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - BLOCK))
            return next(_backwards(file.read()), None)
    except FileNotFoundError:
        return None


def _backwards(tail: bytes) -> Iterator[Gap]:
    for line in reversed(tail.split(b"\n")):
        gap = _gap(0, line)
        if gap is not None:
            yield gap


def _gap(number: int, line: bytes) -> Gap | None:
    try:
        found: dict[str, Any] = json.loads(line)
        worker, begun, ended, lost = (int(found[n]) for n in ("worker", "from_us", "until_us", "exchanges"))
        return Gap(number, worker, begun, ended, lost, str(found["reason"]))
    except (ValueError, KeyError, TypeError):
        return None
