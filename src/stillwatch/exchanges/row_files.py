"""Rows of a log in write-once files, so that a growing log stores only what is new.

A file holds some columns and the names for its own codes, and can be read without any other. The caller keeps
the list of files that belong to a log.
"""

# mypy: allow-untyped-defs

import json
import os
import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tokenize import TokenError
from zipfile import BadZipFile

import numpy as np

from stillwatch.exchanges.log import CODED_AS, Codes, Columns

PART_ROWS = 1 << 19  # of one file at most
# what NumPy and `zipfile` raise on a damaged file
DAMAGED_ARRAYS = (
    OSError, ValueError, KeyError, TypeError, EOFError, OverflowError, MemoryError, RuntimeError, SyntaxError,
    BadZipFile, TokenError, struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class RowFile:
    """Consecutive rows of a file that belong to a log."""

    name: str
    first: int
    rows: int

    def at_most(self, rows: int) -> "RowFile":
        """Return at most this many of its rows."""
        return replace(self, rows=min(self.rows, rows))

    def without(self, rows_gone: int, at: int) -> "RowFile | None":
        """Return what is left after a log drops its first rows; at: the position of its first row there."""
        gone_here = max(rows_gone - at, 0)
        return (
            replace(self, first=self.first + gone_here, rows=self.rows - gone_here)
            if gone_here < self.rows
            else None
        )


def write_rows(folder: Path, columns: Columns, names: dict[str, list[str]]) -> RowFile:
    """Write rows into a new file, atomically; names: of each coded column, by code.

    Raises: OSError.
    """
    arrays, names_used = dict(columns), {}
    for column in CODED_AS:
        used = np.unique(columns[column])
        used = used[used >= 0]
        lookup = np.full(len(names[column]) + 1, -1, np.int32)
        lookup[used] = np.arange(len(used))
        arrays[column] = lookup[columns[column]]
        names_used[column] = [names[column][code] for code in used.tolist()]
    arrays["names"] = np.frombuffer(json.dumps(names_used).encode(), np.uint8)
    name = f"{secrets.token_hex(8)}.npz"
    write_arrays(folder / name, arrays)
    return RowFile(name, 0, len(columns["ts_us"]))


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays into one file, atomically and durably. Raises: OSError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def read_rows(folder: Path, part: RowFile, codes: dict[str, Codes]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield a file's columns one by one; its names get codes among the known ones.

    Raises: `DAMAGED_ARRAYS` if the file is missing or damaged.
    """
    with (folder / part.name).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        names = json.loads(file["names"].tobytes())
        for name in file.files:
            if name == "names":
                continue
            rows = file[name][part.first : part.first + part.rows]
            if len(rows) < part.rows:
                raise ValueError(f"{part.name} holds {len(rows)} of {part.rows} rows")
            if name in CODED_AS:
                index = codes[CODED_AS[name]].index
                lookup = np.array(
                    [*(index.setdefault(value, len(index)) for value in names[name]), -1], np.int32
                )
                rows = lookup[rows]
            yield name, rows
