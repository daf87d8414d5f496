"""Randomised holds as evidence: whether a candidate's accounts take over what the others were refused.

It takes the log and the schedule by which accounts were held. The schedule's accounts were fixed before the
first hold; nothing that the log shows later can change who is compared with whom. It forms no group.

Null: what accounts that are not held ask does not depend on which times were drawn (`stats.interference`).
Blind to: work that waits for the same account, or moves later than `REPEAT_WITHIN_US` or in other words.
Fooled by: an honest client that goes on with accounts of its own that nothing shows to be one customer's.
Source: stats/interference.py; docs/holds.md
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stillwatch.exchanges.log import ExchangeLog
from stillwatch.scan import OwnReaction, Reason
from stillwatch.stats.interference import likely_true, load_wealth, p_values, pair_wealth
from stillwatch.terms.holds import HoldSchedule

NAME = "holds"
CONTROL = "provider"  # who is held, and when, the client cannot choose
LEVEL = 1e-3  # of one schedule, however often it is read: of so many that hold no hand one is expected to lie
FALSE_SHARE = 0.1  # of the accounts that a finding names, expected at most, however they depend
LEAST_NAMED = 3  # parties that a finding must name: two may be one person with two cards
MOST_ASKERS = 50  # accounts that ever asked a text: a greeting or an exercise says nothing
REPEAT_WITHIN_US = 12 * 3_600_000_000  # a queue may come back to its failed work the same night


@dataclass(frozen=True)
class HoldsEvidence:
    """What the holds of one candidate show."""

    p_value: float  # of the whole group, whichever one party is left out
    text: str
    windows: int  # that are over, with the time in which what was refused may be asked again
    found_us: int | None = None  # since when it is a finding
    own: Mapping[str, OwnReaction] = field(
        default_factory=dict
    )  # accounts of the schedule, and who took over
    named_us: Mapping[str, int] = field(default_factory=dict)  # account -> when its own part was enough


@dataclass(frozen=True)
class _Repeats:
    """One row for each text that a held account was the first to ask, and another account asked later."""

    window: np.ndarray
    block: np.ndarray
    asked_by: np.ndarray  # place of the held account among those that are tested
    repeated_by: np.ndarray  # place of the other account, which is never held


def holds_evidence(
    log: ExchangeLog,
    schedule: HoldSchedule,
    until_us: int,
    party_of: Mapping[str, str] = MappingProxyType({}),
) -> HoldsEvidence:
    """Test from the log whether accounts take over what a schedule's held accounts are refused.

    `until_us`: until when the log is complete; `party_of`: of accounts that are known to be one customer.
    Two bets share the wealth: that texts which a held account asks in a drawn block are asked by an account
    of another customer within `REPEAT_WITHIN_US` (`pair_wealth`), and that the schedule's other accounts ask
    more in drawn blocks (`load_wealth`). Who takes a text over need not be in the schedule: whoever is not
    held by it is tested. It may be read at any time; nothing is lost by having looked before.

    The group's p-value is the largest that any two customers leave when what passes between them is left out,
    and what the one's load shows. So one person who goes on with another of his accounts makes no finding. A
    finding needs p <= `LEVEL` and `LEAST_NAMED` customers whose own evidence is enough, false ones at most
    `FALSE_SHARE` of them, and whom refused texts connect: two such persons are no group.

    Null, Blind to, Fooled by, Source: `stats.interference`.
    """
    windows = schedule.windows(until_us - REPEAT_WITHIN_US)
    if not len(windows):
        own = {account: OwnReaction(0, 0, 0, 1.0) for account in schedule.accounts}
        return HoldsEvidence(1.0, "Holds show nothing yet: no window is over.", 0, own=own)
    held = np.array([schedule.block(window) for window in windows])
    accounts, asked, repeats = _repeats(log, schedule, windows, party_of)
    parties = [party_of.get(account, account) for account in accounts]
    load = _focal_scores(log, schedule, windows, parties, len(accounts))
    numbers = np.unique(parties, return_inverse=True)[1]
    group = p_values(_least_wealth(repeats, load, numbers, held, schedule))
    alone = p_values(_own_wealth(repeats, load, held, schedule))
    ends = [(window + 1) * schedule.window_us + REPEAT_WITHIN_US for window in windows]
    found_us: int | None = None
    named_us: dict[str, int] = {}
    for k in np.flatnonzero(group <= LEVEL).tolist():
        chosen = _connected_accounts(likely_true(alone[:, k], FALSE_SHARE), repeats, held, numbers, k)
        if not len(chosen):
            continue
        found_us = ends[k] if found_us is None else found_us
        for place in chosen.tolist():
            named_us.setdefault(accounts[place], ends[k])
    own = _own_reactions(repeats, asked, held, accounts, alone[:, -1])
    p_value = float(group[-1])
    text = _text(schedule, own, repeats, asked, load, held, p_value)
    return HoldsEvidence(p_value, text, len(windows), found_us, own, named_us)


def _connected_accounts(
    chosen: np.ndarray, repeats: _Repeats, held: np.ndarray, numbers: np.ndarray, last: int
) -> np.ndarray:
    """Give of some accounts those that texts refused by window `last` connect, in pieces of `LEAST_NAMED`."""
    drawn = (repeats.block == held[repeats.window]) & (repeats.window <= last)
    a, b = repeats.asked_by[drawn], repeats.repeated_by[drawn]
    inside = chosen[a] & chosen[b]
    ties = coo_array((np.ones(int(inside.sum())), (a[inside], b[inside])), shape=(len(chosen),) * 2)
    piece = connected_components(ties, directed=False)[1]
    big = [one for one in np.unique(piece[chosen]) if len(set(numbers[piece == one].tolist())) >= LEAST_NAMED]
    connected: np.ndarray = np.flatnonzero(chosen & np.isin(piece, big))
    return connected


def own_text(own: OwnReaction) -> str:
    """Say one account's own evidence from holds."""
    return (
        f"of its {own.refused:,} texts that a drawn hold refused, {own.repeated:,} were asked by other "
        f"customers within {REPEAT_WITHIN_US // 3_600_000_000} hours; it asked {own.taken_over:,} "
        f"that others were refused (its own p = {own.p_value:.2g})"
    )


