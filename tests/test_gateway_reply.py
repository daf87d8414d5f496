"""Facts about replies: the same however the bytes are split, none if the bytes state none, never an error."""

import json
import tracemalloc
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from growth import grows_with_the_text
from stillwatch.gateway.path.reply import (
    FOLD,
    Fields,
    FieldSearch,
    Ratios,
    ReplyFacts,
    Stream,
    facts_of_json,
    facts_of_whole,
    last_end,
    models_in,
    untold_tokens,
)
from upstream_faults import FAULTS, Reply
from upstream_replies import STREAMED, WHOLE, Piece

LIGHT = settings(max_examples=60, deadline=None)
APIS = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "responses": "/responses",
    "messages": "/messages",
}
SHAPES = (
    "crlf",
    "mixed-ends",
    "comments",
    "bom",
    "no-done",
    "empty-choices",
    "error-event",
    "split-utf8",
    "multi-line",
)
operations = st.sampled_from(sorted(APIS))


def pieces(operation: str, tokens: int, model: str = "mira", usage: bool = True) -> list[Piece]:
    said: Any = [{"role": "user", "content": f"{model} {tokens}"}]
    body = {"model": model, "messages": said, "input": said, "prompt": "p", "stream": True}
    if usage:
        body["stream_options"] = {"include_usage": True}
    return STREAMED[APIS[operation]](body, tokens)


def facts(
    operation: str, parts: list[bytes], complete: bool = True, ratios: Ratios | None = None
) -> ReplyFacts:
    stream = Stream(operation)
    for part in parts:
        stream.feed(part)
    return stream.facts(ratios or Ratios(), "asked", complete)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(at)]


@LIGHT
@given(
    operations,
    st.sampled_from(["mira", "mira-think"]),
    st.integers(0, 30),
    st.sampled_from([None, *SHAPES]),
    st.lists(st.integers(0, 1 << 20), max_size=12),
    st.booleans(),
)
def test_any_cut_gives_the_same_facts(
    operation: str, model: str, tokens: int, shape: str | None, places: list[int], complete: bool
) -> None:
    sent = Reply(pieces=pieces(operation, tokens, model))
    data = (FAULTS[shape](sent, "") if shape else sent).body
    assert facts(operation, cut(data, places), complete) == facts(operation, [data], complete)


@pytest.mark.parametrize("operation", sorted(APIS))
@pytest.mark.parametrize("model", ["mira", "mira-think"])
def test_a_whole_stream_is_what_the_upstream_counted(operation: str, model: str) -> None:
    sent = pieces(operation, 30, model)
    found = facts(operation, [piece.data for piece in sent])
    assert found.output_tokens == sum(piece.tokens for piece in sent)
    assert (found.served_model, found.estimated) == (model, False)
    assert found.finish_reason in ("stop", "end_turn", "length")


