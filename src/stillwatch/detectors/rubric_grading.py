"""The model as a reward model: most of the actor's traffic asks it to grade answers by a rubric.

Null: an account's share of grading requests is drawn from the population's.
Blind to: rubrics in other languages or words than the class lists.
Fooled by: evaluation vendors and judges, who grade too. It is stated of alarmed actors only.
Source: docs/field.md, signal 4 (Anthropic 2026-02: rubric-based grading by one of three labs).
"""

from stillwatch.detectors import Population, Statement, Subject, unusual_share
from stillwatch.signals import BundleEvidence, Signal

NAME = "rubric_grading"
SIGNAL = Signal(
    title="grading answers by rubric",
    capability="grading by rubric (the model as a reward model)",
    atlas=("AML.T0005.001", "Train Proxy via Replication", "answers were graded by rubric"),
    order=20,
)


def state(subject: Subject, population: Population) -> Statement | None:
    """Share of exchanges in the rubric-grading class."""
    return unusual_share(
        subject,
        population,
        "rubric_grading_share",
        0.3,
        "{actual} of {n} exchanges have it grade answers by a rubric; 95 % of accounts stay below {p95}",
    )


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute the share again from a bundle."""
    return evidence.lexical(1)
