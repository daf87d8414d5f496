"""The objects stored at the upstream that bodies name: those a request uses, those a reply creates.

`control.owners` records ownership. Fields are checked at any depth, but not in the user's own data: metadata,
a tool's arguments, schemas. There only a known object of another account counts.

Blind to: an id inside a longer text, which no upstream resolves; what a stored prompt (`prompt.id`) uses.
"""

import re
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec

from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.operations import plain
from stillwatch.exchanges.strict_json import decode
from stillwatch.gateway.path.batch import google_question, is_batch
from stillwatch.gateway.path.known_names import KnownNames
from stillwatch.gateway.path.stored_links import folders_of, linked_objects

LONGEST = 512  # characters of a name
MOST = 100_000  # objects that one request may name: one per question of the largest batch; each is looked up
# A text in one of these fields names an object, which must belong to the account.
FIELDS = frozenset(
    ("file_id", "file_ids", "input_file_id", "input_file_ids", "input_files", "training_file",
     "training_files", "validation_file", "validation_files", "previous_response_id", "conversation",
     "container", "container_id", "assistant_id", "thread_id", "vector_store_id", "vector_store_ids",
     "part_ids", "batch_id", "upload_id", "cachedcontent", "cached_content", "agent_id", "library_id",
     "library_ids", "previous_interaction_id", "operationname", "operation_name", "filesearchstorename",
     "filesearchstorenames", "file_search_store_name", "file_search_store_names", "ragcorpus", "rag_corpus",
     "ragfileids", "rag_file_ids", "inputdatasetid", "input_dataset_id", "collection_id", "collection_ids",
     "knowledge_id", "knowledgebaseid", "datastore", "memory_store_id", "vault_id", "vault_ids",
     "environment_id", "from_checkpoint", "fileid", "fileids", "vectorstoreid", "vectorstoreids", "consent",
     "character_id", "character_ids")
)  # fmt: skip
_WITHOUT_BARS = {name.replace("_", ""): name for name in sorted(FIELDS)}  # `previousInteractionId`
# These name an object or something public (an agent): only what is known to be another's is refused
MAY_NAME = frozenset(("agent", "environment", "session_id", "document_id", "document_ids", "characters"))
# In Google's batches and imports these name the source; elsewhere they are a file's own name
FILE_NAMES = frozenset(("filename", "file_name"))
SOURCES = frozenset(("", "inputconfig", "input_config"))  # keys of the objects in which they do
# Fields that name trained models, besides those of `naming`: adapters of a model, Replicate's version
TRAINED = frozenset(
    ("version", "adapter", "adapters", "adapter_id", "lora", "lora_id", "lora_name", "lora_path")
)
BY_ID = frozenset(
    ("conversation", "container", "audio", "video", "voice", "characters")
)  # keys of an object with the id
ITEMS = frozenset(("input", "items"))  # an element of these may be a bare reference
_BARE = frozenset(("id", "type", "status"))
_UNUSED = ("role", "type")  # no upstream looks an object up by these
OWN_DATA = frozenset(
    ("metadata", "parameters", "input_schema", "schema", "json_schema", "arguments", "properties",
     "variables", "extra_metadata", "attributes")
)  # fmt: skip
_TOOL_USE = ("tool_use", "server_tool_use", "mcp_tool_use")
# Sources of evaluations that belong to all accounts.
EVERYBODYS = frozenset(("stored_completions", "responses", "logs"))
_DRAWS_ON = ("source", "data_source_config")  # keys of such a source
_OBJECT = re.compile(
    r"(?:file|batch|resp|thread|asst|vs|vsfb|conv|cntr|container|skill|ftjob|eval|evalrun|msgbatch|upload|video"
    r"|cfile|run)[-_][A-Za-z0-9]"
)
_NAMED = re.compile(
    rf"[ \t\r\n/]*(?:{_OBJECT.pattern}"
    r"|(?:pmpt|msg|rs|fc|ig|ci|ws|fs|mcp|chatcmpl|audio|voice|step|part)[-_]\w|ft:)"
)
# These collections are searched for in every field; `files/7` may be any word for a file
ANYWHERE = frozenset(("cachedcontents", "tunedmodels", "corpora", "ragcorpora", "filesearchstores"))
RESOURCES = ANYWHERE | {"files", "batches", "operations", "interactions", "datasets"}
_ANYWHERE = re.compile("|".join(sorted(ANYWHERE)) + "|%", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:https?:)?//([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_VERSION = re.compile(r"v\d\w*", re.IGNORECASE)
GOOGLE = "generativelanguage.googleapis.com"
_BY_SCHEME = re.compile(r"fileid://([\w.-]+)", re.IGNORECASE)  # Qwen's: in a system message
_SPOKEN = frozenset(
    ("content", "text", "input", "prompt", "query", "name", "title", "description", "instructions",
     "message", "display_name", "displayname", "filename", "file_name", "url")
)  # fmt: skip
_HINT = re.compile(
    rb'"id"|_ids?"|Ids?"|"agent"|"environment"|"consent"|"characters"|_file|conversation|container|audio|\\u00|uri"|cached_?content"|corp(?:us|ora)"|store_?names?"|fileid:|datastore"',
    re.IGNORECASE,
)
_URL = re.compile(rb'"url"[ \t]*:[ \t]*"([^"\\]*)"', re.IGNORECASE)
_FORM_LIST = re.compile(r"\[.*$")


