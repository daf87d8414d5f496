"""Measures models: shares of right answers with intervals."""

from dataclasses import dataclass
from typing import Annotated

from stillwatch.distill import DistillError
from stillwatch.toml.declared import Bounds, out_of_bounds


@dataclass(frozen=True)
class Evaluation:
    """The settings of an evaluation; the plan's section `[evaluate]` has the same names.

    `n` held-out questions (0: all). `new_tokens` limits the answer to one question. `teacher`: `ask` it
    through its API (paid, within the budget), `skip` it, or name a folder or `clock`. `lm_eval`: names of
    tasks of EleutherAI's harness, run as well if it is installed.

    Raises: DistillError for an impossible value.
    """

    n: Annotated[int, Bounds(0)] = 0
    new_tokens: Annotated[int, Bounds(1)] = 256
    batch: Annotated[int, Bounds(1)] = 64
    temperature: Annotated[float, Bounds(0)] = 0.0
    seed: Annotated[int, Bounds(0)] = 1
    teacher: str = "ask"
    before: bool = True
    lm_eval: tuple[str, ...] = ()
    lm_eval_limit: Annotated[int, Bounds(0)] = 0

    def __post_init__(self) -> None:
        if wrong := out_of_bounds(self):
            raise DistillError("[evaluate] " + "; ".join(wrong))


@dataclass(frozen=True)
class ShareRight:
    """The share of right answers out of n; `low` and `high` bound the true share at 95 % (Wilson)."""

    n: int
    right: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.right / self.n if self.n else 0.0


@dataclass(frozen=True)
class TaskScores:
    """A model's results on one task: in all, by slice, and the number of unfinished answers."""

    task: str
    all: ShareRight
    slices: dict[str, ShareRight]
    unfinished: int
    unclear: int  # answers that the task cannot judge; they count as wrong
