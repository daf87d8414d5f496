"""The official clients, unchanged, with a real gateway and a real upstream: their features and failures.

The last test stops the gateway and checks the row that each earlier test expects.
"""

import asyncio
import hashlib
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

import upstream_replies as model
from gateway_world import UPSTREAM_KEY, Running, gateway, request, until
from stillwatch.gateway.control.state import ControlState
from stillwatch.terms.load import default_text
from upstream import Seen, Upstream

TERMS = """
[[ban]]
family = "deepseek"
message = "Not allowed here: {reason}"

[limits.account.acct_poor]
requests_per_minute = 1
"""
HELLO: list[Any] = [{"role": "user", "content": "hello"}]
TOOL: dict[str, Any] = {
    "name": "weather",
    "description": "…",
    "parameters": {"type": "object", "properties": {}},
}
CHAT_TOOL: Any = {"type": "function", "function": TOOL}
RESPONSES_TOOL: Any = {"type": "function", "strict": False, **TOOL}
MESSAGES_TOOL: Any = {"name": "weather", "input_schema": {"type": "object"}}


@pytest.fixture(scope="module")
def gate(up: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path: Path = tmp_path_factory.mktemp("serve") / "folder"
    limits, rest = TERMS.split("[limits", 1)
    text = default_text().replace("[ladder]  ", f"[limits{rest}\n[ladder]  ", 1)
    with gateway(up.url, text + limits, path=path) as running:
        yield running


@pytest.fixture(scope="module")
def client(gate: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gate.url}/v1", api_key=gate.key, max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def claude(gate: Running) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gate.url, api_key=gate.key, max_retries=0) as made:
        yield made


def last(up: Upstream) -> Seen:
    return up.wait_seen(1)[-1]


def text_of(**asked: Any) -> str:
    return "".join(model.answer({"model": "mira", **asked}).text)


EXPECTED: dict[str, dict[str, Any]] = {}  # by user agent: the expected row


NUMBERS = itertools.count()


def tagged(**headers: str) -> dict[str, str]:
    """Return headers that identify one request's row."""
    return {"user-agent": f"tests/{next(NUMBERS)}", **headers}


def expect(seen: Seen, **fields: Any) -> None:
    EXPECTED[str(seen.header("user-agent"))] = fields


# --- OpenAI ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_chat(client: openai.OpenAI, up: Upstream) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="mira",
        messages=HELLO,
        user="eu-7",
        extra_headers=tagged(),
        extra_body={"x_unknown": [1, {"a": None}]},
    )
    whole, seen = raw.parse(), last(up)
    assert whole.choices[0].message.content == text_of(messages=HELLO)
    assert raw.http_response.content == bytes(seen.sent)
    assert raw.headers["x-request-id"] == f"up-{seen.number}"
    assert json.loads(seen.body)["x_unknown"] == [1, {"a": None}]
    assert whole.usage
    expect(
        seen,
        operation="chat",
        model="mira",
        end_user="eu-7",
        status=200,
        outcome="complete",
        input_tokens=whole.usage.prompt_tokens,
        output_tokens=seen.output_tokens,
    )


