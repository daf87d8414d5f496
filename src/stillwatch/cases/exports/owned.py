"""Key files that only their owner may read, written once and never overwritten."""

import os
from pathlib import Path

from stillwatch.cases.exports import ExportError
from stillwatch.errors import refuse_os_errors
from stillwatch.new_file import write_new_file

LONGEST = 4_096


def write_owned(path: Path, text: str, label: str) -> None:
    """Write a new file, mode 0600, durably.

    Raises: ExportError if it is there already.
    """
    try:
        write_new_file(path, text.encode("ascii"))
    except FileExistsError:
        raise ExportError(f"{path}: is there already; {label} is never written over") from None
    except OSError as why:
        raise ExportError(f"{path}: cannot hold {label}: {why.strerror}") from why


def read_owned(path: Path, label: str) -> str:
    """Read a key file. Raises: ExportError if it cannot be read, or others can read it too."""
    with refuse_os_errors(ExportError, f"{path}: cannot read {label}"), path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        raw = file.read(LONGEST + 1)
    if mode & 0o077:
        raise ExportError(f"{path}: holds {label} and others may read it; chmod 600 {path}")
    if len(raw) > LONGEST or not raw.isascii():
        raise ExportError(f"{path}: holds no key of ours")
    return raw.decode("ascii")
