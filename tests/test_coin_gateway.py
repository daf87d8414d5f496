"""Canaries in a real gateway with a real upstream: the clients' replies, the ledger's records, failures."""

import json
import os
import signal
import time
from typing import Any

import httpx2 as httpx
import pytest

from coin_world import KEY
from gateway_world import Running, gateway, until
from stillwatch.coin import CoinError, Pair, Throw, Unpaired
from stillwatch.coin.keys import write_key
from stillwatch.coin.sealing import new_reading_key, read_reading_key
from stillwatch.coin.verify import coins, pairs, read, verify
from stillwatch.gateway import heartbeat
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.path.coins import NO_KEY, reader_file, twice
from upstream import Upstream
from upstream_faults import Reply

KEYS = {KEY.commitment: KEY}
ASK = {"model": "mira", "messages": [{"role": "user", "content": "Why is the sky blue?"}], "temperature": 1}
PLAIN = '[coin]\nshare = 1.0\ntexts = "plain"\n'


class Varied(Upstream):
    """An upstream that answers one question in many ways: its answer also depends on the request's number."""

    same = False

    def good(self, seen: Any, path: str, body: dict[str, Any]) -> Reply:
        if not self.same and body.get("messages"):
            last = body["messages"][-1]
            said = last["content"] if isinstance(last["content"], str) else json.dumps(last["content"])
            body = body | {"messages": [*body["messages"][:-1], last | {"content": f"{said} {seen.number}"}]}
        return super().good(seen, path, body)


@pytest.fixture(scope="module")
def up():
    with Varied() as found:
        yield found


@pytest.fixture(autouse=True)
def _afresh(up: Varied) -> None:
    up.same = False
    up.faults.clear()
    up.seen.clear()
    up.total = 0


def with_key(folder: Folder, sealed: bool = False) -> None:
    write_key(folder.coin / "keys", KEY)
    if sealed:
        reader_file(folder).write_text(new_reading_key(folder.path / "reading.key").hex())


def coined(upstream: str, terms: str = PLAIN, **settings: Any):
    """A gateway that has a key and draws canaries from its first request on."""

    class World:
        def __enter__(self) -> Running:
            self.made = gateway(upstream, terms, start=False, **settings)
            g = self.made.__enter__()
            with_key(g.folder, sealed="plain" not in terms)
            g.start("worker-0")
            return g

        def __exit__(self, *why: object) -> None:
            self.made.__exit__(*why)

    return World()


def records(g: Running, least: int = 0) -> list[Pair | Unpaired]:
    def found() -> list[Pair | Unpaired]:
        try:
            ledger = read(g.folder.coin / "ledger", KEYS, None, opened=True)
            return [one for one in ledger if isinstance(one, Pair | Unpaired)]
        except CoinError as why:
            if "no ledger" in str(why):
                return []
            raise

    until(lambda: len(found()) >= least, what=f"{least} records")
    return found()


def ask(g: Running, path: str = "/v1/chat/completions", headers=None, **body):
    return httpx.post(g.url + path, json={**ASK, **body}, headers={**g.auth, **(headers or {})})


def said(body: bytes) -> str:
    return json.loads(body)["choices"][0]["message"]["content"]


def text_of(reply: httpx.Response) -> str:
    return said(reply.content)


@pytest.mark.slow
def test_off_unless_the_terms_say_so(up: Varied) -> None:
    with gateway(up.url) as g:
        with_key(g.folder)
        assert ask(g).status_code == 200
        time.sleep(0.2)
        assert up.total == 1
        assert not (g.folder.coin / "ledger").exists()
        assert g.counters()["coins"] == 0


@pytest.mark.slow
def test_the_coin_picks_the_answer_and_the_ledger_keeps_both(up: Varied) -> None:
    with coined(up.url) as g:
        replies = [ask(g) for _ in range(12)]
        kept = records(g, 12)
        up.wait_seen(24)
        sent = {bytes(one.sent) for one in up.seen}
        served = {}
        for one in kept:
            assert isinstance(one, Pair)
            assert one.served == KEY.coin(one.ledger, one.number)
            assert not one.tie
            assert one.account == "acct_test"
            assert one.messages == ({"role": "user", "content": "Why is the sky blue?"},)
            assert all(a.output_tokens and a.finish_reason == "stop" for a in one.answers)
            served[one.number] = one.answers[one.served].text
        assert [text_of(reply) for reply in replies] == [served[n] for n in range(12)]
        assert all(reply.content in sent for reply in replies)  # byte for byte
        bodies = {one.body for one in up.seen}
        assert len(bodies) == 1  # both are requested in the same way
        assert {one.served for one in kept} == {0, 1}  # type: ignore[union-attr]
        for one in kept:  # the first answer is the one requested first
            assert isinstance(one, Pair)
            numbers = [
                next(seen.number for seen in up.seen if said(bytes(seen.sent)) == answer.text)
                for answer in one.answers
            ]
            assert numbers == [2 * one.number + 1, 2 * one.number + 2]
        found = until(lambda: (c := g.counters())["coin_pairs"] == 12 and c, what="twelve pairs")
        assert (found["coins"], found["coin_pairs"], found["coin_lost"]) == (12, 12, 0)
        assert found["coin_tokens"] == sum(a.output_tokens or 0 for p in kept for a in p.answers)  # type: ignore[union-attr]
        assert found["output_tokens"] < found["coin_tokens"]  # the client is charged for one
        g.stop("worker-0")
        done = verify(g.folder.coin / "ledger", KEYS)
        assert (done.pairs, done.lost, done.torn) == (12, 0, ())


