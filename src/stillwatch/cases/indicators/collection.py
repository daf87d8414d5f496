"""Files and TAXII collections: which case a file belongs to, and which objects of a collection form one file.

A seal covers the objects of one file, and a collection mixes those of many. Objects of one export share one
`modified`, so a file can be reassembled as it was; whether its seal is valid is checked by the holder of the
key.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy import select

from stillwatch.cases import Json
from stillwatch.cases.exports import Form, Leaving
from stillwatch.cases.exports.marking import MARK_OF
from stillwatch.cases.exports.objects import EXTENSION, extension_object, is_sealed, read_pattern
from stillwatch.cases.exports.sums import leaving
from stillwatch.cases.indicators import IndicatorError
from stillwatch.cases.indicators.keys import IndicatorKey
from stillwatch.cases.indicators.reading import MOST_OBJECTS, bundle_objects
from stillwatch.cases.store import Store
from stillwatch.cases.tables import acts

_ID = re.compile(r"[a-z0-9-]{1,60}--[0-9a-f-]{36}")


def read_export(path: Path) -> tuple[bytes, list[Json], Leaving]:
    """Read a file to be uploaded: its bytes, its objects, and a summary of what leaves with it.

    Raises: IndicatorError if it is not one that `export` or `import --answer` wrote.
    """
    raw, objects = bundle_objects(path)
    kinds = [item["type"] for item in objects]
    if any(kind.startswith("x-misp-") for kind in kinds):
        raise IndicatorError(
            f"{path}: is written for MISP, which reads files; push the export without --misp"
        )
    if "campaign" not in kinds and "sighting" not in kinds:
        raise IndicatorError(f"{path}: reports no campaign and answers none")
    patterns = [str(item.get("pattern")) for item in objects if item["type"] == "indicator"]
    keyed = sum(read_pattern(text) is not None for text in patterns)
    holds = {
        "IN PLAIN, values": len(patterns) - keyed,
        "keyed marks": keyed,
        "keyed hashes or names of accounts": kinds.count("user-account"),
        "sightings": kinds.count("sighting"),
        "objects in all": len(objects),
    }
    marks = {MARK_OF[id] for item in objects for id in item.get("object_marking_refs", ()) if id in MARK_OF}
    names_accounts = any("user-account:user_id" in text for text in patterns)
    return raw, objects, leaving(Form.STIX, raw, holds, " ".join(sorted(marks)) or None, names_accounts)


def for_collection(objects: Iterable[Json]) -> list[Json]:
    """Return the objects of a file that go into a collection: all but the definition of our extension.

    It is the same in every file of a sender, and restored by `files_in`. The reference server mistakes its
    `version` for a time, and fails all later requests that would return it (medallion 3.0.0).
    """
    return [item for item in objects if item["type"] != "extension-definition"]


def exported_cases(store: Store, raw: bytes) -> list[str]:
    """Return the cases whose history has an export of exactly these bytes."""
    digest = hashlib.sha256(raw).hexdigest()
    query = select(acts.c.case_id).where(acts.c.verb == "export", acts.c.sets.contains(digest)).distinct()
    with store.reading() as db:
        return list(db.execute(query.order_by(acts.c.case_id)).scalars())


def missing_ids(objects: Iterable[Json]) -> set[str]:
    """Return the ids that reports and sightings refer to but that are missing: they were added earlier."""
    ids_held: set[str] = set()
    named_ids: set[str] = set()
    for item in objects:
        ids_held.add(str(item.get("id")))
        if str(item.get("id")).startswith(("report--", "sighting--")):
            for name in ("object_refs", "object_marking_refs"):
                refs = item.get(name)
                named_ids.update(ref for ref in refs if isinstance(ref, str)) if isinstance(
                    refs, list
                ) else None
            named_ids.add(str(item.get("created_by_ref")))
    return {id for id in named_ids - ids_held if _ID.fullmatch(id)}


def files_in(objects: Iterable[Json], key: IndicatorKey | None = None) -> tuple[dict[str, Json], int]:
    """Reassemble the bundles that a collection's objects came from: the newest of each campaign and reply.

    Returns them by name, which is safe as a file name, and how many objects belong to none. key: only files
    sealed under it; otherwise anybody who may write to the collection can add a newer version of anything.
    Two reports on one campaign are two files. Raises: IndicatorError if its reports refer to too many
    objects.
    """
    versions: dict[str, dict[str, Json]] = {}
    for item in objects:
        id, modified = item.get("id"), item.get("modified", "")
        if isinstance(id, str) and isinstance(modified, str):
            versions.setdefault(id, {}).setdefault(modified, item)  # the first one with this time
    answers = _answers(versions)
    files: dict[str, Json] = {}
    used: set[str] = set()
    size = 0
    for id, by_version in versions.items():
        for version in sorted(by_version, reverse=True)[: None if key else 1]:
            name, parts = _name_and_parts(id, by_version[version], answers)
            if not parts or not _ID.fullmatch(name):  # it becomes a file name
                continue
            if name in files and not _ID.fullmatch(id):
                continue
            file = _file_of(versions, by_version[version], parts)
            size += len(file)
            if size > 2 * MOST_OBJECTS:  # each is a file of its own: few objects could make very many
                raise IndicatorError(
                    f"the collection's reports name over {2 * MOST_OBJECTS:,} objects in all"
                )
            if key is not None and not is_sealed(file, key.sealing):
                continue
            bundle = {"type": "bundle", "id": f"bundle--{id.partition('--')[2]}", "objects": file}
            files[name if name not in files else f"{name}.{id}"] = bundle
            used.update(item["id"] for item in file)
            break
    return files, len(versions.keys() - used)


def _name_and_parts(id: str, head: Json, answers: dict[tuple[str, str], list[str]]) -> tuple[str, list[str]]:
    """Return the name of a report's or a reply's file, and the ids in it; none for anything else."""
    if id.startswith("report--"):
        refs = head.get("object_refs")
        references = [ref for ref in refs if isinstance(ref, str)] if isinstance(refs, list) else []
        campaigns = [ref for ref in references if ref.startswith("campaign--")]
        return (campaigns or [""])[0], [*references, id]
    if id.startswith("sighting--") and str(head.get("sighting_of_ref")).startswith("campaign--"):
        written = (str(head.get("created_by_ref")), str(head.get("modified", "")))
        return id, answers.pop(written, [])  # one file for all that were written together
    return "", []


def _answers(versions: dict[str, dict[str, Json]]) -> dict[tuple[str, str], list[str]]:
    """Return sender and time of a reply -> the sightings that were written together in it."""
    sightings: dict[tuple[str, str], list[str]] = {}
    for id, by_version in versions.items():
        for modified, sighting in by_version.items() if id.startswith("sighting--") else ():
            sightings.setdefault((str(sighting.get("created_by_ref")), modified), []).append(id)
    return sightings


def _file_of(versions: dict[str, dict[str, Json]], head: Json, parts: Sequence[str]) -> list[Json]:
    """Return the objects of one file: its parts, its author, their marks, and our extension's definition."""
    ids_wanted = {*parts, str(head.get("created_by_ref")), EXTENSION}
    refs = head.get("object_marking_refs")
    ids_wanted.update(ref for ref in refs if isinstance(ref, str)) if isinstance(refs, list) else None
    modified = str(head.get("modified"))
    chosen = [versions[id] for id in sorted(ids_wanted & versions.keys())]
    file = [by_version.get(modified) or by_version[max(by_version)] for by_version in chosen]
    return file if EXTENSION in versions else [*file, extension_object(str(head.get("created_by_ref")))]
