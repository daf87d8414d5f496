"""An allowance: a daily number of output tokens for every account, more for those whose clean days show more.

The owner's policy can state it: `[limits] output_tokens_per_day` for all, `[limits.account.NAME]` for
exceptions (`Allowances.terms` writes both), and a sliding day (`terms.window`). The gateway's own limiter
refuses: an unfinished answer reserves what it may still bring. It accuses nobody. A harvest then needs many
accounts or many days, and many accounts are detectable. A client's claims do not count (age, organisation,
declared use).

`stillwatch.terms.allowance` defines the allowances and their limits.

Null: an account's busiest day to come is at most twice its busiest clean one; a new account stays below
    `usual`.
Blind to: a harvest over as many accounts or days as the allowance requires.
Fooled by: an honest account that begins at its full size (a migration, a load test, a new evaluation).
Source: own; limits of this form are every provider's.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from stillwatch.gateway.path.budgets import Budgets
from stillwatch.range.defences import Accusation, LogJudgement
from stillwatch.range.defences.hours import before, in_order, record, refused_ids
from stillwatch.terms import AccountLimits, window
from stillwatch.terms.allowance import GROWTH, NONE, USUAL, Allowances
from stillwatch.terms.limiter import used_up

NAME = "allowance"
TOKENS_A_S = 60  # speed at which an answer is written, and so for how long it reserves tokens


@dataclass
class AllowanceWatch:
    """A running allowance. `answered` is called for every answer once the clean days are over."""

    clean_until_us: int
    share: float = USUAL
    growth: float = GROWTH
    allowances: Allowances | None = None
    _clean: dict[str, dict[int, int]] = field(default_factory=dict)  # account -> block -> tokens
    _budgets: Budgets = field(default_factory=lambda: Budgets(None))
    _on_way: list[tuple[int, int, int, int]] = field(default_factory=list)  # ends, place, tokens, held
    _longest: int = 0  # longest clean answer
    _usual: int | None = None  # from other people's clean days

    def calibrate(self, other: Any) -> None:
        """Take the general allowance from other people's clean days; exceptions stay each account's own."""
        self._usual = Allowances.of(other.busiest(), self.share, self.growth).usual

    def cannot_fire(self) -> str:
        """Return why nothing can be refused; empty if something can."""
        return "no clean day to set it by" if self._settle_allowances().usual >= NONE else ""

    def busiest(self) -> dict[str, int]:
        """Each account's busiest clean day, in output tokens."""
        return {account: window.busiest(tokens) for account, tokens in self._clean.items()}

    def _settle_allowances(self) -> Allowances:
        if self.allowances is None:
            self.allowances = Allowances.of(self.busiest(), self.share, self.growth, self._usual)
        return self.allowances

    def step(self, exchanges: pa.Table, until_us: int) -> Sequence[Accusation]:
        """Learn from the clean days; accuses nobody."""
        clean = before(exchanges, self.clean_until_us)
        if clean.num_rows:
            table = in_order(record(clean))
            columns = (table["time"].cast(pa.int64()), table["account"], table["output_tokens"])
            for at_us, account, tokens in zip(*(c.to_pylist() for c in columns), strict=True):
                self.answered(account, at_us, tokens or 0)
        return ()

    def answered(self, account: str, at_us: int, output_tokens: int, model: str | None = None) -> None:
        """Count an answer's tokens: it reserves what it may bring, and is counted when it has ended."""
        if at_us < self.clean_until_us:
            blocks = self._clean.setdefault(account, {})
            block = at_us // window.BLOCK_US
            blocks[block] = blocks.get(block, 0) + output_tokens
            self._longest = max(self._longest, output_tokens)
            return
        place = self._budgets.place(account, None)
        held = max(self._longest, output_tokens)
        self._budgets.hold(place, held)
        ends_us = at_us + output_tokens * 1_000_000 // TOKENS_A_S
        heapq.heappush(self._on_way, (ends_us, place, output_tokens, held))

    def refuses(self, account: str, at_us: int, model: str | None = None) -> bool:
        """Return whether the account has used its allowance of this day. The last answer may exceed it."""
        return self.refused_until_us(account, at_us, model) is not None

    def refused_until_us(self, account: str, at_us: int, model: str | None = None) -> int | None:
        """Return until when: enough of its tokens are a day old, or an answer that may use it up has come."""
        if at_us < self.clean_until_us:
            return None
        while self._on_way and self._on_way[0][0] <= at_us:
            ends_us, place, tokens, held = heapq.heappop(self._on_way)
            self._budgets.add(place, ends_us, 0, tokens)
            self._budgets.hold(place, -held)
        allowances = self._settle_allowances()
        limits = AccountLimits(output_tokens_per_day=allowances.more.get(account, allowances.usual))
        spent = self._budgets.spent(self._budgets.place(account, None), at_us, sliding=True)
        refusal = used_up(limits, "generates", spent, at_us)
        return None if refusal is None else at_us + (refusal.retry_after_s or 0) * 1_000_000


def open_watch(accounts: pa.Table | None, clean_until_us: int, seed: int, dial: float) -> AllowanceWatch:
    """Start a watch. The false-positive budget does not matter, since it makes no case."""
    return AllowanceWatch(clean_until_us)


def judge(watch: AllowanceWatch, exchanges: pa.Table) -> LogJudgement:
    """Return for every exchange after the clean days whether it would have been refused."""
    return LogJudgement((), frozenset(refused_ids(watch, exchanges)), watch.cannot_fire())
