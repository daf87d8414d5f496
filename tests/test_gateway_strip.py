"""No reasoning and no log-probability is passed on, however a reply is shaped or split; the rest stays."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import anthropic
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import upstream_replies as model
from stillwatch.gateway.path.strip import WITHHELD, SseStrip, strip_json
from upstream import Seen, Upstream
from upstream_faults import Reply, many_lines, mixed_ends

CANARY = "CANARY-7f3a"
ASKED: dict[str, dict[str, Any]] = {
    "/chat/completions": {
        "messages": [{"role": "user", "content": "hi"}],
        "logprobs": True,
        "top_logprobs": 2,
    },
    "/responses": {"input": "hi", "include": ["message.output_text.logprobs"]},
    "/messages": {"messages": [{"role": "user", "content": "hi"}]},
    "/completions": {"prompt": "hi", "logprobs": 2},
}
SECRET_WORDS = [word.strip() for word in model.SECRETS]


def body_of(path: str, **more: Any) -> dict[str, Any]:
    return {"model": "mira-think", **ASKED[path], **more}


def streamed(path: str, **more: Any) -> bytes:
    return b"".join(piece.data for piece in model.STREAMED[path](body_of(path, **more), None))


def through(data: bytes, cuts: list[int] | None = None) -> bytes:
    strip = SseStrip()
    at, made = 0, []
    for cut in [*sorted(cuts or []), len(data)]:
        made.append(strip.feed(data[at:cut]))
        at = max(at, cut)
    return b"".join([*made, strip.finish()])


def documents(stream: bytes) -> list[Any]:
    lines = [line[6:] for line in stream.splitlines() if line.startswith(b"data: {")]
    return [json.loads(line) for line in lines]


def leaks(data: bytes) -> list[str]:
    told = [word for word in SECRET_WORDS if word in data.decode()]
    return told + [name for name in ('"logprob":', '"token_logprobs":') if name.encode() in data]


# --- all known places ------------------------------------------------------------------------------------

TOKENS = [
    {"token": CANARY, "logprob": -0.1, "bytes": [1], "top_logprobs": [{"token": CANARY, "logprob": -1}]}
]
PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": CANARY}]},
    {"type": "text", "text": "seen"},
]
ITEM = {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": CANARY}]}
DEEP_ITEM = {"encrypted_content": CANARY, "content": [{"type": "reasoning_text", "text": CANARY}]} | ITEM
SEEN = {"type": "output_text", "text": "seen", "logprobs": TOKENS}
MESSAGE_ITEM = {"type": "message", "id": "msg", "content": [SEEN]}
BLOCKS = [
    {"type": "thinking", "thinking": CANARY, "signature": CANARY},
    {"type": "redacted_thinking", "data": CANARY},
    {"type": "text", "text": "seen"},
]
MESSAGE_FIELDS: list[dict[str, Any]] = [
    {"reasoning_content": CANARY},
    {"reasoning": CANARY},
    {"reasoning": {"text": CANARY}},
    {"reasoning_details": [{"type": "reasoning.text", "text": CANARY}]},
    {"reasoning_text": CANARY},
    {"thinking": CANARY},
    {"thinking_blocks": [{"type": "thinking", "thinking": CANARY}]},
    {"thought": CANARY},
    {"provider_specific_fields": {"reasoning_content": CANARY}},
    {"reasoningContent": CANARY},
    {"content": PARTS},
]
CHOICE_FIELDS: list[dict[str, Any]] = [
    {"logprobs": {"content": TOKENS, "refusal": None}},
    {"logprobs": {"tokens": [CANARY], "token_logprobs": [-1], "top_logprobs": [{CANARY: -1}]}},
    {"logprobs": TOKENS},
    {"prompt_logprobs": [None, {"1": {"decoded_token": CANARY}}]},
    {"reasoning": CANARY},
]
WHOLE: list[Any] = [
    *({"choices": [{"message": {"content": "seen"} | fields}]} for fields in MESSAGE_FIELDS),
    *({"choices": [{"text": "seen", **fields}]} for fields in CHOICE_FIELDS),
    {"content": "seen", "completion_probabilities": [{"content": CANARY, "probs": []}]},
    {"generated_text": "seen", "details": {"tokens": [{"text": "seen", "logprob": 0.0123}]}},
    {"text": "seen", "meta_info": {"output_token_logprobs": [[-1, 1, CANARY]]}},
    {"message": {"role": "assistant", "content": "seen", "thinking": CANARY}},
    {"response": "seen", "thinking": CANARY, "logprobs": TOKENS},
    {"object": "response", "output": [DEEP_ITEM, MESSAGE_ITEM], "reasoning": {"effort": "high"}},
    {"object": "list", "data": [DEEP_ITEM, MESSAGE_ITEM]},
    {
        "object": "list",
        "data": [{"object": "chat.completion", "choices": [{"logprobs": TOKENS}]}],
        "x": "seen",
    },
    {**DEEP_ITEM, "status": "seen"},
    {"type": "message", "content": BLOCKS},
    {"result": {"type": "succeeded", "message": {"content": BLOCKS}}},
    {"response": {"status_code": 200, "body": {"output": [DEEP_ITEM, MESSAGE_ITEM]}}},
]


@pytest.mark.parametrize("document", WHOLE, ids=lambda document: json.dumps(document)[:70])
def test_every_known_place_is_emptied(document: Any) -> None:
    made = strip_json(model.dumps(document))
    assert CANARY.encode() not in made
    assert b"0.0123" not in made
    assert b"seen" in made
    json.loads(made)
    assert strip_json(made) == made
    pretty = strip_json(json.dumps(document, indent=2).encode())
    assert json.loads(pretty) == json.loads(made)


@pytest.mark.parametrize("document", WHOLE, ids=lambda document: json.dumps(document)[:70])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_clients_read_hide_nothing(document: Any, encoding: str) -> None:
    made = strip_json(json.dumps(document).encode(encoding))
    assert CANARY not in made.decode()
    assert "seen" in made.decode()


def test_numbers_that_json_does_not_know_hide_nothing() -> None:
    made = strip_json(b'{"choices":[{"text":"\\ud83d","logprobs":{"token_logprobs":[-Infinity,NaN]}}]}')
    assert json.loads(made) == {"choices": [{"text": "\ud83d", "logprobs": None}]}


def test_escapes_in_a_key_hide_nothing() -> None:
    made = strip_json(b'{"choices":[{"message":{"content":"4","re\\u0061soning_content":"2+2"}}]}')
    assert made == b'{"choices":[{"message":{"content":"4"}}]}'


def test_a_batch_is_stripped_line_by_line() -> None:
    lines = [
        model.dumps({"custom_id": str(at), "response": {"body": whole}}) for at, whole in enumerate(WHOLE)
    ]
    made = strip_json(b"\n".join(lines))
    assert CANARY.encode() not in made
    assert [json.loads(line)["custom_id"] for line in made.splitlines()] == [
        str(at) for at in range(len(WHOLE))
    ]


@pytest.mark.parametrize("path", ASKED)
def test_no_whole_reply_leaks(path: str) -> None:
    whole = model.WHOLE[path](body_of(path), None)[0].data
    assert leaks(whole)
    made = strip_json(whole)
    assert not leaks(made)
    assert json.loads(made)["usage"] == json.loads(whole)["usage"]


# --- content that must not change ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices": [ {"message": {"content": "my reasoning, thinking, logprobs"}, "logprobs": null} ]}',
        b'{"choices":[{"message":{"content":null,"tool_calls":[{"function":{"arguments":"{\\"reasoning\\":1}"}}]}}]}',
        b'{"content":[{"type":"tool_use","input":{"reasoning":"kept","thinking":["kept"],"logprobs":[1]}}]}',
        b'{"object":"response","output":[],"reasoning":{"effort":"high","summary":"auto"},"top_logprobs":3,'
        b'"tools":[{"parameters":{"properties":{"reasoning":{"type":"string"}}}}],"metadata":{"reasoning":"x"}}',
        b'{"usage":{"completion_tokens_details":{"reasoning_tokens":7}},"choices":[]}',
        b'{"output":[{"type":"message","content":[{"type":"output_text","text":"4","logprobs":[]}]}]}',
        b'{"error": {"message": "logprobs are not supported with reasoning models", "param": "logprobs"}}',
        b'{"object":"list","data":[{"id":"mira","supports_reasoning":true,"capabilities":{"thinking":{}}}]}',
        b"",
        b"[Music] He was thinking.",
        b"\x00\x01\x02thinking\xff\xfe",
        b"just text about reasoning",
        b'"thinking"',
    ],
)
def test_what_holds_nothing_stays_byte_for_byte(body: bytes) -> None:
    assert strip_json(body) == body


@pytest.mark.parametrize(
    "body", [b'{"reasoning":"x', b'{"logprobs":[1}', b'[{"thinking":"x"},]', b'{"probs":1}x']
)
def test_what_cannot_be_read_is_withheld(body: bytes) -> None:
    assert strip_json(body) == WITHHELD


@pytest.mark.parametrize("depth", [50, 5_000, 100_000])
def test_depth_is_no_hiding_place_and_costs_no_stack(depth: int) -> None:
    hidden = b'{"message":' * depth + b'{"thinking":"x"}' + b"}" * depth
    assert strip_json(hidden) == WITHHELD


# --- streams ---------------------------------------------------------------------------------------------

VARIANTS = {
    "as sent": lambda data: data,
    "crlf": lambda data: data.replace(b"\n", b"\r\n"),
    "cr": lambda data: data.replace(b"\n", b"\r"),
    "mixed": mixed_ends,
    "many lines": many_lines,
    "bom": lambda data: b"\xef\xbb\xbf" + data,
    "comments": lambda data: data.replace(b"\n\n", b"\n\n: still here\n\n"),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("path", ASKED)
def test_no_stream_leaks(path: str, variant: str) -> None:
    made = through(VARIANTS[variant](streamed(path, n=2)))
    assert not leaks(made)
    assert made.count(b"still here") == (streamed(path, n=2).count(b"\n\n") if variant == "comments" else 0)


@pytest.mark.parametrize("style", ["content", "plain", "open"])
def test_a_chat_stream_keeps_its_text_and_its_chunks(style: str) -> None:
    asked = body_of("/chat/completions", x_reasoning_style=style, stream_options={"include_usage": True})
    said = model.answer(asked)
    before = documents(b"".join(piece.data for piece in model.chat_stream(asked, None)))
    after = documents(through(b"".join(piece.data for piece in model.chat_stream(asked, None))))
    text = "".join(c["delta"].get("content") or "" for chunk in after for c in chunk["choices"])
    assert text == "".join(said.text)
    assert len(after) == len(before)
    assert after[-1]["usage"] == before[-1]["usage"]


def test_indexes_move_up_behind_what_was_taken_out() -> None:
    blocks = documents(through(streamed("/messages")))
    assert {event["index"] for event in blocks if "index" in event} == {0}
    items = documents(through(streamed("/responses")))
    assert {event["output_index"] for event in items if "output_index" in event} == {0}
    assert [item["type"] for item in items[-1]["response"]["output"]] == ["message"]


def test_blocks_on_both_sides_of_thinking_keep_their_order() -> None:
    kinds = ["text", "thinking", "tool_use", "redacted_thinking", "text"]
    events: list[dict[str, Any]] = []
    for index, kind in enumerate(kinds):
        events.append({"type": "content_block_start", "index": index, "content_block": {"type": kind}})
        events.append(
            {"type": "content_block_delta", "index": index, "delta": {"type": "x", "text": f"{kind}"}}
        )
        events.append({"type": "content_block_stop", "index": index})
    made = documents(through(b"".join(model.sse(event, event=event["type"]).data for event in events)))
    assert [event["index"] for event in made] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_an_index_that_a_server_gives_anew_is_seen() -> None:
    events = [
        {"type": "response.output_item.added", "output_index": 0, "item": ITEM},
        {"type": "response.output_item.done", "output_index": 0, "item": ITEM},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "seen"},
    ]
    made = documents(through(b"".join(model.sse(event).data for event in events)))
    assert [event["type"] for event in made] == ["response.output_item.added", "response.output_text.delta"]


def test_what_is_taken_out_leaves_a_comment() -> None:
    hidden = model.sse({"type": "response.reasoning_text.delta", "delta": "x"}, event="e").data
    assert through(hidden) == b":\n\n"
    assert through(hidden.replace(b"\n", b"\r\n")) == b":\r\n\r\n"


@pytest.mark.parametrize("path", ["/chat/completions", "/completions"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_stream_without_any_of_it_passes_byte_for_byte(path: str, variant: str) -> None:
    asked = {**ASKED[path], "model": "mira", "logprobs": None}
    data = VARIANTS[variant](b"".join(piece.data for piece in model.STREAMED[path](asked, None)))
    assert through(data) == data


def test_a_torn_event_is_dropped_and_a_whole_one_without_its_end_is_kept() -> None:
    good = b'data: {"choices":[]}\n\n'
    assert through(good + b'data: {"choices":[{"delta":{"content":"hid') == good
    assert through(good + b'data: {"output":[{"summary":[{"text":"hid') == good
    assert through(good + b"data: [DONE]") == good + b"data: [DONE]"
    assert through(good + b'data: {"logprobs":{"a":1}}') == good + b'data: {"logprobs":null}'
    assert through(good + b"data: [DO") == good + b"data: [DO"


def test_an_event_that_cannot_be_read_is_dropped() -> None:
    assert through(b'data: {"thinking": oops}\n\ndata: [DONE]\n\n') == b":\n\ndata: [DONE]\n\n"


def test_an_event_without_end_is_cut_and_memory_is_bounded() -> None:
    strip = SseStrip(limit=1000)
    made = b"".join(strip.feed(b"data: {" + b"x" * 90) for _ in range(20))
    assert strip.cut
    assert made == b"event: error\ndata: " + WITHHELD + b"\n\n"
    assert strip.feed(b"\n\ndata: 1\n\n") == b""
    assert strip.finish() == b""
    patient = SseStrip(limit=1000)
    assert b"".join(patient.feed(b"data: 1\n\n") for _ in range(1000)) == b"data: 1\n\n" * 1000
    assert not patient.cut


# --- any split, any mixture ------------------------------------------------------------------------------

EVENTS = [
    *(
        model.sse({"id": "c", "choices": [{"index": 0, "delta": {"content": "x"} | f}]})
        for f in MESSAGE_FIELDS
    ),
    *(model.sse({"id": "c", "choices": [{"index": 0, "text": "x", **f}]}) for f in CHOICE_FIELDS),
    *(
        model.sse({"type": "content_block_start", "index": at, "content_block": b})
        for at, b in enumerate(BLOCKS)
    ),
    model.sse(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": CANARY}}
    ),
    model.sse(
        {"type": "content_block_delta", "index": 9, "delta": {"type": "signature_delta", "signature": CANARY}}
    ),
    model.sse({"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "日本 🜂"}}),
    model.sse({"type": "content_block_stop", "index": 2}),
    model.sse({"type": "response.output_item.added", "output_index": 0, "item": DEEP_ITEM}),
    model.sse({"type": "response.output_item.added", "output_index": 1, "item": MESSAGE_ITEM}),
    model.sse({"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": CANARY}),
    model.sse({"delta": CANARY}, event="response.reasoning_text.delta"),
    model.sse({"type": "response.output_text.delta", "output_index": 1, "delta": "é", "logprobs": TOKENS}),
    model.sse({"type": "response.content_part.done", "output_index": 1, "part": SEEN}),
    model.sse(
        {"type": "response.completed", "response": {"object": "response", "output": [ITEM, MESSAGE_ITEM]}}
    ),
    model.Piece(b": a comment\n\n"),
    model.Piece(b"\n\n\n"),
    model.Piece(b"id: 7\nretry: 10\n\n"),
    model.Piece(b"data\ndata: \n\n"),
    model.Piece(b"data: [DONE]\n\n"),
    model.Piece(f'data: {{"thinking": {CANARY}\n\n'.encode()),
]
ENDS = st.sampled_from(["as sent", "crlf", "cr", "mixed"])


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    events=st.lists(st.tuples(st.sampled_from(EVENTS), ENDS), min_size=1, max_size=8),
    cuts=st.lists(st.integers(0, 3000), max_size=40),
    tail=st.integers(0, 200),
)
def test_any_split_gives_the_same_bytes_and_no_canary(
    events: list[tuple[model.Piece, str]], cuts: list[int], tail: int
) -> None:
    data = b"".join(VARIANTS[ends](piece.data) for piece, ends in events)
    data = data[: len(data) - tail] if tail < len(data) else data
    once = through(data)
    assert through(data, [cut for cut in cuts if cut < len(data)]) == once
    assert through(data, list(range(len(data)))) == once
    assert CANARY.encode() not in once
    once.decode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "output", "type", "usage", "input", "text"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(JSON.filter(lambda value: isinstance(value, (dict, list))), st.sampled_from([None, 1]))
def test_json_without_any_of_it_stays_and_stripping_twice_is_stripping_once(
    value: Any, indent: int | None
) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
    once = strip_json(body)
    assert strip_json(once) == once
    text = body.decode("utf-8", "replace").lower()
    if not any(word in text for word in ("prob", "reason", "think", "thought", "rationale")):
        assert once == body


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_anything_at_all_is_survived(data: bytes) -> None:
    strip_json(data)
    strip_json(b'{"reasoning":' + data)
    assert through(data, list(range(len(data)))) == through(data)


# --- official clients ------------------------------------------------------------------------------------


class Stripped(Upstream):
    """The tests' model, with replies stripped as by the gateway: streams in pieces, others as a whole."""

    def reply(self, seen: Seen) -> Reply:
        reply = super().reply(seen)
        if not seen.stream:
            return replace(reply, pieces=[model.Piece(strip_json(reply.body))])
        strip = SseStrip()
        pieces = [model.Piece(strip.feed(piece.data)) for piece in reply.pieces]
        return replace(reply, pieces=[*pieces, model.Piece(strip.finish())])