@pytest.mark.parametrize("usage", [True, False])
def test_chat_stream(client: openai.OpenAI, up: Upstream, usage: bool) -> None:
    more: dict[str, Any] = {"stream_options": {"include_usage": True}} if usage else {}
    stream = client.chat.completions.create(
        model="mira", messages=HELLO, stream=True, extra_headers=tagged(**{"x-tokens": "150"}), **more
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    seen = last(up)
    assert text == "".join(model.answer({"model": "mira", "messages": HELLO}, 150).text)
    expect(seen, stream=True, output_tokens=pytest.approx(150, abs=0 if usage else 3))


def test_chat_stream_helper_and_tools(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="mira", messages=HELLO, tools=[CHAT_TOOL], tool_choice="required"
    ) as stream:
        stream.until_done()
        calls = stream.get_final_completion().choices[0].message.tool_calls
    assert calls
    assert calls[0].function.name == "weather"
    assert json.loads(calls[0].function.arguments)["reasoning"] == "kept"
    whole = client.chat.completions.create(
        model="mira", messages=HELLO, tools=[CHAT_TOOL], tool_choice="required", n=2
    )
    assert len(whole.choices) == 2
    assert whole.choices[0].message.tool_calls


def test_reasoning_and_log_probabilities_pass_where_nobody_strips_them(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(
        model="mira-think", messages=HELLO, logprobs=True, top_logprobs=2
    ).choices[0]
    assert whole.logprobs
    assert whole.logprobs.content
    assert whole.message.model_extra
    assert whole.message.model_extra["reasoning_content"]


@pytest.mark.slow
def test_responses(client: openai.OpenAI, up: Upstream) -> None:
    whole = client.responses.create(
        model="mira", input="hello", instructions="be brief", extra_headers=tagged()
    )
    assert whole.output_text == text_of(input="hello")
    expect(last(up), outcome="complete", output_tokens=last(up).output_tokens)
    with client.responses.stream(model="mira-think", input="hello") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == "".join(model.answer({"model": "mira-think", "input": "hello"}).text)
    assert "response.reasoning_summary_text.delta" in kinds
    with client.responses.stream(
        model="mira", input="hello", tools=[RESPONSES_TOOL], tool_choice="required"
    ) as stream:
        stream.until_done()
        assert stream.get_final_response().output[0].type == "function_call"


def test_old_completions(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="mira", prompt="hello", logprobs=2)
    stream = client.completions.create(model="mira", prompt="hello", stream=True)
    assert whole.choices[0].text == text_of(prompt="hello") == "".join(c.choices[0].text for c in stream)


def test_embeddings(client: openai.OpenAI, up: Upstream) -> None:
    found = client.embeddings.create(
        model="mira-embed", input=["a", "b"], encoding_format="float", extra_headers=tagged()
    )
    assert len(found.data) == 2
    expect(last(up), operation="embeddings", input_tokens=found.usage.prompt_tokens)


def test_models_are_listed_without_banned_ones(client: openai.OpenAI, up: Upstream) -> None:
    listed = [one.id for one in client.models.list()]
    assert [name for name in model.MODELS if "deepseek" not in name] == listed
    assert last(up).method == "GET"


def test_paths_that_the_gateway_does_not_know_pass(client: openai.OpenAI, up: Upstream) -> None:
    data = b'{"custom_id": "1"}\n' * 1000
    client.files.create(file=("batch.jsonl", data), purpose="batch")
    seen = last(up)
    assert seen.path == "/v1/files"
    assert data in seen.body
    client.get("/oddly/named?a=1&b=%2F%20", cast_to=object)
    assert last(up).path == "/v1/oddly/named?a=1&b=%2F%20"
    with pytest.raises(openai.NotFoundError):  # its owner is unknown
        client.delete("/models/mine", cast_to=object)


def test_unknown_headers_pass_both_ways_and_the_upstreams_key_does_not(
    client: openai.OpenAI, up: Upstream, gate: Running
) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="mira", messages=HELLO, extra_headers={"x-mine": "1, 2", "openai-organization": "org-1"}
    )
    seen = last(up)
    assert seen.header("x-mine") == "1, 2"
    assert seen.header("openai-organization") == "org-1"
    assert seen.header("authorization") == f"Bearer {UPSTREAM_KEY}"
    assert gate.key not in str(seen.headers)
    assert UPSTREAM_KEY not in str(raw.headers) + raw.text


@pytest.mark.slow
def test_async_clients_side_by_side(gate: Running, up: Upstream) -> None:
    async def one(client: openai.AsyncOpenAI, at: int) -> tuple[str, str]:
        asked: list[Any] = [{"role": "user", "content": f"question {at}"}]
        if at % 2:
            stream = await client.chat.completions.create(model="mira", messages=asked, stream=True)
            return f"question {at}", "".join([c.choices[0].delta.content or "" async for c in stream])
        whole = await client.chat.completions.create(model="mira", messages=asked)
        return f"question {at}", whole.choices[0].message.content or ""

    async def main() -> list[tuple[str, str]]:
        async with openai.AsyncOpenAI(base_url=f"{gate.url}/v1", api_key=gate.key, max_retries=0) as client:
            return await asyncio.gather(*(one(client, at) for at in range(60)))

    for asked, said in asyncio.run(main()):
        assert said == text_of(messages=[{"role": "user", "content": asked}])


# --- Anthropic -------------------------------------------------------------------------------------------


def test_messages(claude: anthropic.Anthropic, up: Upstream) -> None:
    raw = claude.messages.with_raw_response.create(
        model="mira", max_tokens=500, messages=HELLO, metadata={"user_id": "eu-8"}, extra_headers=tagged()
    )
    whole, seen = raw.parse(), last(up)
    assert whole.content[0].type == "text"
    assert whole.content[0].text == text_of(messages=HELLO, max_tokens=500)
    assert raw.http_response.content == bytes(seen.sent)
    assert seen.header("anthropic-version")
    assert UPSTREAM_KEY in (
        seen.header("x-api-key"),
        str(seen.header("authorization")).removeprefix("Bearer "),
    )
    expect(
        seen,
        end_user="eu-8",
        max_tokens=500,
        input_tokens=whole.usage.input_tokens,
        output_tokens=seen.output_tokens,
    )


def test_messages_stream_thinking_and_tools(claude: anthropic.Anthropic, up: Upstream) -> None:
    with claude.messages.stream(
        model="mira-think", max_tokens=500, messages=HELLO, extra_headers=tagged()
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "".join(model.answer({"model": "mira-think", "messages": HELLO}).text)
    assert [block.type for block in final.content] == ["thinking", "redacted_thinking", "text"]
    seen = last(up)
    expect(seen, stream=True, output_tokens=seen.output_tokens)
    with claude.messages.stream(
        model="mira", max_tokens=500, messages=HELLO, tools=[MESSAGES_TOOL], tool_choice={"type": "any"}
    ) as stream:
        stream.until_done()
        assert stream.get_final_message().content[0].type == "tool_use"


def test_messages_async(gate: Running) -> None:
    async def main() -> str:
        async with (
            anthropic.AsyncAnthropic(base_url=gate.url, api_key=gate.key, max_retries=0) as made,
            made.messages.stream(model="mira", max_tokens=500, messages=HELLO) as stream,
        ):
            return "".join([text async for text in stream.text_stream])

    assert asyncio.run(main()) == text_of(messages=HELLO)


# --- refusals and failures become the clients' own exceptions -----------------------------------------------


@pytest.fixture(scope="module")
def poor(gate: Running) -> str:
    """A key of an account that may send one request a minute."""
    with ControlState(gate.folder.state, gate.folder.secret()) as state:
        key = state.issue("acct_poor", now_us=time.time_ns() // 1000)

    def known() -> bool:
        with openai.OpenAI(base_url=f"{gate.url}/v1", api_key=key, max_retries=0) as client:
            try:
                client.models.list()
            except openai.RateLimitError:
                return True
            except openai.AuthenticationError:
                return False
        return False

    until(known, what="the new key")
    return key


def test_a_wrong_key(gate: Running, up: Upstream) -> None:
    before = up.total
    with openai.OpenAI(base_url=f"{gate.url}/v1", api_key="sk-wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            client.chat.completions.create(model="mira", messages=HELLO)
        assert refused.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(model="mira", messages=HELLO, stream=True)
    with (
        anthropic.Anthropic(base_url=gate.url, api_key="sk-wrong", max_retries=0) as claude,
        pytest.raises(anthropic.AuthenticationError) as refused_too,
    ):
        claude.messages.create(model="mira", max_tokens=5, messages=HELLO)
    assert isinstance(refused_too.value.body, dict)
    assert refused_too.value.body["error"]["type"] == "authentication_error"
    assert up.total == before


def test_a_banned_model(client: openai.OpenAI, claude: anthropic.Anthropic, up: Upstream) -> None:
    before = up.total
    with pytest.raises(openai.PermissionDeniedError) as refused:
        client.chat.completions.create(model="deepseek-chat", messages=HELLO)
    assert refused.value.code == "model_banned"
    assert "deepseek" in str(refused.value).lower()
    with pytest.raises(openai.PermissionDeniedError):
        client.responses.create(model="openrouter/deepseek/deepseek-r1", input="x")
    with pytest.raises(anthropic.PermissionDeniedError):
        claude.messages.create(model="deepseek-v3", max_tokens=5, messages=HELLO)
    assert up.total == before


def test_a_banned_model_that_answers_under_another_name(client: openai.OpenAI) -> None:
    hidden = {"x-fault": "other-model=deepseek-r1"}
    with pytest.raises(openai.PermissionDeniedError) as refused:
        client.chat.completions.create(model="mira", messages=HELLO, extra_headers=hidden)
    assert refused.value.code == "model_banned"
    with pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model="mira", messages=HELLO, stream=True, extra_headers=hidden)


def test_a_limit(gate: Running, poor: str) -> None:
    with (
        openai.OpenAI(base_url=f"{gate.url}/v1", api_key=poor, max_retries=0) as client,
        pytest.raises(openai.RateLimitError) as refused,
    ):
        client.chat.completions.create(model="mira", messages=HELLO)
    assert refused.value.code == "rate_limited"
    assert 1 <= int(refused.value.response.headers["retry-after"]) <= 60
    with (
        anthropic.Anthropic(base_url=gate.url, api_key=poor, max_retries=0) as claude,
        pytest.raises(anthropic.RateLimitError),
    ):
        claude.messages.create(model="mira", max_tokens=5, messages=HELLO)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("400", openai.BadRequestError),
        ("404", openai.NotFoundError),
        ("429", openai.RateLimitError),
        ("500", openai.InternalServerError),
        ("503", openai.InternalServerError),
        ("close-before-head", openai.InternalServerError),
        ("close-in-head", openai.InternalServerError),
        ("garbage", openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_fails(
    client: openai.OpenAI, up: Upstream, fault: str, expected: type[openai.APIStatusError], stream: bool
) -> None:
    with pytest.raises(expected) as failed:
        client.chat.completions.create(
            model="mira", messages=HELLO, stream=stream, extra_headers={"x-fault": fault}
        )
    seen = last(up)
    if fault.isdigit():
        assert failed.value.response.content == bytes(seen.sent)
        assert failed.value.status_code == int(fault)
    if fault == "429":
        assert failed.value.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("fault", ["torn", "torn-event", "reset", "garble", "error-event"])
def test_a_stream_that_breaks_off(client: openai.OpenAI, up: Upstream, fault: str) -> None:
    headers = tagged(**{"x-fault": fault, "x-tokens": "100"})
    stream = client.chat.completions.create(model="mira", messages=HELLO, stream=True, extra_headers=headers)
    said: list[str] = []
    with pytest.raises(openai.APIError):
        said.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    seen = last(up)
    whole = "".join(model.answer({"model": "mira", "messages": HELLO}, 100).text)
    assert whole.startswith("".join(said))
    outcome = "complete" if fault == "error-event" else "upstream_error"
    delivered = sum(bool(part) for part in said)  # with a reset, less than the upstream sent
    expect(seen, outcome=outcome, output_tokens=pytest.approx(delivered, abs=3))


@pytest.mark.slow
def test_a_client_that_retries_gets_its_answer(gate: Running, up: Upstream) -> None:
    up.faults.extend(["503=0", "close-before-head", "429=0"])
    with openai.OpenAI(base_url=f"{gate.url}/v1", api_key=gate.key, max_retries=5) as client:
        whole = client.chat.completions.create(model="mira", messages=HELLO)
    assert whole.choices[0].message.content == text_of(messages=HELLO)
    assert not up.faults


def test_a_client_that_hangs_up(client: openai.OpenAI, up: Upstream) -> None:
    headers = tagged(**{"x-fault": "slow=0.01", "x-tokens": "400"})
    with client.chat.completions.create(
        model="mira", messages=HELLO, stream=True, extra_headers=headers
    ) as stream:
        taken = [next(stream) for _ in range(30)]
    seen = up.seen[-1]
    until(lambda: seen.gone, what="the upstream's stream ending")
    assert len(taken) - 2 <= seen.output_tokens < 400
    expect(seen, outcome="client_left", output_tokens=pytest.approx(seen.output_tokens, abs=8))


# --- bytes -----------------------------------------------------------------------------------------------


def exchanged(gate: Running, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    reply = request(gate.port, "POST", path, body, gate.auth | headers)
    return reply.status, reply.body


FAULTS = (
    "none split-utf8 byte one-write crlf mixed-ends multi-line comments bom no-done empty-choices slow=0.001 "
    "chunked length close-delimited connection-close http10 trailers early-hints idle-close close-on-reuse "
    "huge-headers=20000 other-model=mira-2 bad-json late=0.1"
)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS.split())
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_bodies_are_the_same_bytes_both_ways(
    gate: Running, up: Upstream, fault: str, path: str, stream: bool
) -> None:
    asked = {"model": "mira-think", "stream": stream, "messages": HELLO, "input": "hello", "max_tokens": 99}
    body = json.dumps(asked, ensure_ascii=False, indent=1).encode() + b"  \n"
    status, got = exchanged(gate, path, body, {"x-tokens": "12", "x-fault": fault.removeprefix("none")})
    seen = last(up)
    assert status == 200
    assert seen.body == body
    assert hashlib.sha256(got).digest() == hashlib.sha256(bytes(seen.sent)).digest()


@pytest.mark.slow
def test_odd_spellings_and_large_bodies_arrive_as_they_were_written(gate: Running, up: Upstream) -> None:
    words = "日本語 \\u00e9 \\ud83c\\udf0a " + "still water " * 400_000
    body = (
        b'{ "model":"mira",\t"messages":[{"role":"user","content":"' + words.encode() + b'"}], "x":1.00e2 }'
    )
    status, got = exchanged(gate, "/v1/chat/completions", body, {"expect": "100-continue"})
    seen = last(up)
    assert status == 200
    assert hashlib.sha256(seen.body).digest() == hashlib.sha256(body).digest()
    assert got == bytes(seen.sent)


@pytest.mark.slow
def test_every_row_says_what_happened_and_none_is_missing_or_there_twice(gate: Running, up: Upstream) -> None:
    """This test must run last: it stops the gateway."""
    rows = gate.settle()
    names = [row["exchange_id"] for row in rows]
    assert len(names) == len(set(names))
    by_agent = {row["user_agent"]: row for row in rows}
    for agent, fields in EXPECTED.items():
        assert {name: by_agent[agent][name] for name in fields} == fields, agent
    forwarded = [row for row in rows if row["outcome"] != "refused"]
    again = sum(seen.fault in ("close-before-head", "garbage") for seen in up.seen)  # each was retried once
    assert len(forwarded) <= up.total <= len(forwarded) + again
