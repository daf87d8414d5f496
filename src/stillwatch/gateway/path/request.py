"""What a client's request asks for: operation, every model it names, end user. It decides nothing.

A body that two parsers could read differently is refused here: raw bytes go upstream, so what we read must be
what the upstream reads.
"""

import re
import zlib
from functools import lru_cache

import msgspec
import zstandard

from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.messages import dig, first
from stillwatch.exchanges.strict_json import decode

OPERATIONS = (
    ("/chat/completions", "chat"),
    ("/completions", "completions"),
    ("/responses", "responses"),
    ("/messages", "messages"),
    ("/embeddings", "embeddings"),
    ("/models", "models"),
)
NAMING = ("models", "deployments", "engines", "model")  # path segments that a model's name follows
JSON_ONLY = frozenset(("chat", "completions", "responses", "messages", "embeddings"))
HOPS = frozenset(("models", "fallbacks", "context_window_fallbacks", "fallback_models"))
_FORM_MODEL = re.compile(
    rb'name=(?:"model"|model(?=[;\s]))[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]{1,400})\r\n'
)
_LINE_MODEL = re.compile(rb'(?<!\\)"(?:model|\\u006[dD]odel)"[ \t]*:[ \t]*("(?:[^"\\\r\n]++|\\[^\r\n])*+")')
_BAD_TARGET = re.compile(r"[^\x21-\x7e]|#")


