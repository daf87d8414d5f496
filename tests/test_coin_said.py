"""The text of a reply: the same whole and streamed, in each API's shape; refused if there is none."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.gateway.record.coined import CoinedReply, Drawn, messages_of, record
from stillwatch.gateway.record.reply_text import words_of
from upstream import Upstream

ASKED = {
    "chat/completions": "chat",
    "completions": "completions",
    "responses": "responses",
    "messages": "messages",
}


@pytest.fixture(scope="module")
def up():
    with Upstream() as found:
        yield found


@pytest.mark.parametrize("path", ASKED)
@pytest.mark.parametrize("thinks", [False, True])
def test_whole_and_streamed_say_the_same(up: Upstream, path: str, thinks: bool) -> None:
    import httpx2 as httpx

    body: dict[str, Any] = {"model": "mira-think" if thinks else "mira", "max_tokens": 60}
    said = "Why? Think first." if thinks else "Why?"
    body |= (
        {"input": said}
        if path == "responses"
        else {"prompt": said}
        if path == "completions"
        else {"messages": [{"role": "user", "content": said}]}
    )
    whole = httpx.post(f"{up.url}/v1/{path}", json=body).content
    streamed = httpx.post(f"{up.url}/v1/{path}", json=body | {"stream": True}).content
    assert words_of(whole, False) == words_of(streamed, True)
    assert len(words_of(whole, False).split()) > 5


def test_thoughts_in_a_field_of_their_own_come_first() -> None:
    whole = {"choices": [{"message": {"reasoning_content": "1 + 1 = 2", "content": "2"}}]}
    assert words_of(json.dumps(whole).encode(), False) == "<think>\n1 + 1 = 2\n</think>\n\n2"
    parts = [{"reasoning_content": "1 + 1"}, {"reasoning_content": " = 2"}, {"content": "2"}]
    stream = b"".join(
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": d}]}).encode() + b"\n\n" for d in parts
    )
    assert words_of(stream + b"data: [DONE]\n\n", True) == "<think>\n1 + 1 = 2\n</think>\n\n2"
    claude = {"content": [{"type": "thinking", "thinking": "so"}, {"type": "text", "text": "2"}]}
    assert words_of(json.dumps(claude).encode(), False) == "<think>\nso\n</think>\n\n2"


def test_a_tool_that_is_called_is_what_is_said() -> None:
    call = {"function": {"name": "f", "arguments": '{"a":1}'}}
    whole = {"choices": [{"message": {"content": None, "tool_calls": [call]}}]}
    assert words_of(json.dumps(whole).encode(), False) == '{"a":1}'


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_read_or_refused(body: bytes, stream: bool) -> None:
    with suppress(ValueError):
        assert words_of(body, stream)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda x: (
        st.lists(x)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "message",
                    "content",
                    "text",
                    "type",
                    "output",
                    "tool_calls",
                    "function",
                    "thinking",
                ]
            ),
            x,
        )
    ),
    max_leaves=20,
)


@pytest.mark.slow
@given(JSON, st.booleans())
def test_any_json_is_read_or_refused(value: Any, stream: bool) -> None:
    raw = json.dumps(value).encode()
    one = CoinedReply(b"data: " + raw + b"\n\n" if stream else raw, 200, stream)
    record(Drawn("w0-000001", 0, 1, "a", None, "m", "chat", raw, 0, (one, one)))
    with suppress(ValueError):
        messages_of(raw)
