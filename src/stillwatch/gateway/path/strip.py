"""Takes reasoning and log-probabilities out of a model's replies, whole and streamed; usage counts stay.

OpenAI's chat, completions and Responses, Anthropic's messages, their batches, and the additions of compatible
servers. Replies without any of it stay byte for byte; an unreadable reply is withheld. The caller decodes
content encodings and sets the new length.

Blind to: reasoning that a model writes into its text (`<think>…</think>`: turn on the upstream's reasoning
parser); native APIs of other formats (Gemini, Bedrock); of a duplicate key, the one that is not used.
"""

import json
import re
from functools import lru_cache
from typing import Any

import msgspec

EVENT_LIMIT = 8 << 20  # bytes of one event: far above any delta, but bounded for hundreds of streams
DEPTH_LIMIT = 16  # answers are no deeper than batch line > response > body > output > item > content > part

_ERROR = {"type": "api_error", "message": "The reply could not be passed on.", "code": "reply_withheld"}
WITHHELD = msgspec.json.encode({"type": "error", "error": {**_ERROR, "param": None}})

# Every reply with something to strip contains one of these (`\u00`: a key may be written in escapes).
_TELLTALE = re.compile(
    rb"logprob|probs|probabilit|reasoning|thinking|thought|rationale|signature_delta|\\u00", re.IGNORECASE
)
_LIKE_JSON = re.compile(r"[\s\ufeff]*[\[{]\s*(?:[\"{}\[\]]|-?\d|true|false|null|NaN|-?Infinity|$)")
_NAME = re.compile(r"(?:^|_)(logprobs?|probs?|probabilities|reasoning|thinking|thoughts?|rationale)(?:_|$)")
_TYPE = re.compile(r"(?:redacted_)?(?:reasoning|thinking|thought)(?:$|[_.])")
_EVENT = re.compile(r"response\.(?:reasoning|thinking)")
_DELTAS = ("thinking_delta", "signature_delta")
_SETTINGS = {"reasoning_effort", "reasoning_format", "top_logprobs"}  # echoes of the request's settings
# Where answers are. Everything else (a tool's input, schemas, metadata, usage) is the user's own and stays.
_PLACES = {"choices", "message", "delta", "output", "content", "item", "part", "content_block"}
_PLACES |= {"response", "body", "result", "data"}  # wrappers of answers: events, batches, lists
_PLACES |= {"details", "tokens", "prefill", "meta_info", "provider_specific_fields"}  # compatible servers

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_SORTS = {ord("{"): "object", ord("["): "list", ord('"'): "text"} | dict.fromkeys(b"tfn", "word")

# its values: `msgspec.Raw`, or plain Python if only the standard library could read it
Node = dict[str, Any]


class _Unreadable(ValueError):
    """It may contain something to strip, but cannot be read."""


# --- one document ----------------------------------------------------------------------------------------


@lru_cache(4096)
def _meaning(name: str) -> str:
    """Return what the key `name` holds: "reasoning", "probabilities", or "" for nothing to strip."""
    matched = _NAME.search(re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower())
    if not matched or name.endswith("_tokens"):
        return ""
    return "probabilities" if "prob" in matched[1] else "reasoning"


def _sort(value: Any) -> str:
    """Return the type of a JSON value: "object", "list", "text", "number", or "word" (true, false, null)."""
    if isinstance(value, msgspec.Raw):
        return _SORTS.get(memoryview(value)[0], "number")
    if value is None or isinstance(value, bool):
        return "word"
    for kind, name in ((dict, "object"), (list, "list"), (str, "text")):
        if isinstance(value, kind):
            return name
    return "number"


def _open(value: Any) -> Any:
    """Decode an object or a list, one level deep."""
    if not isinstance(value, msgspec.Raw):
        return value
    return (_OBJECT if memoryview(value)[0] == ord("{") else _LIST).decode(value)


def _plain(value: Any) -> Any:
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value


def _type(value: Any) -> str:
    """Return the `type` of an object; "" for anything without one."""
    name = _plain(_open(value).get("type")) if _sort(value) == "object" else None
    return name if isinstance(name, str) else ""


def _empty_item(node: Node) -> Node:
    """Return what remains of a reasoning item that stands alone, so that readers find its format."""
    stripped: Node = {name: node[name] for name in ("id", "type", "status") if name in node}
    return stripped | {name: [] for name in ("summary", "content") if _sort(node.get(name)) == "list"}


