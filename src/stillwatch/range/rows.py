"""Turns a request and an identity into one row of the exchange record.

Tokens, status, latency and ids are generated.
"""

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from stillwatch.range.campaigns import CampaignPlan, PlannedRequest
from stillwatch.range.identity import AccountIdentity, token
from stillwatch.units import DAY_US

MS_PER_TOKEN = {"mira-mini": 7.0, "mira-large": 15.5, "mira-think": 10.7, "mira-think-2": 10.7}
REASONS = ("mira-think", "mira-think-2")

Row = dict[str, Any]  # one Arrow row by column name


def exchange_row(
    r: PlannedRequest,
    who: AccountIdentity,
    plan: CampaignPlan,
    begin: datetime,
    new_day: float,
    rng: np.random.Generator,
) -> Row:
    """Return one request as logged; `new_day` is the release of mira-think-2."""
    like = who.donor
    model = _model_of(r, who, plan, new_day, rng)
    text = r.prompt + (r.system or "")
    wide = 0 if text.isascii() else sum(ord(c) > 0x2E7F for c in text)
    visible = plan.visible_tokens if r.covert else 260.0
    shown = max(1, int(rng.lognormal(np.log(visible), 0.7)))
    median = plan.reasoning_tokens if r.covert else 1300.0
    thought = min(28000, int(rng.lognormal(np.log(median), 1.2))) if model in REASONS else 0
    refused = r.refused or rng.random() < 0.004
    if refused:
        shown, thought = int(rng.integers(18, 70)), thought // 8
    cap = r.max_tokens or like.max_tokens or 10**6
    output, thought = min(shown + thought, cap), min(thought, cap)
    by_chance = 200 if rng.random() > 0.006 else (400, 429)[rng.integers(2)]
    status = r.status or by_chance
    if status != 200:
        output = thought = 0
    finish: str | None = "refusal" if refused else ("length" if output == cap else "stop")
    if r.dropped and status == 200:  # the gateway counts what was delivered; there is no finish reason
        share = rng.uniform(0.6, 0.98)
        output, thought, finish = max(1, int(output * share)), int(thought * min(1.0, share * 1.1)), None
    ip, asn = who.addresses[rng.integers(len(who.addresses))]
    return {
        "exchange_id": f"req_{token(rng, 22)}",
        "time": begin + timedelta(microseconds=int(max(r.day, 0.0) * DAY_US)),
        "account": who.account,
        "client_ip": ip,
        "asn": asn,
        "user_agent": like.user_agent,
        "operation": "chat",
        "model": model,
        "conversation": f"conv_{token(rng, 16)}" if like.conversations else None,
        "turn": r.turn,
        "system": r.system,
        "prompt": r.prompt,
        "completion": r.answer if status == 200 else None,  # only in scenes with answers
        "tools": r.tools,
        "input_tokens": max(1, int((len(text) - wide) * rng.normal(0.26, 0.01) + wide * 0.8)),
        "output_tokens": output,
        "reasoning_tokens": min(thought, output),
        "temperature": like.temperature,
        "top_p": like.top_p,
        "max_tokens": r.max_tokens or like.max_tokens,
        "n": 1,
        "top_logprobs": r.top_logprobs,
        "stream": like.stream or r.dropped,
        "response_format": like.response_format,
        "status": status,
        "finish_reason": finish if status == 200 else None,
        "latency_ms": int(rng.uniform(180, 420) + output * MS_PER_TOKEN[model] * rng.lognormal(0, 0.1)),
    }


def _model_of(
    r: PlannedRequest, who: AccountIdentity, plan: CampaignPlan, new_day: float, rng: np.random.Generator
) -> str:
    # honest accounts mostly use one model: cover on another would be visible
    model = r.model or (plan.model if r.covert or rng.random() < 0.93 else who.donor.model)
    if r.covert and r.model is None and plan.tradecraft == 2 and rng.random() < 0.03:
        model = ("mira-mini", "mira-large")[rng.integers(2)]
    keen = int(who.account[-2:], 16) < 40  # of 256: accounts that try a release at once
    if model == "mira-think" and r.day >= new_day and keen:
        return "mira-think-2"
    return "mira-think" if model == "mira-think-2" and r.day < new_day else model


def join_turns(sent: list[PlannedRequest], rows: list[Row]) -> None:
    """Give the turns of one conversation a common id, and each turn the earlier ones as input.

    A conversation id is the provider's and belongs to one account: if the next turn comes from another
    account, the history moves and the id does not.
    """
    before: dict[int, tuple[str, str | None, int]] = {}
    for r, row in zip(sent, rows, strict=True):
        if r.talk is not None:
            account, conversation, history = before.get(r.talk, (row["account"], row["conversation"], 0))
            if account == row["account"]:
                row["conversation"] = conversation
            row["input_tokens"] += history
            visible = row["output_tokens"] - row["reasoning_tokens"]
            before[r.talk] = (row["account"], row["conversation"], row["input_tokens"] + visible)
