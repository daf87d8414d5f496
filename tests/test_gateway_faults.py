"""Faults of upstreams and clients, and attacks (shared FAULTS), one by one, through a real gateway.

The last test stops the gateway and checks the row that each earlier test expects.
"""

import gzip
import hashlib
import http.client
import itertools
import json
import os
import re
import signal
import socket
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gateway_world import UPSTREAM_KEY, Running, gateway, until
from stillwatch.gateway.control.actions import act
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.path import caller
from stillwatch.gateway.path.reply import HEAD_LIMIT
from stillwatch.gateway.path.server import Request
from stillwatch.terms import EnforcementStatus, Step
from stillwatch.terms.load import default_text
from upstream import Seen, Upstream

BAN = '[[ban]]\nfamily = "deepseek"\n'
USERS = itertools.count()
EXPECTED: dict[str, dict[str, Any]] = {}  # by end user: the expected row
CANARY = "the heron that nobody may read stands in cold water"


@pytest.fixture(scope="module")
def gate(up: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path: Path = tmp_path_factory.mktemp("serve") / "folder"
    with gateway(up.url, BAN, path=path) as running:
        yield running


class Answer:
    """A reply as received, complete or not."""

    def __init__(self, reply: http.client.HTTPResponse) -> None:
        self.status, self.headers = reply.status, reply.headers
        try:
            self.body, self.whole = reply.read(), True
        except http.client.IncompleteRead as cut:
            self.body, self.whole = cut.partial, False
        except ConnectionResetError:
            self.body, self.whole = b"", False

    def json(self) -> Any:
        return json.loads(self.body)


def post(
    running: Running,
    body: bytes | dict[str, Any],
    path: str = "/v1/chat/completions",
    method: str = "POST",
    expect: dict[str, Any] | None = None,
    **headers: str,
) -> Answer:
    """Send one request. `expect`: fields of its row; a dict as body gets its own end user."""
    if isinstance(body, dict):
        user = f"u{next(USERS)}"
        body = json.dumps(
            {"model": "mira", "user": user, "messages": [{"role": "user", "content": CANARY}]} | body
        ).encode()
        if expect is not None:
            EXPECTED[user] = expect
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    line = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    with closing(line):
        line.request(method, path, body, {**running.auth, "content-type": "application/json", **named})
        return Answer(line.getresponse())


def last(up: Upstream) -> Seen:
    return up.wait_seen(1)[-1]


# --- bytes (22, 13) --------------------------------------------------------------------------------------

WHOLE_FAULTS = (
    "split-utf8", "byte", "one-write", "crlf", "mixed-ends", "multi-line", "comments", "bom", "no-done",
    "empty-choices", "error-event", "bad-json", "chunked", "length", "close-delimited", "connection-close",
    "http10", "early-hints", "trailers", "huge-headers", "slow=0.001", "late=0.05", "gzip",
    "split-utf8,crlf,comments", "byte,http10", "mixed-ends,trailers",
)  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", WHOLE_FAULTS)
def test_bytes_arrive_as_the_upstream_sent_them(
    gate: Running, up: Upstream, fault: str, stream: bool
) -> None:
    if fault == "byte,http10" and stream:
        fault = "one-write,http10"  # byte by byte is tested above
    refused = fault == "gzip"  # an unreadable reply is not passed on if a family is banned
    expect = {"outcome": "upstream_error" if refused else "complete", "stream": stream}
    got = post(gate, {"stream": stream}, expect=expect, x_fault=fault, x_tokens="9")
    sent = last(up)
    if refused:
        assert got.status == 502
        return
    assert got.status == 200
    assert got.whole
    assert hashlib.sha256(got.body).digest() == hashlib.sha256(sent.sent).digest()
    if fault == "huge-headers":
        assert len(got.headers["x-large"]) == 60_000


CUT_FAULTS = ("torn", "torn-event", "reset", "garble", "wrong-length=99")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", CUT_FAULTS)
def test_what_breaks_off_is_seen_to_break_off(gate: Running, up: Upstream, fault: str, stream: bool) -> None:
    got = post(gate, {"stream": stream}, expect={"outcome": "upstream_error"}, x_fault=fault, x_tokens="30")
    sent = bytes(last(up).sent)
    if got.status == 502:  # a JSON reply is passed on completely or not at all
        assert not stream
        assert got.whole
        return
    assert stream
    assert not got.whole
    assert sent.startswith(got.body)
    if fault != "reset":  # which discards unread bytes
        assert len(got.body) > len(sent) // 3


@pytest.mark.parametrize("fault", ["close-before-head", "close-in-head", "garbage", "close-after-head"])
def test_no_reply_is_a_502_that_says_so(gate: Running, up: Upstream, fault: str) -> None:
    got = post(gate, {}, expect={"outcome": "upstream_error", "status": 502}, x_fault=fault)
    assert got.status == 502
    assert got.json()["error"]["code"] == "upstream_error"


@pytest.mark.parametrize("status", [400, 404, 429, 500, 502, 503, 529])
def test_errors_of_the_upstream_pass_with_their_headers(gate: Running, up: Upstream, status: int) -> None:
    got = post(gate, {}, expect={"outcome": "complete", "status": status}, x_fault=str(status))
    assert got.status == status
    assert got.body == last(up).sent
    assert got.headers.get("retry-after") == {429: "7", 503: "1"}.get(status)


def test_that_the_upstream_refuses_our_key_is_not_the_clients_fault(gate: Running, up: Upstream) -> None:
    got = post(gate, {}, expect={"outcome": "upstream_error", "status": 502}, x_fault="401")
    assert (got.status, got.json()["error"]["code"]) == (502, "upstream_auth")
    got = post(gate, {}, expect={"outcome": "complete", "status": 403}, x_fault="403")
    assert (got.status, got.body) == (403, last(up).sent)  # about the request: a policy, a region


@pytest.mark.slow
def test_a_refusal_of_the_upstream_cannot_tell_its_key() -> None:
    told = f"your key {UPSTREAM_KEY} may not do this".encode()
    refusal = b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-type: text/plain\r\n\r\n"
    with (
        scripted([refusal + told[:30], 0.05, told[30:]], [refusal + b"x" * (1 << 20)], [refusal]) as url,
        gateway(url, recorder=False) as running,
    ):
        for status in (502, 502, 403):
            got = post(running, {})
            assert got.status == status
            assert UPSTREAM_KEY.encode() not in got.body


def test_head_and_empty_replies(gate: Running, up: Upstream) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", gate.port, timeout=20)) as line:
        line.request("HEAD", "/v1/models", headers=gate.auth)
        reply = line.getresponse()
        assert (reply.status, reply.read()) == (200, b"")
        assert int(reply.headers["content-length"]) > 0
        line.request("GET", "/v1/models", headers=gate.auth)  # over the same connection
        assert line.getresponse().read()
    assert up.seen


TEXTS = {
    "bidi": "a\u202eb\u2066c", "combining": "e" + "\u0301" * 5000, "escapes": "\x1b[31m\x07\x7f",
    "pair": "\U0001f702", "not a character": "\ufffe\uffff", "zero width": "\u200b\u200d\ufeff",
}  # fmt: skip


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("name", sorted(TEXTS))
def test_odd_texts_arrive_as_they_were_written(gate: Running, up: Upstream, name: str, escaped: bool) -> None:
    asked = {"model": "mira", "messages": [{"role": "user", "content": TEXTS[name]}]}
    body = json.dumps(asked, ensure_ascii=escaped, indent=escaped or None).encode()
    assert post(gate, body).status == 200
    assert last(up).body == body


BAD_BODIES = {
    "100,000 deep": b'{"model":"mira","messages":' + b"[" * 100_000,
    "100,000 deep and closed": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "NaN": b'{"model":"mira","temperature":NaN}',
    "1e999": b'{"model":"mira","temperature":1e999}',
    "5,000 digits": b'{"model":"mira","max_tokens":' + b"9" * 5000 + b"}",
    "a key twice": b'{"model":"mira","model":"deepseek-chat"}',
    "a key twice, escaped": b'{"model":"mira","mod\\u0065l":"deepseek-chat"}',
    "a lone surrogate": b'{"model":"mira","messages":[{"role":"user","content":"\\ud800"}]}',
    "bad UTF-8": b'{"model":"mira","messages":[{"role":"user","content":"\xff"}]}',
    "NUL": b'{"model":"mira","messages":[{"role":"user","content":"\x00"}]}',
    "BOM": b'\xef\xbb\xbf{"model":"mira"}',
    "UTF-16": '{"model":"mira"}'.encode("utf-16"),
    "nothing but a bracket": b"{",
    "two values": b'{"model":"mira"}{"model":"deepseek-chat"}',
}


@pytest.mark.parametrize("name", sorted(BAD_BODIES))
def test_a_body_that_is_no_plain_json_is_refused(gate: Running, up: Upstream, name: str) -> None:
    before, began = up.total, time.perf_counter()
    got = post(gate, BAD_BODIES[name])
    print(f"{name}: {got.status} in {(time.perf_counter() - began) * 1000:.1f} ms")
    assert got.status == 400
    assert got.json()["error"]["type"] == "invalid_request_error"
    assert up.total == before


def rss(running: Running) -> int:
    with open(f"/proc/{running.processes['worker-0'].pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("coding", ["gzip", pytest.param("deflate", marks=pytest.mark.slow)])
def test_a_bomb_is_refused_and_leaves_little_behind(gate: Running, up: Upstream, coding: str) -> None:
    plain = b'{"model":"mira","messages":"' + bytes(64 << 20) + b'"}'
    bomb = gzip.compress(plain, 1) if coding == "gzip" else zlib.compress(plain, 1)
    before, seen = rss(gate), up.total
    got = post(gate, bomb, content_encoding=coding)
    assert got.status == 413
    assert up.total == seen
    assert rss(gate) - before < 64 << 20


@pytest.mark.slow
def test_a_prompt_of_megabytes_is_served(gate: Running, up: Upstream) -> None:
    many = [{"role": "user", "content": "still water"}] * 10_000
    for asked in ({"messages": [{"role": "user", "content": "deep " * 2_000_000}]}, {"messages": many}):
        got = post(gate, asked, expect={"outcome": "complete"})
        assert got.status == 200
        assert len(last(up).body) > 300_000


# --- the connection to the upstream ------------------------------------------------------------------------


def test_a_connection_that_closes_as_we_write_is_tried_again_once(gate: Running, up: Upstream) -> None:
    assert post(gate, {}, x_fault="close-on-reuse").status == 200
    before, opened = up.total, up.opened
    assert post(gate, {}, expect={"outcome": "complete"}).status == 200
    assert (up.total - before, up.opened - opened) == (1, 1)
    assert post(gate, {}, x_fault="close-on-reuse").status == 200
    before, opened = up.total, up.opened
    up.faults.append("close-before-head")
    assert post(gate, {}, expect={"outcome": "upstream_error"}).status == 502
    assert (up.total - before, up.opened - opened) == (1, 1)


def test_a_new_connection_that_closes_is_not_tried_again(gate: Running, up: Upstream) -> None:
    """The upstream may have started to answer, and to charge for it."""
    post(gate, {}, x_fault="connection-close")
    before = up.total
    assert post(gate, {}, x_fault="close-before-head").status == 502
    assert up.total - before == 1


def test_connections_that_lie_idle_and_are_closed_cost_nobody_an_answer(gate: Running) -> None:
    for _ in range(20):
        assert post(gate, {}, x_fault="idle-close=0.01").status == 200
        time.sleep(0.012)


@pytest.mark.slow
def test_a_storm_of_errors_passes_and_leaves_nothing_behind(gate: Running) -> None:
    faults = ["429", "500", "503", "529", "reset", "close-before-head", "torn", ""]
    expected = {"429": 429, "500": 500, "503": 503, "529": 529, "": 200}

    def one(number: int) -> bool:
        fault = faults[number % len(faults)]
        expect = {"outcome": "complete" if fault in expected else "upstream_error"}
        got = post(gate, {}, expect=expect, x_fault=fault)
        return got.status == expected.get(fault, 502)

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(one, range(240)))
    until(lambda: gate.counters()["in_flight"] == 0, what="the last exchange's end")


def test_where_a_request_goes_is_not_the_clients_to_say(gate: Running, up: Upstream) -> None:
    """SSRF: fields that name another host for routers are refused; all else stays text."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.2)
        there = f"http://127.0.0.1:{trap.getsockname()[1]}"
        for field in ("api_base", "base_url"):
            assert post(gate, {field: there}).status == 400
        fields = {"api_key": "x", "metadata": {"api_base": there}}
        got = post(
            gate,
            fields,
            x_forwarded_host=there,
            forwarded=f"host={there}",
            host=there[7:],
        )
        assert got.status == 200
        assert post(gate, fields, x_original_url=there).status == 400  # it would be another request
        assert last(up).header("host") == up.url[7:]
        with pytest.raises(TimeoutError):
            trap.accept()


@contextmanager
def scripted(*replies: list[bytes | float]) -> Iterator[str]:
    """An upstream that sends these pieces in reply to any request; a number is a pause."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for pieces in replies:
                try:
                    line, _ = listening.accept()
                except OSError:
                    return
                with line:
                    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    try:
                        line.recv(1 << 20)
                        for piece in pieces:
                            time.sleep(piece) if isinstance(piece, float) else line.sendall(piece)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)


HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: "
EVENTS = HEAD + b"text/event-stream\r\n\r\n"


def event(model: str, text: str = "still") -> bytes:
    said = {"model": model, "choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: " + json.dumps(said, separators=(",", ":")).encode() + b"\n\n"


SECRET_TEXT = "what the banned model said"
BANNED = event("deepseek-chat", SECRET_TEXT)
LIES: dict[str, list[bytes | float]] = {
    "in the first event": [EVENTS + BANNED],
    "in the first event, in two segments": [
        EVENTS + BANNED[:22], 0.05, BANNED[22:],
    ],
    "byte by byte": [EVENTS, *(bytes([b]) for b in BANNED)],
    "in a later event": [EVENTS + event("mira"), 0.05, event("mira") + BANNED],
    "in a later event, in two segments": [
        EVENTS + event("mira"), 0.05, BANNED[:20], 0.05,
        BANNED[20:] + BANNED,
    ],
    "after an event without a model": [
        EVENTS + b'data: {"choices":[]}\n\n', 0.05, BANNED,
    ],
    "with other white space": [
        EVENTS + event("mira"), 0.05,
        BANNED.replace(b'"model":', b'"model" :\t'),
    ],
    "with escapes": [EVENTS + event("mira"), 0.05, event("mira").replace(b"mira", b"deep\\u0073eek-chat")],
    "in CRLF events": [EVENTS + BANNED.replace(b"\n", b"\r\n")],
    "in a whole reply": [HEAD + b"application/json\r\n\r\n" + BANNED[6:-2]],
    "in a whole reply that calls itself text": [HEAD + b"text/plain\r\n\r\n" + BANNED[6:]],
    "in a whole reply of several values": [HEAD + b"text/plain\r\n\r\n" + event("mira")[6:] + BANNED[6:]],
    "in a whole reply that is a stream": [HEAD + b"text/plain\r\n\r\n" + event("mira") + BANNED],
    "without a space": [EVENTS + BANNED.replace(b"data: ", b"data:")],
    "behind a byte order mark": [EVENTS + b"\xef\xbb\xbf" + BANNED],
    "in lines of data": [EVENTS + BANNED.replace(b",", b",\ndata: ")],
    "in CR events": [EVENTS + BANNED.replace(b"\n", b"\r")],
    "in a later event, in CR events": [
        EVENTS + event("mira").replace(b"\n", b"\r"), 0.05, BANNED.replace(b"\n", b"\r"),
    ],
    "in a whole reply without a type": [HEAD[:-14] + b"\r\n" + BANNED[6:]],
    "in a reply of 10 MB": [
        HEAD + b'application/json\r\n\r\n{"pad":"', b"x" * (10 << 20), b'",' + BANNED[7:],
    ],
    "at the end of a stream that ends without an empty line": [EVENTS + BANNED[:-2]],
}  # fmt: skip


@pytest.mark.slow
def test_a_reply_that_names_a_banned_model_ends_there() -> None:
    """Row 14. At most the banned model's text from before its name may have passed."""
    with scripted(*LIES.values()) as url, gateway(url, BAN, recorder=False) as running:
        for name in LIES:
            got = post(running, {"stream": "whole" not in name and "10 MB" not in name})
            assert SECRET_TEXT.encode() not in got.body, name
            assert got.status in (403, 502) or b"model_banned" in got.body or not got.whole, name
            if "later" in name:
                assert got.body.replace(b"\r", b"\n").startswith(event("mira")), name
        until(lambda: running.counters()["in_flight"] == 0, what="the last exchange's end")
        assert running.counters()["cut_model"] == len(LIES) - 1  # the long one is not inspected: refused


@pytest.mark.slow
@pytest.mark.parametrize("cut", range(-4, 36, 4))
def test_a_long_first_event_hides_no_model_at_its_seams(cut: int) -> None:
    """The Responses API repeats the client's instructions before it names the model."""
    named = b'"model":"deepseek-chat-0324"}}\n\n'
    start = b'data: {"response":{"instructions":"'
    pad = b"x" * (HEAD_LIMIT - len(start) - len(b'",') - cut)
    said = start + pad + b'",' + named + BANNED * 2
    pieces: list[bytes | float] = [EVENTS + said[:HEAD_LIMIT], 0.1, said[HEAD_LIMIT:]]
    with scripted(pieces) as url, gateway(url, BAN, recorder=False) as running:
        got = post(running, {"stream": True})
        assert SECRET_TEXT.encode() not in got.body
        assert b'"model":"deepseek' not in got.body
        until(lambda: running.counters()["in_flight"] == 0, what="the exchange's end")
        assert running.counters()["cut_model"] == 1


@pytest.mark.slow
def test_redirects_informational_replies_and_odd_heads_pass_or_end_well() -> None:
    moved = b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest\r\ncontent-length: 0\r\n\r\n"
    early = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 3 + b"HTTP/1.1 100 Continue\r\n\r\n"
    fine = HEAD + b"application/json\r\ncontent-length: 2\r\n\r\n{}"
    switching = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nraw"
    folded = b"HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 2\r\n\r\n{}"
    two = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x"
    both = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    empty = b"HTTP/1.1 204 No Content\r\n\r\n"
    more = fine.replace(b"connection: close\r\n", b"") + b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad"
    plan: list[list[bytes | float]] = [
        [one] for one in (moved, early + fine, switching, folded, two, both, empty, more, fine)
    ]
    plan.insert(0, [])  # hangs up immediately
    with scripted(*plan) as url, gateway(url, recorder=False) as running:
        found = [post(running, {}) for _ in plan]
        assert [one.status for one in found] == [502, 502, 200, 502, found[4].status, 502, 502, 204, 200, 200]
        assert "location" not in found[1].headers  # it would lead the client around the gateway
        assert found[4].status == 502 or found[4].body == b"{}"
        assert found[7].headers["content-length"] is None
        assert found[8].body == b"{}"  # the bytes after it belong to no reply
        assert found[9].body == b"{}"


# --- time ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_upstream_that_falls_silent_is_given_up(up: Upstream) -> None:
    with gateway(up.url, recorder=False, upstream_timeout_s=2.0) as running:
        got = post(running, {}, x_fault="stall-head")
        assert (got.status, got.whole) == (504, True)
        before = up.total
        assert post(running, {}).status == 200
        got = post(running, {}, x_fault="stall-head")  # on a kept connection: not retried
        assert got.status == 504
        assert up.total - before == 2
        got = post(running, {"stream": True}, x_fault="stall", x_tokens="40")
        assert (got.status, got.whole) == (200, False)
        assert bytes(up.seen[-1].sent).startswith(got.body)


@pytest.mark.slow
def test_a_slow_reader_holds_the_upstream_back_and_costs_no_memory(up: Upstream) -> None:
    """64 MiB to a client that reads nothing for a while: it finally receives the same bytes."""
    with gateway(up.url, recorder=False) as running:
        post(running, {})
        before = rss(running)
        with closing(http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)) as line:
            body = json.dumps({"model": "mira", "messages": []})
            line.request("POST", "/v1/chat/completions", body, running.auth | {"x-fault": "huge"})
            reply = line.getresponse()
            time.sleep(0.5)
            assert rss(running) - before < 48 << 20
            found = hashlib.sha256()
            while piece := reply.read(1 << 20):
                found.update(piece)
        sent = last(up)
        assert len(sent.sent) == 64 << 20
        assert found.digest() == hashlib.sha256(sent.sent).digest()
        assert rss(running) - before < 64 << 20