@pytest.fixture(scope="module")
def stripped() -> Iterator[Stripped]:
    with Stripped() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def openai_client(stripped: Stripped) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{stripped.url}/v1", api_key="x", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def anthropic_client(stripped: Stripped) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=stripped.url, api_key="x", max_retries=0) as client:
        yield client


HELLO: list[Any] = [{"role": "user", "content": "hello"}]
TOOL: dict[str, Any] = {"name": "weather", "parameters": {"type": "object"}}


def expected(**fields: Any) -> str:
    return "".join(model.answer({"model": "mira-think", **fields}).text)


def test_openai_chat_parses(openai_client: openai.OpenAI) -> None:
    whole = openai_client.chat.completions.create(
        model="mira-think", messages=HELLO, logprobs=True, top_logprobs=3
    )
    assert whole.choices[0].message.content == expected(messages=HELLO)
    assert whole.choices[0].logprobs is None
    assert whole.usage
    assert whole.usage.completion_tokens_details
    assert whole.usage.completion_tokens_details.reasoning_tokens
    with openai_client.chat.completions.stream(model="mira-think", messages=HELLO, logprobs=True) as stream:
        stream.until_done()
        final = stream.get_final_completion()
    assert final.choices[0].message.content == expected(messages=HELLO)
    assert not final.choices[0].logprobs
    assert not hasattr(final.choices[0].message, "reasoning_content")


