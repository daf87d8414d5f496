"""Nearly all of the actor's accounts sample at the same temperature.

Null: as for same model, with the correlation that the log's groups show for this setting.
Blind to: temperatures drawn at random for each account.
Fooled by: a framework's default temperature; evaluation harnesses, which nearly all use 0.
Source: docs/field.md, signal 15 (client fingerprint), weighed as a likelihood ratio.
"""

from stillwatch.actors import Actor, ActorContext, ClueWeight
from stillwatch.actors.clues._settings import common_value
from stillwatch.signals import BundleEvidence, Signal

NAME = "same_temperature"
CONTROL = "client"
CLASS = "settings"
SIGNAL = Signal(
    not_recomputed="its bits are the test's, whose counts the finding does not keep; see `conduct`"
)


def weigh(actor: Actor, context: ActorContext) -> ClueWeight | None:
    """Compare the share of accounts that mostly use the most common temperature with the population's."""
    return common_value(
        actor, context, "temperature_milli", "temperature", lambda v: "unset" if v < 0 else f"{v / 1000:g}"
    )


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute both shares again from a bundle."""
    return evidence.setting("temperature_milli")


def recompute_ties(evidence: BundleEvidence) -> list[float]:
    """Compute again which accounts it ties, and by how many bits."""
    return evidence.tied_by_setting("temperature_milli")
