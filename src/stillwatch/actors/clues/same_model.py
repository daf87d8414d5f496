"""Nearly all of the actor's accounts use one model.

Null: each account chooses its model independently, as the population does, except for the correlation within
    groups that the log's unsuspected groups show (beta-binomial tail, among all who carry the wording).
Blind to: a campaign that spreads its requests over models as the population does.
Fooled by: a framework or course that sets one model for all its users, if the log holds few such groups.
Source: Skellam 1948 (beta-binomial); docs/field.md, "Campaigns": half of the traffic moved to one
    model (Anthropic 2026-02).
"""

from stillwatch.actors import Actor, ActorContext, ClueWeight
from stillwatch.actors.clues._settings import common_value
from stillwatch.signals import BundleEvidence, Signal

NAME = "same_model"
CONTROL = "client"  # observed on every request and billed, but named by the client
CLASS = "settings"
SIGNAL = Signal(
    not_recomputed="its bits are the test's, whose counts the finding does not keep; see `conduct`"
)


def weigh(actor: Actor, context: ActorContext) -> ClueWeight | None:
    """Compare the share of accounts that mostly use the most common model with the population's."""
    models = context.log.models
    return common_value(actor, context, "model", "the model", lambda v: models[v] or "(unnamed)")


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute both shares again from a bundle."""
    return evidence.setting("model")


def recompute_ties(evidence: BundleEvidence) -> list[float]:
    """Compute again which accounts it ties, and by how many bits."""
    return evidence.tied_by_setting("model")
