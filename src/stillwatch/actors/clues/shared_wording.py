"""Phrases that were new among accounts and that the actor's accounts share.

Null: the accounts are independent and take a new phrase up as often as the other accounts of the log do.
Blind to: wrappers paraphrased afresh for each account; texts in which every phrase is common.
Fooled by: a viral prompt, a framework's new template, a class's assignment: wording alone links nobody.
Source: Broder 1997 (resemblance and MinHash); docs/field.md, signals 1 and 7.
"""

import numpy as np

from stillwatch.actors import MOST_BITS, Actor, ActorContext, ClueWeight, Tie
from stillwatch.actors.clues._carried import carried_fingerprints
from stillwatch.signals import Signal

NAME = "shared_wording"
CONTROL = "client"
CLASS = "wording"
SIGNAL = Signal(
    title="in shared wording",
    order=70,
    not_recomputed="which phrases were new needs the whole log; see the claims `markers`",
)
KINDS = (0, 1)
FIRM = 3  # phrases; a busy bystander has one or two of the campaign's by chance


def weigh(actor: Actor, context: ActorContext) -> ClueWeight | None:
    """Weigh phrases that at least three of the actor's accounts carry, by how rare they are in the log."""
    carried = carried_fingerprints(actor, context, KINDS)
    if carried is None:
        return None
    accounts = len(context.log.accounts)
    rarity = np.log2(accounts / np.maximum(context.entrants[carried.fingerprints], 1))
    bits = float(min(np.median(rarity), MOST_BITS)) if len(rarity) else 0.0
    ties = tuple(
        Tie(
            int(account),
            float(min(MOST_BITS, bits * min(n, 3))),
            f"carries {n} of the {len(carried.fingerprints)} phrases that are the campaign's own",
            firm=int(n) >= FIRM,
        )
        for account, n in zip(carried.accounts, carried.per_account, strict=True)
    )
    share = len(carried.accounts) / len(actor.accounts)
    return ClueWeight(
        min(MOST_BITS, bits * 2),
        f"{len(carried.fingerprints):,} phrases, {context.wording_age}, are shared by "
        f"{len(carried.accounts):,} of {len(actor.accounts):,} accounts; the median one is used by "
        f"{np.median(carried.spread):.0f} of them and by "
        f"{np.median(context.entrants[carried.fingerprints]):.0f} tenants in all",
        share,
        None,
        None,
        len(carried.fingerprints),
        ties,
    )
