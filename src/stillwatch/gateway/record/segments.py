"""Segments: the recorder's Parquet files, by hour, each named by the range of numbers it spans.

A number is used once. Merging an hour replaces its files by one that spans their numbers, so a reader can see
from the name what it has read already. Each gateway of a fleet writes to its own folder; readers read all.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.exchanges.networks import NetworkFile
from stillwatch.exchanges.sketched import TEXTS, without_texts
from stillwatch.gateway.folder import Folder
from stillwatch.new_file import sync_folder

CHECKPOINT = b"stillwatch.checkpoint"  # metadata: the recorder's position when it wrote the file
EACH_ITS_OWN = frozenset(
    ("exchange_id", "time", "received", "sequence", "prompt", "completion", "earlier", "prompt_exact")
)
PARTS = b"stillwatch.parts"  # metadata of a merged segment: the numbers and row counts of its parts
NETWORKS = b"stillwatch.networks"  # metadata: the network tables that the rows' `asn` came from
_NAME = re.compile(r"(\d{10})-(\d{10})\.parquet", re.ASCII)
_HOUR = "%Y-%m-%dT%H"
GROUP_ROWS = 100_000  # of a merged file: about 50 MB in memory without texts
MERGE_AFTER = timedelta(minutes=5)  # an hour is merged when it has been over this long


@dataclass(frozen=True, order=True)
class Segment:
    first: int
    last: int
    path: Path


def segment(path: Path) -> Segment | None:
    """Parse a file's name; None if it is not a segment."""
    matched = _NAME.fullmatch(path.name)
    return Segment(int(matched[1]), int(matched[2]), path) if matched else None


def all_segments(folder: Folder) -> list[Segment]:
    """Return every segment, in order for each gateway, without those that an interrupted merge replaced."""
    return [segment_file for _, root in folder.segment_folders() for segment_file in _segments_in(root)]


def _segments_in(root: Path) -> list[Segment]:
    return whole(s for s in map(segment, root.glob("*/*.parquet")) if s is not None)


def whole(segments: Iterable[Segment]) -> list[Segment]:
    """Return segments of one gateway in order, without those that lie inside another."""
    widest: list[Segment] = []
    for segment_file in sorted(segments, key=lambda s: (s.first, -s.last)):
        if not widest or segment_file.last > widest[-1].last:
            widest.append(segment_file)
    return widest


def sweep(folder: Folder) -> None:
    """Delete what a killed recorder left: half-written files, and files that were merged."""
    for below in folder.own_segments.iterdir():
        for path in below.glob("*.new"):
            path.unlink()
    own_paths = {segment_file.path for segment_file in _segments_in(folder.own_segments)}
    for path in folder.own_segments.glob("*/*.parquet"):
        if path not in own_paths and segment(path) is not None:
            path.unlink()


def new_segments(folder: Folder, seen: set[str]) -> list[Path]:
    """Return the segments whose numbers are not all in `seen`, the names of those that were read.

    A merged one may also hold rows that were read: `read_new` returns only the others.
    """
    return [
        segment_file.path
        for prefix, root in folder.segment_folders()
        for spans in [_spans(_of(prefix, seen))]
        for segment_file in _segments_in(root)
        if not _is_covered(segment_file.first, segment_file.last, spans)
    ]


def name_in(folder: Folder, path: Path) -> str:
    """Return the name of a segment as used in `seen`."""
    root = path.parent.parent
    prefix = next(prefix for prefix, segments in folder.segment_folders() if segments == root)
    return prefix + path.name


def _of(prefix: str, seen: set[str]) -> set[str]:
    """Return the names of one gateway's segments, without their prefix."""
    return {name.removeprefix(prefix) for name in seen if name.startswith(prefix)}


def read_new(folder: Folder, seen: set[str]) -> Iterator[pa.Table]:
    """Yield each unread row once, in order: those of numbers not in `seen`, which is updated.

    `seen` stays small and may be kept across restarts: it holds names of spans, whether or not such files
    still exist.
    """
    for prefix, root in folder.segment_folders():
        yield from _read_new_in(root, prefix, seen)


def _read_new_in(root: Path, prefix: str, seen: set[str]) -> Iterator[pa.Table]:
    for segment_file in _segments_in(root):
        before = _of(prefix, seen)
        spans = _spans(before)
        if _is_covered(segment_file.first, segment_file.last, spans):
            continue
        try:
            table = _unread(segment_file, spans)
        except FileNotFoundError:
            return  # merged or deleted just now: the next call finds its rows
        if table.num_rows:
            yield table
        spans = _spans({*before, segment_file.path.name})
        seen.difference_update({prefix + name for name in before})
        seen.update(prefix + _segment_name(first, last) for first, last in spans)


