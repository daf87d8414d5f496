"""Tokens that an answer may bring are reserved behind a real Envoy too, until it arrived, ended or failed."""

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Queue
from typing import Any

import httpx2 as httpx
import pytest

from gateway_world import free_port, until
from hooks_world import Hooked, hooks, in_front
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.path.budgets import Budgets
from stillwatch.gateway.settings import GatewaySettings

pytestmark = pytest.mark.slow
ALLOWANCE, ANSWER = 31_000, 2_000
TERMS = f"version = 1\n[limits]\noutput_tokens_per_day = {ALLOWANCE}\nanswer_tokens = {ANSWER}\n"
CHAT = "/v1/chat/completions"


class Model:
    """An upstream that obeys the question: `wait`, `tokens`, `status`, `stream`, `hang`, `reset`."""

    def __init__(self) -> None:
        self.asked = 0
        self.served = 0  # output tokens of whole answers

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                question = json.loads(await reader.readexactly(int(length)) if length else b"{}")
                await self.reply(question, writer)
        writer.close()

    async def reply(self, question: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.asked += bool(question)
        await asyncio.sleep(question.get("wait", 0))
        tokens, status = question.get("tokens", ANSWER), question.get("status", 200)
        usage = {"prompt_tokens": 1, "completion_tokens": tokens}
        if not question.get("stream"):
            text = question.get("text", "hello")
            said = {"model": "mira", "choices": [{"message": {"content": text}}], "usage": usage}
            self.served += tokens if status == 200 and question else 0
            body = json.dumps(said if status == 200 else {"error": {}}).encode()
            head = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            writer.write(head % (status, len(body)) + body[: question.get("cut", len(body))])
            if "cut" in question:
                await asyncio.sleep(60)
            await writer.drain()
            return
        writer.write(
            b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for k in range(tokens):
            if k == question.get("hang"):
                await asyncio.sleep(60)
            if k == question.get("reset"):
                writer.transport.abort()
                return
            self.event(writer, {"model": "mira", "choices": [{"delta": {"content": "word"}}]})
            if k % 50 == 49:
                await writer.drain()
        self.served += tokens
        self.event(writer, {"model": "mira", "choices": [], "usage": usage})
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()

    @staticmethod
    def event(writer: asyncio.StreamWriter, event: dict[str, Any]) -> None:
        data = b"data: %s\n\n" % json.dumps(event).encode()
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))


@contextmanager
def serving() -> Iterator[tuple[Model, str]]:
    model, port = Model(), free_port()
    stop, loops = asyncio.Event(), Queue[asyncio.AbstractEventLoop]()

    async def serve() -> None:
        async with await asyncio.start_server(model.answer, "127.0.0.1", port, backlog=500):
            loops.put(asyncio.get_running_loop())
            await stop.wait()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    loop = loops.get()
    try:
        yield model, f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)


