"""Whether a teacher's answers may train a student. The table quotes its licence and terms, with the source.

It is no legal advice. The student's purpose is for the user to judge.
"""

import re
import tomllib
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from stillwatch.distill import DistillError
from stillwatch.distill.plan import Teacher
from stillwatch.lineage.resolve import resolve

NEEDS_LEAVE = ("competing", "forbidden")
SHORTEST_STATEMENT = 15  # characters: "yes" is no reason


@dataclass(frozen=True)
class Says:
    """A teacher's row in the table; `training` is "unknown" if the table has none."""

    id: str = ""
    training: str = "unknown"
    licence: str = ""
    licence_url: str = ""
    terms_url: str = ""
    quote: str = ""
    source: str = ""
    families: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def entries() -> tuple[Says, ...]:
    """Return the shipped table, in order of precedence."""
    raw: dict[str, Any] = tomllib.loads(
        files("stillwatch.distill").joinpath("teachers.toml").read_text(encoding="utf-8")
    )
    return tuple(_entry(row) for row in raw["teacher"])


def _entry(row: dict[str, Any]) -> Says:
    lists = {key: tuple(value) for key, value in row.items() if isinstance(value, list)}
    return Says(**(row | lists))


def says(model: str, base_url: str) -> Says:
    """Find what is known of a teacher's terms.

    >>> says("gpt-4o-mini", "https://api.openai.com/v1").training
    'competing'
    >>> says("deepseek-ai/DeepSeek-R1", "http://127.0.0.1:8000/v1").licence
    'MIT'
    >>> says("acme-7b", "http://127.0.0.1:8000/v1").training
    'unknown'
    """
    host = (urlsplit(base_url).hostname or "").lower()
    bare_name = model.rpartition("/")[2].lower()
    family = resolve(model).family
    for entry in entries():
        is_host = not entry.hosts or any(
            host == suffix or host.endswith(f".{suffix}") for suffix in entry.hosts
        )
        named = family in entry.families or any(re.search(pattern, bare_name) for pattern in entry.names)
        if is_host and named:
            return entry
    return Says()


def record(teacher: Teacher, who: str, at_us: int) -> dict[str, Any]:
    """Return the run's record about its teacher, which the student's card repeats.

    Raises: DistillError if the terms forbid it and the plan's `i_may` gives no reason.
    """
    found = says(teacher.model, teacher.base_url)
    statement = teacher.i_may.strip()
    if found.training in NEEDS_LEAVE and len(statement) < SHORTEST_STATEMENT:
        what = "a model that competes with it" if found.training == "competing" else "another model"
        raise DistillError(
            f"the terms of {teacher.model} do not allow its answers to train {what}: "
            f'"{found.quote}" ({found.source}; {found.terms_url}). If you may all the same, say why with '
            f'--i-may "..." or teacher.i_may in the plan, in a sentence: it is recorded in teacher.json and '
            "on the student's card"
        )
    stored = {key: value for key, value in asdict(found).items() if key not in ("families", "names", "hosts")}
    return stored | {
        "model": teacher.model,
        "base_url": teacher.base_url,
        "licence": teacher.licence or found.licence or "unknown",
        "licence_url": teacher.licence_url or found.licence_url,
        "terms_url": teacher.terms_url or found.terms_url,
        "licence_from": "the plan"
        if teacher.licence
        else "the table of teachers"
        if found.licence
        else "nobody",
        "i_may": statement,
        "said_by": who if statement else "",
        "said_at_us": at_us if statement else None,
    }


def warning(terms: dict[str, Any]) -> str | None:
    """Return a warning about the terms to show before the first request; None if they raise no doubt."""
    model = terms["model"]
    if terms["training"] in NEEDS_LEAVE:
        return (
            f"the terms of {model} forbid training {'competing ' if terms['training'] == 'competing' else ''}"
            f"models on its answers ({terms['terms_url']}). You say you may, and this is recorded: "
            f'"{terms["i_may"]}"'
        )
    if terms["training"] == "conditions":
        return f'{model} attaches duties to a student of its answers: "{terms["quote"]}" ({terms["source"]})'
    if terms["training"] == "unknown" and terms["licence"] == "unknown":
        return (
            f"nothing is known of the terms of {model}: read them, and write teacher.licence and "
            "teacher.terms_url into the plan; the student's card says unknown until then"
        )
    return None
