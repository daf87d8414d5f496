"""Chat messages, in the shapes the APIs write them: the last user message, the system text, the turn.

OpenAI chat and Responses, Anthropic, Bedrock Converse and OpenTelemetry parts. It does not know log formats.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.strict_json import decode

SYSTEM_ROLES = ("system", "developer")
TEXT_PARTS = ("text", "input_text", "output_text")
HOLDING = (  # keys under which an API writes text that a request holds
    "text", "content", "parts", "thinking", "output", "toolResult", "response", "result",
)  # fmt: skip
DEEP = 6  # how deep text may lie inside parts
REDACTED = {
    "redacted-by-litellm",
    "__REDACTED__",
}  # LiteLLM and OpenInference with message logging off: no text


@dataclass(frozen=True)
class Talk:
    """What the record keeps of a list of messages."""

    prompt: str | None
    system: str | None
    turn: int | None  # how many user messages so far
    other_input: str | None = None  # what else came: earlier turns, tool results


def text_of(content: object, depth: int = 0) -> str | None:
    """The text in a message's content: a text, a list of parts, or a part. Images, files, tool calls:
    none."""
    if isinstance(content, str):
        return None if content in REDACTED else content
    if isinstance(content, list):
        found = [part for part in (text_of(inner, depth + 1) for inner in content) if part is not None]
        return "\n".join(found) if found else None
    if not isinstance(content, dict) or depth > DEEP:
        return None
    kind = content.get("type")
    if kind is not None and kind not in TEXT_PARTS and kind != "message":
        return None
    for key in ("text", "content", "parts"):  # OpenAI, Anthropic, Converse | OpenTelemetry | message
        if content.get(key) is not None:
            return text_of(content[key], depth + 1)
    return None


def message_text(message: object) -> str | None:
    """The text of one message, whatever its content is called."""
    if not isinstance(message, dict):
        return text_of(message)
    for key in ("content", "parts"):
        if message.get(key) is not None:
            return text_of(message[key])
    return None


def all_text(content: object, depth: int = 0) -> list[str]:
    """Every text in a message's content, tool results and thinking among them."""
    if isinstance(content, str):
        return [] if content in REDACTED else [content]
    if isinstance(content, list):
        return [text for inner in content for text in all_text(inner, depth + 1)]
    if not isinstance(content, dict) or depth > DEEP:
        return []
    return [text for key in HOLDING for text in all_text(content.get(key), depth + 1)]


def talk(messages: object, system: object = None) -> Talk:
    """Read a conversation. `system` is the text that some APIs keep beside the messages.

    A plain text is one user message. A message that holds tool results only is no user message.
    """
    system_texts = [text for text in [text_of(system)] if text]
    if isinstance(messages, str):
        return Talk(text_of(messages), "\n".join(system_texts) or None, 1)
    if isinstance(messages, dict):
        messages = messages.get("messages", [messages])
    if not isinstance(messages, list):
        return Talk(None, "\n".join(system_texts) or None, None)
    prompt: str | None = None
    turn = 0
    others: list[list[str]] = []  # of each message but the system's
    last = 0  # where the prompt's own stands among them
    for message in messages:
        if isinstance(
            message, str
        ):  # a batch of texts (completions, embeddings): the last one stands for them
            prompt, turn, last = message, turn + 1, len(others)
            others.append([message])
            continue
        if not isinstance(message, dict):
            continue
        role = message.get("role")
        said = message_text(message)
        if role in SYSTEM_ROLES and said:
            system_texts.append(said)
        elif role == "user" and said is not None:
            prompt, turn, last = said, turn + 1, len(others)
        if role not in SYSTEM_ROLES:
            others.append(all_text(message))
    if turn:  # of the prompt's own message only what is no part of the prompt: tool results beside it
        others[last] = [text for text in others[last] if text not in prompt] if prompt else others[last]
    other = "\n".join(text for texts in others for text in texts)
    return Talk(prompt, "\n".join(system_texts) or None, turn or None, other or None)


def from_text(value: object) -> object:
    """A value that a log may hold as JSON inside a text; a text that is no JSON stays a text.

    Such a text is the client's own body. Where it has a key twice the last one holds, as it does in the
    parsers of Python, JavaScript and Go that serve it: refused, it would hide the exchange.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return decode(value.encode("utf-8"))
        except Refused as why:
            return json.loads(value) if "twice" in str(why) else value
        except UnicodeEncodeError:
            return value
    return value


def dig(value: object, *path: str | int) -> object:
    """The value at a path of keys and indexes, or None."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(value, list) or not -len(value) <= step < len(value):
                return None
            value = value[step]
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def whole(text: object) -> int | None:
    """The whole number that a text is, or None. `isdigit` alone is true of more than `int` can read.

    >>> whole("12"), whole("-3"), whole("\u00b2"), whole("--5"), whole("9" * 5000)
    (12, -3, None, None, None)
    """
    if not isinstance(text, str) or len(text) > 20 or not text.isascii():
        return None
    return int(text) if text.removeprefix("-").isdigit() else None


def first(*values: object) -> object:
    """The first value that says anything: not None and not an empty text."""
    for value in values:  # a loop: a third of a generator's time, and this is asked ten times a row
        if value is not None and value != "":
            return value
    return None


def count(tools: object) -> int | None:
    """How many tools were offered."""
    return len(tools) if isinstance(tools, list) else None


def format_name(response_format: object) -> str | None:
    """The kind of a response format: its `type` in the request, or the text itself."""
    if isinstance(response_format, dict):
        kind = response_format.get("type") or dig(response_format, "format", "type")
        return kind if isinstance(kind, str) else None
    return response_format if isinstance(response_format, str) else None


def joined(texts: Iterable[str | None]) -> str | None:
    """The texts as one, or None where there is none."""
    said = [text for text in texts if text is not None]
    return "".join(said) if said else None
