"""The stored objects that a request's target refers to, and lists cut down to an account's own objects.

A path is read by its words: collections, and actions on their objects. Any other part after the first
collection is an id, so that an unknown path refers to objects of nobody, rather than somebody's. Which
requests are allowed is in `operations`.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import parse_qsl, unquote, urlencode

import msgspec

from stillwatch.gateway.path.references import NONE, References, Walk, fold_key, in_fields, in_lines

# Collections whose objects belong to an account: OpenAI, Azure, Anthropic, Mistral, Gemini.
COLLECTIONS = frozenset(
    ("files", "uploads", "batches", "batch", "responses", "completions", "conversations", "assistants",
     "threads", "vector_stores", "fine_tuning", "fine-tunes", "fine_tunes", "evals", "containers", "videos",
     "skills", "chatkit", "agents", "sessions", "environments", "vaults", "memory_stores", "libraries",
     "cachedcontents", "tunedmodels", "corpora", "voices", "voice_consents", "calls", "operations",
     "interactions", "predictions", "filesearchstores", "ragcorpora", "deferred-completion", "async-result",
     "trainings", "datasets", "embed-jobs", "connectors", "finetuning", "batchpredictionjobs",
     "batchinferencejobs", "tuningjobs", "finetuningjobs", "supervisedfinetuningjobs",
     "reinforcementfinetuningjobs", "dpojobs", "model-customization-jobs")
)  # fmt: skip
# What may follow: collections within an object, and actions on one.
WORDS = frozenset(
    ("content", "cancel", "complete", "parts", "input_items", "input_tokens", "compact", "items", "messages",
     "runs", "steps", "submit_tool_outputs", "file_batches", "search", "events", "checkpoints", "permissions",
     "pause", "resume", "results", "output_items", "remix", "versions", "job", "jobs", "archive", "documents",
     "download", "url", "metrics", "alpha", "graders", "run", "validate", "edits", "extensions", "characters",
     "accept", "hangup", "refer", "reject", "chat", "threads", "text_content", "status", "share", "append",
     "generate", "list", "create", "upload", "delete", "text_extraction_signed_url", "signed_url")
) | COLLECTIONS  # fmt: skip
# A model's name follows these, not an object's id; a name may contain slashes.
MODEL_WORDS = frozenset(("models", "deployments", "engines", "model"))
ADMINISTRATION = frozenset(
    ("organization", "organizations", "organisation", "organisations", "admin_api_keys")
)
# At the beginning of a path, after the version.
ADMINISTRATION_FIRST = frozenset(
    ("admin", "api_keys", "api-keys", "dashboard", "billing", "usage", "users", "invites", "workspaces",
     "service_accounts", "audit_logs")
)  # fmt: skip
_VERSION = re.compile(r"v\d+(?:alpha|beta)?\d*|api|openai|anthropic|upload|")
_PLAIN_WORD = re.compile(r"[a-z_]+|v\d\w{0,6}")
_CURSORS = ("after", "before", "after_id", "before_id")
REMEMBERED = 512  # characters of a target; longer ones would fill the cache
MOST_FIELDS = 1_000
PAGE = 100  # objects requested per page of a list at least: others' are removed
MOST_PAGES = 50  # requested for one list


class Place(msgspec.Struct, frozen=True, gc=False):
    """The meaning of a target. Frozen and cached: the same for every request with it."""

    administration: bool = False
    kind: str = ""  # the collection; "" if the path names none
    parent: str = ""  # the object that the target is, or is within
    others: tuple[str, ...] = ()  # further ids
    lists: bool = False  # a GET of it may show objects of others
    is_object: bool = False  # it is an object itself
    model: str = ""  # the model that it names
    query: References = NONE
    names_nothing: bool = False  # no object and no model, as in most requests


def place_of(target: str) -> Place:
    """Read a target. An unreadable one refers to an object of nobody."""
    return _place(target) if len(target) <= REMEMBERED else _place.__wrapped__(target)


@lru_cache(1024)
def _place(target: str) -> Place:
    path, _, query = target.partition("?")
    plain = re.sub(r";[^/]*", "", unquote(path, "latin-1").replace("\\", "/"))
    parts = [part for part in plain.split("/") if part]
    words = [part.lower() for part in parts]
    start = next(
        (k for k, word in enumerate(words) if word in COLLECTIONS or word in MODEL_WORDS), len(words)
    )
    first = next((word for word in words if not _VERSION.fullmatch(word)), "")
    if first in ADMINISTRATION_FIRST or not ADMINISTRATION.isdisjoint(words[:start]):
        return Place(administration=True)
    kind, model = "", ""
    ids: list[str] = []
    at = start
    if at < len(words) and words[at] in MODEL_WORDS:
        end = next((k for k in range(at + 1, len(words)) if words[k] in WORDS), len(words))
        model, at = "/".join(parts[at + 1 : end]), end
    google = words[:1] == ["upload"] or any(word in ("v1beta", "v1alpha") for word in words)
    for part, word in zip(parts[at:], words[at:], strict=True):
        if word in COLLECTIONS and not ids:
            kind = word
        if word not in WORDS:
            ids.append(part.partition(":")[0] if google else part)
    if not kind and not model:
        ids = [part for part in parts if not _PLAIN_WORD.fullmatch(part)]
    walk = Walk()
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        fields = [("file_id", query)]  # of nobody
    in_fields(walk, fields)
    parent = ids[0] if kind and ids else ""
    for name, value in fields:
        if fold_key(name) in _CURSORS and kind and value:
            (walk.named if parent else walk.owned)[value] = None
    return Place(
        kind=kind,
        parent=parent,
        others=tuple(ids[1:] if parent else ids),
        lists=not parent,
        is_object=bool(parent) and parts[-1] == parent and words[-2:-1] == [kind],
        model=model,
        query=walk.references(),
        names_nothing=not (ids or model or walk.owned or walk.named or walk.linked or walk.buckets),
    )


# --- lists -------------------------------------------------------------------------------------------------


class Listing:
    """One list, assembled from the upstream's pages until it has as many own objects as were requested.

    `strict`: elements without an id are removed too.
    """

    def __init__(self, target: str, is_mine: Callable[[list[str]], set[str]], strict: bool) -> None:
        self._is_mine, self.strict = is_mine, strict
        self._target = target
        self._path, _, query = target.partition("?")
        self._fields = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_FIELDS)
        fields = dict(self._fields)
        limit = fields.get("limit", "")
        self._limit = int(limit) if limit.isdigit() and 0 < int(limit) < 1_000_000 else None
        self._backward = "before" in fields or "before_id" in fields
        self._pages = 0
        self._kept: list[object] = []
        self._last: str | None = None  # object of the previous page

    @property
    def first(self) -> str:
        """The first target to request: with pages that are large enough."""
        if self._limit is None or self._limit >= PAGE:
            return self._target
        return self._with("limit", str(PAGE))

    def _with(self, name: str, value: str) -> str:
        fields = [(key, old) for key, old in self._fields if key not in (name, "limit")]
        fields.append((name, value))
        if name != "limit" and self._limit is not None:
            fields.append(("limit", str(max(self._limit, PAGE))))
        return f"{self._path}?{urlencode(fields)}"

    def take(self, body: bytes) -> tuple[bytes | None, str | None]:
        """Add a page. Return (the whole list, None), or (None, the target of the next page).

        Raises: ValueError if it cannot be read.
        """
        try:
            page = msgspec.json.decode(body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as why:
            raise ValueError("no JSON") from why
        if isinstance(page, list):
            return msgspec.json.encode(self._own_items(page)), None
        if not isinstance(page, dict):
            return body, None
        if (name := _name(page)) is not None and not self._is_mine([name]):
            raise ValueError("it is one object, and of another account")
        lists = [name for name, value in page.items() if isinstance(value, list) and _objects(value)]
        if self.strict and not lists and isinstance(page.get("data"), list):
            lists = ["data"]
        if lists != ["data"]:  # not in the usual format: one page
            changed = {name: self._own_items(page[name]) for name in lists}
            same = all(len(changed[name]) == len(page[name]) for name in lists)
            return (body if same else msgspec.json.encode(page | changed)), None
        data = page["data"]
        own = self._own_items(data)
        self._pages += 1
        last = _name(data[-1]) if data else None
        more = page.get("has_more") is True
        if last is not None and last == self._last:  # the upstream ignores the cursor: the same page again
            own, more = [], False
        self._last = last
        if self._pages == 1 and len(own) == len(data) and (self._limit is None or len(data) <= self._limit):
            return body, None  # byte for byte: it had nothing of others
        self._kept += own
        wanted = self._limit or PAGE
        if more and last and not self._backward and len(self._kept) < wanted and self._pages < MOST_PAGES:
            return None, self._with(
                "after_id" if "last_id" in page and self._anthropic(page) else "after", last
            )
        joined = dict(page)
        if self._limit is not None and len(self._kept) > self._limit:
            self._kept = self._kept[-self._limit :] if self._backward else self._kept[: self._limit]
            more = True
        joined["data"] = self._kept
        for field, place in (("first_id", 0), ("last_id", -1)):
            if field in page:
                joined[field] = _name(self._kept[place]) if self._kept else None
        if "has_more" in page:
            joined["has_more"] = more and bool(self._kept)
        return msgspec.json.encode(joined), None

    @staticmethod
    def _anthropic(page: dict[str, object]) -> bool:
        return "object" not in page

    def _own_items(self, items: list[object]) -> list[object]:
        names = [name for item in items if (name := _name(item)) is not None]
        own = self._is_mine(names)
        return [item for item in items if not isinstance(item, dict) or _name(item) in own]


def _objects(items: list[object]) -> bool:
    return any(isinstance(item, dict) and _name(item) is not None for item in items)


def _name(item: object) -> str | None:
    """Return the name of an element of a list."""
    if not isinstance(item, dict):
        return None
    name = item.get("id")
    if isinstance(name, str):
        return name
    path = item.get("name")
    return path.rpartition("/")[2] if isinstance(path, str) and "/" in path else None


def in_upload(fields: list[tuple[str, str]], lines: list[bytes]) -> References:
    """Return the objects that a form's fields name, and a batch's questions, in their bodies and paths.
    Raises: ValueError for a question that two parsers could read differently.
    """
    walk = Walk()
    in_fields(walk, fields)
    for path in in_lines(walk, lines):
        place = place_of(path)
        if place.administration:
            walk.shared = True
        for name in (place.parent, *place.query.owned):
            if name:
                walk.owned[name] = None
        for name in (*place.others, *place.query.named):
            walk.named[name] = None
    return walk.references()
