"""TAXII 2.1: uploads STIX objects to a collection, and downloads others'.

Servers are not trusted: the type, size, number of pages and duration of their responses are bounded. Name and
password come from the caller, and appear in no URL and no message.
Source: TAXII 2.1 (OASIS, 2021), sections 3.4 to 3.7, 4.3, 5.2 to 5.5.
"""

import base64
import json
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from stillwatch.cases import Json
from stillwatch.cases.exports import ExportError
from stillwatch.cases.exports.places import ReceiverAddress, Resolve, addresses, inside_of, place
from stillwatch.cases.exports.post import ReceiverReply, fetch, tls_context
from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.strict_json import decode
from stillwatch.report.visible import visible

MEDIA_TYPE = "application/taxii+json"
ACCEPT = f"{MEDIA_TYPE};version=2.1"
USER, PASSWORD, TOKEN = "STILLWATCH_TAXII_USER", "STILLWATCH_TAXII_PASSWORD", "STILLWATCH_TAXII_TOKEN"
PAGE_OBJECTS = 1_000  # requested; a server may return fewer
PAGE_BYTES, WHOLE_BYTES = 16 << 20, 128 << 20  # of one page, and of all together
MOST_OBJECTS = 100_000
MOST_PAGES = 1_000
WHOLE_S = 600.0  # for all pages together
ENVELOPE_BYTES = 8 << 20  # of one request, unless the server allows less
WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)  # between checks of a pending status
IDS_ASKED = 25  # in one request: URLs have a limited length
SHOWN = 200
_COLLECTION = re.compile(r"(/[^?#]*/|/)collections/([^/?#]+)/?")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)
_STATUS_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_SAID = {
    401: "wants a name and password, or others: they are read from {user} and {password}, or {token}",
    403: "does not let you do that in this collection",
    404: "knows no such collection",
    406: "does not speak TAXII 2.1",
    413: "takes less in one request",
    415: "does not speak TAXII 2.1",
    422: "does not take these objects",
}


