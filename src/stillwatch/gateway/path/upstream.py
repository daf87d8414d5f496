"""Connections to the upstream: kept open, lent to exchanges, taken back."""

import asyncio
import ssl
from collections.abc import Callable
from operator import itemgetter
from typing import Any, Protocol
from urllib.parse import urlsplit

import httptools

from stillwatch.gateway.counters import PLACE
from stillwatch.gateway.path.known_names import KnownNames

IDLE_S = 4.0  # uvicorn and Node close an idle connection after 5 s; the gateway closes it first
RACE_S = 1.0  # a reused connection that ends this soon after a write was already being closed
MOST = 8192  # connections of one worker
CONNECT_S = 10
HEAD_BYTES = 256 << 10  # of a reply, with the informational replies before it
_OPEN, _CONNECTS, _REUSED = PLACE["open_upstreams"], PLACE["upstream_connects"], PLACE["upstream_reused"]

Header = tuple[bytes, bytes]
OURS = b"x-stillwatch-"  # headers that only the gateway may set
HOP = frozenset(
    (
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization",
        b"te", b"trailer", b"transfer-encoding", b"upgrade", b"content-length",
    )
)  # fmt: skip
# The role of a reply's header: from LENGTH on, hop by hop
PASSED, SET_BY_US, CONTENT_TYPE, CONTENT_CODING, LOCATION, LENGTH, CODING, CONNECTION, ANY_HOP = range(9)
_READ = {
    b"content-type": CONTENT_TYPE, b"content-encoding": CONTENT_CODING, b"location": LOCATION,
    b"content-length": LENGTH, b"transfer-encoding": CODING, b"connection": CONNECTION,
}  # fmt: skip


def _kind_of(name: bytes) -> int:
    lower = name.lower()
    if lower.startswith(OURS):
        return SET_BY_US
    return _READ.get(lower, ANY_HOP if lower in HOP else PASSED)


REPLY_HEADERS = KnownNames(_kind_of)
_kind_by_name, _name_of = REPLY_HEADERS.__getitem__, itemgetter(0)


