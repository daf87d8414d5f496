"""Read logs of any known source into the exchange record, streaming, and report what could not be read."""

import importlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from stillwatch.errors import InputError
from stillwatch.exchanges import (
    batches,
    content,
    json_text,
    parquet,
    sketched,
    sources,
    tables,
)
from stillwatch.exchanges.accounts import read_accounts
from stillwatch.exchanges.documents import DocumentBudget
from stillwatch.exchanges.formats import Refused, Row
from stillwatch.exchanges.intake import Intake
from stillwatch.exchanges.mapping import Columns
from stillwatch.exchanges.registry import all_formats, may_be_body
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sources import Source
from stillwatch.exchanges.tables import InMemoryLog, TableSource
from stillwatch.exchanges.unpack import Limits, UnpackedFile
from stillwatch.exchanges.values import Clock

__all__ = ["Limits", "Rejects", "read", "read_accounts"]

Progress = Callable[[int, int], None]

# a batch ends early at this size of its sources: memory is bounded by long prompts, not by rows
BATCH_BYTES = 64 << 20


class NothingUsableError(InputError):
    """The log was read, but no row was usable, or none had a column that the owner named."""


def read(
    logs: Sequence[str | Path] | InMemoryLog,
    *,
    rejects: Rejects,
    keep_text: bool = True,
    batch_rows: int = 65_536,
    columns: Collection[str] | None = None,
    progress: Progress | None = None,
    assume_utc: bool = False,
    now: datetime | None = None,
    limits: Limits | None = None,
    sketcher: Sketcher | None = None,
    needs_texts: bool = True,
    mapping: Columns | None = None,
    intake: Intake | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield batches in the RECORD schema, in file order; formats that join files yield theirs at the end.

    `logs`: paths of files, folders and patterns, or tables in memory (`tables.InMemoryLog`).

    With `sketcher`, files of sketched exchanges are read too, as batches of `sketched.SKETCHED`; without it
    they are rejected.

    `columns`: the ones wanted; the rest is null (time and account are always set). Without `keep_text` the
    columns system, prompt and completion are null. `progress` is called with (bytes done, total bytes), for
    tables with rows, and with total 0 if it is unknown. Without `needs_texts`, records that lack only a
    column for the prompt are read, with a null prompt. `now` bounds how late a time may be; default: the
    current time. `mapping`: the owner's names, field of the record -> the log's column or a dotted path
    (`mapping.py`). `intake`: the caller's own, to learn afterwards what was read.

    Raises: InputError if a path names nothing, no file is usable, a file was sketched under another key than
    `sketcher`'s, or no record has a column that `mapping` names.
    """
    clock = Clock(now or datetime.now(UTC), assume_utc)
    files: Iterable[Source | TableSource]
    if isinstance(logs, InMemoryLog):
        files, total = logs, logs.rows
    else:
        files = sorted(sources.find(logs), key=lambda source: may_be_body(source.shown))
        total = sum(source.size for source in files)
    limits = limits or Limits()
    intake = intake or Intake(rejects, clock, needs_texts, mapping)
    intake.documents = DocumentBudget(limits.document_cpu_s)
    done = useful = file_count = 0
    first_problem = ""
    for source in files:
        file_count += 1
        refused_before = rejects.count
        intake.new_file(source.shown)

        def tick(position: int, start: int = done) -> None:
            if progress is not None:
                progress(start + position, total)

        try:
            for batch in _read_source(source, intake, batch_rows, columns, limits, tick, sketcher):
                rejects.rows += batch.num_rows
                if batch.num_rows and sketched.is_sketched(batch.schema):
                    yield batch if keep_text else sketched.without_texts(batch)
                elif batch.num_rows:
                    yield batches.finish(batch, columns=columns, keep_text=keep_text)
        except Refused as why:
            rejects.add_file(source.shown, str(why))
            first_problem = first_problem or f"{source.shown}: {why}"
        if intake.used:
            useful += 1
        elif rejects.count == refused_before:
            rejects.add_file(source.shown, "holds no record")
            first_problem = first_problem or f"{source.shown}: holds no record"
        elif not first_problem and rejects.count > refused_before and rejects.examples:
            first_problem = rejects.examples[min(refused_before, len(rejects.examples) - 1)]
        done += source.size
        tick(0, done)
    for batch in _batch_rows(((row, 0) for row in intake.finish()), batch_rows):
        rejects.rows += batch.num_rows
        yield batches.finish(batch, columns=columns, keep_text=keep_text)
    rejects.flush()
    if unfound := intake.explain_unfound():
        raise NothingUsableError(unfound)
    if not rejects.rows and rejects.examples and not first_problem:  # rejected only at the end of the read
        useful, first_problem = 0, rejects.examples[0]
    if not useful:
        problem = "none of the files could be read" if file_count > 1 else "the file could not be read"
        raise NothingUsableError(
            first_problem if isinstance(logs, InMemoryLog) else f"{problem}. {first_problem}"
        )


def first_record(path: str | Path) -> dict[str, object]:
    """Return the first record of a log that can be decoded, in any format, or an empty one."""
    source = sources.find([path])[0]
    limits = Limits()
    try:
        with UnpackedFile(source.path, limits) as data:
            head = data.peek()
            kind = content.kind_of(head)
            if kind in ("json", "csv"):
                for item in content.values_of(data, head, kind, limits, lambda row: None):
                    value = item.value if isinstance(item, json_text.Good) else None
                    value = value[0] if isinstance(value, list) and value else value
                    if isinstance(value, dict):
                        return value
        return parquet.first_row(source.path) if kind == "parquet" else {}
    except (Refused, OSError):
        return {}


def _read_source(
    source: Source | TableSource,
    intake: Intake,
    batch_rows: int,
    columns: Collection[str] | None,
    limits: Limits,
    tick: Callable[[int], None],
    sketcher: Sketcher | None,
) -> Iterator[pa.RecordBatch]:
    if isinstance(source, TableSource):
        yield from tables.read(
            source, intake, batch_rows=batch_rows, columns=columns, tick=tick, sketcher=sketcher
        )
        return
    try:
        with UnpackedFile(source.path, limits) as data:
            head = data.peek()
            kind = content.kind_of(head)
            if kind != "parquet":
                rows = _rows(data, head, kind, source, intake, limits)
                for batch in _batch_rows(rows, batch_rows):
                    yield batch
                    tick(data.position)
                return
            if data.packing:
                raise Refused(
                    f"is Parquet inside {data.packing}; right would be plain (Parquet packs itself)"
                )
    except OSError as why:
        raise Refused(f"cannot be read: {why.strerror or why}") from None
    yield from parquet.read(
        source, intake, batch_rows=batch_rows, columns=columns, tick=tick, sketcher=sketcher
    )


def _rows(
    data: UnpackedFile, head: bytes, kind: content.Kind, source: Source, intake: Intake, limits: Limits
) -> Iterator[tuple[Row, int]]:
    if kind == "protobuf":
        values = _protobuf(data, limits)
    else:
        values = content.values_of(data, head, kind, limits, intake.check_table)
    yield from intake.rows(values, source.shown)


def _protobuf(data: UnpackedFile, limits: Limits) -> Iterator[json_text.Good | json_text.UndecodableValue]:
    name = next(f.protobuf for f in all_formats() if f.protobuf)
    try:
        module = importlib.import_module(name)
    except ImportError as why:
        if why.name is None or not why.name.startswith(("opentelemetry", "google")):
            raise
        raise InputError(
            "the log is OTLP protobuf, which needs one more package: pip install 'stillwatch[otlp]'"
        ) from None
    for number, (offset, raw, value) in enumerate(
        module.objects(data.chunks(), limits.record_bytes), start=1
    ):
        if isinstance(value, Refused):
            yield json_text.UndecodableValue(number, offset, str(value), raw)
        else:
            yield json_text.Good(number, offset, raw, value)


def _batch_rows(rows: Iterator[tuple[Row, int]], batch_rows: int) -> Iterator[pa.RecordBatch]:
    batch: list[Row] = []
    size = 0
    try:
        for row, weight in rows:
            batch.append(row)
            size += weight
            if len(batch) >= batch_rows or size >= BATCH_BYTES:
                yield batches.from_rows(batch)
                batch, size = [], 0
    except Refused:
        if batch:
            yield batches.from_rows(batch)
        raise
    if batch:
        yield batches.from_rows(batch)
