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
from stillwatch.gateway.path import batch as batches
from stillwatch.gateway.path import naming
from stillwatch.gateway.path.batch import MOST, MOST_N, MOST_TOKENS, Batch, begins, begun
from stillwatch.gateway.path.objects import in_upload
from stillwatch.gateway.path.references import NONE, References, in_value

OPERATIONS = (
    ("/chat/completions", "chat"),
    ("/completions", "completions"),
    ("/responses", "responses"),
    ("/messages", "messages"),
    ("/embeddings", "embeddings"),
    ("/models", "models"),
)
# What hands out keys that work without us: OpenAI's for browsers
MINTS = ("/client_secrets", "/realtime/sessions", "/realtime/transcription_sessions", "/chatkit/sessions")
# Paths of no operation that generate nothing, or what is counted where it is begun or fetched
HARMLESS = (
    "/files", "/uploads", "/parts", "/complete", "/cancel", "/count_tokens", "/input_tokens", "/tokenize",
    "/detokenize", "/moderations", "/rerank",
)  # fmt: skip
JSON_ONLY = frozenset(("chat", "completions", "responses", "messages", "embeddings"))
SAYS_WHO = frozenset(("safety_identifier", "user", "metadata"))
REMEMBERED = 512  # characters of a target; longer ones would fill the memory
_BAD_TARGET = re.compile(r"[^\x21-\x7e]|#")
_PARAMETERS = re.compile(r";[^/]*")  # of a segment: servers in Java leave them out
FREE_BYTES, GROWTH = 4 << 20, 100  # a body may open to so many bytes; beyond, to so many times its own
MOST_QUOTES = 4_000_000
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
LOOKED_THROUGH = 256 << 10  # bytes; in a longer body values are counted: others wait while each is looked at
FREE_VALUES, BYTES_A_VALUE = 50_000, 16  # lists and objects in any body; beyond, one for so many bytes
MOST_SIGNS = ((b"[", 500_000), (b"{", 500_000), (b",", 4_000_000), (b":", 2_000_000))
ZSTD_PIECE = 512  # bytes opened at a time: each may hold 128 KiB for every four


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
    most: int | None = None  # output tokens that it allows one answer, where it says
    batch: Batch | None = None  # what it uploads or begins
    background: bool = False  # answered at once, worked off and fetched later
    references: References = NONE  # stored objects that it names


def operation_of(target: str) -> str:
    """The operation a request target stands for; "other" for what the gateway only passes on."""
    return _operation(target) if len(target) <= REMEMBERED else _operation.__wrapped__(target)


@lru_cache(1024)
def _operation(target: str) -> str:
    path = _plain(target).rstrip("/ \t\r\n\0").lower()
    for ending, name in OPERATIONS:
        if path.endswith(ending):
            return name
    return "models" if "/models/" in path else "other"


def mints(target: str) -> bool:
    """Whether a POST to it gives a key that works without the gateway."""
    return _plain(target).rstrip("/ ").lower().endswith(MINTS)


def known(target: str) -> bool:
    """Whether what is sent to it is understood: counted, looked into, or known to generate nothing."""
    path = _plain(target).rstrip("/ ").lower()
    return operation_of(target) != "other" or begins(path) or path.endswith(HARMLESS)


