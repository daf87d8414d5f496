"""Parquet files, streamed by row group, and other sources of Arrow batches. Our own record, plain or
sketched, is converted by column, other formats row by row."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.exchanges import RECORD, batches, columnar, csv_text, mapping, sketched
from stillwatch.exchanges.formats import Refused, Row, own
from stillwatch.exchanges.intake import TALKS, Intake, is_known
from stillwatch.exchanges.mapping import BODIES
from stillwatch.exchanges.registry import recognise
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sources import Source

TALKS_LOOKED_FOR = 64  # prompts of a batch to check: conversations are found in most of a log, or nowhere
TALK = ("prompt", "system", "completion", "earlier")  # columns that may hold a list of messages, or of parts
SKETCHES = "sketched exchanges"
# what pyarrow raises on a broken file; names in its footer may be invalid UTF-8
DAMAGED = (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError)


def read(
    source: Source,
    intake: Intake,
    *,
    batch_rows: int,
    columns: Collection[str] | None,
    tick: Callable[[int], None],
    sketcher: Sketcher | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the good rows in the RECORD schema, without ids so far; a sketched file's as SKETCHED.

    Raises: Refused for the file as a whole; InputError for sketches under another key than `sketcher`'s.
    """
    try:
        with _open(source.path) as file:
            rows = max(file.metadata.num_rows, 1)
            if file.metadata.num_rows == 0:
                raise Refused("is empty: no row to read")
            # the footer's own metadata: Arrow's schema has only what Arrow wrote, not other writers' marks
            schema = file.schema_arrow.with_metadata(file.metadata.metadata)
            columnar_log = ColumnarLog(
                source.shown,
                schema,
                lambda wanted: file.iter_batches(batch_rows, columns=wanted),
                lambda: first_row(source.path),
            )
            yield from read_batches(
                columnar_log,
                intake,
                columns=columns,
                tick=lambda done: tick(source.size * done // rows),
                sketcher=sketcher,
            )
    except DAMAGED as why:
        raise Refused(f"damaged Parquet: {first_line(why)}") from None


def _open(path: Path) -> pq.ParquetFile:
    try:
        # Arrow holds prefetched data until the file is closed, in the end all of it
        return pq.ParquetFile(path, pre_buffer=False)
    except UnicodeEncodeError:
        raise Refused("has a name that is not UTF-8, under which Parquet cannot be read; rename it") from None


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text for a message; its type if it has none."""
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def first_row(path: Path) -> dict[str, object]:
    """Return a file's first row. Raises: Refused."""
    try:
        with _open(path) as file:
            batch = next(iter(file.iter_batches(1)), None)
            return plain(batch)[0] if batch is not None and batch.num_rows else {}
    except DAMAGED as why:
        raise Refused(f"damaged Parquet: {str(why)[:200]}") from None


@dataclass(frozen=True)
class ColumnarLog:
    """A log as Arrow batches."""

    shown: str  # as used in messages
    schema: pa.Schema  # with the metadata that names the key of its sketches
    batches: Callable[[list[str] | None], Iterator[pa.RecordBatch]]  # with these columns, or all
    first_row: Callable[[], dict[str, object]]


def read_batches(
    log: ColumnarLog,
    intake: Intake,
    *,
    columns: Collection[str] | None = None,
    tick: Callable[[int], None],
    sketcher: Sketcher | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the good rows as `read` does. `tick` is called with the rows done.

    Raises: as `read`.
    """
    done = 0
    repeated = csv_text.first_twice(list(log.schema.names))
    if repeated is not None:
        raise Refused(f"column '{repeated}' appears twice")
    if sketched.is_sketched(log.schema):
        schema = _sketched_schema(log, sketcher)
        for batch in log.batches(None):
            yield _sketch_batch(batch, schema, log.shown, intake, done)
            done += batch.num_rows
            tick(done)
        return
    names = list(log.schema.names)
    renamed = intake.map_names(names)
    bodies = any(body in intake.columns for body in BODIES)
    wrong = None if bodies else intake.wrong(renamed)
    plan = own.columns_of(names)
    is_deep = False  # whether a column is nested in another
    if renamed is not names:
        plan = own.columns_of([name for name in renamed if name not in intake.columns])
        plan |= {field: path for field, path in intake.columns.items() if field in RECORD.names}
        intake.found.update(intake.columns)
        is_deep = bodies or not set(intake.columns.values()) <= set(names)
    if not wrong and set(names) > set(plan.values()):  # they may be ours by chance, as Bedrock's are
        is_deep = is_deep or recognise(log.first_row()) not in (None, own.FORMAT)
    needs_rows = is_deep or any(_is_nested(log.schema, plan.get(name)) for name in TALK)
    wanted = None if wrong or is_deep else _wanted_columns(plan, columns)
    for batch in log.batches(wanted):
        if wrong is None and not needs_rows:
            at_hand = {k: v for k, v in plan.items() if v in batch.schema.names}
            yield _convert_batch(batch, at_hand, log.shown, intake, done)
        else:
            yield from _by_row(batch, wrong, log.shown, intake, done)  # another format, or messages
        done += batch.num_rows
        tick(done)


def _wanted_columns(plan: dict[str, str], columns: Collection[str] | None) -> list[str]:
    """Return the file's columns to read: all known ones if ids must be derived from content."""
    if columns is None or ("exchange_id" in columns and "exchange_id" not in plan):
        return list(plan.values())
    return [written for name, written in plan.items() if name in columns or name in batches.ALWAYS]


def _sketched_schema(log: ColumnarLog, sketcher: Sketcher | None) -> pa.Schema:
    if sketcher is None:
        raise Refused("holds sketches instead of texts; right would be a log with its prompts")
    sketched.check_key(log.schema.metadata, sketcher, log.shown)
    return sketched.schema_under(sketcher)


def _sketch_batch(
    batch: pa.RecordBatch, schema: pa.Schema, shown: str, intake: Intake, done: int
) -> pa.RecordBatch:
    """Return the rows whose record is good, with their sketches."""
    plan = {name: name for name in RECORD.names if name in batch.schema.names}
    for name in ("exchange_id", "time", "account"):
        if name not in plan:
            raise Refused(f"has sketches and no column '{name}'")
    good, bad = columnar.convert(batch, plan, intake.clock)
    if batch.column("exchange_id").null_count:
        first = int(np.argmax(batch.column("exchange_id").is_null().to_numpy(zero_copy_only=False)))
        raise Refused(f"has sketches and no exchange_id in row {done + first + 1}")
    for row in sorted(bad):
        intake.rejects.add(f"{shown}:row {done + row + 1}", bad[row])
    intake.used += good.num_rows
    intake.formats[shown, SKETCHES] += good.num_rows
    if bad:
        keep = np.ones(batch.num_rows, dtype=bool)
        keep[list(bad)] = False
        batch = batch.filter(pa.array(keep))
    arrays = []
    for field in schema:
        if field.name in plan:
            arrays.append(good.column(field.name))
        elif field.name in batch.schema.names:
            column = batch.column(field.name)
            if not field.nullable and column.null_count:
                raise Refused(f"column '{field.name}' has nulls; every exchange has its sketch")
            arrays.append(column.cast(field.type))
        else:
            arrays.append(pa.nulls(batch.num_rows, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _convert_batch(
    batch: pa.RecordBatch, plan: dict[str, str], shown: str, intake: Intake, done: int
) -> pa.RecordBatch:
    notes: columnar.Notes = []
    good, bad = columnar.convert(batch, plan, intake.clock, notes)
    for row, why in sorted(notes):
        if row not in bad:
            intake.rejects.note(f"{shown}:row {done + row + 1}", why)
    for row in sorted(bad):
        raw = _as_json(plain(batch.slice(row, 1))[0]) if intake.rejects.wants_raw else None
        intake.rejects.add(f"{shown}:row {done + row + 1}", bad[row], raw)
    intake.used += good.num_rows
    intake.formats[shown, own.FORMAT.name] += good.num_rows
    good, keys = columnar.without_keys(good)
    intake.rejects.named_by_key += keys
    prompts = good.column(RECORD.get_field_index("prompt"))
    if "prompt" in plan or not intake.needs_texts:
        intake.rejects.without_prompt += prompts.null_count
    head = prompts.slice(0, TALKS_LOOKED_FOR).to_pylist()
    if any(prompt is not None and prompt.startswith(TALKS) for prompt in head):
        for beginning in TALKS:
            intake.rejects.talks += pc.sum(pc.starts_with(prompts, beginning)).as_py() or 0
    return good


def _is_nested(schema: pa.Schema, written: str | None) -> bool:
    return written is not None and pa.types.is_nested(schema.field(written).type)


def _by_row(
    batch: pa.RecordBatch, wrong: str | None, shown: str, intake: Intake, done: int
) -> Iterator[pa.RecordBatch]:
    objects = plain(batch)
    head = (
        mapping.rename(objects[0], intake.columns) if objects and intake.columns else next(iter(objects), {})
    )
    known = not intake.names and is_known(head)
    if wrong is not None and done == 0 and not known:
        raise Refused(wrong)
    rows: list[Row] = []
    for index, obj in enumerate(objects):
        rows.extend(intake.take(obj, f"{shown}:row {done + index + 1}", _as_json(obj), None))
    if rows:
        yield batches.from_rows(rows)


def plain(batch: pa.RecordBatch) -> list[dict[str, object]]:
    """Return rows as mappings; values that Python cannot hold (bad UTF-8, year 300000) as bytes or int."""
    columns = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            columns[name] = _values(column)
        except UnicodeDecodeError:
            columns[name] = _binary_values(column)
        except (ValueError, OverflowError):
            columns[name] = (
                column.view(pa.int64()).to_pylist() if column.type.bit_width == 64 else _no_values(column)
            )
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _values(column: pa.Array) -> list[object]:
    """Return a column's values; maps as objects, or as lists of pairs if a key repeats."""
    try:
        return list(column.to_pylist(maps_as_pydicts="strict"))
    except KeyError:
        return list(column.to_pylist())


def _binary_values(column: pa.Array) -> list[object]:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return list(column.cast(pa.binary()).to_pylist())
    return _no_values(column)


def _no_values(column: pa.Array) -> list[object]:
    return [None] * len(column)


def _as_json(obj: object) -> bytes:
    return msgspec.json.encode(obj, enc_hook=repr)