@pytest.mark.parametrize("operation", sorted(APIS))
@pytest.mark.parametrize("usage", [True, False])
def test_a_stream_that_is_left_is_counted_by_what_was_delivered(operation: str, usage: bool) -> None:
    """One event is one token here, so the count is exact once a stream or two have stated their usage."""
    ratios = Ratios()
    if usage:
        for tokens in (20, 33):
            facts(operation, [piece.data for piece in pieces(operation, tokens)], True, ratios)
    sent = pieces(operation, 200)
    half = sent[: len(sent) // 2]
    found = facts(operation, [piece.data for piece in half], False, ratios)
    assert found.estimated
    assert found.output_tokens == sum(piece.tokens for piece in half)


@pytest.mark.parametrize("told", [0, 1, 5, 31])
def test_an_upstream_that_tells_fewer_tokens_than_it_wrote_is_not_believed(told: int) -> None:
    """A reply of 2,000 bytes cannot have 31 tokens or fewer: it would cost its account nothing."""
    words = "a word and another " * 105
    event = {"model": "m", "choices": [{"delta": {"content": words}}]}
    last = {"choices": [], "usage": {"completion_tokens": told}}
    stream = b"".join(f"data: {json.dumps(one)}\n\n".encode() for one in (event, last))
    found = facts("chat", [stream])
    assert (found.output_tokens, found.estimated) == (round(len(words) / 4), True)
    whole = {"choices": [{"message": {"content": words}}], "usage": {"completion_tokens": told}}
    assert untold_tokens("chat", json.dumps(whole).encode(), told) == round(len(words) / 4)
    assert untold_tokens("chat", json.dumps(whole).encode(), 40) is None
    few = {"choices": [{"message": {"content": "No."}}], "usage": {"completion_tokens": 1}, "x": "y" * 900}
    assert untold_tokens("chat", json.dumps(few).encode(), 1) is None


_NAMES = (b"content", b"text", b"model", b"modelVersion", b"usage", b"finish_reason", b"stop_reason")
_NAMES = (*_NAMES, b"reasoning", b"reasoning_content", b"thinking", b"arguments", b"usageMetadata")
_PARTS = st.sampled_from(
    [
        b'"',
        b"\\",
        b":",
        b" : ",
        b"a",
        b"word ",
        b'\\"',
        b"\\\\",
        b"\\\n",
        b"\n",
        b"{",
        b"}",
        b",",
        b"x" * 63,
        b"\xff\0",
    ]
    + [b'"%b"' % name for name in _NAMES]
    + [b'"%b": ' % name for name in _NAMES]
    + [b'"%b":"' % name for name in _NAMES]
)
_KINDS = {  # by kind: the text after a field's name
    "text": rb'"((?:[^"\\]++|\\.)++)"',
    "begun": rb'"([^"])',
    "word": rb'"([^"\\]{1,64})"',
    "name": rb'"((?:[^"\\]++|\\.)*+)"',
    "object": rb"(\{)",
}


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.lists(_PARTS, max_size=40).map(b"".join), st.binary(max_size=60)),
    st.sets(st.sampled_from(_NAMES), min_size=1),
)
@example(b'"content": "one \\\\" "text": "two', {b"content", b"text"})
@example(b'"content": "never ends \\" "content":"', {b"content"})
@example(b'"content":"', {b"content"})
@example(b'"content"', {b"content"})
@example(b'"content":"\\', {b"content"})
@example(b'"content":"a"model":"b"', {b"content", b"model"})
def test_fields_found_in_one_pass_are_those_of_a_pattern_each(data: bytes, names: set[bytes]) -> None:
    of = tuple(sorted(names))
    found = FieldSearch(**dict.fromkeys(_KINDS, of))(data)
    for one, (kind, then) in zip(found, _KINDS.items(), strict=True):
        matches = list(Fields(*of, then=then).finditer(data))
        values = [match[1] for match in matches]
        assert (kind, one.many, one.size) == (kind, len(values), sum(map(len, values)))
        if matches:
            assert (one.first_quote, one.first, one.first_end) == (matches[0].start(), *matches[0].span(1))
            assert (one.last, one.last_end) == matches[-1].span(1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    ['"content":"', '"content":"\\\n', '\\"', '"content"  ', '"content":"\\"', '"content":"a"', '"', '"   '],
)
def test_looking_for_fields_takes_time_in_proportion_to_the_bytes(unit: str) -> None:
    look = FieldSearch(text=(b"content",), word=(b"content",))
    assert grows_with_the_text(lambda text: look(text.encode()), unit, 400_000 // len(unit))


@LIGHT
@given(operations, st.lists(st.binary(max_size=200), max_size=6), st.booleans())
@example("chat", [b'data: {"usage": {"completion_tokens": 1e999}}\n\n'], True)
@example("chat", [b'data: {"usage": {"completion_tokens": ' + b"9" * 5000 + b"}}\n\n"], True)
@example("chat", [b'data: {"usage": ' + b'{"a":' * 9000], True)
@example("chat", [b'data: {"model": "\\ud800", "usage": {"completion_tokens": "many"}}\n\n'], True)
@example("chat", [b'data: {"model": "\xff"}\n\n'], True)
@example("chat", [b'data: {"usage": {"completion_tokens": -5}}\n\n'], True)
def test_any_bytes_are_no_error(operation: str, parts: list[bytes], complete: bool) -> None:
    found = facts(operation, parts, complete)
    assert found.output_tokens is None or 0 <= found.output_tokens < 1 << 62


@LIGHT
@given(st.binary(max_size=300) | st.sampled_from([b'{"usage":' + b"[" * 99_999, b"[" * 99_999, b"9" * 5000]))
@example(b'{"model": 5, "usage": {"completion_tokens": 5}}')
@example(b'{"model": "m", "usage": {"completion_tokens": 1e999}}')
@example(b'{"model": "m", "usage": {"completion_tokens": ' + b"9" * 5000 + b"}}")
@example(b'{"model": "m", "usage": {"completion_tokens": -7}}')
@example(b'{"usage": {"prompt_tokens": 99999999999999999999999999}}')
def test_any_bytes_are_no_error_as_a_whole_body(body: bytes) -> None:
    found = facts_of_json(body)
    for count in (found.input_tokens, found.output_tokens, found.reasoning_tokens):
        assert count is None or 0 <= count < 1 << 62


@pytest.mark.parametrize("path", sorted(WHOLE))
def test_a_whole_body_is_what_the_upstream_counted(path: str) -> None:
    body = {
        "model": "mira-think",
        "messages": [{"role": "user", "content": "x"}],
        "input": "x",
        "prompt": "x",
    }
    (sent,) = WHOLE[path](body, 25)
    found = facts_of_json(sent.data)
    assert found.served_model == "mira-think"
    assert (found.output_tokens or 0) == sent.tokens


def test_a_body_that_quotes_another_is_not_taken_for_it() -> None:
    inner = json.dumps({"model": "deepseek", "usage": {"completion_tokens": 9}})
    event = json.dumps({"model": "mira", "choices": [{"delta": {"content": inner}}]})
    data = f"data: {event}\n\n".encode()
    assert models_in(data) == ["mira"]
    found = facts("chat", [data], complete=False)
    assert found.served_model == "mira"
    assert found.output_tokens != 9


@LIGHT
@given(st.text("a\r\n", max_size=12))
def test_events_end_with_empty_lines(text: str) -> None:
    data = text.encode()
    end = last_end(data)
    as_lines = text.replace("\r\n", "\n").replace("\r", "\n")
    assert bool(end) == ("\n\n" in as_lines)
    before = data[:end].decode().replace("\r\n", "\n").replace("\r", "\n")
    assert not end or before.endswith("\n\n")  # only whole events, with any line ending
    if "\r" not in text:
        assert b"\n\n" not in data[max(end - 1, 0) :].lstrip(b"\n") or not end


@pytest.mark.slow
@pytest.mark.parametrize("size", [100, 16 << 10])
def test_an_event_of_megabytes_costs_little_memory_and_no_backtracking(size: int) -> None:
    data = (
        b'data: {"model":"mira","choices":[{"delta":{"content":"' + b"still water " * 350_000 + b'"}}]}\n\n'
    )
    tracemalloc.start()
    found = facts("chat", [data[at : at + size] for at in range(0, len(data), size)], complete=False)
    grown = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.chunks == 1
    assert grown < 6 * len(data)


def test_a_long_stream_is_not_kept() -> None:
    event = b'data: {"model":"mira","choices":[{"delta":{"content":"word"}}]}\n\n'
    stream = Stream("chat")
    tracemalloc.start()
    for _ in range(50_000):
        stream.feed(event)
    grown = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert stream.count()[0] == 50_000
    assert grown < 20 * FOLD


def test_a_usage_that_the_client_sent_itself_is_not_the_stream_s() -> None:
    """Responses repeats the request's tools: a schema may contain a field of any name."""
    told = {"tools": [{"parameters": {"properties": {"usage": {"output_tokens": 0}}}}], "usage": None}
    events = [{"type": "response.created", "response": told}]
    events += [{"type": "response.output_text.delta", "delta": "word "} for _ in range(9)]
    parts = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    left = facts("responses", parts, complete=False)
    assert (left.output_tokens, left.estimated) == (9, True)
    done = {
        "type": "response.completed",
        "response": told | {"usage": {"input_tokens": 3, "output_tokens": 7}},
    }
    whole = facts("responses", [*parts, b"data: " + json.dumps(done).encode() + b"\n\n"])
    assert (whole.input_tokens, whole.output_tokens, whole.estimated) == (3, 7, False)


@pytest.mark.slow
def test_events_full_of_usages_take_time_like_their_length() -> None:
    def count(text: str) -> None:
        facts("responses", [b"data: ", text.encode(), b"\n\n"])

    assert grows_with_the_text(count, '"usage":{', 20_000)


ADVISED = {"input_tokens": 20, "output_tokens": 150, "iterations": [
    {"type": "message", "input_tokens": 9, "output_tokens": 100},
    {"type": "advisor_message", "model": "claude-opus-4-8", "input_tokens": 9, "output_tokens": 2_000},
    {"type": "message", "input_tokens": 9, "output_tokens": 50},
]}  # fmt: skip
# as docs.x.ai shows it: reasoning tokens beside the answer's; at Google only the total includes them
BESIDE = {
    "prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135,
    "prompt_tokens_details": {"cached_tokens": 6}, "completion_tokens_details": {"reasoning_tokens": 94},
}  # fmt: skip
IN_TOTAL = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 1_015}
INTERACTION = {"total_input_tokens": 7, "total_output_tokens": 20, "total_thought_tokens": 900}


