"""Defences that stand together: a request is refused when one refuses, a case is raised when one raises it.

It knows what none of them looks for, nor their names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from stillwatch.range.defences import Accusation, Defence, Judged, Watch


@dataclass(frozen=True)
class Watches:
    """Several watches as one. Optional methods go to those that have them."""

    watches: tuple[Watch, ...]

    def step(self, exchanges: pa.Table, until_us: int) -> Sequence[Accusation]:
        """What each says, one after the other."""
        return [case for watch in self.watches for case in watch.step(exchanges, until_us)]

    def refuses(self, account: str, at_us: int, model: str | None = None) -> bool:
        """Whether one refuses. The later ones are not asked about what an earlier one refuses."""
        return any(watch.refuses(account, at_us, model) for watch in self.watches)

    def enrol(self, accounts: pa.Table) -> None:
        """Take a new accounts table in place of the old one."""
        for watch in self.watches:
            if (enrol := getattr(watch, "enrol", None)) is not None:
                enrol(accounts)

    def answered(self, account: str, at_us: int, output_tokens: int, model: str | None = None) -> None:
        """Count an answer's tokens."""
        for watch in self.watches:
            if (answered := getattr(watch, "answered", None)) is not None:
                answered(account, at_us, output_tokens, model)


@dataclass(frozen=True)
class Together:
    """Several defences as one."""

    NAME: str
    parts: tuple[Defence, ...]

    def open_watch(self, accounts: pa.Table | None, clean_until_us: int, seed: int) -> Watch:
        """Begin anew, all of them."""
        return Watches(tuple(part.open_watch(accounts, clean_until_us, seed) for part in self.parts))

    def judge(self, exchanges: pa.Table, accounts: pa.Table | None, clean_until_us: int, seed: int) -> Judged:
        """Judge a whole log: each by itself, over all that was sent."""
        found = [part.judge(exchanges, accounts, clean_until_us, seed) for part in self.parts]
        refused = frozenset[str]().union(*(judged.refused for judged in found))
        return Judged(tuple(case for judged in found for case in judged.cases), refused)
