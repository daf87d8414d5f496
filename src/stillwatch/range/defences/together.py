"""Combined defences: a request is refused if one refuses it, a case is raised if one raises it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from stillwatch.range.defences import (
    Accusation,
    Calibrated,
    Defence,
    DefenceWatch,
    LogJudgement,
    LogToJudge,
    Postponing,
)
from stillwatch.range.defences.hours import reason_silent


@dataclass(frozen=True)
class Watches:
    """Several watches combined. Optional methods are passed on to the watches that have them."""

    watches: tuple[DefenceWatch, ...]

    def step(self, exchanges: pa.Table, until_us: int) -> Sequence[Accusation]:
        """Return the accusations of each defence in turn."""
        return [case for watch in self.watches for case in watch.step(exchanges, until_us)]

    def learn(self, exchanges: pa.Table, until_us: int) -> None:
        """Pass other people's clean days to the watches with a threshold to set."""
        for watch in self.watches:
            if isinstance(watch, Calibrated):
                watch.step(exchanges, until_us)

    def refuses(self, account: str, at_us: int, model: str | None = None) -> bool:
        """Return whether one refuses. Later ones do not see what an earlier one refuses."""
        return any(watch.refuses(account, at_us, model) for watch in self.watches)

    def refused_until_us(self, account: str, at_us: int, model: str | None = None) -> int | None:
        """Return until when, by the first watch that refuses and states it."""
        for watch in self.watches:
            until = watch.refused_until_us(account, at_us, model) if isinstance(watch, Postponing) else None
            if until is not None:
                return until
        return None

    def enrol(self, accounts: pa.Table) -> None:
        """Replace the accounts table."""
        for watch in self.watches:
            if (enrol := getattr(watch, "enrol", None)) is not None:
                enrol(accounts)

    def calibrate(self, other: Any) -> None:
        """Take the thresholds of a watch of the same parts that received other people's clean days."""
        for watch, part in zip(self.watches, other.watches, strict=True):
            if isinstance(watch, Calibrated):
                watch.calibrate(part)

    def cannot_fire(self) -> str:
        """Return which part can do nothing, and why: the combined name promises each."""
        return "; ".join(filter(None, map(reason_silent, self.watches)))

    def answered(self, account: str, at_us: int, output_tokens: int, model: str | None = None) -> None:
        """Count an answer's tokens."""
        for watch in self.watches:
            if (answered := getattr(watch, "answered", None)) is not None:
                answered(account, at_us, output_tokens, model)


@dataclass(frozen=True)
class Together:
    """Several defences combined."""

    NAME: str
    parts: tuple[Defence, ...]

    def open_watch(self, accounts: pa.Table | None, clean_until_us: int, seed: int) -> DefenceWatch:
        """Start a watch of all of them."""
        return Watches(tuple(part.open_watch(accounts, clean_until_us, seed) for part in self.parts))

    def judge(self, log: LogToJudge) -> LogJudgement:
        """Judge a whole log: each by itself, over all that was sent."""
        found = [part.judge(log) for part in self.parts]
        refused = frozenset[str]().union(*(judged.refused for judged in found))
        silent = "; ".join(
            f"{part.NAME}: {judged.cannot_fire}"
            for part, judged in zip(self.parts, found, strict=True)
            if judged.cannot_fire
        )
        return LogJudgement(tuple(case for judged in found for case in judged.cases), refused, silent)
