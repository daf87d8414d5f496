"""Admission of requests to the upstream, and whether a reply in progress may continue."""

import dataclasses

from stillwatch.exchanges.operations import NAMES_A_MODEL
from stillwatch.gateway.path.caller import Caller
from stillwatch.gateway.path.charge import Charge
from stillwatch.gateway.path.gate import Admission, Gate
from stillwatch.gateway.path.request import Facts
from stillwatch.terms import AccountUsage, Decision, Hold, ModelVerdict, RequestFacts, Step
from stillwatch.terms.decide import decide, step_now

ANY_MODEL = ModelVerdict(True, "allowed", None)
NOT_SPENT = AccountUsage()
KEY_REVOKED = Decision(False, "key.revoked", 401, "invalid_api_key", "This key has been revoked.")


def admit(gate: Gate, who: Caller, facts: Facts, charge: Charge, body_bytes: int, now_us: int) -> Admission:
    """Decide by the policy. The first model that is not allowed decides, else the requested one."""
    standing = gate.tables.standings.get(who.account)
    schedule = gate.tables.holds.get(who.account) if gate.terms.holds.mode == "on" else None
    # then no part of the decision changes by itself, so it can be cached
    usual = standing is None and not gate.limited and facts.batch is None and schedule is None
    key = (facts.models, who.account, who.org, facts.does, facts.n, facts.logprobs)
    if usual and (known := gate.decided(key, body_bytes, now_us)) is not None:
        return known
    names: tuple[str | None, ...] = facts.models
    if not names and facts.does in NAMES_A_MODEL:
        names = (None,)
    verdict = ANY_MODEL if names else gate.host
    for name in reversed(names):
        judged = gate.verdict(name, who.account, who.org, now_us)
        verdict = judged if not judged.allow or verdict.allow else verdict
    batch: int | None = 0
    if facts.batch is not None and facts.batch.begins:
        batch = gate.notes.tokens(who.account, facts.batch, charge.longest())
    ask = RequestFacts(
        who.account, facts.end_user or who.end_user, facts.operation,
        facts.models[0] if facts.models else None,
        facts.stream, facts.n, facts.logprobs, body_bytes, who.org, batch,
        does="reads" if not usual and charge.is_paid() else facts.does,
    )  # fmt: skip
    hold = None if schedule is None else schedule.hold(who.account, now_us)
    decision = weigh(gate, ask, verdict, None if usual else charge, now_us, hold)
    admission = Admission(decision, verdict, hold is not None and decision.rule == f"holds:{hold.candidate}")
    if usual:
        gate.remember(key, admission)
    return admission


def weigh(
    gate: Gate,
    ask: RequestFacts,
    verdict: ModelVerdict,
    charge: Charge | None,
    now_us: int,
    hold: Hold | None = None,
) -> Decision:
    """Decide after reserving what the request may bring. `charge` None: usage plays no part."""
    spent = NOT_SPENT
    if charge is not None:
        spent, set_most = charge.hold(ask.batch_tokens or 0)
        ask = dataclasses.replace(ask, set_most=set_most)
    return decide(gate.terms, gate.tables.standings.get(ask.account), ask, verdict, spent, now_us, hold)


def refusal_since(gate: Gate, who: Caller, operation: str, does: str) -> Decision | None:
    """Return why a reply must end now: its key was revoked or its account excluded. Expiry ends nothing."""
    entry = gate.tables.keys.get(who.key_id)
    if who.key_id and (entry is None or entry.disabled):
        return KEY_REVOKED
    standing, now_us = gate.tables.standings.get(who.account), gate.now_us()
    if step_now(standing, now_us) not in (Step.BLOCK, Step.VERIFY):
        return None
    ask = RequestFacts(who.account, None, operation, None, does=does)
    return decide(gate.terms, standing, ask, ANY_MODEL, NOT_SPENT, now_us)
