"""The public Python interface: what `import stillwatch` gives. `stillwatch scan` itself goes through it.

It judges nothing. It takes logs in whatever shape they are, and hands results over as tables, JSON and pages.
"""

from collections.abc import Iterable
from os import PathLike
from typing import Protocol


class ArrowStream(Protocol):
    """A table by the Arrow PyCapsule interface: pyarrow, pandas 2.2, polars and DuckDB have it."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Give a stream of batches."""


class ArrowArray(Protocol):
    """One batch by the Arrow PyCapsule interface."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """Give the batch."""


Table = ArrowStream | ArrowArray
Path = str | PathLike[str]
Log = Path | Table | Iterable[Path] | Iterable[Table]
