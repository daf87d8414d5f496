"""One gateway per folder: the lock that ensures it, and the folder's policy."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stillwatch.gateway.folder import Folder, FolderError
from stillwatch.terms.history import TermsHistory
from stillwatch.terms.reload import WatchedTerms

LOCK = "lock"
LOOK_S = 0.2  # `running_pid` in another process holds the lock for less


class FolderLock:
    """The held lock of a folder. It lasts as long as any descriptor of it, also in the next gateway."""

    def __init__(self, folder: Folder, descriptor: int) -> None:
        self._folder, self._descriptor = folder, descriptor
        self.passed_on: int | None = None  # the descriptor by which the next gateway holds it

    def trouble(self) -> str | None:
        """Return what is wrong if the folder is no longer the locked one; None if it is."""
        path = self._folder.path
        try:
            if os.path.samestat(os.fstat(self._descriptor), os.stat(path / LOCK)):
                return None
        except OSError:
            return f"{path}: is gone while it is served; put it back, or start the gateway anew"
        return f"{path}: was replaced while it is served; start the gateway anew"

    def pass_on(self) -> int:
        """Return a descriptor that keeps the lock when this process becomes the next gateway."""
        self.passed_on = os.dup(self._descriptor)
        return self.passed_on


@contextmanager
def sole_instance(folder: Folder, inherited: int | None = None) -> Iterator[FolderLock]:
    """Hold the folder for one gateway alone. `inherited`: the lock's descriptor from the previous gateway.

    Raises: FolderError naming the process that has it.
    """
    handle = _open_lock(folder, inherited)
    try:
        _lock(folder, handle)
        os.ftruncate(handle, os.pwrite(handle, f"{os.getpid()}\n".encode(), 0))
        lock = FolderLock(folder, handle)
        yield lock
        if lock.passed_on is None:
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)  # this releases the lock, however it ended


def _open_lock(folder: Folder, inherited: int | None) -> int:
    """Return a descriptor of the lock file: the inherited one, unless that belongs to another folder now."""
    opened = os.open(folder.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    if inherited is None:
        return opened
    same = os.path.sameopenfile(opened, inherited)
    os.close(opened if same else inherited)
    return inherited if same else opened


def _lock(folder: Folder, handle: int) -> None:
    until = time.monotonic() + LOOK_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as why:  # held, or another process is checking whether it is
            if time.monotonic() > until:
                text = f"{folder.path}: is served already, by process {running_pid(folder)}"
                raise FolderError(text) from why
            time.sleep(0.01)


def running_pid(folder: Folder) -> int | None:
    """Return the process that serves a folder now; None if there is none."""
    try:
        handle = os.open(folder.path / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
        return int(pid) if pid.isdigit() else -1
    finally:
        os.close(handle)
    return None


def open_terms(folder: Folder, *, keeps_history: bool) -> WatchedTerms:
    """Open the policy of a folder. Raises: TermsError if none is usable: then nobody is served."""
    return WatchedTerms(
        folder.terms, history=TermsHistory(terms_history(folder)), keeps_history=keeps_history
    )


def terms_history(folder: Folder) -> Path:
    """Return the file that records which policies were in force."""
    return folder.path / "terms-history.jsonl"