def _stripped_field(node: Node, name: str, depth: int) -> Any:
    """Return the field's new value; the same object if unchanged; `...` if it is to be removed."""
    value = node[name]
    sort = _sort(value)
    if sort == "word":
        return value
    meaning = _meaning(name)
    if not meaning or (sort in ("text", "number") and name in _SETTINGS):
        return _strip_value(value, depth) if name in _PLACES else value
    if meaning == "probabilities":
        empty = sort == "list" and not _open(value)
        return value if empty else [] if sort == "list" else None
    # In the Responses API this key holds the requested effort and no text.
    setting = name == "reasoning" and sort == "object" and _plain(node.get("object")) == "response"
    return value if setting or sort == "number" else ...


def _strip_value(value: Any, depth: int = 0) -> Any:
    """Return `value` without what is to be stripped; the same object if there was nothing."""
    sort = _sort(value)
    if sort not in ("object", "list"):
        return value
    if depth > DEPTH_LIMIT:
        raise _Unreadable("nested deeper than answers are")
    opened = _open(value)
    if sort == "list":
        stays = [item for item in opened if not _TYPE.match(_type(item))]
        made = [_strip_value(item, depth + 1) for item in stays]
        same = len(made) == len(opened) and all(new is old for new, old in zip(made, stays, strict=True))
        return value if same else made
    if _TYPE.match(_type(opened)):
        return _empty_item(opened)
    fields = {name: _stripped_field(opened, name, depth + 1) for name in opened}
    if all(fields[name] is opened[name] for name in opened):
        return value
    return {name: new for name, new in fields.items() if new is not ...}


def _read(data: bytes) -> tuple[Any, bool]:
    """Return the decoded document, and whether strict parsing succeeded. Raises: _Unreadable."""
    bare = data.strip(b" \t\r\n")
    if not bare:
        raise _Unreadable("empty")
    try:
        return _open(msgspec.Raw(bare)), True
    except (msgspec.DecodeError, ValueError, RecursionError):
        pass  # NaN, a byte-order mark, lone surrogates, UTF-16: clients in Python accept these
    try:
        return json.loads(data.decode(json.detect_encoding(data), "replace"), strict=False), False
    except (ValueError, RecursionError) as error:
        raise _Unreadable(str(error)) from None


def _write_json(value: Any, strictly: bool) -> bytes:
    return msgspec.json.encode(value) if strictly else json.dumps(value).encode()


def _like_json(data: bytes) -> bool:
    start = data.lstrip()[:4096]
    return bool(_LIKE_JSON.match(start.decode(json.detect_encoding(start), "replace")))


def _may_hold(data: bytes) -> bool:
    """Return False only if there is certainly nothing to strip. Zeros at the start: UTF-16."""
    return bool(_TELLTALE.search(data)) or b"\0" in data[:4]


def _strip_document(data: bytes) -> bytes:
    """Raises: _Unreadable."""
    value, strictly = _read(data)
    made = _strip_value(value)
    return data if made is value else _write_json(made, strictly)


def _strip_lines(data: bytes) -> bytes:
    """Strip one document per line (batches, Ollama's streams)."""
    lines = data.splitlines(keepends=True)
    made = []
    for line in lines:
        bare = line.strip()
        new = _strip_document(bare) if bare else bare
        made.append(line if new is bare else new + b"\n")
    return data if all(new is old for new, old in zip(made, lines, strict=True)) else b"".join(made)


def strip_json(body: bytes) -> bytes:
    """Return the reply without what is to be stripped: the same bytes if there is nothing or it is not JSON.

    JSON that may contain something but cannot be read becomes the error `WITHHELD`.

    >>> strip_json(b'{"choices":[{"delta":{"content":"4","reasoning_content":"2+2"},"logprobs":{}}]}')
    b'{"choices":[{"delta":{"content":"4"},"logprobs":null}]}'
    """
    if not _may_hold(body) or not _like_json(body):
        return body
    for strip in (_strip_document, _strip_lines):
        try:
            return strip(body)
        except _Unreadable:
            continue
    return WITHHELD


# --- a stream of events ----------------------------------------------------------------------------------

# A final \n that arrives late passes as a blank line.
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_BOM = b"\xef\xbb\xbf"
_LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r|$)")


