"""Parses a teacher's JSON reply: reasoning, answer, log-probabilities, usage.

Reasoning comes in a field of its own (`reasoning_content`, `reasoning`), as typed parts, or between marks in
the text. Templates of R1-type models open the mark in the prompt, so that the text has only its end. Text
that is cut off inside the marks is all reasoning, without an answer.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

OPEN = re.compile(r"^\s*(?:<(think|thinking|thought|reasoning)>|\[(THINK)\])\s*", re.IGNORECASE)
CLOSED = re.compile(r"</(?:think|thinking|thought|reasoning)>|\[/THINK\]", re.IGNORECASE)


class NotAnAnswer(ValueError):
    """The teacher's reply is not a chat completion."""


@dataclass(frozen=True)
class ParsedAnswer:
    """The content of one answer."""

    reasoning: str | None
    answer: str
    refusal: str | None
    finish_reason: str | None
    model: str
    logprobs: list[Any] | None


@dataclass(frozen=True)
class TeacherUsage:
    """The usage that the teacher reports; `told` is false if it reports none."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int | None
    told: bool


def parse_reply(raw: bytes) -> dict[str, Any]:
    """Read a reply's JSON. Raises: NotAnAnswer with what is wrong."""
    try:
        reply = json.loads(raw)
    except (ValueError, RecursionError) as why:
        start = raw[:60].decode(errors="replace")
        raise NotAnAnswer(f"no JSON ({why}): {start!r}") from why
    if not isinstance(reply, dict):
        raise NotAnAnswer(f"a JSON {type(reply).__name__}, no object")
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        error = reply.get("error")
        raise NotAnAnswer(f"no choices{f': {str(error)[:200]}' if error else ''}")
    if not isinstance(choices[0].get("message"), dict):
        raise NotAnAnswer("a choice without a message")
    return reply


def parse_answer(reply: dict[str, Any]) -> ParsedAnswer:
    """Read the first choice."""
    choice = reply["choices"][0]
    message = choice["message"]
    given, text = _parts(message.get("content"))
    for name in ("reasoning_content", "reasoning", "thinking"):
        if isinstance(message.get(name), str) and message[name].strip():
            given.insert(0, message[name])
            break
    marked, answer = split_marked(text)
    reasoning = "\n".join(part.strip() for part in [*given, *([marked] if marked else [])]) or None
    finish = choice.get("finish_reason")
    refusal = message.get("refusal")
    return ParsedAnswer(
        reasoning,
        answer.strip() if reasoning else answer,
        refusal if isinstance(refusal, str) and refusal else None,
        finish if isinstance(finish, str) else None,
        reply["model"] if isinstance(reply.get("model"), str) else "",
        _logprobs(choice.get("logprobs")),
    )


def split_marked(text: str) -> tuple[str | None, str]:
    """
    >>> split_marked("<think>2 + 2</think>4"), split_marked("2 + 2</think>4"), split_marked("<think>2 +")
    (('2 + 2', '4'), ('2 + 2', '4'), ('2 +', ''))
    >>> split_marked("just 4")
    (None, 'just 4')
    """
    opened = OPEN.match(text)
    after = text[opened.end() :] if opened else text
    closed = CLOSED.search(after)
    if closed:
        return after[: closed.start()].strip() or None, after[closed.end() :].lstrip()
    return (after.strip() or None, "") if opened else (None, text)


def usage(reply: dict[str, Any], question_bytes: int) -> TeacherUsage:
    """Return the tokens used; if the teacher does not report them, the most that its bytes can hold."""
    usage_object = reply.get("usage")
    if isinstance(usage_object, dict):
        into, out = _count(usage_object.get("prompt_tokens")), _count(usage_object.get("completion_tokens"))
        if into is not None and out is not None:
            cached = _count(_inner(usage_object, "prompt_tokens_details", "cached_tokens"))
            thought = _count(_inner(usage_object, "completion_tokens_details", "reasoning_tokens"))
            hit = _count(usage_object.get("prompt_cache_hit_tokens"))  # DeepSeek's name
            return TeacherUsage(into, out, cached or hit or 0, thought, True)
    answer = parse_answer(reply)
    written = len((answer.answer + (answer.reasoning or "")).encode(errors="replace"))
    return TeacherUsage(question_bytes, written, 0, None, False)


def _parts(content: Any) -> tuple[list[str], str]:
    """Return reasoning parts and text of a message's content: a string, or typed parts as Mistral's are."""
    if isinstance(content, str):
        return [], content
    reasoning, text = [], []
    for part in content if isinstance(content, list) else []:
        if not isinstance(part, dict):
            continue
        if part.get("type") in ("thinking", "reasoning"):
            inner = part.get("thinking", part.get("reasoning", part.get("text")))
            reasoning.append(_parts(inner)[1] if isinstance(inner, list) else str(inner or ""))
        elif isinstance(part.get("text"), str):
            text.append(part["text"])
    return [part for part in reasoning if part.strip()], "".join(text)


def _logprobs(found: Any) -> list[Any] | None:
    """[token, logprob, [[token, logprob], ...]] for each token; None if none were given."""
    content = found.get("content") if isinstance(found, dict) else None
    if not isinstance(content, list) or not content:
        return None
    return [
        [*_chance(entry), [_chance(o) for o in _top(entry)]] for entry in content if isinstance(entry, dict)
    ]


def _chance(entry: dict[str, Any]) -> list[Any]:
    """Token and log-probability; null for a token that is not text or for a NaN, which JSON lacks."""
    token, logprob = entry.get("token"), entry.get("logprob")
    number = isinstance(logprob, int | float) and not isinstance(logprob, bool) and -1e9 < logprob < 1e9
    return [token if isinstance(token, str) else None, logprob if number else None]


def _top(entry: dict[str, Any]) -> list[dict[str, Any]]:
    top = entry.get("top_logprobs")
    return [o for o in top if isinstance(o, dict)] if isinstance(top, list) else []


def _inner(table: dict[str, Any], outer: str, inner: str) -> Any:
    found = table.get(outer)
    return found.get(inner) if isinstance(found, dict) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None
