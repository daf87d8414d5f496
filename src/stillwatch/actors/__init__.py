"""Actors: the accounts judged to be one party, and the clues that tie them. It knows nothing of detectors.

A clue is one file in `clues/`, found by name. It looks at an actor beside the population and says what ties
its accounts, in bits, or nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stillwatch.exchanges.log import ExchangeLog


@dataclass(frozen=True)
class Actor:
    """Accounts judged to be one party, by their codes in the log, and the exchanges that are its doing."""

    accounts: np.ndarray  # (accounts,) int32, sorted
    rows: np.ndarray  # (exchanges,) int64: each account's exchanges since it took the stock up, in time order
    own_markers: np.ndarray  # (markers,) numbers of the markers that are the actor's own
    p_settings: dict[str, float]  # p-value of each setting's concentration when the alarm was raised


@dataclass(frozen=True)
class Known:
    """What the provider knows of accounts; one entry per account code, "" or 0 where it knows nothing."""

    org: Sequence[str]
    payment: Sequence[str]
    created_us: np.ndarray  # (accounts,) int64, 0 where unknown
    tier: Sequence[str]
    permissions: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class World:
    """What an actor is compared with: the whole log, its markers, and what the provider knows."""

    log: ExchangeLog
    known: Known | None
    use_row: np.ndarray  # (uses,) int32 exchanges that carry a marker, in time order
    use_marker: np.ndarray  # (uses,) int32
    marker_kind: np.ndarray  # (markers,) int8 into spread.KINDS
    entrants: np.ndarray  # (markers,) int32 parties that ever took a marker up


@dataclass(frozen=True)
class Tie:
    """What ties one account to the rest of its actor, or two accounts (`other`), by one clue."""

    account: int
    bits: float
    text: str
    other: int | None = None


@dataclass(frozen=True)
class Weighed:
    """A clue's word on an actor: its weight in bits, the sentence, the numbers, and account by account."""

    bits: float
    text: str
    actual: float | None = None
    baseline: float | None = None  # the same number for the population, median
    population_p95: float | None = None
    n: int | None = None
    ties: tuple[Tie, ...] = ()


class Clue(Protocol):
    """What a module in `clues/` offers."""

    NAME: str
    CONTROL: str  # "client" where the client chooses what is compared, "provider" where we observe it

    def weigh(self, actor: Actor, world: World) -> Weighed | None: ...


MOST_BITS = 40.0  # of one clue: past this the model behind the bits is less certain than the bits
