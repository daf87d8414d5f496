"""Other explanations of a rank: innocents that look taught, hubs, related families, similar students.

They are for a person to examine. A null chosen after seeing the data is none.
"""

from dataclasses import dataclass

import numpy as np

from stillwatch.prove.lineage import Lineage, Role
from stillwatch.prove.lineage.margins import Field, margins, to_families
from stillwatch.prove.pool.likeness import Likeness


@dataclass(frozen=True)
class Doubtful:
    """An innocent whose margin towards a family is as large as that of its known students."""

    model: str
    family: str
    margin: float
    students_margin: float  # the median of the family's known students


@dataclass(frozen=True)
class Hub:
    """How many models that a family did not teach are nevertheless most similar to it."""

    family: str
    likest: int
    of: int


def doubtful(alike: Likeness, where: Field, lineage: Lineage, suspect: str) -> tuple[Doubtful, ...]:
    """Find models labelled innocent that look like students: the labels may be wrong.

    Blind to: a family without known students in the pool. Fooled by: a base or a data set in common.
    """
    raw = margins(to_families(alike.mean, where), np.ones(where.innocent.shape, bool))
    found = []
    for column, family in enumerate(where.families):
        taught = [
            raw[row, column]
            for row, name in enumerate(alike.models)
            if name != suspect and (entry := lineage.models.get(name)) and family in entry.teachers
            and entry.role is Role.STUDENT and np.isfinite(raw[row, column])
        ]  # fmt: skip
        if not taught:
            continue
        usual = float(np.median(taught))
        for row, name in enumerate(alike.models):
            entry = lineage.models.get(name)
            if (
                entry is None
                or entry.role is not Role.INNOCENT
                or name == suspect
                or not where.innocent[row, column]
            ):
                continue
            if raw[row, column] >= usual and raw[row, column] == np.nanmax(raw[row]):
                found.append(Doubtful(name, family, float(raw[row, column]), usual))
    return tuple(sorted(found, key=lambda suspicion: -suspicion.margin))


def hubs(alike: Likeness, where: Field, suspect: str) -> tuple[Hub, ...]:
    """Find hubs: families to which far more innocents are most similar than their share."""
    likenesses = to_families(alike.mean, where)
    counted = []
    for column, family in enumerate(where.families):
        rows = [
            row for row in np.flatnonzero(where.judges & where.innocent[:, column])
            if np.isfinite(likenesses[row, column]) and alike.models[row] != suspect
        ]  # fmt: skip
        likest = sum(int(np.nanargmax(likenesses[row]) == column) for row in rows)
        counted.append(Hub(family, likest, len(rows)))
    return tuple(sorted(counted, key=lambda hub: -hub.likest / max(1, hub.of)))


def nearer_pupils(
    alike: Likeness, where: Field, lineage: Lineage, suspect: str, family: str
) -> tuple[str, ...]:
    """Return known students of a family more similar to the suspect than the family: one may be the source.

    The family would then be a teacher's teacher. The suspect's own kin is left out.
    """
    at = alike.at(suspect)
    nearest = max(alike.mean[at, row] for row in where.versions[family] if row != at)
    found = [
        (float(alike.mean[at, row]), name)
        for row, name in enumerate(alike.models)
        if name != suspect and (entry := lineage.models.get(name)) and family in entry.teachers
        and where.kin[row] != where.kin[at] and alike.mean[at, row] > nearest
    ]  # fmt: skip
    return tuple(name for _, name in sorted(found, reverse=True))


def relatives(lineage: Lineage, where: Field, family: str) -> tuple[str, ...]:
    """Return other candidate families of the same maker: they share data, and a rank cannot separate them."""
    makers = {m.family: m.maker for m in lineage.candidates()}
    return tuple(
        other_family
        for other_family in where.families
        if other_family != family and makers[other_family] == makers[family]
    )
