"""Evidence as JSON and back. Strict: what is missing, unknown or of another kind is refused with its place.

It does not know what the evidence says.
"""

import json
import math
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

from stillwatch.errors import refuse_os_errors
from stillwatch.prove import Checked, Counts, Evidence, Grade, ProveError, Row
from stillwatch.report.findings import write_atomically

KIND = "stillwatch evidence 1"
LARGEST = 64 << 20  # bytes


def as_json(evidence: Evidence) -> dict[str, Any]:
    """Give the document, as whoever reads the file has it; `of_json` reads it."""
    return dict(json.loads(json.dumps({"kind": KIND} | asdict(evidence))))


def write(evidence: Evidence, path: Path) -> Path:
    """Write one piece of evidence, whole or not at all. Raises: ProveError."""
    text = json.dumps(as_json(evidence), indent=1, allow_nan=False, ensure_ascii=True) + "\n"
    with refuse_os_errors(ProveError, f"{path}: cannot be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    return path


def read(path: Path) -> Evidence:
    """Read one piece of evidence. Raises: ProveError with the place of what is wrong."""
    try:
        if path.stat().st_size > LARGEST:
            raise ProveError(f"{path}: is larger than {LARGEST >> 20} MiB; no evidence is")
        document = json.loads(path.read_bytes())
    except OSError as why:
        raise ProveError(f"{path}: cannot be read: {why.strerror}") from why
    except (ValueError, RecursionError) as why:
        raise ProveError(f"{path}: is no JSON ({why}); give what a `prove` verb wrote as evidence") from None
    return of_json(document, str(path))


def of_json(document: Any, place: str) -> Evidence:
    """Read a document. Raises: ProveError."""
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise ProveError(f"{place}: is no evidence: its `kind` is not {KIND!r}")
    document = {name: value for name, value in document.items() if name != "kind"}
    document = _check_fields(Evidence, document, place)
    try:
        document["grade"] = Grade(document["grade"])
    except ValueError:
        grades = ", ".join(repr(str(g)) for g in Grade)
        raise ProveError(f"{place}: grade is {document['grade']!r:.60}; it can be {grades}") from None
    document["rows"] = tuple(
        _row(row, f"{place}: rows[{i}]") for i, row in enumerate(_list(document, "rows", place))
    )
    document["confounds"] = tuple(
        Checked(**_check_fields(Checked, confound, f"{place}: confounds[{i}]"))
        for i, confound in enumerate(_list(document, "confounds", place))
    )
    document["means_not"] = tuple(_list(document, "means_not", place))
    if not all(isinstance(sentence, str) for sentence in document["means_not"]):
        raise ProveError(f"{place}: means_not is no list of sentences")
    try:
        return Evidence(**document)
    except ProveError as why:
        raise ProveError(f"{place}: {why}") from None


def _row(document: Any, place: str) -> Row:
    known = _check_fields(Row, document, place)
    if known["counts"] is not None:
        known["counts"] = Counts(**_check_fields(Counts, known["counts"], f"{place}.counts"))
    try:
        return Row(**known)
    except ProveError as why:
        raise ProveError(f"{place}: {why}") from None


def _list(document: dict[str, Any], name: str, place: str) -> list[Any]:
    value = document[name]
    if not isinstance(value, list | tuple):
        raise ProveError(f"{place}: {name} is no list")
    return list(value)


def _check_fields(kind: Any, document: Any, place: str) -> dict[str, Any]:
    """Check names and plain types against a dataclass; what may be left out gets its default."""
    if not isinstance(document, dict):
        raise ProveError(f"{place}: is no object")
    found: dict[str, Any] = {}
    for field in fields(kind):
        if field.name not in document:
            if field.default is MISSING:
                raise ProveError(f"{place}: {field.name} is missing")
            found[field.name] = field.default
            continue
        value = document[field.name]
        if not _fits(value, field.type):
            raise ProveError(f"{place}: {field.name} is {value!r:.60}; {_words(field.type)} is wanted")
        found[field.name] = (
            float(value) if field.type in (float, float | None) and value is not None else value
        )
    unknown = sorted(set(document) - set(found))
    if unknown:
        raise ProveError(f"{place}: {unknown[0]!r:.60} is unknown here")
    return found


def _fits(value: Any, kind: Any) -> bool:
    if kind is str:
        return isinstance(value, str)
    if kind is bool:
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind is int:
        return isinstance(value, int) and abs(value) < 1 << 53
    if kind == float | None and value is None:
        return True
    if kind in (float, float | None):
        return isinstance(value, int | float) and math.isfinite(value)
    return True  # what has parts is looked at part by part


def _words(kind: Any) -> str:
    names = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}
    return names.get(kind, "a number or null")
