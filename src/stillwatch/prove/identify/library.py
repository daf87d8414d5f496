"""A folder of references: answers of known models to known prompts, with hashes. It is your data.

None ships: answers of other makers' models are not ours to give away.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from stillwatch.errors import refuse_os_errors
from stillwatch.prove.identify import IdentifyError, Reference
from stillwatch.prove.pool import Pool
from stillwatch.prove.pool.reading import read_pool
from stillwatch.report.findings import write_atomically

KIND = "stillwatch identify library 1"
MANIFEST = "library.json"


def references(folder: Path) -> dict[str, Reference]:
    """Read the manifest; the library is empty if there is none. Raises: IdentifyError."""
    path = folder / MANIFEST
    if not path.exists():
        return {}
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as why:
        raise IdentifyError(f"{path}: cannot be read: {why}") from None
    models = manifest.get("models") if isinstance(manifest, dict) and manifest.get("kind") == KIND else None
    if not isinstance(models, dict):
        raise IdentifyError(
            f"{path}: is no library: its `kind` is not {KIND!r}, or it has no table of models"
        )
    return {name: _reference(name, entry, path) for name, entry in models.items()}


def read_library(folder: Path) -> tuple[dict[str, Reference], Pool]:
    """Read all answers, and check every file against its hash.

    Raises: IdentifyError for an empty library, a missing or a changed file.
    """
    known = references(folder)
    if not known:
        raise IdentifyError(f"{folder}: has no references; add some with `stillwatch identify add NAME FILE`")
    pool: Pool | None = None
    for name, reference in known.items():
        path = folder / reference.file
        with refuse_os_errors(IdentifyError, f"{path}: the answers of {name!r} cannot be read"):
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != reference.sha256:
            raise IdentifyError(
                f"{path}: was changed since {name!r} was added; its SHA-256 is {found[:16]} and not "
                f"{reference.sha256[:16]}. Add it again if that is meant"
            )
        own = read_pool([path], name=name)
        pool = own if pool is None else pool.joined(own)
    assert pool is not None
    return known, pool


def add(folder: Path, pool: Pool, kins: Mapping[str, str], note: str = "") -> tuple[Reference, ...]:
    """Add models to a library: one file each, then the manifest, atomically.

    Adding a model again replaces its answers. Raises: IdentifyError.
    """
    known = references(folder)
    answers = folder / "answers"
    added = []
    with refuse_os_errors(IdentifyError, f"{folder}: cannot be written"):
        answers.mkdir(parents=True, exist_ok=True)
        for model in pool.models:
            text = "".join(
                json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in _lines(pool, model)
            )
            digest = hashlib.sha256(text.encode()).hexdigest()
            file = f"answers/{_slug(model)}-{digest[:8]}.jsonl"
            write_atomically(folder / file, text)
            added.append(Reference(model, kins[model], digest, len(pool.answers[model]), file, note))
        models = known | {reference.name: reference for reference in added}
        entries = {
            name: {k: v for k, v in asdict(reference).items() if k != "name"}
            for name, reference in sorted(models.items())
        }
        write_atomically(folder / MANIFEST, json.dumps({"kind": KIND, "models": entries}, indent=1) + "\n")
        kept = {reference.file for reference in models.values()}
        for reference in added:
            before = known.get(reference.name)
            if before is not None and before.file not in kept:
                os.unlink(folder / before.file)
    return tuple(added)


def _lines(pool: Pool, model: str) -> list[dict[str, Any]]:
    lines = []
    usage = pool.prompt_tokens.get(model, {})
    for prompt, answers in sorted(pool.answers[model].items()):
        for answer in answers:
            line: dict[str, Any] = {"model": model, "prompt_id": prompt, "output": answer}
            if prompt in pool.texts:
                line["prompt"] = pool.texts[prompt]
            if prompt in usage:
                line["prompt_tokens"] = usage[prompt]
            lines.append(line)
    return lines


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:60] or "model"


def _reference(name: str, entry: Any, path: Path) -> Reference:
    wanted = {field.name: field.type for field in fields(Reference) if field.name != "name"}
    if not isinstance(entry, dict) or set(entry) != set(wanted):
        raise IdentifyError(f"{path}: {name!r}: has to hold exactly {', '.join(wanted)}")
    if not all(isinstance(entry[k], int if k == "prompts" else str) for k in wanted):
        raise IdentifyError(f"{path}: {name!r}: a field is of the wrong kind")
    if Path(entry["file"]).is_absolute() or ".." in Path(entry["file"]).parts:
        raise IdentifyError(f"{path}: {name!r}: its file lies outside the library: {entry['file']!r:.60}")
    return Reference(name, **entry)
