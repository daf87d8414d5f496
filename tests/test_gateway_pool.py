"""The pool of connections to the upstream, in a process that pauses."""

import asyncio
import socket
import time
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from stillwatch.gateway.counters import NAMES
from stillwatch.gateway.path import upstream
from stillwatch.gateway.path.upstream import Connection, ConnectionPool, Header, Target
from stillwatch.gateway.path.worker import Worker


def pool(loop: Any, port: int = 9) -> ConnectionPool:
    counters = memoryview(bytearray(8 * len(NAMES))).cast("q")
    return ConnectionPool(Target(f"http://127.0.0.1:{port}"), loop, counters, None)


class Line:
    """A transport that only records whether it was closed, and how many of its bytes wait."""

    closed = False
    unsent = 0

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def write(self, data: bytes) -> None: ...

    def get_write_buffer_size(self) -> int:
        return self.unsent


class Reply:
    """Records what an exchange is notified of."""

    def __init__(self) -> None:
        self.status, self.body, self.ended, self.lost = 0, b"", False, ""

    def on_head(self, status: int, reason: bytes, headers: list[Header]) -> None:
        self.status = status

    def on_data(self, data: bytes) -> None:
        self.body += data

    def on_end(self) -> None:
        self.ended = True

    def on_lost(self, why: str, untouched: bool) -> None:
        self.lost = why


def reply_to(*pieces: bytes, head_only: bool = False, unsent: int = 0) -> tuple[Reply, Line, ConnectionPool]:
    """Return what a connection makes of the bytes that an upstream sends."""
    connections, line, reply = pool(SimpleNamespace(time=lambda: 100.0)), Line(), Reply()
    connection = Connection(connections)
    connection.connection_made(line)
    connection.send(b"GET / HTTP/1.1\r\n\r\n", b"", reply, head_only=head_only)
    line.unsent = unsent
    for piece in pieces:
        if not line.closed:
            connection.data_received(piece)
    return reply, line, connections


HIDDEN = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhidden"


@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found"])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_reply_to_head_has_no_body_whatever_comes(status: bytes, is_chunked: bool) -> None:
    """Bytes after its head would become the client's next reply."""
    framing, body = b"content-length: %d" % len(HIDDEN), HIDDEN
    if is_chunked:
        framing, body = b"transfer-encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
    head = b"HTTP/1.1 %b\r\n%b\r\n\r\n" % (status, framing)
    for pieces in ((head + body,), (head[:9], head[9:] + body), (head, body)):
        reply, _, _ = reply_to(*pieces, head_only=True)
        assert (reply.status, reply.body, reply.ended, reply.lost) == (int(status[:3]), b"", True, "")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 000 Odd\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 099 Odd\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * upstream.HEAD_BYTES,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * (upstream.HEAD_BYTES // 5),
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * (upstream.HEAD_BYTES // 30),
    ],
    ids=["no status", "a small status", "a coding nobody hears of", "a long head", "many fields", "hints"],
)
def test_a_head_that_is_no_reply_s_or_has_no_end_is_a_lost_reply(head: bytes) -> None:
    reply, line, _ = reply_to(*(head[at : at + 65_536] for at in range(0, len(head), 65_536)))
    assert (reply.status, reply.ended, line.closed) == (0, False, True)
    assert reply.lost


def test_a_reply_before_its_request_was_sent_whole_is_the_last_of_its_connection() -> None:
    """The next request would wait behind the rest of a body that nobody reads."""
    for unsent in (0, 1):
        reply, line, connections = reply_to(HIDDEN, unsent=unsent)
        assert (reply.body, reply.ended, line.closed) == (b"hidden", True, bool(unsent))
        assert (connections.idle() is None) == bool(unsent)


