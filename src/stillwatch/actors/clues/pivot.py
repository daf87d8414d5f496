"""The accounts move to a new model within a day of its first appearance.

Null: the actor's accounts try a new model as early as the log's other active accounts do (binomial tail).
Blind to: campaigns that stay with one model; logs in which no model is new.
Fooled by: a customer base that a vendor moves over at once.
Source: docs/field.md, signal 13 (Anthropic 2026-02: half of a campaign's traffic moved within 24 hours).
"""

import numpy as np

from stillwatch.actors import Actor, ActorContext, ClueWeight, Tie, evidence_bits
from stillwatch.stats.subsets import rate_tail
from stillwatch.units import DAY_US

NAME = "pivot"
CONTROL = "provider"
CLASS = "timing"
SETTLED_US = 2 * DAY_US  # a model first seen later than this into the log is new
LEAST_ACCOUNTS = 5


def weigh(actor: Actor, context: ActorContext) -> ClueWeight | None:
    """Compare the share of active members that used a new model within 24 hours with that of all others."""
    best: ClueWeight | None = None
    for name, active, early in context.once(_new_models):
        own_active = np.intersect1d(active, actor.accounts)
        moved = np.intersect1d(early, actor.accounts)
        others = len(active) - len(own_active)
        if len(own_active) < LEAST_ACCOUNTS or others < LEAST_ACCOUNTS:
            continue
        baseline = (len(early) - len(moved) + 0.5) / (others + 1)
        p_value = rate_tail(len(moved), len(own_active), baseline)
        if p_value > 0.001:
            continue
        actual = len(moved) / len(own_active)
        bits = evidence_bits(p_value)
        weight = ClueWeight(
            bits,
            f"{len(moved):,} of {len(own_active):,} active accounts used {name} within a day of its first "
            f"appearance; of the others {baseline:.0%} did",
            actual,
            float(baseline),
            None,
            len(own_active),
            tuple(
                Tie(int(a), float(min(6.0, bits)), f"used {name} within a day of its first appearance")
                for a in moved
            ),
        )
        if best is None or weight.bits > best.bits:
            best = weight
    return best


def _new_models(context: ActorContext) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return models first used later than two days into the log, and who was active or used it that day."""
    log = context.log
    models = []
    for model, name in enumerate(log.models):
        used = log["model"] == model
        if not name or not used.any():  # if a source stops naming models, no account has moved
            continue
        born = int(log["ts_us"][used.argmax()])
        if born < log["ts_us"][0] + SETTLED_US:
            continue
        window = (log["ts_us"] >= born) & (log["ts_us"] < born + DAY_US)
        models.append((name, np.unique(log["account"][window]), np.unique(log["account"][window & used])))
    return models
