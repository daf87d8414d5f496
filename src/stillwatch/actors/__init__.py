"""Actors: the accounts judged to be one tenant, and the clues that tie them.

A clue is one file in `clues/`, found by name. It compares an actor with the population and returns what ties
its accounts, in bits, or nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from stillwatch.exchanges.log import ExchangeLog
from stillwatch.stats.dealing import deal

IN_USE = "in use when the log began"


@dataclass(frozen=True)
class Actor:
    """Accounts judged to be one tenant, by their codes in the log, and the exchanges attributed to it."""

    accounts: np.ndarray  # (accounts,) int32, sorted
    rows: np.ndarray  # (exchanges,) int64: by account, since it took the signature up, in time order
    own_fingerprints: np.ndarray  # (fingerprints,) indices of the actor's own fingerprints
    p_settings: dict[str, float]  # p-value of each setting's concentration when the alarm was raised


@dataclass(frozen=True)
class AccountFacts:
    """The provider's facts on accounts; one entry per account code, "" or 0 if unknown."""

    org: Sequence[str]
    payment: Sequence[str]
    created_us: np.ndarray  # (accounts,) int64, 0 if unknown
    tier: Sequence[str]
    permissions: Sequence[tuple[str, ...]]
    email_domain: Sequence[str]


@dataclass(frozen=True)
class KnownPoolUse:
    """The exchanges that ask an item of a known pool."""

    name: str
    training: bool  # whether its users may become a lead
    items: int  # in the pool
    item: np.ndarray  # (exchanges,) int32, -1 for none


@dataclass(frozen=True)
class ActorContext:
    """The data with which an actor is compared: the whole log, its fingerprints, and the provider's facts."""

    log: ExchangeLog
    known: AccountFacts | None
    use_row: np.ndarray  # (uses,) int32 exchanges that carry a fingerprint, in time order
    use_fingerprint: np.ndarray  # (uses,) int32
    fingerprint_kind: np.ndarray  # (fingerprints,) int8 into spread.KINDS
    entrants: np.ndarray  # (fingerprints,) int32 tenants that ever took a fingerprint up
    tenant: np.ndarray | None = None  # (accounts,) int32 tenant of each; None: each account by itself
    payer: np.ndarray | None = None  # (accounts,) int32 payer of each: accounts behind one instrument are one
    pools: tuple[KnownPoolUse, ...] = ()
    established: bool = False  # whether the fingerprints were in use when the log began
    counted: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def tenants(self) -> np.ndarray:
        """(accounts,) tenant of each: `tenant`, or each account by itself."""
        return np.arange(len(self.log.accounts), dtype=np.int32) if self.tenant is None else self.tenant

    @property
    def payers(self) -> np.ndarray:
        """(accounts,) payer of each: `payer`, or each account by itself."""
        return np.arange(len(self.log.accounts), dtype=np.int32) if self.payer is None else self.payer

    @property
    def wording_age(self) -> str:
        """Return since when the fingerprints are in use, in words."""
        return IN_USE if self.established else "new in this log"

    def once(self, count: Callable[..., Any], *more: Any, of_uses: bool = False) -> Any:
        """Return `count(self, *more)`, computed at the first call only: all actors need it.

        of_uses: whether it reads the fingerprints' uses, which two contexts of one log may not share.
        """
        key = (count, *more, self.established) if of_uses else (count, *more)
        if key not in self.counted:
            self.counted[key] = count(self, *more)
        return self.counted[key]

    def rows_of(self, accounts: np.ndarray) -> np.ndarray:
        """Return every exchange of some accounts, in time order."""
        return _gather_rows(self.once(_rows_by_account), accounts)

    def uses_of(self, fingerprints: np.ndarray) -> np.ndarray:
        """Return the uses of some fingerprints, in time order, as indices into `use_row`."""
        return _gather_rows(self.once(_uses_by_fingerprint, of_uses=True), fingerprints)


def _rows_by_account(context: ActorContext) -> tuple[np.ndarray, np.ndarray]:
    return deal(context.log["account"], len(context.log.accounts))


def _uses_by_fingerprint(context: ActorContext) -> tuple[np.ndarray, np.ndarray]:
    return deal(context.use_fingerprint, len(context.fingerprint_kind))


def _gather_rows(dealt: tuple[np.ndarray, np.ndarray], keys: np.ndarray) -> np.ndarray:
    begin, order = dealt
    parts = [order[begin[k] : begin[k + 1]] for k in keys]
    return np.sort(np.concatenate(parts)).astype(np.int64) if parts else np.zeros(0, np.int64)


@dataclass(frozen=True)
class Tie:
    """What ties one account to the rest of its actor, or two accounts (`other`), by one clue."""

    account: int
    bits: float
    text: str
    other: int | None = None
    firm: bool = True  # strong enough to count when action is taken on the account


@dataclass(frozen=True)
class ClueWeight:
    """A clue's result for an actor: its weight in bits, a sentence, the numbers, and ties by account."""

    bits: float
    text: str
    actual: float | None = None
    baseline: float | None = None  # the same number for the population, median
    population_p95: float | None = None
    n: int | None = None
    ties: tuple[Tie, ...] = ()


class Clue(Protocol):
    """Interface of a module in `clues/`."""

    NAME: str
    CONTROL: str  # "client" if the client chooses what is compared, "provider" if we observe it
    CLASS: str  # clues of one class are not independent of each other: "wording", "settings", "network", …

    def weigh(self, actor: Actor, context: ActorContext) -> ClueWeight | None: ...


# Least share of an actor's accounts on one network or instrument: three founders on one card are tied to each
# other, but not to the forty-five others of their group. Set after a look at the seventeenth world.
FIRM_SHARE = 0.1
MOST_BITS = 40.0  # of one clue: above this the model behind the bits is less certain than they are


def evidence_bits(p_value: float, least: float = 1e-12) -> float:
    """Return minus log2 of a p-value, at most MOST_BITS; a value below `least` counts as `least`.

    >>> evidence_bits(1 / 1024), evidence_bits(0.0, least=1e-300)
    (10.0, 40.0)
    """
    return float(min(MOST_BITS, -np.log2(max(p_value, least))))
