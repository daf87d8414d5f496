"""Defences for comparison: what each reports about a log, and when.

A defence is one file in this package with `NAME`, a docstring (`Null`, `Blind to`, `Fooled by`, `Source`) and
`open_watch(accounts, clean_until_us, seed, dial)`; `registry` binds the dial, which is the budget in false
cases per 10,000 account-days. Defences are compared by their `Accusation`s; a limit that refuses requests
returns them in `refused`. Optional methods of a watch: `enrol(accounts)` receives a new accounts table;
`answered(account, at_us, output_tokens, model)` counts answers; `calibrate` and `cannot_fire` are for a
threshold set on clean days (see `Calibrated`); `refused_until_us` states until when it refuses (see
`Postponing`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa


@dataclass(frozen=True)
class Accusation:
    """One case: accounts accused of being one harvest, from some time on."""

    case: str  # unchanged when a later step names more accounts of it
    at_us: int  # UTC microseconds of the first report, as watched live
    named_at_us: dict[str, int] = field(default_factory=dict)  # account -> when it was named


@dataclass(frozen=True)
class LogJudgement:
    """The judgement of a defence on a whole log."""

    cases: tuple[Accusation, ...]
    refused: frozenset[str] = frozenset()  # exchange_ids that it would not have answered
    cannot_fire: str = ""  # why it could have accused or refused nobody on this log; empty if it could


@dataclass(frozen=True)
class CalibrationLog:
    """The clean days of honest people who are not scored, for setting thresholds."""

    exchanges: pa.Table
    accounts: pa.Table | None


@dataclass(frozen=True)
class LogToJudge:
    """A whole log, with the data that a defence may use to judge it."""

    exchanges: pa.Table
    accounts: pa.Table | None
    clean_until_us: int
    seed: int
    calibration: CalibrationLog | None = None  # for thresholds; by default the log's own clean days


class DefenceWatch(Protocol):
    """A running defence: it receives the log piece by piece, in order of time."""

    def step(self, exchanges: pa.Table, until_us: int) -> Sequence[Accusation]:
        """Process the new exchanges before `until_us`; return the cases that are new or have grown."""

    def refuses(self, account: str, at_us: int, model: str | None = None) -> bool:
        """Return whether a limit, not a case, would now refuse an account's request to a model."""


@runtime_checkable
class Postponing(Protocol):
    """A watch whose refusals state until when: a contest logs them, and honest clients react."""

    def refused_until_us(self, account: str, at_us: int, model: str | None = None) -> int | None:
        """Return until when a refused request's account is refused; None if not stated."""


@runtime_checkable
class Calibrated(Protocol):
    """A watch with a threshold that is set on clean days."""

    def calibrate(self, other: Any) -> None:
        """Take the threshold of a watch of the same kind that received other people's clean days."""

    def cannot_fire(self) -> str:
        """Return why it can accuse or refuse nobody, after the clean days; empty if it can."""


class Defence(Protocol):
    """Interface of a module of this package."""

    @property
    def NAME(self) -> str:
        """Its name in a table."""

    def open_watch(self, accounts: pa.Table | None, clean_until_us: int, seed: int) -> DefenceWatch:
        """Start a watch. Thresholds may be set only on what precedes `clean_until_us`."""

    def judge(self, log: LogToJudge) -> LogJudgement:
        """Judge a whole log, with the same result as hourly steps."""