SLOW = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        pytest.param("/v1/messages", marks=SLOW),
        pytest.param("/v1/completions", marks=SLOW),
    ],
)
def test_streams_pass_as_they_come_and_are_kept_whole(up: Varied, path: str) -> None:
    with coined(up.url) as g:
        extra = {"prompt": "Why?"} if path == "/v1/completions" else {}
        replies = [ask(g, path, stream=True, max_tokens=400, **extra) for _ in range(4)]
        kept = records(g, 4)
        sent = {bytes(one.sent) for one in up.wait_seen(8)}
        assert all(reply.content in sent for reply in replies)
        for one in kept:
            assert isinstance(one, Pair), one
            whole = replies[one.number].text
            assert all(
                json.dumps(word, ensure_ascii=False)[1:-1] in whole
                for word in one.answers[one.served].text.split()
            )


@SLOW
def test_texts_are_sealed_unless_the_terms_say_otherwise(up: Varied) -> None:
    with coined(up.url, "[coin]\nshare = 1.0\n") as g:
        served = text_of(ask(g))
        until(lambda: g.counters()["coin_pairs"] == 1, what="the record")
        (one,) = pairs(g.folder.coin / "ledger", KEYS, read_reading_key(g.folder.path / "reading.key"))
        assert one.answers[one.served].text == served
        raw = b"".join(p.read_bytes() for p in (g.folder.coin / "ledger").iterdir())
        assert served.encode() not in raw
        assert b"sky" not in raw


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", ["torn", *(pytest.param(f, marks=SLOW) for f in ("500", "stall", "garbage"))]
)
def test_a_second_answer_that_fails_harms_nobody(up: Varied, fault: str) -> None:
    with coined(up.url, upstream_timeout_s=12.0) as g:
        served = KEY.coin("w0-000001", 0)
        up.faults.extend([*([fault, ""] if served == 1 else ["", fault]), fault])  # requested again
        began = time.monotonic()
        reply = ask(g)
        assert reply.status_code == 200
        assert time.monotonic() - began < 10  # no request waits for it
        (one,) = records(g, 1)
        assert isinstance(one, Unpaired)
        assert one.why.startswith(f"{'first' if served == 1 else 'second'} answer: ")
        until(lambda: g.counters()["coin_unpaired"] == 1, what="its being counted")
        assert ask(g).status_code == 200


@SLOW
@pytest.mark.parametrize("fault", ["torn", "500"])
def test_a_second_answer_that_breaks_off_is_asked_for_once_more(up: Varied, fault: str) -> None:
    """Otherwise canaries are lost, and each lost one counts against the provider."""
    with coined(up.url) as g:
        up.faults.extend([fault, ""] if KEY.coin("w0-000001", 0) == 1 else ["", fault])
        served = text_of(ask(g))
        (one,) = records(g, 1)
        assert isinstance(one, Pair)
        assert one.answers[one.served].text == served
        assert one.answers[1 - one.served].text == said(bytes(up.wait_seen(3)[2].sent))
        assert up.total == 3


@SLOW
def test_an_upstream_that_is_busy_gets_no_second_requests(up: Varied) -> None:
    with coined(up.url) as g:
        up.faults.extend(["429", ""] if KEY.coin("w0-000001", 0) == 1 else ["", "429"])
        assert ask(g).status_code == 200
        records(g, 1)
        assert ask(g).status_code == 200
        assert g.counters()["coins"] == 1
        assert up.total == 3


@SLOW
def test_a_served_answer_that_fails_is_an_error_as_ever_and_no_pair(up: Varied) -> None:
    with coined(up.url) as g:
        served = KEY.coin("w0-000001", 0)
        up.faults.extend(["", "torn"] if served == 1 else ["torn", ""])
        assert ask(g).status_code == 502
        (one,) = records(g, 1)
        assert isinstance(one, Unpaired)


@SLOW
def test_the_same_answer_twice_is_a_tie(up: Varied) -> None:
    up.same = True
    with coined(up.url) as g:
        ask(g)
        (one,) = records(g, 1)
        assert isinstance(one, Pair)
        assert one.tie