def test_slow_senders_are_many_and_cost_little(gate: Running) -> None:
    """200 clients that never finish their head or body do not delay the others."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer {gate.key}\r\n"
    before = rss(gate)
    lines = [socket.create_connection(("127.0.0.1", gate.port)) for _ in range(200)]
    try:
        for number, line in enumerate(lines):
            line.sendall(head.encode() + (b"x-a: b" if number % 2 else b"content-length: 9000\r\n\r\n{"))
        for line in lines:
            line.sendall(b"c")
        assert post(gate, {}, expect={"outcome": "complete"}).status == 200
        assert rss(gate) - before < 16 << 20
    finally:
        for line in lines:
            line.close()


# --- clients that leave (1) ------------------------------------------------------------------------------


def test_a_client_that_leaves_is_charged_what_it_was_sent(gate: Running, up: Upstream) -> None:
    for _ in range(3):
        post(gate, {"stream": True, "stream_options": {"include_usage": True}}, x_tokens="50")
    user = f"u{next(USERS)}"
    body = json.dumps({"model": "mira", "stream": True, "user": user, "messages": []})
    with closing(http.client.HTTPConnection("127.0.0.1", gate.port, timeout=20)) as line:
        line.request(
            "POST", "/v1/chat/completions", body, gate.auth | {"x-fault": "slow=0.002", "x-tokens": "900"}
        )
        reply = line.getresponse()
        got = b""
        while got.count(b"data:") < 200:
            got += reply.read1(4096)
        reply.close()
    seen = last(up)
    assert seen.gone
    assert seen.output_tokens >= 190
    EXPECTED[user] = {"outcome": "client_left", "output_tokens": pytest.approx(seen.output_tokens, rel=0.02)}


# --- keys (21) -------------------------------------------------------------------------------------------


def test_probing_for_keys_tells_nothing(gate: Running, up: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown id and a wrong secret take the same path: one digest, one comparison in constant time."""
    key_id = gate.key.split("-")[2]
    wrong = {
        "unknown id": f"sk-sw-{'0' * 8}-{'x' * 40}",
        "wrong secret": f"sk-sw-{key_id}-{'x' * 40}",
        "half right": gate.key[:-1] + ("a" if gate.key[-1] != "a" else "b"),
        "no key": "sk-proj-abc",
        "SQL": "' OR 1=1 --",
        "not ASCII": "sk-sw-é",
        "the upstream's": UPSTREAM_KEY,
    }
    before = up.total
    bodies = set()
    for value in wrong.values():
        line = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=20)
        with closing(line):
            line.request("POST", "/v1/chat/completions", b"{}", {"authorization": f"Bearer {value}".encode()})
            got = Answer(line.getresponse())
        assert got.status == 401
        bodies.add(got.body)
    assert len(bodies) == 1
    assert up.total == before
    calls: list[str] = []
    for name in ("digest", "same"):
        real = getattr(caller, name)
        monkeypatch.setattr(caller, name, _counted(calls, name, real))
    for name in ("unknown id", "wrong secret"):
        calls.clear()
        world = _Gate(gate.folder)
        keys = [(b"authorization", f"Bearer {wrong[name]}".encode())]
        assert not caller.knows(world, "", Request("POST", "/", [], keys, b"", True, True))  # type: ignore[arg-type]
        assert calls == ["digest", "same"], name


