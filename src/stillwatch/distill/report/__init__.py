"""The figures of a distillation: gained, paid, kept, missing. It knows no model and no page."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spot:
    """A student on the curve: how many samples it saw, what they cost, and its share right with bounds."""

    samples: int
    tokens: float  # of the teacher's output, paid for these samples, the dropped ones among them
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
    """When a part of the way from the untrained student to its teacher was made.

    `tokens` and `usd` are those of the first student measured that is there; None: none is. `between` is
    where a straight line over the logarithm of tokens would cross, between two students measured.
    """

    part: float
    score: float
    tokens: float | None
    usd: float | None
    samples: int | None
    between: float | None


@dataclass(frozen=True)
class SliceScores:
    """A kind of question, and who gets it right how often (share, low, high; None where not measured)."""

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
    """Everything a report says; `report.json` has the same names."""

    teacher: dict[str, Any]
    training: dict[str, Any]
    spent: dict[str, Any]
    curation: dict[str, Any]
    before: Spot | None
    after: Spot
    teacher_score: Spot | None
    curve: tuple[Spot, ...]  # by samples, the student before any first and the one after all last
    reached: tuple[ReachedShare, ...]
    points_per_1000_tokens: float | None
    points_per_usd: float | None
    training_usd: float | None
    missing: tuple[SliceScores, ...]
    wrong: tuple[Wrong, ...]
    unfinished: int
    lm_eval: dict[str, Any]
    cannot_claim: tuple[str, ...]
