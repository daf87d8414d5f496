"""Reads requests of OpenAI's chat and completions API, and writes the answers.

Unknown fields are ignored, as that API does; a known field with an impossible value is refused by name.
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
    """The relevant fields of a request. Chat has `messages`, a completion `prompts` (text or tokens)."""

    model: str
    messages: tuple[dict[str, str], ...]
    begun: str  # of the answer: the last message, if `continue_final_message`
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
        request = json.loads(body)
    except (ValueError, RecursionError) as why:
        raise RequestRefused(f"the body is no JSON: {why}") from why
    if not isinstance(request, dict):
        raise RequestRefused("the body is no JSON object")
    options = request.get("stream_options")
    messages, begun = _messages(request) if chat else (), ""
    if chat and _of(request, "continue_final_message", bool, False):
        if messages[-1]["role"] != "assistant" or _of(request, "add_generation_prompt", bool, False):
            raise RequestRefused(
                "continue_final_message needs a last message of the assistant's and no new turn after it",
                param="continue_final_message",
            )
        messages, begun = messages[:-1], messages[-1]["content"]
    return CompletionRequest(
        model=_of(request, "model", str, ""),
        messages=messages,
        begun=begun,
        prompts=() if chat else _prompts(request.get("prompt")),
        n=_whole(request, "n", 1, MOST_CHOICES) or 1,
        most=_whole(request, "max_completion_tokens", 1) or _whole(request, "max_tokens", 1),
        temperature=_real(request, "temperature", 0, 2, 1.0),
        top_p=_real(request, "top_p", 0, 1, 1.0),
        stop=_stop(request.get("stop")),
        seed=_whole(request, "seed", -(1 << 63)),
        logprobs=_logprobs(request, chat),
        stream=_of(request, "stream", bool, False),
        usage_in_stream=isinstance(options, dict) and options.get("include_usage") is True,
    )


def _of(request: dict[str, Any], name: str, kind: type, without: Any) -> Any:
    value = request.get(name)
    if value is None:
        return without
    if not isinstance(value, kind):
        raise RequestRefused(f"{name} is {value!r:.80}", param=name)
    return value


def _whole(request: dict[str, Any], name: str, least: int, most: int = 1 << 63) -> int | None:
    value = request.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise RequestRefused(f"{name} is {value!r:.80}; it is a whole number from {least}", param=name)
    return value


def _real(request: dict[str, Any], name: str, least: float, most: float, without: float) -> float:
    value = request.get(name)
    if value is None:
        return without
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not least <= value <= most:
        raise RequestRefused(f"{name} is {value!r:.80}; it lies from {least} to {most}", param=name)
    return float(value)


def _messages(request: dict[str, Any]) -> tuple[dict[str, str], ...]:
    rows = request.get("messages")
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


def _prompts(prompt: Any) -> tuple[str | tuple[int, ...], ...]:
    if isinstance(prompt, str):
        return (prompt,)
    if isinstance(prompt, list) and prompt:
        if all(isinstance(p, str) for p in prompt):
            return tuple(prompt)
        if all(isinstance(p, int) and not isinstance(p, bool) for p in prompt):
            return (tuple(prompt),)
        if all(isinstance(p, list) and all(isinstance(t, int) for t in p) for p in prompt):
            return tuple(tuple(p) for p in prompt)
    raise RequestRefused("prompt is neither text nor tokens, nor a list of them", param="prompt")


def _stop(stop: Any) -> tuple[str, ...]:
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or len(stops) > 4 or not all(isinstance(s, str) and s for s in stops):
        raise RequestRefused("stop is a text or up to four", param="stop")
    return tuple(stops)


def _logprobs(request: dict[str, Any], chat: bool) -> int | None:
    if chat:
        wanted = _of(request, "logprobs", bool, False)
        top = _whole(request, "top_logprobs", 0, MOST_LOGPROBS)
        if top is not None and not wanted:
            raise RequestRefused("top_logprobs needs logprobs", param="top_logprobs")
        return (top or 0) if wanted else None
    return _whole(request, "logprobs", 0, MOST_LOGPROBS)


@dataclass(frozen=True)
class Parts:
    """A text in two parts: the reasoning, and the answer."""

    reasoning: str
    content: str


def parts(text: str, mode: str, ended: bool, opened: bool = False) -> Parts:
    """Split a text as far as it is certain; what may still become a mark is held back until the end.

    `opened`: the prompt itself opened the reasoning.

    >>> parts("<think> 1 + 1 = 2 </think> 2", "field", True)
    Parts(reasoning='1 + 1 = 2', content='2')
    >>> parts("<think> 1 + 1 </thi", "field", False), parts("2", "field", True)
    (Parts(reasoning='1 + 1', content=''), Parts(reasoning='', content='2'))
    """
    if mode == "inline":
        return Parts("", text)
    stripped = text.lstrip()
    if not opened and not stripped.startswith(THINK):
        is_held = not ended and (stripped == "" or THINK.startswith(stripped))
        return Parts("", "" if is_held else text)
    inside, mark, after = stripped.removeprefix(THINK).partition(THOUGHT)
    if not mark:
        if not ended:
            inside = _certain(inside, THOUGHT)
        return Parts("" if mode == "hidden" else inside.strip(), "")
    return Parts("" if mode == "hidden" else inside.strip(), after.strip() if ended else after.lstrip())


def _certain(text: str, mark: str) -> str:
    """Cut off an ending that may begin a mark, and white space before it."""
    for size in range(min(len(mark) - 1, len(text)), 0, -1):
        if text.endswith(mark[:size]):
            text = text[:-size]
            break
    return text.rstrip()


def identity(chat: bool) -> str:
    return ("chatcmpl-" if chat else "cmpl-") + uuid.uuid4().hex


def usage(prompt_tokens: int, written: int, reasoning: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": written,
        "total_tokens": prompt_tokens + written,
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


def message(parts: Parts, mode: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"role": "assistant", "content": parts.content, "refusal": None}
    if mode == "field" and parts.reasoning:
        answer["reasoning_content"] = parts.reasoning
    return answer