def _counted(calls: list[str], name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*given: Any) -> Any:
        calls.append(name)
        return real(*given)

    return call


class _Gate:
    """The parts of a gate that are needed to read a key."""

    def __init__(self, folder: Folder) -> None:
        from stillwatch.gateway.control.tables import load_tables
        from stillwatch.terms.load import loads

        self.secret, self.tables = folder.secret(), load_tables(folder.state)
        self.terms = loads(default_text(), "terms.toml")
        self.upstream_key = UPSTREAM_KEY

    def now_us(self) -> int:
        return time.time_ns() // 1000


def test_two_keys_are_none(gate: Running) -> None:
    other = f"sk-sw-{'0' * 8}-{'x' * 40}"
    assert post(gate, {}, x_api_key=other).status == 401
    assert post(gate, {}, x_api_key=gate.key).status == 200


# --- a policy that changes meanwhile --------------------------------------------------------------------


@pytest.mark.slow
def test_a_ban_that_comes_while_a_stream_runs_ends_it(up: Upstream) -> None:
    with gateway(up.url) as running:
        asked = {"model": "deepseek-chat", "stream": True, "user": "late", "messages": []}
        line = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
        with closing(line):
            line.request(
                "POST",
                "/v1/chat/completions",
                json.dumps(asked),
                running.auth | {"x-fault": "slow=0.02", "x-tokens": "900"},
            )
            reply = line.getresponse()
            assert reply.read1(100)
            text = default_text().replace("version = 1", "version = 2") + BAN
            running.folder.terms.write_text(text, encoding="utf-8")
            got = reply.read()
        assert b"model_banned" in got
        assert b"[DONE]" not in got
        assert post(running, {"model": "deepseek-chat"}).status == 403
        (row,) = [row for row in running.settle() if row["end_user"] == "late"]
        assert (row["outcome"], row["rule"]) == ("cut", "ban:deepseek")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["block", "verify", "revoke", "watch"])
