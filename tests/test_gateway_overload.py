"""Whoever shows no key takes from nobody: no connection, no memory, no time of others."""

import http.client
import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from gateway_world import Running, gateway, until
from stillwatch.gateway.control.state import State
from stillwatch.gateway.heartbeat import rss_bytes
from stillwatch.gateway.path.request import BadRequest, read
from upstream import Upstream

FILES = 200  # of the worker
ASK = json.dumps({"model": "mira", "messages": [{"role": "user", "content": "hello"}]}).encode()


@contextmanager
def narrow() -> Iterator[Running]:
    """A gateway whose worker may open few files."""
    with Upstream() as up, gateway(up.url, recorder=False, start=False) as g:
        command = [sys.executable, "-m", "stillwatch.gateway.path.worker", str(g.folder.path), "0"]
        with open(g.folder.run / "worker-0.err", "ab") as err:
            g.processes["worker-0"] = subprocess.Popen(
                command,
                stderr=err,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)),
            )
        until(g.listens, 20, "listening")
        yield g


def ask(g: Running, timeout: float = 8.0) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", g.port, timeout=timeout)
    try:
        connection.request("POST", "/v1/chat/completions", ASK, g.auth | {"content-type": "application/json"})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
KEYED = HEAD + b"authorization: Bearer KEY\r\n"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        HEAD,
        HEAD + b"content-length: 20000\r\n\r\n" + b"x" * 19_000,
        HEAD + b"transfer-encoding: chunked\r\n\r\n",
        KEYED + b"content-length: 2\r\n\r\n{}",
        KEYED + b"content-length: 200\r\n\r\n{",
    ],
    ids=["silent", "half a head", "half a body", "chunked", "idle with a key", "half a body with a key"],
)
def test_connections_that_wait_for_nothing_shut_nobody_out(said: bytes) -> None:
    with narrow() as g, ExitStack() as kept:
        assert ask(g) == 200
        for _ in range(3 * FILES):
            one = kept.enter_context(socket.socket())
            one.settimeout(5)
            one.connect(("127.0.0.1", g.port))
            one.sendall(said.replace(b"KEY", g.key.encode()))
        got = [ask(g) for _ in range(20)]
        assert got == [200] * 20
        assert g.counters()["shed_clients"] > FILES
        assert g.processes["worker-0"].poll() is None
    assert "Traceback" not in str(got)


def test_who_is_served_is_not_closed_for_others() -> None:
    with narrow() as g, ExitStack() as kept:
        connection = http.client.HTTPConnection("127.0.0.1", g.port, timeout=60)
        body = json.dumps(json.loads(ASK) | {"stream": True}).encode()
        connection.request(
            "POST", "/v1/chat/completions", body,
            g.auth | {"content-type": "application/json", "x-tokens": "100", "x-fault": "slow=0.02"},
        )  # fmt: skip
        for _ in range(3 * FILES):
            one = kept.enter_context(socket.socket())
            one.connect(("127.0.0.1", g.port))
        assert connection.getresponse().read().endswith(b"data: [DONE]\n\n")
        connection.close()


def test_a_connection_that_says_nothing_is_closed() -> None:
    with Upstream() as up, gateway(up.url, recorder=False) as g, socket.socket() as one:
        one.connect(("127.0.0.1", g.port))
        one.settimeout(20)
        began = time.monotonic()
        assert one.recv(1) == b""
        assert 9 < time.monotonic() - began < 15


@pytest.mark.parametrize("form", ["length", "chunks", "expect"])
def test_a_body_without_a_key_is_not_held(form: str) -> None:
    with Upstream() as up, gateway(up.url, recorder=False) as g, ExitStack() as kept:
        assert ask(g) == 200
        before = rss_bytes(g.processes["worker-0"].pid)
        answers = []
        for _ in range(200):
            one = kept.enter_context(socket.socket())
            one.settimeout(10)
            one.connect(("127.0.0.1", g.port))
            head = HEAD + b"authorization: Bearer sk-sw-aaaaaaaa-nobody\r\n"
            if form == "chunks":
                data = head + b"transfer-encoding: chunked\r\n\r\nf4240\r\n" + b"x" * 1_000_000
            elif form == "expect":
                data = head + b"content-length: 1000001\r\nexpect: 100-continue\r\n\r\n"
            else:
                data = head + b"content-length: 1000001\r\n\r\n" + b"x" * 1_000_000
            try:
                one.sendall(data)
                answers.append(one.recv(100)[:12])
            except ConnectionError:
                answers.append(b"HTTP/1.1 401")  # it hung up on us while we were talking
        assert set(answers) == {b"HTTP/1.1 401"}
        assert rss_bytes(g.processes["worker-0"].pid) - before < 80 << 20


def test_bodies_of_those_with_a_key_are_bounded_in_all_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    with Upstream() as up, gateway(up.url, recorder=False) as g, ExitStack() as kept:
        head = KEYED.replace(b"KEY", g.key.encode()) + b"content-length: 33000000\r\n\r\n"
        codes = []
        for _ in range(20):  # 600 MB
            one = kept.enter_context(socket.socket())
            one.settimeout(20)
            one.connect(("127.0.0.1", g.port))
            try:
                one.sendall(head + b"x" * 30_000_000)
                one.settimeout(0.05)
                codes.append(one.recv(12)[-3:])
            except TimeoutError:
                codes.append(b"")
            except ConnectionError:
                codes.append(b"503")
        assert b"503" in codes
        assert codes.count(b"") >= 15
        kept.close()
        until(lambda: ask(g) == 200, 10, "an answer")


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"a":1}', b"[[],[]]", b"1", b'"a"'])
def test_a_body_of_nothing_but_values_costs_little(body: bytes) -> None:
    made = b'{"model":"m","messages":[' + b",".join([body] * (31_000_000 // (len(body) + 1))) + b"]}"
    began = time.process_time()
    with pytest.raises(BadRequest):
        read("POST", "/v1/chat/completions", "application/json", "", made, 1 << 25)
    assert time.process_time() - began < 1.0


def test_a_long_text_is_no_heap_of_values() -> None:
    for text in ("word, and more; " * 1_900_000, "def f(x): return [x, {1: 2}]  # why\n" * 600_000):
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
        assert read("POST", "/v1/chat/completions", "application/json", "", body, 1 << 26).models == ("m",)


def test_keys_and_state_stay_usable_under_the_flood() -> None:
    with narrow() as g, ExitStack() as kept:
        for _ in range(3 * FILES):
            one = kept.enter_context(socket.socket())
            one.connect(("127.0.0.1", g.port))
        with State(g.folder.state, g.folder.secret()) as state:
            g.key = state.issue("another", now_us=time.time_ns() // 1000)
        until(lambda: ask(g) == 200, 5, "a new key")
