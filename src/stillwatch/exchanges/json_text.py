"""JSON text into values with their place: one value per line, one big array, or values that span lines.

A bad value is reported and reading goes on with the next one.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from stillwatch.exchanges import container_lines
from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.lines import Line, LongLine
from stillwatch.exchanges.python_text import python_value
from stillwatch.exchanges.rejects import RAW_LIMIT
from stillwatch.exchanges.strict_json import decode, decode_mended

SAMPLE_LINES = 32
PREFIX = 512  # bytes a shipper may put before the object
CUT = "a container's runtime cut the line, and its end may be in another file"


@dataclass(frozen=True)
class UndecodableValue:
    """A value that could not be decoded."""

    number: int
    offset: int
    reason: str
    raw: bytes
    length: int | None = None  # set if `raw` is only the head


class Good(NamedTuple):
    number: int
    offset: int
    raw: bytes
    value: object
    note: str = ""  # what had to be repaired to read it


def looks_like_lines(head: bytes) -> bool:
    """Return whether the file holds one JSON value per line (else values that span lines, or one array)."""
    lines = [text.strip() for text in head.split(b"\n")[: SAMPLE_LINES + 1]]
    full_lines = [line for line in (lines[:-1] if len(lines) > 1 else lines) if line]
    if not full_lines:
        return True
    if len(full_lines) == 1 and full_lines[0].startswith(b"["):
        return False  # one line, perhaps cut off: reading by element loses least
    if _decodes(full_lines[0]):
        return True
    if full_lines[0].startswith(b"[") or _one_after_another(full_lines[0]):
        return False
    flush_left = [line for line in head.split(b"\n")[1:SAMPLE_LINES] if line.startswith(b"{")]
    if any(_decodes(line.strip()) for line in flush_left):
        return True
    second = head.split(b"\n")[1] if len(full_lines) > 1 else b""
    return not (full_lines[0].startswith(b"{") and second[:1] in (b" ", b"\t", b'"', b"}"))


def _one_after_another(raw: bytes) -> bool:
    """Return whether a line holds values with nothing between them, as Amazon's Firehose writes them."""
    try:
        text = raw.decode("utf-8", "replace")
        end = json.JSONDecoder().raw_decode(text)[1]
    except (ValueError, RecursionError):
        return False
    return text[end:].lstrip(" ,").startswith("{")


def _decodes(raw: bytes) -> bool:
    try:
        return isinstance(decode(raw), dict | list)
    except Refused:
        return False


def per_line(lines: Iterable[Line | LongLine]) -> Iterator[Good | UndecodableValue]:
    """Yield one value per line, skipping empty ones. Lines split by a container runtime are reassembled."""
    for line in container_lines.joined(lines):
        if isinstance(line, LongLine):
            yield long_line(line)
            continue
        raw = line.raw
        if not raw or raw.isspace():
            continue
        found = _decode_value(line.number, line.offset, raw)
        if isinstance(found, Good):
            yield found
        elif isinstance(line, container_lines.CutLine):
            yield UndecodableValue(line.number, line.offset, f"{found.reason}; {CUT}", raw)
        else:
            yield from _one_by_one(found)


_BETWEEN = re.compile(r"[\s,]*")


def _one_by_one(line: UndecodableValue) -> Iterator[Good | UndecodableValue]:
    """Yield the objects of a line without line ends between them: concatenated files."""
    values: list[Good | UndecodableValue] = []
    at, decoder = 0, json.JSONDecoder()
    try:
        text = line.raw.decode()
        while at < len(text):
            end = decoder.raw_decode(text, at)[1]
            raw = text[at:end].encode()
            values.append(Good(line.number, line.offset, raw, decode(raw)))
            between = _BETWEEN.match(text, end)
            at = between.end() if between else end
    except (Refused, ValueError, RecursionError):
        values = []
    whole = len(values) > 1 and all(isinstance(value.value, dict) for value in values if type(value) is Good)
    yield from values if whole else [line]


def _decode_value(number: int, offset: int, raw: bytes) -> Good | UndecodableValue:
    """Decode one value, even after a shipper's prefix or with half a surrogate pair in it."""
    with suppress(Refused):
        return Good(number, offset, raw, decode(raw))
    behind_words = after_prefix(raw)
    # an array's elements, one a line; or Fluent Bit's file: `TAG: [TIME, {…}]`
    text = raw.rstrip(b", \t\r") if behind_words is None else behind_words.rstrip(b"], \t\r")
    try:
        return Good(number, offset, raw, *decode_mended(text, infinite=False))
    except Refused as why:
        reason = str(why)
    if text.startswith(b"{'"):
        try:
            return Good(number, offset, raw, python_value(text.decode()))
        except (Refused, UnicodeDecodeError):
            reason = "not JSON but Python, and no plain dict; right would be json.dumps(...)"
    if rb"\x22" in text:
        reason += "; in nginx right would be log_format NAME escape=json"
    return UndecodableValue(number, offset, reason, raw)


