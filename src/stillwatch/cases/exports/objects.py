"""Shared parts of our STIX objects: stable ids, times, the sender, our extension, patterns, the seal.

Ids are derived from what an object describes, so that a second export updates the same objects at the
receiver. Source: STIX 2.1 (OASIS, 2021), sections 2.9, 3.2, 7.3, 9.
"""

import hashlib
import hmac
import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any

from stillwatch.cases import Json
from stillwatch.cases.exports.marking import IDS, Tlp
from stillwatch.cases.indicators import DIGITS, IndicatorKind

NAMESPACE = uuid.UUID("59a85fb2-3c86-4141-aec6-794b56730926")  # of our ids; drawn at random once
SCO_NAMESPACE = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")  # STIX 2.1, section 2.9
EXTENSION = f"extension-definition--{uuid.uuid5(NAMESPACE, 'extension 1')}"
EXTENSION_SCHEMA = "docs/indicators.md, part The STIX extension, in every copy of Stillwatch"
BORN = "2026-01-01T00:00:00.000Z"  # `created` of objects that are the same in all bundles
SEAL_MARK = b"stillwatch.seal.1\n"
_PATTERN = re.compile(
    r"\[x-stillwatch-mark:kind = '([a-z-]{1,20})' AND x-stillwatch-mark:key = '([0-9a-f]{16})' "
    r"AND x-stillwatch-mark:value = '([0-9a-f]{8,64})'\]"
)


def stix_id(kind: str, sender: str, *of: str) -> str:
    """Return the stable id of a sender's object about something."""
    name = "\0".join((sender, kind, *of))
    return f"{kind}--{uuid.uuid5(NAMESPACE, name.encode('utf-8', 'surrogatepass').decode('latin-1'))}"


def identity_id(name: str) -> str:
    """Return the id of a sender, by the name that it gives itself."""
    return stix_id("identity", "", name)


def observable_id(kind: str, contributing: dict[str, Any]) -> str:
    """Return the id of an observable, as STIX 2.1 section 2.9 derives it from contributing properties."""
    canonical = json.dumps(contributing, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{kind}--{uuid.uuid5(SCO_NAMESPACE, canonical)}"


def timestamp(at_us: int) -> str:
    """Return a STIX timestamp, rounded down to the millisecond.

    >>> timestamp(1_767_225_600_123_999)
    '2026-01-01T00:00:00.123Z'
    """
    when = datetime.fromtimestamp(at_us // 1000 / 1000, UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{at_us // 1000 % 1000:03d}Z"


def extensions(**properties: Any) -> Json:
    """Return the `extensions` of an object that carries our properties."""
    return {EXTENSION: {"extension_type": "property-extension", **properties}}


def make_object(
    kind: str, id: str, sender: str, created_us: int, modified_us: int, tlp: Tlp, **more: Any
) -> Json:
    """Make an object with the common properties. `modified` is never before `created`."""
    return {
        "type": kind,
        "spec_version": "2.1",
        "id": id,
        "created_by_ref": sender,
        "created": timestamp(created_us),
        "modified": timestamp(max(modified_us, created_us)),
        "object_marking_refs": [IDS[tlp]],
        **{name: value for name, value in more.items() if value not in (None, [], "")},
    }


def sender_object(name: str, tlp: Tlp, now_us: int) -> Json:
    """Return the sender. Its name is a claim; only the seal can be checked."""
    return {
        "type": "identity",
        "spec_version": "2.1",
        "id": identity_id(name),
        "created": BORN,
        "modified": timestamp(now_us),  # of the seal in it
        "name": name,
        "identity_class": "organization",
        "object_marking_refs": [IDS[tlp]],
    }


def extension_object(sender: str) -> Json:
    """Return the definition of our extension, which STIX requires in every bundle."""
    return {
        "type": "extension-definition",
        "spec_version": "2.1",
        "id": EXTENSION,
        "created_by_ref": sender,
        "created": BORN,
        "modified": BORN,
        "name": "Stillwatch: keyed marks of wording, their counts, and the seal",
        "schema": EXTENSION_SCHEMA,
        "version": "1.0.0",
        "extension_types": ["property-extension"],
    }


# --- patterns ---


def pattern(kind: IndicatorKind, key: str, value: str) -> str:
    """Return the pattern of an indicator. Any STIX tool can store it; searching for it needs the key."""
    return (
        f"[x-stillwatch-mark:kind = '{kind}' AND x-stillwatch-mark:key = '{key}' "
        f"AND x-stillwatch-mark:value = '{value}']"
    )


def read_pattern(text: str) -> tuple[IndicatorKind, str, str] | None:
    """Return kind, key and value of one of our patterns; None for any other."""
    match = _PATTERN.fullmatch(text)
    if (
        match is None
        or match[1] not in set(IndicatorKind)
        or len(match[3]) != DIGITS[IndicatorKind(match[1])]
    ):
        return None
    return IndicatorKind(match[1]), match[2], match[3]


# --- bundles and their seal ---


def bundle(objects: list[Json], key: bytes | None, fingerprint: str) -> Json:
    """Put objects into a bundle, sorted by id, sealed in its sender's identity if there is a key.

    Two bundles of the same objects are the same bytes.
    """
    ordered = sorted(objects, key=lambda item: item["id"])
    if key is not None:
        sender = next(item for item in ordered if item["type"] == "identity")
        sender["extensions"] = extensions(sealed_under=fingerprint)
        sender["extensions"][EXTENSION]["seal"] = _seal_of(ordered, key)
    digest = hashlib.sha256(_canonical(ordered)).digest()
    return {"type": "bundle", "id": f"bundle--{uuid.uuid5(NAMESPACE, digest.hex())}", "objects": ordered}


def sealed_under(objects: list[Json]) -> str | None:
    """Return the fingerprint of the key that a bundle claims to be sealed under."""
    sender = _find_seal(objects)
    return sender.get("sealed_under") if sender is not None else None


def is_sealed(objects: list[Json], key: bytes) -> bool:
    """Return whether the seal on these objects was made with the key."""
    sender = _find_seal(objects)
    if sender is None or not isinstance(sender.get("seal"), str):
        return False
    ordered = sorted(objects, key=lambda item: str(item.get("id")))
    return hmac.compare_digest(_seal_of(ordered, key).encode(), sender["seal"].encode("utf-8", "replace"))


def _find_seal(objects: list[Json]) -> Json | None:
    for item in objects:
        extensions = item.get("extensions")
        extension = extensions.get(EXTENSION) if isinstance(extensions, dict) else None
        if item.get("type") == "identity" and isinstance(extension, dict) and "sealed_under" in extension:
            return extension
    return None


def _seal_of(ordered: list[Json], key: bytes) -> str:
    """Return the HMAC-SHA-256 of the objects without the seal itself."""
    return hmac.digest(key, SEAL_MARK + _canonical([_without_seal(item) for item in ordered]), "sha256").hex()


def _without_seal(item: Json) -> Json:
    if item.get("type") != "identity" or not isinstance(item.get("extensions"), dict):
        return item
    ours = item["extensions"].get(EXTENSION)
    if not isinstance(ours, dict):
        return item
    bare = {name: value for name, value in ours.items() if name != "seal"}
    return {**item, "extensions": {**item["extensions"], EXTENSION: bare}}


def _canonical(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode("ascii")