class Target:
    """The destination of requests: one origin and a path prefix."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.tls = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.tls else 80)
        self._prefix = parts.path.rstrip("/")
        shown = f"[{self.host}]" if ":" in self.host else self.host
        self._usual = self.port == (443 if self.tls else 80)
        shown += "" if self._usual else f":{self.port}"
        self.authority = shown.encode("ascii" if shown.isascii() else "idna")

    def is_at(self, netloc: str) -> bool:
        """Return whether an address has this host and port, with either scheme."""
        try:
            parts = urlsplit("//" + netloc)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return False
        return host.rstrip(".") == self.host and port in ((None, 80, 443) if self._usual else (self.port,))

    def path(self, target: str) -> str:
        """Return the upstream's path for a client's. A `/v1` in both is used once."""
        if self._prefix and (target == self._prefix or target.startswith(self._prefix + "/")):
            return target
        last = self._prefix.rpartition("/")[2]
        if last and (target == f"/{last}" or target.startswith(f"/{last}/")):
            return self._prefix + target[len(last) + 1 :]
        return self._prefix + target


class Asker(Protocol):
    """The receiver of a reply."""

    def on_head(self, status: int, reason: bytes, headers: list[Header]) -> None: ...
    def on_data(self, data: bytes) -> None: ...
    def on_end(self) -> None: ...
    def on_lost(self, why: str, untouched: bool) -> None: ...


class Connection(asyncio.Protocol):
    """One connection. `asker` is the exchange that it serves now."""

    def __init__(self, pool: "ConnectionPool") -> None:
        self.pool = pool
        self.asker: Asker | None = None
        self.transport: Any = None
        self.idle_since = 0.0
        self.last_byte = 0.0
        self.reused = False
        self.held = False
        self._began = False  # a byte of this reply has arrived
        self.heard = False  # one has arrived since the last check for silent upstreams
        self._parser: Any = None
        self._parts: list[bytes] = []  # of the body, from the latest bytes
        self.on_body = self._parts.append  # for httptools, at each chunk: a method would cost another call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.pool.counters[_OPEN] += 1
        self.pool.count_open(self)

    def send(self, head: bytes, body: bytes, asker: Asker, *, head_only: bool) -> None:
        """Send a request. A reply to HEAD has no body, whatever its head says."""
        self.asker = asker
        self.last_byte = self.pool.loop.time()
        self._began = self.heard = self._done = self._headed = self._framed = self._keep = False
        self._head_only = head_only
        self._headers: list[Header] = []
        self._reason = b""
        self._head_size = 0
        self._parts.clear()
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        if body and self.pool.tls:
            self.transport.write(head + body)  # one record instead of two
        elif body:
            self.transport.writelines((head, body))
        else:
            self.transport.write(head)

    # --- asyncio ---------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        asker = self.asker
        if asker is None:  # bytes without a request
            self.close()
            return
        self._began = self.heard = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("the upstream switched protocols")
            return
        except httptools.HttpParserError as why:
            if not self._done:
                if self._parts:
                    asker.on_data(self._take_parts())
                self._fail(f"the upstream's reply cannot be read: {why}")
                return
            self.close()  # it continued after its reply: the reply counts, the connection is not reused
        if self.asker is not asker:
            return
        if not self._headed:
            self._head_size += len(data)
            if self._head_size > HEAD_BYTES:
                self._fail("the head of the upstream's reply has no end")
                return
        if self._head_only:  # the client expects no body; some servers send one
            self._parts.clear()
        if parts := self._parts:
            data = parts.pop() if len(parts) == 1 else self._take_parts()
            asker.on_data(data)
        if self._done and self.asker is asker:
            self._finish()

    def _take_parts(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data

    def connection_lost(self, exc: Exception | None) -> None:
        self.pool.counters[_OPEN] -= 1
        self.pool.forget(self)
        self._parser = None  # breaks a reference cycle, so that memory is freed at once
        asker, self.asker = self.asker, None
        if asker is None:
            return
        if exc is None and self._headed and not self._framed:  # a body that ends with its connection
            asker.on_end()
        elif self._began:
            asker.on_lost("the upstream hung up in the middle of its reply", False)
        else:
            soon = self.pool.loop.time() - self.last_byte < RACE_S
            asker.on_lost("the upstream hung up without a reply", self.reused and soon)

    def pause_writing(self) -> None:
        """Do nothing: the request's body is in memory already, and bounded."""

    def resume_writing(self) -> None: ...

    # --- httptools -------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._done:
            raise ValueError("a second reply")  # without a request: the connection is not used again

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        headers, self._headers = self._headers, []
        if status < 200:
            if status < 100:
                raise ValueError("no status")
            return
        self._headed = True
        kinds = set(map(_kind_by_name, map(_name_of, headers)))  # a loop takes four times as long
        self._framed = LENGTH in kinds or CODING in kinds
        if CODING in kinds:
            codings = {value.lower() for name, value in headers if REPLY_HEADERS[name] == CODING}
            if codings != {b"chunked"}:  # the client would not learn of another coding
                raise ValueError("transfer-encoding")
        if self.asker is not None:
            self.asker.on_head(status, self._reason, headers)
        if self._head_only:
            self._done = True

    def on_message_complete(self) -> None:
        if self._headed:
            self._done = True
            self._keep = self._parser.should_keep_alive()
        else:  # 100 Continue and similar ones
            self._reason = b""

    # ---------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        asker, self.asker = self.asker, None
        # if the reply came before the whole request was sent, the connection is not reused
        keep = self._keep and not (self.transport.is_closing() or self.transport.get_write_buffer_size())
        if self._head_only:
            self._parser = None  # it may wait for the body that a reply to HEAD announces
        if keep:
            if self.held:
                self.hold(False)
            self.pool.take_back(self)
        else:
            self.close()
        if asker is not None:
            asker.on_end()

    def _fail(self, why: str) -> None:
        asker, self.asker = self.asker, None
        self.abort()
        if asker is not None:
            asker.on_lost(why, False)

    def hold(self, held: bool) -> None:
        """Stop reading until the client has taken what was read, or continue."""
        self.held = held
        self.last_byte = self.pool.loop.time()
        if not self.transport.is_closing():
            self.transport.pause_reading() if held else self.transport.resume_reading()

    def drop(self) -> None:
        """Drop the connection: its exchange ended before the reply did."""
        self.asker = None
        self.abort()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


