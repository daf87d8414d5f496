"""Fast path for a chat request of plain messages, as most requests are.

The result equals that of `request_text`. It reads only unambiguous requests: messages of a role and a text,
or texts, and settings of their usual types. All others are left to `request_text`.
"""

from functools import lru_cache
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from stillwatch.exchanges.apis import MODEL, SYSTEM, USER, Api
from stillwatch.exchanges.formats import Row
from stillwatch.exchanges.messages import REDACTED
from stillwatch.exchanges.request_text import (
    LONG,
    PROSE,
    REMEMBERED,
    SENTENCE,
    RequestPiece,
    RequestText,
    api_of,
    may_hold,
)
from stillwatch.exchanges.values import INTS

_Tokens = Annotated[int, Meta(ge=INTS["max_tokens"][0], le=INTS["max_tokens"][1])]
_Seed = Annotated[int, Meta(ge=INTS["seed"][0], le=INTS["seed"][1])]
_Count = Annotated[int, Meta(ge=INTS["n"][0], le=INTS["n"][1])]


class _TextPart(Struct, forbid_unknown_fields=True, gc=False):
    type: Literal["text"]
    text: str


class _Message(Struct, forbid_unknown_fields=True, gc=False):
    role: str
    content: str | list[_TextPart]


class _PlainRequest(Struct, forbid_unknown_fields=True, gc=False):
    """The settings, each with the values that its column can hold. Numbers and switches hold no text."""

    messages: list[_Message]
    model: str | None = None
    system: str | None = None  # of Anthropic
    user: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    n: _Count | None = None
    seed: _Seed | None = None
    stream: bool | None = None
    top_logprobs: _Count | None = None
    logprobs: bool | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stream_options: dict[str, bool] | None = None


_decode = msgspec.json.Decoder(_PlainRequest).decode
_KEYS = _PlainRequest.__struct_fields__
_BESIDE = frozenset(_KEYS) - {"messages", "system"}  # not texts


class PlainChat(NamedTuple):
    """The content of a plain request."""

    settings: Row  # every name of `openai.SETTINGS`
    text: RequestText  # its pieces


def plain_chat(body: bytes, path: str) -> PlainChat | None:
    """Parse a raw body; None if it is anything but a plain chat request."""
    api = _plain_api(path) if len(path) <= REMEMBERED else None
    if api is None:
        return None
    try:
        request = _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    pieces: list[RequestPiece] = []
    voices = api.roles
    for turn, message in enumerate(request.messages):
        voice = voices.get(message.role)
        if voice is None:
            return None
        if voice == MODEL:
            pieces.append(RequestPiece(MODEL, "", turn))
        content = message.content
        for text in (content,) if isinstance(content, str) else [part.text for part in content]:
            if not text or may_hold(text) or (len(text) <= LONG and text in REDACTED):
                return None
            pieces.append(RequestPiece(voice, text, turn))
    if (system := request.system) is not None:
        if api.places.get("system") != SYSTEM or may_hold(system) or not _is_text(system):
            return None
        pieces.append(RequestPiece(SYSTEM, system, -1))
    if (user := request.user) is not None and SENTENCE.search(user):
        return None
    return PlainChat(_settings(request), RequestText(None, None, None, None, api.name, tuple(pieces)))


def _is_text(value: str) -> bool:
    return len(value) > LONG or (value not in REDACTED and PROSE.search(value) is not None)


def _settings(request: _PlainRequest) -> Row:
    tokens = request.max_completion_tokens
    return {
        "model": request.model or None,
        "end_user": request.user or None,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_tokens": request.max_tokens if tokens is None else tokens,
        "n": request.n,
        "seed": request.seed,
        "top_logprobs": request.top_logprobs,
        "stream": request.stream,
        "conversation": None,
        "tools": None,
        "response_format": None,
    }


@lru_cache(1024)
def _plain_api(path: str) -> Api | None:
    """Return the API of a path, whatever the request's keys; None if `request_text` may differ."""
    api = api_of(path, _KEYS)
    is_plain = (
        api is not None
        and api is api_of(path, ("messages",))
        and api.places["messages"] == USER
        and "messages" in api.turns
        and "system" not in api.turns
        and {"content", "text"} <= api.texts
        and {"content", "text"}.isdisjoint(api.keys)
        and "text" not in api.types
        and {"model", "user"} <= api.silent
        and _BESIDE.isdisjoint(api.places)
        and api.free.isdisjoint(_KEYS)
        and not set(api.stored).intersection(_KEYS)
    )
    return api if is_plain else None
