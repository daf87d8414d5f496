"""What a client's request asks for: operation, every model that it names, end user.

A body that two parsers could read differently is refused: raw bytes go upstream, so the gateway must read the
same as the upstream.
"""

import re
import sys
import zlib
from functools import lru_cache
from urllib.parse import unquote, unquote_to_bytes

import msgspec

from stillwatch.compiled_code.library import kernels
from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.messages import dig, first
from stillwatch.exchanges.operations import (
    ANSWER,
    NAMES_A_MODEL,
    OPERATIONS,
    Operation,
    OperationMatch,
    Operations,
    plain,
)
from stillwatch.exchanges.strict_json import decode_counted, refuse_duplicates
from stillwatch.gateway.path import batch as batches
from stillwatch.gateway.path import naming
from stillwatch.gateway.path.amounts import amounts
from stillwatch.gateway.path.batch import BatchRequest, begun
from stillwatch.gateway.path.objects import in_upload
from stillwatch.gateway.path.references import NONE, References, fold_key, in_value

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Operations whose body is always one JSON object
JSON_ONLY = frozenset(
    ("chat", "completions", "responses", "messages", "embeddings", "generate_content", "converse",
     "cohere_chat", "ollama_chat", "ollama_generate", "generate", "completion", "runs", "ocr")
)  # fmt: skip
FORM = "multipart/form-data"
SAYS_WHO = frozenset(("safety_identifier", "user", "metadata"))
REMEMBERED = 512  # characters of a target; longer ones would fill the cache
_BAD_TARGET = re.compile(r"[^\x21-\x7e]|#")
_CHARSET = re.compile(r"charset[*0-9]*\s*=\s*(?:\"([^\"]*)\"|([^\s\";,]*))")
UTF8 = frozenset(("utf-8", "utf8", "us-ascii", "ascii"))
MARKS = (b"\xef\xbb\xbf", b"+/v")  # byte-order marks of UTF-8 and UTF-7: some readers remove them
# Decoded twice, or by other rules, these give another path: %2561, %u002f
_TWICE = re.compile(r"%25[0-9A-Fa-f]{2}|%u[0-9A-Fa-f]{4}")
_CONTROLS = re.compile(r"%[01][0-9A-Fa-f]|%7[Ff]")
FREE_BYTES, GROWTH = 4 << 20, 100  # how far a body may expand: to so many bytes, or to so many times its size
MOST_QUOTES = 4_000_000
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_KEY = re.compile(_STRING.pattern + rb"(\s*+:)?", re.DOTALL)
LOOKED_THROUGH = 256 << 10  # bytes; in a longer body values are counted first: others wait while it is parsed
FREE_VALUES, BYTES_A_VALUE = 50_000, 16  # lists and objects in any body; beyond, one per so many bytes
MOST_SIGNS = ((b"[", 500_000), (b"{", 500_000), (b",", 4_000_000), (b":", 2_000_000))
# JSON in which a parser of forms finds fields: some separate fields at semicolons
_ALSO_A_FORM = re.compile(rb"[&;]\s*[\w%+.\[\]-]+=")
ZSTD_LIMITS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}  # 8 MiB at most

# A field by which a request that otherwise creates or changes such an object has a model write: Mistral's
WRITES_WITH = {"conversation": "inputs"}
LATER = frozenset(("runs",))  # operations that continue after their reply, unless streamed
_UNKNOWN = Operation("", "*", "**", "unknown")


