"""Stillwatch with randomised holds, as a gateway runs them: candidates are refused for random minutes.

At each full hour the live scan's candidates go to the gateway's own `follow` over a state file, under terms
with holds `on`. Schedules refuse within the terms' budgets. Refused requests are evidence for the next
evaluation, and the accounts that it names are accused. There are no holds in the clean days. With a limit its
name comes last (`allowance+stillwatch/holds`), since a request that a limit refuses is not held.

Null: that of `scan.holds`, besides that of `stillwatch`.
Blind to: a recorded log, in which nothing can be refused; work that waits for its account; docs/holds.md.
Fooled by: an honest client that continues with another of its accounts that nothing ties to it.
Source: docs/holds.md
"""

import shutil
import tempfile
import weakref
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from stillwatch.gateway.control.holds import all_held, follow
from stillwatch.gateway.control.state import ControlState
from stillwatch.range.defences import LogJudgement, LogToJudge
from stillwatch.range.defences.stillwatch import KEEP, ScanDefence, ScanWatch, accounts_in_schema
from stillwatch.scan import ScanResult
from stillwatch.scan.hold_candidates import candidates
from stillwatch.scan.live import LiveScan
from stillwatch.scan.parts import PARTS
from stillwatch.terms import Holds, Permission, Terms
from stillwatch.terms.holds import HoldSchedule
from stillwatch.units import DAY_US, MINUTE_US

NAME = "stillwatch/holds"
TERMS = Terms(1, holds=Holds(mode="on"))
LOG_STANDS = "in a log that stands nobody can be held: it is played in contests"
FOREVER_US = 4_102_444_800_000_000  # the year 2100: permissions in the accounts table do not expire


class HoldsInForce:
    """The running schedules, and the minutes of each account's day in which they have refused it."""

    def __init__(self, terms: Holds) -> None:
        self._terms = terms
        self._schedules: dict[str, HoldSchedule] = {}
        self._minutes: dict[tuple[str, int], set[int]] = defaultdict(set)

    def renew(self, schedules: Iterable[HoldSchedule], now_us: int) -> list[HoldSchedule]:
        """Take all schedules so far; return the running ones."""
        running = [
            schedule for schedule in schedules if schedule.ended_us is None and schedule.end_us > now_us
        ]
        self._schedules = {account: schedule for schedule in running for account in schedule.accounts}
        return running

    def refused_until_us(self, account: str, at_us: int) -> int | None:
        """Return until when a request is held now, and count the minute; None if it is served."""
        schedule = self._schedules.get(account)
        hold_us = None if schedule is None else schedule.hold_end_us(account, at_us)
        if hold_us is None:
            return None
        spent, minute = self._minutes[(account, at_us // DAY_US)], at_us // MINUTE_US
        if minute not in spent and len(spent) >= self._terms.refused_minutes_per_day:
            return None
        spent.add(minute)
        return hold_us


def permissions_of(accounts: pa.Table) -> tuple[Permission, ...]:
    """Return the permissions of an accounts table, in the form of the terms."""
    return tuple(
        Permission(kind, "the accounts table", FOREVER_US, account=row["account"])
        for row in accounts.select(["account", "permissions"]).to_pylist()
        for kind in row["permissions"] or ()
    )


@dataclass
class HoldingWatch(ScanWatch):
    """A live scan whose candidates are held."""

    clean_until_us: int = 0
    secret: bytes = bytes(32)
    terms: Terms = TERMS
    _in_force: HoldsInForce = field(init=False)
    _state: ControlState | None = None
    _followed_us: int = 0

    def __post_init__(self) -> None:
        self._in_force = HoldsInForce(self.terms.holds)

    @property
    def schedules(self) -> tuple[HoldSchedule, ...]:
        """Return every schedule so far, oldest first."""
        return self.scan.options.held

    def refuses(self, account: str, at_us: int, model: str | None = None) -> bool:
        """Return whether the account is held now."""
        return self.refused_until_us(account, at_us) is not None

    def refused_until_us(self, account: str, at_us: int, model: str | None = None) -> int | None:
        """Return until when the account is held; None if it is not."""
        return self._in_force.refused_until_us(account, at_us)

    def act_on(self, result: ScanResult, until_us: int) -> None:
        """Begin and end holds after each full evaluation."""
        if until_us < self.clean_until_us or self.scan.evaluated_until_us == self._followed_us:
            return
        self._followed_us = self.scan.evaluated_until_us
        if self._state is None:
            folder = Path(tempfile.mkdtemp(prefix="stillwatch-contest-"))
            self._state = ControlState(folder / "state.db", self.secret)
            weakref.finalize(self, _discard, self._state, folder)
        groups, accounts = candidates(result), self.scan.accounts
        orgs: dict[str, str | None] = {}
        terms = self.terms
        if groups and accounts is not None:
            orgs = dict(zip(accounts["account"].to_pylist(), accounts["org"].to_pylist(), strict=True))
            terms = replace(terms, permissions=permissions_of(accounts))
        follow(self._state, terms, groups, orgs, now_us=until_us, tell=lambda text: None)
        schedules = tuple(entry.schedule for entry in all_held(self._state))
        self._in_force.renew(schedules, until_us)
        self.scan.options = replace(self.scan.options, held=schedules)


@dataclass(frozen=True)
class HoldsDefence(ScanDefence):
    """Scanning with holds, as a defence."""

    terms: Terms = TERMS

    def open_watch(self, accounts: pa.Table | None, clean_until_us: int, seed: int) -> HoldingWatch:
        """Start a watch. The seed draws which accounts are held when; no attacker knows it."""
        scan = LiveScan(self._options(), keep=KEEP, accounts=accounts_in_schema(accounts))
        secret = np.random.default_rng([seed, 6]).bytes(32)
        return HoldingWatch(scan, clean_until_us=clean_until_us, secret=secret, terms=self.terms)

    def judge(self, log: LogToJudge) -> LogJudgement:
        """Report that holds cannot run on a recorded log."""
        return LogJudgement((), cannot_fire=LOG_STANDS)


def defences(dial: float) -> dict[str, HoldsDefence]:
    """Return the only defence of this module."""
    return {NAME: HoldsDefence(NAME, PARTS, False, dial)}


def _discard(state: ControlState, folder: Path) -> None:
    state.close()
    shutil.rmtree(folder, ignore_errors=True)
