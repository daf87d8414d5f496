"""A client without a key takes nothing from others: no connections, no memory, no time."""

import http.client
import json
import random
import resource
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_world import PATIENCE_S, Running, gateway, until
from scripted_upstream import Said, scripted
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.heartbeat import rss_bytes
from stillwatch.gateway.path.exchange import Exchange
from stillwatch.gateway.path.held_replies import HELD_BYTES, HeldReplies
from stillwatch.gateway.path.request import BadRequest, read
from stillwatch.gateway.path.server import FIRST_BYTE_S, HEAD_S, UNSENT_BYTES
from stillwatch.terms.load import default_text
from upstream import Upstream

FILES = 200  # of the worker
ASK = json.dumps({"model": "mira", "messages": [{"role": "user", "content": "hello"}]}).encode()


@contextmanager
def narrow(terms: str = "") -> Iterator[Running]:
    """A gateway whose worker may open few files."""
    with Upstream() as up, gateway(up.url, terms, recorder=False, start=False) as g:
        command = [sys.executable, "-m", "stillwatch.gateway.path.worker", str(g.folder.path), "0"]
        with open(g.folder.run / "worker-0.err", "ab") as err:
            g.processes["worker-0"] = subprocess.Popen(
                command,
                stderr=err,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)),
            )
        until(g.listens, what="listening")
        yield g


def ask(g: Running, by: str = "127.0.0.1") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", g.port, timeout=PATIENCE_S, source_address=(by, 0))
    try:
        connection.request("POST", "/v1/chat/completions", ASK, g.auth | {"content-type": "application/json"})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
KEYED = HEAD + b"authorization: Bearer KEY\r\n"


@pytest.mark.slow
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
            one.settimeout(PATIENCE_S)
            one.connect(("127.0.0.1", g.port))
            one.sendall(said.replace(b"KEY", g.key.encode()))
        got = [ask(g) for _ in range(20)]
        assert got == [200] * 20
        assert g.counters()["shed_clients"] > FILES
        assert g.processes["worker-0"].poll() is None
    assert "Traceback" not in str(got)


@pytest.mark.slow
def test_who_is_served_is_not_closed_for_others() -> None:
    with narrow() as g, ExitStack() as kept:
        connection = http.client.HTTPConnection("127.0.0.1", g.port, timeout=60)
        body = json.dumps(json.loads(ASK) | {"stream": True}).encode()
        connection.request(
            "POST", "/v1/chat/completions", body,
            g.auth | {"content-type": "application/json", "x-tokens": "100", "x-fault": "slow=0.02"},
        )  # fmt: skip
        answer = connection.getresponse()  # the gateway has read the request
        for _ in range(3 * FILES):
            one = kept.enter_context(socket.socket())
            one.connect(("127.0.0.1", g.port))
        assert answer.read().endswith(b"data: [DONE]\n\n")
        connection.close()


@pytest.mark.slow
def test_a_connection_that_says_nothing_is_closed() -> None:
    with Upstream() as up, gateway(up.url, recorder=False) as g, socket.socket() as one:
        one.connect(("127.0.0.1", g.port))
        one.settimeout(PATIENCE_S)
        began = time.monotonic()
        assert one.recv(1) == b""
        assert FIRST_BYTE_S - 1 < time.monotonic() - began < HEAD_S - 1


@pytest.mark.slow
@pytest.mark.parametrize("form", ["length", "chunks", "expect"])
def test_a_body_without_a_key_is_not_held(form: str) -> None:
    with Upstream() as up, gateway(up.url, recorder=False) as g, ExitStack() as kept:
        assert ask(g) == 200
        before = rss_bytes(g.processes["worker-0"].pid)
        answers = []
        for _ in range(200):
            one = kept.enter_context(socket.socket())
            one.settimeout(PATIENCE_S)
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
                answers.append(b"HTTP/1.1 401")  # the gateway closed the connection while we were sending
        assert set(answers) == {b"HTTP/1.1 401"}
        assert rss_bytes(g.processes["worker-0"].pid) - before < 80 << 20


@pytest.mark.slow
def test_bodies_of_those_with_a_key_are_bounded_in_all_and_let_go() -> None:
    with Upstream() as up, gateway(up.url, recorder=False) as g, ExitStack() as kept:
        data = KEYED + b"content-length: 33000000\r\n\r\n" + b"x" * 30_000_000
        held = [connect(g, kept, ATTACKER, data) for _ in range(20)]  # 600 MB
        answers = until(lambda: answers_of(held), what="a refusal")
        assert {text[9:12] for text in answers} <= {b"", b"503"}
        assert len(answers) <= 5
        kept.close()
        until(lambda: ask(g) == 200, what="an answer")


