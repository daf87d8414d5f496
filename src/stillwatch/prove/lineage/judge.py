"""Judges one suspect against its candidates: margins, ranks, and whether one of them is accused.

It accuses at most one family: the most similar one, if its rank holds over all candidates, both on the plain
margins and on those with the effect of answer length removed.
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
    """The result for one candidate family. Each rank is the worse of both kinds of margin."""

    family: str
    likeness: float
    margin: float  # log of similarity over the mean of the others
    own: Rank  # among models that this family taught nothing
    over_all: Rank  # among the best margins of models with families that taught them nothing

    @property
    def p_adjusted(self) -> float:
        """Adjusted over all candidates; never below the candidate's own."""
        return max(self.own.p_value, self.over_all.p_value)


@dataclass(frozen=True)
class LineageJudgement:
    """All candidates, most similar first, and the accused one if any."""

    standings: tuple[Standing, ...]
    accused: str  # a family, or empty
    as_student: Rank | None  # by known students with no larger margin; None without students


def judge(alike: Likeness, where: Field, lineage: Lineage, suspect: str, alpha: float) -> LineageJudgement:
    """Rank every candidate for one suspect, among the families that `where.innocent` allows it."""
    likenesses = to_families(alike.mean, where)
    row = alike.at(suspect)
    judges = where.judges.copy()
    judges[row] = False
    raw = margins(likenesses, where.innocent)
    together = judges.copy()
    together[row] = True  # the suspect counts like the others, or it would not be exchangeable with them
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
    """(models,): margin of each known student towards its teachers; nan for all others."""
    full = margins(likenesses, np.isfinite(likenesses))
    found = np.full(len(models), np.nan)
    shift = [
        float((raw - level)[held[0], c]) if len(held := np.flatnonzero(np.isfinite(raw[:, c]))) else 0.0
        for c in range(len(where.families))
    ]  # what `centre_families` subtracted
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
    """Rank how *small* the suspect's margin is, among those of known students towards their teachers.

    Null: the suspect is one more student of a candidate.
    """
    if not np.isfinite(students).any() or not np.isfinite(highest):
        return None
    return rank_among(-highest, -students, where.kin, judges)
