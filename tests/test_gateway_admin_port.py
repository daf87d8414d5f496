"""The admin port under clients without a token: it shares a process with the supervisor."""

import asyncio
import http.client
import resource
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

import pytest

from gateway_world import free_port, until
from served import Served, cpu_s, served
from stillwatch.gateway.admin import connections
from stillwatch.gateway.heartbeat import rss_bytes
from stillwatch.gateway.probe import bind
from stillwatch.gateway.serving import AdminServer
from upstream import Upstream

slow_began, slow_may_end = threading.Event(), threading.Event()


async def answer(scope: Any, receive: Any, send: Any) -> None:
    body, more_follows = b"", True
    while more_follows:
        message = await receive()
        body += message.get("body", b"")
        more_follows = message.get("more_body", False)
    if scope["path"] == "/slow":
        slow_began.set()
        while not slow_may_end.is_set():
            await asyncio.sleep(0.01)
    said = body if scope["path"] == "/echo" else b"ok"
    length = str(len(said)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": said})


@contextmanager
def admin_port() -> Iterator[int]:
    port = free_port()
    door = bind("127.0.0.1", port, "admin_port")
    server = AdminServer(answer, door, print)  # type: ignore[arg-type]  # any ASGI app
    slow_began.clear()
    slow_may_end.clear()
    thread = server.start()
    try:
        until(lambda: get(port) == 200, what="the port")
        yield port
    finally:
        slow_may_end.set()
        server.stop()
        thread.join(10)
        door.close()


@pytest.fixture(scope="module")
def shared_port() -> Iterator[int]:
    """Provide an admin port as it is. No test may ask it for /slow."""
    with admin_port() as port:
        yield port


def get(port: int, path: str = "/") -> int:
    with suppress(OSError), closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status
    return 0


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 20)


def hung_up(connection: socket.socket) -> bool:
    """Wait until the other side closes the connection; return whether it sent nothing before."""
    connection.settimeout(20)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_idle_connections_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST", 10)
    with admin_port() as port, ExitStack() as idle:
        lying = [idle.enter_context(connect(port)) for _ in range(25)]
        for _ in range(5):
            assert get(port) == 200
        assert hung_up(lying[0])  # the connection idle for longest is closed first


def test_what_is_answered_is_closed_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST", 10)
    monkeypatch.setattr(connections, "REQUEST_S", 0.2)
    with admin_port() as port, ExitStack() as idle, closing(connect(port)) as slow:
        slow.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        assert slow_began.wait(60)
        for lying in [idle.enter_context(connect(port)) for _ in range(25)]:
            assert hung_up(lying)  # also those for whom there was room: they sent nothing in time
        slow_may_end.set()
        assert slow.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize(
    "said", [b"", b"GET / HT", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf"]
)
def test_who_does_not_finish_a_request_is_hung_up_on(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 0.2)
    with admin_port() as port, closing(connect(port)) as connection:
        connection.sendall(said)
        assert hung_up(connection)


HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /", b"a" * 65_536),
        (HEAD + b"x: ", b"a" * 65_536),
        (HEAD, b"x: y\r\n" * 10_000),
        (CHUNKED + b"0\r\n", b"x: y\r\n" * 10_000),
        (CHUNKED + b"0\r\nx: ", b"a" * 65_536),
        (CHUNKED, b"1\r\na\r\n" * 10_000),
    ],
    ids=["target", "field", "fields", "trailers", "trailer", "chunks"],
)
def test_nobody_makes_it_hold_much(shared_port: int, begin: bytes, piece: bytes) -> None:
    with closing(connect(shared_port)) as connection:
        sent = 0
        with suppress(ConnectionError):
            connection.sendall(begin)
            while sent < 64 << 20:
                connection.sendall(piece)
                sent += len(piece)
        assert sent < 32 << 20


OFFERS = [
    b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n",  # as Java, curl
    b"connection: Upgrade\r\nUpgrade: websocket\r\nsec-websocket-version: 13\r\n",
]
HIDDEN = b"GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize("pieces", [1, 2, 3])
@pytest.mark.parametrize("offer", OFFERS)
def test_an_offer_of_another_protocol_makes_no_request_of_a_body(
    shared_port: int, offer: bytes, pieces: int
) -> None:
    head = b"POST /echo HTTP/1.1\r\nhost: x\r\n" + offer + b"content-length: %d\r\n\r\n" % len(HIDDEN)
    with closing(connect(shared_port)) as client:
        for data in {
            1: [head + HIDDEN],
            2: [head, HIDDEN],
            3: [head[:30], head[30:] + HIDDEN[:9], HIDDEN[9:]],
        }[pieces]:
            client.sendall(data)
            time.sleep(0.05)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.read() == HIDDEN
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        rest = b"".join(iter(lambda: client.recv(4096), b""))
        assert rest.count(b"HTTP/1.1 200 OK") == 1, "the connection goes on, with no answer too many"