def test_who_is_shut_out_in_mid_stream_gets_no_more(up: Upstream, what: str) -> None:
    asked = {"model": "mira", "stream": True, "user": "late", "messages": []}
    with gateway(up.url) as running:
        slow = running.auth | {"x-fault": "slow=0.005", "x-tokens": "900"}
        line = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
        with closing(line):
            line.request("POST", "/v1/chat/completions", json.dumps(asked), slow)
            reply = line.getresponse()
            assert reply.read1(100)
            now_us = time.time_ns() // 1000
            with ControlState(running.folder.state, running.folder.secret()) as state:
                if what == "revoke":
                    state.revoke(running.key.split("-")[2], now_us=now_us)
                else:
                    stands = [("acct_test", EnforcementStatus(Step[what.upper()], now_us))]
                    act(state, stands, who="test", why="test", now_us=now_us)
            got = reply.read()
        codes = {
            "block": b"account_blocked",
            "verify": b"verification_required",
            "revoke": b"invalid_api_key",
        }
        assert (codes.get(what, b"[DONE]") in got, b"[DONE]" in got) == (True, what == "watch")
        (row,) = [row for row in running.settle() if row["end_user"] == "late"]
        rules = {"revoke": "key.revoked", "watch": "allowed"}
        assert row["rule"] == rules.get(what, f"standing.{what}")
        assert row["output_tokens"] < 900 or what == "watch"


