"""Faults of real upstreams, by name: each turns a good reply into a bad one.

`x-fault: NAME` or `NAME=VALUE`, several with a comma; a model called `fault:NAME` does the same.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from upstream_replies import Piece, dumps, sse

Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Reply:
    """The bytes to be written, and how the reply ends."""

    status: int = 200
    headers: Headers = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    framing: str = "length"  # "length", "chunked", "close"
    version: str = "1.1"
    gap_s: float = 0.0  # before each piece but the first
    wait_s: float = 0.0  # before the head
    before: bytes = b""  # raw bytes before the head: informational replies, garbage
    length: int | None = None  # the Content-Length sent, if it is not the true one
    trailers: Headers = field(default_factory=list)
    stop_after: int | None = None  # pieces written before `end` happens; 0: only the head
    # "keep" the connection, "close" it properly after the reply, "torn": close without the reply's end,
    # "reset" likewise with RST, "stall": nothing more is said, "garble": a broken chunk head
    end: str = "keep"
    head_bytes: int | None = None  # only this many bytes of the head are written before `end`
    linger_s: float | None = None  # an idle connection is closed after this time
    once: bool = False  # the connection is closed by its next request

    @property
    def body(self) -> bytes:
        return b"".join(piece.data for piece in self.pieces)


def split_where(pieces: list[Piece], cut: Callable[[bytes], list[bytes]]) -> list[Piece]:
    """Return smaller pieces; the last part of each has its tokens."""
    found = []
    for piece in pieces:
        parts = [part for part in cut(piece.data) if part]
        found += [Piece(part) for part in parts[:-1]] + [Piece(part, piece.tokens) for part in parts[-1:]]
    return found


def inside_characters(data: bytes) -> list[bytes]:
    """Cut after the first byte of every multi-byte character."""
    cuts = [at + 1 for at, byte in enumerate(data) if byte >= 0xC0]
    return [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def map_data(pieces: list[Piece], change: Callable[[bytes], bytes]) -> list[Piece]:
    return [Piece(change(piece.data), piece.tokens) for piece in pieces]


def mixed_ends(data: bytes) -> bytes:
    """Use all three line ends in turn; never a \r before a line end that would combine with it."""
    made = b""
    *lines, rest = data.split(b"\n")
    for at, line in enumerate(lines):
        end = (b"\n", b"\r\n", b"\r")[at % 3]
        made += line + (b"\r" if made.endswith(b"\r") and not line and end == b"\n" else end)
    return made + rest


def many_lines(data: bytes) -> bytes:
    """Write one event's JSON over several `data:` lines."""
    lines = []
    for line in data.split(b"\n"):
        if line.startswith(b"data: {"):
            pretty = json.dumps(json.loads(line[6:]), ensure_ascii=False, indent=1).encode()
            lines += [b"data: " + part for part in pretty.split(b"\n")]
        else:
            lines.append(line)
    return b"\n".join(lines)


def with_comments(pieces: list[Piece]) -> Iterator[Piece]:
    for piece in pieces:
        yield Piece(b": still here\n\n")
        yield piece