def _unread(segment_file: Segment, spans: list[tuple[int, int]]) -> pa.Table:
    """Return the rows of a segment whose numbers are not in the spans."""
    table = pq.read_table(segment_file.path)
    pieces, at = [], 0
    for first, last, rows in _parts(segment_file, table):
        if not _is_covered(first, last, spans):
            pieces.append(table.slice(at, rows))
        at += rows
    return pa.concat_tables(pieces)


def _parts(segment_file: Segment, table: pa.Table) -> list[tuple[int, int, int]]:
    """Return (first, last, rows) of each segment that was merged into this one, in the order of its rows."""
    places = (table.schema.metadata or {}).get(PARTS)
    if places and table.num_rows:
        parts: list[tuple[int, int, int]] = json.loads(places)
        return parts
    return [(segment_file.first, segment_file.last, table.num_rows)]


def _spans(names: Iterable[str]) -> list[tuple[int, int]]:
    """Return the numbers that some names span, as the fewest spans."""
    spans: list[tuple[int, int]] = []
    for segment_file in sorted(s for s in (segment(Path(name)) for name in names) if s is not None):
        if spans and segment_file.first <= spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], max(spans[-1][1], segment_file.last))
        else:
            spans.append((segment_file.first, segment_file.last))
    return spans


def _is_covered(first: int, last: int, spans: list[tuple[int, int]]) -> bool:
    """Return whether every number from first to last lies in the spans."""
    return any(a <= first and last <= b for a, b in spans)


def _segment_name(first: int, last: int) -> str:
    return f"{first:010d}-{last:010d}.parquet"


def write(
    folder: Folder,
    number: int,
    batch: pa.RecordBatch,
    checkpoint: bytes,
    now: datetime,
    networks: Iterable[NetworkFile] = (),
) -> Path:
    """Write one segment, whole or not at all. Raises: OSError if the disk refuses."""
    path = folder.own_segments / now.strftime(_HOUR) / _segment_name(number, number)
    table = pa.Table.from_batches([batch])
    files = [
        {"name": network_table.name, "sha256": network_table.sha256, "bytes": network_table.bytes}
        for network_table in networks
    ]
    if files:
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), NETWORKS: _json(files)})
    return _write(path, table, checkpoint)


def networks_of(schema: pa.Schema) -> list[dict[str, Any]]:
    """Return the files from which a segment's rows got their `asn`: name, sha256, bytes.

    Segments of earlier versions have no such list.
    """
    return list(json.loads((schema.metadata or {}).get(NETWORKS, b"[]")))


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _write(path: Path, table: pa.Table, checkpoint: bytes) -> Path:
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), CHECKPOINT: checkpoint})
    with _whole_or_not(path) as file:
        pq.write_table(table, file, compression="zstd", use_dictionary=_repeating(table.schema))
    return path


def _repeating(schema: pa.Schema) -> list[str]:
    """Return columns whose values repeat. For hashes a dictionary takes time and a third more space."""
    return [f.name for f in schema if not pa.types.is_fixed_size_list(f.type) and f.name not in EACH_ITS_OWN]


@contextmanager
def _whole_or_not(path: Path) -> Iterator[BinaryIO]:
    """Open a file that gets its name once it is whole and durable. Raises: OSError if the disk refuses."""
    path.parent.mkdir(exist_ok=True, mode=0o700)
    temporary = path.with_suffix(".new")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    sync_folder(path.parent.parent)


def last_checkpoint(folder: Folder) -> tuple[int, bytes]:
    """Return the highest number used, and the checkpoint in that segment; 0 and b"" if there is none."""
    segments = _segments_in(folder.own_segments)
    if not segments:
        return 0, b""
    newest = max(segments, key=lambda s: s.last)
    return newest.last, (pq.read_schema(newest.path).metadata or {}).get(CHECKPOINT, b"")


def hours(folder: Folder) -> Iterator[tuple[datetime, list[Segment]]]:
    """Yield each hour's segments, by gateway."""
    for _, root in folder.segment_folders():
        yield from _hours_in(root)


def _hours_in(root: Path) -> Iterator[tuple[datetime, list[Segment]]]:
    for below in sorted(root.iterdir()) if root.is_dir() else ():  # a newly created folder has none
        try:
            hour = datetime.strptime(below.name, _HOUR).replace(tzinfo=UTC)
        except ValueError:
            continue
        yield hour, whole(s for s in map(segment, below.glob("*.parquet")) if s is not None)