@pytest.mark.slow
def test_a_client_that_leaves_does_not_choose_its_answer(up: Varied) -> None:
    with coined(up.url) as g:
        with httpx.stream(
            "POST", g.url + "/v1/chat/completions", json={**ASK, "stream": True},
            headers={**g.auth, "x-tokens": "120", "x-fault": "slow=0.01"},
        ) as reply:  # fmt: skip
            next(reply.iter_raw())
        (one,) = records(g, 1)
        assert isinstance(one, Pair)
        lengths = [len(a.text.split()) for a in one.answers]
        assert min(lengths) > 80
        until(lambda: g.counters()["client_left"] == 1, what="the leaving")
        assert ask(g).status_code == 200


@SLOW
def test_whose_exchanges_are_chosen(up: Varied) -> None:
    terms = '[coin]\naccounts = ["somebody-else"]\ntexts = "plain"\n'
    with coined(up.url, terms) as g:
        assert ask(g).status_code == 200
        assert g.counters()["coins"] == 0
    terms = '[coin]\naccounts = ["acct_test"]\ntexts = "plain"\noutput_tokens_per_day = 1\n'
    with coined(up.url, terms) as g:
        ask(g)
        records(g, 1)
        ask(g)
        assert g.counters()["coins"] == 1  # the day's tokens are spent


@SLOW
def test_without_a_key_it_says_so_and_serves(up: Varied) -> None:
    with gateway(up.url, PLAIN) as g:
        assert ask(g).status_code == 200
        says = until(lambda: heartbeat.read(g.folder.run / "worker-0.json"), what="a beat")
        assert says["coin"] == NO_KEY
        with_key(g.folder)
        until(lambda: (g.folder.coin / "ledger").exists(), what="the key's being seen")
        ask(g)
        assert len(records(g, 1)) == 1


@SLOW
def test_a_killed_worker_leaves_a_ledger_that_goes_on(up: Varied) -> None:
    with coined(up.url) as g:
        for _ in range(5):
            ask(g)
        records(g, 5)
        os.kill(g.processes["worker-0"].pid, signal.SIGKILL)
        g.processes.pop("worker-0").wait(10)
        g.start("worker-0")
        ask(g)
        assert len(records(g, 6)) == 6
        g.stop("worker-0")
        assert [head.ledger for head in verify(g.folder.coin / "ledger", KEYS).heads] == [
            "w0-000001",
            "w0-000002",
        ]


@SLOW
def test_a_coin_that_a_kill_took_is_known_by_its_throw(up: Varied) -> None:
    """The draw is on disk before its answers arrive: nobody can select canaries by killing the gateway."""
    with coined(up.url) as g:
        ask(g)
        records(g, 1)
        with httpx.stream(
            "POST", g.url + "/v1/chat/completions", json={**ASK, "stream": True},
            headers={**g.auth, "x-tokens": "400", "x-fault": "slow=0.05"},
        ) as reply:  # fmt: skip
            next(reply.iter_raw())
            ledger = g.folder.coin / "ledger" / "w0-000001.jsonl"
            until(lambda: ledger.read_bytes().count(b'"kind":"throw"') == 2, what="the second throw")
            os.kill(g.processes["worker-0"].pid, signal.SIGKILL)
            g.processes.pop("worker-0").wait(10)
        found = list(coins(g.folder.coin / "ledger", KEYS))
        throws = [one for one in found if isinstance(one, Throw)]
        assert [(one.number, one.account, one.before) for one in throws] == [
            (0, "acct_test", 0),
            (1, "acct_test", 1),
        ]
        assert [one.number for one in found if isinstance(one, Pair)] == [0]
        assert verify(g.folder.coin / "ledger", KEYS).lost == 1


def test_what_may_be_asked_twice() -> None:
    def may(operation: str = "chat", **asked: object) -> bool:
        return twice(operation, json.dumps({"model": "m", **asked}).encode())

    assert may()
    assert may(temperature=0.7, tools=[{"type": "function", "function": {}}])
    assert may(tools=[{"name": "f", "input_schema": {}}])
    assert may("responses", store=False)
    assert not may("responses")
    assert not may(temperature=0)
    assert not may(seed=7)
    assert not may(store=True)
    assert not may(tools=[{"type": "web_search"}])
    assert not may(conversation="c1", store=False)
    assert not may(mcp_servers=[{"url": "x"}])
    assert not twice("chat", b"[")


@pytest.mark.slow
def test_an_idempotency_key_is_another_one_for_the_second_asking(up: Varied) -> None:
    with coined(up.url) as g:
        for n in range(4):
            assert ask(g, headers={"Idempotency-Key": f"k{n}"}).status_code == 200
        kept = records(g, 4)
        seen = up.wait_seen(8)
        # each account's keys are its own, so the client's is given another name
        keys = [one.header("idempotency-key") for one in seen]
        assert keys[1::2] == [f"{key}-2" for key in keys[::2]]
        assert len(set(keys)) == 8
        assert all(isinstance(one, Pair) for one in kept)
