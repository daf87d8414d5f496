"""Reads a partner's STIX file: bounded, and checked object by object before anything in it is used.

Errors are in words that can be sent back to the partner.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stillwatch.cases import Json
from stillwatch.cases.exports.marking import EXTENSION as TLP_EXTENSION
from stillwatch.cases.exports.marking import IDS, MARK_OF, OLD_IDS, Tlp
from stillwatch.cases.exports.objects import EXTENSION, is_sealed, sealed_under
from stillwatch.cases.indicators import IndicatorError
from stillwatch.cases.indicators.keys import IndicatorKey
from stillwatch.errors import refuse_os_errors
from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.strict_json import decode
from stillwatch.report.visible import visible

LONGEST = 8 << 20  # bytes of a file: 8,000 indicators; "[],[],..." takes 20 times that in memory
MOST_OBJECTS = 100_000
DEEPEST = 32  # levels; STIX needs about six
LONGEST_TEXT = 4_096
SKEW_US = 300_000_000  # how far a sender's clock may be ahead of ours
SHOWN = 200  # characters of a name that somebody else chose
_ID = re.compile(
    r"[a-z][a-z0-9-]{1,60}--[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)


@dataclass(frozen=True)
class IndicatorFile:
    """A partner's file whose form and seal are valid."""

    place: str
    sender: str
    sender_id: str
    objects: dict[str, Json]  # the newest version of each, by id
    sealed: bool  # made by a holder of the key

    def of_type(self, kind: str) -> list[Json]:
        return [item for item in self.objects.values() if item["type"] == kind]

    def wrong(self, item: Json, why: str) -> IndicatorError:
        return IndicatorError(f"{self.place}: {item.get('id', 'an object')}: {why}")


def read_file(path: Path, key: IndicatorKey, unsealed: bool = False) -> IndicatorFile:
    """Read a bundle. unsealed: accept one without a valid seal of the key.

    Raises: IndicatorError that says what is wrong with it.
    """
    place = str(path)
    objects = bundle_objects(path)[1]
    newest: dict[str, Json] = {}
    for item in objects:
        before = newest.get(item["id"])
        if before is None or version_us(item, place) > version_us(before, place):
            newest[item["id"]] = item
        elif version_us(item, place) == version_us(before, place) and item != before:
            raise IndicatorError(f"{place}: {item['id']} stands there twice, and differs: ask for a new file")
    fingerprint = sealed_under(objects)
    sealed = fingerprint == key.fingerprint and is_sealed(objects, key.sealing)
    if not sealed and not unsealed:
        raise IndicatorError(f"{place}: {_seal_problem(fingerprint, key)}")
    sender = _sender_of(newest, place)
    return IndicatorFile(place, visible(text(sender, "name", place), SHOWN), sender["id"], newest, sealed)


def bundle_objects(path: Path) -> tuple[bytes, list[Json]]:
    """Read a bundle's bytes and its objects, with or without seal. Raises: IndicatorError."""
    raw = _bytes(path)
    return raw, _checked_objects(_document(raw, str(path)), str(path))


def _seal_problem(fingerprint: Any, key: IndicatorKey) -> str:
    if fingerprint is None:
        return "has no seal, so anybody may have written it; --unsealed takes it all the same"
    if fingerprint != key.fingerprint:
        return (
            f"is sealed under key {str(fingerprint)[:16]!a}, and yours is {key.fingerprint}; "
            "give the exchange key that you share with this partner"
        )
    return "was changed after it was sealed; ask for it again, or take it as a claim with --unsealed"


def _bytes(path: Path) -> bytes:
    with refuse_os_errors(IndicatorError, f"{path}: cannot be read"), path.open("rb") as file:
        raw = file.read(LONGEST + 1)
    if len(raw) > LONGEST:
        raise IndicatorError(f"{path}: is larger than {LONGEST >> 20} MB; ask for it in pieces")
    return raw


def _document(raw: bytes, path: str) -> Any:
    if raw[:2] in (b"\x1f\x8b", b"PK") or raw[:4] == b"\x28\xb5\x2f\xfd":
        raise IndicatorError(f"{path}: is packed; unpack it first, with a limit on what comes out")
    try:
        document = decode(raw.removeprefix(b"\xef\xbb\xbf"))
    except Refused as why:
        raise IndicatorError(f"{path}: {why}") from None
    if _is_deep(document):
        raise IndicatorError(f"{path}: is nested deeper than {DEEPEST} levels; STIX never is")
    return document


def _is_deep(value: Any) -> bool:
    """Return whether a value is nested deeper than STIX ever is."""
    level = [value]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item.values()
            elif isinstance(item, list):
                below += item
        level = below
    return any(isinstance(item, dict | list) for item in level)