def _text(
    schedule: HoldSchedule,
    own: Mapping[str, OwnReaction],
    repeats: _Repeats,
    asked: np.ndarray,
    load: np.ndarray,
    held: np.ndarray,
    p_value: float,
) -> str:
    refused, moved = sum(o.refused for o in own.values()), sum(o.repeated for o in own.values())
    drawn = repeats.block == held[repeats.window]
    others = len(set(zip(repeats.asked_by[~drawn].tolist(), repeats.window[~drawn].tolist(), strict=True)))
    elsewhere = int(asked.sum()) - refused
    focal = float(np.take_along_axis(load.sum(axis=0), held[:, None], axis=1).sum())
    expected = float(load.sum() / load.shape[2])
    more = f", and the others asked {focal / expected:.1f} times as much" if expected else ""
    return (
        f"In {len(held):,} holds of {schedule.block_minutes} minutes {len(schedule.held_accounts):,} of "
        f"{len(schedule.accounts):,} accounts asked {refused:,} new texts; {moved:,} of these were asked by "
        f"accounts of other customers{more}. Beside them, {elsewhere:,} texts at times that were "
        f"not drawn: {others:,} such (p = {p_value:.2g})."
    )


def _repeats(
    log: ExchangeLog, schedule: HoldSchedule, windows: range, party_of: Mapping[str, str]
) -> tuple[tuple[str, ...], np.ndarray, _Repeats]:
    """Give the accounts that are tested, what of them held ones asked first, (accounts, windows, blocks), and
    what was asked again: the schedule's accounts come first, then whoever else ever asked a text after one.

    An account's first request of a text counts alone: its own retries are no repeats.
    """
    held_by_name = [code for code, account in enumerate(log.accounts) if account in schedule.held_accounts]
    is_held = np.zeros(len(log.accounts) + 1, bool)
    is_held[held_by_name] = True
    low, high = np.searchsorted(
        log["ts_us"], [windows.start * schedule.window_us, windows.stop * schedule.window_us]
    )
    mine = np.flatnonzero(is_held[log["account"][low:high]]) + low
    texts = np.unique(log["exact"][mine])
    rows = np.flatnonzero(np.isin(log["exact"], texts[texts != 0]) & (log["account"] >= 0))
    rows = rows[np.argsort(log["ts_us"][rows], kind="stable")]
    known = np.unique(log["exact"][rows], return_inverse=True)[1].astype(np.int64)
    rows = rows[np.sort(np.unique(known * len(is_held) + log["account"][rows], return_index=True)[1])]
    who, text, at_us = log["account"][rows], log["exact"][rows], log["ts_us"][rows]
    block = (at_us - windows.start * schedule.window_us) // schedule.block_us
    inside = is_held[who] & (block >= 0) & (block < len(windows) * schedule.blocks_per_window)
    party = [party_of.get(account, account) for account in log.accounts]
    found: list[tuple[int, int, int, int]] = []
    order = np.argsort(text, kind="stable")  # of one text in the order of time
    bounds = [0, *(np.flatnonzero(np.diff(text[order])) + 1).tolist(), len(order)]
    for begin, end in pairwise(bounds):
        same = order[begin:end].tolist()
        if len(same) > MOST_ASKERS:
            continue
        for k, one in enumerate(same):
            if not inside[one]:
                continue
            window, within = divmod(int(block[one]), schedule.blocks_per_window)
            for other in same[k + 1 :]:
                if at_us[other] > at_us[one] + REPEAT_WITHIN_US:
                    break
                if not is_held[who[other]] and party[who[other]] != party[who[one]]:
                    found.append((window, within, int(who[one]), int(who[other])))
    inner = set(schedule.accounts)
    others = sorted({log.accounts[one[3]] for one in found} - inner)
    accounts = (*schedule.accounts, *others)
    place = {account: k for k, account in enumerate(accounts)}
    at = np.array([place.get(account, -1) for account in log.accounts] + [-1])
    asked = np.zeros((len(accounts), len(windows), schedule.blocks_per_window), np.int64)
    np.add.at(asked.reshape(len(accounts), -1), (at[who[inside]], block[inside]), 1)
    columns = np.array(found, np.int64).reshape(-1, 4).T
    return accounts, asked, _Repeats(columns[0], columns[1], at[columns[2]], at[columns[3]])


