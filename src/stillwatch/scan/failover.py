"""A natural experiment in the log: is what one account was refused asked word for word by another soon?

Nobody need be held for it: rate limits, bans and outages are in the log already.
"""

# mypy: allow-untyped-defs

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit

from stillwatch.exchanges.log import ExchangeLog
from stillwatch.stats.arrays import place_of
from stillwatch.stats.subsets import Stratum, rate_tail, subset_tail

WITHIN_US = 10 * 60_000_000
STRATUM_US = 6 * 3_600_000_000
# of honest failures that another account repeats, as counted on the first author's development worlds
LEAST_RATE = 0.008
HOURS_US = 12 * 3_600_000_000  # a queue may come back to its failed work the same night
FEW_CUSTOMERS = 3  # that ever asked one text: a class and a benchmark have more
NOTHING = "No text of this group was refused: nothing can be said from refusals."


@dataclass(frozen=True)
class Repeat:
    """One refused text that another account asked: what can be shown to both, and checked by a person."""

    refused: str  # the account
    refused_us: int
    repeated_by: str
    repeated_us: int


@dataclass(frozen=True)
class FailoverEvidence:
    """How often a group's refused texts came again from another of its accounts."""

    p_value: float
    refused: int  # texts of one account that were refused
    repeated: int  # of these, asked by another account of the group within minutes
    rate_elsewhere: float  # the same among accounts outside the group; any other account counts
    text: str
    repeats: tuple[Repeat, ...] = ()  # in the order of time; with one account it is a coincidence, not a tie


@dataclass(frozen=True)
class _Texts:
    """One row for each run of requests in which an account asks one text."""

    begin_us: np.ndarray
    account: np.ndarray  # (n,) code
    asked_us: np.ndarray  # from when on another account may repeat it: the first refusal, or the begin
    refused: np.ndarray  # (n,) bool
    by: np.ndarray  # (n,) which row repeats it first, -1: none

    @property
    def repeated(self) -> np.ndarray:
        """(n,) bool: whether another account asks the text soon after."""
        return self.by >= 0


def failover_evidence(
    log: ExchangeLog, accounts: Iterable[str], within_us: int = WITHIN_US
) -> FailoverEvidence:
    """Test whether a refused text of one account is asked by another account of the group within minutes.

    Refused: status 403, 408, 429, 5xx. An account's repeats of one text count once. Two nulls must both be
    rejected; the larger p-value counts.

    Null: (1) among the group's own texts of the same six hours, which were refused has nothing to do with
        which are asked again by another account: what the group shares anyway (a class, a benchmark) is
        asked again as often when it was answered. (2) A refused text is asked again no more often than
        outside the group, where every other account counts, and no more often than `LEAST_RATE`.
    Blind to: a log without refusals, texts or statuses; a queue that waits for the same account; rewording.
    Fooled by: an honest client that goes on with another of its own accounts; an outage in which a class that
        asks one question is denser than in the rest of its six hours.
    Source: docs/field.md, signal 13; the rate of honest failovers is that of the development worlds (0.8 %).
    """
    if len(log) == 0:
        return FailoverEvidence(1.0, 0, 0, 0.0, NOTHING)
    named = set(accounts)
    inside = np.array([account in named for account in log.accounts] + [False])[log["account"]]
    ours, others = (_texts(log, rows, within_us) for rows in (inside, ~inside & (log["account"] >= 0)))
    refused, repeated = int(ours.refused.sum()), int((ours.refused & ours.repeated).sum())
    elsewhere = int(others.refused.sum())
    rate = float((others.refused & others.repeated).sum() / elsewhere) if elsewhere else 0.0
    by_rate = rate_tail(repeated, refused, max(rate, LEAST_RATE))
    p_value = max(by_rate, subset_tail(_strata(ours))) if refused else 1.0
    if not refused:
        text = NOTHING
    else:
        text = (
            f"{repeated:,} of {refused:,} refused texts were asked word for word by another account of the "
            f"group within {within_us // 60_000_000} minutes; outside the group "
            f"{rate:.1%} are (p = {p_value:.2g})."
        )
    return FailoverEvidence(p_value, refused, repeated, rate, text, _repeats(log, ours))


def failover_least_p_value(log: ExchangeLog, rows: np.ndarray, within_us: int = WITHIN_US) -> float:
    """Bound the p-value of `failover_evidence` from below by the group's exchanges alone.

    Most groups show nothing: this spares them the count over the rest of the log. rows: all of the group's.
    """
    inside = np.zeros(len(log), bool)
    inside[rows] = True
    ours = _texts(log, inside, within_us)
    refused, repeated = int(ours.refused.sum()), int((ours.refused & ours.repeated).sum())
    return rate_tail(repeated, refused, LEAST_RATE) if refused else 1.0


