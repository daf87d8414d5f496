"""Reasoning traces on demand: the actor asks for the reasoning itself, not only for answers.

Null: an account's share of such requests is drawn from the population's.
Blind to: elicitation in other languages or words than the class lists, and traces given without asking.
Fooled by: "think step by step" in homework and tutoring. It is stated of alarmed actors only.
Source: docs/field.md, signals 2, 3 and 6 (Google 2026-02: over 100,000 prompts for reasoning traces).
"""

from stillwatch.detectors import Population, Statement, Subject, unusual_share
from stillwatch.signals import BundleEvidence, Signal

NAME = "trace_elicitation"
SIGNAL = Signal(
    title="asking for reasoning traces",
    capability="reasoning traces",
    atlas=("AML.T0005.001", "Train Proxy via Replication", "reasoning traces were asked for"),
    order=40,
)


def state(subject: Subject, population: Population) -> Statement | None:
    """Share of exchanges in the trace-elicitation class."""
    return unusual_share(
        subject,
        population,
        "trace_elicitation_share",
        0.15,
        "{actual} of {n} exchanges ask for the reasoning itself; 95 % of accounts stay below {p95}",
    )


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute the share again from a bundle."""
    return evidence.lexical(0)