@pytest.mark.slow
@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"a":1}', b"[[],[]]", b"1", b'"a"'])
def test_a_body_of_nothing_but_values_costs_little(body: bytes) -> None:
    made = b'{"model":"m","messages":[' + b",".join([body] * (31_000_000 // (len(body) + 1))) + b"]}"
    began = time.process_time()
    with pytest.raises(BadRequest):
        read("POST", "/v1/chat/completions", "application/json", "", made, 1 << 25)
    assert time.process_time() - began < 1.0


@pytest.mark.slow
def test_a_body_of_tiny_chunks_is_cut_off() -> None:
    """Each chunk takes a call, while other clients wait: 31 MB of single bytes would take half a minute."""
    with Upstream() as up, gateway(up.url, recorder=False) as g:
        head = HEAD + b"authorization: Bearer " + g.key.encode() + b"\r\ntransfer-encoding: chunked\r\n\r\n"
        for size, expected in ((1, b"400 Chunks Too Small"), (100, b"200 OK")):
            with socket.create_connection(("127.0.0.1", g.port), timeout=PATIENCE_S) as client:
                data = ASK + b" " * (60_000 * size - len(ASK))
                pieces = [data[at : at + size] for at in range(0, len(data), size)]
                with suppress(OSError):  # the gateway may close it early
                    client.sendall(head + b"".join(b"%x\r\n%b\r\n" % (size, piece) for piece in pieces))
                    client.sendall(b"0\r\n\r\n")
                assert expected in client.recv(4096)


@pytest.mark.slow
def test_names_of_more_objects_than_any_batch_has_are_not_looked_up() -> None:
    entries = [{"file_id": f"file-{k}"} for k in range(150_000)]
    names = read("POST", "/v1/threads", "application/json", "", json.dumps({"x": entries}).encode(), 1 << 25)
    assert names.references.owned == ("(more than 100,000 of them)",)


@pytest.mark.slow
def test_a_long_text_is_no_heap_of_values() -> None:
    for text in ("word, and more; " * 1_900_000, "def f(x): return [x, {1: 2}]  # why\n" * 600_000):
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
        assert read("POST", "/v1/chat/completions", "application/json", "", body, 1 << 26).models == ("m",)


@pytest.mark.slow
def test_keys_and_state_stay_usable_under_the_flood() -> None:
    with narrow() as g, ExitStack() as kept:
        for _ in range(3 * FILES):
            one = kept.enter_context(socket.socket())
            one.connect(("127.0.0.1", g.port))
        with ControlState(g.folder.state, g.folder.secret()) as state:
            g.key = state.issue("another", now_us=time.time_ns() // 1000)
        until(lambda: ask(g) == 200, what="a new key")


# --- one address takes no more than its share ------------------------------------------------------------

PLACES = (FILES - 64) // 2  # of the worker above
ATTACKER, HONEST = "127.0.0.2", "127.0.0.3"
SLOW_STREAM = (
    KEYED
    + b"content-type: application/json\r\nx-tokens: 400\r\nx-fault: slow=0.5\r\ncontent-length: %d\r\n\r\n%s"
)


def connect(g: Running, kept: ExitStack, by: str, data: bytes = b"", takes: int = 0) -> socket.socket:
    one = kept.enter_context(socket.socket())
    one.settimeout(PATIENCE_S)
    if takes:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes)
    one.bind((by, 0))
    one.connect(("127.0.0.1", g.port))
    with suppress(ConnectionError):
        one.sendall(data.replace(b"KEY", g.key.encode()))
    return one


def answers_of(clients: list[socket.socket]) -> list[bytes]:
    """Return the beginning of each received answer; empty if the gateway closed the connection."""
    found = []
    for one in clients:
        one.setblocking(False)
        with suppress(BlockingIOError):
            try:
                found.append(one.recv(300, socket.MSG_PEEK))
            except ConnectionError:
                found.append(b"")
    return found


def slow_stream() -> bytes:
    body = json.dumps(json.loads(ASK) | {"stream": True}).encode()
    return SLOW_STREAM % (len(body), body)


@pytest.mark.slow
def test_an_address_that_is_answered_everywhere_leaves_half_to_others() -> None:
    with narrow() as g, ExitStack() as kept:
        streams = [connect(g, kept, ATTACKER, slow_stream()) for _ in range(2 * PLACES)]
        assert [ask(g, by=HONEST) for _ in range(10)] == [200] * 10
        until(lambda: len(answers_of(streams)) == len(streams), what="an answer to each")
        assert [ask(g, by=HONEST) for _ in range(10)] == [200] * 10
        first = Counter(text[:12] for text in answers_of(streams))
        assert first[b"HTTP/1.1 200"] == PLACES // 2
        assert set(first) == {b"HTTP/1.1 200", b"HTTP/1.1 429", b""}  # the last: they made room for others
        assert g.counters()["refused_address"] >= first[b"HTTP/1.1 429"] > 0
        told = f"address {ATTACKER} is answered on {PLACES // 2} connections"
        assert g.stderr("worker-0").count(told) == 1  # once a minute


@pytest.mark.slow
def test_who_is_turned_away_reads_why_and_when_to_come_again() -> None:
    with narrow() as g, ExitStack() as kept:
        for _ in range(PLACES // 2):
            assert connect(g, kept, ATTACKER, slow_stream()).recv(12) == b"HTTP/1.1 200"
        connection = http.client.HTTPConnection("127.0.0.1", g.port, 20, source_address=(ATTACKER, 0))
        connection.request("POST", "/v1/chat/completions", ASK, g.auth)
        answer = connection.getresponse()
        assert (answer.status, answer.headers["retry-after"]) == (429, "2")
        assert "From This Address" in json.loads(answer.read())["error"]["message"]
        connection.close()


@pytest.mark.slow
def test_an_office_of_many_users_behind_one_address_is_served() -> None:
    """Its own idle connections make room, and no connection with a request in progress does."""
    with narrow() as g, ExitStack() as kept:
        for _ in range(3 * PLACES):
            one = http.client.HTTPConnection(
                "127.0.0.1", g.port, source_address=(HONEST, 0), timeout=PATIENCE_S
            )
            kept.callback(one.close)
            one.request("POST", "/v1/chat/completions", ASK, g.auth | {"content-type": "application/json"})
            assert one.getresponse().read()
            time.sleep(0.01)
        assert g.counters()["refused_address"] == 0
        until(lambda: g.counters()["open_clients"] <= PLACES, what="the end of those that made room")


@pytest.mark.slow
def test_a_trusted_proxy_brings_any_number() -> None:
    trusted = default_text().replace(
        '# trusted_proxies = ["10.0.0.0/8"]', f'trusted_proxies = ["{ATTACKER}/32"]'
    )
    with narrow(trusted) as g, ExitStack() as kept:
        streams = [connect(g, kept, ATTACKER, slow_stream()) for _ in range(PLACES - 4)]
        assert {one.recv(12) for one in streams} == {b"HTTP/1.1 200"}


@pytest.mark.slow
def test_a_request_waits_for_others_of_its_address_and_is_answered() -> None:
    with (
        Upstream() as up,
        gateway(up.url, "[limits.address]\nconnections = 1", recorder=False) as g,
        ThreadPoolExecutor(20) as pool,
    ):
        assert list(pool.map(lambda _: ask(g, by=HONEST), range(60))) == [200] * 60


@pytest.mark.slow
@pytest.mark.parametrize("proxied", [False, True])
def test_bodies_of_one_address_leave_room_for_others(proxied: bool) -> None:
    terms = default_text()
    if proxied:
        terms = terms.replace('# trusted_proxies = ["10.0.0.0/8"]', 'trusted_proxies = ["127.0.0.0/8"]')

    def head(by: str, length: int) -> bytes:
        more = f"x-forwarded-for: 10.{by[-1]}.0.1\r\n" if proxied else ""
        return KEYED + f"{more}content-length: {length}\r\n\r\n".encode()

    with Upstream() as up, gateway(up.url, terms, recorder=False) as g, ExitStack() as kept:
        half = [connect(g, kept, ATTACKER, head(ATTACKER, 33_000_000) + b"x" * 30_000_000) for _ in range(20)]
        refused = until(lambda: len(found := answers_of(half)) >= 4 and found, what="refusals")
        assert all(not text or text.startswith(b"HTTP/1.1 503") for text in refused)
        assert not any(text and b"retry-after: 2" not in text for text in refused)
        large = json.dumps(json.loads(ASK) | {"metadata": {"x": "y" * 20_000_000}}).encode()
        honest = connect(g, kept, HONEST, head(HONEST, len(large)) + large)
        assert honest.recv(12) == b"HTTP/1.1 200"
        assert g.counters()["refused_address"] >= 4
        for one in half:
            one.close()
        again = connect(g, kept, ATTACKER, head(ATTACKER, len(large)) + large)
        assert again.recv(12) == b"HTTP/1.1 200"


@pytest.mark.slow
@pytest.mark.parametrize(
    "said",
    [b"", HEAD, KEYED + b"content-length: 2\r\n\r\n{}", slow_stream().replace(b"slow=0.5", b"slow=30")],
)
def test_two_thousand_connections_of_one_address(said: bytes) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8_192), hard))
    try:
        with Upstream() as up, gateway(up.url, recorder=False) as g, ExitStack() as kept:
            for _ in range(2_000):
                connect(g, kept, ATTACKER, said)
            assert [ask(g, by=HONEST) for _ in range(20)] == [200] * 20
            # the newest ones may be closed a moment after they arrived
            until(lambda: g.counters()["open_clients"] <= 1_000 + 20, what="the end of the rest")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --- long replies, and replies that no client reads -----------------------------------------------------

