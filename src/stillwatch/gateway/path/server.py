"""The clients' side: a connection, its requests in order, the bytes that go back."""

import asyncio
import logging
import re
import socket
from collections import Counter, deque
from ipaddress import IPv6Address, ip_address
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import httptools

from stillwatch.gateway import logs
from stillwatch.gateway.counters import PLACE
from stillwatch.gateway.path.gate import Gate
from stillwatch.gateway.path.known_names import KnownNames
from stillwatch.gateway.path.upstream import Header
from stillwatch.gateway.probe import BACKLOG

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD_BYTES = 64 << 10
HEAD_FIELDS = 200
PIECES = 256  # of a body that are kept separately: one-byte chunks would take thirty times their size
FREE_CHUNKS, CHUNK_BYTES = 50_000, 64  # of a body; beyond, one per so many bytes: each delays all by 1.5 µs
PIPELINED = 16  # whole requests that may wait behind the current one
HEAD_S = 30.0  # for a head, and between two pieces of a body
IDLE_S = 75.0  # of an idle connection
RETRY_S = 2
PARKED_S = 5.0  # how long a request waits for others of its address
TOLD_AGAIN_S = 60.0  # how often it is logged that an address is at its limit
# Polls without a new byte that close a connection when the worker ends; fewer may reset a request on its way.
# Counted, not timed: what arrives while a process is suspended is read only after the next poll.
LAST_LOOKS = 20
LOOK_S = 0.05
LONGEST_LOOK_S = 1.0  # the rest of a longer pause is taken as suspension
STALLED_S = 300.0  # for a client that reads nothing
SLOWEST = 1024  # bytes a second, the least of a request that takes longer than HEAD_S
LINGER_S = 1.0  # a refused client may finish sending: otherwise it is reset before it reads the refusal
TRUSTED_BYTES = 32 << 10  # a longer body is accepted only with a known key
FIRST_BYTE_S = 10.0  # for the first byte of a connection
# a worker's descriptors other than connections: logs, databases, files opened briefly
RESERVED_FILES = 64
ACCEPTED = 32  # connections accepted in one go, before others have their turn
GRACE_S = 0.2  # how long a new connection is safe from being closed for another
LOOKED_AT = 256  # connections considered, to find one to close
BODIES_BYTES = 512 << 20  # of all bodies that a worker holds
SPARE_BYTES = 64 << 20  # of these, for addresses below their share
UNSENT_BYTES = 256 << 20  # of replies that wait in a worker for clients to read them
_CLIENTS, _BYTES_OUT, _SHED = PLACE["open_clients"], PLACE["bytes_out"], PLACE["shed_clients"]
_ADDRESS = PLACE["refused_address"]
_OFFER = re.compile(rb"\r\nupgrade[ \t]*:[^\r\n]*\r\n", re.IGNORECASE)
LONGEST_KNOWN = 8 << 10  # bytes of a head that is cached
_LENGTH_FIELD = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ?(\d{1,9})(?=\r\n)")
_ANSWERED_EARLY = (b"expect", b"upgrade")  # headers that cause a reply before the request is whole
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
KEY_HEADERS = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key")
_LENGTH, _KEY, _OTHER, _CODING, _EXPECT, _HOST = 1, 2, 3, 4, 5, 6
_NAMED = {b"content-length": _LENGTH, b"transfer-encoding": _CODING, b"expect": _EXPECT, b"host": _HOST}


def _kind(name: bytes) -> int:
    lower = name.lower()
    return _KEY if lower in KEY_HEADERS else _NAMED.get(lower, _OTHER)


_KINDS = KnownNames(_kind)


class Request:
    """One whole request. Its keys are separate from its other headers; its length is not kept."""

    __slots__ = ("body", "headers", "keep_alive", "keys", "method", "modern", "target")

    def __init__(
        self,
        method: str,
        target: str,
        headers: list[Header],
        keys: list[Header],
        body: bytes,
        keep_alive: bool,
        modern: bool,
    ) -> None:
        self.method, self.target, self.headers, self.keys, self.body = method, target, headers, keys, body
        self.keep_alive = keep_alive
        self.modern = modern  # HTTP/1.1: accepts chunks


