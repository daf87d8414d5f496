"""One account is throttled and another of the actor's takes over at once.

Null: after a 429 the next exchange of another member comes as soon as expected from the members' joint rate
    (Poisson); binomial tail over the throttled exchanges.
Blind to: pools that back off together, and logs without refused requests.
Fooled by: a load balancer that one customer runs over its own several accounts (see one organisation).
Source: docs/field.md, signal 13.
"""

import math

import numpy as np

from stillwatch.actors import Actor, ActorContext, ClueWeight, evidence_bits
from stillwatch.signals import BundleEvidence
from stillwatch.stats.subsets import rate_tail
from stillwatch.units import HOUR_US, MINUTE_US

NAME = "complementary_load"
CONTROL = "provider"
CLASS = "timing"
WITHIN_US = MINUTE_US
LEAST_THROTTLED = 5


def weigh(actor: Actor, context: ActorContext) -> ClueWeight | None:
    """Compare how often another member's exchange follows a 429 within a minute with the joint rate."""
    log = context.log
    rows = np.sort(actor.rows)
    ts, account, status = log["ts_us"][rows], log["account"][rows], log["status"][rows]
    throttled = np.flatnonzero(status == 429)
    if len(throttled) < LEAST_THROTTLED or len(actor.accounts) < 2:
        return None
    followed = 0
    for k in throttled:
        end = np.searchsorted(ts, ts[k] + WITHIN_US, side="right")
        followed += bool(np.any(account[k + 1 : end] != account[k]))
    hours = np.unique(ts // HOUR_US)
    expected = float(1 - np.exp(-len(rows) / max(len(hours), 1) / 60))
    p_value = rate_tail(followed, len(throttled), expected)
    if p_value > 0.01:
        return None
    actual = followed / len(throttled)
    return ClueWeight(
        evidence_bits(p_value),
        f"after {actual:.0%} of {len(throttled)} throttled requests another account went on within a minute; "
        f"the joint rate explains {expected:.0%}",
        actual,
        expected,
        None,
        len(throttled),
    )


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute shares and bits again from a bundle."""
    harvest = evidence.harvest
    followed = throttled = 0
    other_us = math.inf  # when the next other account asks; filled from the end
    for k in range(len(harvest) - 1, -1, -1):
        exchange = harvest[k]
        if k + 1 < len(harvest) and harvest[k + 1]["a"] != exchange["a"]:
            other_us = harvest[k + 1]["t"]
        throttled += exchange["s"] == 429
        followed += exchange["s"] == 429 and other_us <= exchange["t"] + 60_000_000
    if not throttled:
        return {"n": 0}
    hours = len({exchange["t"] // 3_600_000_000 for exchange in harvest})
    p = 1 - math.exp(-len(harvest) / max(hours, 1) / 60)
    bits = min(40.0, -math.log2(max(evidence.chance_of(followed, throttled, p), 1e-12)))
    return {"actual": followed / throttled, "baseline": p, "bits": bits, "n": throttled}
