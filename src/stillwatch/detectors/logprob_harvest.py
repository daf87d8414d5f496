"""Log-probabilities with the answers: a student learns more from each, and only few customers ask.

Null: an account's share of such requests is drawn from the population's.
Blind to: harvests of text alone.
Fooled by: evaluation harnesses that score choices by likelihood.
Source: docs/field.md, signal 9; Carlini et al. 2024 (stealing part of a production language model).
"""

from stillwatch.detectors import Population, Statement, Subject, unusual_share
from stillwatch.signals import BundleEvidence, Signal

NAME = "logprob_harvest"
SIGNAL = Signal(
    title="collecting log-probabilities",
    capability="log-probabilities",
    atlas=("AML.T0005.001", "Train Proxy via Replication", "log-probabilities were asked for"),
    order=50,
)


def state(subject: Subject, population: Population) -> Statement | None:
    """Share of exchanges that ask for log-probabilities."""
    return unusual_share(
        subject,
        population,
        "logprob_share",
        0.2,
        "{actual} of {n} exchanges ask for log-probabilities; 95 % of accounts stay below {p95}",
    )


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute the share again from a bundle."""
    return evidence.share([(exchange["g"] or 0) > 0 for exchange in evidence.harvest])
