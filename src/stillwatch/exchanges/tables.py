"""Logs in memory: anything that exports itself as Arrow (pyarrow, pandas, polars, DuckDB).

Uses the Arrow PyCapsule interface, so none of these packages is required.

Source: https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sized
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa

from stillwatch.errors import InputError
from stillwatch.exchanges.formats import Refused, own
from stillwatch.exchanges.intake import Intake
from stillwatch.exchanges.parquet import DAMAGED, ColumnarLog, first_line, plain, read_batches
from stillwatch.exchanges.sketch import Sketcher

STREAM, ARRAY = "__arrow_c_stream__", "__arrow_c_array__"
RIGHT = (
    "right would be a path, a list of paths, or a table that speaks Arrow: a pyarrow Table, RecordBatch or "
    "RecordBatchReader, a pandas (2.2 or later) or polars DataFrame, or an iterable of these"
)


@dataclass(frozen=True)
class TableSource:
    """One table or stream of batches, to be read once."""

    shown: str
    size: int  # rows, if known; else 0
    batches: pa.RecordBatchReader


def is_table(data: object) -> bool:
    """Return whether an object exports itself as Arrow."""
    return hasattr(data, STREAM) or hasattr(data, ARRAY)


@dataclass(frozen=True)
class InMemoryLog:
    """A log in memory: a table or stream, or an iterable of them, each fetched when needed."""

    data: object
    what: str = "table"  # its name in messages

    @property
    def rows(self) -> int:
        """Return how many rows there are, if known; else 0."""
        return _rows(self.data) if is_table(self.data) else 0

    def __iter__(self) -> Iterator[TableSource]:
        """Yield the tables.

        Raises: InputError for anything that is not a table and cannot become one.
        """
        if is_table(self.data):
            yield _source(self.data, self.what)
            return
        if isinstance(self.data, str | bytes | dict) or not isinstance(self.data, Iterable):
            raise InputError(f"{self.what}: is a {_kind(self.data)}; {RIGHT}")
        number = 0
        for number, table in enumerate(self.data, start=1):
            if not is_table(table):
                raise InputError(f"{self.what} {number}: is a {_kind(table)}; {RIGHT}{_rows_hint(table)}")
            yield _source(table, f"{self.what} {number}")
        if number == 0:
            raise InputError(f"{self.what}: holds nothing; {RIGHT}")


def _rows_hint(data: object) -> str:
    return "; of rows pyarrow.Table.from_pylist(rows) makes a table" if isinstance(data, dict) else ""


def _kind(data: object) -> str:
    return f"{type(data).__module__}.{type(data).__qualname__}".removeprefix("builtins.")


def _source(data: object, shown: str) -> TableSource:
    try:
        if hasattr(data, STREAM):
            reader = pa.RecordBatchReader.from_stream(data)
        else:
            batch = pa.record_batch(data)
            reader = pa.RecordBatchReader.from_batches(batch.schema, [batch])
    except (pa.ArrowException, TypeError, ValueError, OverflowError, NotImplementedError) as why:
        raise InputError(
            f"{shown}: cannot be handed over as Arrow ({first_line(why)}); give every column one type"
        ) from None
    return TableSource(shown, _rows(data), reader)


def _rows(data: object) -> int:
    size = getattr(data, "num_rows", None)
    if size is None and isinstance(data, Sized):
        size = len(data)
    return size if isinstance(size, int) else 0


def read(
    source: TableSource,
    intake: Intake,
    *,
    batch_rows: int,
    columns: Collection[str] | None,
    tick: Callable[[int], None],
    sketcher: Sketcher | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the good rows in the RECORD schema, without ids so far; those of a sketched table as SKETCHED.

    Raises: Refused for the table as a whole; InputError for sketches under another key than `sketcher`'s.
    """
    rows = 0
    whole_batches = _whole(source)

    def batches_of_source(wanted: list[str] | None) -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch in whole_batches:
            rows += batch.num_rows
            batch = batch if wanted is None else batch.select(wanted)
            for at in range(0, batch.num_rows, batch_rows):
                yield batch.slice(at, batch_rows)

    def first_row() -> dict[str, object]:
        nonlocal whole_batches
        head = next(whole_batches, None)
        if head is None:
            return {}
        whole_batches = chain([head], whole_batches)
        return plain(head.slice(0, 1))[0] if head.num_rows else {}

    log = ColumnarLog(source.shown, source.batches.schema, batches_of_source, first_row)
    try:
        yield from read_batches(log, intake, columns=columns, tick=tick, sketcher=sketcher)
    except Refused as why:
        missing = own.missing_column(source.batches.schema.names)
        if missing is None or intake.columns:
            raise
        raise Refused(f"{why}; or name yours: columns={{'{missing}': '...'}}") from None
    except pa.ArrowException as why:
        raise Refused(f"has values that its column types do not allow: {first_line(why)}") from None
    if rows == 0:
        raise Refused("is empty: no row to read")


def _whole(source: TableSource) -> Iterator[pa.RecordBatch]:
    """Yield the batches, until the end or until the stream breaks off."""
    try:
        yield from source.batches
    except DAMAGED as why:
        raise Refused(f"broke off: {first_line(why)}") from None
