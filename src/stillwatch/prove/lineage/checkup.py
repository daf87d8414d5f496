"""Measures the procedure on models whose teachers are known: found, missed, wrongly accused.

It runs on the pool's own students, each as if it were the suspect and its kin unknown.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stillwatch.prove.lineage import Lineage, LineageError, Role
from stillwatch.prove.lineage.judge import LineageJudgement, judge
from stillwatch.prove.lineage.margins import Field, choose_field
from stillwatch.prove.pool.likeness import Likeness
from stillwatch.stats.ranks import mean_ranks


@dataclass(frozen=True)
class Tried:
    """One known student, judged as an unknown suspect."""

    student: str
    kin: str
    teachers: frozenset[str]
    present: LineageJudgement
    absent: LineageJudgement | None  # without its teachers; None if fewer than two families are left

    @property
    def first(self) -> bool:
        """Whether a teacher is the most similar family."""
        return self.present.standings[0].family in self.teachers

    @property
    def named(self) -> bool:
        """Whether a teacher is accused."""
        return self.present.accused in self.teachers


@dataclass(frozen=True)
class Checkup:
    """The results for all students, with their totals."""

    tried: tuple[Tried, ...]
    innocents: tuple[tuple[str, str], ...]  # (model, the accused family, or empty)
    skipped: tuple[str, ...]  # students without a teacher among their candidates

    def auc(self) -> float:
        """How well the margin over the best other family separates teachers from others, over all pairs."""
        right: list[float] = []
        wrong: list[float] = []
        for trial in self.tried:
            likenesses = {s.family: s.likeness for s in trial.present.standings}
            for family, value in likenesses.items():
                rest = max(v for f, v in likenesses.items() if f != family)
                (right if family in trial.teachers else wrong).append(np.log(value / rest))
        return area(right, wrong)

    def count(self) -> dict[str, int]:
        """The counts behind every reported share."""
        absent = [trial for trial in self.tried if trial.absent is not None]
        return {
            "students": len(self.tried),
            "kins": len({trial.kin for trial in self.tried}),
            "teacher_first": sum(trial.first for trial in self.tried),
            "teacher_named": sum(trial.named for trial in self.tried),
            "other_named": sum(bool(trial.present.accused) and not trial.named for trial in self.tried),
            "teacher_absent": len(absent),
            "absent_accused": sum(bool(trial.absent and trial.absent.accused) for trial in absent),
            "innocents": len(self.innocents),
            "innocents_accused": sum(bool(whom) for _, whom in self.innocents),
        }


def area(right: list[float], wrong: list[float]) -> float:
    """Return the chance that a right one ranks above a wrong one; ties count half; nan if one side is empty.

    >>> area([2.0, 1.0], [1.0, 0.0])
    0.875
    """
    if not right or not wrong:
        return float("nan")
    ranks = mean_ranks([*right, *wrong])
    n = len(right)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * len(wrong)))


def checkup(alike: Likeness, lineage: Lineage, alpha: float) -> Checkup:
    """Judge every known student and every innocent of the pool against the others.

    A model's kin is never in its null.
    """
    tried, skipped, innocents = [], [], []
    for name, where in _fields(alike, lineage):
        entry = lineage.models[name]
        if entry.role is Role.INNOCENT:
            if where is not None:
                innocents.append((name, judge(alike, where, lineage, name, alpha).accused))
        elif where is None or not entry.teachers & set(where.families):
            skipped.append(name)
        else:
            present = judge(alike, where, lineage, name, alpha)
            if not present.standings:
                skipped.append(name)
                continue
            without = where.without(entry.teachers)
            absent = judge(alike, without, lineage, name, alpha) if len(without.families) > 1 else None
            tried.append(Tried(name, entry.kin, entry.teachers, present, absent))
    return Checkup(tuple(tried), tuple(innocents), tuple(skipped))


def _fields(alike: Likeness, lineage: Lineage) -> Iterator[tuple[str, Field | None]]:
    for name in alike.models:
        entry = lineage.models.get(name)
        if entry is None or entry.role not in (Role.STUDENT, Role.INNOCENT):
            continue
        try:
            where = choose_field(alike, lineage, name)
        except LineageError:
            yield name, None
            continue
        yield name, where