class _Gaps:
    """Indexes that were removed, and the new values of the others."""

    def __init__(self) -> None:
        self._out: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._out)

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and index in self._out

    def take_out(self, index: object) -> None:
        if isinstance(index, int):
            self._out.add(index)

    def put_back(self, index: object) -> None:
        """Mark an index as visible: a server that restarts counting gives it to something visible."""
        if isinstance(index, int):
            self._out.discard(index)

    def moved(self, index: Any) -> Any:
        return index - sum(out < index for out in self._out) if isinstance(index, int) else index

    def clear(self) -> None:
        self._out.clear()


class SseStrip:
    """A stream of events, however its bytes are split. Events with nothing to strip pass byte for byte.

    An event that is all reasoning is replaced by a comment: clients skip it, and those that wait for bytes
    see that the model still works. Later blocks and items move up, as official clients expect. An event
    beyond `limit` is not passed on: an error event ends the stream, and `cut` is set.
    """

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self.cut = False
        self._limit = limit
        self._held = bytearray()  # the incomplete event
        self._searched = 0  # so much of it contains no end
        self._blocks = _Gaps()  # Anthropic: index
        self._items = _Gaps()  # Responses: output_index

    def feed(self, data: bytes) -> bytes:
        """Add bytes; return what may be passed on now."""
        if self.cut:
            return b""
        self._held += data
        made, start = [], 0
        while end := _EVENT_END.search(self._held, max(start, self._searched)):
            made.append(self._event(bytes(self._held[start : end.end()])))
            start = self._searched = end.end()
        del self._held[:start]
        self._searched = max(0, len(self._held) - 3)
        if len(self._held) > self._limit:
            self._held.clear()
            self.cut = True
            made.append(b"event: error\ndata: " + WITHHELD + b"\n\n")
        return b"".join(made)

    def finish(self) -> bytes:
        """Return the rest at the end of the stream: an event without its end, if it can be read."""
        left = bytes(self._held)
        self._held.clear()
        return self._event(left, ended=False) if left else b""

    def _event(self, raw: bytes, ended: bool = True) -> bytes:
        """Return one event with its end, rewritten if necessary."""
        if ended and not (self._blocks or self._items or _TELLTALE.search(raw)):
            return raw
        name, data = "", []
        for line, _ in _LINE.findall(raw):
            field, _, value = line.removeprefix(_BOM).partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                data.append(value)
            elif field == b"event":
                name = value.decode("utf-8", "replace")
        payload = b"\n".join(data)
        if not _like_json(payload) and not _EVENT.match(name):
            return raw
        try:
            value, strictly = _read(payload)
            made = self._strip_event(value, name)
        except _Unreadable:
            made = None
        if made is None:
            return _comment(raw) if ended else _blank_lines(raw)
        return raw if made is value else _rewrite_event(raw, _write_json(made, strictly))

    def _strip_event(self, value: Any, name: str) -> Any:
        """Return the part of an event's document that may be shown; None if nothing may."""
        if _sort(value) != "object":
            return _strip_value(value)
        kind = _type(value) or name
        if kind in ("message_start", "response.created"):
            self._blocks.clear()
            self._items.clear()
        hidden = bool(_EVENT.match(kind)) or _type(value.get("delta")) in _DELTAS
        for field, gaps, begins in (
            ("index", self._blocks, "content_block"),
            ("output_index", self._items, "item"),
        ):
            index = _plain(value[field]) if field in value else None
            if begins in value:
                if _TYPE.match(_type(value[begins])):
                    gaps.take_out(index)
                else:
                    gaps.put_back(index)
            hidden = hidden or index in gaps
            if gaps and gaps.moved(index) != index:
                value = {**value, field: gaps.moved(index)}
        return None if hidden else _strip_value(value)


def _blank_lines(raw: bytes) -> bytes:
    """Return the blank lines before an event: they belong to the stream."""
    return raw[: len(raw) - len(raw.lstrip(b"\r\n"))]


def _comment(raw: bytes) -> bytes:
    """Return an empty comment with the line ends of the event that it replaces."""
    blank = _blank_lines(raw)
    ends = [end for _, end in _LINE.findall(raw[len(blank) :]) if end]
    return blank + b":" + b"".join(ends[-2:])


def _rewrite_event(raw: bytes, payload: bytes) -> bytes:
    """Return the event with other data; its other fields and line ends are unchanged."""
    made, rewritten = [], False
    for line, end in _LINE.findall(raw):
        bare = line.removeprefix(_BOM)
        if bare.partition(b":")[0] != b"data":
            made.append(line + end)
        elif not rewritten:
            rewritten = True
            made.append(line[: len(line) - len(bare)] + b"data: " + payload.replace(b"\n", b" ") + end)
    return b"".join(made)
