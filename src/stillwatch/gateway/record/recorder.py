"""The recorder: reads the workers' logs, makes rows of completed exchanges, and writes them as segments.

Each exchange is written exactly once, even if processes are killed: a segment contains its checkpoint, and
one rename creates both. A log file is deleted when segments hold all of its content.
"""

import errno
import gc
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow as pa

from stillwatch.cases.indicators.shelf import IndicatorRecorder
from stillwatch.errors import refuse_os_errors
from stillwatch.exchanges.documents import DOCUMENTS_SHARE, READER
from stillwatch.exchanges.formats import UNREAD_DOCUMENTS, Refused, Row
from stillwatch.exchanges.networks import NetworkFile, WatchedNetworks
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import PURPOSE, TEXTS, sketch_batch
from stillwatch.gateway import clock, heartbeat
from stillwatch.gateway.folder import Folder, FolderError, derive
from stillwatch.gateway.instance import open_terms
from stillwatch.gateway.record import rows, segments, wal
from stillwatch.gateway.record.entries import (
    ExchangeOutcome,
    Intent,
    UncapturedSpan,
    exchange_id,
    intent,
    outcome,
)
from stillwatch.gateway.record.retention_clock import RetentionClock
from stillwatch.gateway.record.sent_before import SentBefore
from stillwatch.gateway.record.upload_pieces import UploadPieces
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.new_file import sync_folder
from stillwatch.terms import Retention, TermsError
from stillwatch.units import utc_us

FLUSH_ROWS = 5_000
FLUSH_BYTES = 32 << 20  # of the log read for one segment: rows hold their texts until they are sketched
SKETCH_BYTES = 4 << 20  # of texts sketched at once: reused memory needs no clearing by the kernel
FLUSH_S = 1.0  # a row waits at most this long for its segment
POLL_S = 0.1  # between two steps: entries of one interval share the cost of a step
READ_BYTES = 64 << 20  # of one log file at a time
OPEN_BYTES = 256 << 20  # bodies of open exchanges in memory; others are read again when they end
TIDY_S = 600.0  # between two runs of `tidy`
NETWORKS_S = 2.0  # between two polls of the files of the networks table


class _Open(msgspec.Struct):
    """An exchange without an outcome so far."""

    intent: Intent
    body: bytes | None  # None: read it from the log, at the first of the places
    boot: int
    places: list[tuple[int, int, int]]  # (worker, file sequence, offset) of every group with frames of it
    reply: list[bytes] = []


class Checkpoint(msgspec.Struct):
    """Where reading continues, and which exchanges were open."""

    read: dict[str, int]  # log file -> bytes read
    open: list[tuple[int, int, list[tuple[int, int, int]]]]  # worker, exchange, places of its frames


