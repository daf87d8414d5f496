"""Finds groups by refused work alone: their wording need not be new or rare.

Groups form in three ways. None of these is evidence; how much of the refused work moves is.
1. Accounts that moves connect. What connects them counts for nothing, only what they are refused afterwards.
2. Accounts whose client sends one system text.
3. Accounts whose client sends one temperature and one limit.

For the second and third all refused texts count. Only accounts that took part in a move belong to a group.

Null: another customer asks a refused text within minutes with chance `HONEST_RATE` at most.
Blind to: what `failover` is blind to; a pool that is seldom refused, and whose accounts differ in what they
    send; texts that more than `MOST_ASKING` customers ask.
Fooled by: the same as `failover`; anyone who knows what a bystander asks within the next ten minutes.
Source: docs/evidence.md, groups by refused work.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np

from stillwatch.actors import ActorContext
from stillwatch.actors.groups import LEAST_TENANTS
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.scan.explanations import customers
from stillwatch.scan.failover import BET, LEAST_CUSTOMERS, TextRuns, refused_texts, settling_times
from stillwatch.scan.parts import FAILOVER
from stillwatch.scan.settings import DetectionSettings
from stillwatch.stats.dealing import components, encode

HONEST_RATE = 0.027  # counted on development worlds in which harnesses ask public sets
FALSE_SHARE = 0.01  # highest expected share of false groups among those found, under the null
MOST_ASKING = 5  # customers that ask one text: classes, benchmarks and popular questions have more
SENT_ALIKE = (("agent", "system"), ("agent", "temperature_milli", "max_tokens"))
SAME_GROUP = 0.5  # of a group's accounts in another group, finding or schedule: then both are the same


def share_half(one: Collection[int], other: Collection[int]) -> bool:
    """Return whether half of each of two groups of accounts lies in the other.

    >>> share_half({1, 2, 3}, {2, 3, 4}), share_half({1, 2, 3}, set(range(200)))
    (True, False)
    """
    return len(set(one).intersection(other)) >= SAME_GROUP * max(len(one), len(other))


@dataclass
class FailoverGroup:
    """Accounts that took part in moves, and the gains of the bet on their group's refused texts."""

    accounts: set[int] = field(default_factory=set)
    payers: set[int] = field(default_factory=set)  # connected by moves
    gains: float = 0.0  # as a logarithm
    refused: int = 0
    moved: int = 0
    found_us: int | None = None  # when its gains first sufficed by themselves

    def add(self, other: "FailoverGroup") -> None:
        """Merge another group's accounts. The larger gains stay, since those of two bets do not add up."""
        self.accounts |= other.accounts
        self.payers |= other.payers
        self.gains = max(self.gains, other.gains)
        found = [us for us in (self.found_us, other.found_us) if us is not None]
        self.found_us = min(found, default=None)


class _Odds:
    """What a refused text adds to the log of a bet's gains, and the gains that suffice by themselves."""

    def __init__(self, rate: float, enough: float) -> None:
        self.gain, self.loss, self.enough = np.log(BET / rate), np.log((1 - BET) / (1 - rate)), enough


def customers_of(context: ActorContext) -> np.ndarray:
    """(accounts,) the customer of each; call it as `context.once(customers_of)`."""
    return customers(context.log, context.known, context.payers)


def groups_by_refusals(context: ActorContext, settings: DetectionSettings) -> list[FailoverGroup]:
    """Return the groups that refused work forms; none without an accounts table that separates customers."""
    if FAILOVER not in settings.parts or context.known is None or len(context.log) == 0:
        return []
    groups: list[FailoverGroup] = context.once(_groups_in)
    return groups


def _groups_in(context: ActorContext) -> list[FailoverGroup]:
    return failover_groups(context.log, context.once(customers_of), context.payers)


def failover_groups(log: ExchangeLog, customer: np.ndarray, payer: np.ndarray) -> list[FailoverGroup]:
    """Return the groups that pass on at least half of their refused work, the most certain first.

    For each refused text of a group, half of the stake is bet on *moved*. A bet begins with each move, on
    later refusals of the customers that moves connect with it; and for each set of similar requests with at
    least three refusals. Their gains are e-values. Groups are selected so that the share of false ones is at
    most `FALSE_SHARE` (e-BH): the k-th largest e-value must be at least the number of bets / (k
    `FALSE_SHARE`). Groups that share half of the smaller one's accounts are merged.

    customer, payer: (accounts of the log,) of each account: nothing moves within a customer, and a payer's
    accounts are connected.
    Source: Wang and Ramdas 2022, J. R. Stat. Soc. B 84:822 (e-BH); Shafer 2021, J. R. Stat. Soc. A 184:407.
    """
    texts = refused_texts(log, customer, MOST_ASKING)
    moved = texts.refused & texts.repeated
    if moved.sum() < LEAST_CUSTOMERS:
        return []
    alike = [_sent_alike(log, texts, columns) for columns in SENT_ALIKE]
    bets = int(moved.sum())
    bets += sum(int((np.bincount(kind[texts.refused]) >= LEAST_CUSTOMERS).sum()) for kind in alike)

    def found_at(rate: float) -> list[FailoverGroup]:
        odds = _Odds(rate, np.log(bets / FALSE_SHARE))
        groups = _connected_groups(texts, payer, odds)
        for kind in alike:
            groups += _alike_groups(texts, kind, odds)
        return _most_certain(groups, customer, bets)

    groups = found_at(HONEST_RATE)
    others = texts.refused & ~np.isin(texts.account, list(set().union(*(group.accounts for group in groups))))
    rate = float(((others & texts.repeated).sum() + 1) / (others.sum() + 1))
    return found_at(min(rate, BET)) if groups and rate > HONEST_RATE else groups


