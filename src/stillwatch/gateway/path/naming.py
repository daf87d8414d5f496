"""Every model that a request names: in body, form, upload, path, query, headers.

All models that may answer count, not only the first one: routers take lists, nested fields, headers. A form
that two parsers could read differently is refused, and so is what would block the worker for long.
"""

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl

import msgspec

from stillwatch.gateway.path.known_names import KnownNames
from stillwatch.gateway.path.upstream import Header

# path segments that a model's name follows
PLACES = (
    "models", "deployments", "engines", "model", "tunedmodels", "endpoints", "serving-endpoints",
)  # fmt: skip
ONE = frozenset(
    ("model", "model_name", "model_id", "modelid", "modelname", "deployment", "deployment_id", "deploymentid",
     "adapter_id", "model_slug", "modelslug", "model_uri", "modeluri", "model_path", "modelpath",
     "model_group", "model_override", "model_arn", "modelarn", "fallback")
)  # fmt: skip
# also `fallback_model`, `judge-model`, `fallbackModel`: further models that a router uses
_ENDING = re.compile(r"(?:[-_]model|[a-z]Model)$")
_MANY_ENDING = re.compile(r"(?:[-_]|[a-z](?=[MF]))(?:[Mm]odels|[Ff]allbacks)$")  # `backupModels`
# OpenRouter's `models`, LiteLLM's and Bifrost's `fallbacks`, a router's list in the request
MANY = frozenset(
    ("models", "fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "default_fallbacks",
     "fallback_models", "allowed_models", "model_list", "model_group_alias")
)  # fmt: skip
# Conversation, and descriptions of the user's own data: a model's name in there is no request for it.
WORDS = frozenset(
    ("messages", "message", "input", "inputs", "prompt", "prompts", "system", "instructions", "metadata",
     "content", "contents", "documents", "items", "item", "response_format", "text", "function", "functions",
     "parameters", "input_schema", "schema", "json_schema", "arguments", "suffix", "stop", "query")
)  # fmt: skip
# Under these keys a text of JSON is a part of the request; under any other it may be conversation
_BODIES = ("body", "params", "options", "config", "settings", "kwargs")
_BODY_ENDING = re.compile(rf"(?:{'|'.join(_BODIES)})$")
# Would send the request, and its key, elsewhere: fields of routers, and those by which SGLang and vLLM fetch
# from another server what that computed for a prompt
ELSEWHERE = frozenset(
    ("api_base", "apibase", "base_url", "baseurl", "custom_host", "customhost", "azure_endpoint",
     "aws_bedrock_runtime_endpoint", "aws_sts_endpoint", "bootstrap_host", "remote_host")
)  # fmt: skip
# Fields that make servers treat a request as another one: Rails and Laravel, Google
OVERRIDES = frozenset(("_method", "$httpmethod", "$httpheaders", "x_http_method_override"))
BESIDE = frozenset(("engine", "custom_llm_provider"))  # a model's name, and the first half of one
# Would send an answer past the gateway: at the top of a body, or in a query
HOOKS = frozenset(("webhook", "webhook_url", "webhook_completed", "callback_url", "fal_webhook"))
TOP_LENGTHS = frozenset(map(len, (*HOOKS, "model")))  # of keys with a meaning only at the top
_SPECIAL = ONE | MANY | WORDS | ELSEWHERE | OVERRIDES | BESIDE | HOOKS  # all others have one of the endings
_SPECIAL_ENDINGS = ("model", "models", "fallbacks", *_BODIES)
ENDINGS = (
    "chat/completions", "completions", "responses", "messages", "embeddings", "predictions", "models",
    "invocations", "invocations-response-stream",
)  # fmt: skip
MOST_NAMES = 200  # in one request: each is looked up while other clients wait
MOST_VALUES = 1_000_000  # checked below the top; a batch of 100,000 requests has fewer
MOST_PARTS, MOST_HEAD = 10_000, 64 << 10  # of a multipart form; bytes of a part's head
MOST_FORM = 1 << 20  # bytes of a form that is not multipart: it has fields, but no file
_HEADER = re.compile(
    rb"(?:^|[-_])(?:models?|(?:model|deployment|adapter)[-_](?:name|id)|deployment|inference-component)$"
)
_CARRIES = (b"-config", b"-fallbacks")  # x-portkey-config, helicone-fallbacks: JSON
# `"model": "…"` in lines of JSON; any letter of the key may be written as an escape
_KEY = rb"".join(rb"(?:%c|\\u00%02x)" % (letter, letter) for letter in b"model")
_LINE = re.compile(rb'(?<!\\)"%s"[ \t\r\n]*:[ \t\r\n]*("(?:[^"\\\r\n]++|\\[^\r\n])*+")' % _KEY, re.IGNORECASE)
_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,200})"|([^\s";,]{1,200}))\s*(?:;|$)')
_FIELD = re.compile(rb"([!-9;-~]+):[ \t]*([^\r\n]*)")
_PARAMETER = re.compile(rb';[ \t]*([A-Za-z0-9_.*-]+)=(?:"((?:[^"\\]|\\.)*+)"|([^\s";,\\]*))[ \t]*')
_READ_OTHERWISE = re.compile(rb"charset[*0-9]*\s*=(?!\s*\"?(?:utf-?8|us-ascii)\"?\s*(?:;|$))|^multipart/")
_PLAIN = (b"7bit", b"8bit", b"binary")


