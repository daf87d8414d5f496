"""Randomised holds as evidence: whether a candidate's accounts take over what the others were refused.

It takes the log and the schedule by which accounts were held. The schedule's accounts were fixed before the
first hold; nothing that the log shows later can change who is compared with whom. It forms no group.

Null: what others ask does not depend on whether an account was drawn to be held (`stats.interference`).
Blind to: work that waits for the same account, or moves later than `REPEAT_WITHIN_US` or in other words.
Fooled by: an honest client that goes on with accounts of its own that nothing shows to be one customer's.
Source: stats/interference.py; docs/holds.md
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from stillwatch.actors import evidence_bits
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.scan import OwnReaction, Reason
from stillwatch.stats.dealing import components
from stillwatch.stats.interference import (
    BETS,
    DrawnCount,
    few_by_chance,
    log_gains,
    p_values,
    rejections,
    wealth,
)
from stillwatch.terms.holds import HoldSchedule
from stillwatch.units import DAY_US, HOUR_US

NAME = "holds"
CONTROL = "provider"  # who is held, and when, the client cannot choose
LEVEL = 1e-3  # of one schedule, however often it is read: of so many that hold no hand one is expected to lie
FALSE_SHARE = 0.1  # of the accounts that a finding names, expected at most
MOST_OWN_P = 0.1  # of an account that is named for how many of its texts moved: no group makes up for less
FEW_BETS = 2  # for each account that took part: with fewer each is judged by one alone
LEAST_NAMED = 3  # tenants that a finding must name: two may be one person with two cards
MOST_ASKERS = 3  # who asks a text after so many accounts shows nothing: a greeting, an exercise
NEVER = np.iinfo(np.int64).max
REPEAT_WITHIN_US = 12 * HOUR_US  # a queue may come back to its failed work the same night


@dataclass(frozen=True)
class HoldsEvidence:
    """What the holds of one candidate show."""

    p_value: float  # of the whole group, whichever one tenant is left out
    text: str
    blocks: int  # that are over, with the time in which what was refused may be asked again
    found_us: int | None = None  # since when it is a finding
    # of the schedule's accounts, and of those who took over
    own: Mapping[str, OwnReaction] = field(default_factory=dict)
    named_us: Mapping[str, int] = field(default_factory=dict)  # account -> when its own part was enough
    refused: int = 0  # new texts, asked while a drawn hold was on
    # p-value where nothing is left out, so that it may be one person: whether going on is worth it
    moved_p: float = 1.0


@dataclass(frozen=True)
class _Bets:
    """One bet for each block in which what an account asked first was asked by another customer later."""

    drawn: np.ndarray  # (bets,) whether the account was held then
    chance: np.ndarray  # (bets,) of that
    block: np.ndarray  # (bets,) counted from the schedule's first
    asked_by: np.ndarray  # (bets,) place of the account among those that are tested
    bet: np.ndarray  # (repeats,) which bet it is that another customer's account asked the same later
    repeated_by: np.ndarray  # (repeats,) place of that account, each once


def holds_evidence(
    log: ExchangeLog,
    schedule: HoldSchedule,
    until_us: int,
    tenant_of: Mapping[str, str] = MappingProxyType({}),
) -> HoldsEvidence:
    """Test from the log whether accounts take over what a schedule's held accounts are refused.

    `until_us`: until when the log is complete; `tenant_of`: of accounts that are known to be one customer.
    Each bet is that an account was held when it first asked what an account of another customer asked
    within `REPEAT_WITHIN_US`. Who takes a text over need not be in the schedule. It may be read at any time;
    earlier readings cost nothing.

    The group's p-value is the largest that any two customers leave when what passes between them is left
    out. So one person who goes on with another of his accounts makes no finding. A finding needs p <= `LEVEL`
    and `LEAST_NAMED` customers whose own evidence is enough, false ones at most `FALSE_SHARE` of them, and
    whom refused texts connect: two such persons are no group.

    Null, Blind to, Fooled by, Source: `stats.interference`.
    """
    blocks = schedule.blocks(until_us - REPEAT_WITHIN_US)
    if not len(blocks):
        own = {account: OwnReaction(0, 0, 0, 1.0) for account in schedule.accounts}
        return HoldsEvidence(1.0, "Holds show nothing yet: they have just begun.", 0, own=own)
    accounts, counts, bets = _bets(log, schedule, blocks, tenant_of)
    numbers = np.unique([tenant_of.get(account, account) for account in accounts], return_inverse=True)[1]
    gains = log_gains(bets.drawn, bets.chance)
    at_block, moment = np.unique(bets.block, return_inverse=True)  # the wealth changes at these alone
    group = p_values(_least_wealth(bets, gains, moment, numbers))
    alone, begun = _own_p_values(bets, moment, len(accounts))
    judged_by, since = _first_bets(bets, moment, len(accounts))
    found_us: int | None = None
    named_us: dict[str, int] = {}
    for k in np.flatnonzero(group <= LEVEL).tolist():
        if np.count_nonzero(moment <= k) < FEW_BETS * np.count_nonzero(begun <= k):
            chosen = _chosen_by_first_bets(bets, judged_by, since <= k)
        else:
            chosen = _chosen_by_counts(alone[:, k], begun <= k)
        chosen = _connected_accounts(chosen, bets, numbers, at_block[k])
        at_us = int(blocks.start + at_block[k] + 1) * schedule.block_us + REPEAT_WITHIN_US
        for place in chosen.tolist():
            found_us = at_us if found_us is None else found_us
            named_us.setdefault(accounts[place], at_us)
    own = _own_reactions(bets, counts, accounts, alone)
    p_value = float(group[-1]) if len(group) else 1.0
    all_wealth = p_values(wealth(_sums(gains, moment, len(at_block))))
    return HoldsEvidence(
        p_value,
        _text(schedule, blocks, own, counts, bets, p_value),
        len(blocks),
        found_us,
        own,
        named_us,
        int(counts[1].sum()),
        float(all_wealth[-1]) if len(all_wealth) else 1.0,
    )


def _first_bets(bets: _Bets, moment: np.ndarray, accounts: int) -> tuple[np.ndarray, np.ndarray]:
    """(accounts,) the bet that each account is judged by where it has few, or -1; and since which moment.

    A bet judges who asked; where an earlier one has judged him, who took the text over: no two by the same.
    The order of accounts does not depend on what was drawn.
    """
    judged_by, since = np.full(accounts, -1), np.full(accounts, NEVER)
    for bet, takers in _takers_in_order(bets, moment):
        for account in takers:
            if judged_by[account] < 0:
                judged_by[account], since[account] = bet, moment[bet]
                break
    return judged_by, since


def _chosen_by_first_bets(bets: _Bets, judged_by: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(accounts,) bool: of those `seen`, whose first bet was drawn, where few of these owe that to chance."""
    came: np.ndarray = seen & np.append(bets.drawn, False)[judged_by]
    few = few_by_chance(came[seen], bets.chance[judged_by[seen]], FALSE_SHARE)
    return came if few else np.zeros(len(seen), bool)