class Account:
    """An account, its client, and its counts over all processes."""

    def __init__(self, h: Hooked, client: httpx.Client, name: str) -> None:
        self.h, self.client = h, client
        self.auth = {"authorization": f"Bearer {h.account(name)}"}
        with ControlState(h.folder.state, h.folder.secret()) as state:
            self.place = [row[0] for row in state.accounts()].index(name)
        self.budgets = Budgets(h.folder.run, 9, 1)
        until(self.is_known, what="the key")

    def is_known(self) -> bool:
        with suppress(httpx.TransportError):
            return self.client.get("/v1/models", headers=self.auth).status_code == 200
        return False

    def ask(self, **question: Any) -> httpx.Response:
        body = {"model": "mira", "messages": [], **question}
        return self.client.post(CHAT, json=body, headers=self.auth, timeout=60)

    def leaves(self, after_bytes: int, **question: Any) -> int:
        """Send a request and leave after some bytes of the answer; return how many arrived."""
        body, came = {"model": "mira", "messages": [], **question}, 0
        with self.client.stream("POST", CHAT, json=body, headers=self.auth) as reply:
            for data in reply.iter_raw():
                came += len(data)
                if came >= after_bytes:
                    break
        return came

    @property
    def held(self) -> int:
        return self.budgets.spent(self.place, time.time_ns() // 1000).tokens_held

    @property
    def used(self) -> int:
        return self.budgets.spent(self.place, time.time_ns() // 1000).output_tokens_day

    def settled(self) -> int:
        """Return the used tokens, when no answer is in progress any more."""
        until(lambda: self.held == 0, what="nothing is held")
        return self.used


def tokens_of(reply: httpx.Response) -> int:
    """Return the output tokens that a client received: in a stream one per event."""
    if reply.status_code != 200:
        return 0
    streamed = reply.headers["content-type"].startswith("text/event-stream")
    return reply.text.count('"word"') if streamed else ANSWER


World = tuple[Hooked, Model, httpx.Client]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    at = tmp_path_factory.mktemp("envoy")
    with (
        serving() as (model, url),
        hooks(TERMS, recorder=False, upstream=url) as h,
        in_front("envoy", h, url, at) as client,
    ):
        yield h, model, client


@pytest.mark.parametrize("stream", [False, True])
def test_a_salvo_passes_an_allowance_by_one_answer_at_most(world: World, stream: bool) -> None:
    h, model, client = world
    account = Account(h, client, f"acct_salvo_{stream}")
    before = model.served
    with ThreadPoolExecutor(120) as pool:
        shots = [pool.submit(account.ask, wait=2, stream=stream) for _ in range(120)]
        statuses = Counter(shot.result().status_code for shot in shots)
    served = model.served - before
    assert set(statuses) == {200, 429}, statuses
    assert account.settled() == served
    while account.ask(stream=stream).status_code == 200:
        account.settled()
    assert ALLOWANCE <= model.served - before <= ALLOWANCE + ANSWER
    assert account.used == model.served - before
    print(f"stream={stream}: {account.used:,} of {ALLOWANCE:,}; {dict(statuses)}")


def test_a_salvo_on_the_gateway_and_on_envoy_at_once_passes_it_by_one_answer_at_most(world: World) -> None:
    h, _, client = world
    account = Account(h, client, "acct_both")
    h.start("worker-0")
    url = f"http://127.0.0.1:{GatewaySettings.load(h.folder.settings).port}"
    with httpx.Client(base_url=url, timeout=60) as direct:
        other = Account(h, direct, "acct_other")  # that knows one key knows the other
        other.auth = account.auth
        with ThreadPoolExecutor(120) as pool:
            ways = [(account, other)[k % 2] for k in range(120)]
            shots = [pool.submit(way.ask, wait=2, stream=k % 3 == 0) for k, way in enumerate(ways)]
            replies = [shot.result() for shot in shots]
        # the gateway cuts a stream when nothing is left: the delivered part is charged
        brought = sum(map(tokens_of, replies))
        assert account.settled() == brought
        assert brought <= ALLOWANCE + ANSWER
        for way in (account, other):
            while (reply := way.ask()).status_code == 200:
                brought += tokens_of(reply)
                account.settled()
        assert ALLOWANCE <= account.used == brought <= ALLOWANCE + ANSWER
    statuses = Counter(reply.status_code for reply in replies)
    assert set(statuses) == {200, 429}, statuses
    h.stop("worker-0")


def test_what_ends_before_its_time_is_let_go_and_charged_as_far_as_it_came(world: World) -> None:
    h, _, client = world
    account = Account(h, client, "acct_ends")
    assert account.ask(status=500).status_code == 500
    assert account.settled() == 0
    assert account.ask(tokens=70, stream=True).status_code == 200
    assert account.settled() == 70, "the whole stream says what it cost, and what an event stands for"
    with suppress(httpx.HTTPError):  # the upstream resets it
        account.ask(tokens=200, stream=True, reset=100)
    assert account.settled() == pytest.approx(170, abs=60)
    used = account.used
    account.leaves(1, tokens=1_000, stream=True, hang=300)
    assert 1 <= account.settled() - used <= 305
    used = account.used
    text = "word " * 1_000  # all of it but the last bytes
    came = account.leaves(5_000, text=text, tokens=1_000, cut=5_020)
    assert account.settled() - used >= came / 4
    used = account.used
    with pytest.raises(httpx.TimeoutException):  # the client leaves before anything came
        client.post(CHAT, json={"model": "mira", "wait": 60}, headers=account.auth, timeout=0.5)
    assert account.settled() == used


def test_clients_that_go_while_they_are_asked_about_leave_nothing_held(world: World) -> None:
    h, _, client = world
    account, port = Account(h, client, "acct_goes"), client.base_url.port
    body = json.dumps({"model": "mira", "messages": [], "max_tokens": 1, "wait": 5}).encode()
    key = account.auth["authorization"].encode()
    head = b"POST %s HTTP/1.1\r\nhost: x\r\nauthorization: %s\r\ncontent-type: application/json\r\n"
    asked = head % (CHAT.encode(), key) + b"content-length: %d\r\n\r\n" % len(body) + body

    def go(after_s: float) -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(asked)
            time.sleep(after_s)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(go, [k % 40 / 4_000 for k in range(400)]))
    assert account.settled() == 0
    assert h.beat()["untold_answers"] == 0


def test_hooks_that_are_killed_lose_nothing_of_what_is_on_its_way(world: World) -> None:
    h, model, client = world
    account, before = Account(h, client, "acct_killed"), model.asked
    with ThreadPoolExecutor(8) as pool:
        shots = [pool.submit(account.ask, wait=6, tokens=1_500) for _ in range(8)]
        until(lambda: model.asked == before + 8, what="all are on their way")
        until(lambda: (h.folder.run / "hooks.held").exists(), what="the note of the longest")
        h.stop("hooks", 9)
        h.start_hooks()
        assert account.held == 8 * ANSWER, "their answers still come"
        assert [shot.result().status_code for shot in shots] == [200] * 8
    assert account.settled() == 8 * 1_500


def test_an_answer_that_is_told_again_after_a_kill_is_charged_once() -> None:
    """A sender that lost our acknowledgement by the kill sends again."""
    limits = "version = 1\n[limits]\noutput_tokens_per_day = 10000\n"
    with hooks(limits, recorder=False) as h, httpx.Client(base_url=h.url, headers=h.token) as client:

        def ask() -> dict[str, Any]:
            asked = {"account": "acct_test", "model": "mira", "max_tokens": 1_000}
            return client.post("/decide/json;answers=yes;held=600", json=asked).raise_for_status().json()

        told = {"answer": ask()["answer"], "output_tokens": 1_000, "model": "mira"}
        lost = {"answer": ask()["answer"], "output_tokens": 500, "model": "mira"}
        assert client.post("/answers", json=told).status_code == 200
        for _ in range(2):
            h.stop("hooks", signal.SIGKILL)
            h.start_hooks()
            for _ in range(2):
                assert client.post("/answers", json=told).status_code == 200
                assert client.post("/answers", json=lost).status_code == 200
        assert ask()["output_tokens_left"] == 10_000 - 1_500


def test_an_envoy_that_is_gone_takes_its_answers_with_it(tmp_path: Path) -> None:
    with (
        serving() as (model, url),
        hooks(TERMS, recorder=False) as h,
        in_front("envoy", h, url, tmp_path) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        account = Account(h, client, "acct_gone")
        shots = [pool.submit(account.ask, wait=600) for _ in range(4)]
        until(lambda: model.asked == 4 and account.held == 4 * ANSWER, what="all are held")
        os.kill(int((tmp_path / "process").read_text()), signal.SIGKILL)
        assert all(shot.exception() for shot in shots)
        assert account.settled() == 0