class KnownHead(NamedTuple):
    """A parsed head, split around the digits of its length, and its request.

    Clients repeat one head on a connection. The same bytes are the same request except for the body, and need
    not be parsed again.
    """

    before: bytes
    after: bytes
    request: Request
    begins: int  # number of bytes before the digits
    ends: int  # and after them

    @staticmethod
    def of(data: bytes, request: Request) -> "KnownHead | None":
        """Return the known head of such a request; None if the request is unusual."""
        end = len(data) - len(request.body)
        head, lengths = data[:end], _LENGTH_FIELD.findall(data, 0, end)
        unusual = (
            len(lengths) != 1
            or end > LONGEST_KNOWN
            or not request.keep_alive
            or not head.endswith(b"\r\n\r\n")
            or head.count(b"\r\n\r\n") != 1
            or head.lower().count(b"content-length") != 1
            or any(name.lower() in _ANSWERED_EARLY for name, _ in request.headers)
        )
        if unusual or int(lengths[0]) != len(request.body) or not data.endswith(request.body):
            return None
        at = head.index(lengths[0], head.lower().index(b"content-length"))
        known = Request(
            request.method, request.target, request.headers, request.keys, b"", True, request.modern
        )
        ends = at + len(lengths[0])
        return KnownHead(head[:at], head[ends:], known, at, end - ends)

    def read(self, data: bytes, longest: int) -> Request | None:
        """Return the request in these bytes; None if the parser has to read them."""
        before, after, known, begins, ends = self
        if not data.startswith(before):
            return None
        at = data.find(b"\r\n", begins)
        digits, body = data[begins:at], at + ends
        size = len(data) - body
        if not (digits.isdigit() and at - begins < 10 and 0 < size <= longest and int(digits) == size):
            return None
        if not data.startswith(after, at):
            return None
        return Request(known.method, known.target, known.headers, known.keys, data[body:], True, known.modern)


class RequestHandler(Protocol):
    """The handler of one request."""

    def begin(self) -> None: ...
    def on_client_lost(self) -> None: ...
    def on_client_slow(self, slow: bool) -> None: ...


