"""Model calls whose texts arrive separately: spans wait for their log events, and events for their span.

Waiting parts were acknowledged, so they are durable: sealed in a journal of their own (`held/`), which is
read again after a crash. They wait for `WAIT_S` and are then written as they are.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from stillwatch.exchanges.formats import Refused, Row
from stillwatch.exchanges.formats.otlp import Event, Otlp, PendingCall
from stillwatch.gateway.hooks import WORKER
from stillwatch.gateway.hooks.intake import NotKept, check_row
from stillwatch.gateway.hooks.otlp import Read
from stillwatch.gateway.path.gate import Gate
from stillwatch.gateway.record.wal import ROW, Reader, Writer, files, frame

# a batch of spans leaves an OpenTelemetry SDK within 5 s of its events; a collector adds as much
WAIT_S = 30  # checks, one a second: data that arrived while this process stood still is read after the next
MOST_WAITING = 50_000  # calls; beyond, the oldest are written as they are
MOST_BYTES = 128 << 20  # of waiting calls, likewise
IDLE_BYTES = 1 << 20  # from this size on, a journal without waiting calls is started again


class _CallPart(msgspec.Struct):
    """A part of one call, as stored in the journal."""

    key: str
    span: dict[str, object] | None
    resource: dict[str, object]
    events: list[tuple[int, str, dict[str, object], object]]


@dataclass
class _HeldCall:
    waiting: PendingCall
    since: int  # checks before it arrived
    size: int = 0
    files: set[int] = field(default_factory=set)  # sequences of the journal's files that hold it


class Joins:
    """The waiting calls of all senders."""

    def __init__(self, gate: Gate, folder: Path) -> None:
        self.gate, self._folder = gate, folder
        folder.mkdir(exist_ok=True, mode=0o700)
        self._held: dict[str, _HeldCall] = {}
        self._looks = self._writing = 0
        before = files(folder)
        self._take_back: dict[str, PendingCall] = {}  # of the previous process
        for path in before:
            for piece in self._read(path):
                _merge(self._take_back.setdefault(piece.key, PendingCall("")), piece)
        self._before = before
        self._journal = self._open()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def _open(self) -> Writer:
        return Writer(
            self._folder, WORKER, self.gate.secret, durable=self._durable, failed=self._report_failure
        )

    def _read(self, path: Path) -> Iterable[_CallPart]:
        reader = Reader(path, self.gate.secret)
        try:
            for frames in reader.groups():
                for frame in frames:
                    with suppress(msgspec.MsgspecError):
                        yield msgspec.json.decode(frame.payload, type=_CallPart)
        finally:
            reader.close()

    async def begin(self) -> None:
        """Take over the calls that waited when the previous process ended."""
        again, self._take_back = self._take_back, {}
        if again:
            await self._hold(again)
        for path in self._before:
            path.unlink(missing_ok=True)
        self._before = []

    async def take(self, batch: Read, now_us: int) -> tuple[list[Row], list[str], list[str]]:
        """Return a request's rows and those that its pieces complete, reasons for refusals, and keys.

        `forget` the keys once the rows are kept. Raises: NotKept if what must wait cannot be made durable.
        """
        rows, refused, keys = list(batch.rows), list[str](), list[str]()
        later: dict[str, PendingCall] = {}
        for key, piece in batch.pieces.items():
            held = self._held.get(key)
            joined = PendingCall("") if held is None else _copy(held.waiting)
            _merge(joined, piece)
            if not self._complete(key, joined, now_us, rows, refused):
                later[key] = piece
            elif held is not None:
                keys.append(key)
        if later:
            await self._hold(later)
            for key in later:  # the other part may have arrived meanwhile
                held = self._held.get(key)
                if held is not None and self._complete(key, held.waiting, now_us, rows, refused):
                    keys.append(key)
        return rows, refused, keys

    def _complete(
        self, key: str, joined: PendingCall, now_us: int, rows: list[Row], refused: list[str]
    ) -> bool:
        """Return whether a call is complete: then its row, or the reason for its refusal, was added."""
        if joined.span is None or not joined.events:
            return False
        row = self._row(key, joined, now_us)
        if isinstance(row, str):
            refused.append(row)
        elif row is not None and row.get("prompt") is not None:
            rows.append(row)
        else:
            return False
        return True

    def due(self, now_us: int) -> tuple[list[Row], list[str], list[str]]:
        """Return the calls that have waited long enough: rows, reasons, and keys to `forget` afterwards.

        Call it each second.
        """
        self._looks += 1
        calls, size = len(self._held), sum(held.size for held in self._held.values())
        rows: list[Row] = []
        refused: list[str] = []
        keys: list[str] = []
        for key, held in self._held.items():
            if self._looks - held.since < WAIT_S and calls <= MOST_WAITING and size <= MOST_BYTES:
                break
            calls, size = calls - 1, size - held.size
            keys.append(key)
            row = self._row(key, held.waiting, now_us)
            if isinstance(row, str):
                refused.append(row)
            elif row is not None:
                rows.append(row)
        return rows, refused, keys

    def forget(self, keys: Iterable[str]) -> None:
        """Forget calls that were written."""
        for key in keys:
            self._held.pop(key, None)

    def tidy(self) -> None:
        """Start the journal again if nothing waits in it; delete used-up files."""
        if not self._held and not self._writing and self._bytes > IDLE_BYTES:
            self._journal.close()
            for path in files(self._folder):
                path.unlink(missing_ok=True)
            self._journal, self._bytes = self._open(), 0
            return
        needed = {sequence for held in self._held.values() for sequence in held.files}
        for path in files(self._folder):
            sequence = int(path.stem.rpartition("-")[2])
            if sequence < self._journal.sequence and sequence not in needed and not self._writing:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        self._journal.close()

    # --- one call --------------------------------------------------------------------------------------

    def _row(self, key: str, waiting: PendingCall, now_us: int) -> Row | str | None:
        """Return a row, or the reason for its refusal; None for events of a call reported elsewhere."""
        for item in Otlp({key: waiting}, services=False).finish():
            if isinstance(item, Refused):
                return str(item)
            if isinstance(item, dict):
                try:
                    return check_row(item, now_us)
                except Refused as why:
                    return str(why)
        return None

    # --- the journal -----------------------------------------------------------------------------------

    async def _hold(self, pieces: dict[str, PendingCall]) -> None:
        done: asyncio.Future[int] = self.gate.loop.create_future()
        frames: dict[str, bytes] = {}
        for key, piece in pieces.items():
            part = _CallPart(
                key, dict(piece.span) if piece.span is not None else None, piece.resource, piece.events
            )
            frames[key] = frame(ROW, 0, msgspec.json.encode(part))
        data = b"".join(frames.values())
        self._bytes += len(data)
        self._writing += 1
        try:
            self._journal.append(data, done)
            sequence = await done
        finally:
            self._writing -= 1
        if sequence < 0:
            raise NotKept("what waits for its texts cannot be made durable")
        for key, piece in pieces.items():
            held = self._held.setdefault(key, _HeldCall(PendingCall(""), self._looks))
            held.files.add(sequence)
            held.size += len(frames[key])
            _merge(held.waiting, piece)

    def _durable(self, tokens: list[object], size: int) -> None:
        self._tell(tokens, self._journal.sequence)

    def _report_failure(self, tokens: list[object], why: OSError) -> None:
        self._tell(tokens, -1)

    def _tell(self, tokens: list[object], sequence: int) -> None:
        """Pass a durable call from the journal's thread to the loop."""
        for token in tokens:
            assert isinstance(token, asyncio.Future)
            if not self.gate.loop.is_closed():
                self.gate.loop.call_soon_threadsafe(_settle, token, sequence)


def _settle(done: asyncio.Future[int], sequence: int) -> None:
    if not done.done():
        done.set_result(sequence)


def _merge(into: PendingCall, piece: PendingCall | _CallPart) -> None:
    if piece.span is not None:
        into.span, into.resource = piece.span, piece.resource
    elif into.span is None and piece.resource:
        into.resource = piece.resource
    known: list[Event] = into.events
    known.extend(event for event in map(tuple, piece.events) if event not in known)  # type: ignore[misc]


def _copy(waiting: PendingCall) -> PendingCall:
    return PendingCall(waiting.place, waiting.span, waiting.resource, list(waiting.events))
