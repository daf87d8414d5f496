"""Whether a request that another gateway describes may go on: one look-up and the terms' pure decision.

It believes what it is told of account and models: who may tell is `door`'s matter. A host counts as a model
that may answer.
"""

from stillwatch.gateway.exchange import GENERATES
from stillwatch.gateway.gate import Gate
from stillwatch.gateway.hooks import Asked, Judged
from stillwatch.terms import Ask, Decision, ModelVerdict
from stillwatch.terms.decide import decide, host_verdict

NAMING = GENERATES | {"embeddings"}  # operations that name a model
ANY = ModelVerdict(True, "allowed", None)
UNSEEN = ModelVerdict(True, "models.unseen", None)  # no body was shown


def judge(gate: Gate, asked: Asked, now_us: int, *, count: bool = True) -> Judged:
    """Decide, and count the request against its account's limits unless it is only looked at."""
    verdict = verdict_of(gate, asked, now_us)
    ask = Ask(
        asked.account, asked.end_user, asked.operation, asked.models[0] if asked.models else None,
        asked.stream, asked.n, asked.logprobs, asked.body_bytes, asked.org,
    )  # fmt: skip
    place = gate.budgets.place(asked.account, asked.number)
    spent = gate.budgets.spent(place, now_us)
    decision = decide(gate.terms, gate.tables.standings.get(asked.account), ask, verdict, spent, now_us)
    if decision.allow and count:
        gate.budgets.add(place, now_us, 1, 0)
    return Judged(decision, verdict)


def verdict_of(gate: Gate, asked: Asked, now_us: int) -> ModelVerdict:
    """The first refusal among all models and hosts; else what is said of the one that was asked for."""
    names: tuple[str | None, ...] = asked.models
    if not names and not asked.blind and asked.operation in NAMING:
        names = (None,)
    verdicts = [gate.verdict(name, asked.account, asked.org, now_us) for name in names]
    verdicts += [host_verdict(gate.terms, host) for host in asked.hosts]
    told = next((v for v in verdicts if not v.allow), None) or next((v for v in verdicts if v.warn), None)
    return told or (verdicts[0] if verdicts else UNSEEN if asked.blind else ANY)


def judge_reply(gate: Gate, asked: Asked, served: str, now_us: int) -> Judged:
    """Whether a reply may be handed on, by the model that it names."""
    first = asked.models[0] if asked.models else ""
    verdict = gate.reply_verdict(first, served, asked.account, asked.org, now_us)
    if verdict.allow:
        return Judged(Decision(True, verdict.rule, warn=verdict.warn), verdict)
    code = "model_banned" if verdict.rule.startswith("ban:") else "model_not_allowed"
    return Judged(Decision(False, verdict.rule, 403, code, verdict.reason), verdict)
