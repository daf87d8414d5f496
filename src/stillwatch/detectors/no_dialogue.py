"""No follow-up turns and no end users: no person takes part.

Null: an account's share of follow-up turns is drawn from the population's.
Blind to: relays of real users' conversations, and campaigns that add dialogue.
Fooled by: batches, retrieval, evaluation: they ask once too. One bit at most.
Source: docs/field.md, signal 10.
"""

from stillwatch.detectors import Population, Statement, Subject
from stillwatch.signals import BundleEvidence

NAME = "no_dialogue"


def state(subject: Subject, population: Population) -> Statement | None:
    """Return the share of exchanges that are follow-up turns, if the log records turns."""
    share = subject["follow_up_share"]
    if share is None or share > 0.01 or population.quantile("follow_up_share", 0.95) < 0.05:
        return None
    n = int(subject["exchanges"] or 0)
    return Statement(
        1.0,
        f"{share:.1%} of {n:,} exchanges follow up on an answer",
        float(share),
        population.quantile("follow_up_share", 0.5),
        population.quantile("follow_up_share", 0.95),
        n,
    )


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute the share again from a bundle."""
    turns = [exchange["r"] for exchange in evidence.harvest if exchange["r"] > 0]
    share = {"actual": sum(turn > 1 for turn in turns) / len(turns)} if turns else {}
    return share | {"bits": 1.0, "n": len(evidence.harvest)}