def test_a_connection_that_lay_idle_in_a_pause_is_not_used_again() -> None:
    """The upstream has closed it meanwhile, which is noticed only after the next request was written."""
    clock = SimpleNamespace(now=100.0)
    connections = pool(SimpleNamespace(time=lambda: clock.now))
    lines = [Line(), Line()]
    for line in lines:
        connection = Connection(connections)
        connection.transport = line
        connections.take_back(connection)
    clock.now += upstream.IDLE_S / 2
    used = connections.idle()
    assert used is not None
    connections.take_back(used)
    clock.now += 10
    assert connections.idle() is None
    assert [line.closed for line in lines] == [True, True]


@pytest.mark.slow
def test_a_pause_does_not_pass_for_an_upstream_that_takes_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upstream, "CONNECT_S", 2)

    async def connect(port: int) -> str:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[tuple[Connection | None, str]] = loop.create_future()
        pool(loop, port).connect(lambda made, why: ready.set_result((made, why)))
        await asyncio.sleep(0)  # it has started
        time.sleep(2.5)  # the process pauses
        made, why = await ready
        if made is not None:
            made.close()
            await asyncio.sleep(0.1)
        return why if made is None else "connected"

    with (
        socket.create_server(("127.0.0.1", 0)) as door,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as r,
    ):
        assert r.run(connect(door.getsockname()[1])) == "connected"


@pytest.mark.slow
def test_an_upstream_that_takes_no_connection_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "CONNECT_S", 1)

    async def connect() -> tuple[Connection | None, str]:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[tuple[Connection | None, str]] = loop.create_future()
        connections = pool(loop)

        async def wait(*_: object, **__: object) -> None:
            await asyncio.sleep(60)

        stuck = SimpleNamespace(create_task=loop.create_task, create_connection=wait)
        monkeypatch.setattr(connections, "loop", stuck)
        connections.connect(lambda made, why: ready.set_result((made, why)))
        return await ready

    assert asyncio.run(connect()) == (None, "the upstream took no connection within 1 s")


def test_an_upstream_whose_name_is_none_is_told() -> None:
    """Otherwise the client waits for ever."""

    async def connect() -> tuple[Connection | None, str]:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[tuple[Connection | None, str]] = loop.create_future()
        connections = pool(loop)
        connections.target = Target("http://a..example")
        connections.connect(lambda made, why: ready.set_result((made, why)))
        return await asyncio.wait_for(ready, 10)

    assert asyncio.run(connect()) == (None, "the upstream takes no connection: UnicodeError")


@pytest.mark.parametrize("look", ["_tables", "_second"])
def test_a_look_that_fails_is_not_the_last_one(look: str) -> None:
    """Otherwise this worker would never learn of a revoked key."""

    def fail() -> None:
        raise KeyError("revision")

    later: list[Any] = []
    loop = SimpleNamespace(call_later=lambda _, do, *__: later.append(do), time=lambda: 0.0)
    worker: Any = SimpleNamespace(
        loop=loop, follower=SimpleNamespace(poll=fail), terms=SimpleNamespace(poll=fail)
    )
    worker._tables = worker._second = worker._sweep = lambda: None
    with pytest.raises(KeyError):
        getattr(Worker, look)(worker)
    assert getattr(worker, look) in later


def test_a_connection_counts_once_from_its_beginning_on() -> None:
    """Clients that arrive in a burst get all permitted connections, not only half of them."""
    most = 40
    refusals: list[str] = []
    made: list[str] = []
    theirs: list[asyncio.StreamWriter] = []

    async def burst() -> None:
        server = await asyncio.start_server(lambda reader, writer: theirs.append(writer), "127.0.0.1", 0)
        async with server:
            connections = pool(asyncio.get_running_loop(), server.sockets[0].getsockname()[1])
            connections.most = most

            def ready(connection: Connection | None, why: str) -> None:
                (made if connection else refusals).append(why)
                if len(made) <= most // 2:  # later ones arrive while the first connections are being made
                    connections.connect(ready)

            for _ in range(most // 2):
                connections.connect(ready)
            while len(made) + len(refusals) < most:
                await asyncio.sleep(0.01)
            connections.close()
            for writer in theirs:
                writer.close()
                await writer.wait_closed()

    asyncio.run(asyncio.wait_for(burst(), 30))
    assert refusals == []
