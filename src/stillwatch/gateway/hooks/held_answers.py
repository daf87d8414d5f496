"""Answers pending at other gateways: the tokens that they may bring are held until they arrive.

A gateway that reports its answers gets a ticket with each decision and returns it when the answer has arrived
or ended early. The ticket contains all that the charge needs, so it counts after a restart too. For a gateway
that does not report, an answer is held for a fixed time.
"""

import base64
import binascii
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stillwatch.exchanges.operations import does_of
from stillwatch.gateway.hooks import ReportedRequest
from stillwatch.gateway.path.budgets import HELD, SETS
from stillwatch.gateway.path.charge import Charge
from stillwatch.gateway.path.gate import LONGEST_NAME, Gate
from stillwatch.gateway.path.passing import CONTENT_TYPES
from stillwatch.gateway.path.reply import FALLBACK_BYTES, ReplyFacts, Stream, facts_of_whole, unread_facts
from stillwatch.gateway.path.request import BadRequest, Facts
from stillwatch.gateway.path.server import Client
from stillwatch.new_file import replace_file

UNTOLD_S = 60  # for which an answer is held if its gateway does not report
LONGEST_S = 86_400
# checks, one a second, without a connection: then a gateway that kept one open is gone, with its answers.
# They are counted, not timed: data that arrived while this process stood still is read after the next.
GONE_LOOKS = 15
BODY_S = 30  # in which an answer's body may arrive after its end
EVENT_BYTES = 400  # of a streamed event that are not text, at most
MOST_SETTLED = 100_000  # remembered tickets, across restarts: a repeated report costs nothing


_TICKET = struct.Struct("<QQ")  # boot, serial: unique


class Ticket(msgspec.Struct, array_like=True, frozen=True):
    """The data needed to charge one answer."""

    boot: int
    serial: int
    account: str
    number: int | None
    operation: str
    does: str
    model: str
    most: int | None
    answers: int
    on_way: int
    sets: tuple[int, ...]
    began_us: int
    stream: bool
    method: str


@dataclass
class AnswerEnd:
    """The end of an answer, as a gateway that forwards bytes sees it."""

    status: int
    sent: int  # bytes of its body
    events: int | None  # of a stream; None: not a stream
    comes: bool  # its body is also sent here


@dataclass
class _OnWay:
    """One pending answer."""

    ticket: Ticket
    until_us: int
    hook: str  # the key of the gateway; "" if it does not report answers
    end: AnswerEnd | None = None
    stream: tuple[str, str] = ("", "")  # key, and the gateway's name of the request