class Recorder:
    """Turns logs into segments. Call `step` once or repeatedly."""

    def __init__(
        self,
        folder: Folder,
        now: Callable[[], datetime],
        gateway: str | None = None,
        networks: Sequence[str] = (),
    ) -> None:
        self.folder, self._now = folder, now
        self.networks = WatchedNetworks(networks)
        self._gateway = gateway  # its name in a fleet, whose gateways' ids must differ
        self._written_for: int | None = 0  # the range's last write request
        self._secret = folder.secret()
        self._sketcher = Sketcher(derive(self._secret, PURPOSE))
        self._before = SentBefore(derive(self._secret, b"sent-before"))
        self._pieces = UploadPieces()
        self._shelf = IndicatorRecorder(folder.path)
        self._readers: dict[tuple[int, int], wal.Reader] = {}
        self._open: dict[tuple[int, int], _Open] = {}
        self._open_bytes = 0
        self._rows: list[Row] = []  # not sketched yet
        self._keep: list[bool] = []
        self._text_bytes = 0  # of `_rows`
        self._sketched: list[pa.RecordBatch] = []  # for the next segment
        self._tables: dict[str, NetworkFile] = {}  # by SHA-256: those that `asn` came from
        self._waiting = 0  # rows not in a segment yet, sketched or not
        self._plain: list[pa.RecordBatch] = []  # the same with their texts, if indicators need them
        self._since = 0.0
        self._gaps = _gaps_in(folder.gaps)
        self._new_gaps: list[UncapturedSpan] = []  # read, but not yet in the file of gaps
        self.written = self.unknown = self.quarantined = self.unknown_shapes = 0
        self.unread_documents: Counter[str] = Counter()  # why -> how many
        self.last_time_us = 0
        self._retention: Retention | None = None
        self._retention_clock = RetentionClock(folder.path / "retention_clock.json")
        segments.sweep(folder)
        self.still_here: Callable[[], None] = lambda: None
        self._number, checkpoint = segments.last_checkpoint(folder)
        self._start: dict[str, int] = {}
        if checkpoint:
            self._restore(msgspec.json.decode(checkpoint, type=Checkpoint))

    # --- reading ---------------------------------------------------------------------------------------

    def step(self, *, flush: bool = False) -> bool:
        """Read new entries and write due segments. Return whether anything was read."""
        moved = False
        over = self._over()
        files = wal.files(self.folder.wal)
        newest = {wal.parts_of(path)[0]: wal.parts_of(path)[1] for path in files}
        boots: dict[int, int] = {}
        behind: set[int] = set()  # workers whose later files must wait: their exchanges may begin in this one
        for path in files:
            reader = self._reader(path)
            boots[reader.worker] = max(boots.get(reader.worker, 0), reader.boot)
            if reader.worker in behind:
                continue
            before = reader.at
            moved |= self._read(reader)
            if reader.at - before >= READ_BYTES:
                behind.add(reader.worker)
        for worker, boot in boots.items():
            self._close_dead(worker, max(boot, over.get(worker, 0) + 1))
        wanted = clock.writes_asked()
        waited = time.monotonic() - self._since >= FLUSH_S if wanted is None else wanted != self._written_for
        if self._waiting and (flush or self._waiting >= FLUSH_ROWS or waited):
            self.flush()
            self._written_for = wanted
        if not self._waiting:
            self._write_gaps()
            self._delete_used(newest, over)
        return moved

    def _over(self) -> dict[int, int]:
        """Return the last boot of each dead worker. Called before the last read: by then all is written.

        A worker that starts at this moment has a later boot, and does not count as dead.
        """
        last: dict[int, int] = {}
        for path in wal.files(self.folder.wal):
            reader = self._reader(path)
            last[reader.worker] = max(last.get(reader.worker, 0), reader.boot)
        return {w: boot for w, boot in last.items() if not wal.writer_lives(self.folder.wal, w)}

    def _reader(self, path: Path) -> wal.Reader:
        key = wal.parts_of(path)
        if key not in self._readers:
            self._readers[key] = wal.Reader(path, self._secret, self._start.get(path.name, wal.HEAD))
        return self._readers[key]

    def _read(self, reader: wal.Reader) -> bool:
        moved, since = False, reader.at
        for frames in reader.groups(limit=READ_BYTES):
            moved = True
            for frame in frames:
                self._take(reader, frame)
            if self._waiting >= FLUSH_ROWS or (self._waiting and reader.at - since >= FLUSH_BYTES):
                self.flush()
                since = reader.at
        return moved

    def _take(self, reader: wal.Reader, frame: wal.Frame) -> None:
        kind, number, payload, at = frame
        key = (reader.worker, number)
        if kind == wal.INTENT:
            opening, body = intent(payload)
            keep = self._open_bytes + len(body) <= OPEN_BYTES
            self._open_bytes += len(body) if keep else 0
            place = (reader.worker, reader.sequence, at)
            self._open[key] = _Open(opening, body if keep else None, reader.boot, [place])
        elif kind == wal.OUTCOME:
            if key in self._open:
                self._finish(key, *outcome(payload))
        elif kind == wal.PART:
            if key in self._open:
                self._open[key].places.append((reader.worker, reader.sequence, at))
                self._open[key].reply.append(bytes(payload))
        elif kind == wal.ROW:
            self._whole(key, payload)
        elif kind == wal.GAP:
            self._note_gap(payload)

    def _finish(self, key: tuple[int, int], ended: ExchangeOutcome, rest: bytes) -> None:
        was = self._open.pop(key)
        if (body := was.body) is None:
            body = self._body_again(was, key[1])
        else:
            self._open_bytes -= len(body)
        reply = b"".join((*was.reply, rest)) if was.reply else rest
        try:
            opening, body = self._pieces.read(was.intent, body, ended)
            made = [rows.row(key[0], key[1], opening, body, ended, reply, self._before)]
            if opening.operation == "other" and ended.outcome != "refused":
                made += rows.batch_rows(key[0], key[1], opening, body, ended, self._before)
        except Exception as why:  # noqa: BLE001 - one poisoned body must not stop the capture of all others
            self._quarantine(key, why)
            made = [rows.row(key[0], key[1], was.intent, b"", ended, b"")]
        for row in made:
            if row["shape"] == rows.UNKNOWN_SHAPE:
                self.unknown_shapes += 1
            self._add(row, was.intent.keep_text)
        if was.intent.time_us > self.last_time_us:
            self.last_time_us = was.intent.time_us

    def _whole(self, key: tuple[int, int], payload: memoryview) -> None:
        """Add a complete row, reported by another vendor's gateway."""
        values: Row = {}
        try:
            values = msgspec.json.decode(payload, type=dict)
            made = rows.hook_rows(*key, values)
        except Exception as why:  # noqa: BLE001 - one poisoned body must not stop the capture of all others
            self._quarantine(key, why)
            try:
                made = [rows.foreign(*key, values)]  # without the request
            except Refused:
                return
        for row in made:
            self._add(row, bool(row.pop("keep_text", False)))

    def _add(self, row: Row, keep_text: bool) -> None:
        if UNREAD_DOCUMENTS in row and isinstance(unread := row.pop(UNREAD_DOCUMENTS), tuple):
            self.unread_documents.update(unread)
        if self._gateway is not None:
            worker, number = row["worker"], row["sequence"]
            ours = exchange_id(worker, number)  # type: ignore[arg-type]
            if str(row["exchange_id"]).partition(".")[0] == ours:  # else another program's id
                row["exchange_id"] = f"{self._gateway}.{row['exchange_id']}"
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting += 1
        self._rows.append(row)
        self._keep.append(keep_text)
        for name in TEXTS:
            if (text := row.get(name)) is not None:
                self._text_bytes += len(text)  # type: ignore[arg-type]
        if self._text_bytes >= SKETCH_BYTES:
            self._sketch()

    def _sketch(self) -> None:
        """Replace the waiting texts by their sketches."""
        made = rows.batch(self._rows)
        networks = self.networks.first(self.still_here)
        if networks is not None:
            made = networks.fill(made)
            self._tables |= {table.sha256: table for table in networks.files}
        for keep, mask in ((False, [not keeps for keeps in self._keep]), (True, self._keep)):
            if any(mask):
                part = made if all(mask) else made.filter(pa.array(mask))
                self._sketched.append(sketch_batch(part, self._sketcher, keep_text=keep))
        if self._shelf.wants:
            self._plain.append(made)
        self._rows, self._keep, self._text_bytes = [], [], 0

    def _body_again(self, was: _Open, number: int) -> bytes:
        worker, sequence, at = was.places[0]
        for frame in next(self._readers[worker, sequence].groups(at), []):
            if frame.kind == wal.INTENT and frame.number == number:
                return intent(frame.payload)[1]
        return b""

    def _quarantine(self, key: tuple[int, int], why: Exception) -> None:
        self.quarantined += 1
        line = {
            "exchange_id": exchange_id(*key, self._gateway),
            "reason": f"{type(why).__name__} in its body",
        }
        with suppress(OSError), open(self.folder.path / "quarantined.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")  # if the disk refuses, the count remains

    def _close_dead(self, worker: int, boot: int) -> None:
        """Close exchanges that a dead worker (boots below `boot`) left open: no outcome will come."""
        left = [key for key, was in self._open.items() if key[0] == worker and was.boot < boot]
        own = [reader for reader in self._readers.values() if left and reader.worker == worker]
        if not all(map(self._at_end, own)):
            return  # the last entries of the dead worker may still be unread
        for key in left:
            self.unknown += 1
            self._finish(key, rows.UNKNOWN, b"")

    def _at_end(self, reader: wal.Reader) -> bool:
        return next(reader.groups(reader.at), None) is None

    # --- writing ---------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write the waiting rows as one segment, with its checkpoint."""
        self._write_gaps()  # the checkpoint is past the gaps
        if self._rows:
            self._sketch()
        table = pa.Table.from_batches(self._sketched).combine_chunks()
        number = self._number + 1
        if self._plain:  # before the segment: after an interruption it is repeated
            plain = pa.Table.from_batches(self._plain).combine_chunks()
            self._shelf.put(number, plain.to_batches()[0], self._now())
        batch, tables = table.to_batches()[0], self._tables.values()
        segments.write(self.folder, number, batch, self._checkpoint(), self._now(), tables)
        self._number, self._tables = number, {}
        self.written += table.num_rows
        self.still_here()
        self._sketched, self._plain, self._waiting = [], [], 0

    def _checkpoint(self) -> bytes:
        read = {reader.path.name: reader.at for reader in self._readers.values()}
        still = [(worker, number, was.places) for (worker, number), was in self._open.items()]
        return msgspec.json.encode(Checkpoint(read, still))

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Continue after the last segment; exchanges that were open then are read again."""
        self._start = dict(checkpoint.read)
        for _, number, places in checkpoint.open:
            for place in dict.fromkeys(places):  # once, however many of its frames are there
                path = self.folder.wal / wal.name_of(place[0], place[1])
                if not path.exists():
                    continue
                reader = self._reader(path)
                for frame in next(reader.groups(place[2]), []):
                    if frame.number == number and frame.kind in (wal.INTENT, wal.PART):
                        self._take(reader, frame)

    def _delete_used(self, newest: dict[int, int], dead: dict[int, int]) -> None:
        """Delete finished log files whose exchanges are all in segments."""
        needed = {(place[0], place[1]) for was in self._open.values() for place in was.places}
        for key, reader in list(self._readers.items()):
            over = key[1] < newest.get(key[0], 0) or reader.boot <= dead.get(key[0], -1)
            if not over or key in needed or not self._at_end(reader):
                continue
            if reader.damaged():
                self._report_damage(reader)
            wal.remember(self.folder.wal, *key)
            reader.path.unlink(missing_ok=True)
            sync_folder(self.folder.wal)  # durably, before a checkpoint omits the file
            reader.close()
            del self._readers[key]
            self._start.pop(reader.path.name, None)

    # --- gaps ------------------------------------------------------------------------------------------

    def _note_gap(self, payload: bytes | memoryview) -> None:
        gap = msgspec.json.decode(payload, type=UncapturedSpan)
        if (gap.worker, gap.from_us) not in self._gaps:
            self._gaps.add((gap.worker, gap.from_us))
            self._new_gaps.append(gap)

    def _write_gaps(self) -> None:
        while self._new_gaps:
            _append_gap(self.folder.gaps, self._new_gaps[0])
            del self._new_gaps[0]

    def _report_damage(self, reader: wal.Reader) -> None:
        """Report bytes at a file's end that are no whole group: torn by a crash, or changed on the disk."""
        file_stat = os.fstat(reader.handle)
        damaged_file = self.folder.path / "damaged" / reader.path.name
        damaged_file.parent.mkdir(exist_ok=True, mode=0o700)
        if not damaged_file.exists():  # else the recorder was killed after the link
            os.link(reader.path, damaged_file)
        at_us = file_stat.st_mtime_ns // 1000
        size = file_stat.st_size - reader.at
        reason = f"{reader.path.name}: {size:,} bytes at its end are no whole group; kept in damaged/"
        self._note_gap(msgspec.json.encode(UncapturedSpan(reader.worker, at_us, at_us, 0, reason)))
        self._write_gaps()

    def lag(self) -> dict[str, float]:
        """Return how far the segments are behind the logs."""
        behind = sum(not self._at_end(reader) for reader in self._readers.values())
        waits_s = time.monotonic() - self._since if self._waiting else 0.0
        return {"lag_s": round(waits_s, 3), "files_behind": behind, "open": len(self._open)}

    def tidy(self) -> None:
        """Merge hours that are over, and delete what the retention policy no longer allows."""
        now = self._now()
        if segments.merge(self.folder, now):
            pa.default_memory_pool().release_unused()  # else the memory used for a merge stays reserved
        with suppress(TermsError):  # an unreadable policy deletes nothing; /health reports it
            self._retention = open_terms(self.folder, keeps_history=False).terms.retention
        if clock.writes_asked() is None:  # a run of the range simulates days in minutes
            now = self._retention_clock.at(now)
        if self._retention is not None:
            segments.forget(self.folder, now, self._retention.text_days, self._retention.sketch_days)
            self._shelf.tidy(now, self._retention.sketch_days)