def _runs(segments: list[Segment]) -> Iterator[list[Segment]]:
    """Divide segments where their numbers have a gap: those between are in another hour's folder."""
    run: list[Segment] = []
    for segment_file in segments:
        if run and segment_file.first != run[-1].last + 1:
            yield run
            run = []
        run.append(segment_file)
    if run:
        yield run


def merge(folder: Folder, now: datetime) -> int:
    """Merge each hour that is over into one file; return how many files were merged."""
    done = 0
    for hour, segments in _hours_in(folder.own_segments):
        if now < hour + timedelta(hours=1) + MERGE_AFTER:
            continue
        for run in _runs(segments):
            if len(run) > 1:
                _merge(run)
                done += len(run)
    return done


def _merge(run: list[Segment]) -> None:
    """Merge several files into one, by row groups: an hour may not fit in memory."""
    newest = pq.read_schema(run[-1].path)
    checkpoint = (newest.metadata or {}).get(CHECKPOINT, b"")
    parts = [part for segment_file in run for part in _parts_on_disk(segment_file)]
    tables = {entry["sha256"]: entry for each in run for entry in networks_of(pq.read_schema(each.path))}
    metadata = {NETWORKS: _json(list(tables.values()))} if tables else {}
    schema = newest.with_metadata(
        {**(newest.metadata or {}), **metadata, PARTS: _json(parts), CHECKPOINT: checkpoint}
    )
    path = run[0].path.with_name(_segment_name(run[0].first, run[-1].last))
    written = {"compression": "zstd", "use_dictionary": _repeating(schema)}
    with _whole_or_not(path) as file, pq.ParquetWriter(file, schema, **written) as out:
        waiting: list[pa.Table] = []
        for segment_file in run:
            waiting.append(pq.read_table(segment_file.path, schema=newest))
            if sum(map(len, waiting)) >= GROUP_ROWS:
                out.write_table(pa.concat_tables(waiting).combine_chunks())
                waiting = []
        if waiting:
            out.write_table(pa.concat_tables(waiting).combine_chunks())
    for segment_file in run:
        segment_file.path.unlink()


def _parts_on_disk(segment_file: Segment) -> list[tuple[int, int, int]]:
    """Return the same as `_parts`, without reading the rows."""
    metadata = pq.read_metadata(segment_file.path)
    parts = (metadata.metadata or {}).get(PARTS)
    return (
        json.loads(parts)
        if parts and metadata.num_rows
        else [(segment_file.first, segment_file.last, metadata.num_rows)]
    )


def forget(folder: Folder, now: datetime, text_days: int, sketch_days: int) -> int:
    """Delete what retention no longer allows: texts, then whole hours. Return the number of changed files.

    The newest segment stays, emptied, as it holds the recorder's position.
    """
    done = 0
    newest = max((s.last for s in _segments_in(folder.own_segments)), default=0)
    for hour, segments in _hours_in(folder.own_segments):
        age = now - hour - timedelta(hours=1)
        for segment_file in segments:
            if age > timedelta(days=sketch_days):
                if segment_file.last == newest:
                    table = pq.read_table(segment_file.path)
                    if table.num_rows:
                        _rewrite(segment_file, table.slice(0, 0))
                        done += 1
                else:
                    segment_file.path.unlink()
                    done += 1
            elif age > timedelta(days=text_days):
                done += _without_texts(segment_file)
        if not any(hour_path_files(folder, hour)):
            (folder.own_segments / hour.strftime(_HOUR)).rmdir()
    return done


def hour_path_files(folder: Folder, hour: datetime) -> Iterator[Path]:
    return (folder.own_segments / hour.strftime(_HOUR)).iterdir()


def _without_texts(segment_file: Segment) -> int:
    metadata = pq.read_metadata(segment_file.path)
    held = set(pq.read_schema(segment_file.path).names)
    texts = pq.read_table(segment_file.path, columns=[name for name in TEXTS if name in held])
    if metadata.num_rows == 0 or all(column.null_count == len(column) for column in texts.columns):
        return 0
    table = pq.read_table(segment_file.path)
    bare = [without_texts(batch) for batch in table.to_batches()]
    _rewrite(segment_file, pa.Table.from_batches(bare).replace_schema_metadata(table.schema.metadata))
    return 1


def _rewrite(segment_file: Segment, table: pa.Table) -> None:
    _write(segment_file.path, table, (table.schema.metadata or {}).get(CHECKPOINT, b""))
