"""The value of distillation in accuracy, dollars, days and FLOPs, and what a defence makes it cost.

An experiment declares tasks, arms, sizes and seeds. Every student is trained once, by `distill.train`. A
defence is not trained: it is the number of examples that get past it, as contests of the range measured it.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from stillwatch.distill import DistillError, DistillRun
from stillwatch.distill.plan import DistillPlan
from stillwatch.distill.train import Training
from stillwatch.toml.declared import Bounds

ENOUGH_SEEDS = 5
UNTRAINED = 0  # the size of a cell whose student saw no example
ArmName = Literal["public", "answers", "traces"]
SAYS = {
    "public": "public answers, no teacher",
    "answers": "the teacher's answers only",
    "traces": "the teacher's reasoning traces",
}


@dataclass(frozen=True)
class HourPrice:
    """The price of an hour of one processor (a vCPU, a GPU), with vendor and date."""

    usd: Annotated[float, Bounds(0)]
    source: str
    as_of: str


@dataclass(frozen=True)
class EconomicsArm:
    """What a student learns from. `public` uses the prompts' right answers and no teacher."""

    name: ArmName
    train: Training

    def settings(self, seed: int) -> Training:
        """Return the training settings of a cell of this arm."""
        learn = "traces" if self.name == "traces" else "answers"
        return replace(self.train, seed=seed, learn=learn, curve=())


@dataclass(frozen=True)
class EconomicsTask:
    """One set of questions with its teacher (a plan of distill), students, sizes and held-out questions."""

    name: str
    about: str  # what it is, and what it is not, for the page
    plan: DistillPlan
    arm: tuple[EconomicsArm, ...]
    sizes: tuple[Annotated[int, Bounds(1)], ...]
    spot_checks: tuple[Annotated[int, Bounds(1)], ...] = ()  # sizes at which one more seed tests the curve
    questions: Annotated[int, Bounds(20)] = 400
    new_tokens: Annotated[int, Bounds(1)] = 64
    batch: Annotated[int, Bounds(1)] = 100
    toy: bool = False  # marked as such on page and picture

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arm]
        if not names or len(set(names)) < len(names):
            raise DistillError(f"task {self.name}: arm has {names}; give each of its arms once, one at least")
        if len(self.sizes) < 2 or list(self.sizes) != sorted(set(self.sizes)):
            raise DistillError(f"task {self.name}: sizes are {list(self.sizes)}; two at least, rising")
        outside = [n for n in self.spot_checks if not self.sizes[0] <= n <= self.sizes[-1]]
        if outside:
            raise DistillError(f"task {self.name}: spot_checks {outside} lie outside the sizes")


@dataclass(frozen=True)
class Experiment:
    """Everything that is declared before training."""

    name: str
    seeds: tuple[Annotated[int, Bounds(0)], ...]
    cpu_hour: HourPrice
    gpu_hour: HourPrice
    task: tuple[EconomicsTask, ...]
    folder: str = ""
    escapes: str = ""  # a file of contests; empty: the shipped ones of the range
    spot_seed: Annotated[int, Bounds(0)] = 101

    def __post_init__(self) -> None:
        if len(set(self.seeds)) < len(self.seeds) or not self.seeds:
            raise DistillError(f"seeds are {list(self.seeds)}; give each once, {ENOUGH_SEEDS} or more")
        if self.spot_seed in self.seeds:
            raise DistillError(f"spot_seed {self.spot_seed} is one of the seeds; a spot check needs another")
        names = [task.name for task in self.task]
        if not names or len(set(names)) < len(names) or not all(name.isidentifier() for name in names):
            raise DistillError(f"tasks are named {names}; each once, in letters, digits and _")

    def data(self, task: EconomicsTask) -> DistillRun:
        """Return the distill run in which the task's answers were collected."""
        return DistillRun(Path(self.folder) / "data" / task.name)

    def public(self, task: EconomicsTask) -> Path:
        """Return the task's prompts with their right answers."""
        return self.data(task).path / "public.jsonl"


@dataclass(frozen=True)
class EconomicsCell:
    """One student, on a number of examples that its seed chose. `spot`: one that tests the curve."""

    task: str
    arm: str
    size: int
    seed: int
    spot: bool = False

    @property
    def name(self) -> str:
        return f"{self.task}.{self.arm}.{self.size}.{self.seed}"


@dataclass(frozen=True)
class EconomicsResult:
    """The result of one student: a file in `cells/`. `right` has a 1 or 0 for each held-out question."""

    task: str
    arm: str
    size: int
    seed: int
    spot: bool
    declared: str  # a hash of the declaration; a result of another declaration is not used
    right: str
    learnt: int  # examples, without unusable ones
    parameters: int = 0
    steps: int = 0
    flops: float = 0.0
    train_cpu_s: float = 0.0
    train_wall_s: float = 0.0
    evaluate_cpu_s: float = 0.0
    device: str = "cpu"
    left_out: dict[str, int] = field(default_factory=dict)
    fingerprint: str = ""  # of settings and examples: two arms that learn the same share one student

    @property
    def share(self) -> float:
        return self.right.count("1") / len(self.right)


def cells(experiment: Experiment) -> list[EconomicsCell]:
    """List every student of an experiment, seed by seed, so that a partial run has whole seeds."""
    found = []
    for task in experiment.task:
        seen = set()
        for arm in task.arm:
            if arm.train.student not in seen:
                found.append(EconomicsCell(task.name, arm.name, UNTRAINED, experiment.seeds[0]))
            seen.add(arm.train.student)
    for seed in experiment.seeds:
        for task in experiment.task:
            found += [EconomicsCell(task.name, arm.name, n, seed) for n in task.sizes for arm in task.arm]
    return found + [
        EconomicsCell(task.name, arm.name, n, experiment.spot_seed, spot=True)
        for task in experiment.task
        for n in task.spot_checks
        for arm in task.arm
        if arm.name == "traces"
    ]
