"""Nearly all of the actor's accounts ask for the same output limit.

Null: as for same model, with the correlation that the log's groups show for this setting.
Blind to: limits drawn at random for each account.
Fooled by: a framework's default limit.
Source: docs/field.md, signal 9.
"""

from stillwatch.actors import Actor, ActorContext, ClueWeight
from stillwatch.actors.clues._settings import common_value

NAME = "same_token_limit"
CONTROL = "client"
CLASS = "settings"


def weigh(actor: Actor, world: ActorContext) -> ClueWeight | None:
    """The share of accounts that mostly use the commonest output limit, beside the population's share."""
    return common_value(
        actor, world, "max_tokens", "an output limit of", lambda v: "none" if v < 0 else f"{v:,} tokens"
    )
