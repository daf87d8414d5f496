"""Defences that stand together: a request is refused when one refuses, a case is raised when one raises it.

A name with a plus, such as "stillwatch+allowance", is two of them. It knows what none of them looks for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

import stillwatch.range.allowance as allowance
from stillwatch.range.defences import Accusation, Defence, Judged, Watch
from stillwatch.range.defences.registry import DIAL, defence

OURS: dict[str, Defence] = {allowance.NAME: allowance}


@dataclass(frozen=True)
class _Watches:
    watches: tuple[Watch, ...]

    def step(self, exchanges: pa.Table, until_us: int) -> Sequence[Accusation]:
        return [case for watch in self.watches for case in watch.step(exchanges, until_us)]

    def enrol(self, accounts: pa.Table) -> None:
        for watch in self.watches:
            enrol = getattr(watch, "enrol", None)
            if enrol is not None:
                enrol(accounts)

    def answered(self, account: str, at_us: int, output_tokens: int) -> None:
        for watch in self.watches:
            answered = getattr(watch, "answered", None)
            if answered is not None:
                answered(account, at_us, output_tokens)

    def refuses(self, account: str, at_us: int) -> bool:
        """The later ones are not asked about what an earlier one refuses."""
        return any(watch.refuses(account, at_us) for watch in self.watches)


@dataclass(frozen=True)
class Together:
    """Several defences as one."""

    NAME: str
    parts: tuple[Defence, ...]

    def open_watch(self, accounts: pa.Table | None, clean_until_us: int, seed: int) -> Watch:
        """Begin anew, all of them."""
        return _Watches(tuple(part.open_watch(accounts, clean_until_us, seed) for part in self.parts))

    def judge(self, exchanges: pa.Table, accounts: pa.Table | None, clean_until_us: int, seed: int) -> Judged:
        """Judge a whole log: each by itself, over what was sent."""
        found = [part.judge(exchanges, accounts, clean_until_us, seed) for part in self.parts]
        refused = frozenset().union(*(judged.refused for judged in found))
        return Judged(tuple(case for judged in found for case in judged.cases), refused)


def defence_of(name: str, false_cases_per_10k_account_days: float = DIAL) -> Defence:
    """A defence by its name, or several by their names with a plus between them.

    Raises: InputError for a name that is none.
    """
    parts = tuple(
        OURS[part] if part in OURS else defence(part, false_cases_per_10k_account_days)
        for part in (p.strip() for p in name.split("+"))
    )
    return parts[0] if len(parts) == 1 else Together(name, parts)
