"""A column larger than memory should hold: written to a temporary file, read through a map of it.

Of a mapped file the system keeps what fits, and can let any of it go, as it lies on disk already. It does not
know what a column's values mean.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, MADV_DONTNEED, mmap
from tempfile import TemporaryFile

import numpy as np

from stillwatch.errors import InputError

ROWS_AT_ONCE = 1 << 16  # that are put in order


class ColumnFile:
    """Rows of one column, written in parts that follow one another; what no part brings is 0."""

    def __init__(self, like: np.ndarray) -> None:
        """like: (any,) or (any, values) a part of the column: its type, and how many values a row has.

        Raises: InputError where there is no folder for temporary files.
        """
        self._dtype, self._row = like.dtype, like.shape[1:]
        self._row_bytes = like.dtype.itemsize * int(np.prod(like.shape[1:]))
        with _no_room():
            self._file = TemporaryFile()  # noqa: SIM115

    def write(self, rows: np.ndarray, first: int) -> None:
        """Write rows, the first of them at the place `first`.

        Raises: InputError where the folder for temporary files has no room for them.
        """
        with _no_room():
            self._file.seek(first * self._row_bytes)
            self._file.write(np.ascontiguousarray(rows).data)

    def whole(self, rows: int) -> np.ndarray:
        """(rows, ...) the column, to be read only. The file goes when the array does."""
        with self._file as file:
            file.truncate(rows * self._row_bytes)
            mapped = mmap(file.fileno(), 0, access=ACCESS_READ) if rows else b""
        return np.frombuffer(mapped, self._dtype).reshape(rows, *self._row)


@contextmanager
def _no_room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot hold a column of the log in a temporary file: {error.strerror}; "
            "set TMPDIR to a folder with more room"
        ) from error


def is_mapped(column: np.ndarray) -> bool:
    """Whether a column lies in a file."""
    return _mapping(column) is not None


def put_in_order(column: np.ndarray, order: np.ndarray) -> np.ndarray:
    """A mapped column's rows in another order, or some of them, in a file of their own."""
    ordered = ColumnFile(column)
    for first in range(0, len(order), ROWS_AT_ONCE):
        ordered.write(column[order[first : first + ROWS_AT_ONCE]], first)
        let_go((column,))
    return ordered.whole(len(order))


def let_go(columns: Iterable[np.ndarray]) -> None:
    """Keep no part of mapped columns in this process's memory until it is read again."""
    for column in columns:
        if (mapping := _mapping(column)) is not None:
            mapping.madvise(MADV_DONTNEED)


def _mapping(column: np.ndarray) -> mmap | None:
    held: object = column
    while isinstance(held, np.ndarray):
        held = held.base
    held = held.obj if isinstance(held, memoryview) else held
    return held if isinstance(held, mmap) else None