class BadRequest(Exception):
    """The request is answered by the gateway: status, code and a sentence for the client."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Facts(msgspec.Struct, frozen=True, gc=False):
    """What is known of a request before it goes upstream."""

    operation: str
    models: tuple[str, ...] = ()  # all it names; the first one is what it asks for
    end_user: str | None = None
    stream: bool = False
    n: int = 1
    logprobs: bool = False
    is_json: bool = False
    usage_asked: bool = False  # its stream will end with usage, or it set the option itself


@lru_cache(1024)
def operation_of(target: str) -> str:
    """The operation a request target stands for; "other" for what the gateway only passes on."""
    path = _unquoted(target.partition("?")[0]).rstrip("/").lower()
    for ending, name in OPERATIONS:
        if path.endswith(ending):
            return name
    return "models" if "/models/" in path else "other"


def read(method: str, target: str, kind: str, coding: str, body: bytes, limit: int) -> Facts:
    """Look at a whole request. `kind` and `coding` are its content type and content encoding, lower case.

    Raises: BadRequest for what must not go upstream.
    """
    operation, named = _target(target)
    if not body:
        return Facts(operation, named)
    if method in ("GET", "HEAD"):
        raise BadRequest(400, "bad_body", f"a {method} has no body: what one would mean is anyone's guess")
    if coding not in ("", "identity"):
        body = inflate(body, coding, limit)
    # whatever it calls itself: an upstream may read any body as JSON, also one in UTF-16
    if operation in JSON_ONLY or "json" in kind or body[:1] in b"{[" or body.lstrip()[:1] in (b"{", b"["):
        return _json(operation, named, kind, body)
    if kind.startswith("multipart/"):
        found = [value.decode("utf-8", "replace") for value in _FORM_MODEL.findall(body)]
        return Facts(operation, _distinct(*found, *named, *_in_lines(body)))
    return Facts(operation, _distinct(*named, *_in_lines(body)))


@lru_cache(1024)
def _target(target: str) -> tuple[str, tuple[str, ...]]:
    """The operation and the models that a target names."""
    if not target.startswith("/") or _BAD_TARGET.search(target):
        raise BadRequest(400, "bad_target", "the request target must be a path of printable ASCII")
    if not {".", ".."}.isdisjoint(_unquoted(target.partition("?")[0]).split("/")):
        raise BadRequest(400, "bad_target", "the request target must hold no dots for folders")
    return operation_of(target), _in_path(target)


def _json(operation: str, named: tuple[str, ...], kind: str, body: bytes) -> Facts:
    try:
        asked = decode(body)
    except Refused as why:
        if operation not in JSON_ONLY and "application/json" not in kind:  # lines of JSON, or none at all
            return Facts(operation, _distinct(*named, *_in_lines(body)))
        raise BadRequest(400, "bad_json", f"the body {why}") from None
    if not isinstance(asked, dict):
        if operation in JSON_ONLY:
            raise BadRequest(400, "bad_json", "the body must be a JSON object")
        return Facts(operation, _distinct(*named, *_in_lines(body)), is_json=True)
    model = asked.get("model")
    if model is not None and not isinstance(model, str):
        raise BadRequest(400, "bad_model", "model must be a text")
    for key in asked:
        if len(key) == 5 and key != "model" and key.lower() == "model":  # to Go's JSON reader it is the same
            raise BadRequest(400, "bad_model", "model must be written in small letters")
    many = [] if HOPS.isdisjoint(asked) else _hops(asked)
    n, logprobs = asked.get("n"), asked.get("logprobs")
    end_user = first(asked.get("safety_identifier"), asked.get("user"), dig(asked, "metadata", "user_id"))
    return Facts(
        operation,
        _distinct(*([model] if model else []), *named, *many),
        end_user if isinstance(end_user, str) else None,
        asked.get("stream") is True,
        n if type(n) is int and n > 0 else 1,
        logprobs not in (None, False) or asked.get("top_logprobs") is not None or _include(asked),
        True,
        asked.get("stream_options") is not None,
    )


def _hops(asked: dict[str, object]) -> list[str]:
    """Models that routers behind us may fall back to: OpenRouter's `models`, LiteLLM's `fallbacks`."""
    found: list[str] = []
    for key in sorted(HOPS & asked.keys()):
        todo = [asked.get(key)]
        while todo:
            value = todo.pop()
            if isinstance(value, str):
                found.append(value)
            elif isinstance(value, list):
                todo.extend(value)
            elif isinstance(value, dict):
                todo.extend(value.values() if "model" not in value else [value["model"]])
    return found


def _include(asked: dict[str, object]) -> bool:
    include = asked.get("include")
    return isinstance(include, list) and any(isinstance(v, str) and "logprobs" in v for v in include)


def _in_path(target: str) -> tuple[str, ...]:
    """Models in a path: `/openai/deployments/NAME/chat/completions`, `/v1/models/NAME`."""
    parts = _unquoted(target.partition("?")[0]).split("/")
    at = next((k for k, part in enumerate(parts) if part.lower() in NAMING), len(parts))
    rest = parts[at + 1 :]
    for ending, _ in OPERATIONS:  # a name may hold a slash: it goes on to the operation
        tail = ending.strip("/").split("/")
        if [part.lower() for part in rest[-len(tail) :]] == tail:
            rest = rest[: -len(tail)]
            break
    name = "/".join(rest).partition(":")[0] if rest else ""
    return (name,) if name else ()


def _unquoted(path: str) -> str:
    return re.sub(r"%([0-9A-Fa-f]{2})", lambda m: chr(int(m[1], 16)), path)


def _in_lines(body: bytes) -> list[str]:
    """Models in an uploaded batch: a file of lines, each a request of its own."""
    found = []
    for raw in set(_LINE_MODEL.findall(body)):
        try:
            found.append(msgspec.json.decode(raw, type=str))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise BadRequest(
                400, "bad_model", "a line of the upload names a model that cannot be read"
            ) from None
    return sorted(found)


def _distinct(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def inflate(body: bytes, coding: str, limit: int) -> bytes:
    """A compressed body, opened as far as `limit` bytes.

    Raises: BadRequest when it is longer (413), damaged (400), or in a coding we cannot look into (415).
    """
    try:
        if coding in ("gzip", "x-gzip", "deflate"):
            opened = zlib.decompressobj(wbits=47)  # 32 + 15: zlib's or gzip's header
            plain = opened.decompress(body, limit + 1)
            whole = opened.eof and not opened.unused_data
        elif coding == "zstd":
            with zstandard.ZstdDecompressor(max_window_size=1 << 23).stream_reader(body) as reader:
                plain, whole = reader.read(limit + 1), True
        else:
            raise BadRequest(
                415, "bad_encoding", f"content-encoding {coding[:40]!r}: send gzip, zstd or none"
            )
    except (zlib.error, zstandard.ZstdError):
        raise BadRequest(400, "bad_encoding", f"the body is not {coding}") from None
    if len(plain) > limit:
        raise BadRequest(413, "too_large", f"the body holds more than {limit:,} bytes when opened")
    if not whole:
        raise BadRequest(400, "bad_encoding", f"the {coding} body does not end where it should")
    return plain