class Ambiguous(ValueError):
    """Two parsers could read it differently; the text states the reason, fit for the client."""


# --- JSON -------------------------------------------------------------------------------------------------


class BodyKey(msgspec.Struct, frozen=True, gc=False):
    """What a key of a JSON body means, whatever its value."""

    refusal: str = ""  # why the key is not allowed
    is_word: bool = False  # its value is conversation
    is_one: bool = False  # a text as its value is a model's name
    is_many: bool = False  # each text below it is one
    is_model: bool = False  # one of `ONE`
    says: bool = False  # at the top of a body a text as its value may name a model
    is_hook: bool = False
    is_misspelt: bool = False  # Go's JSON reader takes it for `model`


def _read_key(key: str) -> BodyKey:
    folded = _fold_key(key)
    if folded not in _SPECIAL and not folded.rstrip("\n").endswith(_SPECIAL_ENDINGS):
        return _ANY_KEY
    one, many = _is_one(key, folded), _is_many(key, folded)
    return BodyKey(
        _refusal(folded),
        folded in WORDS,
        one,
        many,
        folded in ONE,
        key != "model" and (one or many or folded in BESIDE or _BODY_ENDING.search(folded) is not None),
        folded in HOOKS,
        key != "model" and key.lower() == "model",
    )


_ANY_KEY = BodyKey()  # the usual result
KEYS = KnownNames(_read_key)


def in_object(body: dict[str, object]) -> list[str]:
    """Return the models below the top of a JSON body: in lists, fields, batches. Raises: Ambiguous."""
    names: list[str] = []
    todo: list[tuple[object, bool]] = []  # what is left to check, and whether each text in it is a name
    for key, value in body.items():
        kind = type(value)
        if kind is not str and kind is not list and kind is not dict:
            continue
        known = KEYS[key]
        if known.refusal:
            raise Ambiguous(known.refusal)
        if kind is not str:
            if not known.is_word:
                todo.append((value, known.is_many))
        elif known.says:
            names += _said_at_top(key, str(value), body)
    looked_at = 0
    while todo:
        value, named = todo.pop()
        if isinstance(value, str):
            if named:
                names.append(value)
            continue
        looked_at += len(value) if isinstance(value, list | dict) else 0
        if looked_at > MOST_VALUES or len(names) > MOST_VALUES:
            raise Ambiguous(f"the body holds more than {MOST_VALUES:,} values beside what is said in it")
        if isinstance(value, list):
            todo.extend((inner, named) for inner in value if named or type(inner) in (dict, list))
        elif isinstance(value, dict):
            for key, inner in value.items():
                known = KEYS[key]
                if known.refusal:
                    raise Ambiguous(known.refusal)
                if known.is_one and isinstance(inner, str):
                    names.append(inner)
                elif not known.is_word:  # {"gpt-4": ["claude"]}: models that answer instead of one
                    each = known.is_many or (named and not known.is_model and "model" not in value)
                    todo.append((inner, each))
    return list(dict.fromkeys(filter(None, names))) if names else names


def _said_at_top(key: str, value: str, body: dict[str, object]) -> list[str]:
    """Return the models that a text at the top of a body names. Raises: Ambiguous."""
    folded = _fold_key(key)
    if _is_many(key, folded) or folded == "engine" or (folded != "model" and _is_one(key, folded)):
        return [value]
    if _BODY_ENDING.search(folded) and value.lstrip()[:1] == "{":
        return in_lines(value.encode("utf-8", "replace"))
    if folded == "custom_llm_provider":  # LiteLLM's: the name's first half
        return [f"{value}/{body.get('model')}"]
    return []