class Client(asyncio.Protocol):
    """One client's connection. `knows` decides from a request's head whether its key is known."""

    def __init__(
        self,
        gate: Gate,
        answer: "Callable[[Gate, Client, Request], RequestHandler]",
        knows: "Callable[[Gate, str, Request], object] | None" = None,
    ) -> None:
        self.gate = gate
        self._answer = answer
        self._knows = knows
        self.transport: Any = None
        self.peer: str = ""
        self.now: RequestHandler | None = None  # the exchange in progress
        self._request: Request | None = None  # and its request
        self._waiting: deque[Request] = deque()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._chunked = self._bounded = False
        self._close_after = self._paused = self._modern = False
        self.last_byte = self._slow_since = self._began = gate.loop.time()
        self.slow = False
        self._made_at = gate.loop.time()
        self._answered = False  # one of its requests, with whatever result
        self._looks, self._looked_at = 0, 0.0  # polls while the worker ends, and the last byte then
        self.proven = False  # one of its requests had a valid key
        self.held = 0  # bytes of bodies in memory
        self.network = ""  # its address, for limits
        self._asks = self._lingers = False
        self.parked = False  # its request waits until others of its address are answered
        self.address = ""  # the address charged for its body, if that is long
        self._length = 0  # of the body that its head announces
        self._known_head: KnownHead | None = None  # the last one, if it may be repeated
        self.memory: object = None  # what `answer` found in the last head, for the next identical one
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: list[Header] = []
        self._keys: list[Header] = []
        self._body: list[bytes | bytearray] = []
        self._size = self._head_size = self._length = self._chunks = 0
        self._in_message = self._in_body = self._known = self._expects = self._has_host = False

    # --- asyncio ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.gate.counters[_CLIENTS] += 1
        self.gate.clients.add(self)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else ""
        self.gate.strangers.add(self)
        if self.gate.door is not None:
            self.gate.door.came(self)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.last_byte = self.gate.loop.time()
        if self._close_after:
            return
        if len(data) > HEAD_BYTES and not self._in_body:  # so that the length of every head is checked
            self.data_received(data[:HEAD_BYTES])
            self.data_received(data[HEAD_BYTES:])
            return
        alone = self.now is None and not (self._in_message or self._waiting)  # starts a new request
        known = self._known_head.read(data, self._longest()) if alone and self._known_head else None
        if known is None:
            self._parse(data, alone)
        else:
            self._waiting.append(known)
            self.held += len(known.body)
            self.gate.held_bytes += len(known.body)
        if self.now is None and self._waiting and not self.slow:
            self._next()
        if self._waiting and not self._paused and not self.transport.is_closing():
            self._paused = True  # one in progress and one waiting are enough
            self.transport.pause_reading()

    def _parse(self, data: bytes, alone: bool) -> None:
        begun = self._in_message
        try:
            self._parser.feed_data(data)
            if self._in_message and not self._in_body:
                self._head_size += len(data)
                if self._head_size > HEAD_BYTES:
                    self._refuse(431, b"Request Header Fields Too Large")
            elif alone and len(self._waiting) == 1 and not self._in_message and self._waiting[0].body:
                self._known_head = KnownHead.of(data, self._waiting[0])
        except httptools.HttpParserUpgrade as offer:
            self._decline(b"" if begun else data, offer.args[0])
        except httptools.HttpParserError as why:
            cause = why.__context__
            if isinstance(cause, _TooMuch):
                self._refuse(cause.status, cause.reason)
            else:
                self._refuse(400, b"Bad Request")

    def _decline(self, data: bytes, end: int) -> None:
        """Decline an offer to switch protocols: the request is parsed again without the offer.

        Java's own client makes one (h2c) with its first request.
        """
        head, count = _OFFER.subn(b"\r\n", data[:end])
        if self._waiting.pop().method == "CONNECT" or not count or head.count(b"\r\n\r\n") != 1:
            self._refuse(501, b"Not Implemented")
            return
        self._parser = httptools.HttpRequestParser(self)
        self.data_received(head + data[end:])

    def eof_received(self) -> bool:
        return False  # as nginx: a client that closes its side is not served further

    def connection_lost(self, exc: Exception | None) -> None:
        self.gate.counters[_CLIENTS] -= 1
        self.gate.clients.discard(self)
        self.gate.strangers.discard(self)
        self.release(self.held)
        self._is_answered()
        if self.gate.door is not None:
            self.gate.door.left(self)
        self._waiting.clear()
        self._parser = None  # breaks a reference cycle, so that memory is freed at once
        now, self.now = self.now, None
        if now is not None:
            now.on_client_lost()

    def pause_writing(self) -> None:
        self.slow = True
        self._slow_since = self.gate.loop.time()
        if self.gate.door is not None:
            self.gate.door.waits_for(self)
        if self.now is not None:
            self.now.on_client_slow(True)

    def resume_writing(self) -> None:
        self.slow = False
        self.last_byte = self.gate.loop.time()
        if self.gate.door is not None:
            self.gate.door.waits_no_more(self)
        if self.now is not None:
            self.now.on_client_slow(False)
        elif self._waiting:
            self.gate.loop.call_soon(self.resume)

    # --- httptools -------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._in_message = True
        self._began = self.last_byte

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:  # a trailer: ignored, since it comes after all decisions
            self._head_size += len(name) + len(value)
            if self._head_size > HEAD_BYTES:
                raise _TooMuch(431, b"Request Header Fields Too Large")
            return
        kind = _KINDS[name]
        if kind == _OTHER:
            self._headers.append((name, value))
        elif kind == _KEY:
            self._keys.append((name, value))
        elif kind == _HOST:
            if self._has_host:  # a proxy in front may have read the other one (RFC 9112, section 3.2)
                raise _TooMuch(400, b"Bad Request")
            self._has_host = True
            self._headers.append((name, value))
        elif kind == _CODING:
            if value.lower() != b"chunked":
                raise _TooMuch(501, b"Not Implemented")
        elif kind == _EXPECT:
            self._headers.append((name, value))
            self._expects = value.lower() == b"100-continue"
        else:
            self._length = int(value)
            if self._length > self.gate.terms.capture.max_body_bytes:
                raise _TooMuch(413, b"Content Too Large")

    def on_headers_complete(self) -> None:
        self._in_body = True
        version = self._parser.get_http_version()
        self._modern = version == "1.1"
        if not self._modern and version != "1.0":
            raise _TooMuch(505, b"HTTP Version Not Supported")
        if len(self._headers) + len(self._keys) > HEAD_FIELDS:
            raise _TooMuch(431, b"Request Header Fields Too Large")
        if self._length > TRUSTED_BYTES:
            self._know()
        if self._expects and self.now is None:
            self.transport.write(CONTINUE)

    def _longest(self) -> int:
        """Return the longest body that is accepted before its key is checked."""
        return 0 if self.address else min(TRUSTED_BYTES, self.gate.terms.capture.max_body_bytes)

    def _know(self) -> None:
        """Continue only if the head has a valid key."""
        if not self._known and self._knows is not None:
            who = self._knows(self.gate, self.peer, self._read())
            self._known = bool(who)
            if not self._known:
                raise _TooMuch(401, b"Unauthorized")
            if self.gate.door is not None:
                self.gate.door.holds(self, str(getattr(who, "address", None) or self.peer))

    def prove(self) -> None:
        """Note that a request of this client had a valid key."""
        self.proven = True
        self.gate.strangers.discard(self)

    def _is_answered(self) -> None:
        if self._asks:
            self._asks = False
            self.gate.door.was_answered(self)

    def release(self, size: int) -> None:
        """Count so many bytes of bodies as released."""
        self.held -= size
        self.gate.held_bytes -= size
        if self.address:
            self.gate.door.holds_more(self, -size)
            if not self.held:
                self.address = ""

    @property
    def evictable(self) -> bool:
        """Whether it may be closed for another connection: nothing of it is being answered."""
        waits = self.now is None and (self.parked or not self._waiting)
        return (
            waits
            and (self._lingers or not self._close_after)
            and self._made_at < self.gate.loop.time() - GRACE_S
        )

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        self._chunks += 1
        if self._size > self.gate.terms.capture.max_body_bytes:
            raise _TooMuch(413, b"Content Too Large")
        if self._chunks > FREE_CHUNKS + self._size // CHUNK_BYTES:
            raise _TooMuch(400, b"Chunks Too Small")
        if len(self._body) < PIECES:
            self._body.append(data)
        else:
            if len(self._body) == PIECES:
                self._body.append(bytearray())
            self._body[-1] += data
        self.held += len(data)
        self.gate.held_bytes += len(data)
        if self.address:
            self.gate.door.holds_more(self, len(data))
        if self._size > TRUSTED_BYTES:
            self._know()
            if self.address and self.gate.door.holds_too_much(self):
                raise _TooMuch(503, b"Too Much From This Address")
            if self.gate.held_bytes > BODIES_BYTES:
                raise _TooMuch(503, b"Service Unavailable")

    def _read(self, body: bytes = b"") -> Request:
        return Request(
            self._parser.get_method().decode("ascii", "replace"),
            self._url.decode("latin-1"),
            self._headers,
            self._keys,
            body,
            self._parser.should_keep_alive(),
            self._modern,
        )

    def on_message_complete(self) -> None:
        body = self._body
        self._waiting.append(self._read(bytes(body[0]) if len(body) == 1 else b"".join(body)))
        self._reset()
        if len(self._waiting) > PIPELINED:
            raise _TooMuch(429, b"Too Many Requests")

    # --- requests in order -----------------------------------------------------------------------------

    def _next(self) -> None:
        request = self._waiting.popleft()
        self.parked = False
        if self.gate.door is not None and not self._asks:
            self._asks = self.gate.door.asks(self)
            if not self._asks:
                self._waiting.appendleft(request)
                self.parked = True
                return
        if self._paused and not self._waiting:
            self._paused = False
            self.transport.resume_reading()
        self._request = request
        self.now = self._answer(self.gate, self, request)
        self.now.begin()

    def _refuse(self, status: int, reason: bytes) -> None:
        """Answer something that is not a request, and hang up: what follows cannot be trusted."""
        if self.gate.logs_requests:
            why = reason.decode("ascii", "replace")
            logs.request(logging.INFO, f"{status} refused", status=status, reason=why, address=self.peer)
        self._waiting.clear()
        self._body = []
        self._close_after = True
        if self.now is None and not self.transport.is_closing():
            again = b"retry-after: %d\r\n" % RETRY_S if status in (429, 503) else b""
            text = b'{"error": {"message": "%s", "type": "invalid_request_error", "code": null}}' % reason
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s"
                b"connection: close\r\n\r\n%s" % (status, reason, len(text), again, text)
            )
            self.transport.write_eof()
            self._lingers = True
            self.gate.loop.call_later(LINGER_S, self.transport.close)

    # --- replies ---------------------------------------------------------------------------------------

    def head(self, status: int, reason: bytes, headers: list[Header], length: int | None) -> bytes:
        """Return the head of a reply; `length` None: until it ends. `headers`: without hop-by-hop ones."""
        request = self._request
        assert request is not None
        bare = status in (204, 304) or request.method == "HEAD"
        self._chunked = length is None and request.modern and not bare
        self._bounded = self._chunked or length is not None
        if not request.keep_alive or self.gate.draining or self._close_after:
            self._close_after = True
        if length is None and not request.modern and not bare:
            self._close_after = True
        lines = [b"HTTP/1.1 %d %s" % (status, reason), *map(b": ".join, headers)]
        if length is not None and not bare:
            lines.append(b"content-length: %d" % length)
        elif self._chunked:
            lines.append(b"transfer-encoding: chunked")
        if self._close_after:
            lines.append(b"connection: close")
        lines.append(b"\r\n")
        return b"\r\n".join(lines)

    def send(self, *data: bytes) -> None:
        """Send bytes unchanged."""
        if self.transport.is_closing():
            return
        self.gate.counters[_BYTES_OUT] += sum(map(len, data))
        if len(data) == 1:
            self.transport.write(data[0])
        else:
            self.transport.writelines(data)

    def send_piece(self, data: bytes) -> None:
        """Send a piece of a body, framed as the head announced."""
        transport = self.transport
        if not transport.is_closing():
            if self._chunked and data:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            self.gate.counters[_BYTES_OUT] += len(data)
            transport.write(data)

    def framed(self, data: bytes) -> bytes:
        """Return a piece of a body, framed as the head announced."""
        return b"%x\r\n%s\r\n" % (len(data), data) if self._chunked and data else data

    @property
    def last(self) -> bytes:
        """The end of a body."""
        return b"0\r\n\r\n" if self._chunked else b""

    def done(self) -> None:
        if self._request is not None:
            self.release(len(self._request.body))
        self.now = self._request = None
        self._is_answered()
        self._answered = True
        self.last_byte = self.gate.loop.time()
        if self._close_after:
            self.transport.close()
        elif self._waiting and not self.slow:  # replies to a slow client would accumulate here
            self.gate.loop.call_soon(self.resume)

    def resume(self) -> None:
        if self.now is None and self._waiting and not self.slow and not self.transport.is_closing():
            self._next()

    def cut(self) -> None:
        """Cut a reply that cannot be finished, so that the client sees that it ends too early."""
        if self._request is not None:
            self.release(len(self._request.body))
        self.now = self._request = None
        self._is_answered()
        self._close_after = True
        if self._bounded:
            self.transport.close()  # what was delivered so far arrives
        else:
            self.transport.abort()  # a regular close would look like the reply's end

    def sweep(self, now: float) -> None:
        """Hang up on a client that sends or reads nothing, or too little."""
        if self.slow or self.transport.is_closing():
            if max(self._slow_since, self.last_byte if not self.slow else 0.0) < now - STALLED_S:
                self.transport.abort()
        elif self.now is not None or self._close_after:
            return
        elif self.parked:
            if self.last_byte < now - PARKED_S:
                self._refuse(429, b"Too Many Connections From This Address")
        elif self._in_message:
            late = self._began < now - HEAD_S - self._size / SLOWEST
            if late or self.last_byte < now - HEAD_S:
                self._refuse(408, b"Request Timeout")
        elif self.last_byte < now - (IDLE_S if self._answered else FIRST_BYTE_S):
            self.transport.close()

    def drain(self) -> None:
        """Accept no further request except one on its way; its reply announces that it is the last."""
        waits = self.now is None and not self._in_message and not self._waiting
        is_quiet = waits and self._looked_at == self.last_byte
        self._looks, self._looked_at = self._looks + 1 if is_quiet else 0, self.last_byte
        if self._looks >= LAST_LOOKS:
            self.transport.close()