def read(method: str, target: str, kind: str, coding: str, body: bytes, limit: int) -> Facts:
    """Look at a whole request. `kind` and `coding` are its content type and content encoding, lower case.

    Raises: BadRequest for what must not go upstream.
    """
    operation, named = _targeted(target) if len(target) <= REMEMBERED else _target(target)
    starts = operation == "other" and method not in ("GET", "HEAD") and begins(_plain(target).lower())
    if not body:
        return Facts(operation, named, batch=begun(None) if starts else None)
    if method in ("GET", "HEAD"):
        raise BadRequest(400, "bad_body", f"a {method} has no body: what one would mean is anyone's guess")
    if coding not in ("", "identity"):
        body = inflate(body, coding, limit)
    # whatever it calls itself: an upstream may read any body as JSON, also one in UTF-16
    start = body[:8]
    if b"\0" in start and start.lstrip(b"\xff\xfe\0")[:1] in (b"{", b"["):
        raise BadRequest(400, "bad_json", "the body is JSON in UTF-16 or UTF-32; send UTF-8")
    form = operation not in JSON_ONLY and ("form-data" in kind or "urlencoded" in kind)
    like_json = "json" in kind or body[:1] in b"{[" or body.lstrip()[:1] in (b"{", b"[")
    if operation in JSON_ONLY or (like_json and not form):
        facts = _json(operation, named, kind, body, starts)
    else:
        try:
            found = naming.in_form(kind, body) if form else []
            names = _distinct(*found, *named, *naming.in_lines(body))
        except naming.Ambiguous as why:
            raise BadRequest(400, "bad_form", str(why)) from None
        facts = Facts(operation, names, batch=begun(None) if starts else _uploaded(body))
    if facts.batch is not None:
        facts = msgspec.structs.replace(facts, n=facts.batch.n, logprobs=facts.batch.logprobs)
    if form or (not facts.is_json and batches.is_batch(body)):
        references = _beside(kind if form else "", body)
        facts = msgspec.structs.replace(facts, references=references)
    if len(facts.models) > naming.MOST_NAMES:
        raise BadRequest(400, "too_many_models", f"one request may name {naming.MOST_NAMES} models")
    return facts


def _target(target: str) -> tuple[str, tuple[str, ...]]:
    """The operation and the models that a target names."""
    if not target.startswith("/") or _BAD_TARGET.search(target):
        raise BadRequest(400, "bad_target", "the request target must be a path of printable ASCII")
    parts, bare = _unquoted(target).split("/"), _plain(target).split("/")
    if not {".", ".."}.isdisjoint((*parts, *bare)):
        raise BadRequest(400, "bad_target", "the request target must hold no dots for folders")
    try:
        named = naming.in_query(target.partition("?")[2])
    except naming.Ambiguous as why:
        raise BadRequest(400, "bad_target", str(why)) from None
    endings = [ending for ending, _ in OPERATIONS]
    named += naming.in_path(parts, endings) + naming.in_path(bare, endings)
    return operation_of(target), _distinct(*named)


_targeted = lru_cache(1024)(_target)


def _json(operation: str, named: tuple[str, ...], kind: str, body: bytes, starts: bool) -> Facts:
    if len(body) > LOOKED_THROUGH and _holds_too_many(body):
        raise BadRequest(400, "bad_json", "the body holds more values than any model takes")
    try:
        asked = decode(body)
    except Refused as why:
        media = kind.partition(";")[0].strip()
        if operation not in JSON_ONLY and media != "application/json" and not media.endswith("+json"):
            # lines of JSON, or none at all
            found = begun(None) if starts else _uploaded(body)
            return Facts(operation, _distinct(*named, *_lines(body)), batch=found)
        raise BadRequest(400, "bad_json", f"the body {why}") from None
    if not isinstance(asked, dict):
        if operation in JSON_ONLY:
            raise BadRequest(400, "bad_json", "the body must be a JSON object")
        found = begun(None) if starts else None
        names = _distinct(*named, *_lines(body))
        return Facts(operation, names, is_json=True, batch=found, references=in_value(asked))
    model = asked.get("model")
    if model is not None and not isinstance(model, str):
        raise BadRequest(400, "bad_model", "model must be a text")
    for key in asked:
        if len(key) == 5 and key != "model" and key.lower() == "model":  # to Go's JSON reader it is the same
            raise BadRequest(400, "bad_model", "model must be written in small letters")
    try:
        many = naming.in_object(asked)
    except naming.Ambiguous as why:
        raise BadRequest(400, "bad_json", str(why)) from None
    models: tuple[str, ...] = (model,) if model else ()
    if named or many:
        models = _distinct(*models, *named, *many)
    n, logprobs = asked.get("n"), asked.get("logprobs")
    most = first(*map(asked.get, MOST))
    end_user = None
    if not SAYS_WHO.isdisjoint(asked):
        end_user = first(asked.get("safety_identifier"), asked.get("user"), dig(asked, "metadata", "user_id"))
    return Facts(
        operation,
        models,
        end_user if isinstance(end_user, str) else None,
        asked.get("stream") is True,
        min(n, MOST_N) if type(n) is int and n > 0 else 1,
        logprobs not in (None, False) or asked.get("top_logprobs") is not None or _include(asked),
        True,
        asked.get("stream_options") is not None,
        min(most, MOST_TOKENS) if type(most) is int and most > 0 else None,
        begun(asked) if starts else _uploaded(body) if operation == "other" else None,
        operation == "responses" and asked.get("background") is True,
        references=in_value(asked),
    )