@pytest.mark.slow
def test_a_warning_cannot_write_a_header(up: Upstream) -> None:
    terms = BAN + 'mode = "prohibit"\nmessage = "{reason} Not {model}."\n'
    with gateway(up.url, terms, recorder=False) as running:
        for name in ("deepseek-chat\r\nset-cookie: a=b", "deepseek\nx-evil: 1", "deepseek-\x85\u2028é"):
            got = post(running, {"model": name})
            assert got.status in (200, 400)
            assert not {"set-cookie", "x-evil"} & {key.lower() for key in got.headers}
            if got.status == 200:
                assert got.headers["x-stillwatch-warning"].isascii()


# --- the recorder and the detector (4) -------------------------------------------------------------------


@pytest.mark.slow
def test_serving_goes_on_while_nobody_records(up: Upstream) -> None:
    """The recorder stands still, is killed, restarts: no answer waits for it, and no row is missing."""
    with gateway(up.url) as running:
        running.processes["recorder"].send_signal(signal.SIGSTOP)
        assert all(post(running, {"user": f"still {k}"}).status == 200 for k in range(20))
        running.stop("recorder", signal.SIGKILL)
        assert all(post(running, {"user": f"dead {k}"}).status == 200 for k in range(20))
        running.start("recorder")
        rows = running.rows(least=40)
        assert {row["end_user"] for row in rows} == {
            f"{how} {k}" for how in ("still", "dead") for k in range(20)
        }