def _gaps_in(path: Path) -> set[tuple[int, int]]:
    known = set()
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                gap = json.loads(line)
                known.add((int(gap["worker"]), int(gap["from_us"])))
            except (ValueError, KeyError, TypeError):
                continue  # a line torn by a crash
    return known


def _append_gap(path: Path, gap: UncapturedSpan) -> None:
    """Append one whole line or nothing. Raises: OSError if the disk refuses."""
    with open(path, "a+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        line = msgspec.json.encode(gap) + b"\n"
        try:
            if end and os.pread(file.fileno(), 1, end - 1) != b"\n":  # torn by a crash
                line = b"\n" + line
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise


def main(folder: str) -> None:
    """Run the recorder of the gateway in a folder."""
    stop: list[int] = []
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda number, _: stop.append(number))
    place = Folder(Path(folder))
    settings = GatewaySettings.load(place.settings)
    with refuse_os_errors(FolderError, f"{place.own_segments}: cannot be used"):  # a fleet's folder is away
        recorder = Recorder(place, clock.now, settings.gateway if settings.state else None, settings.networks)
    gc.collect()
    gc.freeze()  # these objects are permanent: the collector can skip them
    gc.set_threshold(20_000, 50, 100)
    beat_at = tidy_at = networks_at = 0.0
    error: str | None = None
    recorder.still_here = lambda: _beat(place, recorder, error)  # also while catching up
    READER.still_here, READER.share = recorder.still_here, DOCUMENTS_SHARE
    while True:
        stopping, begun = bool(stop), time.monotonic()
        try:
            moved = recorder.step(flush=stopping)
            if time.monotonic() - tidy_at > TIDY_S:
                recorder.tidy()
                tidy_at = time.monotonic()
            if time.monotonic() - networks_at > NETWORKS_S:
                recorder.networks.poll()
                networks_at = time.monotonic()
            error = None
        except OSError as why:  # a full disk: unwritten rows are still in the log; retry
            error, moved = f"{why.filename or place.own_segments}: {why.strerror}", False
        if time.monotonic() - beat_at > clock.pause_s(1.0):
            beat_at = time.monotonic()
            _beat(place, recorder, error)
        if stopping:
            return
        if not (moved and clock.is_driven()):  # a range waits for its writes
            time.sleep(1.0 if error else max(0.0, begun + POLL_S - time.monotonic()))


def _beat(folder: Folder, recorder: Recorder, error: str | None) -> None:
    try:
        heartbeat.beat(
            folder.run / "recorder.json",
            utc_us(),
            rss=heartbeat.rss_bytes(),
            written=recorder.written,
            unknown=recorder.unknown,
            quarantined=recorder.quarantined,
            unknown_shapes=recorder.unknown_shapes,
            unread_documents=recorder.unread_documents,
            last_time_us=recorder.last_time_us,
            networks=recorder.networks.says(),
            error=error,
            **recorder.lag(),
        )
    except OSError:
        return  # the missing heartbeat shows it


if __name__ == "__main__":
    main(sys.argv[1])
