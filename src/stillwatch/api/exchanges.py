"""Logs in any shape that a caller has them, read as exchanges."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from pathlib import Path as FilePath
from typing import Any

import pyarrow as pa

from stillwatch.api import Log, Path, Table
from stillwatch.errors import InputError
from stillwatch.exchanges import RECORD, mapping
from stillwatch.exchanges import read as reading
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.sketch import DEFAULT_KEY
from stillwatch.exchanges.sketched import PURPOSE
from stillwatch.exchanges.sources import is_gateway
from stillwatch.exchanges.tables import RIGHT, InMemoryLog, is_table
from stillwatch.gateway.folder import Folder, derive
from stillwatch.report.amounts import plural
from stillwatch.report.losses import losses

KEY_BYTES = 16
EXAMPLES = 5  # unreadable rows that a warning quotes


def logs_of(data: Log, what: str = "table") -> list[str | FilePath] | InMemoryLog:
    """Return the paths that `data` names, or `data` as an in-memory log if it holds tables.

    Raises: InputError for anything else.
    """
    if isinstance(data, str | os.PathLike):
        return [_path(data)]
    if is_table(data) or isinstance(data, bytes | dict) or not isinstance(data, Iterable):
        return InMemoryLog(data, what)
    if isinstance(data, Sequence):
        paths: Iterable[Any] = data
    else:
        rest = iter(data)
        first = list(islice(rest, 1))
        paths = chain(first, rest)
        if not first or not isinstance(first[0], str | os.PathLike):
            return InMemoryLog(paths, what)
        paths = list(paths)
    if not any(isinstance(item, str | os.PathLike) for item in paths) and paths:
        return InMemoryLog(paths, what)
    for item in paths:
        if not isinstance(item, str | os.PathLike):
            raise InputError(f"a list of logs holds a path and a {type(item).__name__}; {RIGHT}")
    return [_path(item) for item in paths]


def _path(item: Path) -> str | FilePath:
    if item == "":
        raise InputError(f"an empty text is no path; {RIGHT}")
    return item if isinstance(item, str) else FilePath(os.fspath(item))


def table_of(data: Path | Table, what: str) -> str | FilePath | InMemoryLog:
    """Return one path, or one table in memory."""
    logs = logs_of(data, what)
    if isinstance(logs, InMemoryLog):
        return logs
    if len(logs) != 1:
        raise InputError(f"{what}: is {len(logs)} paths; give one file, folder or pattern")
    return logs[0]


def aware(at: object, what: str) -> datetime:
    """Return `at` if it is a datetime with a time zone.

    Raises: InputError if it has no zone, or is not a datetime.
    """
    if not isinstance(at, datetime):
        raise InputError(f"{what}: is a {type(at).__name__}; right would be a datetime with its zone")
    if at.tzinfo is None:
        raise InputError(f"{what}: {at.isoformat()} has no zone; right would be {at.isoformat()}+00:00")
    return at


def gateways(logs: Sequence[str | FilePath] | InMemoryLog) -> list[Folder]:
    """Return those logs that are gateways' folders."""
    paths = [] if isinstance(logs, InMemoryLog) else [FilePath(log) for log in logs]
    return [Folder(path) for path in paths if is_gateway(path)]


def key_of(logs: Sequence[str | FilePath] | InMemoryLog, key: object = None) -> bytes:
    """Return the key of a log's sketches: `key`, else that of the gateway's folder, else the default.

    Raises: InputError for a key that is too short, and for folders of two gateways.
    """
    if key is not None:
        if not isinstance(key, bytes) or len(key) < KEY_BYTES:
            form = f"{len(key)} bytes" if isinstance(key, bytes) else type(key).__name__
            raise InputError(f"key: is of {form}; give at least {KEY_BYTES} bytes")
        return key
    folders = gateways(logs)
    keys = {derive(folder.secret(), PURPOSE) for folder in folders}
    if len(keys) > 1:
        raise InputError(
            f"{folders[0].path} and {folders[1].path} were sketched under two keys; take them one by one"
        )
    return keys.pop() if keys else DEFAULT_KEY


def warnings_of(rejects: Rejects, exchanges: int) -> tuple[str, ...]:
    """Describe what could not be read, in sentences that quote the first such rows."""
    sentences = []
    if rejects.count:
        sentences.append(
            f"{plural(rejects.count, 'line')} could not be read (a refused table counts as one)."
        )
        sentences += rejects.examples[:EXAMPLES]
    if rejects.unwritten:
        sentences.append(f"The file of rejected lines is not whole: {rejects.unwritten}.")
    return (*sentences, *losses(rejects, exchanges))


class Exchanges:
    """The exchanges of a log, read on demand: iterate, or pass it to anything that takes Arrow.

    An iterator or a stream can be read once, paths and tables repeatedly. `warnings` refers to the last read.
    """

    def __init__(
        self, logs: list[str | FilePath] | InMemoryLog, columns: mapping.Columns, options: Mapping[str, Any]
    ) -> None:
        self._logs, self._columns, self._options = logs, columns, options
        self._rejects = Rejects()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yield batches in the record's schema.

        Raises: InputError if no line of any file is usable.
        """
        self._rejects = Rejects()
        yield from reading.read(
            self._logs,
            rejects=self._rejects,
            mapping=self._columns,
            needs_texts=not isinstance(self._logs, InMemoryLog),
            **self._options,
        )

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the batches as an Arrow stream."""
        return self.to_reader().__arrow_c_stream__(requested_schema)

    def to_reader(self) -> pa.RecordBatchReader:
        """Return a stream of batches, in constant memory."""
        return pa.RecordBatchReader.from_batches(RECORD, iter(self))

    def to_arrow(self) -> pa.Table:
        """Return all exchanges as one table.

        Raises: InputError if no line of any file is usable.
        """
        return pa.Table.from_batches(list(self), RECORD)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the last read could not use, as sentences. Complete only once that read has finished."""
        return warnings_of(self._rejects, self._rejects.rows)


def read(
    logs: Log,
    *,
    columns: Mapping[str, str] | None = None,
    assume_utc: bool = False,
    keep_text: bool = True,
    now: datetime | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Exchanges:
    """Read logs into the exchange record, without scanning them.

    Arguments:
        logs: As for `scan`, except a gateway's folder: its segments hold sketches instead of texts.
        columns: Maps fields of the record to the log's columns: {"account": "tenant_name"}.
        assume_utc: Treat times without a zone as UTC. Otherwise such rows are rejected.
        keep_text: If false, the columns system, prompt, completion and earlier are null.
        now: Times more than five minutes after it are rejected. Default: the present.
        progress: Called with the amount done and the total: bytes of files, rows of tables.

    Returns: batches with the columns of docs/exchanges.md: times in microseconds UTC, counts as integers,
    null for anything the log does not state.

    Raises: InputError if the input is not a log; during reading, also if no line is usable.
    """
    options = {
        "assume_utc": assume_utc,
        "keep_text": keep_text,
        "now": None if now is None else aware(now, "now"),
        "progress": progress,
    }
    return Exchanges(logs_of(logs), mapping.from_names(columns), options)
