"""The attacker's side of an arm: which account asks next, what is kept, how it reacts to a refusal.

It sees what a real attacker sees: answers, refusals, streams that end.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stillwatch.range.identity import AccountIdentity
from stillwatch.range.live import LiveSettings, ReceivedAnswer
from stillwatch.range.live.clients import REFUSED, Heard, Row

EARLIEST, LATEST = 2, 20  # events after which a stream may be aborted: within the steps, before the answer


@dataclass(frozen=True)
class Errand:
    """One request of the campaign, with its time and account."""

    at_us: int
    row: Row
    account: str
    leave_after: int | None


@dataclass
class LiveAttacker:
    """One campaign in one arm. `fresh` are accounts that can replace dead ones."""

    settings: LiveSettings
    goes_on: bool  # replaces blocked accounts
    rng: np.random.Generator
    fresh: Iterator[AccountIdentity]
    taken: list[ReceivedAnswer] = field(default_factory=list)
    asked: int = 0
    left: int = 0
    refused: int = 0
    unsent: int = 0
    stripped: int = 0
    used: set[str] = field(default_factory=set)
    # dead account: its successor, from when
    replaced: dict[str, tuple[AccountIdentity, int]] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)

    def lives(self, accounts: Set[str]) -> bool:
        """Return whether any account is left."""
        return self.goes_on or not accounts <= self.dead

    def errand(self, row: Row, at_us: int) -> Errand | None:
        """Plan one request of the composed log; None if no account is left to send it."""
        account, row = self._whoever(row)
        if account in self.dead:
            self.unsent += 1
            return None
        stands_from = max(
            (since for who, since in self.replaced.values() if who.account == account), default=0
        )
        leave = None
        if row.get("stream") and self.rng.random() < self.settings.dropped:
            leave = int(self.rng.integers(EARLIEST, LATEST))
        return Errand(max(at_us, stands_from), row, account, leave)

    def _whoever(self, row: Row) -> tuple[str, Row]:
        """Return the account that now works in place of the log's, and the request as it sends it."""
        account = row["account"]
        while account in self.replaced:
            who = self.replaced[account][0]
            account = who.account
            row = as_account(row, who, self.rng)
        return account, row

    def hears(self, errand: Errand, heard: Heard, at_us: int) -> AccountIdentity | None:
        """Process a response; return the new account that takes over, if one does."""
        self.asked += 1
        self.used.add(errand.account)
        if heard.status == REFUSED:
            self.refused += 1
            if self.goes_on and errand.account not in self.replaced:
                who = next(self.fresh)
                self.replaced[errand.account] = (who, at_us + int(self.settings.react_s * 1e6))
                return who
            if not self.goes_on:
                self.dead.add(errand.account)
        elif heard.left:
            self.left += 1
        elif heard.whole and heard.answer:
            self.stripped += not heard.reasoning
            self.taken.append(
                ReceivedAnswer(
                    at_us,
                    errand.account,
                    errand.row["problem"],
                    heard.reasoning.strip(),
                    heard.answer.strip(),
                    heard.tokens,
                )
            )
        return None


def as_account(row: Row, who: AccountIdentity, rng: np.random.Generator) -> Row:
    """Return a request as another account sends it: with its own address, client and settings."""
    like, (address, asn) = who.donor, who.addresses[int(rng.integers(len(who.addresses)))]
    options: dict[str, Any] = {"account": who.account, "client_ip": address, "asn": asn}
    for name in ("user_agent", "temperature", "top_p", "max_tokens", "stream", "response_format"):
        options[name] = getattr(like, name)
    return row | options