def sweep_clients(gate: Gate, at_s: float) -> None:
    """Hang up on clients that by a given time had sent or read nothing for too long.

    The time is a moment ago: everything sent by then has been read, even if this process was suspended.
    """
    for client in list(gate.clients):
        client.sweep(at_s)


async def drain_clients(gate: Gate, most_s: float) -> None:
    """Wait, at most so many seconds, until all requests are answered and connections closed. Time in which
    this process is suspended does not count."""
    gate.draining = True
    while (gate.clients or (gate.door is not None and gate.door.opening)) and most_s > 0:
        for client in list(gate.clients):
            client.drain()
        began_s = gate.loop.time()
        await asyncio.sleep(LOOK_S)
        most_s -= min(gate.loop.time() - began_s, LONGEST_LOOK_S)


class Strangers:
    """Connections that have shown no key yet, oldest first, and their number by address."""

    def __init__(self) -> None:
        self._all: dict[Client, None] = {}
        self._of: Counter[str] = Counter()

    def add(self, client: "Client") -> None:
        self._all[client] = None
        self._of[client.peer] += 1

    def discard(self, client: "Client") -> None:
        if client in self._all:
            del self._all[client]
            self._of[client.peer] -= 1
            if not self._of[client.peer]:
                del self._of[client.peer]

    def next(self) -> "Client | None":
        """Return the one to close first: among the oldest, one of the address with the most."""
        oldest = [client for client in islice(self._all, LOOKED_AT) if client.evictable]
        return max(oldest, key=lambda client: self._of[client.peer], default=None)


