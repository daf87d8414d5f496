"""Attackers that react to a defence: what they can do, and what they observe.

An attacker is one file in this package with `NAME`, a docstring (what it knows, does and cannot do) and
`begin(crews)` (play.py). For each request it sees what a client sees: answered, refused, stripped, or a dead
account.
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
# Where refused work goes. end: to the end of the common list; next: to another account at once, word for
# word, as a relay's balancer sends it; own: it waits for the same account
QUEUES = ("end", "next", "own")
COMMONEST = "commonest"  # of the clients that an account may copy


@dataclass(frozen=True)
class Evasion:
    """What a group of accounts does to be less visible. Every field is a switch or an intensity."""

    accounts: int = 20  # per group
    kind: AccountKind = "fresh"
    per_account_day: float = 25.0  # requests for examples; for a burst, all that an account sends
    hours: str = "flat"  # human: 16 waking hours; burst: everything at once
    # own: a wrapper per account; group: one for all; reworded: per request; model: written by a local model
    words: str = "template"
    spread_settings: bool = False  # limit and temperature distributed as in the population, per account
    # also the model per account, and limits that cut answers off; answers of other models are worth nothing
    spread_model: bool = False
    # the program whose user agent, system text and settings all copy; COMMONEST: the most used suitable one
    client: str = ""
    decoys: float = 0.0  # share of accounts that use the population's other models, for no gain
    cover: float = 0.0  # share of all requests that are honest conversation, paid for
    drop: float = 0.0  # share of streams that are cut off after most of the answer
    place: str = "message"  # where the question is in a request: one of `placing.PLACES`
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
        """The differences from the defaults, for a table."""
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
    item: int | None  # the example that it asks for; None is cover
    talk: str | None = None  # cover: the conversation to which it belongs
    turn: int = 1
    dropped: bool = False
    place: str = "message"
    tools: int = 0  # number of tools offered


@dataclass(frozen=True, slots=True)
class TryResult:
    """The response to a request."""

    account: str
    at_us: int
    item: int | None
    outcome: Outcome


@dataclass(frozen=True)
class Brief:
    """An attacker's starting position."""

    goal: int  # distinct examples wanted
    begin_us: int
    items: tuple[str, ...]  # questions, at least as many as the goal
    talks: tuple[tuple[str, ...], ...]  # honest conversations, for cover
    wanted: str = "mira-think"  # the only model whose answers count


class AttackSession(Protocol):
    """An attacker during a campaign."""

    def hour(self, at_us: int) -> list[Try]:
        """Return the requests for the hour that begins at `at_us`."""

    def again(self, refused: Try, until_us: int) -> Try | None:
        """Return the later replacement of a failed request; None: its question goes back to the list.

        until_us: when the account will reportedly be served again.
        """

    def saw(self, results: Sequence[TryResult]) -> None:
        """Receive the results of the requests, in order of time, except those that are sent again."""

    @property
    def given_up(self) -> bool:
        """Return whether nothing more will be tried."""


class Attacker(Protocol):
    """An attacker by its name (registry.py)."""

    @property
    def NAME(self) -> str:
        """Its name in a table."""

    def begin(self, brief: Brief, market: Market, rng: np.random.Generator) -> AttackSession:
        """Begin a campaign."""
