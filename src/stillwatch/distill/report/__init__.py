"""The figures of a distillation: gained, paid, kept, missing."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spot:
    """A student on the curve: its number of samples, their cost, and its share right with bounds."""

    samples: int
    tokens: float  # of the teacher's output, paid for these samples, including the dropped ones
    usd: float | None
    n: int
    right: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.right / self.n if self.n else 0.0


@dataclass(frozen=True)
class ReachedShare:
    """When a part of the way from the untrained student to its teacher was reached.

    `tokens` and `usd` are those of the first measured student that reached it; None if none did. `between` is
    where linear interpolation in log tokens, between two measured students, crosses it.
    """

    part: float
    score: float
    tokens: float | None
    usd: float | None
    samples: int | None
    between: float | None


@dataclass(frozen=True)
class SliceScores:
    """A kind of question, with each model's share right (share, low, high; None if not measured)."""

    task: str
    slice: str
    n: int
    before: tuple[float, float, float] | None
    after: tuple[float, float, float]
    teacher: tuple[float, float, float] | None

    @property
    def gap(self) -> float:
        return (self.teacher[0] if self.teacher else 1.0) - self.after[0]


@dataclass(frozen=True)
class Wrong:
    """A question that the student got wrong."""

    question: str
    expected: str
    answer: str
    finished: bool


@dataclass(frozen=True)
class Account:
    """The content of a report; `report.json` has the same names."""

    teacher: dict[str, Any]
    training: dict[str, Any]
    spent: dict[str, Any]
    curation: dict[str, Any]
    before: Spot | None
    after: Spot
    teacher_score: Spot | None
    curve: tuple[Spot, ...]  # by samples, first the untrained student, last the one on all samples
    reached: tuple[ReachedShare, ...]
    points_per_1000_tokens: float | None
    points_per_usd: float | None
    training_usd: float | None
    missing: tuple[SliceScores, ...]
    wrong: tuple[Wrong, ...]
    unfinished: int
    lm_eval: dict[str, Any]
    cannot_claim: tuple[str, ...]