def error_event(pieces: list[Piece]) -> list[Piece]:
    """Send half of the stream, then an error, in the API's own form."""
    half = pieces[: len(pieces) // 2]
    inner = {"type": "overloaded_error", "message": "the tests' model fell over", "code": "overloaded"}
    if pieces and pieces[0].data.startswith(b"event: message_start"):
        return [*half, sse({"type": "error", "error": inner}, event="error")]
    return [*half, sse({"error": {**inner, "param": None}})]


def empty_choices(pieces: list[Piece]) -> list[Piece]:
    frame = {"id": "chatcmpl-empty", "object": "chat.completion.chunk", "created": 0, "model": "mira"}
    return [sse({**frame, "choices": []}), *pieces]


def failing(status: int, *headers: tuple[str, str]) -> Callable[[Reply, str], Reply]:
    def fault(reply: Reply, value: str) -> Reply:
        inner = {"message": f"the tests' model answers {status}", "type": "server_error", "code": str(status)}
        told = [(name, value or default) for name, default in headers]
        json_type = ("content-type", "application/json")
        body = [Piece(dumps({"type": "error", "error": {**inner, "param": None}}))]
        return Reply(status=status, headers=[json_type, *told], pieces=body)

    return fault


def zipped(reply: Reply, _: str) -> Reply:
    tokens = sum(piece.tokens for piece in reply.pieces)
    headers = [*reply.headers, ("content-encoding", "gzip")]
    return replace(reply, headers=headers, pieces=[Piece(gzip.compress(reply.body, mtime=0), tokens)])


def huge(reply: Reply, value: str) -> Reply:
    """Return a valid JSON body of this many bytes, in pieces of a megabyte."""
    size = int(value or 64 << 20)
    head, tail = reply.body[:-1] + b',"padding":"', b'"}'
    fill = size - len(head) - len(tail)
    block = b"still water " * 87_382
    middle = [Piece(block[: min(len(block), fill - at)]) for at in range(0, fill, len(block))]
    tokens = sum(piece.tokens for piece in reply.pieces)
    return replace(reply, pieces=[Piece(head), *middle, Piece(tail, tokens)])


def as_events(reply: Reply, change: Callable[[list[Piece]], list[Piece]]) -> Reply:
    return replace(reply, pieces=change(reply.pieces))


def half(reply: Reply) -> int:
    return max(1, len(reply.pieces) // 2)


def torn_inside(reply: Reply, _: str) -> Reply:
    """End the connection in the middle of an event, or of the body."""
    kept = reply.pieces[: half(reply)]
    last = kept[-1].data
    pieces = [*kept[:-1], Piece(last[: len(last) // 2])]
    return replace(reply, pieces=pieces, length=len(reply.body), end="torn")


def halved(reply: Reply) -> Reply:
    """Split a whole reply, which is one piece, into two, so that a fault can occur in between."""
    if len(reply.pieces) > 1:
        return reply
    one, middle = reply.pieces[0], len(reply.pieces[0].data) // 2
    return replace(reply, pieces=[Piece(one.data[:middle]), Piece(one.data[middle:], one.tokens)])


def stopping(end: str) -> Callable[[Reply, str], Reply]:
    return lambda reply, _: replace(halved(reply), stop_after=half(halved(reply)), end=end)


def other_model(reply: Reply, value: str) -> Reply:
    other = (value or "other-model").encode()

    def renamed(data: bytes) -> bytes:
        before, found, after = data.partition(b'"model":"')
        return before + found + other + after[after.index(b'"') :] if found else data

    return replace(reply, pieces=map_data(reply.pieces, renamed))


def header_bytes(reply: Reply, value: str) -> Reply:
    return replace(reply, headers=[*reply.headers, ("x-large", "x" * int(value or 60_000))])


def plus_length(reply: Reply, value: str) -> Reply:
    """Send a Content-Length that is wrong by this many bytes: too long, then the connection ends."""
    wrong = len(reply.body) + int(value or 10)
    return replace(reply, framing="length", length=wrong, end="torn" if wrong > len(reply.body) else "close")


EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"

FAULTS: dict[str, Callable[[Reply, str], Reply]] = {
    # --- bytes of a stream
    "split-utf8": lambda r, _: as_events(r, lambda p: split_where(p, inside_characters)),
    "byte": lambda r, _: as_events(
        r, lambda p: split_where(p, lambda data: [data[at : at + 1] for at in range(len(data))])
    ),
    "one-write": lambda r, _: as_events(r, lambda p: [Piece(r.body, sum(piece.tokens for piece in p))]),
    "crlf": lambda r, _: as_events(r, lambda p: map_data(p, lambda data: data.replace(b"\n", b"\r\n"))),
    "mixed-ends": lambda r, _: as_events(r, lambda p: map_data(p, mixed_ends)),
    "multi-line": lambda r, _: as_events(r, lambda p: map_data(p, many_lines)),
    "comments": lambda r, _: as_events(r, lambda p: list(with_comments(p))),
    "bom": lambda r, _: as_events(r, lambda p: [Piece(b"\xef\xbb\xbf"), *p]),
    "no-done": lambda r, _: as_events(r, lambda p: [one for one in p if b"[DONE]" not in one.data]),
    "empty-choices": lambda r, _: as_events(r, empty_choices),
    "error-event": lambda r, _: as_events(r, error_event),
    "bad-json": lambda r, _: replace(r, pieces=[Piece(b'{"choices": [nonsense')]),
    "other-model": other_model,
    # --- time
    "slow": lambda r, value: replace(halved(r), gap_s=float(value or 0.05)),
    "late": lambda r, value: replace(r, wait_s=float(value or 0.5)),
    "stall": stopping("stall"),
    "stall-head": lambda r, _: replace(r, head_bytes=0, end="stall"),
    # --- connections
    "torn": stopping("torn"),
    "torn-event": torn_inside,
    "reset": stopping("reset"),
    "garble": lambda r, _: replace(halved(r), framing="chunked", stop_after=half(halved(r)), end="garble"),
    "close-before-head": lambda r, _: replace(r, head_bytes=0, end="torn"),
    "close-in-head": lambda r, _: replace(r, head_bytes=20, end="torn"),
    "close-after-head": lambda r, _: replace(r, stop_after=0, end="torn"),
    "idle-close": lambda r, value: replace(r, linger_s=float(value or 0.0)),
    "close-on-reuse": lambda r, _: replace(r, once=True),
    "garbage": lambda r, _: replace(r, before=b"SSH-2.0-OpenSSH_9.2\r\n", head_bytes=0, end="torn"),
    # --- HTTP
    "chunked": lambda r, _: replace(r, framing="chunked"),
    "length": lambda r, _: replace(r, framing="length"),
    "close-delimited": lambda r, _: replace(r, framing="close", end="close"),
    "connection-close": lambda r, _: replace(r, headers=[*r.headers, ("connection", "close")], end="close"),
    "http10": lambda r, _: replace(r, framing="close", end="close", version="1.0"),
    "wrong-length": plus_length,
    "gzip": zipped,
    "early-hints": lambda r, _: replace(r, before=EARLY),
    "trailers": lambda r, _: replace(r, framing="chunked", trailers=[("x-digest", "stillwater")]),
    "huge-headers": header_bytes,
    "huge": huge,
    "400": failing(400),
    "401": failing(401),
    "403": failing(403),
    "404": failing(404),
    "429": failing(429, ("retry-after", "7")),
    "500": failing(500),
    "502": failing(502),
    "503": failing(503, ("retry-after", "1")),
    "529": failing(529),
}


def damaged(reply: Reply, faults: str) -> Reply:
    """Return `reply` after every fault of a comma-separated list. Raises: KeyError for an unknown one."""
    for fault in filter(None, (part.strip() for part in faults.split(","))):
        name, _, value = fault.partition("=")
        reply = FAULTS[name](reply, value)
    return reply
