"""Connections to the admin port: how many there are, how long a request is in coming, how long its head.

Who has shown no token is served here (`/health`), by the process that keeps all others running. So nobody may
use up its descriptors or its memory, or the workers would end with it. It reads no request.

It speaks HTTP/1 alone: who offers another protocol (h2c, WebSocket) is answered as if nothing had been
offered. The parser takes what follows an offer for another request, also where it is the request's body.
"""

import asyncio
import resource
import sys

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stillwatch.gateway.admin.guard import LARGEST_BODY

MOST = 100  # connections at once
RESERVED_FILES = 128  # descriptors of the supervisor that are no connection here
BACKLOG = 32  # accepted at once, and waiting in the kernel: so many may be beyond MOST for a moment
REQUEST_S = 20.0  # for a whole request, from its first byte or the connection's
PIPELINED = 16  # requests that may wait behind the one at work, as on the clients' port
HEAD_BYTES = 64 << 10
FIELD_BYTES = 64  # that a field takes beside its text
LARGEST_REQUEST = 4 * LARGEST_BODY  # as it comes: chunks add to a body


def most_connections() -> int:
    """Give how many connections there may be: fewer where descriptors are scarce."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(8, min(MOST, (files - RESERVED_FILES) // 2))


class AdminConnection(HttpToolsProtocol):
    """A connection. One beyond the most closes one on which nothing is answered, the longest silent first."""

    _clock: asyncio.TimerHandle | None = None  # runs while a request is in coming
    _in_head = _asked = False  # _asked: the head of a request was read
    _size = _fields = 0  # bytes of the request so far, and of its fields as they are kept
    _data = b""  # what is being read
    _declined: tuple[bytes, bytes] | None = None  # of it: a head without its offer, and what follows
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
        """Whether nothing is answered on it: a request that is not whole, or an answer that nobody takes,
        counts for nothing."""
        if not self._asked:
            return True
        return self.cycle.response_complete or self.cycle.more_body or self.flow.write_paused

    def drop(self) -> None:
        """Close it now, whatever it was about to say."""
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
        return True  # so that uvicorn begins no answer, and hands each offer to what follows

    def handle_websocket_upgrade(self) -> None:
        """Decline an offer of another protocol: the request is read again without it."""
        offer = sys.exception()
        if self._declined is not None or self.scope["method"] == "CONNECT" or offer is None:
            self.send_400_response("Invalid HTTP request received.")  # nobody offers twice in one breath
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
        if self._fields > HEAD_BYTES:  # also behind a body
            raise ValueError("its head is too long")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if len(self.pipeline) >= PIPELINED:  # the parser reads on in what has come, however it waits
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