class References(msgspec.Struct, frozen=True, gc=False):
    """Objects that a request names. `owned` must be the account's own, `named` must not be another's."""

    owned: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    shared: bool = False  # it uses what all accounts stored
    stored: bool | None = None  # whether its answer is to be stored, if stated
    audio: bool = False  # its answer may be audio, which has an id
    linked: tuple[tuple[str, str], ...] = ()  # (host, id) of addresses
    buckets: tuple[tuple[str, ...], ...] = ()  # paths in object stores, each from its bucket down
    trained: tuple[str, ...] = ()  # models that are named beside the requested one


NONE = References()


class Walk:
    """Collects references from any number of values."""

    def __init__(self) -> None:
        self.owned: dict[str, None] = {}
        self.named: dict[str, None] = {}
        self.shared = False
        self.linked: dict[tuple[str, str], None] = {}
        self.buckets: dict[tuple[str, ...], None] = {}
        self.trained: dict[str, None] = {}

    def references(self) -> References:
        if not (self.owned or self.named or self.shared or self.linked or self.buckets or self.trained):
            return NONE
        if len(self.owned) + len(self.named) + len(self.linked) > MOST:
            return References((f"(more than {MOST:,} of them)",))  # of nobody
        return References(
            tuple(self.owned), tuple(self.named), self.shared, linked=tuple(self.linked),
            buckets=tuple(self.buckets), trained=tuple(self.trained),
        )  # fmt: skip

    def text(self, field: str, value: str, own: bool) -> None:
        """Collect the references in a text; `field` is its field's name in lower case."""
        if field in TRAINED and value:
            self.trained[value[:LONGEST]] = None
        if field == "from_checkpoint":
            value = value.partition(":")[0] if not value.startswith("ft:") else value  # ID:STEP
        if value[:1] in "fF \t\r\n" and value.lstrip()[:9].lower() == "fileid://":
            self.owned |= dict.fromkeys(_BY_SCHEME.findall(value))
            return
        if (":" in value[:20] or value[:1] in "/\\ ") and (field == "url" or field not in _SPOKEN):
            self._address(field, value, own)
        if not value or len(value) > LONGEST:
            if field in FIELDS and value:
                self.owned[value[: LONGEST + 1]] = None  # of nobody
            return
        if not own and field in FIELDS:
            at = resource_in(value)
            self.owned[at[1] if at else value] = None
        elif field in MAY_NAME:
            self.named[value.strip().rpartition("/")[2]] = None
        elif _NAMED.match(value):
            bare = value.strip(" \t\r\n/")
            strict = not own and field.endswith(("_id", "_ids")) and _OBJECT.match(bare)
            (self.owned if strict else self.named)[bare] = None
        elif "/" in value and (field == "name" or "/ft:" in value):
            at = resource_in(value)  # the name of a file, or a fine-tuned model behind a router
            if at or "/ft:" in value:
                self.named[at[1] if at else value.rpartition("/")[2]] = None
        elif ("/" in value or "%" in value) and field not in _SPOKEN:
            is_address = field in ("fileuri", "file_uri") or (field == "uri" and "://" not in value)
            at = resource_in(value) if is_address or _ANYWHERE.search(value) else None
            last = value.strip().rpartition("/")[2]
            if _NAMED.match(last):
                self.named[last] = None
            if at and (is_address or at[0] in ANYWHERE):
                (self.named if own else self.owned)[at[1]] = None

    def _address(self, field: str, value: str, own: bool) -> None:
        """Collect what an address refers to. In the user's own data, buckets count only in URI fields."""
        if folders := folders_of(value):
            if not own or field.endswith("uri"):
                self.buckets[folders] = None
            return
        for host, name in linked_objects(value):
            self.linked["" if own else host, name] = None

    def value(self, value: object) -> int:
        """Collect the references in one JSON value. Return its number of keys."""
        keys, text = 0, self.text
        todo: list[tuple[Any, str, bool]] = [(value, "", False)]
        while todo:
            value, key, own = todo.pop()
            if type(value) is not dict:
                for inner in value if type(value) is list else ():
                    kind = type(inner)
                    if kind is str:
                        text(key, inner, own)
                    elif kind is dict or kind is list:
                        todo.append((inner, key, own))
                continue
            keys += len(value)
            own_input = False
            if "type" in value:
                what = value["type"]
                own_input = what in _TOOL_USE
                if own and isinstance(what, str) and what.startswith("input_"):
                    own = False  # a file among a prompt's variables
            if not own and ("id" in value or key in _DRAWS_ON):
                self._by_id(value, key)
            for name, inner in value.items():
                kind = type(inner)
                if kind is str:
                    if name in _UNUSED:
                        continue
                    if len(inner) <= LONGEST or name not in ("content", "text"):
                        field = _FIELDS[name]
                        if field in FILE_NAMES and key in SOURCES and not own and resource_in(inner):
                            field = "input_file_id"
                        text(field, inner, own)
                    elif "/" in inner and "fileid://" in inner:  # one letter is found much faster
                        text(name, inner, own)
                elif kind is dict or kind is list:
                    field = _FIELDS[name]
                    is_own = own or field in OWN_DATA or (own_input and field == "input")
                    todo.append((inner, field, is_own))
        return keys

    def _by_id(self, value: dict[str, Any], key: str) -> None:
        kind = value.get("type")
        if key in _DRAWS_ON and isinstance(kind, str) and kind in EVERYBODYS:
            self.shared = True
        name = value.get("id")
        if not isinstance(name, str) or not name:
            return
        bare = key in ITEMS and (
            kind == "item_reference"
            or value.keys() <= _BARE
            or (kind == "image_generation_call" and not value.get("result"))
        )
        if key in BY_ID or bare or kind == "file_id":
            self.owned[name[: LONGEST + 1]] = None