LONG_REPLY = json.dumps({"model": "mira", "pad": "x" * 7_900_000}).encode()


@pytest.mark.slow
def test_replies_that_nobody_reads_are_bounded_and_cost_nobody_else_his() -> None:
    """A complete reply that was held back waits for its client in full."""
    with (
        scripted(lambda _: Said(LONG_REPLY)) as up,
        gateway(up.url, recorder=False) as g,
        ExitStack() as kept,
    ):
        many = 3 * UNSENT_BYTES // len(LONG_REPLY)
        asked = KEYED + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(ASK), ASK)
        for _ in range(many):
            assert connect(g, kept, ATTACKER, asked, takes=4096).recv(12) == b"HTTP/1.1 200"
        until(lambda: g.counters()["shed_clients"] > many // 4, what="those who were closed")
        with closing(http.client.HTTPConnection("127.0.0.1", g.port, PATIENCE_S, (HONEST, 0))) as connection:
            connection.request(
                "POST", "/v1/chat/completions", ASK, g.auth | {"content-type": "application/json"}
            )
            assert connection.getresponse().read() == LONG_REPLY
        assert f"address {ATTACKER} leaves" in g.stderr("worker-0")


class Holder:
    """A reply that grows unless it is held back."""

    held = False

    def __init__(self, size: int) -> None:
        self.left, self.size = size, 0

    def hold_back(self, held: bool) -> None:
        assert held != self.held
        self.held = held


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 16), min_size=1, max_size=60), st.integers(0, 1 << 32))
def test_long_replies_wait_for_one_another_and_all_become_whole(sizes: list[int], seed: int) -> None:
    longest, piece = HELD_BYTES // 8, HELD_BYTES // 128
    replies, holders = HeldReplies(longest), [Holder(size * piece) for size in sizes]
    drawn = random.Random(seed)
    while holders:
        free = [one for one in holders if not one.held]
        one = drawn.choice(free)  # one of them can always continue
        if one.left and drawn.random() < 0.9:
            one.left, one.size = one.left - piece, one.size + piece
            replies.grow(one, one.size)
            assert replies.total == sum(holder.size for holder in holders)
            assert replies.total <= HELD_BYTES + piece * len(holders)
        else:  # complete, or its client left
            holders.remove(one)
            replies.drop(one)
    assert replies.total == 0


class Waiting:
    """An exchange whose reply can be held back."""

    def __init__(self, replies: HeldReplies) -> None:
        self.gate, self.calls = SimpleNamespace(held_replies=replies), []

    def hold_back(self, held: bool) -> None:
        self.calls.append(held)


def test_a_reply_that_waits_reads_on_when_it_is_let_go_and_not_when_its_client_reads() -> None:
    replies, first = HeldReplies(HELD_BYTES), Holder(0)
    replies.grow(first, HELD_BYTES)
    waiting = Waiting(replies)
    replies.grow(waiting, 1)
    assert waiting.calls == [True]
    Exchange.on_client_slow(waiting, True)
    Exchange.on_client_slow(waiting, False)  # its client reads again: no room for others' replies
    assert waiting.calls == [True, True]
    replies.drop(waiting)  # too long to be held back: it is passed on as it arrives
    assert waiting.calls == [True, True, False]
