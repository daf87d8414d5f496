"""Defences to be put side by side: what each says of a log, and when.

A defence is one file in this package with `NAME`, a docstring (`Null`, `Blind to`, `Fooled by`, `Source`) and
`open_watch(accounts, clean_until_us, seed, dial)`; `registry` binds the dial, which is the budget in false
cases per 10,000 account-days. What it is compared on is `Accusation`s; a limit that refuses requests says so
in `refused`. A watch that reads the accounts table may offer `enrol(accounts)`, which takes a new one;
one that counts answers, `answered(account, at_us, output_tokens, model)`; one with a threshold that is set on
clean days, `calibrate` and `cannot_fire` (see `Calibrated`); one that says until when it refuses,
`refused_until_us` (see `Postponing`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa


@dataclass(frozen=True)
class Accusation:
    """One case: accounts that are said to be one harvest, from a moment on."""

    case: str  # the same name when a later step names more accounts of it
    at_us: int  # UTC microseconds: when it was first said, watched live
    named_at_us: dict[str, int] = field(default_factory=dict)  # account -> when it was named


@dataclass(frozen=True)
class LogJudgement:
    """What a defence makes of a whole log."""

    cases: tuple[Accusation, ...]
    refused: frozenset[str] = frozenset()  # exchange_ids that it would not have answered
    cannot_fire: str = ""  # why it could have accused or refused nobody on this log; empty where it could


@dataclass(frozen=True)
class CalibrationLog:
    """The clean days of honest people who are not scored: thresholds are set on them."""

    exchanges: pa.Table
    accounts: pa.Table | None


@dataclass(frozen=True)
class LogToJudge:
    """A whole log, and what a defence may use to judge it."""

    exchanges: pa.Table
    accounts: pa.Table | None
    clean_until_us: int
    seed: int
    calibration: CalibrationLog | None = None  # thresholds are set on it; else on the log's own clean days


class DefenceWatch(Protocol):
    """A defence at work: it is given the log piece by piece, in order of time."""

    def step(self, exchanges: pa.Table, until_us: int) -> Sequence[Accusation]:
        """Take the exchanges before `until_us` that are new; give the cases that are new or have grown."""

    def refuses(self, account: str, at_us: int, model: str | None = None) -> bool:
        """Return whether a limit, not a case, would now refuse an account's request to a model."""


@runtime_checkable
class Postponing(Protocol):
    """A watch whose refusals say until when: a contest has them in the log, and honest clients react."""

    def refused_until_us(self, account: str, at_us: int, model: str | None = None) -> int | None:
        """Say, of a request that is refused, until when the account is; None: it does not say."""


@runtime_checkable
class Calibrated(Protocol):
    """A watch with a threshold that is set on clean days."""

    def calibrate(self, other: Any) -> None:
        """Take the threshold of a watch of the same kind that was given other people's clean days."""

    def cannot_fire(self) -> str:
        """Return why it can accuse or refuse nobody, after the clean days; empty where it can."""


class Defence(Protocol):
    """What a module of this package offers."""

    @property
    def NAME(self) -> str:
        """What it is called in a table."""

    def open_watch(self, accounts: pa.Table | None, clean_until_us: int, seed: int) -> DefenceWatch:
        """Begin again. Thresholds may be set on what comes before `clean_until_us` alone."""

    def judge(self, log: LogToJudge) -> LogJudgement:
        """Judge a whole log, with the outcome that hourly steps would have."""
