"""How a reply's body passes: unchanged, held until it is whole, or event by event.

A body is checked before it is delivered: which model it names, what the account has left, what the policy
removes from it. The exchange carries out the decisions.
"""

import re
from collections.abc import Callable
from typing import Protocol

import msgspec

from stillwatch.gateway.counters import PLACE
from stillwatch.gateway.path.batch import batch_tokens
from stillwatch.gateway.path.body_addresses import MUST_TURN
from stillwatch.gateway.path.foreign_names import ForeignError, UnknownReply
from stillwatch.gateway.path.gate import Gate
from stillwatch.gateway.path.known_names import KnownNames
from stillwatch.gateway.path.objects import Listing
from stillwatch.gateway.path.references import made_in_event
from stillwatch.gateway.path.reply import (
    HEAD_LIMIT,
    JSON_LIMIT,
    ReplyFacts,
    Stream,
    data_of,
    events_in,
    facts_of_whole,
    last_end,
    model_field,
    models_in,
)
from stillwatch.gateway.path.strip import SseStrip, strip_json

SHORT = 256 << 10  # bytes: shorter replies do not count as held
CARRY = 300  # bytes of a stream that are checked again: a model's name may be split
MEDIA = (b"audio/", b"image/", b"video/")  # content types without a text
COUNTED = frozenset(("generates", "renders", "embeds", "unknown"))  # their replies report the usage
_LINES = (b"jsonl", b"ndjson", b"jsonlines", b"json-lines", b"octet-stream", b"/binary", b"json-seq")
_ID_FIRST = re.compile(rb'\s*\{\s*"id"\s*:\s*"[^"\\]{1,512}"')  # of a reply too long to be read
_CHUNKS, _STRIPPED, _CUT_BUDGET = PLACE["chunks"], PLACE["stripped"], PLACE["cut_budget"]


class Recipient(Protocol):
    """The part of the exchange that a body needs."""

    gate: Gate
    operation: str
    does: str
    asked: str  # the requested model

    @property
    def comes_later(self) -> bool:
        """Whether the request starts an answer that is fetched later, or fetches one."""

    @property
    def strip(self) -> bool: ...
    @property
    def budgeted(self) -> bool:
        """Whether the account has a budget that may run out."""

    def served(self, name: str) -> bool:
        """Return whether a model's reply may be delivered; if not, the exchange is over."""

    def still_allowed(self) -> bool:
        """Return whether the present policy allows it; if not, the exchange is over."""

    def charge(self, tokens: int) -> None: ...
    def left(self) -> float: ...
    def deliver(self, data: bytes) -> None: ...
    def fail(self, code: str, why: str, status: int = 502) -> None: ...
    def run_out(self) -> None: ...
    def took(self, body: bytes) -> None:
        """Note the upstream's reply on a job that it processes later."""

    def shown(self, model: str) -> bool: ...
    @property
    def hands_out(self) -> str:
        """The kind of a reply's object if it may have addresses that the client follows; "": none."""

    def turn_body(self, body: bytes) -> bytes:
        """Return a reply with its addresses rewritten to this gateway's."""

    def learn(self, body: bytes) -> None:
        """Note the owner of the objects in a whole reply, before the client learns their names."""

    def ask_page(self, target: str) -> None:
        """Request a further page of a list: the reply continues with it."""

    def hold_back(self, held: bool) -> None:
        """Stop reading the reply, or continue."""


class Plain:
    """Bytes as they come: errors, files, anything that need not be checked."""

    def __init__(self, to: Recipient) -> None:
        self.to = to

    def feed(self, data: bytes) -> None:
        self.to.deliver(data)

    def end(self) -> bool:
        """Deliver what is left. Return whether the reply may be finished."""
        return True

    def facts(self, complete: bool) -> ReplyFacts | None:
        return None


