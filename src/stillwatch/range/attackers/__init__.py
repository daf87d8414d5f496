"""Attackers that see what is done to them: what they may do, and what they are told.

An attacker is one file in this package with `NAME`, a docstring (what it knows, what it does, what it cannot
do) and `begin(crews)` (play.py). It sees of each request what a client sees: answered, refused, stripped, or
a dead account.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, Protocol, get_args

import numpy as np

from stillwatch.errors import InputError
from stillwatch.range.costs import AccountKind
from stillwatch.range.market import Market
from stillwatch.range.placing import PLACES

Outcome = Literal["answered", "refused", "stripped", "dead", "error"]
WORDS = ("bare", "template", "wrapped", "own", "group", "reworded", "model")
HOURS = ("flat", "human", "burst")
KINDS = get_args(AccountKind)
# Where refused work goes. end: of the list that all share, to be asked again when its turn comes; next: to
# another account at once, word for word, as a relay's balancer sends it; own: it waits for the same account
QUEUES = ("end", "next", "own")
COMMONEST = "commonest"  # of the clients that an account may copy


@dataclass(frozen=True)
class Evasion:
    """What a group of accounts does to be harder to see. Every field is a switch with an intensity."""

    accounts: int = 20  # in one group
    kind: AccountKind = "fresh"
    per_account_day: float = 25.0  # requests for examples; what a burst sends in all, per account
    hours: str = "flat"  # human: 16 waking hours; burst: everything at once
    # own: a wrapper for each account; group: one for all; reworded: for each request; model: a local model's
    words: str = "template"
    spread_settings: bool = False  # limit and temperature as the population has them, per account
    # per account the model too, and limits that cut answers off; what other models answer is worth nothing
    spread_model: bool = False
    # the program whose user agent, system text and settings all send; COMMONEST: the most used that will do
    client: str = ""
    decoys: float = 0.0  # share of accounts that ask the population's other models, for nothing
    cover: float = 0.0  # share of all requests that are honest talk, paid
    drop: float = 0.0  # share of streams that are cut off once most of the answer is there
    place: str = "message"  # where in a request the question stands: one of `placing.PLACES`
    replace: bool = True  # buy new accounts for stopped ones
    wait_days: float = 0.0  # after half the group is stopped

    def __post_init__(self) -> None:
        for name, known in (("words", WORDS), ("hours", HOURS), ("kind", KINDS), ("place", tuple(PLACES))):
            if getattr(self, name) not in known:
                raise InputError(f"means: {name} = {getattr(self, name)!r}; known are {', '.join(known)}")
        for name in ("decoys", "cover", "drop"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"means: {name} = {getattr(self, name)!r}: give a share from 0 to below 1")
        if self.accounts < 1 or self.per_account_day <= 0 or self.wait_days < 0:
            raise InputError("means: give at least one account, a pace above 0 and no negative wait")
        if self.client and (self.spread_settings or self.spread_model):
            raise InputError("means: a copied `client` has settings of its own; spread none beside it")

    def short(self) -> str:
        """What differs from the defaults, for a table."""
        plain = Evasion()
        parts = [
            f"{f.name}={getattr(self, f.name)}"
            for f in fields(self)
            if getattr(self, f.name) != getattr(plain, f.name)
        ]
        return " ".join(parts) or "plain"


@dataclass(frozen=True, slots=True)
class Try:
    """One request that an attacker wants to make."""

    account: str
    at_us: int
    prompt: str
    system: str | None
    model: str
    temperature: float | None
    max_tokens: int | None
    item: int | None  # which example it asks for; None is cover
    talk: str | None = None  # cover: the conversation it belongs to
    turn: int = 1
    dropped: bool = False
    place: str = "message"
    tools: int = 0  # how many the request offers


@dataclass(frozen=True, slots=True)
class TryResult:
    """What came back for a request."""

    account: str
    at_us: int
    item: int | None
    outcome: Outcome


@dataclass(frozen=True)
class Brief:
    """What an attacker starts with."""

    goal: int  # distinct examples wanted
    begin_us: int
    items: tuple[str, ...]  # questions, at least as many as are wanted
    talks: tuple[tuple[str, ...], ...]  # honest talk, for cover
    wanted: str = "mira-think"  # the model whose answers are worth having


class AttackSession(Protocol):
    """An attacker at work."""

    def hour(self, at_us: int) -> list[Try]:
        """Return what is to be sent in the hour that begins at `at_us`."""

    def again(self, refused: Try, until_us: int) -> Try | None:
        """Return what is sent later in place of a request that failed; None: its questions go back.

        until_us: when the account is said to be served again.
        """

    def saw(self, results: Sequence[TryResult]) -> None:
        """Hear what came of the requests, in order of time, without those that are sent again."""

    @property
    def given_up(self) -> bool:
        """Return whether nothing more will be tried."""


class Attacker(Protocol):
    """An attacker by its name (registry.py)."""

    @property
    def NAME(self) -> str:
        """What it is called in a table."""

    def begin(self, brief: Brief, market: Market, rng: np.random.Generator) -> AttackSession:
        """Begin a campaign."""
