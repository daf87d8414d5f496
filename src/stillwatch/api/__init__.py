"""The public Python interface: what `import stillwatch` offers. `stillwatch scan` is built on it.

It takes logs in any supported shape and returns results as tables, JSON and HTML pages.
"""

from collections.abc import Iterable
from os import PathLike
from typing import Protocol


class ArrowStream(Protocol):
    """A table by the Arrow PyCapsule interface: pyarrow, pandas 2.2, polars and DuckDB have it."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a stream of batches."""


class ArrowArray(Protocol):
    """One batch by the Arrow PyCapsule interface."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """Return the batch."""


Table = ArrowStream | ArrowArray
Path = str | PathLike[str]
Log = Path | Table | Iterable[Path] | Iterable[Table]