class Refusal:
    """A refusal by the upstream: delivered once it is known not to contain the gateway's own key."""

    def __init__(self, to: Recipient, key: bytes) -> None:
        self.to, self._key = to, key
        self._held = b""

    def feed(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > HEAD_LIMIT:
            self.to.fail("upstream_auth", "the upstream refused, at a length that nobody reads")

    def end(self) -> bool:
        if self._key in self._held:
            self.to.fail("upstream_auth", "the upstream refused the gateway's own key")
            return False
        self.to.deliver(self._held)
        return True

    def facts(self, complete: bool) -> ReplyFacts | None:
        return None


class Whole:
    """One JSON value, held until it is complete."""

    def __init__(self, to: Recipient, looked_into: bool, listing: Listing | None = None) -> None:
        self.to = to
        self._listing = listing
        self._hands_out = kind = to.hands_out
        self._must = to.strip or listing is not None or (looked_into and to.gate.terms.bans)
        self._must = self._must or kind in MUST_TURN
        self._parts: list[bytes] = []
        self._size = 0
        self._facts: ReplyFacts | None = None
        self.length: int | None = None  # of what is delivered, once that is known

    def feed(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size <= SHORT:
            return
        if self._size <= JSON_LIMIT:
            self.to.gate.held_replies.grow(self.to, self._size)
            return
        self.to.gate.held_replies.drop(self.to)
        if self._must:
            self.to.fail("upstream_too_long", f"the reply is longer than {JSON_LIMIT:,} bytes")
            return
        held, self._parts = b"".join(self._parts), []
        self.feed = self.to.deliver  # type: ignore[method-assign] # from here on as it comes
        if (name := _ID_FIRST.match(held)) is not None:
            self.to.learn(name[0] + b"}")
        self.to.deliver(held)

    def end(self) -> bool:
        to = self.to
        if not self._parts:
            return True
        if not to.still_allowed():
            return False
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        if self._listing is not None:
            whole = self._page(self._listing, body)
            if whole is None:
                return False
            body = whole
        if to.operation == "models":
            body = self._without_hidden(body)
        else:
            facts = facts_of_whole(body, to.operation, to.does, later=to.comes_later)
            if to.does in COUNTED or facts.background:
                self._facts = facts  # otherwise it was generated, and counted, at another time
            else:
                to.took(body)
            for name in (facts.served_model, *facts.others):
                if name is not None and not to.served(name):
                    return False
        if to.strip:
            stripped = strip_json(body)
            to.gate.counters[_STRIPPED] += stripped != body
            body = stripped
        if self._hands_out:
            body = to.turn_body(body)
        to.learn(body)
        self.length = len(body)
        to.deliver(body)
        return True

    def _page(self, listing: Listing, body: bytes) -> bytes | None:
        """Return the list once it is whole; None if a further page is requested, or it cannot be shown."""
        try:
            whole, target = listing.take(body)
        except ForeignError:
            self.to.fail("not_found", "there is no such object of this account", 404)
            return None
        except ValueError as why:
            self.to.fail("upstream_error", f"the upstream's list cannot be shown: {why}")
            return None
        if target is not None:
            self._parts, self._size = [], 0
            self.to.ask_page(target)
        return whole

    def _without_hidden(self, body: bytes) -> bytes:
        """Return the list of models without the forbidden ones; the same bytes if there are none."""
        try:
            listed = msgspec.json.decode(body)
            data = listed["data"]
            shown_items = [item for item in data if self.to.shown(str(item["id"]))]
        except (msgspec.MsgspecError, KeyError, TypeError, RecursionError, UnicodeDecodeError):
            return body
        return body if len(shown_items) == len(data) else msgspec.json.encode(listed | {"data": shown_items})

    def facts(self, complete: bool) -> ReplyFacts | None:
        return self._facts


class Lines:
    """Lines of JSON, such as a batch's answers: whole lines are checked, and stripped if required.

    Other files (the first line is not an object, or not a batch's) pass unchanged. `stream`: it is being
    generated now, so every line names the answering model.
    """

    def __init__(self, to: Recipient, stream: bool) -> None:
        self.to = to
        self._stream = stream
        self._held = b""
        self._begun = False
        self._read = self._written = 0  # tokens that the lines report

    def feed(self, data: bytes) -> None:
        held = self._held + data
        if not self._begun:
            start = held.lstrip()
            if start and not start.startswith(b"{"):
                self._held = b""
                self.feed = self.to.deliver  # type: ignore[method-assign] # from here on as it comes
                self.to.deliver(held)
                return
            self._begun = bool(start)
        end = held.rfind(b"\n") + 1
        self._held = held[end:]
        if end and not self._pass(held[:end]):
            return
        if len(self._held) > JSON_LIMIT and self.to.strip:
            self.to.fail("upstream_too_long", f"a line of the reply is longer than {JSON_LIMIT:,} bytes")
        elif len(self._held) > JSON_LIMIT and self.end():
            self.feed = self.to.deliver  # type: ignore[method-assign]

    def _pass(self, lines: bytes) -> bool:
        to = self.to
        if not to.still_allowed():
            return False
        per_line = self._stream or b'"custom_id"' in lines or b'"usageMetadata"' in lines
        if per_line and not all(to.served(name) for name in models_in(lines)):
            return False
        if to.strip:
            stripped = strip_json(lines)
            to.gate.counters[_STRIPPED] += stripped != lines
            lines = stripped
        if per_line:
            read, written = batch_tokens(lines)
            self._read, self._written = self._read + read, self._written + written
        to.deliver(lines)
        return True

    def end(self) -> bool:
        rest, self._held = self._held, b""
        return not rest or self._pass(rest)

    def facts(self, complete: bool) -> ReplyFacts | None:
        return ReplyFacts(None, self._read, self._written) if self._written else None


class Events:
    """A stream. Whole events only until one has named the model; then bytes as they come, checked."""

    def __init__(self, to: Recipient, made: "MadeInStream | None" = None, lines: bool = False) -> None:
        self.to, self._gate = to, to.gate
        self._terms: object = None  # and tables, by which it was last allowed
        self._tables: object = None
        self._mark = b"\n" if lines else b"data:"  # one per event, or per line of JSON
        self._stream = Stream(to.operation, lines)
        self._budgeted = to.budgeted
        self._made = made
        self._events = 0  # pieces that are not counted yet
        self._strip = SseStrip() if to.strip else None
        self._held = b""
        self._needle = b""  # the model's field as written in this stream
        self._carry = b""

    def feed(self, data: bytes) -> None:
        to, gate, needle, within = self.to, self._gate, self._needle, True
        if gate.terms is not self._terms or gate.tables is not self._tables:
            self._terms, self._tables = gate.terms, gate.tables
            if not to.still_allowed():
                return
        if not needle:
            data = self._release_whole(data)
            if not data:
                return
        else:
            seen = self._carry + data if self._carry else data
            self._carry = b"" if data.endswith(b"\n\n") else seen[-CARRY:]
            # if other fields begin so too, such as `"models"`, all names are checked
            if seen.count(b'"model') != seen.count(needle) and not all(map(to.served, models_in(seen))):
                return
        if self._made is not None:
            self._made.feed(data)
        if self._budgeted:
            data, within = self._within_budget(data)
        self._stream.feed(data)
        self._events += 1
        to.deliver(self._strip.feed(data) if self._strip else data)
        if not within:
            gate.counters[_CUT_BUDGET] += 1
            to.run_out()

    def _release_whole(self, data: bytes) -> bytes:
        """Return the whole events at hand, once the models that they name were checked; the rest is held."""
        held = self._held + data
        end = held.rfind(b"\n") + 1 if self._mark == b"\n" else last_end(held)
        if not end:
            if len(held) < HEAD_LIMIT:
                self._held = held
                return b""
            end = len(held) - CARRY  # whatever is split here is whole the next time
        whole, self._held = held[:end], held[end:]
        names = models_in(held)
        if not all(self.to.served(name) for name in names):
            return b""
        if len(names) == 1:
            self._needle = model_field(held)
            if self._needle:
                whole, self._held = held, b""
        return whole

    def _within_budget(self, data: bytes) -> tuple[bytes, bool]:
        """Return as many whole events as the account has left, and whether that is all of them.

        Every stream of the account is charged as it passes: many at once get no more than one.
        """
        to = self.to
        each = to.gate.ratios.per_chunk(to.asked, to.operation)
        most = max(0, int(to.left() / each))
        events = data.count(self._mark)
        whole = events <= most
        if not whole:
            data, events = data[: _nth_end(data, most, self._mark)], most
        to.charge(round(events * each))
        return data, whole

    def end(self) -> bool:
        rest, self._held = self._held, b""
        if rest and not all(self.to.served(name) for name in models_in(rest)):
            return False
        if self._made is not None:
            self._made.feed(rest + b"\n\n")
        self._stream.feed(rest)
        self.to.deliver(self._strip.feed(rest) + self._strip.finish() if self._strip else rest)
        return True

    @property
    def as_sent(self) -> bool:
        """Whether the client has received whole events, so that one of ours may follow."""
        return self._strip is None and self._mark != b"\n"

    def facts(self, complete: bool) -> ReplyFacts:
        self.to.gate.counters[_CHUNKS] += self._events
        self._events = 0
        return self._stream.facts(self.to.gate.ratios, self.to.asked, complete)


class MadeInStream:
    """Objects that a stream's events name, recorded as they pass. `needle`: the marker of such events."""

    def __init__(
        self, note: Callable[[list[tuple[str, str]]], None], kind: str, itself: bool, needle: bytes
    ) -> None:
        self._note, self._kind, self._itself, self._needle = note, kind, itself, needle
        self._carry = b""

    def feed(self, data: bytes) -> None:
        held = self._carry + data if self._carry else data
        end = last_end(held)
        self._carry = held[end:] if len(held) - end < JSON_LIMIT else b""
        if held.find(self._needle, 0, end) < 0:
            return
        objects = [
            made
            for event in events_in(held[:end])
            if self._needle in event
            for made in made_in_event(data_of(event), self._kind, self._itself)
        ]
        if objects:
            self._note(objects)


class ContentType(msgspec.Struct, frozen=True, gc=False):
    """What a reply's content type says of its body."""

    name: bytes  # in lower case
    is_media: bool  # it has no text
    is_json: bool  # one JSON value; lines of JSON are a stream, and are not held
    is_json_lines: bool  # as Ollama streams them
    is_events: bool
    is_lines: bool  # it may contain lines of JSON; the files API sends batches as plain bytes


def _read_type(value: bytes) -> ContentType:
    name = value.lower()
    media = name.partition(b";")[0].strip()
    return ContentType(
        name,
        name.startswith(MEDIA),
        media == b"application/json" or media.endswith(b"+json"),
        media.endswith((b"ndjson", b"jsonl", b"jsonlines", b"json-lines", b"stream+json")),
        name.startswith(b"text/event-stream"),
        media in (b"", b"text/plain") or media.endswith(_LINES),
    )


CONTENT_TYPES = KnownNames(_read_type)
NO_TYPE = CONTENT_TYPES[b""]


def is_listing(listing: Listing, kind: ContentType) -> bool:
    """Return whether a reply is cut down to own objects. One of unknown format may also be text."""
    if not isinstance(listing, UnknownReply):
        return listing.strict or kind.is_json
    is_text = kind.name.startswith(b"text/") and not kind.is_events
    return is_text or not kind.name or kind.is_json or kind.is_json_lines


def _nth_end(data: bytes, n: int, mark: bytes) -> int:
    """Return the end of the first `n` events with data, or of the first `n` lines."""
    at = -1
    if mark == b"\n":
        for _ in range(n):
            at = data.find(mark, at + 1)
        return at + 1
    for _ in range(n + 1):
        at = data.find(mark, at + 1)
    before = data.rfind(b"\n\n", 0, at)
    return before + 2 if before >= 0 else 0