@dataclass(frozen=True)
class TaxiiCollection:
    """A collection's location, and the credentials for it."""

    where: ReceiverAddress  # its path ends with /
    root: str  # path of the API root, which ends with /
    authorization: str | None = field(default=None, repr=False)
    ca: Path | None = None  # certificates to trust instead of the system's
    resolve: Resolve | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Return the URL, for people and for the record."""
        return f"{self.where.scheme}://{self.where.at}{self.where.path}"


@dataclass(frozen=True)
class CollectionPage:
    """Objects downloaded from a collection."""

    objects: tuple[Json, ...]
    added_last: str | None  # the server's time of the newest of them: later ones are new


def open_collection(
    url: str, environ: Mapping[str, str], ca: Path | None = None, resolve: Resolve | None = None
) -> TaxiiCollection:
    """Parse a collection's URL, and read the credentials from the environment. Nothing is sent.

    Raises: ExportError.
    """
    where = place(url, ("https", "http"))
    matched = _COLLECTION.fullmatch(where.path)
    if matched is None:
        raise ExportError(f"{where.at}{where.path}: is no collection; give https://HOST/ROOT/collections/ID/")
    path = f"{matched[1]}collections/{matched[2]}/"
    return TaxiiCollection(replace(where, path=path), matched[1], _authorization(environ), ca, resolve)


def _authorization(environ: Mapping[str, str]) -> str | None:
    user, password, token = (environ.get(name, "") for name in (USER, PASSWORD, TOKEN))
    if token and (user or password):
        raise ExportError(f"{TOKEN} and {USER} are both set; unset one")
    if bool(user) != bool(password):
        raise ExportError(f"{USER} and {PASSWORD} go together; one is not set")
    if token:
        if not re.fullmatch(r"[!-~]+", token):
            raise ExportError(f"{TOKEN} holds blanks or characters that no token has")
        return f"Bearer {token}"
    if user:
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
    return None


def push_objects(to: TaxiiCollection, objects: Sequence[Json]) -> int:
    """Upload objects to a collection, and wait until the server has confirmed each.

    Returns the number of requests. Objects already in the collection count as accepted. Raises: ExportError
    if not all are accepted; the accepted ones stay there.
    """
    described = _ask(to, to.where.path)
    if described.get("can_write") is not True:
        raise ExportError(f"{to.name}: lets you write nothing (can_write)")
    limit = _ask(to, to.root).get("max_content_length")
    bytes_limit = min(limit, ENVELOPE_BYTES) if type(limit) is int and limit > 0 else ENVELOPE_BYTES
    requests = 0
    for envelope in _envelopes(objects, bytes_limit):
        reply, answer = _request(to, f"{to.where.path}objects/", envelope)
        if reply.status != 202:
            raise _refusal(to, reply.status, answer)
        refused = _wait_for(to, answer)
        if refused:
            _check_held(to, refused, objects, described.get("can_read") is True)
        requests += 1
    return requests


def pull_objects(of: TaxiiCollection, added_after: str | None = None) -> CollectionPage:
    """Download all objects in all versions, or those added after a time of the server's.

    Raises: ExportError.
    """
    if added_after is not None and not _TIME.fullmatch(added_after):
        raise ExportError(f"--added-after is {added_after!a}; give a time as in 2026-05-01T12:00:00Z")
    if _ask(of, of.where.path).get("can_read") is not True:
        raise ExportError(f"{of.name}: lets you read nothing (can_read)")
    return _all_pages(of, {"added_after": added_after} if added_after else {}, _AnswerBounds())


def objects_of(of: TaxiiCollection, ids: Collection[str]) -> list[Json]:
    """Download objects by their ids, as many as exist. Raises: ExportError."""
    objects: list[Json] = []
    ids_sorted, left = sorted(ids), _AnswerBounds()
    for k in range(0, len(ids_sorted), IDS_ASKED):
        objects += _all_pages(of, {"match[id]": ",".join(ids_sorted[k : k + IDS_ASKED])}, left).objects
    return objects


@dataclass
class _AnswerBounds:
    """What a server may still send in response to one command, over all requests."""

    objects: int = field(default_factory=lambda: MOST_OBJECTS)
    size: int = field(default_factory=lambda: WHOLE_BYTES)
    until: float = field(default_factory=lambda: time.monotonic() + WHOLE_S)
    visited: set[str] = field(default_factory=set)


def _all_pages(of: TaxiiCollection, query: dict[str, str], left: _AnswerBounds) -> CollectionPage:
    """Request objects until the server reports no more."""
    query = {"limit": str(PAGE_OBJECTS), "match[version]": "all", **query}
    objects: list[Json] = []
    last, visited = None, left.visited
    while True:
        path = f"{of.where.path}objects/?{urlencode(query)}"
        if path in visited or len(visited) >= MOST_PAGES or time.monotonic() > left.until:
            raise ExportError(f"{of.name}: its pages have no end; gave up after {len(visited):,}")
        visited.add(path)
        reply, answer = _request(of, path)
        if reply.status != 200:
            raise _refusal(of, reply.status, answer)
        left.size -= reply.size
        page = answer.get("objects", [])
        if not isinstance(page, list) or not all(isinstance(item, dict) for item in page):
            raise ExportError(f"{of.name}: answers with objects that cannot be read")
        objects += page
        left.objects -= len(page)
        last = reply.headers.get("x-taxii-date-added-last", last)
        if left.objects < 0 or left.size < 0:
            much = f"{MOST_OBJECTS:,} objects or {WHOLE_BYTES >> 20} MB"
            raise ExportError(f"{of.name}: holds over {much}; give --added-after")
        if answer.get("more") is not True:
            return CollectionPage(tuple(objects), last)
        query |= _next_page(of, answer, last)


def _next_page(of: TaxiiCollection, answer: Json, last: str | None) -> dict[str, str]:
    following = answer.get("next")
    if isinstance(following, str) and following:
        return {"next": following}
    if last is not None:  # section 3.4: a server without `next` pages by the time objects were added
        return {"added_after": last}
    raise ExportError(f"{of.name}: says that there is more, and not how to ask for it (next)")


def _envelopes(objects: Sequence[Json], most: int) -> Iterator[bytes]:
    """Yield the objects in as few requests as their size allows."""
    part: list[bytes] = []
    size = 0
    for item in objects:
        raw = json.dumps(item, separators=(",", ":")).encode("ascii")
        if part and size + len(raw) + 1 > most - 16:
            yield b'{"objects":[%s]}' % b",".join(part)
            part, size = [], 0
        part.append(raw)
        size += len(raw) + 1
    yield b'{"objects":[%s]}' % b",".join(part)


def _wait_for(to: TaxiiCollection, answer: Json) -> list[Json]:
    """Poll until a status is complete, and return its failures. Raises: ExportError."""
    for wait_s in (*WAITS_S, None):
        if answer.get("status") == "complete":
            failures, failure_count = answer.get("failures", []), answer.get("failure_count", 0)
            if not isinstance(failures, list) or not all(isinstance(failure, dict) for failure in failures):
                raise ExportError(f"{to.name}: answers with failures that cannot be read")
            return failures or ([{"message": f"failure_count {failure_count}"}] if failure_count else [])
        id = answer.get("id")
        if answer.get("status") != "pending" or not isinstance(id, str) or not _STATUS_ID.fullmatch(id):
            raise ExportError(f"{to.name}: answers with no status of TAXII 2.1")
        if wait_s is None:
            break
        time.sleep(wait_s)
        answer = _ask(to, f"{to.root}status/{id}/")
    raise ExportError(f"{to.name}: has not said after {sum(WAITS_S):.0f} s that it took all; look there")


def _check_held(
    to: TaxiiCollection, failures: Sequence[Json], objects: Sequence[Json], can_read: bool
) -> None:
    """Raise if an object that the server rejected is not in the collection already, in the same version.

    A server may report an existing object as failed, as the reference server does. Raises: ExportError.
    """
    versions = {(item.get("id"), item.get("modified")) for item in objects}
    failed_ids = {str(item.get("id")) for item in failures}
    failed = {(id, modified) for id, modified in versions if id in failed_ids}
    objects_held = objects_of(to, {str(id) for id, _ in failed}) if can_read else []
    held_there = {(str(item.get("id")), item.get("modified")) for item in objects_held}
    held_ids = {id for id, modified in failed if (id, modified) in held_there}
    missing = [item for item in failures if str(item.get("id")) not in held_ids]
    if missing:
        why = _server_words(missing[0].get("message"))
        raise ExportError(f"{to.name}: did not take {len(missing):,} of {len(objects):,} objects{why}")


def _ask(of: TaxiiCollection, path: str) -> Json:
    reply, answer = _request(of, path)
    if reply.status != 200:
        raise _refusal(of, reply.status, answer)
    return answer


def _request(of: TaxiiCollection, path: str, body: bytes | None = None) -> tuple[ReceiverReply, Json]:
    """Send one request, and return the response's head and its JSON; an error may have none."""
    addresses_found = addresses(of.where, [of.where.at], of.resolve)  # the owner named the host
    if of.where.scheme == "http" and any(inside_of(address) != "loopback" for address in addresses_found):
        raise ExportError(f"{of.where.at}: http shows everything to everybody on the way; use https")
    headers = {"accept": ACCEPT} | ({} if body is None else {"content-type": ACCEPT})
    if of.authorization is not None:
        headers["authorization"] = of.authorization
    context = tls_context(str(of.ca) if of.ca else None) if of.where.scheme == "https" else None
    method, where = "GET" if body is None else "POST", replace(of.where, path=path)
    reply, raw = fetch(where, addresses_found, headers, body or b"", context, PAGE_BYTES, method=method)
    kind = reply.headers.get("content-type", "")
    if not kind.lower().startswith(MEDIA_TYPE):
        if reply.status >= 300:
            return reply, {}
        raise ExportError(f"{of.where.at}: answers with {visible(kind, 60) or 'no type'!a}, not {MEDIA_TYPE}")
    try:
        answer: Any = decode(raw)
    except Refused as why:
        raise ExportError(f"{of.where.at}: answers with what is no JSON: {why}") from None
    if not isinstance(answer, dict):
        raise ExportError(f"{of.where.at}: answers with JSON that is no object")
    return reply, answer


def _refusal(of: TaxiiCollection, status: int, answer: Json) -> ExportError:
    reason = _SAID.get(status, "a redirect, which is not followed" if 300 <= status < 400 else "no success")
    why = reason.format(user=USER, password=PASSWORD, token=TOKEN)
    return ExportError(f"{of.name}: {why} (status {status}){_server_words(answer.get('title'))}")


def _server_words(why: Any) -> str:
    return f": it says {visible(why, SHOWN)!a}" if isinstance(why, str) and why else ""
