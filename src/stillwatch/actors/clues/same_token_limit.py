"""Nearly all of the actor's accounts ask for the same output limit.

Null: as for same model, with the correlation that the log's groups show for this setting.
Blind to: limits drawn at random for each account.
Fooled by: a framework's default limit.
Source: docs/field.md, signal 9.
"""

from stillwatch.actors import Actor, ActorContext, ClueWeight
from stillwatch.actors.clues._settings import common_value
from stillwatch.signals import BundleEvidence, Signal

NAME = "same_token_limit"
CONTROL = "client"
CLASS = "settings"
SIGNAL = Signal(
    not_recomputed="its bits are the test's, whose counts the finding does not keep; see `conduct`"
)


def weigh(actor: Actor, context: ActorContext) -> ClueWeight | None:
    """Compare the share of accounts that mostly use the most common output limit with the population's."""
    return common_value(
        actor, context, "max_tokens", "an output limit of", lambda v: "none" if v < 0 else f"{v:,} tokens"
    )


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute both shares again from a bundle."""
    return evidence.setting("max_tokens")


def recompute_ties(evidence: BundleEvidence) -> list[float]:
    """Compute again which accounts it ties, and by how many bits."""
    return evidence.tied_by_setting("max_tokens")