def _uploaded(body: bytes) -> Batch | None:
    try:
        return batches.uploaded(body)
    except batches.TooMany:
        what = f"an upload may hold {batches.MOST_LINES:,} questions"
        raise BadRequest(400, "too_many_questions", what) from None


def _beside(form: str, body: bytes) -> References:
    """Objects that a form's fields and an uploaded batch's questions name."""
    fields = naming.form_fields(form, body) if form else []
    lines = list(batches.lines_of(body)) if batches.is_batch(body) else []
    try:
        return in_upload(fields, lines)
    except ValueError as why:
        raise BadRequest(400, "bad_question", f"a question of the upload {why}") from None


def _holds_too_many(body: bytes) -> bool:
    """Whether reading it would take longer than others should wait; what stands within texts is no value."""
    if body.count(b'"') > MOST_QUOTES:
        return True
    return _too_many(body) and _too_many(_STRING.sub(b"", body), len(body))


def _too_many(body: bytes, size: int = 0) -> bool:
    if body.count(b"[") + body.count(b"{") > max(FREE_VALUES, (size or len(body)) // BYTES_A_VALUE):
        return True
    return any(body.count(sign) > most for sign, most in MOST_SIGNS)


def _include(asked: dict[str, object]) -> bool:
    include = asked.get("include")
    return isinstance(include, list) and any(isinstance(v, str) and "logprobs" in v for v in include)


def _plain(target: str) -> str:
    """A target's path as some servers read it: without parameters of segments, turned slashes as slashes."""
    return _PARAMETERS.sub("", _unquoted(target)).replace("\\", "/")


def _unquoted(target: str) -> str:
    """A target's path without escapes."""
    return re.sub(r"%([0-9A-Fa-f]{2})", lambda m: chr(int(m[1], 16)), target.partition("?")[0])


def _lines(body: bytes) -> list[str]:
    try:
        return naming.in_lines(body)
    except naming.Ambiguous as why:
        raise BadRequest(400, "bad_model", str(why)) from None


def _distinct(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def inflate(body: bytes, coding: str, limit: int) -> bytes:
    """A compressed body, opened as far as `limit` bytes.

    Raises: BadRequest when it is longer (413), damaged (400), or in a coding we cannot look into (415). One
    that grows beyond measure is a bomb: what a few kB may cost is bounded.
    """
    limit = min(limit, max(FREE_BYTES, GROWTH * len(body)))
    try:
        if coding in ("gzip", "x-gzip", "deflate"):
            opened = zlib.decompressobj(wbits=47)  # 32 + 15: zlib's or gzip's header
            plain = opened.decompress(body, limit + 1)
            whole = opened.eof and not opened.unused_data
        elif coding == "zstd":
            plain, whole = _zstd(body, limit)
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


def _zstd(body: bytes, limit: int) -> tuple[bytes, bool]:
    """A body opened as far as the limit, and whether it was one whole frame and nothing else.

    Raises: BadRequest when it is longer.
    """
    opening = zstandard.ZstdDecompressor(max_window_size=1 << 23).decompressobj()
    parts, size = [], 0
    for at in range(0, len(body), ZSTD_PIECE):
        parts.append(opening.decompress(body[at : at + ZSTD_PIECE]))
        size += len(parts[-1])
        if size > limit:
            raise BadRequest(413, "too_large", f"the body holds more than {limit:,} bytes when opened")
        if opening.eof:
            return b"".join(parts), not opening.unused_data and at + ZSTD_PIECE >= len(body)
    return b"".join(parts), False
