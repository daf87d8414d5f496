"""Margins: how far one candidate family stands out among the candidates, for every model of the pool.

A margin is the log of a model's similarity to a family over its mean similarity to the other families. A
family counts by its most similar version. Margins have no null of their own; `ranks` gives them one.

Blind to: a teacher that is not a candidate. Fooled by: hubs, families that every model resembles;
`centre_families` subtracts a family's usual margin. Source: the statistic of docs/provenance.md, grade B.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stillwatch.prove.lineage import Lineage, LineageError, Role
from stillwatch.prove.pool.likeness import Floats, Likeness


@dataclass(frozen=True)
class Field:
    """The candidates as teachers of a suspect, and the families against which each model may be compared."""

    families: tuple[str, ...]
    versions: Mapping[str, tuple[int, ...]]  # family -> places of its versions among the likeness's models
    innocent: NDArray[np.bool_]  # (models, families): by the labels, the family taught the model nothing
    kin: tuple[str, ...]  # of each model
    judges: NDArray[np.bool_]  # (models,): may stand in a null
    too_late: tuple[str, ...]  # candidates that came after the suspect
    undated: tuple[str, ...]  # candidates without a date
    released: str  # of the suspect; empty where unknown
    own_base: str  # the family from which the suspect's weights started: no candidate

    def without(self, families: Collection[str]) -> "Field":
        """Return the same with some candidates removed."""
        kept = [c for c, family in enumerate(self.families) if family not in families]
        left = tuple(self.families[c] for c in kept)
        versions = {family: self.versions[family] for family in left}
        return replace(self, families=left, versions=versions, innocent=self.innocent[:, kept])


def choose_field(
    alike: Likeness, lineage: Lineage, suspect: str, released: str = "", base: str = ""
) -> Field:
    """Choose candidates for a suspect: not released after it, not its own base, more than one family.

    Raises: LineageError for fewer than two families.
    """
    entry = lineage.models.get(suspect)
    released = released or (entry.released if entry else "")
    base = base or (entry.base if entry else "")
    place = {model: i for i, model in enumerate(alike.models)}
    versions: dict[str, list[int]] = {}
    too_late, undated = [], []
    makers: dict[str, str] = {}
    for model in lineage.candidates():
        if model.name not in place or model.name == suspect:
            continue
        if released and model.released > released:
            too_late.append(model.name)
        elif model.family != base:
            versions.setdefault(model.family, []).append(place[model.name])
            makers[model.family] = model.maker
            undated += [] if model.released else [model.name]
    if len(versions) < 2:
        left = ", ".join(versions) or "none"
        raise LineageError(
            f"{suspect}: candidate families left: {left}; of one candidate nothing can be said, "
            f"give at least two that were released by {released or 'then'}"
        )
    families = tuple(sorted(versions))
    innocent = np.ones((len(place), len(families)), bool)
    judges = np.zeros(len(place), bool)
    kin = []
    for name, row in place.items():
        model_told = lineage.models.get(name)
        kin.append(model_told.kin if model_told else name)
        if model_told is None or name == suspect or (entry and model_told.kin == entry.kin):
            continue  # the suspect's kin is not in its null
        judges[row] = model_told.role in (Role.CANDIDATE, Role.STUDENT, Role.INNOCENT)
        for column, family in enumerate(families):
            own = model_told.role is Role.CANDIDATE and model_told.maker == makers[family]
            if own or family in model_told.teachers or row in versions[family]:
                innocent[row, column] = False
    return Field(
        families,
        {family: tuple(rows) for family, rows in versions.items()},
        innocent,
        tuple(kin),
        judges,
        tuple(sorted(too_late)),
        tuple(sorted(undated)),
        released,
        base if any(m.family == base for m in lineage.candidates()) else "",
    )


def to_families(mean: Floats, where: Field) -> Floats:
    """(models, families): each model's likeness to the most similar version of each family; nan to itself."""
    alone = mean.copy()
    np.fill_diagonal(alone, np.nan)
    columns = [_highest(alone[:, list(where.versions[family])]) for family in where.families]
    return np.stack(columns, axis=1)


def margins(alike: Floats, may: NDArray[np.bool_]) -> Floats:
    """(models, families): log of similarity over the mean of other families that `may` stand for the model.

    nan if the family may not, if nothing is left to compare with, or if nothing is similar.

    >>> likenesses, may = np.array([[0.2, 0.1, 0.1]]), np.array([[True, True, True]])
    >>> margins(likenesses, may)[0].round(3).tolist()
    [0.693, -0.405, -0.405]
    """
    usable = may & np.isfinite(alike)
    held = np.where(usable, alike, 0.0)
    others = usable.sum(axis=1, keepdims=True) - usable
    rest = (held.sum(axis=1, keepdims=True) - held) / np.maximum(others, 1)
    fine = usable & (others > 0) & (held > 0) & (rest > 0)
    return np.log(
        np.where(fine, held, 1.0) / np.where(fine, rest, 1.0), out=np.full(alike.shape, np.nan), where=fine
    )


def centre_families(raw: Floats, rows: NDArray[np.bool_]) -> Floats:
    """Subtract from each family's margins their median over `rows`: what all models show."""
    held = raw[rows]
    middle = np.array([np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else 0.0 for c in held.T])
    return raw - middle


def level_lengths(raw: Floats, length: Floats, rows: NDArray[np.bool_]) -> Floats:
    """Subtract from each family's margins what the answers' length predicts, by least squares on `rows`.

    Terse models resemble terse teachers, whichever model taught them. The rest is not explained by length.
    """
    found = np.full(raw.shape, np.nan)
    line = np.stack([np.ones(len(length)), length], axis=1)
    for column, margin in enumerate(raw.T):
        held = rows & np.isfinite(margin)
        if held.any():
            weights, *_ = np.linalg.lstsq(line[held], margin[held], rcond=None)
            found[:, column] = margin - line @ weights
    return found


def best(values: Floats) -> Floats:
    """(models,): the highest margin of each; nan if it has none."""
    return _highest(values)


def _highest(values: Floats) -> Floats:
    finite = np.where(np.isfinite(values), values, -np.inf).max(axis=1)
    return np.where(np.isfinite(finite), finite, np.nan)


def list_names(names: Sequence[str]) -> str:
    """The first five names, and the number of others."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (", ".join(names[:5]) or "none") + more