def _alike_groups(texts: TextRuns, kind: np.ndarray, odds: _Odds) -> list[FailoverGroup]:
    """Return groups of similar requests. kind: (runs,) equal numbers for similar runs."""
    moves = texts.refused & texts.repeated & (kind[texts.by] == kind)
    kinds = int(kind.max()) + 1
    refused, moved = (np.bincount(kind[chosen], minlength=kinds) for chosen in (texts.refused, moves))
    settled_us = settling_times(texts)[1]
    groups = []
    for number in np.flatnonzero((moved >= LEAST_CUSTOMERS) & (moved >= BET * refused)):
        runs = np.flatnonzero(texts.refused & (kind == number))
        runs = runs[np.argsort(settled_us[runs], kind="stable")]
        gains = np.cumsum(np.where(moves[runs], odds.gain, odds.loss))
        enough = np.flatnonzero(gains >= odds.enough)
        took_part = runs[moves[runs]]
        accounts = np.r_[texts.account[took_part], texts.account[texts.by[took_part]]]
        found_us = int(settled_us[runs[enough[0]]]) if len(enough) else None
        groups.append(
            FailoverGroup(
                set(accounts.tolist()), set(), float(gains[-1]), len(runs), len(took_part), found_us
            )
        )
    return groups


def _connected_groups(texts: TextRuns, payer: np.ndarray, odds: _Odds) -> list[FailoverGroup]:
    """Return groups connected by moves, judged by later moves than the connecting ones."""
    moved, by = texts.refused & texts.repeated, texts.account[texts.by]
    first, second = payer[texts.account], payer[by]
    component = components(first[moved], second[moved], len(payer))
    size = np.bincount(component[np.unique(np.r_[first[moved], second[moved]])], minlength=len(payer))
    settled_us = settling_times(texts)[1]
    refused = np.flatnonzero(texts.refused & (size[component[first]] >= LEAST_CUSTOMERS))
    connected: dict[int, FailoverGroup] = {}
    for run in refused[np.argsort(settled_us[refused], kind="stable")].tolist():
        account, moves = int(texts.account[run]), bool(moved[run])
        group = connected.get(int(first[run]))
        if group is not None and account in group.accounts:
            group.refused += 1
            group.moved += moves
            group.gains += odds.gain if moves else odds.loss
        if moves:
            group = _connect(connected, int(first[run]), int(second[run]))
            group.accounts |= {account, int(by[run])}
        if group is not None and group.found_us is None and group.gains >= odds.enough:
            group.found_us = int(settled_us[run])
    return list({id(group): group for group in connected.values()}.values())


def _most_certain(groups: Iterable[FailoverGroup], customer: np.ndarray, bets: int) -> list[FailoverGroup]:
    groups = [g for g in groups if g.moved and g.moved >= BET * g.refused]
    groups = [g for g in groups if len(np.unique(customer[list(g.accounts)])) >= LEAST_TENANTS]
    groups.sort(key=lambda g: (-g.gains, min(g.accounts)))
    enough = [k for k, g in enumerate(groups, 1) if g.gains >= np.log(bets / (k * FALSE_SHARE))]
    found: list[FailoverGroup] = []
    for group in groups[: max(enough, default=0)]:
        same = next((g for g in found if _is_same(g, group)), None)
        if same is None:
            found.append(group)
        else:
            same.add(group)
    return found


def _is_same(first: FailoverGroup, second: FailoverGroup) -> bool:
    smaller = min(len(first.accounts), len(second.accounts))
    return len(first.accounts & second.accounts) >= SAME_GROUP * smaller


def _sent_alike(log: ExchangeLog, texts: TextRuns, columns: tuple[str, ...]) -> np.ndarray:
    """(runs,) equal numbers for runs with equal values in some columns."""
    kind = np.zeros(len(texts.row), np.int64)
    for name in columns:
        values, number = encode(log[name][texts.row])
        kind, number = encode(kind * len(values) + number)[1], number
    return kind


def _connect(connected: dict[int, FailoverGroup], first: int, second: int) -> FailoverGroup:
    one = connected.setdefault(first, FailoverGroup(payers={first}))
    other = connected.setdefault(second, FailoverGroup(payers={second}))
    if one is other:
        return one
    if len(one.payers) < len(other.payers):
        one, other = other, one
    one.add(other)
    one.refused += other.refused  # they had no text in common before
    one.moved += other.moved
    connected |= dict.fromkeys(other.payers, one)
    return one
