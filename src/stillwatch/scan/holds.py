"""Randomised holds as evidence: do a candidate's accounts take over what the others were refused?

The inputs are the log and the schedule by which accounts were held. The schedule's accounts were fixed before
the first hold; nothing later in the log can change which accounts are compared.

Null: what others ask does not depend on whether an account was drawn to be held (`stats.interference`).
Blind to: work that waits for the same account, moves later than `REPEAT_WITHIN_US`, or is reworded.
Fooled by: an honest client that continues with accounts of its own that nothing shows to be one customer's.
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
CONTROL = "provider"  # clients cannot choose who is held, and when
LEVEL = 1e-3  # for one schedule, however often it is read
FALSE_SHARE = 0.1  # highest expected share of false accounts in a finding
MOST_OWN_P = 0.1  # greatest p-value of a named account's own moved texts, whatever the group's evidence
FEW_BETS = 2  # for each account that took part; with fewer, each is judged by a single one
LEAST_NAMED = 3  # tenants that a finding must name: two may be one person with two cards
MOST_ASKERS = 3  # a later repeat is no evidence: the text is a greeting or an exercise
NEVER = np.iinfo(np.int64).max
REPEAT_WITHIN_US = 12 * HOUR_US  # a queue may come back to its failed work the same night


@dataclass(frozen=True)
class HoldsEvidence:
    """The evidence from the holds of one candidate."""

    p_value: float  # of the whole group; the largest over leaving one tenant out
    text: str
    blocks: int  # completed, including the time in which refused texts may be asked again
    found_us: int | None = None  # when it became a finding
    # of the schedule's accounts, and of those that took work over
    own: Mapping[str, OwnReaction] = field(default_factory=dict)
    named_us: Mapping[str, int] = field(default_factory=dict)  # account -> when its own evidence sufficed
    refused: int = 0  # new texts, asked during a drawn hold
    # p-value with no tenant left out, possibly one person: shows whether continuing is worth it
    moved_p: float = 1.0


@dataclass(frozen=True)
class _Bets:
    """One bet for each block in which an account's first text was later asked by another customer."""

    drawn: np.ndarray  # (bets,) whether the account was held
    chance: np.ndarray  # (bets,) probability of that
    block: np.ndarray  # (bets,) counted from the schedule's first
    asked_by: np.ndarray  # (bets,) index of the account among those tested
    bet: np.ndarray  # (repeats,) the bet whose text another customer's account asked later
    repeated_by: np.ndarray  # (repeats,) index of that account, each once


def holds_evidence(
    log: ExchangeLog,
    schedule: HoldSchedule,
    until_us: int,
    tenant_of: Mapping[str, str] = MappingProxyType({}),
) -> HoldsEvidence:
    """Test from the log whether accounts take over what a schedule's held accounts are refused.

    `until_us`: until when the log is complete; `tenant_of`: the tenant of accounts known to be one
    customer's. Each bet is that an account was held when it first asked a text that another customer's
    account asked within `REPEAT_WITHIN_US`. The account that takes a text over need not be in the schedule.
    The test may be read at any time; earlier readings cost nothing.

    The group's p-value is the largest over leaving out what passes between any two customers. One person who
    continues with another of his accounts therefore makes no finding. A finding needs p <= `LEVEL` and
    `LEAST_NAMED` customers with enough evidence of their own, of whom `FALSE_SHARE` are expected to be false,
    and whom refused texts connect: two such persons are no group.

    Null, Blind to, Fooled by, Source: `stats.interference`.
    """
    blocks = schedule.blocks(until_us - REPEAT_WITHIN_US)
    if not len(blocks):
        own = {account: OwnReaction(0, 0, 0, 1.0) for account in schedule.accounts}
        return HoldsEvidence(1.0, "Holds show nothing yet: they have just begun.", 0, own=own)
    accounts, counts, bets = _bets(log, schedule, blocks, tenant_of)
    numbers = np.unique([tenant_of.get(account, account) for account in accounts], return_inverse=True)[1]
    gains = log_gains(bets.drawn, bets.chance)
    at_block, moment = np.unique(bets.block, return_inverse=True)  # the wealth changes only at these
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
    """(accounts,) the bet by which each account with few bets is judged, or -1; and since which moment.

    A bet judges the account that asked; if an earlier one has judged it, the account that took the text over.
    No bet judges two. The order of accounts does not depend on the draw.
    """
    judged_by, since = np.full(accounts, -1), np.full(accounts, NEVER)
    for bet, takers in _takers_in_order(bets, moment):
        for account in takers:
            if judged_by[account] < 0:
                judged_by[account], since[account] = bet, moment[bet]
                break
    return judged_by, since


