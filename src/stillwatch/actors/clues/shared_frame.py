"""One opening, ending or system text, new in the log, around most of what the actor's accounts send.

Null: as for shared wording; a frame is a whole head, tail or system text with numbers and links masked.
Blind to: frames varied for each account or request (see shared wording).
Fooled by: a framework's default prompt, released while the log runs, and a hackathon's starter kit.
Source: docs/field.md, signal 1 (Anthropic 2026-02: "identical patterns"; second-hand: GTG-16005, one
    fixed prompt throughout).
"""

import numpy as np

from stillwatch.actors import MOST_BITS, Actor, ActorContext, ClueWeight, Tie
from stillwatch.actors.clues._carried import carried_fingerprints
from stillwatch.actors.spread import KINDS as KIND_NAMES
from stillwatch.signals import Signal

NAME = "shared_frame"
CONTROL = "client"
CLASS = "wording"
SIGNAL = Signal(
    title="through one template",
    atlas=("AML.T0065", "LLM Prompt Crafting", "one template around most requests"),
    order=60,
    not_recomputed="which openings were new needs the whole log; see the claims `markers`",
)
KINDS = (2, 3, 5)
LEAST_SHARE = 0.1  # of the actor's exchanges that have the most common frame


def weigh(actor: Actor, context: ActorContext) -> ClueWeight | None:
    """Weigh the most common new frame: how many accounts carry it, in how much of their traffic."""
    carried = carried_fingerprints(actor, context, KINDS)
    if carried is None:
        return None
    best = int(np.argmax(carried.uses))
    share = carried.uses[best] / len(actor.rows)
    if share < LEAST_SHARE:
        return None
    kind = KIND_NAMES[context.fingerprint_kind[carried.fingerprints[best]]]
    rarity = np.log2(len(context.log.accounts) / max(int(context.entrants[carried.fingerprints[best]]), 1))
    ties = tuple(
        Tie(int(a), float(min(MOST_BITS, 2 * rarity)), f"uses the campaign's {kind}")
        for a in carried.accounts
    )
    return ClueWeight(
        float(min(MOST_BITS, 2 * rarity)),
        f"one {kind}, {context.wording_age}, is in {share:.0%} of the campaign's exchanges and used by "
        f"{carried.spread[best]:,} of its {len(actor.accounts):,} accounts",
        float(share),
        None,
        None,
        int(carried.spread[best]),
        ties,
    )
