"""Findings, the terms' ladder and what stands -> what to propose and do. Pure: no clock, nothing written.

Which steps follow a finding, and when, the terms say (`terms.ladder`). Here it is said of whom. The rules
that keep innocents whole:
- A permission, the owner's in the terms or the one a finding names, takes accounts out; so does a verdict:
  victims, who was cleared, dismissed and suppressed cases.
- A step that an account can feel is taken by itself only where the terms say so, for at most `max_accounts`
  of one campaign, late by a delay and a jitter that nobody without the folder's secret can foresee.
- What a person has said of a detector (`cases.feedback`) holds: one in shadow asks for nothing, one that may
  only alert has its steps proposed.
- By itself a step is taken only on accounts that two classes of clue tie to the campaign, one of which the
  client does not choose (`Campaign.firm`); for the others it is proposed.
- Where a person has decided about an account, nothing is done to it by itself; a stricter step is proposed.
- Standings only rise here. Whatever is done is one action that `actions.undo` takes back.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from stillwatch.cases import DetectorState
from stillwatch.gateway.folder import derive
from stillwatch.scan import Campaign
from stillwatch.scan.parts import LONE_HARVEST as LONE
from stillwatch.scan.parts import RAISING
from stillwatch.terms import EnforcementStatus, Ladder, Permission, Step
from stillwatch.terms.ladder import LadderCampaign
from stillwatch.terms.ladder import StepProposal as Asked
from stillwatch.terms.ladder import proposals as steps
from stillwatch.units import us


@dataclass(frozen=True)
class WantedStep:
    """One step for some accounts of one campaign, as the ladder asks for it now."""

    campaign: str
    step: Step
    rule: str
    why: str
    accounts: tuple[str, ...]
    due_us: int | None  # done by itself then; None: waits for a person, and `why` says for what reason


@dataclass(frozen=True)
class Proposal:
    """A step that was asked for, and what became of it."""

    proposal: int  # 0: not written down yet
    at_us: int
    wanted: WantedStep
    state: Literal["open", "applied", "dismissed", "superseded"] = "open"
    decided_us: int | None = None
    decided_by: str | None = None
    action: int | None = None


@dataclass(frozen=True)
class ProposalChanges:
    """What is to be written down: proposals new, changed, and no longer asked for."""

    new: tuple[Proposal, ...]
    changed: tuple[Proposal, ...]
    gone: tuple[Proposal, ...]


def climb(
    campaigns: Iterable[Campaign],
    ladder: Ladder,
    *,
    standings: Mapping[str, EnforcementStatus],
    decided: Mapping[str, Step],
    permitted: frozenset[str],
    secret: bytes,
    now_us: int,
    detectors: Mapping[str, DetectorState] | None = None,
    spared: frozenset[str] = frozenset(),
) -> list[WantedStep]:
    """Give every step that the ladder asks for and that is not taken yet, the surest campaign first.

    decided: accounts about which a person has decided, with the strictest step concerned; permitted: accounts
    whose use the terms permit; detectors: those whose state a person has set; spared: accounts that
    people judged not to be the thief's. A campaign mostly of such is the one they judged, with newcomers.
    """
    wanted = []
    key = derive(secret, b"ladder-jitter")
    for campaign in sorted(campaigns, key=lambda c: (c.p_value, c.id)):
        accounts = [a for a in campaign.accounts if a not in permitted and a not in spared]
        if 2 * len(spared.intersection(campaign.accounts)) > len(campaign.accounts):
            continue
        may = _may(campaign, detectors or {})
        if campaign.suppressed_by is not None or not accounts or may == DetectorState.SHADOW:
            continue
        ladder_campaign = LadderCampaign(
            campaign.id,
            us(campaign.alarm_at),
            campaign.p_value,
            len(accounts),  # of the whole campaign: one that grows by a few at a time is not hit by a few
            campaign.harvest.exchanges,
            campaign.harvest.output_tokens,
            [r.detector for r in campaign.reasons if r.detector in RAISING] == [LONE],
        )
        for step in steps(ladder, ladder_campaign, now_us, key):
            if may == DetectorState.ALERT and step.automatic:
                why = f"{step.why}; only proposed: its detector may alert, not act"
                step = replace(step, automatic=False, why=why)
            wanted += _wanted_steps(campaign, step, accounts, standings, decided)
    return wanted


def _may(campaign: Campaign, detectors: Mapping[str, DetectorState]) -> DetectorState:
    """What the detectors that raised a campaign may do: the one that may most. As shipped all may act."""
    raised = [r.detector for r in campaign.reasons if r.detector in RAISING]
    order = list(DetectorState)
    states = [detectors.get(name, DetectorState.ACT) for name in raised]
    return max(states, key=order.index, default=DetectorState.ACT)


def _wanted_steps(
    campaign: Campaign,
    step: Asked,
    accounts: Iterable[str],
    standings: Mapping[str, EnforcementStatus],
    decided: Mapping[str, Step],
) -> list[WantedStep]:
    """The accounts below a step; loosely tied ones, and those a person decided about, wait for a person."""
    below = [a for a in accounts if a not in standings or standings[a].step < step.step]
    ask = tuple(a for a in below if decided.get(a, Step.CLEAR) < step.step or a not in decided)
    base = WantedStep(campaign.id, step.step, step.rule, step.why, ask, None)
    if step.automatic:
        firm = set(campaign.firm)
        free = tuple(a for a in ask if a not in decided and a in firm)
        held = tuple(a for a in ask if a in decided)
        loose = tuple(a for a in ask if a not in decided and a not in firm)
        why = f"{step.why}; only proposed: "
        parts = [
            replace(base, accounts=free, due_us=step.due_us),
            replace(base, accounts=held, why=f"{why}a person has decided about these accounts before"),
            replace(base, accounts=loose, why=f"{why}too little ties these accounts"),
        ]
    else:
        parts = [base]
    return [part for part in parts if part.accounts]


def reconcile(before: Iterable[Proposal], wanted: Iterable[WantedStep], *, now_us: int) -> ProposalChanges:
    """Put what is asked for now beside the open proposals.

    A campaign gets another id when it grows, so a proposal goes on where the same step is asked for and
    accounts are shared; its due time stays. One that goes on with the same accounts is left as it is.
    """
    open_now = sorted(before, key=lambda p: p.proposal)
    new, changed = [], []
    for want in wanted:
        accounts = set(want.accounts)
        rivals = [p for p in open_now if _alike(p.wanted, want) and accounts & set(p.wanted.accounts)]
        if not rivals:
            new.append(Proposal(0, now_us, want))
            continue
        best = max(rivals, key=lambda p: (len(accounts & set(p.wanted.accounts)), -p.proposal))
        open_now.remove(best)
        if (best.wanted.campaign, best.wanted.accounts) != (want.campaign, want.accounts):
            changed.append(replace(best, wanted=replace(want, due_us=best.wanted.due_us)))
    return ProposalChanges(tuple(new), tuple(changed), tuple(open_now))


def _alike(a: WantedStep, b: WantedStep) -> bool:
    return a.step == b.step and (a.due_us is None) == (b.due_us is None)


def standing(
    want: WantedStep, *, secret: bytes, now_us: int, until_us: int | None = None
) -> EnforcementStatus:
    """What an account's standing becomes when a step is taken."""
    mark = None
    if want.step == Step.MARK:
        key = derive(secret, b"marks")
        mark = hashlib.blake2b(want.campaign.encode(), key=key, digest_size=12).hexdigest()
    return EnforcementStatus(want.step, now_us, want.why, want.campaign, until_us=until_us, mark=mark)


def permitted_accounts(
    permissions: Iterable[Permission], orgs: Mapping[str, str | None], now_us: int
) -> frozenset[str]:
    """Give the accounts that a permission in the terms covers now. `orgs`: of each account known."""
    live = [p for p in permissions if p.expires_us > now_us]
    named = {p.account for p in live if p.account is not None}
    whole_orgs = {p.org for p in live if p.org is not None}
    return frozenset(
        named | {account for account, org in orgs.items() if org is not None and org in whole_orgs}
    )