def resource_in(value: str) -> tuple[str, str] | None:
    """Return (collection, id) in Google's name of a stored object, as the most lenient server reads it.

    >>> resource_in("projects/p/locations/l/cachedContents/7")
    ('cachedcontents', '7')
    >>> resource_in("https://generativelanguage.googleapis.com/v1beta//files/%61b:download?alt=media")
    ('files', 'ab')
    >>> resource_in("https://example.com/files/report.pdf") is None
    True
    """
    text = unquote(unquote(value)).strip()
    address = _ADDRESS.fullmatch(text)
    host, path = (address[1].rpartition("@")[2].lower(), address[2]) if address else ("", text)
    path = plain("/" + path.partition("#")[0])
    parts = path.split("/")[1:]
    if any(letter.isspace() for letter in path):
        return None
    at = next((k for k, part in enumerate(parts[:-1]) if part.lower() in RESOURCES), None)
    if at is None:
        return None
    is_google = host.partition(":")[0].rstrip(".") == GOOGLE
    if host and not is_google and not any(_VERSION.fullmatch(part) for part in parts[:at]):
        return None
    return parts[at].lower(), parts[at + 1].partition(":")[0]


def fold_key(key: str) -> str:
    """Fold a key as Go's JSON reader does: without case, and with K and the Kelvin sign as one."""
    return key.lower().replace("-", "_") if key.isascii() else key.casefold().replace("-", "_")


