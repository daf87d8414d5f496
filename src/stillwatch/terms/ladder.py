"""Which actions the policy prescribes after a finding, and when."""

import hashlib
from dataclasses import dataclass

from stillwatch.terms import Ladder, Rung, Step
from stillwatch.units import SECOND_US


@dataclass(frozen=True)
class LadderCampaign:
    """What the ladder needs to know of one campaign."""

    campaign: str
    alarm_us: int
    p_value: float
    accounts: int
    exchanges: int  # of the harvest so far
    output_tokens: int
    lone: bool = False  # one payer; its p-value is a rank among heavy payers, at least 1 over their number


@dataclass(frozen=True)
class StepProposal:
    """One action that the policy prescribes."""

    step: Step
    automatic: bool  # without a person
    due_us: int  # earliest time
    rule: str
    why: str  # one sentence: what was met, and why it is only proposed


def proposals(ladder: Ladder, campaign: LadderCampaign, now_us: int, key: bytes) -> tuple[StepProposal, ...]:
    """Return the strictest action to take without a person, and the strictest one to propose, if stricter.

    The delay is derived from the campaign's name under `key`: reproducible, and unpredictable without the
    key.
    """
    fitting = [
        (rung, _obstacle(ladder, rung, campaign)) for rung in ladder.rungs if _fits(rung, campaign, now_us)
    ]
    strictest = {
        automatic: max(
            ((rung, why) for rung, why in fitting if (why is None) is automatic),
            key=lambda pair: pair[0].step,
            default=None,
        )
        for automatic in (True, False)
    }
    steps: list[StepProposal] = []
    for automatic, pair in strictest.items():
        if pair is None or (steps and pair[0].step <= steps[0].step):
            continue
        rung, obstacle = pair
        why = _reason_text(rung, campaign, now_us) + (f"; only proposed: {obstacle}" if obstacle else "")
        due_us = now_us if not automatic else _due_us(ladder, rung, campaign, key)
        steps.append(StepProposal(rung.step, automatic, due_us, rung.name, why))
    return tuple(steps)


def _fits(rung: Rung, campaign: LadderCampaign, now_us: int) -> bool:
    return (
        campaign.p_value <= rung.p_value_at_most
        and now_us - campaign.alarm_us >= rung.age_at_least_s * SECOND_US
        and campaign.exchanges >= rung.exchanges_at_least
        and campaign.output_tokens >= rung.output_tokens_at_least
        and rung.lone in (None, campaign.lone)
    )


def _obstacle(ladder: Ladder, rung: Rung, campaign: LadderCampaign) -> str | None:
    """Return why a person has to agree, or None."""
    if not rung.act:
        return 'the rule says mode = "propose"'
    if not campaign.lone and not ladder.act_on_group_findings:
        return "a group finding alone is only proposed ([ladder] act_on_group_findings is not true)"
    if ladder.dry_run:
        return "dry run"
    if rung.step > Step.WATCH and campaign.accounts > ladder.max_accounts:
        return f"it affects {campaign.accounts:,} accounts, more than max_accounts = {ladder.max_accounts:,}"
    return None


def _reason_text(rung: Rung, campaign: LadderCampaign, now_us: int) -> str:
    age_s = max(0, now_us - campaign.alarm_us) // SECOND_US
    return (
        f"{rung.name}: p = {campaign.p_value:.2g}, {campaign.exchanges:,} exchanges, "
        f"{campaign.output_tokens:,} output tokens, {age_s:,} s after the alarm"
    )


def _due_us(ladder: Ladder, rung: Rung, campaign: LadderCampaign, key: bytes) -> int:
    """Return when an action may be taken. WATCH cannot be noticed by the account, so it needs no delay."""
    if rung.step <= Step.WATCH:
        return campaign.alarm_us
    drawn = hashlib.blake2b(f"{rung.step.name} {campaign.campaign}".encode(), key=key, digest_size=8).digest()
    jitter_us = ladder.jitter_s * SECOND_US * int.from_bytes(drawn, "big") >> 64
    return campaign.alarm_us + ladder.delay_s * SECOND_US + jitter_us
