"""The client side: malformed requests are refused, and others are parsed as other servers parse them."""

import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway_world import Running, gateway, until
from stillwatch.gateway.counters import NAMES
from stillwatch.gateway.path import server
from stillwatch.gateway.path.server import Client, Request
from stillwatch.terms import Capture, Terms
from upstream import Upstream

LIGHT = settings(max_examples=150, deadline=None)


# --- a client's connection without sockets ---------------------------------------------------------------


class Line:
    """A transport, and the loop behind it."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = self.paused = False
        self.now = 1000.0
        self.soon: list[Callable[[], None]] = []

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else None

    def write(self, data: bytes) -> None:
        self.written += data

    def writelines(self, parts: list[bytes]) -> None:
        self.written += b"".join(parts)

    def write_eof(self) -> None: ...

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False

    def time(self) -> float:
        return self.now

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def call_later(self, _: float, call: Callable[[], None]) -> None:
        call()

    def run(self) -> None:
        while self.soon:
            self.soon.pop(0)()


class Echo:
    """Answers at once, or on request."""

    held = False

    def __init__(self, seen: list[Request], client: Client, request: Request) -> None:
        self._client = client
        seen.append(request)

    def begin(self) -> None:
        if not Echo.held:
            self.answer()

    def answer(self) -> None:
        self._client.send(self._client.head(200, b"OK", [], 2), b"ok")
        self._client.done()

    def on_client_lost(self) -> None: ...
    def on_client_slow(self, slow: bool) -> None: ...


class Talk:
    """One connection: the bytes fed to it, the parsed requests, and the replies."""

    def __init__(self, most: int = 1 << 20) -> None:
        self.line = Line()
        self.seen: list[Request] = []
        terms = Terms(version=1, capture=Capture(max_body_bytes=most))
        gate: Any = SimpleNamespace(
            loop=self.line,
            counters=memoryview(bytearray(8 * len(NAMES))).cast("q"),
            clients=set(),
            strangers=set(),
            door=None,
            held_bytes=0,
            logs_requests=False,
            terms=terms,
            draining=False,
        )
        self.client = Client(gate, lambda _, client, request: Echo(self.seen, client, request))
        self.client.connection_made(self.line)  # type: ignore[arg-type]

    def feed(self, *parts: bytes) -> "Talk":
        for part in parts:
            if not self.line.closed:
                self.client.data_received(part)
                self.line.run()
        return self

    @property
    def statuses(self) -> list[int]:
        return [int(part[:3]) for part in self.line.written.split(b"HTTP/1.1 ")[1:]]


def read_by_h11(data: bytes) -> list[tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]] | None:
    """Return the requests in some bytes as h11 parses them; None if it refuses them."""
    found = []
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                found.append((event.method, event.target, list(event.headers.raw_items()), b""))
            elif isinstance(event, h11.Data):
                found[-1] = (*found[-1][:3], found[-1][3] + bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                if connection.our_state is h11.MUST_CLOSE or connection.their_state is h11.MUST_CLOSE:
                    return found
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.DONE and connection.their_state is h11.DONE:
                    connection.start_next_cycle()
                else:
                    return found
            elif event is h11.NEED_DATA:
                return found[:-1] if connection.their_state is h11.SEND_BODY else found
            else:
                return found
    except h11.RemoteProtocolError:
        return None


tokens = st.text("abcdefghijkXYZ-_09", min_size=1, max_size=12)
header_values = st.text("abc XYZ;,=/\"'09\t", max_size=24).map(str.strip)
methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
bodies = st.binary(max_size=120)


@st.composite
def plain_requests(draw: st.DrawFn) -> bytes:
    """Generate a request as a well-behaved client writes it."""
    method = draw(methods)
    target = "/" + draw(st.text("abc/09%2F?&=.-", max_size=20))
    lines = [f"{method} {target} HTTP/1.1", "host: x"]
    lines += [f"x-{draw(tokens)}: {draw(header_values)}" for _ in range(draw(st.integers(0, 4)))]
    body = draw(bodies) if method in ("POST", "PUT", "PATCH") else b""
    if body and draw(st.booleans()):
        lines.append("transfer-encoding: chunked")
        at = draw(st.integers(0, len(body)))
        body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:at], body[at:]) if p) + b"0\r\n\r\n"
    elif method in ("POST", "PUT", "PATCH"):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def compare(talk: Talk, data: bytes) -> None:
    """Check that h11 accepts every request that we accept, and parses it equally."""
    theirs = read_by_h11(data)
    if theirs is None:  # it refuses something: we accepted only requests before that
        assert not talk.seen or 400 in talk.statuses or len(talk.seen) <= data.count(b" HTTP/1.")
        return
    ours = [(one.method.encode(), one.target.encode("latin-1"), one.body) for one in talk.seen]
    assert ours == [(method, target, body) for method, target, _, body in theirs][: len(ours)]
    for mine, other in zip(talk.seen, theirs, strict=False):
        said = sorted((name.lower(), value.strip()) for name, value in [*mine.headers, *mine.keys])
        left_out = (b"content-length", b"transfer-encoding")
        assert said == sorted((n.lower(), v) for n, v in other[2] if n.lower() not in left_out)


@pytest.mark.slow
@LIGHT
@given(st.lists(plain_requests(), min_size=1, max_size=4), st.lists(st.integers(0, 1 << 16), max_size=8))
def test_plain_requests_in_any_cut_are_read_as_h11_reads_them(
    requests: list[bytes], places: list[int]
) -> None:
    data = b"".join(requests)
    at = sorted({0, len(data), *(place % len(data) for place in places)})
    talk = Talk().feed(*(data[a:b] for a, b in pairwise(at)))
    assert len(talk.seen) == len(requests)
    assert talk.statuses == [200] * len(requests)
    compare(talk, data)


@pytest.mark.slow
@LIGHT
@given(plain_requests(), st.data())
def test_a_changed_request_is_refused_or_read_as_h11_reads_it(request: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(request)))
    new = data.draw(
        st.sampled_from([b"\r", b"\n", b"\0", b" ", b"\t", b":", b"\r\n", b"\r\n ", b"0", b"\xff", b",", b""])
    )
    drop = data.draw(st.integers(0, 2))
    changed = request[:at] + new + request[at + drop :]
    talk = Talk().feed(changed)
    theirs = read_by_h11(changed)
    if talk.seen and theirs:
        compare(talk, changed)


@pytest.mark.slow
@LIGHT
@given(st.lists(st.binary(max_size=60), max_size=5))
@example([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
@example([b"\x16\x03\x01\x02\x00\x01\x00"])
@example([b"GET / HTTP/9.9\r\n\r\n"])
@example([b"GET /\r\n\r\n"])
def test_any_bytes_are_refused_or_awaited(parts: list[bytes]) -> None:
    talk = Talk().feed(*parts)
    if not any(b"HTTP/1" in part for part in parts):
        assert talk.seen == []
    assert set(talk.statuses) <= {200, 400, 431, 501, 505}


# --- each bad request by itself --------------------------------------------------------------------------

POST = b"POST / HTTP/1.1\r\nhost: x\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\n"
TAIL = b"host: x\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
BAD = {
    "CL and TE": POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE and CL": POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two CL": POST + b"content-length: 0\r\ncontent-length: 38\r\n\r\n" + SMUGGLED,
    "a CL list": POST + b"content-length: 0, 38\r\n\r\n" + SMUGGLED,
    "CL with a sign": POST + b"content-length: +0\r\n\r\n" + SMUGGLED,
    "CL in hex": POST + b"content-length: 0x0\r\n\r\n" + SMUGGLED,
    "CL of 30 digits": POST + b"content-length: " + b"9" * 30 + b"\r\n\r\n",
    "CL below nought": POST + b"content-length: -1\r\n\r\n" + SMUGGLED,
    "CL with a space before the colon": POST + b"content-length : 0\r\n\r\n" + SMUGGLED,
    "TE xchunked": POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE identity": POST + b"transfer-encoding: identity\r\n\r\n" + SMUGGLED,
    "TE gzip, chunked": POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "TE twice": POST + b"transfer-encoding: chunked\r\ntransfer-encoding: gzip\r\n\r\n0\r\n\r\n",
    "TE chunked, identity": POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "TE with a vertical tab": POST + b"transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE folded": POST + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE in 1.0": CHUNKED.replace(b"1.1", b"1.0").replace(b"host: x", b"content-length: 3") + SMUGGLED,
    "chunks in 1.0": CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n" + SMUGGLED,
    "two hosts": GET + b"host: y\r\n" + TAIL + SMUGGLED,
    "one host twice": GET + b"Host: x\r\n" + TAIL + SMUGGLED,
    "a folded header": GET + b"x-a: b\r\n c\r\n" + TAIL,
    "a header before the first line's end": GET + b" x: y\r\n" + TAIL,
    "bare LF": b"GET / HTTP/1.1\nhost: x\n\n",
    "bare LF in a header": GET + b"x-a: b\nx-c: d\r\n" + TAIL,
    "bare CR in a header": GET + b"x-a: b\rx-c: d\r\n" + TAIL,
    "bare CR in the first line": b"GET /\r HTTP/1.1\r\n" + TAIL,
    "NUL in a header": GET + b"x-a: b\0c\r\n" + TAIL,
    "NUL in a name": GET + b"x\0a: b\r\n" + TAIL,
    "space in a name": GET + b"x a: b\r\n" + TAIL,
    "no name": GET + b": b\r\n" + TAIL,
    "no colon": GET + b"host\r\n" + TAIL,
    "no version": b"GET /\r\n" + TAIL,
    "version 2.0": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "version 1.2": b"GET / HTTP/1.2\r\n" + TAIL,
    "version http": b"GET / http/1.1\r\n" + TAIL,
    "a space in the target": b"GET /a b HTTP/1.1\r\n" + TAIL,
    "a method of its own": b"STEAL / HTTP/1.1\r\n" + TAIL,
    "CONNECT": b"CONNECT other.example:443 HTTP/1.1\r\n" + TAIL,
    "a chunk size with a sign": CHUNKED + b"+1\r\na\r\n0\r\n\r\n",
    "a chunk size with 0x": CHUNKED + b"0x1\r\na\r\n0\r\n\r\n",
    "a chunk size with a space": CHUNKED + b" 1\r\na\r\n0\r\n\r\n",
    "a chunk size of 40 digits": CHUNKED + b"" + b"f" * 40 + b"\r\n",
    "a chunk longer than it says": CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
    "a chunk with bare LF": CHUNKED + b"1\na\n0\n\n",
    "no chunk size": CHUNKED + b"\r\na\r\n0\r\n\r\n",
    "a header of 1 MB": GET + b"x-a: " + b"b" * (1 << 20) + b"\r\n" + TAIL,
    "201 headers": GET + b"".join(b"x-%d: y\r\n" % k for k in range(201)) + TAIL,
    "10,000 headers": GET + b"".join(b"x-%d: y\r\n" % k for k in range(10_000)) + TAIL,
    "a target of 1 MB": b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n" + TAIL,
    "endless trailers": CHUNKED + b"0\r\n" + b"x-a: b\r\n" * 20_000,
    "a body over the limit": POST + b"content-length: 2000000\r\n\r\n",
    "chunks over the limit": CHUNKED + b"200000\r\n" + bytes(0x200000),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a letter": b"EHLO other.example\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BAD))
@pytest.mark.parametrize("size", [1 << 30, 64 << 10, 7])
def test_what_is_no_plain_request_is_refused_and_nothing_after_it_is_read(name: str, size: int) -> None:
    if size == 7 and len(BAD[name]) > 50_000:
        size = 997
    talk = Talk().feed(*(BAD[name][at : at + size] for at in range(0, len(BAD[name]), size)))
    assert talk.seen == []
    assert len(talk.statuses) == 1
    assert talk.statuses[0] in (400, 413, 431, 501, 505)
    assert talk.line.closed
    assert talk.feed(SMUGGLED).seen == []


@pytest.mark.parametrize(
    "raw",
    [
        GET + b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n" + TAIL,
        POST
        + b"connection: upgrade\r\nUpgrade : websocket\r\n".replace(b" :", b":")
        + b"content-length: 2\r\n\r\nhi",
        CHUNKED.replace(b"host", b"connection: upgrade\r\nupgrade: h2c\r\nhost") + b"2\r\nhi\r\n0\r\n\r\n",
    ],
)
def test_an_offer_to_speak_another_protocol_is_not_taken(raw: bytes) -> None:
    """Java's client makes one with its first request; the connection continues as if it had not."""
    talk = Talk().feed(raw, SMUGGLED)
    assert [one.body for one in talk.seen] == [b"hi" if raw.startswith(b"POST") else b"", b""]
    assert all(name.lower() != b"upgrade" for name, _ in talk.seen[0].headers)
    assert talk.statuses == [200, 200]
    assert Talk().feed(raw[:40], raw[40:]).statuses == [501]  # not supported if split into pieces