def _field(key: str) -> str:
    folded = key if key.islower() else fold_key(key)
    return _WITHOUT_BARS.get(folded.replace("_", ""), folded)


_FIELDS = KnownNames(_field)


def in_value(value: object) -> tuple[References, int]:
    """Return the objects that a JSON body names, and its number of keys."""
    walk = Walk()
    keys = walk.value(value)
    names = walk.references()
    if isinstance(value, dict) and ("store" in value or "audio" in value):
        stored = value.get("store")
        names = msgspec.structs.replace(
            names, stored=stored if isinstance(stored, bool) else None, audio=value.get("audio") is not None
        )
    return names, keys


def in_fields(walk: Walk, fields: list[tuple[str, str]]) -> None:
    """Collect the objects that a form's or a query's fields name."""
    for name, value in fields:
        walk.text(_field(_FORM_LIST.sub("", name.strip())), value.strip(), False)


def in_lines(walk: Walk, lines: list[bytes]) -> list[str]:
    """Collect the objects that a batch's uploaded questions name; return the paths that they request.

    Raises: ValueError for a question that two parsers could read differently.
    """
    paths: dict[str, None] = {}
    for line in lines:
        for url in _URL.findall(line):
            paths[url.decode("utf-8", "replace")] = None
        if not _HINT.search(line):
            continue
        try:
            request = decode(line)
        except Refused as why:
            if is_batch(line):
                raise ValueError(str(why)) from None
            continue
        if isinstance(request, dict) and ("custom_id" in request or google_question(request)):
            walk.value({name: inner for name, inner in request.items() if name != "custom_id"})
            for name, inner in request.items():
                if fold_key(name) == "url" and isinstance(inner, str):
                    paths[inner] = None
    return list(paths)


# --- replies -----------------------------------------------------------------------------------------------

# Google's: files that a batch or an operation creates
BRINGS_FILES = frozenset(("batches", "operations"))
FILES_BROUGHT = (
    ("response", "responsesFile"),
    ("metadata", "output", "responsesFile"),
    ("response", "generateVideoResponse", "generatedSamples", "*", "video", "uri"),
)
_NULL = msgspec.Raw(b"null")


class _CreationReply(msgspec.Struct):
    """The fields in which a reply names created objects. The rest may repeat the client's own words."""

    id: msgspec.Raw = _NULL
    name: msgspec.Raw = _NULL
    output_file_id: msgspec.Raw = _NULL
    error_file_id: msgspec.Raw = _NULL
    thread_id: msgspec.Raw = _NULL
    container_id: msgspec.Raw = _NULL
    conversation_id: msgspec.Raw = _NULL
    result_files: msgspec.Raw = _NULL
    file: msgspec.Raw = _NULL
    conversation: msgspec.Raw = _NULL
    container: msgspec.Raw = _NULL
    tool_resources: msgspec.Raw = _NULL
    output: msgspec.Raw = _NULL
    choices: msgspec.Raw = _NULL
    data: msgspec.Raw = _NULL
    response: msgspec.Raw = _NULL  # an event's
    item: msgspec.Raw = _NULL
    message: msgspec.Raw = _NULL
    delta: msgspec.Raw = _NULL
    audio: msgspec.Raw = _NULL
    interaction: msgspec.Raw = _NULL


_REPLY = msgspec.json.Decoder(_CreationReply)
_T = TypeVar("_T")
_SIMPLE = (
    ("output_file_id", "files"), ("error_file_id", "files"), ("thread_id", "threads"),
    ("container_id", "containers"), ("conversation_id", "conversations"),
)  # fmt: skip


class _Search(msgspec.Struct):
    vector_store_ids: list[str] = []


class _Resources(msgspec.Struct):
    file_search: _Search | None = None


