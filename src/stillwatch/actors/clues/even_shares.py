"""The work is distributed evenly: the accounts' volumes differ less than people's do.

Null: volumes of the actor's accounts scatter (in logarithms) like those of random accounts of the log.
Blind to: a queue that distributes heavy-tailed shares.
Fooled by: a class or a hackathon with set tasks. It is therefore stated, and weighs two bits at most.
Source: docs/field.md, signals 7 and 12.
"""

import math
import statistics
from collections import Counter

import numpy as np

from stillwatch.actors import Actor, ActorContext, ClueWeight
from stillwatch.signals import BundleEvidence

NAME = "even_shares"
CONTROL = "provider"
CLASS = "division of work"
LEAST_ACCOUNTS = 8
LEAST_MEAN = 5


def weigh(actor: Actor, context: ActorContext) -> ClueWeight | None:
    """Compare the standard deviation of log volume among the actor's accounts with the population's."""
    counts = np.bincount(context.log["account"][actor.rows], minlength=len(context.log.accounts))
    own = counts[actor.accounts]
    own = own[own > 0]
    volumes = context.once(_volumes)
    others = np.delete(volumes, actor.accounts)
    others = others[others >= 2]
    if len(own) < LEAST_ACCOUNTS or np.median(own) < LEAST_MEAN or len(others) < LEAST_ACCOUNTS:
        return None
    actual, baseline = float(np.std(np.log(own))), float(np.std(np.log(others)))
    if actual >= 0.6 * baseline:
        return None
    return ClueWeight(
        2.0,
        f"the accounts' volumes are even: half of them sent {np.quantile(own, 0.25):.0f} to "
        f"{np.quantile(own, 0.75):.0f} exchanges (spread {actual:.2f} in logarithms, "
        f"population {baseline:.2f})",
        actual,
        baseline,
        None,
        len(own),
    )


def _volumes(context: ActorContext) -> np.ndarray:
    return np.bincount(context.log["account"], minlength=len(context.log.accounts))


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute the spread again from a bundle."""
    volumes = [math.log(n) for n in Counter(exchange["a"] for exchange in evidence.harvest).values()]
    return {"actual": statistics.pstdev(volumes), "bits": 2.0, "n": len(volumes)}
