"""New tasks from the model: the actor has it write instructions, problems, personas for a training set.

Null: an account's share of such requests is drawn from the population's.
Blind to: generation in other languages or words than the class lists.
Fooled by: permitted synthetic data, test generation. It is stated of alarmed actors only.
Source: docs/field.md, signal 5; Wang et al. 2023 (Self-Instruct), Ge et al. 2024 (Persona Hub).
"""

from stillwatch.detectors import Population, Statement, Subject, unusual_share
from stillwatch.signals import BundleEvidence, Signal

NAME = "task_generation"
SIGNAL = Signal(
    title="having new training tasks written",
    capability="new training tasks",
    atlas=("AML.T0005.001", "Train Proxy via Replication", "training tasks were asked for"),
    order=30,
)


def state(subject: Subject, population: Population) -> Statement | None:
    """Share of exchanges in the task-generation class."""
    return unusual_share(
        subject,
        population,
        "task_generation_share",
        0.2,
        "{actual} of {n} exchanges have the model write tasks or personas; 95 % of accounts stay below {p95}",
    )


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute the share again from a bundle."""
    return evidence.lexical(3)
