"""Which operations go upstream at all, and how the owner allows the others."""

import re
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import unquote

from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.links import fetching_tool, links_in
from stillwatch.exchanges.operations import NAMES_A_MODEL, REFUSED, OperationMatch
from stillwatch.exchanges.strict_json import decode
from stillwatch.gateway.path import naming
from stillwatch.gateway.path.batch import google_questions, is_batch, lines_of
from stillwatch.gateway.path.objects import place_of
from stillwatch.gateway.path.request import BadRequest, Facts, inflate
from stillwatch.terms import Terms


def why_not_forwarded(terms: Terms, match: OperationMatch | None, method: str, target: str) -> str | None:
    """Return why an operation does not go upstream, or None. Operations that the policy lists always go."""
    if match is None and terms.capture.unknown_paths == "pass":
        return None
    if match is None and method in ("GET", "HEAD"):
        leads = _ADDRESS.search(unquote(unquote(target)))
        return _allowed_by(_LEADS, method, target, "reads") if leads else None
    if match is not None and match.line.by_owner:
        return None
    if match is not None and match.does not in REFUSED:
        known = method in ("GET", "HEAD") or _names_objects(match, target)
        return None if known else _allowed_by(_WHY["unknown"], method, target, "…")
    if match is not None and match.does == "mints" and terms.identity.keys == "upstream":
        return None
    return _allowed_by(_WHY[match.does if match else "unknown"], method, target, "…")


def _names_objects(match: OperationMatch, target: str) -> bool:
    """Return whether the ids in a path are of objects: a word in place of an id is an unknown operation."""
    place = place_of(target)
    names = [name for kind, name in match.ids if kind not in NO_OBJECTS]
    ids = (place.parent, *place.others)
    return all(any(found == name or found.startswith(f"{name}:") for found in ids) for name in names)


def refuse_unseen(match: OperationMatch | None, facts: Facts, method: str, target: str) -> None:
    """Refuse questions, or answers, that would be neither counted nor captured. Raises: BadRequest."""
    if match is not None and match.line.by_owner:
        return
    if facts.hook and facts.does in NAMES_A_MODEL:
        why = _allowed_by(_HOOK.format(facts.hook), method, target, facts.does)
        raise BadRequest(403, "answer_elsewhere", why)
    if facts.batch is not None and facts.batch.untold:
        raise BadRequest(403, "batch_unknown", _allowed_by(_UNSEEN, method, target, "begins"))


def refuse_links(terms: Terms, match: OperationMatch | None, body: bytes, kind: str, coding: str) -> None:
    """Refuse links to content that the model would fetch, if the policy forbids them. Raises: BadRequest."""
    let = terms.capture.links
    if let == "pass" or not body or (match is not None and match.line.by_owner):
        return
    if coding not in ("", "identity"):
        body = inflate(body, coding, terms.capture.max_body_bytes)
    for asks in _questions(kind, body):
        links = links_in(asks)
        what = "a document" if links.documents else "a picture" if links.pictures else ""
        if what and not (let == "pictures" and not links.documents):
            raise BadRequest(403, "link_not_allowed", _LINK.format(what))
        if tool := fetching_tool(asks):
            raise BadRequest(403, "link_not_allowed", _FETCHES.format(tool[:100]))


def _questions(kind: str, body: bytes) -> Iterator[object]:
    """Yield all of a body that may ask a model: JSON, the fields of a form, each question of an upload."""
    with suppress(Refused):
        document = decode(body)
        yield document
        batched = document.get("requests") if isinstance(document, dict) else None
        for entry in batched if isinstance(batched, list) else ():
            yield from _asked_in(entry)
        yield from google_questions(document)
        return
    if "form" in kind:
        with suppress(naming.Ambiguous):  # the reader of the request refuses it
            yield from ({name.partition("[")[0]: value} for name, value in naming.form_fields(kind, body))
    for line in lines_of(body) if is_batch(body) else ():
        with suppress(Refused):
            entry = decode(line)
            yield entry
            yield from _asked_in(entry)


def _asked_in(entry: object) -> Iterator[object]:
    """Yield the question inside a line or an element of a batch, which holds its tools."""
    if isinstance(entry, dict):
        yield from (entry[name] for name in ("body", "params", "request") if name in entry)


def _allowed_by(why: str, method: str, target: str, does: str) -> str:
    path = target.partition("?")[0][:200]
    line = f'[[operation]] with method = "{method}", path = "{path}" and does = "{does}"'
    return f"{why} The owner can allow it in the terms: {line}."


NO_OBJECTS = frozenset(("model", "any", "account", "project", "location"))  # kinds of names in a path
_ADDRESS = re.compile(r"[a-z0-9+.-]{2}:[/\\]", re.IGNORECASE)  # a scheme's end: its start is slow to find
_LEADS = "The gateway does not know this path, and an upstream may ask at the address that it names."
_HOOK = "`{}` would have the answer sent past this gateway; fetch it through the gateway instead."
_LINK = (
    "The request names {} by a link, which nobody here can read: send it within the request, or upload it."
)
_FETCHES = "`{}` has a model read what is not in the request; here only what is sent is read."
_UNSEEN = (
    "The questions of this batch are neither in the request nor in a file that came through this gateway."
)


_WHY = {
    "unknown": "The gateway does not know what this request does, so that nobody could count what it brings.",
    "opens": "A model would write where the gateway cannot see it: sessions are not opened through it.",
    "mints": "Keys and addresses that work without this gateway are not given out through it.",
    "administers": "What rules the organisation or the server does not go through this gateway.",
}