def _read(raw: msgspec.Raw, kind: type[_T]) -> _T | None:
    if bytes(raw) == b"null":
        return None
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def made_in(body: bytes, kind: str, itself: bool) -> list[tuple[str, str]]:
    """Return (name, kind) of every object that a JSON reply reports as created. `itself`: also its own."""
    try:
        reply = _REPLY.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return []
    objects: list[tuple[str, str]] = []
    _gather(reply, kind, itself, objects)
    if kind in BRINGS_FILES:
        document = _read(msgspec.Raw(body), dict[str, object])
        for path in FILES_BROUGHT:
            addresses = (value for value in values_at(document, path) if isinstance(value, str))
            objects += [(at[1], "files") for value in addresses if (at := resource_in(value))]
    return objects


def values_at(document: object, path: tuple[str, ...]) -> list[object]:
    """Return the values of a JSON document at a path of keys; `*` is each element of a list.

    >>> values_at({"a": [{"b": 1}, {"b": 2}]}, ("a", "*", "b"))
    [1, 2]
    """
    values = [document]
    for key in path:
        if key == "*":
            values = [inner for value in values if isinstance(value, list) for inner in value]
        else:
            values = [value[key] for value in values if isinstance(value, dict) and key in value]
    return values


def _gather(reply: _CreationReply, kind: str, itself: bool, objects: list[tuple[str, str]]) -> None:
    if itself:
        if name := _read(reply.id, str):
            objects.append((name, kind))
        if (path := _read(reply.name, str)) and (at := resource_in(path)):
            objects.append((at[1], kind))
        for made in _read(reply.data, list[_CreationReply]) or ():  # items of a conversation
            if name := _read(made.id, str):
                objects.append((name, "items"))
    for field, its in _SIMPLE:
        if name := _read(getattr(reply, field), str):
            objects.append((name, its))
    objects += [(name, "files") for name in _read(reply.result_files, list[str]) or ()]
    for inner, its in ((reply.file, "built" if kind == "uploads" else kind),
                       (reply.conversation, "conversations"), (reply.container, "containers"),
                       (reply.audio, "audio")):  # fmt: skip
        one_inside = _read(inner, _CreationReply)
        if one_inside is not None:
            _gather(_CreationReply(id=one_inside.id, name=one_inside.name), its, True, objects)
    resources = _read(reply.tool_resources, _Resources)
    if resources is not None and resources.file_search is not None:
        objects += [(name, "vector_stores") for name in resources.file_search.vector_store_ids]
    for item in _read(reply.output, list[_CreationReply]) or ():
        _gather(_CreationReply(id=item.id, container_id=item.container_id), "items", True, objects)
    for choice in _read(reply.choices, list[_CreationReply]) or ():
        for part in (choice.message, choice.delta):
            creation = _read(part, _CreationReply)
            if creation is not None:
                _gather(_CreationReply(audio=creation.audio), "audio", False, objects)


class _Deferred(msgspec.Struct):
    request_id: str = ""


def deferred_in(body: bytes) -> str:
    """Return the name under which xAI delivers an answer later; "" for the answer itself."""
    if len(body) > LONGEST or b'"request_id"' not in body:
        return ""
    deferred = _read(msgspec.Raw(body), _Deferred)
    return deferred.request_id if deferred else ""


def made_in_list(body: bytes, kind: str) -> list[tuple[str, str]]:
    """Return the same for each element of a list."""
    try:
        reply = _REPLY.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return []
    objects: list[tuple[str, str]] = []
    for item in _read(reply.data, list[_CreationReply]) or ():
        _gather(item, kind, False, objects)
    return objects


def made_in_event(data: bytes, kind: str, itself: bool) -> list[tuple[str, str]]:
    """Return the same for a stream's event, whose object is in `response`, `message`, `item` or bare."""
    try:
        event = _REPLY.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return []
    objects: list[tuple[str, str]] = []
    within = _read(event.response, _CreationReply) or _read(event.interaction, _CreationReply)
    if within is not None:
        _gather(_CreationReply(id=within.id, conversation=within.conversation), kind, itself, objects)
        return objects
    item = _read(event.item, _CreationReply)
    if item is not None:
        _gather(_CreationReply(id=item.id, container_id=item.container_id), "items", True, objects)
        return objects
    for inner in (event.message, event.delta):
        creation = _read(inner, _CreationReply)
        if creation is not None:
            _gather(_CreationReply(container=creation.container), kind, False, objects)
    _gather(event, kind, itself, objects)
    return objects
