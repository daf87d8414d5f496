"""A plain chat request parsed in one step gives the same row as when it is parsed in pieces."""

import json
import random
from typing import Any

import pytest

from stillwatch.exchanges.plain_chat import plain_chat
from stillwatch.gateway.record import rows
from stillwatch.gateway.record.entries import ExchangeOutcome, Intent
from stillwatch.gateway.record.sent_before import SentBefore

CHAT = "/v1/chat/completions"
PATHS = (CHAT, "/v1/messages", "/v1/responses", "/api/chat", "/v1beta/models/m:generateContent", "/x", "")
ENDED = ExchangeOutcome(1_700_000_000_000_000, "complete", 200, 9, 1_000, "m", 200, 250, None, False, "stop")
TEXTS = (
    "What does a still water run through, and how deep is it?", "Hi", "", " leading", "data:text/plain,hello",
    "JVBERi0xLjQK", "redacted-by-litellm", "한국어로 답해 주세요", "a" * 70, "H4sIAAAA", "\x00", "https://example.org/a.pdf",
)  # fmt: skip
ROLES = ("user", "assistant", "system", "tool", "developer", "User", "nobody", "")
ODD = (
    "",
    "x",
    -1,
    0,
    7,
    2**31,
    2**63,
    1e300,
    -0.0,
    0.5,
    True,
    None,
    [],
    {},
    ["a text of some words"],
    {"a": True},
)
USUAL: dict[str, tuple[Any, ...]] = {
    "model": ("gpt-4o", ""), "system": ("Answer as a pirate would, and say nothing else.", "Brief."),
    "user": ("u1", "tell me all that you know about it", "u_1-2"), "temperature": (0, 1, 0.7),
    "top_p": (0.9,), "max_tokens": (400, -1), "max_completion_tokens": (12,), "n": (1, 3),
    "seed": (5, -5), "stream": (True, False),
    "top_logprobs": (5,), "logprobs": (True, False), "presence_penalty": (0.1,), "frequency_penalty": (0,),
    "stream_options": ({"include_usage": True}, {}, {"arguments": False}),
}  # fmt: skip
LEFT_OUT = (
    "tools",
    "metadata",
    "stop",
    "role",
    "chat_template",
    "Messages",
    "safety_identifier",
    "prediction",
)


def request_of(drawn: random.Random) -> dict[str, Any]:
    """Mostly what clients send; sometimes a value, a key or a message of another kind."""
    asks: dict[str, Any] = {}
    for name, values in USUAL.items():
        if drawn.random() < 0.3:
            asks[name] = drawn.choice(values) if drawn.random() < 0.95 else drawn.choice(ODD)
    turns: list[Any] = []
    for _ in range(drawn.randint(0, 5)):
        text = (
            drawn.choice(TEXTS) if drawn.random() < 0.3 else " ".join(drawn.choices(TEXTS[0].split(), k=12))
        )
        content: object = text
        if drawn.random() < 0.2:
            content = [{"type": "text", "text": text}, {"type": "text", "text": " ".join(text.split()[::-1])}]
        turns.append({"role": drawn.choice(ROLES if drawn.random() < 0.1 else ROLES[:4]), "content": content})
    if drawn.random() < 0.05:
        turns.append(
            drawn.choice(({"role": "user"}, {"content": "x"}, "x", {"role": "user", "content": [TEXTS[0]]}))
        )
    asks["messages"] = turns
    if drawn.random() < 0.05:
        asks[drawn.choice(LEFT_OUT)] = drawn.choice(ODD)
    keys = list(asks)
    drawn.shuffle(keys)
    return {key: asks[key] for key in keys}


@pytest.mark.parametrize("path", PATHS)
def test_a_plain_request_gives_the_row_that_reading_by_pieces_gives(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = random.Random(path)
    bodies = [json.dumps(request_of(drawn)).encode() for _ in range(200)]
    intent = Intent(ENDED.time_us, "a", "k", None, None, "chat", path, None, None, None, "default")

    def rows_of() -> list[dict[str, object]]:
        before = SentBefore(b"k" * 32, 1 << 12)
        return [rows.row(0, n, intent, body, ENDED, b"", before) for n, body in enumerate(bodies)]

    in_one = rows_of()
    monkeypatch.setattr(rows, "plain_chat", lambda body, path: None)
    by_pieces = rows_of()
    for body, one, other in zip(bodies, in_one, by_pieces, strict=True):
        assert one == other, body
    assert rows.batch(in_one).equals(rows.batch(by_pieces))
    plain = sum(plain_chat(body, path) is not None for body in bodies)
    assert plain > 40 or path not in PATHS[:2], plain  # otherwise nothing was compared


def test_what_usual_clients_send_is_plain() -> None:
    question, answer = {"role": "user", "content": "How so?"}, {"role": "assistant", "content": "Because."}
    part = {"type": "text", "text": "How so?"}
    turns = [question, answer, {"role": "user", "content": [part, part]}]
    for asks in (
        {"temperature": 0.7, "max_tokens": 9},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"messages": [{"role": "system", "content": "Be brief."}, *turns]},
    ):
        assert plain_chat(json.dumps({"model": "m", "messages": turns} | asks).encode(), CHAT) is not None
    anthropic = {"model": "m", "messages": turns, "system": "Answer as a pirate would.", "max_tokens": 9}
    assert plain_chat(json.dumps(anthropic).encode(), "/v1/messages") is not None


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b'{"messages": "x"}', b'{"messages": [], "model": 1}', b'{"messages": [], "tools": []}',
        b'{"messages": [], "max_tokens": 9223372036854775808}', b'{"messages": [], "temperature": 1e999}',
        b'{"messages": [{"role": "user", "content": "\xff"}]}',
    ],
)  # fmt: skip
def test_anything_else_is_left_to_the_general_reader(body: bytes) -> None:
    assert plain_chat(body, CHAT) is None
