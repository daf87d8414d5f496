"""Clients under randomised holds: queues over many accounts, and honest people. Seeded, no texts.

Each client is a function of a schedule that returns its requests as (time in µs, account, status, text).
Holds are those of `HoldSchedule`, with the day's budget of refused minutes.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from stillwatch.exchanges.log import ExchangeLog
from stillwatch.scan.candidates import still_open
from stillwatch.scan.holds import holds_evidence
from stillwatch.terms import Holds
from stillwatch.terms.holds import HoldSchedule, draw_denser, draw_longer, plan, why_over
from stillwatch.units import DAY_US, MINUTE_US

START_US = 20_500 * DAY_US
HOUR_US = 60 * MINUTE_US
SECOND_US = 1_000_000


def names(many: int) -> list[str]:
    return [f"acct-{k:03}" for k in range(many)]


def schedule(seed: int, many: int, terms: Holds | None = None) -> HoldSchedule:
    """Return a drawn schedule over `many` accounts."""
    key = hashlib.sha256(f"test {seed}".encode()).digest()
    return plan(terms or Holds(), f"sw-{seed}", names(many), START_US, key)


@dataclass
class Door:
    """The gateway's replies: held or served. Holds cost an account at most so many minutes a day."""

    drawn: HoldSchedule
    budget: int = Holds.refused_minutes_per_day
    rows: list[tuple[int, str, int, int]] = field(default_factory=list)
    minutes: dict[tuple[str, int], set[int]] = field(default_factory=dict)

    def asks(self, at_us: int, account: str, text: int) -> int | None:
        """Return the wait if the request is refused, None if it is served."""
        end_us = self.drawn.hold_end_us(account, at_us)
        spent = self.minutes.setdefault((account, at_us // DAY_US), set())
        minute = at_us // MINUTE_US
        if end_us is not None and minute not in spent and len(spent) >= self.budget:
            end_us = None
        if end_us is not None:
            spent.add(minute)
        self.rows.append((at_us, account, 200 if end_us is None else 429, text))
        return end_us


@dataclass
class WatchedDoor(Door):
    """A door whose schedule is checked every twelve hours: it then ends, draws more often, or continues.

    The client that uses it has jobs for as many days as its schedule.
    """

    terms: Holds = field(default_factory=lambda: Holds(mode="on"))
    looked_us: int = START_US

    def __post_init__(self) -> None:
        self.drawn = replace(self.drawn, days=self.terms.days)

    def asks(self, at_us: int, account: str, text: int) -> int | None:
        while at_us >= self.looked_us + 12 * HOUR_US:
            self.looked_us += 12 * HOUR_US
            if self.drawn.ended_us is None:
                self.look(self.looked_us)
        return super().asks(at_us, account, text)

    def look(self, now_us: int) -> None:
        if not self.rows:
            return
        candidates = still_open([(self.drawn, holds_evidence(log_of(self.rows), self.drawn, now_us))])
        if why_over(self.terms, self.drawn, candidates, now_us) is not None:
            self.drawn = replace(self.drawn, ended_us=min(now_us, self.drawn.end_us))
            return
        for draw in (draw_denser, draw_longer):
            for changed in draw(self.terms, [self.drawn], candidates, now_us):
                self.drawn = changed


def jobs(
    rng: np.random.Generator, begin_us: int, a_day: float, days: int, *, night: float, bursts: float
) -> np.ndarray:
    """Draw times of jobs: Poisson, fewer at night, more in some hours than others (variance `bursts`)."""
    hours = np.arange(24 * days)
    rate = np.where(hours % 24 < 8, 1 - night, 1 + night / 2) * a_day / 24
    if bursts:
        rate = rate * rng.gamma(1 / bursts, bursts, len(hours))
    many = rng.poisson(rate)
    at = np.repeat(hours, many) * HOUR_US + rng.integers(0, HOUR_US, many.sum())
    return begin_us + np.sort(at)


def queue(
    drawn: HoldSchedule,
    rng: np.random.Generator,
    a_day: float,
    *,
    night: float = 0.0,
    bursts: float = 0.0,
    budget: int = Holds.refused_minutes_per_day,
    delay_s: int = 2,
    sticky: float = 0.0,
    moves: float = 1.0,
    door_of: Callable[..., Door] = Door,
) -> Door:
    """Play one queue over all accounts: what one is refused, another asks after `delay_s`.

    sticky: this share of the jobs has a fixed account, and moves only when that one is refused. moves: this
    share of the refused jobs is asked again, the rest is given up.
    """
    door, until = door_of(drawn, budget), dict.fromkeys(drawn.accounts, 0)
    times = jobs(rng, drawn.start_us, a_day * len(drawn.accounts), drawn.days, night=night, bursts=bursts)
    for text, begin_us in enumerate(times.tolist(), start=1):
        at_us = begin_us
        while ready := [a for a, end_us in until.items() if end_us <= at_us]:
            account = ready[rng.integers(len(ready))]
            own = drawn.accounts[text // 40 % len(drawn.accounts)]  # forty jobs on one topic
            if at_us == begin_us and own in ready and rng.random() < sticky:
                account = own
            wait_us = door.asks(at_us, account, text)
            if wait_us is None or (moves < 1 and rng.random() >= moves):
                break
            until[account] = wait_us
            at_us += delay_s * SECOND_US
    return door


def people(
    drawn: HoldSchedule,
    rng: np.random.Generator,
    a_day: float,
    *,
    night: float = 0.8,
    bursts: float = 1.0,
    patience: float = 0.5,
    door_of: Callable[..., Door] = Door,
) -> Door:
    """Play each account by itself: heavy-tailed volumes, shared busy hours; some ask again later, some leave.

    This also simulates an attacker whose accounts have separate queues.
    """
    door = door_of(drawn)
    volume = rng.pareto(1.5, len(drawn.accounts)) + 0.3
    shares = volume / volume.sum()
    times = jobs(rng, drawn.start_us, a_day * len(drawn.accounts), drawn.days, night=night, bursts=bursts)
    who = rng.choice(len(shares), len(times), p=shares)
    for text, (at_us, k) in enumerate(zip(times.tolist(), who.tolist(), strict=True), start=1):
        account = drawn.accounts[k]
        wait_us = door.asks(at_us, account, text)
        if wait_us is not None and rng.random() < patience:
            door.asks(wait_us + int(rng.integers(0, HOUR_US)), account, text)
    return door


def log_of(rows: Iterable[tuple[int, str, int, int]]) -> ExchangeLog:
    """Return a log of such requests, with the columns that holds and refusals use."""
    rows = sorted(rows)
    accounts = tuple(sorted({row[1] for row in rows}))
    code = {account: k for k, account in enumerate(accounts)}
    columns = {
        "ts_us": np.array([row[0] for row in rows], np.int64),
        "account": np.array([code[row[1]] for row in rows], np.int32),
        "status": np.array([row[2] for row in rows], np.int16),
        "exact": np.array([row[3] for row in rows], np.uint64),
    }
    nothing = np.zeros((len(rows), 1), np.uint32)
    return ExchangeLog(columns, nothing, nothing, accounts, (), frozenset(), 0)


Client = Callable[..., Door]