def _focal_scores(
    log: ExchangeLog, schedule: HoldSchedule, windows: range, parties: list[str], many: int
) -> np.ndarray:
    """(accounts, windows, blocks) square roots of counts of focal accounts; 0 for all others, and for
    customers of whom an account is held."""
    counts = np.zeros((many, len(windows), schedule.blocks_per_window))
    counts[: len(schedule.accounts)] = np.sqrt(request_counts(log, schedule, windows))
    of_held = {parties[k] for k, account in enumerate(schedule.accounts) if account in schedule.held_accounts}
    counts[[party in of_held for party in parties]] = 0.0
    return counts


def _least_wealth(
    repeats: _Repeats, load: np.ndarray, numbers: np.ndarray, held: np.ndarray, schedule: HoldSchedule
) -> np.ndarray:
    """(windows,) the least wealth that is left when two customers' dealings are left out.

    Of a customer's load the whole is left out, of its repeats those of one other customer's texts.
    """
    blocks = schedule.blocks_per_window
    count = int(numbers.max()) + 1
    every = np.zeros((len(held), blocks), np.int64)
    np.add.at(every, (repeats.window, repeats.block), 1)
    couple = numbers[repeats.asked_by] * count + numbers[repeats.repeated_by]
    couples, which = np.unique(couple, return_inverse=True)
    theirs = np.zeros((len(couples) + 1, len(held), blocks), np.int64)  # the last: nobody's
    np.add.at(theirs, (which, repeats.window, repeats.block), 1)
    pairs: np.ndarray = pair_wealth(every - theirs > 0, held).min(axis=0)
    loads = np.zeros((count, len(held), blocks))
    np.add.at(loads, numbers, load)
    busy = np.r_[loads[loads.any(axis=(1, 2))], np.zeros((1, len(held), blocks))]
    rest: np.ndarray = load_wealth(load.sum(axis=0) - busy, held).min(axis=0)
    return (pairs + rest) / 2


def _own_wealth(repeats: _Repeats, load: np.ndarray, held: np.ndarray, schedule: HoldSchedule) -> np.ndarray:
    """(accounts, windows) each account's own wealth, from what is its part alone."""
    happened = np.zeros((len(load), len(held), schedule.blocks_per_window), bool)
    for side in (repeats.asked_by, repeats.repeated_by):
        happened[side, repeats.window, repeats.block] = True
    wealth = pair_wealth(happened, held)
    busy = load.any(axis=(1, 2))  # a held account has no load of its own to bet on
    wealth[busy] = (wealth[busy] + load_wealth(load[busy], held)) / 2
    return wealth


def _own_reactions(
    repeats: _Repeats, asked: np.ndarray, held: np.ndarray, accounts: tuple[str, ...], p_value: np.ndarray
) -> dict[str, OwnReaction]:
    refused = np.take_along_axis(asked, held[None, :, None], axis=2)[:, :, 0].sum(axis=1)
    drawn = repeats.block == held[repeats.window]
    by = [np.stack([repeats.asked_by, repeats.window])[:, drawn], repeats.repeated_by[drawn]]
    moved = np.bincount(by[0][0], minlength=len(accounts))
    taken = np.bincount(by[1], minlength=len(accounts))
    return {
        account: OwnReaction(
            int(refused[k]), int(min(moved[k], refused[k])), int(taken[k]), float(p_value[k])
        )
        for k, account in enumerate(accounts)
    }


def holds_reason(evidence: HoldsEvidence) -> Reason:
    """Give the evidence as a finding's reason."""
    bits = round(float(min(40.0, -np.log2(max(evidence.p_value, 1e-300)))), 3)
    refused = sum(one.refused for one in evidence.own.values())
    moved = sum(one.repeated for one in evidence.own.values())
    return Reason(NAME, evidence.text, bits, moved / refused if refused else None, n=refused)


def request_counts(log: ExchangeLog, schedule: HoldSchedule, windows: range) -> np.ndarray:
    """Count requests, (accounts, windows, blocks): made ones, whether answered or not."""
    accounts, blocks = schedule.accounts, len(windows) * schedule.blocks_per_window
    shape = (len(accounts), len(windows), schedule.blocks_per_window)
    if len(log) == 0:
        return np.zeros(shape, np.int64)
    place = {account: row for row, account in enumerate(accounts)}
    row = np.array([place.get(account, -1) for account in log.accounts] + [-1])[log["account"]]
    block = (log["ts_us"] - windows.start * schedule.window_us) // schedule.block_us
    inside = (row >= 0) & (block >= 0) & (block < blocks)
    flat = row[inside] * blocks + block[inside]
    return np.bincount(flat, minlength=len(accounts) * blocks).reshape(shape)