Ready = Callable[[Connection | None, str], None]


class ConnectionPool:
    """Open connections to one upstream. The last one used is used next, so that the others can go idle."""

    def __init__(
        self,
        target: Target,
        loop: asyncio.AbstractEventLoop,
        counters: memoryview,
        context: ssl.SSLContext | None,
    ) -> None:
        self.target, self.loop, self.counters = target, loop, counters
        self._context = context
        self.tls = context is not None
        self.most = MOST
        self._idle: list[Connection] = []
        self.open: set[Connection] = set()
        self._connecting: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def idle(self) -> Connection | None:
        """Return an open, unused connection; those idle for too long are closed."""
        oldest_s = self.loop.time() - IDLE_S
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since < oldest_s:
                connection.close()
            elif not connection.transport.is_closing():
                connection.reused = True
                self.counters[_REUSED] += 1
                return connection
        return None

    def connect(self, ready: Ready) -> None:
        """Open a connection; `ready` receives it, or None and the reason."""
        if len(self.open) + len(self._connecting) >= self.most:
            ready(None, f"{self.most:,} connections to the upstream are open")
            return
        connection = Connection(self)
        self._connecting.add(connection)
        task = self.loop.create_task(self._connect(connection, ready))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def count_open(self, connection: Connection) -> None:
        """Count a connection as open, no longer as connecting: otherwise a burst would count it twice."""
        self._connecting.discard(connection)
        self.open.add(connection)

    async def _connect(self, connection: Connection, ready: Ready) -> None:
        made: Connection | None = None
        why = f"the upstream took no connection within {CONNECT_S} s"
        making = self.loop.create_task(
            self.loop.create_connection(
                lambda: connection,
                self.target.host,
                self.target.port,
                ssl=self._context,
                server_hostname=self.target.host if self._context else None,
            )
        )
        for _ in range(CONNECT_S):  # polls of a second: suspension of this process does not count
            if (await asyncio.wait((making,), timeout=1.0))[0]:
                break
        else:
            making.cancel()
        try:
            _, made = await making
            self.counters[_CONNECTS] += 1
            if made.transport.is_closing():  # lost before its exchange could use it
                made, why = None, "the upstream hung up at once"
        except asyncio.CancelledError:
            if not making.cancelled():  # then this task was cancelled
                raise
        except (OSError, ValueError) as error:  # ValueError: an invalid name
            reason = getattr(error, "strerror", None) or type(error).__name__
            why = f"the upstream takes no connection: {reason}"
        self._connecting.discard(connection)
        ready(made, why)

    def take_back(self, connection: Connection) -> None:
        connection.idle_since = self.loop.time()
        self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        self.open.discard(connection)
        if connection.asker is None and connection in self._idle:
            self._idle.remove(connection)

    def sweep(self, now: float, silent_s: float) -> None:
        """Close idle connections, and give up on replies that have gone silent."""
        while self._idle and self._idle[0].idle_since < now - IDLE_S:
            self._idle.pop(0).close()
        for connection in self.open:
            if connection.heard:
                connection.heard, connection.last_byte = False, now
        for connection in [c for c in self.open if c.asker and not c.held and c.last_byte < now - silent_s]:
            connection._fail(f"the upstream said nothing for {silent_s:.0f} s")

    def close(self) -> None:
        for connection in list(self.open):
            connection.close()