def after_prefix(raw: bytes) -> bytes | None:
    r"""Return the object in a line after a shipper's prefix (syslog, Kubernetes), or None.

    >>> after_prefix(b'2026-03-02T00:00:00Z stdout F {"a": 1}'), after_prefix(b'{"a": 1}')
    (b'{"a": 1}', None)
    """
    at = raw.find(b'{"', 0, PREFIX)
    before = raw[: max(at, 0)]
    if not before.strip() or b'"' in before or b"\x00" in before or b"{" in before:
        return None
    return raw[at:]


def long_line(line: LongLine) -> UndecodableValue:
    if b"\x00" in line.head:
        reason = f"is {line.length:,} bytes of binary (NUL bytes), not text"
    else:
        reason = f"is {line.length:,} bytes long, more than a line may be"
    return UndecodableValue(line.number, line.offset, reason, line.head, line.length)


_TOKEN = re.compile(rb'[{}\[\]"\n]')
_STRING_END = re.compile(rb'["\\\n]')


def spanning(chunks: Iterable[bytes], limit: int) -> Iterator[Good | UndecodableValue]:
    """Yield values that may span lines; of an outer array, its elements.

    Holds one value at most, `limit` bytes. Commas and outer brackets between values are ignored; other text
    there is reported once per line.
    """
    scan = _Scan(limit)
    for chunk in chunks:
        yield from scan.feed(chunk)
    yield from scan.end()


class _Scan:
    """The scanner's state: depth, whether inside a string, and the bytes of the open value."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.number, self.offset = 1, 0  # of the next byte
        self.depth = 0
        self.in_string = False
        self.escaped = False
        self.held: list[bytes] = []
        self.length = 0
        self.dropped = False
        self.began = (1, 0)
        self.outer_seen = False
        self.stray_line = 0
        self.taken = 0  # values so far

    def feed(self, chunk: bytes) -> Iterator[Good | UndecodableValue]:
        at = mark = 0  # the open value's bytes in this chunk begin at mark
        size = len(chunk)
        while at < size:
            if self.in_string:
                if self.escaped:
                    self.escaped = False
                    at += 1
                    continue
                match = _STRING_END.search(chunk, at)
                if match is None:
                    break
                at = match.end()
                token = match[0]
                if token == b"\\":
                    self.escaped = True
                elif token == b"\n":
                    self.number += 1
                else:
                    self.in_string = False
                continue
            match = _TOKEN.search(chunk, at)
            stop = match.start() if match else size
            if self.depth == 0:
                yield from self._stray_text(chunk[at:stop], at)
            if match is None:
                break
            at, token = match.end(), match[0]
            if token == b"\n":
                self.number += 1
            elif token == b'"':
                self.in_string = self.depth > 0
            elif token in b"{[":
                if token == b"[" and self.depth == 0 and not self.outer_seen:
                    self.outer_seen = True  # the outer array: its elements are the values
                    continue
                if self.depth == 0:
                    mark = stop
                    self.began = (self.number, self.offset + stop)
                self.depth += 1
            elif self.depth:
                self.depth -= 1
                if self.depth == 0:
                    self._hold(chunk[mark:at])
                    yield self._take()
        if self.depth:
            self._hold(chunk[mark:] if mark else chunk)
        self.offset += size

    def _stray_text(self, text: bytes, at: int) -> Iterator[UndecodableValue]:
        if not text.strip(b" \t\r\n,") or self.stray_line == self.number:
            return
        if self.outer_seen and self.stray_line and not self.taken:
            return  # [1, 2, 3] over many lines: an array without records, reported once
        self.stray_line = self.number
        reason = "not JSON: text between values"
        if self.outer_seen:
            what = "a value between them is" if self.taken else "the values of an array are"
            reason = f"not JSON objects: {what} no object; right would be one object a line"
        yield UndecodableValue(self.number, self.offset + at, reason, text[:RAW_LIMIT], len(text))

    def _hold(self, piece: bytes) -> None:
        self.length += len(piece)
        if self.dropped:
            return
        self.held.append(piece)
        if self.length > self.limit:
            self.dropped = True
            self.held = [b"".join(self.held)[:RAW_LIMIT]]

    def _take(self) -> Good | UndecodableValue:
        raw = b"".join(self.held)
        number, offset = self.began
        length, dropped = self.length, self.dropped
        self.held, self.length, self.dropped = [], 0, False
        self.taken += 1
        if dropped:
            return UndecodableValue(
                number, offset, f"is {length:,} bytes long, more than a value may be", raw, length
            )
        return _decode_value(number, offset, raw)

    def end(self) -> Iterator[Good | UndecodableValue]:
        if not self.depth:
            return
        raw = b"".join(self.held)
        yield UndecodableValue(*self.began, "not JSON: the file ends inside this value", raw, self.length)
