"""A dry run of holds: the requests that they would have refused in a log."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stillwatch.exchanges.log import ExchangeLog
from stillwatch.terms import Holds
from stillwatch.terms.holds import plan
from stillwatch.units import DAY_US, MINUTE_US

DRAWS = 20


@dataclass(frozen=True)
class HoldCost:
    """The refusals that holds of one candidate would cost, over several draws. Assumes no retries."""

    accounts: int
    days: int  # of the log that were counted
    requests_per_day: float  # of all its accounts
    refused_per_day: float  # of all its accounts
    most_per_account_day: float  # of the account with most, averaged over its days and its draws


def hold_cost(log: ExchangeLog, accounts: Sequence[str], terms: Holds) -> HoldCost:
    """Count the requests refused in the last `terms.days` days of a log, or in all of a shorter one."""
    names = sorted(set(accounts))
    code = {name: place for place, name in enumerate(log.accounts)}
    if len(log) == 0 or not any(name in code for name in names):
        return HoldCost(len(names), 0, 0.0, 0.0, 0.0)
    first_us, last_us = int(log["ts_us"][0]), int(log["ts_us"][-1]) + 1
    days = int(max(1, min(terms.days, (last_us - first_us) // DAY_US)))
    begin_us = max(first_us, last_us - days * DAY_US)
    recent = np.arange(np.searchsorted(log["ts_us"], begin_us), len(log))
    times = {a: log["ts_us"][recent[log["account"][recent] == code[a]]] for a in names if a in code}
    refused = dict.fromkeys(names, 0)
    for draw in range(DRAWS):
        key = hashlib.sha256(f"dry run {draw}".encode()).digest()
        drawn = replace(plan(terms, "dry run", names, begin_us, key), start_us=0, days=10**6)
        for account in times:
            held_us = [t for t in times[account].tolist() if drawn.hold_end_us(account, t) is not None]
            refused[account] += _within_budget(held_us, terms.refused_minutes_per_day)
    return HoldCost(
        len(names),
        days,
        sum(map(len, times.values())) / days,
        sum(refused.values()) / DRAWS / days,
        max(refused.values()) / DRAWS / days,
    )


def _within_budget(held_us: list[int], minutes_per_day: int) -> int:
    """Count the requests of one account that a hold refuses: each day's first minutes with any."""
    minutes: dict[int, set[int]] = {}
    refused = 0
    for at_us in held_us:
        spent, minute = minutes.setdefault(at_us // DAY_US, set()), at_us // MINUTE_US
        if minute in spent or len(spent) < minutes_per_day:
            spent.add(minute)
            refused += 1
    return refused
