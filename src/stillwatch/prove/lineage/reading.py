"""Lineage files (TOML, CSV, JSON) -> `Lineage`. Several are merged: the first file that gives a field
determines it.

Teachers are united. Claims are not checked.
"""

import csv
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillwatch.prove.lineage import Lineage, LineageError, Model, Role
from stillwatch.prove.lineage.lines import base_in, family_of, line_of, stem

ROLES = {
    "candidate": Role.CANDIDATE,
    "teacher": Role.CANDIDATE,
    "student": Role.STUDENT,
    "innocent": Role.INNOCENT,
    "independent": Role.INNOCENT,
    "copy": Role.COPY,
    "derivative": Role.COPY,
    "style_variant": Role.COPY,
    "unaudited": Role.UNAUDITED,
}
FIELDS = ("name", "role", "family", "maker", "released", "teachers", "base", "kin")
NOTHING = frozenset({"", "-", "?", "none", "human"})

Told = dict[str, Any]


def read_lineage(paths: Sequence[Path], *, candidates: bool = True) -> Lineage:
    """Read and merge lineage files.

    candidates: whether there must be some, as a test of lineage needs them and a library does not.
    Raises: LineageError with the place of what cannot be read, and for a lineage without candidates.
    """
    merged: dict[str, Told] = {}
    for path in paths:
        for place, entry in _entries(path):
            name = entry.get("name")
            if not isinstance(name, str) or not name:
                raise LineageError(f"{place}: has no name of a model")
            _check(entry, place)
            held = merged.setdefault(name, {"name": name, "teachers": []})
            held["teachers"] = [*held["teachers"], *entry.get("teachers", [])]
            for field in FIELDS:
                if field != "teachers" and entry.get(field) and not held.get(field):
                    held[field] = entry[field]
    lineage = Lineage({name: _model(entry) for name, entry in sorted(merged.items())})
    if candidates and not lineage.candidates():
        raise LineageError(
            f"{', '.join(map(str, paths))}: names no candidate; give models the role candidate"
        )
    return lineage


@dataclass(frozen=True)
class KinClaim:
    """A file's claim about a model's weights."""

    kin: str
    base: str  # the model from which they come; empty if it is the first of its kin


def read_kins(paths: Sequence[Path]) -> dict[str, KinClaim]:
    """Read the kin of models, by name, from the files that give one; the first file counts.

    Raises: LineageError with the place of what cannot be read, and for a file without any kin.
    """
    kins: dict[str, KinClaim] = {}
    for path in paths:
        found: dict[str, KinClaim] = {}
        for place, entry in _entries(path):
            name, kin, base = (entry.get(field) or "" for field in ("name", "kin", "base"))
            if not name or not all(isinstance(text_, str) for text_ in (name, kin, base)):
                raise LineageError(f"{place}: has no name of a model, or a kin or base that is no text")
            if kin:
                found.setdefault(name, KinClaim(kin, base))
        if not found:
            raise LineageError(
                f"{path}: says no model's kin; `stillwatch identify weights --kin-out FILE` writes one"
            )
        kins = found | kins
    return kins


def month(value: object, place: str) -> str:
    """A month as "2023-03", from an ISO date or a number YY.MM (23.1 is October, as numbers lose their zero).

    >>> month("2023-03-14", ""), month(23.1, ""), month(23.03, "")
    ('2023-03', '2023-10', '2023-03')
    """
    if isinstance(value, str) and (found := re.fullmatch(r"(20\d\d)-(0[1-9]|1[0-2])(-\d\d)?", value.strip())):
        return f"{found[1]}-{found[2]}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        year, part = f"{value:.2f}".split(".")
        if 18 <= int(year) <= 99 and 1 <= int(part) <= 12:
            return f"20{year}-{part}"
    raise LineageError(f"{place}: released is {value!r:.40}; write a month as 2023-03")


def _entries(path: Path) -> Iterator[tuple[str, Told]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as why:
        raise LineageError(f"{path}: cannot be read: {why.strerror}") from why
    except UnicodeDecodeError as why:
        raise LineageError(f"{path}: cannot be read: {why}") from why
    try:
        if path.suffix == ".toml":
            yield from _tables(tomllib.loads(text), path)
        elif path.suffix == ".json":
            yield from _document(json.loads(text), path)
        elif path.suffix == ".csv":
            yield from _rows(text, path)
        else:
            raise LineageError(f"{path}: ends in {path.suffix or 'nothing'}; give .toml, .csv or .json")
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, RecursionError, csv.Error) as why:
        raise LineageError(f"{path}: cannot be read: {why}") from None


