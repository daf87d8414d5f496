"""Model calls whose texts come apart from them: spans wait for their log events, and events for their span.

What waits was answered for, so it is durable: sealed in a journal of its own (`held/`), read again after a
crash. It waits for `WAIT_S` and is then written as it is. It does not know what a row means.
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

# a batch of spans leaves an OpenTelemetry SDK within 5 s of its events, a collector adds as much
WAIT_S = 30  # looks, one a second: what came while this process stood still is read after the next look
MOST_WAITING = 50_000  # calls; beyond, the oldest are written as they are
MOST_BYTES = 128 << 20  # of what waits, likewise
IDLE_BYTES = 1 << 20  # a journal that nothing waits in any more is begun anew from this size on


class _CallPart(msgspec.Struct):
    """One call's part, as the journal keeps it."""

    key: str
    span: dict[str, object] | None
    resource: dict[str, object]
    events: list[tuple[int, str, dict[str, object], object]]


@dataclass
class _HeldCall:
    waiting: PendingCall
    since: int  # looks before it came
    size: int = 0
    files: set[int] = field(default_factory=set)  # sequences of the journal's files that hold it


class Joins:
    """What waits, of all senders."""

    def __init__(self, gate: Gate, folder: Path) -> None:
        self.gate, self._folder = gate, folder
        folder.mkdir(exist_ok=True, mode=0o700)
        self._held: dict[str, _HeldCall] = {}
        self._looks = self._writing = 0
        before = files(folder)
        self._take_back: dict[str, PendingCall] = {}  # of the process before us
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
        """Take over what waited when the process before us ended."""
        again, self._take_back = self._take_back, {}
        if again:
            await self._hold(again)
        for path in self._before:
            path.unlink(missing_ok=True)
        self._before = []

    async def take(self, batch: Read, now_us: int) -> tuple[list[Row], list[str], list[str]]:
        """The rows of a request and those that its pieces complete; reasons for what is none; and keys to
        `forget` when the rows are kept.

        Raises: NotKept where what must wait cannot be made durable.
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
            for key in later:  # the other part may have come meanwhile
                held = self._held.get(key)
                if held is not None and self._complete(key, held.waiting, now_us, rows, refused):
                    keys.append(key)
        return rows, refused, keys

    def _complete(
        self, key: str, joined: PendingCall, now_us: int, rows: list[Row], refused: list[str]
    ) -> bool:
        """Whether a call has all it can have: then it is a row, or there is a reason why not."""
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
        """The calls that have waited long enough: rows, reasons, and keys to `forget` when they are kept.

        To be asked each second.
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
        """Forget calls that are written down."""
        for key in keys:
            self._held.pop(key, None)

    def tidy(self) -> None:
        """Begin the journal anew when nothing waits in it; let used up files go."""
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
        """Give a row, or why there is none; None for events of a call that was reported elsewhere."""
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
        """Hand a durable call from the journal's thread to the loop."""
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