def _fold_key(key: str) -> str:
    """Fold a key as Go's JSON reader does: without case, and with K and the Kelvin sign as one."""
    return key.lower().replace("-", "_") if key.isascii() else key.casefold().replace("-", "_")


def _refusal(folded: str) -> str:
    if folded in OVERRIDES:
        return f"{folded} would make it another request to some servers: send that one itself"
    if folded in ELSEWHERE:
        return f"{folded} would send the request, and the key that comes with it, elsewhere"
    return ""


def _is_one(key: str, folded: str) -> bool:
    return folded in ONE or _ENDING.search(key) is not None


def _is_many(key: str, folded: str) -> bool:
    return folded in MANY or _MANY_ENDING.search(key) is not None


def in_lines(body: bytes) -> list[str]:
    """Return the models in an uploaded batch: a file of lines, each a separate request. Raises: Ambiguous."""
    names = []
    for raw in set(_LINE.findall(body)):
        try:
            names.append(msgspec.json.decode(raw, type=str))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise Ambiguous("a line of the upload names a model that cannot be read") from None
    return sorted(names)


# --- forms ------------------------------------------------------------------------------------------------


def form_fields(kind: str, body: bytes) -> list[tuple[str, str]]:
    """Return the fields of a form, of either type, that are not files. Raises: Ambiguous."""
    if "urlencoded" in kind:
        if len(body) > MOST_FORM:
            raise Ambiguous(f"a form of this type may have {MOST_FORM:,} bytes; send JSON or multipart")
        try:
            return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10_000)
        except ValueError:
            raise Ambiguous("the form has too many fields") from None
    return _fields(kind, body)


