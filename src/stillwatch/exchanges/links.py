"""Content that a request names only by address: documents and pictures that the model reads, but we do not.

    >>> links_in({"input": [{"type": "input_file", "file_url": "https://example.com/questions.pdf"}]})
    LinkCounts(documents=1, pictures=0)
    >>> links_in({"messages": [{"role": "user", "content": "https://example.com says so"}]})
    LinkCounts(documents=0, pictures=0)
    >>> fetching_tool({"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]})
    'web_fetch_20250910'

Fields that APIs define for addresses count whatever they contain. Elsewhere a text counts if it is an address
and nothing else, unless it only names a source. Targets are not fetched.

Blind to: an address within a longer text, which only a tool of the provider follows; what a picture's address
leads to; models that search by themselves.
"""

import re
from functools import lru_cache
from typing import NamedTuple

LINK = "link"  # why a document is not read
PICTURE, DOCUMENT, NEITHER = "picture", "document", ""
# Fields for an address, and the kind of target. In lower case, without underscores.
ADDRESSES = {
    "imageurl": PICTURE, "videourl": PICTURE, "audiourl": PICTURE, "fileurl": DOCUMENT,
    "documenturl": DOCUMENT, "fileuri": DOCUMENT, "gcsuri": DOCUMENT, "s3uri": DOCUMENT,
}  # fmt: skip
BARE = frozenset(("url", "uri", "urls", "uris"))  # the same, within one of the following
HOLDERS = ADDRESSES | {
    "image": PICTURE, "images": PICTURE, "mask": PICTURE, "video": PICTURE, "audio": PICTURE,
    "file": DOCUMENT, "filedata": DOCUMENT, "document": DOCUMENT, "documents": DOCUMENT, "pdf": DOCUMENT,
    "attachments": DOCUMENT,
}  # fmt: skip
TYPES = {
    "image": PICTURE, "image_url": PICTURE, "input_image": PICTURE, "video": PICTURE, "video_url": PICTURE,
    "input_video": PICTURE, "audio": PICTURE, "audio_url": PICTURE, "input_audio": PICTURE,
    "document": DOCUMENT, "document_url": DOCUMENT, "file": DOCUMENT, "input_file": DOCUMENT,
    "file_url": DOCUMENT, "pdf": DOCUMENT,
}  # fmt: skip
# Descriptions of an address, or of where something came from
LABELS = frozenset(
    ("annotations", "citations", "searchresults", "sources", "action", "tools", "functions", "headers",
     "extraheaders", "properties", "schema", "jsonschema", "parameters", "variables", "groundingmetadata")
)  # fmt: skip
_LABEL_TYPE = re.compile(r"citation|annotation|_result$|open_page|find_in_page")
# The client's own data, which no model server resolves
_OWN = frozenset(("metadata", "args", "extrametadata"))
_TOOL_USE = ("tool_use", "server_tool_use", "mcp_tool_use")
# Text here is meant for the model, or names somebody
_WORDS = frozenset(
    ("content", "text", "input", "prompt", "query", "instructions", "description", "title", "name", "message",
     "user", "system", "id", "type", "role", "model", "displayname", "referer", "httpreferer", "site",
     "website", "homepage", "domains", "webhook", "callbackurl", "serverurl", "$schema", "$id", "$ref")
)  # fmt: skip
_ADDRESS = re.compile(r"\s*(?:[a-z][a-z0-9+.-]{1,15}:[/\\]{2}|https?:)\S+\s*", re.IGNORECASE)
_MEDIA = re.compile(r"(?:image|video|audio)/", re.IGNORECASE)
# A file stored at the provider by an owner, or its id: one that came through a gateway was read there
_STORED = re.compile(
    r"(?:files/)?[\w-]+|https://(?:generativelanguage\.googleapis\.com/v1\w*|api\.replicate\.com/v1)/files/[\w-]+",
    re.ASCII,
)
_MAY_NAME = frozenset((str, dict, list))
LONGEST_KEY = 64  # characters
LONGEST = 8_192  # characters of an address; a longer one contains its content
# Tools of the provider that fetch content; a client's own functions have other types
_FETCHES = re.compile(
    r"web|url|fetch|brows|mcp|connector|internet|visit|maps|crawl|builtin_function|plugin|(?<!file_)"
    r"(?<!file)(?<!tool_)(?<!collections_)search",
)
_OWN_TOOLS = frozenset(("function", "custom", "functiondeclarations", "mcp_toolset"))
_SWITCHES = frozenset(
    ("mcpservers", "websearchoptions", "searchparameters", "searchsettings", "connectors", "plugins",
     "enablesearch", "websearch", "datasources")
)  # fmt: skip