@pytest.mark.slow
def test_openai_responses_parse(openai_client: openai.OpenAI) -> None:
    include: list[Any] = ["message.output_text.logprobs"]
    whole = openai_client.responses.create(model="mira-think", input="hello", include=include)
    assert whole.output_text == expected(input="hello")
    with openai_client.responses.stream(model="mira-think", input="hello", include=include) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert final.output_text == expected(input="hello")
    assert [item.type for item in final.output] == ["message"]
    assert not [kind for kind in kinds if "reasoning" in kind]
    tool: Any = {"type": "function", "strict": False, **TOOL}
    with openai_client.responses.stream(
        model="mira-think", input="hello", tools=[tool], tool_choice="required"
    ) as stream:
        stream.until_done()
        assert [item.type for item in stream.get_final_response().output] == ["function_call"]


def test_anthropic_messages_parse(anthropic_client: anthropic.Anthropic) -> None:
    tool: Any = {"name": "weather", "input_schema": {"type": "object"}}
    choice: Any = {"type": "any"}
    whole = anthropic_client.messages.create(model="mira-think", max_tokens=99, messages=HELLO)
    assert [block.type for block in whole.content] == ["text"]
    with anthropic_client.messages.stream(model="mira-think", max_tokens=99, messages=HELLO) as stream:
        assert "".join(stream.text_stream) == expected(messages=HELLO)
        assert [block.type for block in stream.get_final_message().content] == ["text"]
    with anthropic_client.messages.stream(
        model="mira-think", max_tokens=99, messages=HELLO, tools=[tool], tool_choice=choice
    ) as stream:
        stream.until_done()
        blocks = stream.get_final_message().content
    assert [block.type for block in blocks] == ["tool_use"]
    assert blocks[0].type == "tool_use"
    assert isinstance(blocks[0].input, dict)
    assert blocks[0].input["reasoning"] == "kept"


def test_old_completions_parse(openai_client: openai.OpenAI) -> None:
    whole = openai_client.completions.create(model="mira", prompt="hello", logprobs=2)
    assert whole.choices[0].logprobs is None
    stream = openai_client.completions.create(model="mira", prompt="hello", logprobs=2, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == whole.choices[0].text


def test_clients_see_a_withheld_stream_as_an_error(stripped: Stripped) -> None:
    class Cut(Upstream):
        def reply(self, seen: Seen) -> Reply:
            reply = super().reply(seen)
            strip = SseStrip(limit=20)
            return replace(reply, pieces=[model.Piece(strip.feed(piece.data[:-1])) for piece in reply.pieces])

    with Cut() as cut:
        with openai.OpenAI(base_url=f"{cut.url}/v1", api_key="x", max_retries=0) as client:
            stream = client.chat.completions.create(model="mira", messages=HELLO, stream=True)
            with pytest.raises(openai.APIError, match="could not be passed on"):
                list(stream)
        with anthropic.Anthropic(base_url=cut.url, api_key="x", max_retries=0) as other:
            events = other.messages.create(model="mira", max_tokens=9, messages=HELLO, stream=True)
            with pytest.raises(anthropic.APIStatusError, match="could not be passed on"):
                list(events)
