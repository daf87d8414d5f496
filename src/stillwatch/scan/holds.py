"""Randomised holds as evidence: whether a candidate's focal accounts take over what the others were refused.

It takes the log and the schedule by which accounts were held, and decides nothing. The schedule's accounts
were fixed before the first hold; nothing that the log shows later can change who is compared with whom.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stillwatch.exchanges.log import ExchangeLog
from stillwatch.scan import Reason, ScanResult
from stillwatch.stats.interference import interference
from stillwatch.terms.holds import Candidate, HoldSchedule, looks

NAME = "holds"
CONTROL = "provider"  # who is held, and when, the client cannot choose


@dataclass(frozen=True)
class HoldsEvidence:
    """What the holds of one candidate have shown so far."""

    p_value: float  # over all looks that are planned; 1.0 before the first
    text: str
    focal: tuple[str, ...]  # the accounts whose reaction is tested
    days: int  # of the last look


def holds_evidence(
    log: ExchangeLog, accounts: Iterable[str], schedule: HoldSchedule, until_us: int
) -> HoldsEvidence:
    """Test from the log whether the focal accounts of a schedule react when the others are held.

    `accounts`: of the finding that the evidence is for; focal accounts outside of it are left out. They must
    not have been chosen by their reaction to holds. `until_us`: until when the log is complete.

    The test is read after the days of `terms.holds.looks` and never in between. Each look is paid for by
    multiplying its p-value by the number of planned looks (Bonferroni): the least of them is a p-value.

    Null, Blind to, Fooled by, Source: `stats.interference`.
    """
    named = set(accounts)
    focal = tuple(account for account in schedule.focal if account in named)
    days, due = looks(schedule.days), schedule.looks(until_us)
    if not due or not focal:
        why = "no focal account is in it" if due else f"the first look is after {days[0]} days of holds"
        return HoldsEvidence(1.0, f"Holds show nothing yet: {why}.", focal, 0)
    counts = focal_counts(log, focal, schedule, due[-1])
    held = np.array([schedule.block(window) for window in due[-1]])
    found = [interference(counts[: len(windows)], held[: len(windows)]) for windows in due]
    p_value = min(1.0, len(days) * min(one.p_value for one in found))
    last = found[-1]
    day = days[len(due) - 1]
    text = (
        f"While {len(schedule.held):,} accounts of the group were held, its other {len(focal):,} made "
        f"{last.requests:,} requests; {last.expected:,.1f} are expected if they do not react "
        f"({last.windows:,} holds of {schedule.block_minutes} minutes in {day} days; p = {p_value:.2g})."
    )
    return HoldsEvidence(p_value, text, focal, day)


def account_p_values(log: ExchangeLog, schedule: HoldSchedule, until_us: int) -> dict[str, float]:
    """Give each focal account's own p-value: whether it alone reacts when others are held.

    It is of the last look that is due, times the number of looks; empty before the first. An account is told
    this, never its group's. Held accounts have none: nothing of theirs is tested.
    """
    due, factor = schedule.looks(until_us), len(looks(schedule.days))
    if not due:
        return {}
    counts = focal_counts(log, schedule.focal, schedule, due[-1])
    held = np.array([schedule.block(window) for window in due[-1]])
    return {
        account: min(1.0, factor * interference(counts[:, :, [place]], held).p_value)
        for place, account in enumerate(schedule.focal)
    }


def holds_reason(evidence: HoldsEvidence, bits: float) -> Reason:
    """Give the evidence as a finding's reason, worth `bits`: the caller knows what it combines them with."""
    return Reason(NAME, evidence.text, bits, n=len(evidence.focal))


def candidates(result: ScanResult) -> tuple[Candidate, ...]:
    """Give the groups of a scan that holds could tell more about: leads and findings of two or more accounts.

    Leads whose content is that of many people are none, nor are findings that a permission suppresses.
    """
    leads = tuple(
        Candidate(lead.id, lead.p_value, lead.accounts) for lead in result.leads if lead.hands != "many"
    )
    findings = tuple(
        Candidate(campaign.id, campaign.p_value, campaign.accounts)
        for campaign in result.campaigns
        if campaign.suppressed_by is None and len(campaign.accounts) > 1
    )
    return leads + findings


def focal_counts(
    log: ExchangeLog, focal: tuple[str, ...], schedule: HoldSchedule, windows: range
) -> np.ndarray:
    """Count requests, (windows, blocks, focal accounts): made ones, whether answered or not."""
    shape = (len(windows), schedule.blocks_per_window, len(focal))
    place = {account: column for column, account in enumerate(focal)}
    column = np.array([place.get(account, -1) for account in log.accounts] + [-1])[log["account"]]
    if len(log) == 0:
        return np.zeros(shape, np.int64)
    first_us = windows.start * schedule.window_us
    block = (log["ts_us"] - first_us) // schedule.block_us
    inside = (column >= 0) & (block >= 0) & (block < shape[0] * shape[1])
    flat = block[inside] * shape[2] + column[inside]
    return np.bincount(flat, minlength=shape[0] * shape[1] * shape[2]).reshape(shape)
