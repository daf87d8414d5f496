"""The ladder: findings, policy and enforcement statuses -> steps to propose and to take. Pure functions.

The policy decides which steps follow a finding, and when (`terms.ladder`). This module decides for which
accounts. Rules that protect innocent accounts:
- A permission, the owner's in the policy or one that a finding names, exempts accounts. So does a verdict:
  victims, cleared accounts, dismissed and suppressed cases.
- A step that an account can notice is automatic only if the policy says so, for at most `max_accounts` of one
  campaign, after a delay and a jitter that nobody without the folder's secret can predict.
- A person's setting for a detector (`cases.feedback`) holds: one in shadow requests nothing; the steps of one
  that may only alert are proposed.
- A step is automatic only for accounts that two classes of clue tie to the campaign, one of which the client
  does not choose (`Campaign.firm`); for the others it is proposed.
- If a person has decided about an account, no step on it is automatic; a stricter one is proposed.
- Statuses only rise here. Every change is one action that `actions.undo` reverts.
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
    """One step for some accounts of one campaign, as the ladder requests it now."""

    campaign: str
    step: Step
    rule: str
    why: str
    accounts: tuple[str, ...]
    due_us: int | None  # then taken automatically; None: a person decides, for the reason in `why`


@dataclass(frozen=True)
class Proposal:
    """A requested step and its outcome."""

    proposal: int  # 0: not stored yet
    at_us: int
    wanted: WantedStep
    state: Literal["open", "applied", "dismissed", "superseded"] = "open"
    decided_us: int | None = None
    decided_by: str | None = None
    action: int | None = None


@dataclass(frozen=True)
class ProposalChanges:
    """Proposals to store: new, changed, and no longer requested."""

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
    """Return every step that the ladder requests and that is not taken yet, the surest campaign first.

    decided: accounts that a person has decided about, with the strictest step concerned; permitted: accounts
    whose use the policy permits; detectors: those whose state a person has set; spared: accounts that people
    judged not to be the operator's. A campaign mostly of these is the one they judged, with newcomers.
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
            len(accounts),  # of the whole campaign, else slow growth would stay below `max_accounts`
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
    """Return the most that a campaign's detectors may do. As shipped all may act."""
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
    """Divide the accounts below a step; a person decides on loosely tied ones and on those decided before."""
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
    """Compare the requested steps with the open proposals.

    A campaign's id changes when it grows, so a proposal continues if the same step is requested and accounts
    are shared; its due time stays. With the same accounts it is left unchanged.
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
    """Return an account's enforcement status after a step."""
    mark = None
    if want.step == Step.MARK:
        key = derive(secret, b"marks")
        mark = hashlib.blake2b(want.campaign.encode(), key=key, digest_size=12).hexdigest()
    return EnforcementStatus(want.step, now_us, want.why, want.campaign, until_us=until_us, mark=mark)


def permitted_accounts(
    permissions: Iterable[Permission], orgs: Mapping[str, str | None], now_us: int
) -> frozenset[str]:
    """Return the accounts that a permission of the policy covers now. `orgs`: of each known account."""
    live = [p for p in permissions if p.expires_us > now_us]
    named = {p.account for p in live if p.account is not None}
    whole_orgs = {p.org for p in live if p.org is not None}
    return frozenset(
        named | {account for account, org in orgs.items() if org is not None and org in whole_orgs}
    )