class SettledTickets:
    """Tickets that were charged, also by earlier processes: a sender that missed our reply reports again.

    They are in a file that survives a killed process; a power cut may lose the last ones.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[bytes, None] = {}
        with suppress(OSError):
            raw = path.read_bytes()[: -(path.stat().st_size % _TICKET.size) or None]
            entries = [raw[at : at + _TICKET.size] for at in range(0, len(raw), _TICKET.size)]
            self._known = dict.fromkeys(entries[-MOST_SETTLED:])
        self._file: int | None = None  # its descriptor, while the process lives
        self._added = 0
        self._rewrite()

    def __contains__(self, ticket: Ticket) -> bool:
        return _TICKET.pack(ticket.boot, ticket.serial) in self._known

    def add(self, ticket: Ticket) -> None:
        entry = _TICKET.pack(ticket.boot, ticket.serial)
        self._known[entry] = None
        if len(self._known) > MOST_SETTLED:
            del self._known[next(iter(self._known))]
        self._added += 1
        if self._added > MOST_SETTLED:
            self._rewrite()
        elif self._file is not None:
            with suppress(OSError):  # a full disk: they are remembered until a restart
                os.write(self._file, entry)

    def _rewrite(self) -> None:
        old, self._file, self._added = self._file, None, 0
        if old is not None:
            os.close(old)
        with suppress(OSError):
            replace_file(self._path, [b"".join(self._known)])
            self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


class HeldAnswers:
    """All held answers. One for the process."""

    def __init__(self, gate: Gate, note: Path) -> None:
        self.gate, self._note = gate, note
        self.untold = 0  # answers that a gateway failed to report
        self._on_way: dict[str, _OnWay] = {}
        self._of_streams: dict[tuple[str, str], str] = {}
        self._settled = SettledTickets(note.with_suffix(".settled"))
        self._clients: dict[str, set[Client]] = {}  # connections of each hook key that checks our health
        self._looks: dict[str, int] = {}  # seconds without such a connection
        self._earlier = gate.budgets.take_over()
        now_us = gate.now_us()
        self._noted_us = self._last_us = self._read_note()  # until when a gateway may report an answer
        self._earlier_tell = self._noted_us > now_us  # gateways will report them
        self._earlier_until_us = self._noted_us if self._earlier_tell else now_us + UNTOLD_S * 1_000_000

    def __len__(self) -> int:
        return len(self._on_way)

    def hold(
        self, reported: ReportedRequest, charge: Charge | None, hook: str, longest_s: int, now_us: int
    ) -> str:
        """Hold a charge's tokens until its answer arrives. Returns the ticket; "" if there are none."""
        on_way, sets = (0, ()) if charge is None else (charge.held, charge.sets)
        if not on_way:
            return ""
        does, model = reported.does or does_of(reported.operation), (*reported.models, "")[0][:LONGEST_NAME]
        ticket = Ticket(
            self.gate.log.boot, self.gate.number(), reported.account, reported.number, reported.operation,
            does, model, reported.most, reported.answers, on_way, sets, now_us, reported.stream,
            reported.method,
        )  # fmt: skip
        text = base64.urlsafe_b64encode(msgspec.msgpack.encode(ticket)).decode().rstrip("=")
        until_us = now_us + longest_s * 1_000_000
        self._on_way[text] = _OnWay(ticket, until_us, hook)
        self._last_us = max(self._last_us, until_us if hook else 0)
        return text

    @contextmanager
    def unless_it_fails(self, text: str) -> Iterator[None]:
        """Release what was just held if no reply results: nobody would ever report it."""
        try:
            yield
        except BaseException:
            if text:
                self.let_go(text)
            raise

    def name_stream(self, text: str, hook: str, stream: str) -> None:
        """Record the gateway's name of the request: its client may leave before it has the ticket."""
        self._on_way[text].stream = hook, stream
        self._of_streams[hook, stream] = text

    def let_go_stream(self, hook: str, stream: str) -> None:
        """Release what is held for a request that never went upstream."""
        if (text := self._of_streams.get((hook, stream))) is not None:
            self.let_go(text)

    # --- reports --------------------------------------------------------------------------------------

    def read(self, text: str, status: int, kind: bytes, body: bytes) -> None:
        """Charge an answer by its body. Raises: BadRequest."""
        ticket, reply = self.ticket(text), ReplyFacts()
        content = CONTENT_TYPES[kind]
        unread = status // 100 == 2 and not content.is_media
        if content.is_events or content.is_json_lines:
            stream = Stream(ticket.operation, lines=b"event-stream" not in content.name)
            stream.feed(body)
            reply = stream.facts(self.gate.ratios, ticket.model, True)
        elif unread:
            reply = facts_of_whole(body, ticket.operation, ticket.does, later=False)
        if unread and not reply.background:
            reply = unread_facts(reply, ticket.does, ticket.method, len(body), ticket.on_way) or reply
        self.settle(text, reply)

    def settle(self, text: str, reply: ReplyFacts) -> None:
        """Charge what an answer brought, and release what it held. Raises: BadRequest."""
        if (found := self._take(text)) is not None:
            ticket, charge = found
            charge.model = reply.served_model or charge.model
            charge.bill_answer(reply, ticket.does)
            if not reply.estimated:
                self.gate.durations.append(self.gate.now_us() - ticket.began_us)
            charge.let_go()

    def let_go(self, text: str) -> None:
        """Release what is held for an answer that never began or is charged elsewhere. Raises: BadRequest."""
        if (found := self._take(text)) is not None:
            found[1].let_go()

    def note_end(self, text: str, end: AnswerEnd) -> None:
        """Record that an answer has ended: complete, left by its client, or timed out. Raises: BadRequest."""
        if not end.comes:
            self._settle_unread(text, end)
        elif (on_way := self._on_way.get(text)) is not None:
            on_way.end = end
            on_way.until_us = min(on_way.until_us, self.gate.now_us() + BODY_S * 1_000_000)

    def ticket(self, text: str) -> Ticket:
        """Decode a ticket. Raises: BadRequest."""
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            ticket = msgspec.msgpack.decode(raw, type=Ticket)
            _TICKET.pack(ticket.boot, ticket.serial)
            return ticket
        except (binascii.Error, msgspec.MsgspecError, struct.error, ValueError):
            raise BadRequest(400, "bad_answer", "this gateway issued no such ticket") from None

    def _settle_unread(self, text: str, end: AnswerEnd) -> None:
        """Charge by the bytes sent to the client: without a stream, all of them are text."""
        ticket = self.ticket(text)
        reply = None
        if end.events is not None:
            each = self.gate.ratios.per_chunk(ticket.model, ticket.operation)
            by_bytes = (end.sent - EVENT_BYTES * end.events) / FALLBACK_BYTES
            reply = ReplyFacts(output_tokens=round(max(end.events * each, by_bytes)), estimated=True)
        elif end.status // 100 == 2:
            reply = unread_facts(None, ticket.does, ticket.method, end.sent, ticket.on_way)
        self.settle(text, reply or ReplyFacts())

    def _take(self, text: str) -> tuple[Ticket, Charge] | None:
        """Return an answer's charge; None if it was settled before. Raises: BadRequest."""
        on_way = self._on_way.pop(text, None)
        ticket = self.ticket(text) if on_way is None else on_way.ticket
        if on_way is not None:
            self._of_streams.pop(on_way.stream, None)
        gate, held = self.gate, ticket.on_way
        if on_way is None:
            if ticket.boot == gate.log.boot or ticket in self._settled:
                return None
            held = self._take_earlier(ticket)
        self._settled.add(ticket)
        models = (ticket.model,) if ticket.model else ()
        facts = Facts(
            ticket.operation,
            ticket.does,
            models,
            most=ticket.most,
            answers=ticket.answers,
            stream=ticket.stream,
        )
        charge = Charge(gate, ticket.account, ticket.number, facts, ticket.began_us)
        charge.resume(held, ticket.sets)
        return ticket, charge

    # --- a restart -------------------------------------------------------------------------------------

    def _take_earlier(self, ticket: Ticket) -> int:
        """Take over what an earlier process held for this answer; return the number of tokens."""
        row = self._earlier.get(ticket.number) if ticket.number is not None else None
        if row is None or row[HELD] < ticket.on_way:
            return 0
        for column in (HELD, *(SETS + 2 * k + 1 for k in ticket.sets)):
            row[column] -= ticket.on_way
        return ticket.on_way

    def _give_up_earlier(self, now_us: int) -> None:
        """Release what an earlier process held; charge it if gateways should have reported the answer."""
        budgets = self.gate.budgets
        for place, row in self._earlier.items():
            of_sets: list[tuple[int | None, int]] = list(enumerate(row[SETS + 1 :: 2]))
            for k, tokens in [*of_sets, (None, row[HELD] - sum(tokens for _, tokens in of_sets))]:
                if self._earlier_tell and tokens > 0:
                    budgets.add(place, now_us, 0, tokens, k)
                budgets.hold(place, -tokens, () if k is None else (k,))
        self._earlier = {}

    def _read_note(self) -> int:
        try:
            return int(self._note.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    # --- as time passes --------------------------------------------------------------------------------

    def note_connection(self, hook: str, client: Client, *, checks: bool) -> None:
        """Record a gateway's connection. One that `checks` our health always has one, or is gone."""
        if checks or hook in self._clients:
            self._clients.setdefault(hook, set()).add(client)

    def sweep(self, now_us: int) -> None:
        """Release what is held too long, or for a gateway that is gone. Call it each second."""
        for hook, clients in self._clients.items():
            clients &= self.gate.clients
            self._looks[hook] = 0 if clients else self._looks.get(hook, 0) + 1
        gone = {hook for hook, looks in self._looks.items() if looks >= GONE_LOOKS}
        for hook in gone:
            del self._clients[hook], self._looks[hook]
        for text, on_way in list(self._on_way.items()):
            if on_way.hook in gone:
                self.let_go(text)  # like the answers of a worker that is gone
            elif now_us >= on_way.until_us:
                self._give_up(text, on_way)
        if self._earlier and now_us >= self._earlier_until_us:
            self._give_up_earlier(now_us)

    def _give_up(self, text: str, on_way: _OnWay) -> None:
        if not on_way.hook:
            self.let_go(text)
            return
        self.untold += 1
        if on_way.end is not None:
            self._settle_unread(text, on_way.end)
        else:
            self.settle(text, ReplyFacts(output_tokens=on_way.ticket.on_way, estimated=True))

    def note(self) -> None:
        """Write down until when answers may be held, for the next process. Raises: OSError."""
        if self._last_us != self._noted_us:
            self._note.write_text(str(self._last_us), encoding="ascii")
            self._noted_us = self._last_us


def seconds_of(options: Mapping[str, str]) -> int:
    """Return the longest time that an answer is held. Raises: BadRequest."""
    text = options.get("held")
    if text is None:
        return UNTOLD_S
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= LONGEST_S):
        raise BadRequest(404, "unknown_dialect", f"held={text[:20]!r}; give seconds, {LONGEST_S:,} at most")
    return int(text)
