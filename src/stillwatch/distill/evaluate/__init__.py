"""How much a model can do, as shares with intervals. It does not know how the model came about."""

from dataclasses import dataclass

from stillwatch.distill import DistillError


@dataclass(frozen=True)
class Evaluation:
    """The settings of an evaluation; the plan's section `[evaluate]` has the same names.

    `n` held-out questions (0: all). `new_tokens` is the most that a model may write for one. `teacher`: `ask`
    it through its API (paid, within the budget), `skip` it, or name a folder or `clock`. `lm_eval`: names of
    tasks of EleutherAI's harness, run beside ours where it is installed.

    Raises: DistillError for a value that cannot be.
    """

    n: int = 0
    new_tokens: int = 256
    batch: int = 64
    temperature: float = 0.0
    seed: int = 1
    teacher: str = "ask"
    before: bool = True
    lm_eval: tuple[str, ...] = ()
    lm_eval_limit: int = 0

    def __post_init__(self) -> None:
        for name, least in (("n", 0), ("new_tokens", 1), ("batch", 1), ("seed", 0), ("lm_eval_limit", 0)):
            if getattr(self, name) < least:
                raise DistillError(f"[evaluate] {name} is {getattr(self, name)}; the least is {least}")
        if not 0 <= self.temperature < float("inf"):
            raise DistillError(f"[evaluate] temperature is {self.temperature}; the least is 0")


@dataclass(frozen=True)
class ShareRight:
    """So many of n were right; `low` and `high` bound the true share at 95 % (Wilson)."""

    n: int
    right: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.right / self.n if self.n else 0.0


@dataclass(frozen=True)
class TaskScores:
    """A model's marks on one task: in all, by slice, and how many answers never came to an end."""

    task: str
    all: ShareRight
    slices: dict[str, ShareRight]
    unfinished: int
    unclear: int  # answers of which the task cannot tell; they count as wrong