class LinkCounts(NamedTuple):
    """How many of each a request refers to by address. Sound and video count as pictures."""

    documents: int
    pictures: int


def links_in(body: object) -> LinkCounts:
    """Count what a body, decoded from JSON, refers to by address. Linear in its values."""
    counts = {PICTURE: 0, DOCUMENT: 0, NEITHER: 0}
    todo: list[tuple[object, str, str, bool]] = [(body, "", NEITHER, False)]
    while todo:
        value, key, kind, label = todo.pop()
        if type(value) is dict:
            if not _is_plain_message(value):
                _look(value, kind, label, counts, todo)
            continue
        for inner in value if type(value) is list else ():
            if type(inner) is str:
                counts[_leads_to(inner, key, kind, label)] += 1
            elif inner and not _is_plain_message(inner):
                todo.append((inner, key, kind, label))
    return LinkCounts(counts[DOCUMENT], counts[PICTURE])


def _is_plain_message(value: object) -> bool:
    return type(value) is dict and len(value) == 2 and "role" in value and type(value.get("content")) is str


def _look(
    value: dict[str, object],
    kind: str,
    label: bool,
    counts: dict[str, int],
    todo: list[tuple[object, str, str, bool]],
) -> None:
    """Count the texts of an object, and queue its other values."""
    what = value.get("type")
    if what == "object" and "properties" in value:
        return  # a JSON schema, of which an agent's request has dozens
    is_source_name = False
    if type(what) is str:
        kind = TYPES.get(what.lower(), kind)
        is_source_name = _LABEL_TYPE.search(what) is not None
    for name, inner in value.items():
        if not inner or type(inner) not in _MAY_NAME:
            continue
        key = _fold(name) if len(name) <= LONGEST_KEY else name
        if key in _OWN or (key == "input" and what in _TOOL_USE):
            continue
        if key == "fileuri" and _is_media(value):
            key = "imageurl"
        holds = kind if key in BARE else HOLDERS.get(key, kind)
        if isinstance(inner, str):
            counts[_leads_to(inner, key, holds, label or is_source_name or key in LABELS)] += 1
        else:
            todo.append((inner, key, holds, label or key in LABELS))


def _leads_to(value: str, key: str, kind: str, label: bool) -> str:
    """Return what a text under a key leads to."""
    certain = ADDRESSES.get(key) or (kind if key in BARE else NEITHER)
    if not certain and (label or key in _WORDS or ":" not in value[:20]):
        return NEITHER
    if len(value) > LONGEST or value.lstrip()[:5].lower() == "data:" or _STORED.fullmatch(value):
        return NEITHER
    if certain:
        return certain
    return (kind or DOCUMENT) if _ADDRESS.fullmatch(value) else NEITHER


def _is_media(value: dict[str, object]) -> bool:
    """Return whether Google's file is declared as picture, sound or video, in any spelling."""
    kinds = [inner for name, inner in value.items() if _fold(name) == "mimetype"]
    return bool(kinds) and all(isinstance(kind, str) and _MEDIA.match(kind) for kind in kinds)


@lru_cache(4_096)
def _fold(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def fetching_tool(body: object) -> str:
    """Return the tool by which a request makes the provider read addresses or search; "" for none."""
    if not isinstance(body, dict):
        return ""
    for name, value in body.items():
        key = _fold(name)
        if key in _SWITCHES and value not in (None, False, [], {}):
            return str(name)
        if key == "extrabody" and (inner := fetching_tool(value)):
            return inner
        tools = value if isinstance(value, list) else [value]
        for tool in tools if key == "tools" else ():
            if isinstance(tool, dict) and (kind := _fetches(tool)):
                return kind
    model = body.get("model")
    return ":online" if isinstance(model, str) and model.lower().endswith(":online") else ""


def _fetches(tool: dict[str, object]) -> str:
    what = tool.get("type")
    for kind in [what] if isinstance(what, str) else tool:  # Google's tools are named by their key
        folded = kind.lower()
        if folded.replace("_", "") not in _OWN_TOOLS and _FETCHES.search(folded):
            return kind
    return ""