def refusal_groups(log: ExchangeLog, payer: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Give groups of accounts that take over what the others are refused: p-value and account codes of each.

    Two customers are tied when the one asks what the other was refused within `HOURS_US`, in a text that at
    most `FEW_CUSTOMERS` ever asked. Groups are what ties connect. The p-value is that of so many repeats at
    the rate `LEAST_RATE`; as the group was made of them it orders groups and proves nothing.
    payer: (accounts,) who counts as one.
    """
    chosen = np.flatnonzero((log["exact"] != 0) & (log["account"] >= 0))
    failed = _is_failed(log["status"])
    texts = np.unique(log["exact"][chosen[failed[chosen]]])
    rows = chosen[np.isin(log["exact"][chosen], texts)]
    rows = rows[np.lexsort((log["ts_us"][rows], log["exact"][rows]))]
    text, who, at_us = log["exact"][rows], payer[log["account"][rows]], log["ts_us"][rows]
    root = np.arange(len(payer))
    ties: list[tuple[int, int]] = []
    bounds = [0, *(np.flatnonzero(text[1:] != text[:-1]) + 1).tolist(), len(rows)]
    for low, high in pairwise(bounds):
        customers = who[low:high]
        if not 1 < len(set(customers.tolist())) <= FEW_CUSTOMERS:
            continue
        for k in range(low, high):
            later = np.flatnonzero((customers != who[k]) & (at_us[low:high] > at_us[k]))
            if failed[rows[k]] and len(later) and at_us[low + later[0]] <= at_us[k] + HOURS_US:
                ties.append((int(who[k]), int(customers[later[0]])))
    for a, b in ties:
        root[_top(root, a)] = _top(root, b)
    refused = np.bincount(payer[log["account"][chosen[failed[chosen]]]], minlength=len(payer))
    groups: dict[int, set[int]] = {}
    for pair in ties:
        groups.setdefault(_top(root, pair[0]), set()).update(pair)
    found = []
    for top, customers in sorted(groups.items()):
        moved = sum(_top(root, a) == top for a, _ in ties)
        tried = int(refused[list(customers)].sum())
        codes = np.flatnonzero(np.isin(payer, list(customers)))
        found.append((rate_tail(min(moved, tried), tried, LEAST_RATE), codes))
    return found


def _top(root: np.ndarray, code: int) -> int:
    """Give the representative of what a code is connected to."""
    while root[code] != code:
        root[code] = root[root[code]]
        code = int(root[code])
    return code


def _is_failed(status: np.ndarray) -> np.ndarray:
    failed: np.ndarray = (status == 403) | (status == 408) | (status == 429) | (status >= 500)
    return failed


def _texts(log: ExchangeLog, rows: np.ndarray, within_us: int) -> _Texts:
    chosen = np.flatnonzero(rows & (log["exact"] != 0))
    if len(chosen) == 0:
        nothing = np.zeros(0, np.int64)
        return _Texts(nothing, nothing, nothing, nothing.astype(bool), nothing)
    ts, account, exact = log["ts_us"][chosen], log["account"][chosen], log["exact"][chosen]
    status = log["status"][chosen]
    failed = _is_failed(status)
    order = np.lexsort((ts, account, exact))
    ts, account, exact, failed = ts[order], account[order], exact[order], failed[order]
    new = np.r_[
        True,
        (exact[1:] != exact[:-1]) | (account[1:] != account[:-1]) | (ts[1:] - ts[:-1] > within_us),
    ]
    begin = np.flatnonzero(new)
    run = np.cumsum(new) - 1
    refused = np.zeros(len(begin), bool)
    refused[run[failed]] = True
    asked_us = ts[begin].copy()
    first_failed = np.flatnonzero(failed)[::-1]
    asked_us[run[first_failed]] = ts[first_failed]
    exact, account, ts = exact[begin], account[begin], ts[begin]
    by = _first_other(exact, account, ts, asked_us, np.lexsort((ts, exact)), within_us)
    return _Texts(ts, account, asked_us, refused, by)


@njit(cache=True, nogil=True)
def _first_other(exact, account, begin_us, asked_us, order, within_us):
    """(runs,) the first run of the same text by another account soon after, -1: none.

    Sorted by text; order: (runs,) by text and begin.
    """
    by = np.full(len(exact), -1, np.int64)
    low = 0
    while low < len(exact):
        high = low
        while high < len(exact) and exact[high] == exact[low]:
            high += 1
        times = begin_us[order[low:high]]
        for k in range(low, high):
            at = place_of(times, asked_us[k] + 1)
            while at < len(times) and times[at] <= asked_us[k] + within_us:
                if account[order[low + at]] != account[k]:
                    by[k] = order[low + at]
                    break
                at += 1
        low = high
    return by


def _repeats(log: ExchangeLog, texts: _Texts) -> tuple[Repeat, ...]:
    found = np.flatnonzero(texts.refused & texts.repeated)
    found = found[np.argsort(texts.asked_us[found], kind="stable")]
    return tuple(
        Repeat(
            log.accounts[texts.account[k]],
            int(texts.asked_us[k]),
            log.accounts[texts.account[texts.by[k]]],
            int(texts.begin_us[texts.by[k]]),
        )
        for k in found
    )


def _strata(texts: _Texts) -> list[Stratum]:
    found = []
    stratum = texts.begin_us // STRATUM_US
    for one in np.unique(stratum[texts.refused]):
        here = stratum == one
        refused, repeated = texts.refused[here], texts.repeated[here]
        found.append(
            Stratum(int(here.sum()), int(repeated.sum()), int(refused.sum()), int((refused & repeated).sum()))
        )
    return found