def in_fields(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return the models in the fields of a form or a query. Raises: Ambiguous."""
    names = []
    for name, value in pairs:
        bare = name.strip().partition("[")[0]  # models[], models[0]
        if bare == "_charset_" and value.strip().lower() not in ("utf-8", "utf8"):
            raise Ambiguous("the form says that it is in another charset than UTF-8")
        folded = _fold_key(bare)
        if refusal := _refusal(folded):
            raise Ambiguous(refusal)
        if (_is_many(bare, folded) or folded == "engine" or _is_one(bare, folded)) and value.strip():
            names.append(value.strip())
        elif _BODY_ENDING.search(folded) and value.lstrip()[:1] == "{":
            names += in_lines(value.encode("utf-8", "replace"))
    return names


def _fields(kind: str, body: bytes) -> list[tuple[str, str]]:
    """Return the fields of a multipart form that are not files. Raises: Ambiguous if readers could differ."""
    boundaries = [a or b for a, b in _BOUNDARY.findall(kind)]
    if len(boundaries) != 1 or kind.count("boundary") != 1:
        raise Ambiguous("the content type of the form must name one boundary")
    start = body.lstrip(b"\r\n")
    mark = start[: 2 + len(boundaries[0])]
    if mark.lower() != b"--" + boundaries[0].encode("latin-1", "replace"):
        raise Ambiguous("the form must begin with its boundary")
    *pieces, last = (b"\r\n" + start).split(b"\r\n" + mark, MOST_PARTS + 2)[1:] or [b""]
    if len(pieces) > MOST_PARTS:
        raise Ambiguous(f"the form has more than {MOST_PARTS:,} parts")
    if last.rstrip(b" \t\r\n") != b"--":
        raise Ambiguous("the form must end with its boundary, and nothing after it")
    return [field for piece in pieces if (field := _form_field(piece)) is not None]


def _form_field(piece: bytes) -> tuple[str, str] | None:
    """Return one part's name and value; None for a file."""
    ending, _, rest = piece.partition(b"\r\n")
    head, blank, value = rest.partition(b"\r\n\r\n")
    if ending.strip(b" \t") or not blank or len(head) > MOST_HEAD:
        raise Ambiguous("a part of the form has no plain head")
    name: bytes | None = None
    is_file = False
    for line in head.split(b"\r\n"):
        field = _FIELD.fullmatch(line)
        if field is None:
            raise Ambiguous("a part of the form has a head that is not one field a line")
        key, encoding = field[1].lower(), field[2].strip()
        if key == b"content-transfer-encoding" and encoding.lower() not in _PLAIN:
            raise Ambiguous("a part of the form is encoded; send it as it is")
        if key == b"content-type" and _READ_OTHERWISE.search(encoding.lower()):
            raise Ambiguous("a part of the form is in another charset than UTF-8, or holds parts of its own")
        if key == b"content-disposition":
            if name is not None:
                raise Ambiguous("a part of the form is named twice")
            name, is_file = _read_disposition(encoding)
    if name is None:
        raise Ambiguous("a part of the form has no name")
    return None if is_file else (name.decode("utf-8", "replace"), value.decode("utf-8", "replace"))


def _read_disposition(disposition: bytes) -> tuple[bytes, bool]:
    """Return the name in a content disposition, and whether it is of a file."""
    kind, semicolon, rest = disposition.partition(b";")
    parameters = {}
    at = 0
    rest = semicolon + rest
    while at < len(rest):
        matched = _PARAMETER.match(rest, at)
        key = matched[1].lower() if matched else b""
        if matched is None or key in parameters or key.startswith((b"name*", b"filename*0")):
            raise Ambiguous("a part of the form has a name that is not written plainly")
        parameters[key] = value = matched[2] if matched[2] is not None else matched[3]
        if key == b"name" and b"\\" in value:  # harmless in a file's name: Go writes quotes so
            raise Ambiguous("a part of the form has a name that is not written plainly")
        at = matched.end()
    if kind.strip().lower() != b"form-data" or not parameters.get(b"name"):
        raise Ambiguous("a part of the form has no name")
    return parameters[b"name"], b"filename" in parameters or b"filename*" in parameters


# --- path, query, headers ---------------------------------------------------------------------------------


def in_path(parts: list[str]) -> list[str]:
    """Return the models in a path's segments: `/openai/deployments/NAME/chat/completions`, `/v1/models/NAME`.

    A name may contain slashes: it extends to the operation, one of `ENDINGS`.
    """
    at = next((k for k, part in enumerate(parts) if part.lower() in PLACES), len(parts))
    hosted = next((k for k, part in enumerate(parts) if part in ("@cf", "@hf")), len(parts))
    at = min(at, hosted - 1) if hosted < len(parts) else at  # Cloudflare: /ai/run/@cf/MAKER/NAME
    rest = parts[at + 1 :]
    for ending in ENDINGS:
        tail = ending.split("/")
        if [part.lower() for part in rest[-len(tail) :]] == tail:
            rest = rest[: -len(tail)]
            break
    name = "/".join(rest).partition(":")[0] if rest else ""
    if name and at >= 2 and parts[at - 2].lower() == "publishers":  # Vertex: the publisher precedes it
        name = f"{parts[at - 1]}/{name}"
    return [name] if name else []


def in_query(query: str) -> list[str]:
    """Return the models in a query string. Raises: Ambiguous."""
    if not query:
        return []
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=1_000)
    except ValueError:
        raise Ambiguous("the query has too many fields") from None
    return in_fields(fields)


def is_hook(name: str) -> bool:
    """Return whether a field of a body or a query would send the answer somewhere else."""
    return _fold_key(name) in HOOKS


def query_names(target: str) -> list[str]:
    """Return the names of the fields in a target's query."""
    fields = parse_qsl(target.partition("?")[2], keep_blank_values=True, max_num_fields=1_000)
    return [name for name, _ in fields]


def hides_reply(query: str) -> bool:
    """Return whether a query asks for less of the reply, or for a form that cannot be read. Google's."""
    for name, value in parse_qsl(query, keep_blank_values=True, max_num_fields=1_000):
        parameter = name.strip().lower().lstrip("$")
        if parameter == "fields" or (parameter == "alt" and value.strip().lower() not in ("", "json", "sse")):
            return True
    return False


def in_headers(headers: Iterable[Header]) -> tuple[str, ...]:
    """Return the models in headers of routers: `azureml-model-deployment`, `x-portkey-config`, `x-model`."""
    names: list[str] = []
    for name, value in headers:
        lower = name.lower()
        if value and _HEADER.search(lower):
            names.append(value.decode("utf-8", "replace").strip())
        elif lower.endswith(_CARRIES) and b"{" in value:
            try:
                names += in_lines(value)
            except Ambiguous:
                names.append(value.decode("utf-8", "replace"))  # a name that cannot be allowed
    return tuple(dict.fromkeys(names))