def _chosen_by_counts(alone: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(accounts,) bool: of those `seen`, whose own p-value is small enough."""
    chosen = seen.copy()
    chosen[seen] = rejections(alone[seen], FALSE_SHARE, MOST_OWN_P)
    return chosen


def _own_p_values(bets: _Bets, moment: np.ndarray, accounts: int) -> tuple[np.ndarray, np.ndarray]:
    """(accounts, moments) each account's own p-value by then, and (accounts,) the moment of its first bet.

    A bet that was not drawn speaks against all who took part, by asking first or later: else a pool could
    turn it away from a bystander by asking the same. A drawn one speaks for one of them, as one draw must not
    name a crowd that greets after it: for who comes nearest to being named, of those who are not yet.
    Accounts without a bet begin at `NEVER`.
    """
    p_value, begun = np.ones((accounts, int(moment.max(initial=-1)) + 1)), np.full(accounts, NEVER)
    counts = [DrawnCount()] * accounts
    for bet, takers in _takers_in_order(bets, moment):
        at, came, chance = int(moment[bet]), bool(bets.drawn[bet]), float(bets.chance[bet])
        begun[takers] = np.minimum(begun[takers], at)
        after = {a: counts[a].after(came, chance) for a in takers}
        if came:
            unsure = [a for a in takers if counts[a].p_value > MOST_OWN_P]
            owner = min(unsure or takers, key=lambda a: after[a].p_value if unsure else -counts[a].p_value)
            after = {owner: after[owner]}
        for account, count in after.items():
            counts[account] = count
            p_value[account, at:] = count.p_value
    return p_value, begun


def _takers_in_order(bets: _Bets, moment: np.ndarray) -> Iterator[tuple[int, list[int]]]:
    """Give each bet in the order of time, and who took part: who asked first, then who asked later."""
    order = np.argsort(bets.bet, kind="stable")
    begin = np.searchsorted(bets.bet[order], np.arange(len(bets.drawn) + 1))
    for bet in np.argsort(moment, kind="stable").tolist():
        later = bets.repeated_by[order[begin[bet] : begin[bet + 1]]]
        yield bet, [int(bets.asked_by[bet]), *sorted(later.tolist())]


def _connected_accounts(chosen: np.ndarray, bets: _Bets, numbers: np.ndarray, last: int) -> np.ndarray:
    """Return the given accounts that texts refused by block `last` connect, in pieces of `LEAST_NAMED`."""
    drawn = (bets.drawn & (bets.block <= last))[bets.bet]
    a, b = bets.asked_by[bets.bet[drawn]], bets.repeated_by[drawn]
    inside = chosen[a] & chosen[b]
    component = components(a[inside], b[inside], len(chosen))
    large = [
        label
        for label in np.unique(component[chosen])
        if len(set(numbers[component == label].tolist())) >= LEAST_NAMED
    ]
    connected: np.ndarray = np.flatnonzero(chosen & np.isin(component, large))
    return connected


def own_text(own: OwnReaction) -> str:
    """Say one account's own evidence from holds."""
    return (
        f"of its {own.refused:,} texts that a drawn hold refused, {own.repeated:,} were asked by other "
        f"customers within {REPEAT_WITHIN_US // HOUR_US} hours; it asked {own.taken_over:,} "
        f"that others were refused (its own p = {own.p_value:.2g})"
    )


def _text(
    schedule: HoldSchedule,
    blocks: range,
    own: Mapping[str, OwnReaction],
    counts: np.ndarray,
    bets: _Bets,
    p_value: float,
) -> str:
    days = len(blocks) * schedule.block_us / DAY_US
    refused, moved = sum(o.refused for o in own.values()), sum(o.repeated for o in own.values())
    return (
        f"In {days:.1f} days with holds of {schedule.block_minutes} minutes {len(schedule.accounts):,} "
        f"accounts asked {refused:,} new texts while they were held; {moved:,} of these were asked by "
        f"accounts of other customers. Beside them, {int(counts[0].sum()):,} texts at times that were not "
        f"drawn: {int((~bets.drawn).sum()):,} such (p = {p_value:.2g})."
    )


def _bets(
    log: ExchangeLog, schedule: HoldSchedule, blocks: range, tenant_of: Mapping[str, str]
) -> tuple[tuple[str, ...], np.ndarray, _Bets]:
    """Return the accounts that are tested, how many new texts each asked, (while not held or held, accounts),
    and the bets. The schedule's accounts come first, then whoever else ever asked a text after one.

    Of a block only what the account asks first counts, as it cannot know then whether it is held: what it
    asks afterwards may be chosen by that. And only a text that it never asked before: its own retries are no
    repeats. A block in which nothing is drawn for it counts for nothing.
    """
    tested = set(schedule.accounts)
    is_tested = np.array([account in tested for account in log.accounts] + [False])
    low, high = np.searchsorted(log["ts_us"], np.array([blocks.start, blocks.stop]) * schedule.block_us)
    rows_tested = np.flatnonzero(is_tested[log["account"][low:high]]) + low
    cell = log["account"][rows_tested].astype(np.int64) * len(blocks)
    cell += log["ts_us"][rows_tested] // schedule.block_us - blocks.start
    cells, first = np.unique(cell, return_index=True)
    who, within = np.divmod(cells, len(blocks))
    draws = [
        schedule.draw(log.accounts[account], blocks.start + block)
        for account, block in zip(who.tolist(), within.tolist(), strict=True)
    ]
    asks = rows_tested[first]  # rows of the log
    texts = np.unique(log["exact"][asks])
    rows = _first_asks(log, texts[texts != 0])
    new = np.array([draw is not None for draw in draws], bool) & np.isin(asks, rows)
    asks, who, within, drawn = asks[new], who[new], within[new], np.array(draws, bool)[new]
    bet, taker = _later_askers(log, rows, asks, tenant_of)
    used, bet = np.unique(bet, return_inverse=True)
    others = sorted({log.accounts[code] for code in taker.tolist()} - tested)
    accounts = (*schedule.accounts, *others)
    place = {account: k for k, account in enumerate(accounts)}
    at = np.array([place.get(account, -1) for account in log.accounts], np.int64)
    counts = np.zeros((2, len(accounts)), np.int64)
    np.add.at(counts, (drawn.astype(int), at[who]), 1)
    chance = np.array([schedule.chance(blocks.start + block) for block in within[used].tolist()], float)
    return accounts, counts, _Bets(drawn[used], chance, within[used], at[who[used]], bet, at[taker])


def _first_asks(log: ExchangeLog, texts: np.ndarray) -> np.ndarray:
    """Rows at which an account asks one of some texts for the first time, in the order of text and time."""
    rows = np.flatnonzero(np.isin(log["exact"], texts) & (log["account"] >= 0))
    rows = rows[np.lexsort((log["ts_us"][rows], log["account"][rows], log["exact"][rows]))]
    text, who = log["exact"][rows], log["account"][rows]
    rows = rows[np.append(True, (text[1:] != text[:-1]) | (who[1:] != who[:-1]))[: len(rows)]]
    return rows[np.lexsort((log["ts_us"][rows], log["exact"][rows]))]


def _later_askers(
    log: ExchangeLog, rows: np.ndarray, asks: np.ndarray, tenant_of: Mapping[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return places in `asks`, and accounts of other customers that asked the same within the time.

    Which of them count is fixed before it is known whether the first was held: nothing that somebody does
    later, knowing that, may take a bet away.
    """
    tenant = [tenant_of.get(account, account) for account in log.accounts]
    at = dict(zip(asks.tolist(), range(len(asks)), strict=True))
    repeats: list[tuple[int, int]] = []
    text = log["exact"][rows]
    for begin, end in pairwise([0, *(np.flatnonzero(text[1:] != text[:-1]) + 1).tolist(), len(rows)]):
        same = rows[begin:end]
        who, time_us = log["account"][same].tolist(), log["ts_us"][same].tolist()
        for k, row in enumerate(same[:MOST_ASKERS].tolist()):
            if row not in at:
                continue
            for other in range(k + 1, len(who)):
                if time_us[other] > time_us[k] + REPEAT_WITHIN_US:
                    break
                if tenant[who[other]] != tenant[who[k]]:
                    repeats.append((at[row], who[other]))
    pairs = np.array(repeats, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _least_wealth(bets: _Bets, gains: np.ndarray, moment: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """(moments,) the least wealth that is left when what passes between two customers is left out.

    numbers: (accounts,) which customer each is.
    """
    total = _sums(gains, moment, int(moment.max(initial=-1)) + 1)
    least = wealth(total)
    asker, taker = numbers[bets.asked_by[bets.bet]], numbers[bets.repeated_by]
    customers = int(numbers.max(initial=0)) + 1
    couple = np.minimum(asker, taker) * customers + np.maximum(asker, taker)
    low, high = np.full(len(bets.drawn), customers * customers), np.full(len(bets.drawn), -1)
    np.minimum.at(low, bets.bet, couple)
    np.maximum.at(high, bets.bet, couple)
    single_couple = np.flatnonzero(low == high)  # bets that rest on one couple alone
    for pair in np.unique(low[single_couple]):
        bets_of_pair = single_couple[low[single_couple] == pair]
        least = np.minimum(
            least, wealth(total - _sums(gains[bets_of_pair], moment[bets_of_pair], len(total)))
        )
    return least


def _sums(gains: np.ndarray, moment: np.ndarray, moments: int) -> np.ndarray:
    """(moments, bettors) the logs of what each bettor has by each moment."""
    gains_by_moment = np.zeros((moments, len(BETS)))
    np.add.at(gains_by_moment, moment, gains)
    total: np.ndarray = gains_by_moment.cumsum(axis=0)
    return total


def _own_reactions(
    bets: _Bets, counts: np.ndarray, accounts: tuple[str, ...], alone: np.ndarray
) -> dict[str, OwnReaction]:
    p_value = alone[:, -1] if alone.shape[1] else np.ones(len(accounts))
    moved = np.bincount(bets.asked_by[bets.drawn], minlength=len(accounts))
    taken = np.bincount(bets.repeated_by[bets.drawn[bets.bet]], minlength=len(accounts))
    return {
        account: OwnReaction(int(counts[1, k]), int(moved[k]), int(taken[k]), float(p_value[k]))
        for k, account in enumerate(accounts)
    }


def holds_reason(evidence: HoldsEvidence) -> Reason:
    """Return the evidence as a finding's reason."""
    bits = round(evidence_bits(evidence.p_value, 1e-300), 3)
    refused = sum(reaction.refused for reaction in evidence.own.values())
    moved = sum(reaction.repeated for reaction in evidence.own.values())
    return Reason(NAME, evidence.text, bits, moved / refused if refused else None, n=refused)
