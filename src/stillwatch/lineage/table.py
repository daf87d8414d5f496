"""The lineage table: families, models derived from them, and the words around them, as TOML."""

import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from stillwatch.conversion import convert
from stillwatch.errors import StillwatchError
from stillwatch.lineage import Relation
from stillwatch.lineage.skeleton import skeleton


class TableError(StillwatchError):
    """The lineage table shipped here contradicts itself: a bug."""


@dataclass(frozen=True)
class Family:
    """A model family: whose weights a model has."""

    id: str
    vendor: str
    hosts: tuple[str, ...]
    base: int  # 0: a student's base; 1: open weights but usually the teacher; 2: closed
    source: str


@dataclass(frozen=True)
class LineageEntry:
    """One thing that a name can refer to."""

    id: str
    names: tuple[str, ...]
    family: str | None  # None: looks like a family but is not one
    source: str
    relation: Relation = Relation.SAME
    derived: bool = False  # somebody else's model: decides before the families in the same name
    vendor: str | None = None
    teachers: tuple[str, ...] = ()
    named: bool = False  # a family that the name gives goes before `family`
    base: int = 0
    lead: bool = False
    whole: bool = False
    joined: bool = False
    under: frozenset[str] = frozenset()
    sizes: tuple[tuple[str, str], ...] = ()  # billions of parameters -> whose weights


@dataclass(frozen=True)
class Dataset:
    """A published set of a teacher's answers."""

    name: str
    teachers: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class LineageTable:
    """Everything the files say, indexed for lookup."""

    families: dict[str, Family]
    entries: tuple[LineageEntry, ...]
    # first two characters -> words, longest first
    starts: dict[str, tuple[tuple[str, tuple[LineageEntry, ...]], ...]]
    distinctive: tuple[tuple[str, LineageEntry], ...]  # found glued to other words and written in leet
    hosts: dict[str, str]
    decide: dict[str, str]  # a host whose prefix alone gives the family
    suffixes: frozenset[str]
    treatments: dict[str, Relation]  # a word -> what was done to the weights
    datasets: dict[str, Dataset]  # skeleton of a data set's name -> whose answers it holds


@lru_cache(maxsize=1)
def table() -> LineageTable:
    """Read the table shipped with the package.

    Raises:
        TableError: it contradicts itself.
    """
    families_text, derived, names, taught = (
        _read(name) for name in ("families", "derived", "names", "datasets")
    )
    families = {id_: _family(id_, raw) for id_, raw in families_text.items()}
    entries = [
        *(entry for id_, raw in families_text.items() for entry in _family_entries(id_, raw)),
        *(_entry({"derived": True} | raw) for raw in derived["model"]),
        LineageEntry("noise", tuple(names["noise"]["names"]), None, "names.toml"),
    ]
    _check(families, entries)
    return LineageTable(
        families=families,
        entries=tuple(entries),
        starts=_by_start(entries),
        distinctive=tuple(
            (skeleton(raw["names"][0]), _family_entries(id_, raw)[0])
            for id_, raw in families_text.items()
            if raw.get("distinctive")
        ),
        hosts=names["hosts"]["names"],
        decide=names["hosts"]["decide"],
        suffixes=frozenset(names["suffixes"]["names"]),
        treatments={
            word: relation
            for relation in (Relation.DISTILLED, Relation.MERGED, Relation.FINETUNE, Relation.QUANTIZED)
            for word in names[relation.value]["names"]
        },
        datasets={
            skeleton(name): Dataset(name, tuple(raw["teachers"]), raw["source"])
            for raw in taught["dataset"]
            for name in raw["names"]
        },
    )


def _read(name: str) -> dict[str, Any]:
    text = files("stillwatch.lineage").joinpath("table", f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _family(id_: str, raw: dict[str, Any]) -> Family:
    return Family(id_, raw["vendor"], tuple(raw.get("hosts", ())), raw["base"], raw["source"])


def _family_entries(id_: str, raw: dict[str, Any]) -> list[LineageEntry]:
    entry = LineageEntry(id_, tuple(raw["names"]), id_, raw["source"], base=raw["base"])
    lines = [{"family": id_, "base": raw["base"]} | line for line in raw.get("lines", ())]
    return [entry, *map(_entry, lines)]


def _entry(raw: dict[str, Any]) -> LineageEntry:
    return convert(raw | {"sizes": list(raw.get("sizes", {}).items())}, LineageEntry)


def _check(families: dict[str, Family], entries: list[LineageEntry]) -> None:
    for entry in entries:
        named = {entry.family, *entry.teachers, *(family for _, family in entry.sizes)} - {None}
        if unknown := named - families.keys():
            raise TableError(f"lineage table: {entry.id}: no such family: {sorted(map(str, unknown))}")
        if not entry.source:
            raise TableError(f"lineage table: {entry.id}: no source")


def _by_start(entries: list[LineageEntry]) -> dict[str, tuple[tuple[str, tuple[LineageEntry, ...]], ...]]:
    words: dict[str, list[LineageEntry]] = defaultdict(list)
    for word, entry in _words(entries):
        words[word].append(entry)
    starts: dict[str, list[tuple[str, tuple[LineageEntry, ...]]]] = defaultdict(list)
    for word in sorted(words, key=lambda word: (-len(word), word)):
        starts[word[:2]].append((word, tuple(words[word])))
    return {start: tuple(found) for start, found in starts.items()}


def _words(entries: list[LineageEntry]) -> Iterator[tuple[str, LineageEntry]]:
    for entry in entries:
        for name in entry.names:
            yield skeleton(name), entry
