"""Limits on connections to the admin port: their number, a request's duration, the size of its head.

Callers without a token are served here too (`/health`), by the process that supervises all others. So nobody
may use up its descriptors or its memory, or the workers would end with it.

It supports HTTP/1 only: an offer of another protocol (h2c, WebSocket) is answered as if it were absent. The
parser takes what follows an offer for another request, even if it is the request's body.
"""

import asyncio
import resource
import sys

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stillwatch.gateway.admin.guard import LARGEST_BODY

MOST = 100  # connections at once
RESERVED_FILES = 128  # descriptors of the supervisor that are not connections here
BACKLOG = 32  # accepted at once, and waiting in the kernel: this many may exceed MOST for a moment
REQUEST_S = 20.0  # for a whole request, from its first byte or the connection's start
PIPELINED = 16  # requests that may wait behind the present one, as on the clients' port
HEAD_BYTES = 64 << 10
FIELD_BYTES = 64  # memory of a field besides its text
LARGEST_REQUEST = 4 * LARGEST_BODY  # as received: chunks add to a body


def most_connections() -> int:
    """Return the most connections allowed: fewer if descriptors are scarce."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(8, min(MOST, (files - RESERVED_FILES) // 2))


class AdminConnection(HttpToolsProtocol):
    """A connection. Beyond the most, the longest-idle connection without an answer in progress is closed."""

    _clock: asyncio.TimerHandle | None = None  # runs until a request is complete
    _in_head = _asked = False  # _asked: the head of a request was read
    _size = _fields = 0  # bytes of the request so far, and of its fields as stored
    _data = b""  # being parsed
    _declined: tuple[bytes, bytes] | None = None  # of `_data`: a head without its offer, and what follows
    last_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.last_s = self.loop.time()
        self._start_clock()
        others = [c for c in self.connections if isinstance(c, AdminConnection) and c is not self]
        over = len(others) + 1 - most_connections()
        if over > 0:
            idle = sorted((c for c in others if c.waits()), key=lambda c: c.last_s)
            for connection in idle[:over] or [self]:
                connection.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def waits(self) -> bool:
        """Return whether no answer is in progress. Incomplete requests and unread answers do not count."""
        if not self._asked:
            return True
        return self.cycle.response_complete or self.cycle.more_body or self.flow.write_paused

    def drop(self) -> None:
        """Close it now, whatever it was about to send."""
        self._stop_clock()
        self.connections.discard(self)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self.last_s = self.loop.time()
        if self._clock is None and self.waits():
            self._start_clock()
        self._size += len(data)
        was_in_head = self._in_head
        self._read(data)
        if self._size > (HEAD_BYTES if was_in_head and self._in_head else LARGEST_REQUEST):
            self.drop()

    def _read(self, data: bytes) -> None:
        self._data, self._declined = data, None
        super().data_received(data)
        if self._declined is not None:
            for part in filter(None, self._declined):
                super().data_received(part)

    def _should_upgrade(self) -> bool:
        return True  # so that uvicorn starts no answer, and passes each offer to the next method

    def handle_websocket_upgrade(self) -> None:
        """Decline an offer of another protocol: the request is parsed again without it."""
        offer = sys.exception()
        if self._declined is not None or self.scope["method"] == "CONNECT" or offer is None:
            self.send_400_response("Invalid HTTP request received.")  # no proper client offers twice
            return
        first = f"{self.scope['method']} ".encode() + self.url
        fields = [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        version = self.scope.get("http_version", "1.1").encode()
        head = b"%b HTTP/%b\r\n%b\r\n" % (first, version, b"".join(fields))
        self._declined = head, self._data[offer.args[0] :]

    def on_message_begin(self) -> None:
        self._in_head, self._size, self._fields = True, 0, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += len(name) + len(value) + FIELD_BYTES
        if self._fields > HEAD_BYTES:  # also after a body
            raise ValueError("its head is too long")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if len(self.pipeline) >= PIPELINED:  # the parser reads on in received data, even while paused
            raise ValueError("too many requests wait")
        super().on_headers_complete()
        self._asked = self.cycle is not None

    def on_message_complete(self) -> None:
        self._stop_clock()
        super().on_message_complete()

    def _start_clock(self) -> None:
        self._clock = self.loop.call_later(REQUEST_S, self.drop)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
