"""A column too large for memory: written to a temporary file and read through a memory map.

The system keeps mapped pages while memory allows and can drop any of them, since they are on disk.
"""

import ctypes
import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from mmap import ACCESS_READ, MADV_DONTNEED, mmap
from tempfile import TemporaryFile
from weakref import finalize

import numpy as np

from stillwatch.errors import InputError

IN_MEMORY_ROWS = 1 << 21  # in a longer log, rarely read columns go to temporary files
ROWS_AT_ONCE = 1 << 16  # reordered at once
LEAST_FREE = 0.02  # share of a disk that stays free, for the processes that record events
SPARE = 4  # a file releases the space of its oldest rows when they exceed one in so many


class NoRoomError(InputError):
    """The disk is too full for a column."""


class ColumnFile:
    """Rows of one column, written in consecutive parts; values that a part lacks are 0."""

    def __init__(self, like: np.ndarray) -> None:
        """like: (any,) or (any, values), a part of the column: gives its type and the values per row.

        Raises: NoRoomError if there is no folder for temporary files.
        """
        self._dtype, self._row = like.dtype, like.shape[1:]
        self._row_bytes = like.dtype.itemsize * int(np.prod(like.shape[1:]))
        self._gone = 0  # rows at the start of the file that no longer belong to the column
        with _checked_room():
            # unbuffered: data that the disk refused must not be retried after a later write
            self._file = TemporaryFile(buffering=0)  # noqa: SIM115
        finalize(self, self._file.close)

    def write(self, rows: np.ndarray, first: int) -> None:
        """Write rows, starting at row `first`.

        Raises: NoRoomError if the folder for temporary files has no room for them.
        """
        with _checked_room():
            disk = os.fstatvfs(self._file.fileno())
            if disk.f_bavail < LEAST_FREE * disk.f_blocks:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._write(np.ascontiguousarray(rows).data.cast("B") if len(rows) else b"", first)

    def _write(self, data: memoryview | bytes, first: int) -> None:
        self._file.seek((self._gone + first) * self._row_bytes)
        while len(data):
            data = data[self._file.write(data) :]

    def whole(self, rows: int) -> np.ndarray:
        """Return the column, (rows, ...), read-only. The file is deleted with the array."""
        with self._file:
            return self.view(rows)

    def view(self, rows: int) -> np.ndarray:
        """Return the column as it is now, (rows, ...), read-only, and valid only until the next write.

        Raises: NoRoomError if the folder for temporary files has no room for them.
        """
        total_rows = self._gone + rows
        with _checked_room():
            self._file.truncate(total_rows * self._row_bytes)
            mapped = mmap(self._file.fileno(), 0, access=ACCESS_READ) if total_rows else b""
        return np.frombuffer(mapped, self._dtype).reshape(total_rows, *self._row)[self._gone :]

    def forget(self, rows: int, left: int) -> None:
        """Drop the first rows; `left` follow them. Earlier views must not be read any more."""
        self._gone += rows
        if self._gone * SPARE < left:
            return
        begin, self._gone = self._gone, 0
        for first in range(0, left, ROWS_AT_ONCE):  # moved in place, which needs no extra space
            rows_moved = min(ROWS_AT_ONCE, left - first)
            self._file.seek((begin + first) * self._row_bytes)
            block = bytearray(rows_moved * self._row_bytes)
            read = self._file.readinto(block)
            self._write(memoryview(block)[:read], first)
        self._file.truncate(left * self._row_bytes)


@contextmanager
def _checked_room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NoRoomError(
            f"cannot hold a column of the log in a temporary file: {error.strerror}; "
            "set TMPDIR to a folder with more room"
        ) from error


def seldom_read(column: np.ndarray, exchanges: int) -> np.ndarray:
    """Return a rarely or sequentially read column, read-only; for a long log it is moved to a file.

    exchanges: how many the log has. Raises: NoRoomError if the folder for temporary files has no room.
    """
    if exchanges <= IN_MEMORY_ROWS or not len(column):
        return column
    file = ColumnFile(column)
    file.write(column, 0)
    return file.whole(len(column))


def is_mapped(column: np.ndarray) -> bool:
    """Return whether a column lies in a file."""
    return _mapping(column) is not None


def put_in_order(column: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return a mapped column's rows, or some of them, in another order, in a file of their own."""
    ordered = ColumnFile(column)
    for first in range(0, len(order), ROWS_AT_ONCE):
        ordered.write(column[order[first : first + ROWS_AT_ONCE]], first)
        let_go((column,))
    return ordered.whole(len(order))


def let_go(columns: Iterable[np.ndarray]) -> None:
    """Drop mapped columns from this process's memory until they are read again."""
    for column in columns:
        if (mapping := _mapping(column)) is not None:
            mapping.madvise(MADV_DONTNEED)


def trim_heap() -> None:
    """Return free heap memory, which glibc keeps, to the system; with another C library, do nothing."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _mapping(column: np.ndarray) -> mmap | None:
    owner: object = column
    while isinstance(owner, np.ndarray):
        owner = owner.base
    owner = owner.obj if isinstance(owner, memoryview) else owner
    return owner if isinstance(owner, mmap) else None