@pytest.mark.parametrize(
    ("operation", "reply", "tokens"),
    [
        ("messages", {"content": [{"type": "text", "text": "so"}], "usage": ADVISED}, 2_150),
        ("chat", {"choices": [{"message": {"content": "so"}}], "usage": BESIDE}, 103),
        ("chat", {"choices": [{"message": {"content": "so"}}], "usage": IN_TOTAL}, 1_005),
        ("generate_content", {"status": "completed", "outputs": [], "usage": INTERACTION}, 920),
        (
            "generate_content",
            {"candidates": [], "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 708}},
            703,
        ),
        ("generate", {"text": "so", "meta_info": {"prompt_tokens": 5, "completion_tokens": 800}}, 800),
        (
            "generate",
            [{"text": "so", "meta_info": {"prompt_tokens": 5, "completion_tokens": k}} for k in (3, 4)],
            7,
        ),
        ("completion", [{"content": "so", "tokens_predicted": k} for k in (30, 40)], 70),
        ("invoke", {"inputTextTokenCount": 5, "results": [{"tokenCount": 40}, {"tokenCount": 2}]}, 42),
        ("invoke", {"generation": "so", "prompt_token_count": 5, "generation_token_count": 40}, 40),
    ],
)
def test_all_that_models_wrote_for_a_reply_is_read_in_its_apis_words(
    operation: str, reply: Any, tokens: int
) -> None:
    found = facts_of_whole(json.dumps(reply).encode(), operation, "generates", later=False)
    assert (found.output_tokens, found.estimated) == (tokens, False)


@pytest.mark.parametrize(
    ("operation", "events", "tokens"),
    [
        (
            "messages",
            [
                {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "so"}},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": ADVISED},
            ],
            2_150,
        ),
        ("chat", [{"choices": [{"delta": {"content": "so"}}]}, {"choices": [], "usage": BESIDE}], 103),
        (
            "generate_content",
            [
                {"event_type": "step.delta", "delta": {"type": "text", "text": "so"}},
                {"event_type": "interaction.completed", "interaction": {"usage": INTERACTION}},
            ],
            920,
        ),
        (
            "generate",  # two answers; each event repeats all earlier text
            [
                {"text": "so " * k, "index": k % 2, "meta_info": {"prompt_tokens": 5, "completion_tokens": k}}
                for k in range(400)
            ],
            398 + 399,
        ),
    ],
)
def test_all_that_models_wrote_for_a_stream_is_read_in_its_apis_words(
    operation: str, events: list[Any], tokens: int
) -> None:
    found = facts(operation, [b"data: %s\n\n" % json.dumps(event).encode() for event in events])
    assert (found.output_tokens, found.estimated) == (tokens, False)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 30, "completion_tokens": 9, "total_tokens": 39},
        {"prompt_tokens": 30, "completion_tokens": 9, "total_tokens": 45,
         "prompt_tokens_details": {"cached_tokens": 6}},
        {"prompt_tokens": 30, "completion_tokens": 9, "total_tokens": 439, "connector_tokens": 400},
        {"inputTokens": 5, "outputTokens": 9, "totalTokens": 914, "cacheReadInputTokens": 900},
        {"input_tokens": 30, "output_tokens": 9, "total_tokens": 39, "iterations": "none"},
        {"completion_tokens": 9, "total_tokens": 900},
    ],
)  # fmt: skip
def test_what_a_model_read_is_not_taken_for_what_it_wrote(usage: dict[str, Any]) -> None:
    body = json.dumps({"choices": [{"message": {"content": "so"}}], "usage": usage}).encode()
    assert facts_of_json(body).output_tokens == 9
