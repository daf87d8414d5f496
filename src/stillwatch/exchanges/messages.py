"""The text of one message, as in answers, and small helpers for decoded JSON bodies.

Requests are read by `request_text`.
"""

import json
import re
from collections.abc import Iterable

from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.strict_json import decode_mended

TEXT_PARTS = ("text", "input_text", "output_text")
DEEP = 6  # how deep text may be nested in parts
REDACTED = frozenset(("redacted-by-litellm", "__REDACTED__"))  # LiteLLM, OpenInference: no text, no prompt


def text_of(content: object, depth: int = 0) -> str | None:
    """Return the text in a message's content: a text, a list of parts, or a part; not files or tool calls."""
    if isinstance(content, str):
        return None if content in REDACTED else content
    if isinstance(content, list):
        texts = [part for part in (text_of(inner, depth + 1) for inner in content) if part is not None]
        return "\n".join(texts) if texts else None
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
    """Return the text of one message, whatever its content is called."""
    if not isinstance(message, dict):
        return text_of(message)
    for key in ("content", "parts"):
        if message.get(key) is not None:
            return text_of(message[key])
    return None


def from_text(value: object) -> object:
    """Decode a value that a log may hold as JSON text; a text that is not JSON stays a text.

    Such a text is the client's own body. Half a surrogate pair and NaN are repaired, and of a repeated key
    the last one is used, as in the parsers of Python, JavaScript and Go that serve it: rejecting the text
    would hide the exchange.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return decode_mended(value.encode("utf-8"))[0]
        except Refused as why:
            return json.loads(value) if "twice" in str(why) else value
        except UnicodeEncodeError:
            return value
    return value


DEEPEST = 64  # nested values of a truncated text: a client chooses them
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+("?)|[{}\[\],]', re.DOTALL)
_HALF_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?$")


def from_cut_text(value: object) -> object:
    """Decode JSON that a limit may have cut off, up to the cut.

    >>> from_cut_text('[{"role": "user", "content": "Tell me a lo')
    [{'role': 'user', 'content': 'Tell me a lo'}]
    >>> from_cut_text('[{"role": "user", "content": "Hi"}, {"ro')
    [{'role': 'user', 'content': 'Hi'}]
    """
    value = from_text(value)
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    ends: list[str] = []  # of open values
    before, ends_before, is_open = 0, "", False  # at the last comma
    for token in _TOKEN.finditer(value):
        mark = token[0][0]
        if mark == '"':
            is_open = not token[1]
        elif mark == ",":
            before, ends_before = token.start(), "".join(reversed(ends))
        elif mark in "{[":
            if len(ends) == DEEPEST:
                return value
            ends.append("}" if mark == "{" else "]")
        elif not ends or ends.pop() != mark:
            return value
    closed = _HALF_ESCAPE.sub("", value) + ('"' if is_open else "") + "".join(reversed(ends))
    for text in (closed, value[:before] + ends_before):
        if not isinstance(found := from_text(text), str):
            return found
    return value


def as_object(value: object) -> dict[str, object]:
    """Return a JSON object, decoded if it is text; an empty one for anything else."""
    value = from_text(value)
    return value if isinstance(value, dict) else {}


def dig(value: object, *path: str | int) -> object:
    """Return the value at a path of keys and indexes, or None."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(value, list) or not -len(value) <= step < len(value):
                return None
            value = value[step]
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def whole(text: object) -> int | None:
    """Return the whole number that a text is, or None. `isdigit` alone accepts more than `int` can read.

    >>> whole("12"), whole("-3"), whole("\u00b2"), whole("--5"), whole("9" * 5000)
    (12, -3, None, None, None)
    """
    if not isinstance(text, str) or len(text) > 20 or not text.isascii():
        return None
    return int(text) if text.removeprefix("-").isdigit() else None


def first(*values: object) -> object:
    """Return the first value that is neither None nor an empty text."""
    for value in values:  # a loop takes a third of a generator's time, and each row needs it ten times
        if value is not None and value != "":
            return value
    return None


def either(obj: object, camel: str, snake: str) -> object:
    """Return the value under one of two spellings of its name."""
    return first(dig(obj, camel), dig(obj, snake))


def count(tools: object) -> int | None:
    """Return how many tools were offered."""
    return len(tools) if isinstance(tools, list) else None


def format_name(response_format: object) -> str | None:
    """Return the kind of a response format: its `type` in the request, or the text itself."""
    if isinstance(response_format, dict):
        kind = response_format.get("type") or dig(response_format, "format", "type")
        return kind if isinstance(kind, str) else None
    return response_format if isinstance(response_format, str) else None


def join_texts(texts: Iterable[str | None]) -> str | None:
    """Join texts, or return None if there is none."""
    present = [text for text in texts if text is not None]
    return "".join(present) if present else None
