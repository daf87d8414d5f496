"""Accounts that share wording and never ask the same: parts of one list, distributed by a queue.

Null: accounts that share wording also share some of their prompts, as the log's other accounts with shared
    wording do.
Blind to: a queue that samples with replacement (see repeated question); items that differ only in a number.
Fooled by: a template filled with each user's own documents: alone it is weak evidence.
Source: docs/field.md, signal 7.
"""

from collections import Counter

import numpy as np

from stillwatch.actors import Actor, ActorContext, ClueWeight
from stillwatch.actors.prompts import prompts
from stillwatch.signals import BundleEvidence

NAME = "complementary_parts"
CONTROL = "client"
CLASS = "division of work"
LEAST_ROWS = 100
MOST_OVERLAP = 0.02


def weigh(actor: Actor, context: ActorContext) -> ClueWeight | None:
    """Return the share of prompts that only one account sent, once; two bits if nearly all are."""
    log = context.log
    if len(actor.accounts) < 3 or len(actor.rows) < LEAST_ROWS:
        return None
    _, at, counts = np.unique(log["exact"][actor.rows], return_inverse=True, return_counts=True)
    overlap = float((counts[at] > 1).mean())
    baseline = context.once(_repeats)
    if overlap > MOST_OVERLAP or baseline <= overlap:
        return None
    return ClueWeight(
        2.0,
        f"{len(actor.accounts):,} accounts sent {len(actor.rows):,} prompts and only {overlap:.1%} of them "
        f"twice, as if dealt out from one list; in the whole log {baseline:.0%} are repeats",
        overlap,
        baseline,
        None,
        len(actor.rows),
    )


def _repeats(context: ActorContext) -> float:
    rows = context.once(prompts).rows
    return float(rows[rows > 1].sum() / len(context.log))


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute the share again from a bundle."""
    sent = Counter(exchange["q"] for exchange in evidence.harvest)
    return {**evidence.share([sent[exchange["q"]] > 1 for exchange in evidence.harvest]), "bits": 2.0}