def _tables(document: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Told]]:
    models = document.get("model")
    if not isinstance(models, list) or set(document) != {"model"}:
        raise LineageError(f"{path}: holds {', '.join(document) or 'nothing'}; it has to be tables [[model]]")
    for number, model in enumerate(models, 1):
        place = f"{path}: model {number}"
        if not isinstance(model, dict):
            raise LineageError(f"{place}: is no table [[model]]")
        if unknown := sorted(set(model) - set(FIELDS)):
            raise LineageError(f"{place}: {unknown[0]} is unknown; it can hold {', '.join(FIELDS)}")
        yield place, dict(model)


def _document(document: Any, path: Path) -> Iterator[tuple[str, Told]]:
    """Read a list under `model`, as in TOML; or students, human_data and candidate_dates by name."""
    if isinstance(document, dict) and "model" in document:
        yield from _tables(document, path)
        return
    parts = ("students", "human_data", "candidate_dates")
    if not isinstance(document, dict) or not any(part in document for part in parts):
        raise LineageError(f"{path}: holds neither `model` nor any of {', '.join(parts)}")
    families = document.get("candidate_families", {})
    students, innocent, dates = (document.get(part) or {} for part in parts)
    if not all(isinstance(part, dict) for part in (families, dates, students)):
        raise LineageError(f"{path}: candidate_dates, candidate_families and students are tables by name")
    for name, date in dates.items():
        yield f"{path}: {name}", {
            "name": name, "role": "candidate", "released": date, "family": families.get(name, "")
        }  # fmt: skip
    for name, student in students.items():
        if not isinstance(student, dict):
            raise LineageError(f"{path}: {name}: is no table with teacher_family and date")
        taught = student.get("teacher_family") or []
        taught = [taught] if isinstance(taught, str) else taught
        yield f"{path}: {name}", {
            "name": name, "role": "student", "teachers": taught, "released": student.get("date", ""),
            "base": student.get("base", ""),
        }  # fmt: skip
    for name in innocent:
        yield f"{path}: {name}", {"name": name, "role": "innocent"}


def _rows(text: str, path: Path) -> Iterator[tuple[str, Told]]:
    reader = csv.DictReader(text.splitlines())
    columns = reader.fieldnames or []
    if not {"model", "name"} & set(columns) or "role" not in columns:
        raise LineageError(f"{path}: has the columns {', '.join(columns)[:120]}; model and role are needed")
    for number, row in enumerate(reader, 2):
        entry: Told = {field: (row.get(field) or "").strip() for field in FIELDS}
        entry["name"] = entry["name"] or (row.get("model") or "").strip()
        entry["teachers"] = [teacher.strip() for teacher in entry["teachers"].split(";") if teacher.strip()]
        yield f"{path}:{number}", entry


def _check(entry: Told, place: str) -> None:
    """Normalise one entry."""
    role = entry.get("role") or "unaudited"
    if role not in ROLES:
        raise LineageError(f"{place}: role is {role!r:.40}; it can be {', '.join(ROLES)}")
    entry["role"] = ROLES[role]
    entry["released"] = month(entry["released"], place) if entry.get("released") else ""
    teachers = entry.get("teachers") or []
    if not isinstance(teachers, list) or not all(isinstance(teacher, str) for teacher in teachers):
        raise LineageError(f"{place}: teachers is {teachers!r:.40}; it has to be a list of names")
    entry["teachers"] = teachers
    for field in ("family", "maker", "base", "kin"):
        if not isinstance(entry.get(field, ""), str):
            raise LineageError(f"{place}: {field} is {entry[field]!r:.40}; it has to be text")


def _model(entry: Told) -> Model:
    name, role = entry["name"], entry.get("role", Role.UNAUDITED)
    line, maker = family_of(name)
    teachers = frozenset(_family(teacher) for teacher in entry["teachers"] if teacher.lower() not in NOTHING)
    known = frozenset(teacher for teacher in teachers if teacher)
    if teachers and not known and role is Role.STUDENT:
        role = Role.UNAUDITED  # "unknown", "mixed open data": it has a teacher, but an unknown one
    base = entry.get("base", "")
    if role is Role.CANDIDATE:
        family, maker = entry.get("family") or line, entry.get("maker") or maker
        kin = entry.get("kin") or maker
    else:
        family, maker = "", entry.get("maker", "")
        kin = entry.get("kin") or stem(base if role is Role.COPY and base else name)
    own_base = line_of(base)[0] or base or base_in(name)
    return Model(name, role, family, maker, entry.get("released", ""), known, own_base, kin)


def _family(teacher: str) -> str:
    """Return a teacher's family: as the candidates have it, by a model's name, or empty if unknown."""
    if teacher.lower() in ("unknown", "undisclosed") or " " in teacher.strip():
        return ""
    return line_of(teacher)[0] or teacher