# --- data left behind (21; plain text) ----------------------------------------------------------------


@pytest.mark.slow
def test_every_row_says_what_took_place(gate: Running) -> None:
    """This test must run last on the shared gateway: it stops it."""
    rows = {row["end_user"]: row for row in gate.settle() if row["end_user"]}
    for user, expect in EXPECTED.items():
        found = {name: rows[user][name] for name in expect}
        assert found == expect, user
    assert not [row for row in rows.values() if row["outcome"] == "unknown"]


def everything_in(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield all bytes of all files, and the values of tables, which compression hides."""
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        yield path, path.read_bytes()
        if path.suffix == ".parquet":
            yield path, repr(pq.read_table(path).to_pylist()).encode()
        if path.suffix == ".db":
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
                yield path, "\n".join(db.iterdump()).encode()


def test_no_text_and_no_key_is_found_anywhere(gate: Running, up: Upstream) -> None:
    """In the default mode, for all exchanges above: prompts, answers, and both kinds of keys."""
    answers = {
        part.encode()
        for one in up.seen
        for part in re.findall(
            r'"content":"((?:[^"\\]|\\.){25,})"', bytes(one.sent).decode("utf-8", "replace")
        )
    }
    assert len(answers) > 5
    canaries = {CANARY.encode(), gate.key[-40:].encode(), UPSTREAM_KEY.encode(), *answers}
    files = list(everything_in(gate.folder.path))
    assert len(files) > 8
    for path, content in files:
        for canary in canaries:
            assert canary not in content, (path, canary)
    assert not any(UPSTREAM_KEY.encode() in one.body for one in up.seen)


@pytest.mark.slow
def test_no_text_lies_open_in_the_log_either(up: Upstream) -> None:
    """While exchanges wait for the recorder, and if the policy keeps texts for a while."""
    terms = default_text().replace("text_days = 0", "text_days = 7")
    with gateway(up.url, terms, recorder=False) as running:
        for stream in (False, True):
            got = post(running, {"stream": stream})
            assert got.status == 200
        running.stop("worker-0")
        assert any(path.stat().st_size > 500 for path in running.folder.wal.glob("*.log"))
        for path, content in everything_in(running.folder.path):
            assert CANARY.encode() not in content, path
            assert running.key[-40:].encode() not in content, path
        assert {row["prompt"] for row in running.settle()} == {CANARY}
