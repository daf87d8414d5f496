"""Requests of OpenAI's chat and completions API read, and answers written. It knows no model and no socket.

What it does not know it ignores, as that API does; what it knows and cannot be is refused with its name.
"""

import json
import math
import uuid
from dataclasses import dataclass
from typing import Any

from stillwatch.distill.embedded.serve import RequestRefused, Token
from stillwatch.distill.train.wording import THINK, THOUGHT

MOST_CHOICES = 128
MOST_LOGPROBS = 20


@dataclass(frozen=True)
class CompletionRequest:
    """A request as far as it matters here. Chat has `messages`, a completion `prompts` (text or tokens)."""

    model: str
    messages: tuple[dict[str, str], ...]
    begun: str  # of the answer: the last message, by `continue_final_message`
    prompts: tuple[str | tuple[int, ...], ...]
    n: int
    most: int | None
    temperature: float
    top_p: float
    stop: tuple[str, ...]
    seed: int | None
    logprobs: int | None
    stream: bool
    usage_in_stream: bool


def read(body: bytes, chat: bool) -> CompletionRequest:
    """Read a request's body. Raises: Refused naming the parameter."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as why:
        raise RequestRefused(f"the body is no JSON: {why}") from why
    if not isinstance(told, dict):
        raise RequestRefused("the body is no JSON object")
    options = told.get("stream_options")
    messages, begun = _messages(told) if chat else (), ""
    if chat and _of(told, "continue_final_message", bool, False):
        if messages[-1]["role"] != "assistant" or _of(told, "add_generation_prompt", bool, False):
            raise RequestRefused(
                "continue_final_message needs a last message of the assistant's and no new turn after it",
                param="continue_final_message",
            )
        messages, begun = messages[:-1], messages[-1]["content"]
    return CompletionRequest(
        model=_of(told, "model", str, ""),
        messages=messages,
        begun=begun,
        prompts=() if chat else _prompts(told.get("prompt")),
        n=_whole(told, "n", 1, MOST_CHOICES) or 1,
        most=_whole(told, "max_completion_tokens", 1) or _whole(told, "max_tokens", 1),
        temperature=_real(told, "temperature", 0, 2, 1.0),
        top_p=_real(told, "top_p", 0, 1, 1.0),
        stop=_stop(told.get("stop")),
        seed=_whole(told, "seed", -(1 << 63)),
        logprobs=_logprobs(told, chat),
        stream=_of(told, "stream", bool, False),
        usage_in_stream=isinstance(options, dict) and options.get("include_usage") is True,
    )


def _of(told: dict[str, Any], name: str, kind: type, without: Any) -> Any:
    value = told.get(name)
    if value is None:
        return without
    if not isinstance(value, kind):
        raise RequestRefused(f"{name} is {value!r:.80}", param=name)
    return value


def _whole(told: dict[str, Any], name: str, least: int, most: int = 1 << 63) -> int | None:
    value = told.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise RequestRefused(f"{name} is {value!r:.80}; it is a whole number from {least}", param=name)
    return value


def _real(told: dict[str, Any], name: str, least: float, most: float, without: float) -> float:
    value = told.get(name)
    if value is None:
        return without
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not least <= value <= most:
        raise RequestRefused(f"{name} is {value!r:.80}; it lies from {least} to {most}", param=name)
    return float(value)


def _messages(told: dict[str, Any]) -> tuple[dict[str, str], ...]:
    rows = told.get("messages")
    if not isinstance(rows, list) or not rows:
        raise RequestRefused("messages is missing or empty", param="messages")
    found = []
    for i, row in enumerate(rows):
        if not isinstance(row, dict) or not isinstance(row.get("role"), str):
            raise RequestRefused(f"messages[{i}] has no role", param="messages")
        found.append({"role": row["role"], "content": _content(row.get("content"), i)})
    return tuple(found)


def _content(content: Any, i: int) -> str:
    if content is None:
        return ""
    if isinstance(content, list):
        parts = [p["text"] for p in content if isinstance(p, dict) and isinstance(p.get("text"), str)]
        if len(parts) != len(content):
            raise RequestRefused(f"messages[{i}].content has parts that are no text", param="messages")
        return "".join(parts)
    if not isinstance(content, str):
        raise RequestRefused(f"messages[{i}].content is no text", param="messages")
    return content


def _prompts(told: Any) -> tuple[str | tuple[int, ...], ...]:
    if isinstance(told, str):
        return (told,)
    if isinstance(told, list) and told:
        if all(isinstance(p, str) for p in told):
            return tuple(told)
        if all(isinstance(p, int) and not isinstance(p, bool) for p in told):
            return (tuple(told),)
        if all(isinstance(p, list) and all(isinstance(t, int) for t in p) for p in told):
            return tuple(tuple(p) for p in told)
    raise RequestRefused("prompt is neither text nor tokens, nor a list of them", param="prompt")


def _stop(told: Any) -> tuple[str, ...]:
    some = [told] if isinstance(told, str) else told or []
    if not isinstance(some, list) or len(some) > 4 or not all(isinstance(s, str) and s for s in some):
        raise RequestRefused("stop is a text or up to four", param="stop")
    return tuple(some)


def _logprobs(told: dict[str, Any], chat: bool) -> int | None:
    if chat:
        wanted = _of(told, "logprobs", bool, False)
        top = _whole(told, "top_logprobs", 0, MOST_LOGPROBS)
        if top is not None and not wanted:
            raise RequestRefused("top_logprobs needs logprobs", param="top_logprobs")
        return (top or 0) if wanted else None
    return _whole(told, "logprobs", 0, MOST_LOGPROBS)


@dataclass(frozen=True)
class Parts:
    """A text in its parts: the steps that led to the answer, and the answer."""

    reasoning: str
    content: str


def parts(text: str, mode: str, ended: bool, opened: bool = False) -> Parts:
    """Take a text apart as far as it is certain: what may still become a mark is held back until the end.

    `opened`: the prompt itself opened the reasoning.

    >>> parts("<think> 1 + 1 = 2 </think> 2", "field", True)
    Parts(reasoning='1 + 1 = 2', content='2')
    >>> parts("<think> 1 + 1 </thi", "field", False), parts("2", "field", True)
    (Parts(reasoning='1 + 1', content=''), Parts(reasoning='', content='2'))
    """
    if mode == "inline":
        return Parts("", text)
    whole = text.lstrip()
    if not opened and not whole.startswith(THINK):
        held = not ended and (whole == "" or THINK.startswith(whole))
        return Parts("", "" if held else text)
    inside, mark, after = whole.removeprefix(THINK).partition(THOUGHT)
    if not mark:
        if not ended:
            inside = _certain(inside, THOUGHT)
        return Parts("" if mode == "hidden" else inside.strip(), "")
    return Parts("" if mode == "hidden" else inside.strip(), after.strip() if ended else after.lstrip())


def _certain(text: str, mark: str) -> str:
    """Leave away an end that may be the start of a mark, and space that may be the last before it."""
    for size in range(min(len(mark) - 1, len(text)), 0, -1):
        if text.endswith(mark[:size]):
            text = text[:-size]
            break
    return text.rstrip()


def identity(chat: bool) -> str:
    return ("chatcmpl-" if chat else "cmpl-") + uuid.uuid4().hex


def usage(asked: int, written: int, reasoning: int) -> dict[str, Any]:
    return {
        "prompt_tokens": asked,
        "completion_tokens": written,
        "total_tokens": asked + written,
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def chat_logprobs(tokens: list[Token]) -> dict[str, Any]:
    return {
        "content": [
            {
                "token": t.text,
                "logprob": t.logprob,
                "bytes": list(t.raw),
                "top_logprobs": [
                    {"token": text, "logprob": p, "bytes": list(raw)} for text, raw, p in t.likeliest
                ],
            }
            for t in tokens
        ],
        "refusal": None,
    }


def completion_logprobs(tokens: list[Token]) -> dict[str, Any]:
    offset, offsets = 0, []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.text)
    return {
        "tokens": [t.text for t in tokens],
        "token_logprobs": [t.logprob for t in tokens],
        "top_logprobs": [{text: p for text, _, p in t.likeliest} for t in tokens],
        "text_offset": offsets,
    }


def message(some: Parts, mode: str) -> dict[str, Any]:
    told: dict[str, Any] = {"role": "assistant", "content": some.content, "refusal": None}
    if mode == "field" and some.reasoning:
        told["reasoning_content"] = some.reasoning
    return told
