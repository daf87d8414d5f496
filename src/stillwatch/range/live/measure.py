"""Measures one arm: from the attacker's results, the gateway's own files, and honest people's results."""

import hashlib
import json
from dataclasses import asdict

from stillwatch.range.live import Arm, LeakPoint
from stillwatch.range.live.attack import LiveAttacker
from stillwatch.range.live.defender import RangeGateway
from stillwatch.range.live.play import LivePlayback
from stillwatch.range.live.stage import Stage
from stillwatch.terms import Step
from stillwatch.units import us

FELT = (Step.VERIFY, Step.THROTTLE, Step.STRIP, Step.BLOCK)


def named_accounts(gateway: RangeGateway) -> set[str]:
    """Return accounts in open cases."""
    return {account for campaign in gateway.current_findings().campaigns() for account in campaign.accounts}


def measure_arm(
    name: str, stage: Stage, gateway: RangeGateway, attacker: LiveAttacker, play: LivePlayback
) -> Arm:
    accounts = stage.campaign | attacker.used
    cases = [c for c in gateway.current_findings().campaigns() if accounts & set(c.accounts)]
    named = named_accounts(gateway)
    statuses = gateway.standings()
    felt = {a: s for a, s in statuses.items() if s.step in FELT}
    stopped = {a: s for a, s in felt.items() if a in accounts}
    alarm_us = min((us(c.alarm_at) for c in cases), default=None)
    contained_us = max((s.since_us for s in stopped.values()), default=None)
    rows = gateway.rows()
    unfinished = sum(
        1
        for account, outcome, at in zip(
            rows["account"].to_pylist(), rows["outcome"].to_pylist(), rows["time"].to_pylist(), strict=True
        )
        if outcome == "client_left" and account in accounts and us(at) >= stage.campaign_us
    )
    answers = attacker.taken
    marks = [LeakPoint(stage.day(t.at_us), n) for n, t in enumerate(answers, 1)]
    digest = hashlib.sha256(json.dumps([asdict(t) for t in answers]).encode()).hexdigest()
    fresh = {who.account for who, _ in attacker.replaced.values()}
    return Arm(
        name=name,
        asked=attacker.asked,
        out=len(answers),
        out_tokens=sum(t.tokens for t in answers),
        left=attacker.left,
        left_recorded=unfinished,
        refused=attacker.refused,
        unsent=attacker.unsent,
        stripped=attacker.stripped,
        accounts=len(accounts & (attacker.used | stage.campaign)),
        fresh=len(fresh),
        named=len(named & accounts),
        blocked=len(stopped),
        alarm_day=None if alarm_us is None else stage.day(alarm_us),
        out_before_alarm=len(answers) if alarm_us is None else sum(t.at_us < alarm_us for t in answers),
        contained_day=None if contained_us is None else stage.day(contained_us),
        last_out_day=stage.day(answers[-1].at_us) if answers else None,
        honest_accounts=len(stage.honest),
        honest_exchanges=play.honest.sent,
        honest_named=len(named & stage.honest),
        honest_touched=len((set(felt) & stage.honest) | play.honest.turned_away),
        honest_refused=play.honest.refused,
        marks=tuple(marks),
        examples_sha256=digest,
    )