class BadRequest(Exception):
    """The gateway refuses the request itself: status, code and a sentence for the client."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Facts(msgspec.Struct, frozen=True, gc=False):
    """The facts of a request before it goes upstream."""

    operation: str
    does: str = "unknown"  # one of `operations.DOES`, if the table has a line for it
    models: tuple[str, ...] = ()  # all that it names, the requested one first
    end_user: str | None = None
    stream: bool = False
    n: int = 1
    logprobs: bool = False
    is_json: bool = False
    usage_asked: bool = False  # its stream will report usage, or it set the option itself
    most: int | None = None  # output tokens that it allows for one answer, if stated
    batch: BatchRequest | None = None  # what it uploads or starts
    background: bool = False  # accepted at once, processed and fetched later
    references: References = NONE  # stored objects that it names
    answers: int = 1  # to all its questions
    stored: str = ""  # the object that it reads, if it has no body
    hook: str = ""  # the field that would send its answer somewhere else


def operation_of(target: str) -> str:
    """Return the operation that a target names; "other" if the table has none."""
    match = OPERATIONS.find("POST", target) or OPERATIONS.find("GET", target)
    return match.operation if match else "other"


def read(
    method: str,
    target: str,
    kind: str,
    coding: str,
    body: bytes,
    limit: int,
    operations: Operations = OPERATIONS,
) -> Facts:
    """Read a whole request. `kind` and `coding` are its content type and content encoding, lower case.

    Raises: BadRequest for what must not go upstream.
    """
    match = operations.find(method, target)
    named = _targeted(target, match) if len(target) <= REMEMBERED else _target(target, match)
    line = match.line if match else _UNKNOWN
    operation, does = line.name, line.does if match else "unknown"
    asks_logprobs = "?" in target and "logprobs" in unquote(target.partition("?")[2])
    fields: list[tuple[str, str]] = []
    if not body:
        batch = begun(None) if does == "begins" else None
        stored = match.object[1] if match is not None and match.object else ""
        return Facts(operation, does, named, logprobs=asks_logprobs, batch=batch, stored=stored)
    if method in ("GET", "HEAD"):
        raise BadRequest(400, "bad_body", f"a {method} has no body: what one would mean is anyone's guess")
    if coding not in ("", "identity"):
        body = inflate(body, coding, limit)
    _plainly_typed(kind, does)
    _check_utf_8(body)
    form = "form-data" in kind or "urlencoded" in kind
    if form and operation in JSON_ONLY:
        form = False
        if "urlencoded" in kind and _ALSO_A_FORM.search(body):
            why = "the content type says a form, and the body can be read as one: send application/json"
            raise BadRequest(415, "bad_form", why)
    like_json = "json" in kind or body[:1] in b"{[" or body.lstrip()[:1] in (b"{", b"[")
    if operation in JSON_ONLY or (like_json and not form):
        facts = _json(operation, does, named, kind, body, line.makes)
        if facts.is_json and does in ("creates", "changes") and _writes(match, body):
            facts = msgspec.structs.replace(facts, does="generates")
    else:
        fields = _fields_of(kind, body) if form else []
        facts = _no_json(operation, does, named, fields, body)
    beside = form or (not facts.is_json and batches.is_batch(body))
    hooks = list(filter(naming.is_hook, naming.query_names(target))) if "?" in target else []
    if facts.batch is not None or beside or hooks or asks_logprobs:
        facts = msgspec.structs.replace(
            facts,
            n=facts.batch.n if facts.batch is not None else facts.n,
            logprobs=asks_logprobs or facts.logprobs or (facts.batch is not None and facts.batch.logprobs),
            references=_beside(fields, body) if beside else facts.references,
            hook=hooks[0] if hooks else facts.hook,
        )
    if len(facts.models) > naming.MOST_NAMES:
        raise BadRequest(400, "too_many_models", f"one request may name {naming.MOST_NAMES} models")
    return facts


def _fields_of(kind: str, body: bytes) -> list[tuple[str, str]]:
    try:
        return naming.form_fields(kind, body)
    except naming.Ambiguous as why:
        raise BadRequest(400, "bad_form", str(why)) from None


def _no_json(
    operation: str, does: str, named: tuple[str, ...], fields: list[tuple[str, str]], body: bytes
) -> Facts:
    """Return the facts of a form, of lines, or of anything else that is not a JSON object."""
    try:
        models = _distinct(*naming.in_fields(fields), *named, *naming.in_lines(body))
    except naming.Ambiguous as why:
        raise BadRequest(400, "bad_form", str(why)) from None
    batch = begun(None) if does == "begins" else _uploaded_batch(body)
    logprobs = any("logprobs" in value for name, value in fields if "include" in name)
    hook = next((name for name, _ in fields if naming.is_hook(name)), "")
    return Facts(operation, does, models, logprobs=logprobs, batch=batch, hook=hook)


def _check_utf_8(body: bytes) -> None:
    """Raises: BadRequest for a body that begins as in other encodings: upstreams may accept them."""
    if body.startswith(MARKS):
        raise BadRequest(400, "bad_encoding", "the body begins with a byte-order mark; leave it out")
    start = body[:8]
    if b"\0" in start and start.lstrip(b"\xff\xfe\0")[:1] in (b"{", b"["):
        raise BadRequest(400, "bad_json", "the body is JSON in UTF-16 or UTF-32; send UTF-8")


def _plainly_typed(kind: str, does: str) -> None:
    """Raises: BadRequest for a content type that makes a reader decode the bytes other than as UTF-8."""
    if kind == "application/json":
        return
    charsets = [quoted or bare for quoted, bare in _CHARSET.findall(kind)]
    if kind.count("charset") != len(charsets) or not UTF8.issuperset(charsets) or len(charsets) > 1:
        raise BadRequest(
            415, "bad_encoding", "the body must be UTF-8, and its content type say no other charset"
        )
    media = kind.partition(";")[0].strip()
    if "," in media or (does in NAMES_A_MODEL and media.startswith("multipart/") and media != FORM):
        raise BadRequest(415, "bad_form", f"content-type {media[:60]!r}: send JSON or multipart/form-data")


def _target(target: str, match: OperationMatch | None) -> tuple[str, ...]:
    """Return the models that a target names."""
    path, _, query = target.partition("?")
    if not target.startswith("/") or _BAD_TARGET.search(target):
        raise BadRequest(400, "bad_target", "the request target must be a path of printable ASCII")
    if _TWICE.search(path) or _CONTROLS.search(path) or not _is_utf8(path):
        raise BadRequest(400, "bad_target", "the request target holds escapes that servers read differently")
    parts, bare = unquote(path).split("/"), plain(path).split("/")
    if not {".", ".."}.isdisjoint((*parts, *bare)):
        raise BadRequest(400, "bad_target", "the request target must hold no dots for folders")
    try:
        named = naming.in_query(query)
        if query and (match is None or match.does in NAMES_A_MODEL) and naming.hides_reply(query):
            raise BadRequest(400, "bad_target", "the reply is asked for whole: leave out `fields` and `alt`")
    except naming.Ambiguous as why:
        raise BadRequest(400, "bad_target", str(why)) from None
    guessed = naming.in_path(parts) + naming.in_path(bare)
    for kind, name in match.ids if match else ():
        if kind == "model":  # the publisher may precede it: /publishers/anthropic/models/NAME
            guessed = [model_name for model_name in guessed if model_name.endswith(f"/{name}")] or [name]
    return _distinct(*named, *guessed)


_targeted = lru_cache(1024)(_target)


def _is_utf8(path: str) -> bool:
    try:
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _writes(match: OperationMatch | None, body: bytes) -> bool:
    """Return whether a model writes in an object that is created or changed."""
    kinds = {match.line.makes, *(kind for kind, _ in match.ids)} if match else set()
    fields = [WRITES_WITH[kind] for kind in kinds if kind in WRITES_WITH]
    if not fields:
        return False
    document = msgspec.json.decode(body)
    return isinstance(document, dict) and any(fold_key(key) in fields for key in document)


def _has_nul_key(body: bytes) -> bool:
    # one byte is found ten times faster than two
    if b"\\" not in body or not kernels.has_nul_escape(body, len(body)):
        return False
    return any(b"\\u0000" in found[0] for found in _KEY.finditer(body) if found[1])


def _json(
    operation: str, does: str, named: tuple[str, ...], kind: str, body: bytes, makes: str | None
) -> Facts:
    starts = does == "begins"
    if len(body) > LOOKED_THROUGH and holds_too_many(body):
        raise BadRequest(400, "bad_json", "the body holds more values than any model takes")
    if _has_nul_key(body):
        raise BadRequest(400, "bad_json", "a key holds a NUL, at which some readers end it")
    try:
        document, endings = decode_counted(body)
        references, keys = in_value(document)
        if endings and endings != keys:
            refuse_duplicates(body)
    except Refused as why:
        media = kind.partition(";")[0].strip()
        is_json = media == "application/json" or media.endswith("+json")
        if does not in NAMES_A_MODEL and operation not in JSON_ONLY and not is_json:
            # lines of JSON, or none at all
            batch = begun(None) if starts else _uploaded_batch(body)
            return Facts(operation, does, _distinct(*named, *_lines(body)), batch=batch)
        raise BadRequest(400, "bad_json", f"the body {why}") from None
    if not isinstance(document, dict):
        if operation in JSON_ONLY:
            raise BadRequest(400, "bad_json", "the body must be a JSON object")
        batch = begun(None) if starts else None
        names = _distinct(*named, *_lines(body))
        return Facts(operation, does, names, is_json=True, batch=batch, references=references)
    asks_later = document.get("background") is True or document.get("deferred") is True
    model, hook = _model_and_hook(document)
    try:
        many = naming.in_object(document)
    except naming.Ambiguous as why:
        raise BadRequest(400, "bad_json", str(why)) from None
    models: tuple[str, ...] = (model,) if model else ()
    if named or many:
        models = _distinct(*models, *named, *many)
    wants = amounts(operation, document)
    end_user = None
    if not SAYS_WHO.isdisjoint(document):
        end_user = first(
            document.get("safety_identifier"), document.get("user"), dig(document, "metadata", "user_id")
        )
    return Facts(
        operation,
        does,
        models,
        end_user if isinstance(end_user, str) else None,
        document.get("stream") is True and makes != ANSWER,
        wants.n,
        wants.logprobs,
        True,
        document.get("stream_options") is not None,
        wants.most,
        begun(document) if starts else _uploaded_batch(body) if operation == "other" else None,
        asks_later or operation in LATER or makes == ANSWER,
        references,
        wants.answers,
        hook=hook,
    )


def _model_and_hook(document: dict[str, object]) -> tuple[str | None, str]:
    """Return the requested model, and the field that would send the answer elsewhere; "" for none."""
    model = document.get("model")
    if model is not None and not isinstance(model, str):
        raise BadRequest(400, "bad_model", "model must be a text")
    hook = ""
    for key in document:
        if len(key) not in naming.TOP_LENGTHS:
            continue
        known = naming.KEYS[key]
        if known.is_misspelt:
            raise BadRequest(400, "bad_model", "model must be written in small letters")
        if known.is_hook and document[key]:
            hook = key
    return model, hook


def _uploaded_batch(body: bytes) -> BatchRequest | None:
    try:
        return batches.uploaded_batch(body)
    except batches.TooMany:
        what = f"an upload may hold {batches.MOST_LINES:,} questions"
        raise BadRequest(400, "too_many_questions", what) from None


def _beside(fields: list[tuple[str, str]], body: bytes) -> References:
    """Return the objects that a form's fields and an uploaded batch's questions name."""
    lines = list(batches.lines_of(body)) if batches.is_batch(body) else []
    try:
        return in_upload(fields, lines)
    except ValueError as why:
        raise BadRequest(400, "bad_question", f"a question of the upload {why}") from None


def holds_too_many(body: bytes, times: int = 1) -> bool:
    """Return whether a body has so many values that parsing it would delay others.

    times: the number of requests that it stands for.
    """
    if body.count(b'"') > times * MOST_QUOTES:
        return True
    return _too_many(body, len(body), times) and _too_many(_STRING.sub(b"", body), len(body), times)


def _too_many(body: bytes, size: int, times: int) -> bool:
    if body.count(b"[") + body.count(b"{") > max(FREE_VALUES, size // BYTES_A_VALUE):
        return True
    return any(body.count(sign) > times * most for sign, most in MOST_SIGNS)


def _lines(body: bytes) -> list[str]:
    try:
        return naming.in_lines(body)
    except naming.Ambiguous as why:
        raise BadRequest(400, "bad_model", str(why)) from None


def _distinct(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def inflate(body: bytes, coding: str, limit: int) -> bytes:
    """Decompress a body, up to `limit` bytes.

    Raises: BadRequest if it is longer (413), damaged (400), or in an unsupported encoding (415).
    Decompression bombs are stopped early: the expansion of a small body is bounded.
    """
    if coding not in ("gzip", "x-gzip", "deflate", "zstd"):
        raise BadRequest(415, "bad_encoding", f"content-encoding {coding[:40]!r}: send gzip, zstd or none")
    limit = min(limit, max(FREE_BYTES, GROWTH * len(body)))
    unpacker = (
        zstd.ZstdDecompressor(options=ZSTD_LIMITS)
        if coding == "zstd"
        else zlib.decompressobj(wbits=47)  # 32 + 15: zlib's or gzip's header
    )
    try:
        plain = unpacker.decompress(body, limit + 1)
    except (zlib.error, zstd.ZstdError):
        raise BadRequest(400, "bad_encoding", f"the body is not {coding}") from None
    if len(plain) > limit:
        raise BadRequest(413, "too_large", f"the body holds more than {limit:,} bytes when opened")
    if not unpacker.eof or unpacker.unused_data:
        raise BadRequest(400, "bad_encoding", f"the {coding} body does not end where it should")
    return plain
