"""The text of one reply, reasoning first: whole or streamed, in the formats of the four APIs.

Reasoning in a field of its own is put between `<think>` marks, as models write it that reason in their text:
a student is trained on both forms.
"""

import re
from typing import Any

import msgspec

from stillwatch.exchanges.messages import dig, text_of

_DATA = re.compile(rb"^data:[ ]?(.*?)\r?$", re.MULTILINE)
THOUGHTS = ("reasoning_content", "reasoning", "thinking")


def words_of(body: bytes, stream: bool) -> str:
    """Return the text of a reply; of several choices the first. Raises: ValueError if there is none."""
    thought: list[str] = []
    spoken: list[str] = []
    try:
        if stream:
            for raw in _DATA.findall(body):
                if raw != b"[DONE]":
                    _event(msgspec.json.decode(raw), thought, spoken)
        else:
            _whole(msgspec.json.decode(body), thought, spoken)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as why:
        raise ValueError("is no JSON") from why
    text, thoughts = "".join(spoken), "".join(thought).strip()
    if not text and not thoughts:
        raise ValueError("has no text")
    whole_text = f"<think>\n{thoughts}\n</think>\n\n{text}" if thoughts else text
    return whole_text.encode("utf-8", "replace").decode()


def _event(event: Any, thought: list[str], spoken: list[str]) -> None:
    kind = dig(event, "type")
    delta = dig(event, "delta")
    if isinstance(kind, str):  # Anthropic and Responses name their events
        if kind == "response.output_text.delta" and isinstance(delta, str):
            spoken.append(delta)
        elif kind == "response.reasoning_summary_text.delta" and isinstance(delta, str):
            thought.append(delta)
        elif kind == "content_block_delta":
            _put(thought, dig(delta, "thinking"))
            _put(spoken, dig(delta, "text"), dig(delta, "partial_json"))
        return
    choice = dig(event, "choices", 0)
    if dig(choice, "index") in (None, 0):
        _message(dig(choice, "delta"), thought, spoken)
        _put(spoken, dig(choice, "text"))


def _whole(reply: Any, thought: list[str], spoken: list[str]) -> None:
    choice = dig(reply, "choices", 0)
    if choice is not None:
        _message(dig(choice, "message"), thought, spoken)
        _put(spoken, dig(choice, "text"))
        return
    for part in _list(dig(reply, "content")):  # Anthropic
        _put(thought, dig(part, "thinking"))
        _put(spoken, dig(part, "text"))
        if dig(part, "type") == "tool_use":
            spoken.append(msgspec.json.encode(dig(part, "input")).decode())
    for item in _list(dig(reply, "output")):  # Responses
        if dig(item, "type") == "message":
            _put(spoken, text_of(dig(item, "content")))
        elif dig(item, "type") == "reasoning":
            for part in _list(dig(item, "summary")):
                _put(thought, dig(part, "text"))
        elif dig(item, "type") == "function_call":
            _put(spoken, dig(item, "arguments"))


def _message(message: Any, thought: list[str], spoken: list[str]) -> None:
    """Add a chat message, or a piece of one."""
    for name in THOUGHTS:
        value = dig(message, name)
        if isinstance(value, str) and value:
            thought.append(value)
            break
    content = dig(message, "content")
    if isinstance(content, str):
        spoken.append(content)
    for part in _list(content):  # typed parts, as from Mistral
        if dig(part, "type") in ("thinking", "reasoning"):
            _put(thought, text_of(dig(part, "thinking")))
        else:
            _put(spoken, dig(part, "text"))
    _put(spoken, dig(message, "refusal"))
    for call in _list(dig(message, "tool_calls")):
        _put(spoken, dig(call, "function", "arguments"))


def _put(where: list[str], *values: object) -> None:
    where.extend(text for text in values if isinstance(text, str))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
