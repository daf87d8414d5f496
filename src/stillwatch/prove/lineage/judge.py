"""One suspect before its candidates: margins, ranks, and whether one of them is accused.

It accuses at most one family: the one that the suspect is likest to, if its rank holds over all candidates,
on the margins as they are and on what the length of the answers does not foretell.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwatch.prove.lineage import Lineage, Role
from stillwatch.prove.lineage.margins import Field, best, centre_families, level_lengths, margins, to_families
from stillwatch.prove.lineage.ranks import Rank, rank_among, worse
from stillwatch.prove.pool.likeness import Floats, Likeness


@dataclass(frozen=True)
class Standing:
    """One candidate family, as the suspect stands to it. Each rank is the worse of both kinds of margin."""

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
class LineageJudgement:
    """All candidates, likest first, and whether one is accused."""

    standings: tuple[Standing, ...]
    accused: str  # a family, or empty
    as_student: Rank | None  # known students that stand out no more than the suspect; None without students


def judge(alike: Likeness, where: Field, lineage: Lineage, suspect: str, alpha: float) -> LineageJudgement:
    """Rank every candidate for one suspect, on the families that `where.innocent` leaves it."""
    likenesses = to_families(alike.mean, where)
    row = alike.at(suspect)
    judges = where.judges.copy()
    judges[row] = False
    raw = margins(likenesses, where.innocent)
    together = judges.copy()
    together[row] = True  # the one under test counts like the others, or it would not be exchangeable
    plain = centre_families(raw, together)
    kinds = (plain, level_lengths(raw, alike.length, together))
    mine = [c for c in range(len(where.families)) if np.isfinite(raw[row, c])]
    standings = []
    for c in sorted(mine, key=lambda c: -likenesses[row, c]):
        own = [rank_among(level[row, c], level[:, c], where.kin, judges) for level in kinds]
        over_all = [rank_among(level[row, c], best(level), where.kin, judges) for level in kinds]
        likeness, margin = float(likenesses[row, c]), float(raw[row, c])
        standings.append(Standing(where.families[c], likeness, margin, worse(*own), worse(*over_all)))
    first = standings[0] if standings else None
    accused = first.family if first is not None and first.p_adjusted <= alpha else ""
    highest = float(best(plain)[row])
    usual = _students(likenesses, raw, plain, where, lineage, alike.models, judges)
    return LineageJudgement(tuple(standings), accused, _as_student(highest, usual, where, judges))


def _students(
    likenesses: Floats, raw: Floats, level: Floats, where: Field, lineage: Lineage, models: tuple[str, ...],
    judges: NDArray[np.bool_],
) -> Floats:  # fmt: skip
    """(models,): how far each known student stands out towards its teachers; nan for all others."""
    full = margins(likenesses, np.isfinite(likenesses))
    found = np.full(len(models), np.nan)
    shift = [
        float((raw - level)[held[0], c]) if len(held := np.flatnonzero(np.isfinite(raw[:, c]))) else 0.0
        for c in range(len(where.families))
    ]  # what `centre_families` took away
    for place, name in enumerate(models):
        entry = lineage.models.get(name)
        if entry is None or entry.role is not Role.STUDENT or not judges[place]:
            continue
        taught = [full[place, c] - shift[c] for c, f in enumerate(where.families) if f in entry.teachers]
        taught = [value for value in taught if np.isfinite(value)]
        if taught:
            found[place] = max(taught)
    return found


def _as_student(highest: float, students: Floats, where: Field, judges: NDArray[np.bool_]) -> Rank | None:
    """Rank how *little* the suspect stands out, among how much known students do towards their teachers.

    Null: the suspect is one more student of a candidate.
    """
    if not np.isfinite(students).any() or not np.isfinite(highest):
        return None
    return rank_among(-highest, -students, where.kin, judges)