def test_an_offer_whose_end_looks_like_a_request_is_not_read_as_one() -> None:
    talk = Talk().feed(GET + b"connection: upgrade\r\nx: ", GET + b"upgrade: h2c\r\n" + TAIL)
    assert talk.seen == []
    assert talk.statuses == [501]


@pytest.mark.slow
def test_a_body_in_tiny_chunks_costs_little_more_than_its_size() -> None:
    """A list of its pieces would take thirty times as much memory."""
    body = b"ab" * 40_000
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    talk = Talk().feed(head)
    chunks = b"2\r\nab\r\n" * 40_000
    tracemalloc.start()
    talk.feed(*(chunks[k : k + 4_096] for k in range(0, len(chunks), 4_096)))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 3 * len(body)
    talk.feed(b"0\r\n\r\n")
    assert [one.body for one in talk.seen] == [body]


def test_trailers_are_no_headers() -> None:
    raw = CHUNKED + b"2\r\nhi\r\n0\r\nauthorization: Bearer x\r\nx-a: b\r\n\r\n"
    (seen,) = Talk().feed(raw).seen
    assert seen.keys == []
    assert [name for name, _ in seen.headers] == [b"host"]
    assert seen.body == b"hi"


def test_requests_behind_one_another_are_answered_in_order_and_not_hoarded() -> None:
    Echo.held = True
    try:
        talk = Talk().feed(SMUGGLED, SMUGGLED, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n")
        assert len(talk.seen) == 1
        assert talk.line.paused  # nothing more is read while one request waits
        assert isinstance(talk.client.now, Echo)
        talk.client.now.answer()
        talk.line.run()
        assert len(talk.seen) == 2
        assert not talk.line.paused
        talk = Talk().feed(SMUGGLED * 30)
        assert talk.statuses == [429]  # too many at once: none of them is answered
    finally:
        Echo.held = False


def test_nothing_is_begun_for_a_client_that_takes_nothing() -> None:
    talk = Talk()
    talk.client.pause_writing()
    talk.feed(SMUGGLED)
    assert talk.seen == []
    talk.client.resume_writing()
    talk.line.run()
    assert len(talk.seen) == 1


@pytest.mark.parametrize(
    ("sent", "seconds", "statuses"),
    [
        ([b"GET / HT", b"TP/1.1\r\n", b"x: y\r\n"] + [b"x: y\r\n"] * 40, 1.0, [408]),
        ([b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\n\r\n"] + [b"a"] * 40, 1.0, [408]),
        ([b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n"] + [b"a" * 9000] * 100, 1.0, [200]),
        ([b"GET / HTTP/1.1\r\n"], 40.0, [408]),
        ([SMUGGLED, b""], 80.0, [200]),
    ],
)
def test_slow_senders_are_given_up(sent: list[bytes], seconds: float, statuses: list[int]) -> None:
    talk = Talk()
    for part in sent:
        if part:
            talk.feed(part)
        talk.line.now += seconds
        talk.client.sweep(talk.line.now)
    assert talk.statuses == statuses
    assert talk.line.closed == (statuses != [200] or seconds == 80.0)


def test_a_client_that_stopped_reading_is_given_up() -> None:
    talk = Talk().feed(SMUGGLED)
    talk.client.pause_writing()
    for _ in range(int(server.STALLED_S) + 2):
        talk.line.now += 1
        talk.client.sweep(talk.line.now)
    assert talk.line.closed


# --- the same with a real gateway: what reaches the upstream -------------------------------------------


@pytest.fixture(scope="module")
def gate(up: Upstream) -> Iterator[Running]:
    with gateway(up.url, recorder=False) as running:
        yield running


def said(gate: Running, data: bytes, seconds: float = 5.0) -> bytes:
    """Return a real gateway's answer to some bytes, up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", gate.port), timeout=seconds) as line:
        try:
            line.sendall(data)
            answer = b""
            while got := line.recv(65536):
                answer += got
        except (ConnectionResetError, BrokenPipeError):
            pass
    return answer


def test_nothing_smuggled_reaches_the_upstream(gate: Running, up: Upstream) -> None:
    key = b"authorization: " + gate.auth["authorization"].encode() + b"\r\nhost: "
    for name in sorted(
        BAD.keys() - {"a body over the limit", "chunks over the limit"}
    ):  # of this test's own limit
        assert b"HTTP/1.1 200" not in said(gate, BAD[name].replace(b"host: ", key)), name
    assert said(gate, b"GET /v1/models HTTP/1.1\r\nconnection: close\r\n" + key + b"x\r\n\r\n")
    assert [one.path for one in up.seen] == ["/v1/models"]
    assert not up.bad_requests
    for name, value in up.seen[0].headers:
        assert gate.key not in value, name


@pytest.mark.parametrize(
    "target", ["http://other.example/v1/models", "*", "/v1/../admin", "other.example:443"]
)
def test_only_a_path_is_a_target(gate: Running, up: Upstream, target: str) -> None:
    before = up.total
    assert said(gate, ask(gate, f"GET {target}", "connection: close")).startswith(b"HTTP/1.1 400 ")
    assert up.total == before


def test_hop_headers_and_what_they_name_stay_here(gate: Running, up: Upstream) -> None:
    said_of_hops = (
        "connection: close, x-secret",
        "x-secret: 1",
        "keep-alive: 5",
        "te: trailers",
        "expect: nothing",
    )
    forged = ("proxy-authorization: x", "x-stillwatch-mark: forged")
    assert b" 200 " in said(gate, ask(gate, "GET /v1/models", *said_of_hops, *forged, "x-kept: yes"))
    names = {name.lower() for name, _ in up.seen[-1].headers}
    assert "x-kept" in names
    assert names.isdisjoint(
        {"x-secret", "keep-alive", "te", "proxy-authorization", "x-stillwatch-mark", "expect"}
    )
    assert up.seen[-1].header("host") == up.url.removeprefix("http://")


def ask(gate: Running, line: str, *headers: str, key: str = "") -> bytes:
    """Return a request's head."""
    lines = [
        f"{line} HTTP/1.1",
        "host: other.example",
        f"authorization: Bearer {key or gate.key}",
        *headers,
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


def test_a_long_body_is_taken_only_from_whom_we_know(gate: Running) -> None:
    unknown = ask(gate, "POST /v1/files", "content-length: 3000000", key="sk-sw-unknown1-" + "x" * 40)
    assert said(gate, unknown + bytes(2 << 20)).startswith(b"HTTP/1.1 401 ")
    known = ask(gate, "POST /v1/files", "content-length: 3000000", "connection: close")
    assert said(gate, known + bytes(3_000_000)).startswith(b"HTTP/1.1 200 ")


def test_who_is_refused_can_read_why_though_he_has_not_finished(gate: Running) -> None:
    head = ask(gate, "POST /v1/files", "content-length: 99000000")
    assert said(gate, head + bytes(8 << 20)).startswith(b"HTTP/1.1 413 ")


@pytest.mark.slow
def test_pipelines_without_reading_do_not_grow_the_gateway(gate: Running) -> None:
    """A client that sends requests and reads nothing: at most one reply accumulates."""
    process = gate.processes["worker-0"]
    again = ask(gate, "GET /v1/models", "x-fault: huge=2000000")
    before = rss(process.pid)
    with socket.create_connection(("127.0.0.1", gate.port)) as line:
        line.settimeout(0.3)
        for _ in range(12):
            try:
                line.sendall(again * 8)
            except TimeoutError:
                break
            time.sleep(0.05)
        assert rss(process.pid) - before < 64 << 20
    until(lambda: gate.counters()["open_clients"] == 0, what="the client's end")


def rss(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


# --- a repeated head -------------------------------------------------------------------------------------

_AGAIN = (
    b"POST /v1/chat HTTP/1.1\r\nhost: a\r\nauthorization: Bearer k\r\nContent-Length: %d\r\n"
    b"content-type: application/json\r\n\r\n%b"
)
_EDITS = st.sampled_from(
    [
        *(b"", b"\r\n", b"\n", b"\r\n\r\n", b" ", b"0", b"1", b"99", b"-", b"+1", b"x", b"\0"),
        *(b"content-length: 2\r\n", b"transfer-encoding: chunked\r\n", b"expect: 100-continue\r\n"),
        *(b"connection: close\r\n", b"GET / HTTP/1.1\r\n\r\n"),
    ]
)
_BODIES = st.one_of(st.binary(max_size=12), st.sampled_from([b"{}", b"x" * 40_000, b"\r\n\r\n"]))


def talked(pieces: list[bytes], remembers: bool) -> tuple[object, ...]:
    talk = Talk(1 << 16)
    for piece in pieces:
        if not remembers:
            talk.client._known_head = None
        talk.feed(piece)
    seen = [(r.method, r.target, r.headers, r.keys, r.body, r.keep_alive, r.modern) for r in talk.seen]
    return seen, talk.line.written, talk.line.closed, talk.client.held


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(_BODIES, _BODIES, st.integers(0, 160), st.integers(0, 3), _EDITS, st.booleans())
def test_a_head_that_comes_again_is_read_as_the_parser_reads_it(
    first: bytes, second: bytes, at: int, cut: int, put: bytes, whole: bool
) -> None:
    """With any change to it, and however its bytes are split."""
    again = _AGAIN % (len(second), second)
    again = again[:at] + put + again[at + cut :]
    pieces = [_AGAIN % (len(first), first), *([again] if whole else [again[:at], again[at:]])]
    pieces.append(_AGAIN % (2, b"ok"))
    assert talked(pieces, True) == talked(pieces, False)


@pytest.mark.slow
def test_a_head_that_comes_again_is_not_parsed_again() -> None:
    talk = Talk()
    talk.feed(_AGAIN % (2, b"{}"))
    talk.client._parser = None
    talk.feed(_AGAIN % (11, b"something\r\n"))
    assert [request.body for request in talk.seen] == [b"{}", b"something\r\n"]
    assert talk.seen[0].headers == talk.seen[1].headers
