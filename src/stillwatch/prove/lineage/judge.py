"""One suspect before its candidates: margins, ranks, and whether one of them is accused.

It accuses at most one family: the one whose rank holds over all candidates and that the suspect is likest
to.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwatch.prove.lineage import Lineage, Role
from stillwatch.prove.lineage.margins import Field, best, centred, margins, to_families
from stillwatch.prove.lineage.ranks import Rank, rank_among
from stillwatch.prove.pool.likeness import Floats, Likeness

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Standing:
    """One candidate family, as the suspect stands to it."""

    family: str
    likeness: float
    margin: float  # log of likeness over the mean of the others
    own: Rank  # among models that this family taught nothing
    over_all: Rank  # among the best margins that models reach with families that taught them nothing

    @property
    def p_adjusted(self) -> float:
        """Over all candidates; never below the candidate's own."""
        return max(self.own.p_value, self.over_all.p_value)


@dataclass(frozen=True)
class Judged:
    """All candidates, likest first, and whether one is accused."""

    standings: tuple[Standing, ...]
    accused: str  # a family, or empty
    as_student: (
        Rank | None
    )  # how many known students stand out no more than the suspect; None without students


def judge(alike: Likeness, where: Field, lineage: Lineage, suspect: str, alpha: float) -> Judged:
    """Rank every candidate for one suspect."""
    likenesses = to_families(alike.mean, where)
    return _judge(likenesses, where, alike.at(suspect), lineage, alike.models, alpha, where.judges)


def _judge(
    likenesses: Floats,
    where: Field,
    row: int,
    lineage: Lineage,
    models: tuple[str, ...],
    alpha: float,
    judges: Bools,
) -> Judged:
    """Judge the model in `row` on the families that `where.innocent` leaves it, by the null of `judges`."""
    judges = judges.copy()
    judges[row] = False
    raw = margins(likenesses, where.innocent)
    together = judges.copy()
    together[row] = True  # the one under test counts like the others, or it would not be exchangeable
    level = centred(raw, together)
    highest = best(level)
    mine = [c for c in range(len(where.families)) if np.isfinite(level[row, c])]
    standings = [
        Standing(
            where.families[c],
            float(likenesses[row, c]),
            float(raw[row, c]),
            rank_among(level[row, c], level[:, c], where.kin, judges),
            rank_among(level[row, c], highest, where.kin, judges),
        )
        for c in sorted(mine, key=lambda c: -likenesses[row, c])
    ]
    first = standings[0] if standings else None
    accused = first.family if first is not None and first.p_adjusted <= alpha else ""
    return Judged(
        tuple(standings), accused, _as_student(likenesses, where, row, lineage, models, level, judges)
    )


def _as_student(
    likenesses: Floats,
    where: Field,
    row: int,
    lineage: Lineage,
    models: tuple[str, ...],
    level: Floats,
    judges: Bools,
) -> Rank | None:
    """Rank how *little* the suspect stands out, among how much known students do towards their teachers.

    Null: the suspect is one more student of a candidate.
    """
    raw = margins(likenesses, np.isfinite(likenesses))
    offset = np.nanmedian(margins(likenesses, where.innocent) - level, axis=0)  # what `centred` took away
    own = np.full(len(models), np.nan)
    for place, name in enumerate(models):
        told = lineage.models.get(name)
        if told is None or told.role is not Role.STUDENT or not judges[place]:
            continue
        taught = [c for c, family in enumerate(where.families) if family in told.teachers]
        if taught:
            own[place] = np.nanmax((raw - offset)[place, taught])
    highest = best(level)[row]
    if not np.isfinite(own).any() or not np.isfinite(highest):
        return None
    return rank_among(-float(highest), -own, where.kin, judges)