def _chosen_by_first_bets(bets: _Bets, judged_by: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(accounts,) bool: those of `seen` whose first bet was drawn, if few of them owe that to chance."""
    came: np.ndarray = seen & np.append(bets.drawn, False)[judged_by]
    few = few_by_chance(came[seen], bets.chance[judged_by[seen]], FALSE_SHARE)
    return came if few else np.zeros(len(seen), bool)


def _chosen_by_counts(alone: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(accounts,) bool: those of `seen` whose own p-value is small enough."""
    chosen = seen.copy()
    chosen[seen] = rejections(alone[seen], FALSE_SHARE, MOST_OWN_P)
    return chosen


def _own_p_values(bets: _Bets, moment: np.ndarray, accounts: int) -> tuple[np.ndarray, np.ndarray]:
    """(accounts, moments) each account's own p-value by then, and (accounts,) the moment of its first bet.

    A bet that was not drawn counts against all accounts that took part, by asking first or later; otherwise a
    pool could make a bystander take its place by asking the same. A drawn one counts for only one of them,
    since one draw must not name many accounts that merely send the same greeting afterwards: for the unnamed
    one that is nearest to being named. Accounts without a bet begin at `NEVER`.
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
    """Yield each bet in order of time, and who took part: the first asker, then the later ones."""
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
    """Describe one account's own evidence from holds."""
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
    """Return the tested accounts, how many new texts each asked, (while not held or held, accounts), and the
    bets. The schedule's accounts come first, then all others that ever asked a text after one of them.

    Only the account's first text in a block counts, since it cannot know then whether it is held; later texts
    may be chosen with that knowledge. And only a text that it never asked before: its own retries are no
    repeats. A block in which nothing is drawn for it does not count.
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
    asks = rows_tested[first]  # row numbers of the log
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
    """Return the rows where an account asks one of some texts for the first time, by text and time."""
    rows = np.flatnonzero(np.isin(log["exact"], texts) & (log["account"] >= 0))
    rows = rows[np.lexsort((log["ts_us"][rows], log["account"][rows], log["exact"][rows]))]
    text, who = log["exact"][rows], log["account"][rows]
    rows = rows[np.append(True, (text[1:] != text[:-1]) | (who[1:] != who[:-1]))[: len(rows)]]
    return rows[np.lexsort((log["ts_us"][rows], log["exact"][rows]))]


def _later_askers(
    log: ExchangeLog, rows: np.ndarray, asks: np.ndarray, tenant_of: Mapping[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return indices into `asks`, and accounts of other customers that asked the same within the time.

    Which of them count is fixed before it is known whether the first was held: no later action with that
    knowledge can remove a bet.
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

    numbers: (accounts,) the customer of each.
    """
    total = _sums(gains, moment, int(moment.max(initial=-1)) + 1)
    least = wealth(total)
    asker, taker = numbers[bets.asked_by[bets.bet]], numbers[bets.repeated_by]
    customers = int(numbers.max(initial=0)) + 1
    couple = np.minimum(asker, taker) * customers + np.maximum(asker, taker)
    low, high = np.full(len(bets.drawn), customers * customers), np.full(len(bets.drawn), -1)
    np.minimum.at(low, bets.bet, couple)
    np.maximum.at(high, bets.bet, couple)
    single_couple = np.flatnonzero(low == high)  # bets that rest on a single pair
    for pair in np.unique(low[single_couple]):
        bets_of_pair = single_couple[low[single_couple] == pair]
        least = np.minimum(
            least, wealth(total - _sums(gains[bets_of_pair], moment[bets_of_pair], len(total)))
        )
    return least


def _sums(gains: np.ndarray, moment: np.ndarray, moments: int) -> np.ndarray:
    """(moments, bettors) the log wealth of each bettor at each moment."""
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
