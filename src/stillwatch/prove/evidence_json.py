"""Evidence as JSON and back. Strict: a missing, unknown or wrongly typed value is refused with its place."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from stillwatch.errors import refuse_os_errors
from stillwatch.prove import Evidence, ProveError
from stillwatch.report.findings import write_atomically

KIND = "stillwatch evidence 1"
LARGEST = 64 << 20  # bytes


def as_json(evidence: Evidence) -> dict[str, Any]:
    """Return the JSON document that `of_json` reads."""
    return dict(json.loads(json.dumps({"kind": KIND} | asdict(evidence))))


def write(evidence: Evidence, path: Path) -> Path:
    """Write one piece of evidence, atomically. Raises: ProveError."""
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
    try:
        evidence = msgspec.convert(document, Evidence)
    except (msgspec.ValidationError, ProveError) as why:
        raise ProveError(f"{place}: {why}") from None
    known = as_json(evidence)
    if unknown := _unknown_name(document, known):
        raise ProveError(f"{place}: {unknown!r:.60} is unknown here")
    if not _is_exact(known):
        raise ProveError(f"{place}: holds a number that is not finite, or a whole one of 2^53 or more")
    return evidence


def _unknown_name(document: Any, known: Any) -> str | None:
    """Return the first name in a document that is not a field of its evidence."""
    if isinstance(document, dict) and isinstance(known, dict):
        names = (
            name if name not in known else _unknown_name(document[name], known[name]) for name in document
        )
    elif isinstance(document, list) and isinstance(known, list):
        names = (_unknown_name(*pair) for pair in zip(document, known, strict=True))
    else:
        return None
    return next((name for name in names if name is not None), None)


def _is_exact(value: Any) -> bool:
    """Return whether every number in a document is read the same by all JSON readers."""
    if isinstance(value, dict | list):
        return all(map(_is_exact, value.values() if isinstance(value, dict) else value))
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or abs(value) < 1 << 53
