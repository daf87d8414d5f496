"""The accounts begin the work together, and stop together.

Null: accounts that come to share wording do so at independent times over the log.
Blind to: a pool that is phased in over weeks.
Fooled by: a course, a hackathon, a product launch: events synchronise unrelated users. Two bits at most.
Source: docs/field.md, signal 13 (Anthropic 2026-02: "synchronised traffic across accounts").
"""

import numpy as np

from stillwatch.actors import Actor, ActorContext, ClueWeight
from stillwatch.signals import BundleEvidence
from stillwatch.units import HOUR_US

NAME = "synchronous_start"
CONTROL = "provider"
CLASS = "timing"
LEAST_ACCOUNTS = 8


def weigh(actor: Actor, context: ActorContext) -> ClueWeight | None:
    """Return the hours in which the middle 80 % of accounts start, and stop, as shares of the log's span."""
    log = context.log
    account, ts = log["account"][actor.rows], log["ts_us"][actor.rows]
    if len(actor.accounts) < LEAST_ACCOUNTS or context.established:  # it is the log that began then
        return None
    first = np.full(len(log.accounts), np.iinfo(np.int64).max)
    np.minimum.at(first, account, ts)
    last = np.zeros(len(log.accounts), np.int64)
    np.maximum.at(last, account, ts)
    active = np.unique(account)
    starts, stops = (np.diff(np.quantile(x[active], [0.1, 0.9]))[0] / HOUR_US for x in (first, last))
    span = (log["ts_us"][-1] - log["ts_us"][0]) / HOUR_US
    if span < 72 or starts > 0.25 * span:
        return None
    return ClueWeight(
        float(min(2.0, np.log2(0.8 * span / max(starts, 1.0)))),
        f"four in five of the accounts took it up within {starts:.0f} hours of each other"
        + (f" and stopped within {stops:.0f}" if stops < 0.25 * span else "")
        + f", in a log of {span:.0f} hours",
        float(starts),
        float(0.8 * span),
        None,
        len(active),
    )


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute the hours again from a bundle."""
    first: dict[int, float] = {}
    for exchange in evidence.harvest:
        first.setdefault(exchange["a"], exchange["t"])
    times = list(first.values())
    middle = evidence.quantile(times, 0.9) - evidence.quantile(times, 0.1)
    return {"actual": middle / 3_600_000_000, "n": len(times)}
