"""Nearly all of the actor's accounts sample at the same temperature.

Null: as for same model, with the correlation that the log's groups show for this setting.
Blind to: temperatures drawn at random for each account.
Fooled by: a framework's default temperature; evaluation harnesses, which nearly all use 0.
Source: docs/field.md, signal 15 (client fingerprint), weighed as a likelihood ratio.
"""

from stillwatch.actors import Actor, ActorContext, ClueWeight
from stillwatch.actors.clues._settings import common_value

NAME = "same_temperature"
CONTROL = "client"
CLASS = "settings"


def weigh(actor: Actor, world: ActorContext) -> ClueWeight | None:
    """The share of accounts that mostly use the commonest temperature, beside the population's share."""
    return common_value(
        actor, world, "temperature_milli", "temperature", lambda v: "unset" if v < 0 else f"{v / 1000:g}"
    )
