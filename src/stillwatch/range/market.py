"""The market for accounts: fresh, aged or stolen.

A fresh account is one of a burst of sign-ups on few networks (tradecraft 1); an aged one takes its traits
from an honest account (tradecraft 2); a stolen key is an honest account whose owner continues to use it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from stillwatch.errors import InputError
from stillwatch.range.client_programs import LEAST_USERS, ClientProgram
from stillwatch.range.costs import AccountKind, AttackBudget, AttackPrices
from stillwatch.range.identity import AccountIdentity, Donor, identities
from stillwatch.units import time_of

ACCOUNT_TRAITS = ("org", "tier", "country", "email_domain", "payment", "declared_use")

# In tokens: nobody pays for reasoning and cuts it off. A trace has at most 28,000 (range/rows.py).
LEAST_OUTPUT = 32_768


@dataclass(frozen=True, slots=True)
class HeldAccount:
    """One account held by an attacker."""

    name: str
    kind: AccountKind
    who: AccountIdentity
    voice: int  # seed for its own wrapper and waking hours


class Market:
    """Sells accounts as long as there is money."""

    def __init__(
        self,
        budget: AttackBudget,
        begin: datetime,
        donors: list[Donor],
        owners: list[tuple[str, Donor]],
        rng: np.random.Generator,
        programs: Sequence[ClientProgram] = (),
    ) -> None:
        self.budget, self.begin, self._rng = budget, begin, rng
        self._everybody, self._programs = donors, programs
        self._donors = [d for d in donors if d.max_tokens is None or d.max_tokens >= LEAST_OUTPUT]
        self._owners = [owners[i] for i in rng.permutation(len(owners))]  # whose keys may be stolen
        self.held: dict[str, HeldAccount] = {}
        self.unlisted: list[dict[str, Any]] = []  # rows of the accounts table that were not reported yet

    @property
    def prices(self) -> AttackPrices:
        return self.budget.prices

    def buy(
        self, kind: AccountKind, count: int, at_us: int, calls_as: ClientProgram | None = None
    ) -> list[HeldAccount]:
        """Buy up to `count` accounts; fewer when money or stolen keys run out.

        calls_as: the program that they are to imitate.
        """
        count = self._affordable(kind, count)
        if count == 0:
            return []
        at = time_of(at_us)
        if kind == "stolen":
            owners = [self._owners.pop() for _ in range(count)]
            made = [
                AccountIdentity(name, at, donor, ((donor.client_ip, donor.asn),)) for name, donor in owners
            ]
        else:
            made = identities(2 if kind == "aged" else 1, count, self.begin, at, self._donors, self._rng)
        bought = []
        for who in made:
            self.budget.buy(kind)
            adapted, voice = self._adapt_identity(who, kind), int(self._rng.integers(2**31))
            if calls_as is not None:
                adapted = calls_as.copied_by(adapted, voice)
            account = HeldAccount(who.account, kind, adapted, voice)
            self.held[who.account] = account
            bought.append(account)
            if kind != "stolen":
                traits = {name: getattr(who.donor, name) for name in ACCOUNT_TRAITS}
                created = min(who.created, at)
                self.unlisted.append(
                    {"account": who.account, "created": created, "permissions": [], **traits}
                )
        return bought

    def settings(self, voice: int) -> tuple[float | None, int | None]:
        """Return temperature and output limit of an honest account, for an attacker that draws them again."""
        like = self._donors[voice % len(self._donors)]
        return like.temperature, like.max_tokens

    def honest_account(self, voice: int) -> Donor:
        """Draw an ordinary honest account, whose limit may be too small for a trace."""
        return self._everybody[voice % len(self._everybody)]

    def program(self, name: str | None, model: str) -> ClientProgram:
        """Return the most common settings of a program for a model.

        name: None for the most used program whose limit leaves room for a trace.
        Raises: InputError if no program of the log is suitable.
        """
        programs = [program for program in self._programs if program.settings["model"] == model]
        for program in programs:
            room = program.settings["max_tokens"] is None or program.settings["max_tokens"] >= LEAST_OUTPUT
            if room if name is None else program.name == name:
                return program
        wanted = "with room for an answer" if name is None else repr(name)
        known = ", ".join(dict.fromkeys(program.name for program in programs)) or "none"
        raise InputError(
            f"the log has no client {wanted} to copy: {LEAST_USERS} honest accounts must ask {model} by it "
            f"alike in the clean days; clients of so many that do: {known}"
        )

    def _affordable(self, kind: AccountKind, count: int) -> int:
        if kind == "stolen":
            count = min(count, len(self._owners))
        price = self.prices.account(kind)
        return count if price == 0 else min(count, int(self.budget.left_usd // price))

    def _adapt_identity(self, who: AccountIdentity, kind: AccountKind) -> AccountIdentity:
        """Adapt an account to the attacker: a thief's address; an output limit that fits a trace."""
        addresses = who.addresses
        if kind == "stolen":
            addresses = ((f"45.86.{self._rng.integers(256)}.{self._rng.integers(1, 255)}", 9009),)
        cap = who.donor.max_tokens
        if cap is not None and cap < LEAST_OUTPUT:
            return replace(who, addresses=addresses, donor=replace(who.donor, max_tokens=None))
        return replace(who, addresses=addresses)
