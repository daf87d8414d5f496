"""One gateway a folder: who has it now, and the terms that it goes by. It starts nothing."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stillwatch.gateway.folder import Folder, FolderError
from stillwatch.terms.history import TermsHistory
from stillwatch.terms.reload import WatchedTerms

LOCK = "lock"
LOOK_S = 0.2  # `running_pid` of another process takes the lock for less


@contextmanager
def sole_instance(folder: Folder) -> Iterator[Callable[[], str | None]]:
    """Hold the folder for one gateway alone; what is given says whether it is still the folder that is held.

    Raises: FolderError naming the process that has it.
    """
    handle = os.open(folder.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        until = time.monotonic() + LOOK_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as why:  # held, or somebody looks in this moment whether it is
                if time.monotonic() > until:
                    text = f"{folder.path}: is served already, by process {running_pid(folder)}"
                    raise FolderError(text) from why
                time.sleep(0.01)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        held = os.fstat(handle)

        def trouble() -> str | None:
            try:
                if os.path.samestat(held, os.stat(folder.path / LOCK)):
                    return None
            except OSError:
                return f"{folder.path}: is gone while it is served; put it back, or start the gateway anew"
            return f"{folder.path}: was replaced while it is served; start the gateway anew"

        yield trouble
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)  # and with it the lock goes, however this ended


def running_pid(folder: Folder) -> int | None:
    """Give the process that serves a folder now; None where nobody does."""
    try:
        handle = os.open(folder.path / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        said = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
        return int(said) if said.isdigit() else -1
    finally:
        os.close(handle)
    return None


def open_terms(folder: Folder, *, keeps_history: bool) -> WatchedTerms:
    """Take up the terms of a folder. Raises: TermsError where none can be used: then nobody is served."""
    return WatchedTerms(
        folder.terms, history=TermsHistory(terms_history(folder)), keeps_history=keeps_history
    )


def terms_history(folder: Folder) -> Path:
    """Give the file that remembers which terms were in force."""
    return folder.path / "terms-history.jsonl"