@pytest.mark.parametrize("method", [b"CONNECT", b"GET"])
def test_who_only_offers_is_hung_up_on(shared_port: int, method: bytes) -> None:
    """Thousands of upgrade offers in one write do not overflow the stack, and CONNECT has no effect."""
    asked = method + b" / HTTP/1.1\r\nhost: x\r\n" + OFFERS[0] + b"\r\n"
    with closing(connect(shared_port)) as client:
        with suppress(ConnectionError):
            client.sendall(asked * 3_000)
            while client.recv(1 << 16):
                pass
        assert get(shared_port) == 200


def test_requests_behind_one_another_are_few(shared_port: int) -> None:
    """One read of a socket contains thousands of requests: each took 5 KB, and other clients waited."""
    with admin_port() as port, closing(connect(port)) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n" * 1_000)
        told = b""
        with suppress(ConnectionError):
            while data := client.recv(1 << 16):
                told += data
        assert told.count(b" 200 OK") <= 1
    with closing(connect(shared_port)) as client:
        asked = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 10 + b"GET / HTTP/1.0\r\nhost: x\r\n\r\n"
        client.sendall(asked)
        assert b"".join(iter(lambda: client.recv(4096), b"")).count(b" 200 OK") == 11


def test_who_was_answered_and_lies_idle_makes_room_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST", 10)
    with admin_port() as port, ExitStack() as kept, closing(connect(port)) as slow_head:
        slow_head.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n")
        for _ in range(25):
            idle = kept.enter_context(closing(connect(port)))
            idle.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert idle.recv(12) == b"HTTP/1.1 200"
            slow_head.sendall(b"x: y\r\n")  # a slow client that is not idle
            time.sleep(0.01)
        slow_head.sendall(b"\r\n")
        assert slow_head.recv(12) == b"HTTP/1.1 200"


@pytest.mark.slow
def test_a_flood_of_looks_at_health_leaves_the_port_to_others() -> None:
    asked = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
    stopped = threading.Event()

    def flood(port: int) -> None:
        while not stopped.is_set():
            with suppress(OSError), closing(connect(port)) as client:
                client.settimeout(1)
                while not stopped.is_set():
                    client.sendall(asked * 10)
                    time.sleep(0.05)

    with Upstream() as up, served(up.url, workers=1) as s, ThreadPoolExecutor(30) as pool:
        assert s.process is not None
        before = rss_bytes(s.process.pid)
        for _ in range(30):
            pool.submit(flood, s.admin_port)
        try:
            time.sleep(2)
            for _ in range(10):
                assert get(s.admin_port, "/livez") == 200
                assert s.ask() == 200
                assert s.part("workers") == "1 of 1 serve"
        finally:
            stopped.set()
        assert rss_bytes(s.process.pid) - before < 100 << 20


BOMB = b'{"a":[' + b"[]," * 650_000 + b"[]]}"


@pytest.mark.slow
def test_bodies_without_a_token_take_no_memory_and_no_time() -> None:
    """2 MB of empty lists take 50 MB once parsed: 80 clients took 3.5 GB and 85 s of CPU (2026-12-01)."""
    head = b"POST /v1/keys HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += b"content-length: %d\r\n\r\n" % len(BOMB)

    def post(port: int) -> bytes:
        with suppress(OSError), closing(connect(port)) as client:
            client.sendall(head + BOMB)
            return client.recv(12)
        return b""

    with Upstream() as up, served(up.url, workers=1) as s, ThreadPoolExecutor(40) as pool:
        assert s.process is not None
        before, spent_s = rss_bytes(s.process.pid), cpu_s(s.process.pid)
        told = list(pool.map(post, [s.admin_port] * 120))
        assert set(told) <= {b"HTTP/1.1 401", b""}
        assert told.count(b"HTTP/1.1 401") > 60
        assert rss_bytes(s.process.pid) - before < 100 << 20
        assert cpu_s(s.process.pid) - spent_s < 15.0
        assert s.part("workers") == "1 of 1 serve"


@pytest.mark.slow
def test_a_gateway_with_few_descriptors_serves_on_beside_idle_connections() -> None:
    def narrow() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    with Upstream() as up, served(up.url, workers=2, start=False) as s, ExitStack() as idle:
        s.start(preexec_fn=narrow)
        pids = s.pids()
        for _ in range(400):
            with suppress(TimeoutError):  # the kernel's queue is full
                idle.enter_context(socket.create_connection(("127.0.0.1", s.admin_port), 2))
        _is_well_for(s, pids, 25.0)


def _is_well_for(s: Served, pids: set[int], seconds: float) -> None:
    """Check the gateway for longer than a worker may be silent (`supervise.STUCK_S`)."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        assert s.ask() == 200
        assert s.part("workers") == "2 of 2 serve"
        assert s.pids() == pids
        time.sleep(1.0)
