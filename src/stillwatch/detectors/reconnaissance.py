"""Refused, again and again: a search for the wording that works, before the harvest.

Null: an account's share of refused exchanges is drawn from the population's.
Blind to: searches on models that seldom refuse, and logs without a finish reason.
Fooled by: red teams (a permission tells them apart), moderation pipelines that send unsafe text.
Source: docs/field.md, signal 11 (over 12,000 requests, nearly each a different trick, mostly refused).
"""

from stillwatch.detectors import Population, Statement, Subject, unusual_share
from stillwatch.signals import BundleEvidence, Signal

NAME = "reconnaissance"
SIGNAL = Signal(
    capability="wording that the model does not refuse",
    atlas=("AML.T0065", "LLM Prompt Crafting", "wording was tried until it was not refused"),
    order=90,
)


def state(subject: Subject, population: Population) -> Statement | None:
    """Share of exchanges that the model refused."""
    return unusual_share(
        subject,
        population,
        "refusal_share",
        0.05,
        "{actual} of {n} exchanges were refused; 95 % of accounts stay below {p95}",
    )


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute the share again from a bundle."""
    return evidence.share([exchange["f"] == 3 for exchange in evidence.harvest])
