"""Terms that follow their file: a good new version is taken; whatever else happens, the last good one stays.

It does not know who else reads the file. What is on disk may be half of what is being written, and half a
text may be good terms, without the bans of the other half: a new text is taken when two polls in a row have
read the same, and no program has the file open to write it.
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

OPEN_US = 30_000_000  # that a text waits for who has its file open: NFS 4 cannot tell, and says yes
SETTLED_NS = 2_000_000_000  # a file changed less than this ago may change again within one tick of its clock


class _FileState(NamedTuple):
    """The file as one poll read it."""

    sign: tuple[int, int, int]  # mtime_ns, size, inode
    content: bytes
    sha256: str
    settled: bool  # the same sign will mean the same content


class WatchedTerms:
    """The terms in force. `error` says why what is on disk is not in force; None where it is.

    `history` remembers across restarts; whoever `keeps_history` writes it too. Without one a restart forgets.

    Raises: TermsError where there is nothing to begin with: no usable file, no version in force before.
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
        self._refused: str | None = None  # the text that was last refused, by its hash
        self._open_since: tuple[str, int] | None = None  # of a file that is open: its hash, and since when
        self.terms, self.sha256 = self._begin()

    def poll(self) -> Terms | None:
        """Read the file. The new terms where they have changed, else None. Never raises."""
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
            return None  # seen to be no good; or new: taken when the next poll reads the same
        try:
            self._refuse_open(state.sha256)
            self.terms, self.sha256 = self._judge_text(state, self.terms.version, self.sha256), state.sha256
        except TermsError as error:
            self._keep_last(error)
            return None
        self.error = self._refused = None
        return self.terms

    def _begin(self) -> tuple[Terms, str]:
        """The terms of the file; where they may not be used, those that were in force before."""
        last = self._history.in_force if self._history is not None else None
        try:
            state = self._read_file()
            if last is None:
                return self._judge_text(state), state.sha256
            if last.sha256 == state.sha256 or state.settled:
                if last.sha256 != state.sha256:
                    self._refuse_open(state.sha256)
                return self._judge_text(state, last.version, last.sha256), state.sha256
            raise TermsError([f"{self.path}: was changed a moment ago, it may be half written"])
        except TermsError as error:
            if last is None or last.text is None:
                raise
            self.terms = loads(last.text.removeprefix("\ufeff"), f"{self.path} (version {last.version})")
            self._keep_last(error)
            return self.terms, last.sha256

    def _refuse_open(self, sha256: str) -> None:
        """Raises: TermsError where a program still writes the file, as far as that can be told."""
        if not _is_open_to_write(self.path):
            self._open_since = None
            return
        now_us = self._now_us()
        if self._open_since is None or self._open_since[0] != sha256:
            self._open_since = sha256, now_us
        if abs(now_us - self._open_since[1]) < OPEN_US:
            raise TermsError([f"{self.path}: is open to be written, it may be half written; close it"])

    def _keep_last(self, error: TermsError) -> None:
        self.error = f"{error}; version {self.terms.version} stays in force"

    def _judge_text(self, state: _FileState, last: int = 0, last_sha256: str = "") -> Terms:
        """The terms of a text, if they may follow version `last`. Raises: TermsError."""
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
            text = state.content.decode()  # with the mark at its beginning, if it has one: as it was hashed
            self._write_history(
                HistoryEntry(version, state.sha256, at(self._now_us()), "accepted", text=text)
            )
        return terms

    def _write_history(self, entry: HistoryEntry) -> None:
        """Write into the history. Raises: TermsError where it cannot be written."""
        if self._history is None or not self._keeps:
            return
        try:
            self._history.add(entry)
        except OSError as error:
            raise TermsError([f"{self._history.path}: cannot be written: {error.strerror}"]) from error

    def _read_file(self) -> _FileState:
        """The file as it is now, read anew only where it may have changed. Raises: TermsError."""
        try:
            stats = os.stat(self.path)
            if not stat.S_ISREG(stats.st_mode):  # a pipe would wait for ever
                raise TermsError([f"{self.path}: is no file"])
            sign = (stats.st_mtime_ns, stats.st_size, stats.st_ino)
            if self._seen is not None and self._seen.sign == sign and self._seen.settled:
                return self._seen
            with open(self.path, "rb", opener=_open_without_waiting) as file:
                content = file.read(LARGEST_BYTES + 1)
        except FileNotFoundError:
            raise TermsError([f"{self.path}: is not there"]) from None
        except OSError as error:
            raise TermsError([f"{self.path}: cannot be read: {error.strerror}"]) from error
        settled = self._now_us() * 1000 - stats.st_mtime_ns > SETTLED_NS
        return _FileState(sign, content, digest(content), settled)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _is_open_to_write(path: Path) -> bool:
    """Tell whether a program has a file open to write it; false where the system does not say.

    A lease on reading is not given then (fcntl(2), "Leases"). Who comes to write in the moment in which it is
    held waits until it is let go of, and this process is told by a signal: one that nobody minds.
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
    """Refuse what would take back version `last` unseen. Raises: TermsError."""
    if version < last:
        hint = f"to go back, write version {last + 1}"
        raise TermsError([f"{path}: version {version} is lower than {last}, which was in force; {hint}"])
    if version == last and sha256 != last_sha256:
        raise TermsError([f"{path}: has changed but is still version {version}; write version {version + 1}"])
