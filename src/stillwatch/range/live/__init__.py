"""The live range: a real teacher behind the real gateway, real clients, and a student of the answers taken.

This module has the data types.
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
    """A live run cannot continue."""


@dataclass(frozen=True)
class LiveSettings:
    """The section `[live]` of a scene file. Event time is the scene's own."""

    arms: tuple[Annotated[str, OneOf(*ARMS)], ...] = ("off", "block")
    teacher: Annotated[str, OneOf(*TEACHERS)] = "embedded"
    # event seconds between two evaluations of the detector, once a case is open
    look_s: Annotated[float, Bounds(5, 3600)] = 600.0
    # share of the campaign's streams that its client aborts
    dropped: Annotated[float, Bounds(0, 1)] = 0.05
    # replace: from a refusal to the new account's first request
    react_s: Annotated[float, Bounds(0, 604_800)] = 1800.0
    tail_days: Annotated[float, Bounds(0, 14)] = 0.5  # played after the last campaign's end
    steps: Annotated[int, Bounds(0, 100_000)] = 1400  # of a student's training; 0: no students
    held_out: Annotated[int, Bounds(10, 10_000)] = 1000  # problems that every student answers

    def __post_init__(self) -> None:
        if not self.arms or len(set(self.arms)) < len(self.arms):
            raise InputError(f"arms is {list(self.arms)}; give one or more, each once")


@dataclass(frozen=True)
class ReceivedAnswer:
    """One answer that an attacker received completely."""

    at_us: int
    account: str
    problem: str
    reasoning: str
    answer: str
    tokens: int  # of the answer, as billed by the teacher


@dataclass(frozen=True)
class StudentScore:
    """Number right out of a number, with Wilson's interval at 95 %."""

    right: int
    n: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        return self.right / self.n


@dataclass(frozen=True)
class LeakPoint:
    """How much had been taken at a time. Days count from the scene's beginning."""

    day: float
    out: int


@dataclass(frozen=True)
class Arm:
    """The result of one arm. Days count from the scene's beginning; None: never."""

    name: str
    asked: int  # requests sent by the campaign
    out: int  # answers received completely
    out_tokens: int
    left: int  # streams aborted by its client: recorded, counted as taken, not learned from
    left_recorded: int  # of these, the ones that the gateway recorded as aborted
    refused: int
    unsent: int  # of accounts that were dead by then
    stripped: int  # answers without their reasoning
    accounts: int  # the campaign's, including new ones
    fresh: int
    named: int  # of these, in the findings
    blocked: int
    alarm_day: float | None
    out_before_alarm: int  # everything if there was no alarm
    contained_day: float | None  # when the last of its stopped accounts was stopped
    last_out_day: float | None
    honest_accounts: int
    honest_exchanges: int
    honest_named: int
    honest_touched: int  # honest accounts with an action that affects them
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
    drilled: StudentScore | None  # a student trained only on the form of an answer, with random digits
    learnt: tuple[StudentResult, ...]
    folder: Path
    manifest: dict[str, str] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)  # seconds; everything else is reproducible

    def arm(self, name: str) -> Arm | None:
        return next((a for a in self.arms if a.name == name), None)

    def student(self, name: str) -> StudentResult | None:
        return next((x for x in self.learnt if x.arm == name), None)