def _checked_objects(document: Any, place: str) -> list[Json]:
    if not isinstance(document, dict) or document.get("type") != "bundle":
        raise IndicatorError(
            f'{place}: is no STIX bundle; right would be {{"type": "bundle", "objects": [...]}}'
        )
    objects = document.get("objects")
    if not isinstance(objects, list) or not objects:
        raise IndicatorError(f"{place}: the bundle holds no objects")
    if len(objects) > MOST_OBJECTS:
        raise IndicatorError(
            f"{place}: {len(objects):,} objects; at most {MOST_OBJECTS:,} are taken in one file"
        )
    for k, item in enumerate(objects, 1):
        if not isinstance(item, dict):
            raise IndicatorError(f"{place}: object {k} is not a JSON object")
        id = item.get("id")
        if not isinstance(id, str) or not _ID.fullmatch(id) or id.partition("--")[0] != item.get("type"):
            raise IndicatorError(
                f"{place}: object {k} has the id {str(id)[:80]!a}; right would be TYPE--UUID"
            )
        if item.get("spec_version", "2.1") != "2.1":
            raise IndicatorError(
                f"{place}: {id} is of STIX {str(item['spec_version'])[:8]!a}; 2.1 is read here"
            )
    return objects


def _sender_of(objects: Mapping[str, Json], place: str) -> Json:
    """Return the identity that created the reports."""
    reports = [item for item in objects.values() if item["type"] in ("campaign", "sighting")]
    makers = {str(item.get("created_by_ref")) for item in reports}  # of any type
    if not reports:
        raise IndicatorError(f"{place}: reports no campaign and answers none; is it a file for this program?")
    if len(makers) > 1:
        raise IndicatorError(f"{place}: is by {len(makers)} senders; take each one's own file")
    maker = objects.get(makers.pop())
    if maker is None or maker["type"] != "identity":
        raise IndicatorError(f"{place}: does not hold the identity of its sender (created_by_ref)")
    return maker


# --- properties ---


def text(item: Json, name: str, place: str, default: str | None = None) -> str:
    """Return a text of an object. Raises: IndicatorError."""
    value = item.get(name, default)
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise IndicatorError(
            f"{place}: {item.get('id')}: {name} must be a text of at most {LONGEST_TEXT:,} letters"
        )
    return value


def count(properties: Json, name: str, at: str, default: int | None = None) -> int:
    """Return a count. Raises: IndicatorError."""
    value = properties.get(name, default)
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise IndicatorError(f"{at}: {name} must be a whole number from 0 on")
    return value


def time_us(item: Json, name: str, place: str, default: int | None = None) -> int:
    """Return a timestamp of an object in UTC microseconds. Raises: IndicatorError."""
    value = item.get(name)
    if value is None and default is not None:
        return default
    matched = _TIME.fullmatch(value) if isinstance(value, str) else None
    try:
        if matched is None:
            raise ValueError
        seconds = datetime.fromisoformat(matched[1]).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        raise IndicatorError(
            f"{place}: {item.get('id')}: {name} is no time of STIX; right would be 2026-03-07T17:00:00.000Z"
        ) from None
    return int(seconds) * 1_000_000 + int((matched[2] or "0").ljust(6, "0")[:6])


def version_us(item: Json, place: str) -> int:
    """Return an object's version; observables have only one."""
    return time_us(item, "modified", place, default=0)


def ours(item: Json) -> Json:
    """Return the content of our extension in an object."""
    extensions = item.get("extensions")
    extension = extensions.get(EXTENSION) if isinstance(extensions, dict) else None
    return extension if isinstance(extension, dict) else {}


def tlp_of(file: IndicatorFile, parts: Iterable[Json]) -> Tlp:
    """Return the strictest mark of some objects.

    Raises: IndicatorError if one has none, or one that is not TLP 2.0.
    """
    strictest = Tlp.CLEAR
    order = list(Tlp)
    for item in parts:
        refs = item.get("object_marking_refs")
        if not isinstance(refs, list) or not refs:
            raise file.wrong(item, "has no mark; ask the sender under which TLP it may be used")
        refs = [*refs, *_marks_of_parts(file, item)]
        levels = [_tlp_of_reference(file, item, ref) for ref in refs]
        strictest = max([strictest, *levels], key=order.index)
    if strictest is Tlp.RED:
        raise IndicatorError(
            f"{file.place}: is marked TLP:RED, for the ears of named persons; ask for another mark"
        )
    return strictest


def _marks_of_parts(file: IndicatorFile, item: Json) -> list[Any]:
    """Return the marks of single properties of an object (STIX 2.1, 7.2.3), except languages."""
    granular = item.get("granular_markings", [])
    if not isinstance(granular, list) or not all(isinstance(one, dict) for one in granular):
        raise file.wrong(item, "has granular_markings that cannot be read")
    return [one.get("marking_ref") for one in granular if "lang" not in one]


def _tlp_of_reference(file: IndicatorFile, item: Json, ref: Any) -> Tlp:
    if ref in OLD_IDS:
        raise file.wrong(item, "is marked with TLP 1.0; right would be TLP 2.0")
    level = MARK_OF.get(ref) if isinstance(ref, str) else None
    definition = file.objects.get(ref) if isinstance(ref, str) else None
    if level is None:
        raise file.wrong(item, f"is marked {str(ref)[:80]!a}, which is no mark of TLP 2.0; ask what it means")
    if definition is None:
        raise file.wrong(item, f"is marked TLP:{level.upper()}, and the mark is not in the file")
    extensions = definition.get("extensions")
    extension = extensions.get(TLP_EXTENSION) if isinstance(extensions, dict) else None
    if not isinstance(extension, dict) or extension.get("tlp_2_0") != level.value:
        raise file.wrong(
            item, f"is marked with {IDS[level]}, which is TLP:{level.upper()} and says otherwise"
        )
    return level
