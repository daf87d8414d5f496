"""A policy that follows its file: a valid new version is taken; otherwise the last valid one stays.

A file may be read half written, and half a text may be a valid policy without the bans of the other half. So
a new text is taken only when two successive polls read the same, and no program has the file open for
writing.
"""

import fcntl
import os
import signal
import stat
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from stillwatch.terms import Terms, TermsError
from stillwatch.terms.history import LONGEST_WHY, HistoryEntry, TermsHistory, at, digest
from stillwatch.terms.load import LARGEST_BYTES, decode, loads
from stillwatch.units import utc_us

OPEN_US = 30_000_000  # wait for a program that has the file open: NFS 4 cannot tell and says yes
SETTLED_NS = 2_000_000_000  # a file changed more recently may change again within one tick of its clock


class _FileState(NamedTuple):
    """The file as one poll read it."""

    sign: tuple[int, int, int]  # mtime_ns, size, inode
    content: bytes
    sha256: str
    settled: bool  # the same sign will mean the same content


class WatchedTerms:
    """The policy in force. `error` says why the text on disk is not in force; None if it is.

    `history` persists across restarts and is written if `keeps_history`. Without it a restart forgets.

    Raises: TermsError if there is nothing to start from: no usable file, no version previously in force.
    """

    def __init__(
        self,
        path: str | Path,
        now_us: Callable[[], int] = utc_us,
        history: TermsHistory | None = None,
        keeps_history: bool = False,
    ) -> None:
        self.path = Path(path)
        self.error: str | None = None
        self._now_us = now_us
        self._history = history
        self._keeps = keeps_history
        self._seen: _FileState | None = None
        self._refused: str | None = None  # hash of the text that was last refused
        self._open_since: tuple[str, int] | None = None  # of a file that is open: its hash, and since when
        self.terms, self.sha256 = self._begin()

    def poll(self) -> Terms | None:
        """Read the file. Return the new policy if it has changed, else None. Never raises."""
        last_state = self._seen
        try:
            self._seen = state = self._read_file()
        except TermsError as error:
            self._seen = None
            self._keep_last(error)
            return None
        if state.sha256 == self.sha256:
            self.error = self._refused = None
            return None
        if state.sha256 == self._refused or last_state is None or last_state[:3] != state[:3]:
            return None  # known to be invalid; or new: taken when the next poll reads the same
        try:
            self._refuse_open(state.sha256)
            self.terms, self.sha256 = self._judge_text(state, self.terms.version, self.sha256), state.sha256
        except TermsError as error:
            self._keep_last(error)
            return None
        self.error = self._refused = None
        return self.terms

    def _begin(self) -> tuple[Terms, str]:
        """Return the policy of the file, or the one previously in force if it may not be used."""
        last = self._history.in_force if self._history is not None else None
        try:
            state = self._read_file()
            if last is None:
                return self._judge_text(state), state.sha256
            if last.sha256 == state.sha256 or state.settled:
                if last.sha256 != state.sha256:
                    self._refuse_open(state.sha256)
                return self._judge_text(state, last.version, last.sha256), state.sha256
            raise TermsError([f"{self.path}: was changed a moment ago and may be incomplete"])
        except TermsError as error:
            if last is None or last.text is None:
                raise
            self.terms = loads(last.text.removeprefix("\ufeff"), f"{self.path} (version {last.version})")
            self._keep_last(error)
            return self.terms, last.sha256

    def _refuse_open(self, sha256: str) -> None:
        """Raises: TermsError if a program still has the file open for writing, as far as can be detected."""
        if not _is_open_to_write(self.path):
            self._open_since = None
            return
        now_us = self._now_us()
        if self._open_since is None or self._open_since[0] != sha256:
            self._open_since = sha256, now_us
        if abs(now_us - self._open_since[1]) < OPEN_US:
            raise TermsError(
                [f"{self.path}: another process has it open for writing, so it may be incomplete; close it"]
            )

    def _keep_last(self, error: TermsError) -> None:
        self.error = f"{error}; version {self.terms.version} stays in force"

    def _judge_text(self, state: _FileState, last: int = 0, last_sha256: str = "") -> Terms:
        """Return the policy of a text, if it may follow version `last`. Raises: TermsError."""
        version = 0
        try:
            text = decode(state.content, str(self.path))
            terms = loads(text, str(self.path))
            version = terms.version
            follows(self.path, version, state.sha256, last, last_sha256)
        except TermsError as error:
            self._refused = state.sha256
            why = str(error)[:LONGEST_WHY]
            try:
                self._write_history(HistoryEntry(version, state.sha256, at(self._now_us()), "refused", why))
            except TermsError as unwritten:
                raise TermsError([*error.problems, *unwritten.problems]) from error
            raise
        if state.sha256 != last_sha256:
            text = state.content.decode()  # including a byte order mark, as it was hashed
            self._write_history(
                HistoryEntry(version, state.sha256, at(self._now_us()), "accepted", text=text)
            )
        return terms

    def _write_history(self, entry: HistoryEntry) -> None:
        """Write to the history. Raises: TermsError if it cannot be written."""
        if self._history is None or not self._keeps:
            return
        try:
            self._history.add(entry)
        except OSError as error:
            raise TermsError([f"{self._history.path}: cannot be written: {error.strerror}"]) from error

    def _read_file(self) -> _FileState:
        """Return the file's state, reading it only if it may have changed. Raises: TermsError."""
        try:
            stats = os.stat(self.path)
            if not stat.S_ISREG(stats.st_mode):  # a pipe would block forever
                raise TermsError([f"{self.path}: is not a file"])
            sign = (stats.st_mtime_ns, stats.st_size, stats.st_ino)
            if self._seen is not None and self._seen.sign == sign and self._seen.settled:
                return self._seen
            with open(self.path, "rb", opener=_open_without_waiting) as file:
                content = file.read(LARGEST_BYTES + 1)
        except FileNotFoundError:
            raise TermsError([f"{self.path}: does not exist"]) from None
        except OSError as error:
            raise TermsError([f"{self.path}: cannot be read: {error.strerror}"]) from error
        settled = self._now_us() * 1000 - stats.st_mtime_ns > SETTLED_NS
        return _FileState(sign, content, digest(content), settled)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _is_open_to_write(path: Path) -> bool:
    """Return whether a program has a file open for writing; false if the system does not report it.

    A read lease is then refused (fcntl(2), "Leases"). A program that opens the file for writing while the
    lease is held waits for its release, and this process gets a signal, which is harmless.
    """
    with suppress(OSError, AttributeError), closing(open(path, "rb", opener=_open_without_waiting)) as file:
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def follows(path: Path, version: int, sha256: str, last: int, last_sha256: str) -> None:
    """Refuse a text that would silently revert version `last`. Raises: TermsError."""
    if version < last:
        hint = f"to restore old terms, write version {last + 1}"
        raise TermsError([f"{path}: version {version} is lower than {last}, which was in force; {hint}"])
    if version == last and sha256 != last_sha256:
        raise TermsError([f"{path}: has changed but is still version {version}; write version {version + 1}"])
