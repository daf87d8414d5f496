"""Reads a declared experiment: one TOML file, every mistake with its line."""

from importlib.resources import files
from pathlib import Path

from stillwatch.distill import PlanFaults
from stillwatch.distill.economics import ENOUGH_SEEDS, Experiment
from stillwatch.distill.plan import check, resolve
from stillwatch.errors import InputError
from stillwatch.toml.declared import build
from stillwatch.toml.document import parse, read_text

LARGEST_BYTES = 1 << 20
EDITIONS = ("cpu", "gpu")


def edition_text(name: str) -> str:
    """Return the text of a shipped declaration. Raises: InputError."""
    if name not in EDITIONS:
        raise InputError(f"there is no edition {name!r}; take one of {', '.join(EDITIONS)}")
    return files("stillwatch.distill.economics").joinpath(f"{name}.toml").read_text(encoding="utf-8")


def read_experiment(file: Path | None, edition: str, folder: Path | None = None) -> Experiment:
    """Read an experiment from a file, or a shipped edition. Paths in it are relative to it.

    Raises: PlanError with every mistake and its line, InputError if there is no such file.
    """
    name = str(file) if file else f"{edition}.toml"
    text = read_text(file, LARGEST_BYTES, "an experiment is a page") if file else edition_text(edition)
    table = parse(text, name)
    beside = file.parent if file else Path.cwd()
    for task in _tables(table.content.get("task")):
        if isinstance(plan := task.get("plan"), dict):
            resolve(plan, beside)
        for arm in _tables(task.get("arm")):
            resolve(arm, beside)
    if isinstance(escapes := table.content.get("escapes"), str) and escapes:
        table.content["escapes"] = str(beside.joinpath(escapes).resolve())
    place = folder or beside / str(table.content.get("folder") or f"economics-{Path(name).stem}")
    table.content["folder"] = str(place.resolve())
    found = build(Experiment, table)
    if found is not None:
        for n, task_of in enumerate(found.task):
            check(task_of.plan, table.notes, ("task", n, "plan"))
        if len(found.seeds) < ENOUGH_SEEDS:
            table.wrong("seeds", f"has {len(found.seeds)}; declare {ENOUGH_SEEDS} or more, and run fewer")
    if table.notes.problems or found is None:
        raise PlanFaults(table.notes.sentences())
    return found


def _tables(value: object) -> list[dict[str, object]]:
    return [table for table in value if isinstance(table, dict)] if isinstance(value, list) else []
