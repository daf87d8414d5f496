"""Files written whole or not at all, with the folder entry made durable."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path


def write_new_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file that does not exist yet. On return it is on the disk; on failure it does not exist.

    Raises: FileExistsError if it exists; OSError if it cannot be written.
    """
    _create(path, [data], mode)


def replace_file(path: Path, parts: Iterable[bytes], mode: int = 0o600) -> None:
    """Replace a file atomically and durably: a reader never sees half of it.

    It is first written beside it as `.NAME.PID-…`. Raises: OSError if it cannot be written.
    """
    beside = path.with_name(f".{path.name[:40]}.{os.getpid()}-{secrets.token_hex(4)}")
    _create(beside, parts, mode)
    try:
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _create(path: Path, parts: Iterable[bytes], mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:  # the source of the parts may fail, too
        path.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make files created, renamed or deleted in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
