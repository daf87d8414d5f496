"""The live range: a real teacher behind the real gateway, real clients, and a student of what got out.

These are the nouns.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from stillwatch.errors import InputError, StillwatchError
from stillwatch.toml.declared import Bounds, OneOf

Tell = Callable[[str], None]
ARMS = {
    "off": "the gateway watches and does nothing",
    "block": "accounts that a case names are blocked by the ladder, without a person",
    "strip": "the same, but they go on and their answers come without the reasoning",
    "replace": "as block, and the attacker puts a fresh account in the place of each blocked one",
}


TEACHERS = {
    "embedded": "the small model of `stillwatch distill`; trained once, needs the extra `train`",
    "arithmetic": "no model: the steps are worked out, for a trial in a minute",
}


class LiveError(StillwatchError):
    """A live run cannot go on."""


@dataclass(frozen=True)
class LiveSettings:
    """`[live]` of a scene file. Event time is the scene's own."""

    arms: tuple[Annotated[str, OneOf(*ARMS)], ...] = ("off", "block")
    teacher: Annotated[str, OneOf(*TEACHERS)] = "embedded"
    # event seconds between two looks of the detector, once a case is open
    look_s: Annotated[float, Bounds(5, 3600)] = 600.0
    # share of the campaign's streams that its client leaves half-way
    dropped: Annotated[float, Bounds(0, 1)] = 0.05
    # replace: from a refusal to the fresh account's first request
    react_s: Annotated[float, Bounds(0, 604_800)] = 1800.0
    tail_days: Annotated[float, Bounds(0, 14)] = 0.5  # played on after the last campaign's end
    steps: Annotated[int, Bounds(0, 100_000)] = 1400  # of a student's training; 0: no students
    held_out: Annotated[int, Bounds(10, 10_000)] = 1000  # problems that every student answers

    def __post_init__(self) -> None:
        if not self.arms or len(set(self.arms)) < len(self.arms):
            raise InputError(f"arms is {list(self.arms)}; give one or more, each once")


@dataclass(frozen=True)
class ReceivedAnswer:
    """One answer that an attacker received whole."""

    at_us: int
    account: str
    problem: str
    reasoning: str
    answer: str
    tokens: int  # of the answer, as the teacher billed them


@dataclass(frozen=True)
class StudentScore:
    """Right of so many, with Wilson's interval at 95 %."""

    right: int
    n: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        return self.right / self.n


@dataclass(frozen=True)
class LeakPoint:
    """How much had got out by when. Days count from the scene's begin."""

    day: float
    out: int


@dataclass(frozen=True)
class Arm:
    """The result of one arm. Days count from the scene's begin; None: never."""

    name: str
    asked: int  # requests that the campaign sent
    out: int  # answers that it received whole
    out_tokens: int
    left: int  # streams that its client left half-way: recorded, counted as taken, not learnt from
    left_recorded: int  # of them, how many the gateway wrote down as left by the client
    refused: int
    unsent: int  # of accounts that were dead by then
    stripped: int  # answers that came without their reasoning
    accounts: int  # the campaign's, fresh ones included
    fresh: int
    named: int  # of them, in the findings
    blocked: int
    alarm_day: float | None
    out_before_alarm: int  # all of it where there was no alarm
    contained_day: float | None  # when the last of its accounts that were stopped was stopped
    last_out_day: float | None
    honest_accounts: int
    honest_exchanges: int
    honest_named: int
    honest_touched: int  # honest accounts with a step that they can feel
    honest_refused: int  # honest requests that the gateway refused
    marks: tuple[LeakPoint, ...] = ()
    examples_sha256: str = ""


@dataclass(frozen=True)
class StudentResult:
    """The student of one arm, and its score."""

    arm: str
    examples: int
    share: StudentScore


@dataclass(frozen=True)
class LiveOutcome:
    """One scene, played with one seed."""

    scene: str
    seed: int
    arms: tuple[Arm, ...]
    teacher: StudentScore | None
    untrained: StudentScore | None
    drilled: StudentScore | None  # a student taught the form of an answer, with digits drawn at random
    learnt: tuple[StudentResult, ...]
    folder: Path
    manifest: dict[str, str] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)  # seconds; all else is the same the next time

    def arm(self, name: str) -> Arm | None:
        return next((a for a in self.arms if a.name == name), None)

    def student(self, name: str) -> StudentResult | None:
        return next((x for x in self.learnt if x.arm == name), None)