class Door:
    """Accepts connections, no more than the worker has descriptors for.

    If there is no room, a connection without a key makes room for a new one, then an idle one. Those being
    answered stay; new ones then wait in the kernel's queue. One address is answered on as many as the policy
    allows, and on no more than half of all.
    """

    def __init__(self, gate: Gate, sock: socket.socket, make: "Callable[[], Client]", most: int) -> None:
        self._gate, self._sock, self._make, self._most = gate, sock, make, most
        self._share = max(1, most // 2)  # connections allowed for one address
        self.opening = 0  # accepted, but not yet a client
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = self._closed = False
        self._of: dict[str, dict[Client, None]] = {}  # connections by address, oldest first
        self._crowded: set[str] = set()  # addresses with too many, none of which may be closed yet
        self._bytes: Counter[str] = Counter()  # of long bodies, by address
        self._told: dict[str, float] = {}  # when an address was last logged for a limit
        self._parked: dict[str, dict[Client, None]] = {}  # by address, first come first
        self._asking: Counter[str] = Counter()  # connections on which a request is answered, by address
        # clients that read slowly, oldest first, and the unsent bytes of each, and of all
        self._slow: dict[Client, int] = {}
        self._unsent = 0
        gate.door = self
        self.room()

    def close(self) -> None:
        """Accept the connections that wait, and no more."""
        self._closed = True
        self._pause()
        for _ in range(BACKLOG):
            if not self._take():
                break
        self._sock.close()

    def room(self) -> None:
        """Accept again: there may be room."""
        if not (self._open or self._closed):
            self._open = True
            self._gate.loop.add_reader(self._sock, self._accept)

    def _pause(self) -> None:
        if self._open:
            self._open = False
            self._gate.loop.remove_reader(self._sock)

    def _accept(self) -> None:
        for _ in range(ACCEPTED):
            if len(self._gate.clients) + self.opening >= self._most and not self._make_room():
                self._pause()  # until a connection ends, or may be closed
                self._gate.loop.call_later(GRACE_S / 4, self.room)
                return
            if not self._take():
                return

    def _take(self) -> bool:
        """Accept one connection; return False if there is none, or no descriptor for it."""
        try:
            made, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError:  # no descriptor after all: connections that close make room
            self._pause()
            self._gate.loop.call_later(0.1, self.room)
            return False
        made.setblocking(False)
        self.opening += 1
        task = self._gate.loop.create_task(self._connect(made))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    # --- by address ------------------------------------------------------------------------------------

    def came(self, client: Client) -> None:
        """Note a connection; if its address has many idle ones, make room for it."""
        client.network = _network(client.peer)
        self._of.setdefault(client.network, {})[client] = None
        if client.network not in self._crowded and not self._is_proxy(client.peer):
            self._thin_out(client.network)

    def _thin_out(self, network: str) -> None:
        """Close idle connections of an address that has too many; the newest ones may be closed later."""
        self._crowded.discard(network)
        while (over := len(self._of.get(network, ())) - self._at_most()) > 0:
            idle = [c for c in islice(self._of[network], LOOKED_AT) if c.evictable and not c.parked]
            if not idle:
                self._crowded.add(network)
                self._gate.loop.call_later(GRACE_S, self._thin_out, network)
                return
            for connection in sorted(idle, key=lambda c: (c.proven, c.last_byte))[:over]:
                self._close(connection)

    def left(self, client: Client) -> None:
        self.waits_no_more(client)
        self._forget(client)
        self.room()

    def _forget(self, client: Client) -> None:
        self._unpark(client)
        of_network = self._of.get(client.network, {})
        of_network.pop(client, None)
        if not of_network:
            self._of.pop(client.network, None)

    def _at_most(self) -> int:
        most = self._gate.terms.limits.address.connections
        return most if most < self._share else self._share

    def asks(self, client: Client) -> bool:
        """Note that a request is answered; return False if it has to wait for others of its address."""
        if self._asking[client.network] >= self._at_most() and not self._is_proxy(client.peer):
            self._parked.setdefault(client.network, {})[client] = None
            self._refused(
                client.peer, f"is answered on {self._at_most()} connections to this worker", "connections"
            )
            return False
        self._asking[client.network] += 1
        return True

    def was_answered(self, client: Client) -> None:
        self._asking[client.network] -= 1
        if not self._asking[client.network]:
            del self._asking[client.network]
        parked = self._parked.get(client.network)
        if parked:
            first = next(iter(parked))
            self._unpark(first)
            self._gate.loop.call_soon(first.resume)

    def _unpark(self, client: Client) -> None:
        parked = self._parked.get(client.network, {})
        parked.pop(client, None)
        if not parked:
            self._parked.pop(client.network, None)

    def _is_proxy(self, address: str) -> bool:
        networks = self._gate.terms.identity.trusted_proxies
        return bool(networks) and any(ip_address(address) in network for network in networks)

    def holds(self, client: Client, address: str) -> None:
        """Note the address of a long body that a connection holds."""
        if client.address:
            self.holds_more(client, -client.held)
        client.address = address
        self.holds_more(client, client.held)

    def holds_more(self, client: Client, size: int) -> None:
        network = _network(client.address)
        self._bytes[network] += size
        if not self._bytes[network]:
            del self._bytes[network]

    def holds_too_much(self, client: Client) -> bool:
        """Return whether an address has more bytes here than its share, and little is left for others."""
        held = self._bytes[_network(client.address)]
        left = BODIES_BYTES - self._gate.held_bytes
        if held <= self._gate.terms.limits.address.body_bytes or left >= SPARE_BYTES:
            return False
        self._refused(client.address, f"has {held:,} bytes of bodies at this worker", "body_bytes")
        return True

    def waits_for(self, client: Client) -> None:
        """Note how much waits for a client to read it; make room if all clients together exceed the limit."""
        size = client.transport.get_write_buffer_size()
        self._slow[client] = size
        self._unsent += size
        if self._unsent > UNSENT_BYTES:
            self._gate.loop.call_soon(self._cut_slowest)

    def waits_no_more(self, client: Client) -> None:
        self._unsent -= self._slow.pop(client, 0)

    def _cut_slowest(self) -> None:
        """Close connections of the address with the most unsent bytes, starting with the longest slow."""
        unsent: Counter[str] = Counter()
        of_network: dict[str, deque[Client]] = {}
        for client in self._slow:
            self._slow[client] = client.transport.get_write_buffer_size()
            unsent[client.network] += self._slow[client]
            of_network.setdefault(client.network, deque()).append(client)
        self._unsent = sum(self._slow.values())
        while self._unsent > UNSENT_BYTES:
            [(network, size)] = unsent.most_common(1)
            client = of_network[network].popleft()
            unsent[network] -= self._slow[client]
            self.waits_no_more(client)
            self._gate.counters[_SHED] += 1
            client.transport.abort()
            self._tell(client.peer, f"leaves {size:,} bytes of replies unread: its connections were closed.")

    def _refused(self, address: str, what: str, setting: str) -> None:
        self._gate.counters[_ADDRESS] += 1
        proxy = " If it is a proxy, name it in identity.trusted_proxies." if setting == "connections" else ""
        self._tell(address, f"{what}: it gets no more ([limits.address] {setting} in the terms).{proxy}")

    def _tell(self, address: str, what: str) -> None:
        """Log what an address has too much of, at most once in `TOLD_AGAIN_S`."""
        now = self._gate.loop.time()
        if self._told.get(address, -TOLD_AGAIN_S) > now - TOLD_AGAIN_S:
            return
        if len(self._told) >= LOOKED_AT:
            self._told.clear()
        self._told[address] = now
        logs.tell(f"address {address} {what}")

    async def _connect(self, made: socket.socket) -> None:
        try:
            await self._gate.loop.connect_accepted_socket(self._make, made)
        except OSError:
            made.close()
        finally:
            self.opening -= 1

    def _make_room(self) -> bool:
        """Close one connection to make room for another; it is freed at once."""
        gate = self._gate
        idle_client = gate.strangers.next()
        if idle_client is None:
            idle = (client for client in gate.clients if client.evictable and not client.slow)
            idle_client = min(idle, key=lambda client: client.last_byte, default=None)
        if idle_client is None:
            return False
        self._close(idle_client)
        return True

    def _close(self, client: Client) -> None:
        self._gate.counters[_SHED] += 1
        self._gate.strangers.discard(client)
        self._gate.clients.discard(client)
        self._forget(client)
        client.transport.abort()


class _TooMuch(Exception):
    def __init__(self, status: int, reason: bytes) -> None:
        super().__init__(reason.decode())
        self.status, self.reason = status, reason


def _network(address: str) -> str:
    """Return the network that counts as one address: of IPv6 the 64 bits that one customer has."""
    if ":" not in address:
        return address
    ip = ip_address(address.partition("%")[0])
    assert isinstance(ip, IPv6Address)
    return str(ip.ipv4_mapped or ip.packed[:8].hex())
