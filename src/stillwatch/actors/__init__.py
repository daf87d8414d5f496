"""Actors: the accounts judged to be one tenant, and the clues that tie them.

A clue is one file in `clues/`, found by name. It compares an actor with the population and says what ties its
accounts, in bits, or nothing.
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
    """Accounts judged to be one tenant, by their codes in the log, and the exchanges that are its doing."""

    accounts: np.ndarray  # (accounts,) int32, sorted
    rows: np.ndarray  # (exchanges,) int64: by account, since it took the signature up, in time order
    own_fingerprints: np.ndarray  # (fingerprints,) numbers of the fingerprints that are the actor's own
    p_settings: dict[str, float]  # p-value of each setting's concentration when the alarm was raised


@dataclass(frozen=True)
class AccountFacts:
    """What the provider knows of accounts; one entry per account code, "" or 0 where it knows nothing."""

    org: Sequence[str]
    payment: Sequence[str]
    created_us: np.ndarray  # (accounts,) int64, 0 where unknown
    tier: Sequence[str]
    permissions: Sequence[tuple[str, ...]]
    email_domain: Sequence[str]


@dataclass(frozen=True)
class KnownPoolUse:
    """Which exchanges ask an item of a known pool."""

    name: str
    training: bool  # whether its users may become a lead
    items: int  # of the pool
    item: np.ndarray  # (exchanges,) int32, -1 for none


@dataclass(frozen=True)
class ActorContext:
    """What an actor is compared with: the whole log, its fingerprints, and what the provider knows."""

    log: ExchangeLog
    known: AccountFacts | None
    use_row: np.ndarray  # (uses,) int32 exchanges that carry a fingerprint, in time order
    use_fingerprint: np.ndarray  # (uses,) int32
    fingerprint_kind: np.ndarray  # (fingerprints,) int8 into spread.KINDS
    entrants: np.ndarray  # (fingerprints,) int32 tenants that ever took a fingerprint up
    tenant: np.ndarray | None = None  # (accounts,) int32 who counts as one; None: each account
    payer: np.ndarray | None = None  # (accounts,) int32 the same, accounts behind one instrument being one
    pools: tuple[KnownPoolUse, ...] = ()
    established: bool = False  # whether the fingerprints were in use when the log began
    counted: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def tenants(self) -> np.ndarray:
        """(accounts,) who counts as one tenant: `tenant`, or each account by itself."""
        return np.arange(len(self.log.accounts), dtype=np.int32) if self.tenant is None else self.tenant

    @property
    def payers(self) -> np.ndarray:
        """(accounts,) who counts as one payer: `payer`, or each account by itself."""
        return np.arange(len(self.log.accounts), dtype=np.int32) if self.payer is None else self.payer

    @property
    def wording_age(self) -> str:
        """Say since when the fingerprints are in use."""
        return IN_USE if self.established else "new in this log"

    def once(self, count: Callable[..., Any], *more: Any, of_uses: bool = False) -> Any:
        """What `count(self, *more)` gives, counted at the first call only: all actors ask for it.

        of_uses: whether it reads the fingerprints' uses, in which two contexts of one log differ.
        """
        key = (count, *more, self.established) if of_uses else (count, *more)
        if key not in self.counted:
            self.counted[key] = count(self, *more)
        return self.counted[key]

    def rows_of(self, accounts: np.ndarray) -> np.ndarray:
        """Every exchange of some accounts, in time order."""
        return _gather_rows(self.once(_rows_by_account), accounts)

    def uses_of(self, fingerprints: np.ndarray) -> np.ndarray:
        """Every use of some fingerprints, as indices into `use_row` and `use_fingerprint`, in time order."""
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
    firm: bool = True  # enough of it to count where something is done to the account


@dataclass(frozen=True)
class ClueWeight:
    """What a clue says of an actor: its weight in bits, the sentence, the numbers, and account by account."""

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
    CLASS: str  # clues of one class are not independent of each other: "wording", "settings", "network", …

    def weigh(self, actor: Actor, context: ActorContext) -> ClueWeight | None: ...


# Of an actor's accounts, that share a network or an instrument: three founders on one card are tied to each
# other, and not to the forty-five others of their group. Set after a look at the seventeenth world.
FIRM_SHARE = 0.1
MOST_BITS = 40.0  # of one clue: past this the model behind the bits is less certain than the bits


def evidence_bits(p_value: float, least: float = 1e-12) -> float:
    """Minus log2 of a p-value, at most MOST_BITS; below `least` it counts as `least`.

    >>> evidence_bits(1 / 1024), evidence_bits(0.0, least=1e-300)
    (10.0, 40.0)
    """
    return float(min(MOST_BITS, -np.log2(max(p_value, least))))
