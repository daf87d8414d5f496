"""Answers that are requested now and fetched later: charged in advance, by any API, once."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway_world import gateway, until
from scripted_upstream import Asked, Said, ask, scripted
from stillwatch.gateway.path.amounts import amounts
from stillwatch.gateway.path.batch import LaterAnswer, Notes
from stillwatch.gateway.path.budgets import Budgets
from stillwatch.gateway.path.references import made_in
from stillwatch.gateway.path.reply import facts_of_json, facts_of_later
from stillwatch.gateway.path.request import read
from stillwatch.units import HOUR_US

ROW = -1  # of an account that only this process counts
HOURLY = "version = 1\n[limits]\noutput_tokens_per_hour = 1000\n"
ASK = {"model": "mira", "messages": [{"role": "user", "content": "Why?"}], "max_tokens": 900}
USAGE = {"usage": {"prompt_tokens": 1, "completion_tokens": 300}}
# By API: the request for an answer, the name under which it is fetched, and the upstream's replies
APIS: dict[str, tuple[str, dict[str, Any], str, dict[str, Any], str, dict[str, Any]]] = {
    "replicate": (
        "/v1/models/acme/x/predictions", {"input": {"prompt": "Why?", "max_tokens": 900}, "stream": True},
        "id", {"status": "starting", "output": None, "metrics": {}},
        "/v1/predictions/", {"status": "succeeded", "output": ["x"], "metrics": {"output_token_count": 300}},
    ),
    "xai": (
        "/v1/chat/completions", ASK | {"deferred": True}, "request_id", {},
        "/v1/chat/deferred-completion/", {"object": "chat.completion", "choices": [], **USAGE},
    ),
    "perplexity": (
        "/async/chat/completions", ASK, "id", {"status": "CREATED", "response": None},
        "/async/chat/completions/", {"status": "COMPLETED", "response": {"choices": [], **USAGE}},
    ),
    "zhipu": (
        "/api/paas/v4/async/chat/completions", ASK, "id", {"request_id": "r", "task_status": "PROCESSING"},
        "/api/paas/v4/async-result/", {"request_id": "r", "task_status": "SUCCESS", "choices": [], **USAGE},
    ),
    "openai": (
        "/v1/responses", {"model": "mira", "input": "Why?", "background": True, "max_output_tokens": 900},
        "id", {"object": "response", "background": True, "status": "queued", "usage": None},
        "/v1/responses/", {"object": "response", "background": True, "status": "completed",
                           "usage": {"output_tokens": 300}},
    ),
}  # fmt: skip


class LaterUpstream:
    """It gives each answer a name, and reports it as in progress until it is `ready`."""

    def __init__(self, api: str) -> None:
        self.path, self.body, self.name, self.begun, self.fetch, self.done = APIS[api]
        self.made: list[str] = []
        self.ready = False

    def __call__(self, asked: Asked) -> Said | Any:
        if asked.method == "GET":
            name = asked.path.rpartition("/")[2]
            return {"id": name, **(self.done if self.ready else self.begun)}
        self.made.append(f"ans{len(self.made)}")
        return {self.name: self.made[-1], **self.begun}


@pytest.mark.slow
@pytest.mark.parametrize("api", APIS)
def test_what_is_fetched_later_is_charged_when_it_is_asked_for_and_once(api: str) -> None:
    upstream = LaterUpstream(api)
    with scripted(upstream) as up, gateway(up.url, HOURLY, recorder=False) as gate:
        with ThreadPoolExecutor(8) as pool:  # a salvo: no answer has come when the last request is sent
            begun = list(pool.map(lambda _: ask(gate, "POST", upstream.path, upstream.body)[0], range(16)))
        assert begun.count(200) <= 2, "one answer at most beyond the limit"
        assert {status for status in begun if status != 200} == {429}
        names = upstream.made
        for name in names:
            if api != "xai":  # which reports nothing until it is ready
                assert ask(gate, "GET", upstream.fetch + name)[0] == 200, (
                    "paid for, though the budget is spent"
                )
        upstream.ready = True
        assert ask(gate, "POST", upstream.path, upstream.body)[0] == 429
        for _ in range(3):
            for name in names:
                assert ask(gate, "GET", upstream.fetch + name)[0] == 200
        until(lambda: gate.counters()["output_tokens"] == 300 * len(names), what="each counted once")
        last = ask(gate, "POST", upstream.path, upstream.body)[0]
        assert last == 200, "what the answers did not bring was given back"


@pytest.mark.slow
def test_a_stream_of_a_background_answer_that_is_left_is_charged_in_full() -> None:
    """The answer continues at the upstream, and can be fetched by its name."""
    first = {"type": "response.created", "response": {"id": "resp_1", "model": "mira", "output": []}}
    text = {"type": "response.output_text.delta", "delta": "x"}
    stream = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in (first, text))

    def answer(asked: Asked) -> Said:
        # a length beyond the end: the upstream stops in the middle, as if the client had left
        cut = {"content-type": "text/event-stream", "content-length": "9000", "connection": "close"}
        return Said(stream, 200, cut)

    with scripted(answer) as up, gateway(up.url, HOURLY, recorder=False) as gate:
        body = APIS["openai"][1] | {"stream": True}
        for _ in range(2):
            with pytest.raises(Exception, match="IncompleteRead"):
                ask(gate, "POST", "/v1/responses", body)
        assert ask(gate, "POST", "/v1/responses", body)[0] == 429


def day_of(budgets: Budgets, at_us: int) -> tuple[int, int]:
    spent = budgets.spent(ROW, at_us)
    return spent.output_tokens_hour, spent.output_tokens_day


def test_what_was_charged_in_another_hour_is_not_given_back_to_this_one() -> None:
    budgets, then = Budgets(None), 10 * HOUR_US
    assert budgets.place("a", None) == ROW
    later = then + HOUR_US
    budgets.add(ROW, then, 1, 900, 1)
    budgets.promise(ROW, 900)
    budgets.settle(ROW, later, then, 900, 100, 1)
    assert day_of(budgets, later) == (0, 100)
    assert budgets.of_set(ROW, later, 1) == (100, 0)
    budgets.add(ROW, later, 1, 500)
    budgets.promise(ROW, 500)
    budgets.settle(ROW, later, later, 500, 800, None)
    assert day_of(budgets, later) == (800, 900)
    budgets.fetched(ROW, later, 50)
    assert day_of(budgets, later) == (850, 950), "no promise is left"


def test_an_answer_is_settled_once_over_workers_and_restarts(tmp_path: Path) -> None:
    first, second = Notes(tmp_path), Notes(tmp_path)
    first.note_answer("a", "r", LaterAnswer(500, "mira", 7))
    first.note_answer("a", "r", LaterAnswer(400, "mira", 9))  # a run that continued with a tool's result
    assert second.answer("a", "r") == LaterAnswer(900, "mira", 9)
    assert second.answer("b", "r") is None
    assert [second.settle_answer("a", "r"), first.settle_answer("a", "r")] == [True, False]
    assert first.answer("a", "r") == LaterAnswer(-1, "mira", 9)
    assert not second.settle_answer("a", "nobody's")


@pytest.mark.parametrize(
    ("reply", "at_work", "tokens"),
    [
        ({"id": "p", "status": "starting", "metrics": {}}, True, None),
        ({"id": "p", "status": "succeeded", "output": "x" * 400, "metrics": {"total_time": 1}}, False, 120),
        ({"request_id": "d"}, True, None),
        ({"id": "c", "request_id": "d", "choices": [], **USAGE}, False, 300),
        ({"id": "a", "status": "IN_PROGRESS", "response": None}, True, None),
        ({"id": "run_1", "object": "thread.run", "status": "requires_action"}, True, None),
    ],
)  # fmt: skip
def test_whether_an_answer_has_come(reply: dict[str, Any], at_work: bool, tokens: int | None) -> None:
    body = json.dumps(reply).encode()
    found = facts_of_later(body, facts_of_json(body))
    assert (found.at_work, found.output_tokens, found.background) == (at_work, tokens, True)


@pytest.mark.parametrize(
    "body", [b"{", b"{}\n{}", b"[1]", b'{"inputs": 1', b"{} x", b'{"metadata": {"inputs": "x"}}']
)
def test_what_makes_a_mere_conversation(body: bytes) -> None:
    assert read("POST", "/v1/conversations", "text/plain", "", body, 1 << 20).does == "creates"


@pytest.mark.parametrize(
    "body", [b'{"response": {"responsesFile": "\xff"}}', b'{"response": ' + b"[" * 5000, b"\xff", b"[]"]
)
def test_what_no_decoder_opens_brings_nothing(body: bytes) -> None:
    assert made_in(body, "batches", False) == []


def test_what_nobody_reads_makes_no_answer_shorter() -> None:
    assert amounts("chat", {"extra_body": {"max_tokens": 1}}).most is None
    assert amounts("chat", {"max_tokens": 5, "extra_body": {"max_tokens": 9}}).most == 9
    assert amounts("predict", {"input": {"max_tokens": 9}}).most == 9
    assert amounts("predict", {"input": {"max_tokens": 9}, "inputs": "a"}).most is None


@pytest.mark.slow
@pytest.mark.parametrize("target", ["/v1/conversations", "/v1/conversations/conv_1"])
def test_a_conversation_in_which_a_model_writes_is_held_to_the_terms(target: str) -> None:
    """Mistral's. At OpenAI the same paths only create and change an object, and no budget delays them."""
    said = {"conversation_id": "conv_1", "outputs": [{"model": "mira", "content": "x"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 900, "total_tokens": 901}}  # fmt: skip
    stream = b'data: {"type": "conversation.response.started", "conversation_id": "conv_2"}\n\ndata: '
    stream += json.dumps({"type": "conversation.response.done", "usage": said["usage"]}).encode() + b"\n\n"

    def answer(asked: Asked) -> Said:
        is_stream = b'"stream": true' in asked.body
        return Said(stream, headers={"content-type": "text/event-stream"}) if is_stream else Said(said)

    terms = HOURLY + '[[ban]]\nfamily = "deepseek"\n'
    asks = {"model": "mira", "inputs": "Why?", "completion_args": {"max_tokens": 900}}
    with scripted(answer) as up, gateway(up.url, terms, recorder=False) as gate:
        gate.own("conv_1")
        codes = [ask(gate, "POST", target, asks)[1].get("error", {}).get("code") for _ in range(3)]
        assert codes == [None, None, "rate_limited"]
        assert gate.counters()["output_tokens"] == 1_800
        assert ask(gate, "POST", target, {"items": [], "metadata": {"a": "b"}})[0] == 200
        unnamed = ask(gate, "POST", target, {"inputs": "Why?"})[1]["error"]["code"]
        assert unnamed == "model_not_allowed", "where there is a ban the model is named"
    with scripted(answer) as up, gateway(up.url, recorder=False) as gate:
        gate.own("conv_1")
        assert ask(gate, "POST", target, asks | {"stream": True})[0] == 200
        assert ask(gate, "GET", "/v1/conversations/conv_2")[0] == 200, "the stream's is the account's own"
        until(lambda: gate.counters()["output_tokens"] == 900, what="the count")
