"""Accounts paid for by one instrument that belong to no organisation.

Null: unrelated customers do not share a payment instrument; hubs (an instrument behind many accounts
    outside the actor too) are worth little.
Blind to: one card for each account, and prepaid or virtual cards.
Fooled by: a school, a family, a reseller that pays for its customers.
Source: docs/field.md, signal 15 (Anthropic 2026-02: "shared payment methods"); hubs suppressed as by
    Splink's term frequencies.
"""

from collections import Counter

import numpy as np

from stillwatch.actors import FIRM_SHARE, MOST_BITS, Actor, ActorContext, ClueWeight, Tie
from stillwatch.signals import BundleEvidence, Signal

NAME = "shared_payment"
CONTROL = "provider"
CLASS = "payment"
SIGNAL = Signal(atlas=("AML.T0021", "Establish Accounts", "accounts are paid for by one instrument"))


def weigh(actor: Actor, context: ActorContext) -> ClueWeight | None:
    """Weigh members that share an instrument; bits by how rare sharing one is, less for a hub."""
    if context.known is None:
        return None
    payment, org = context.known.payment, context.known.org
    by_instrument = Counter(p for p in payment if p)
    own = Counter(payment[a] for a in actor.accounts if payment[a] and not org[a])
    shared = {p: n for p, n in own.items() if n >= 2}
    if not shared:
        return None
    top = max(shared, key=lambda p: (shared[p], p))
    outside = by_instrument[top] - shared[top]
    rarity = float(np.log2(len(payment) / (1 + outside)))
    bits = min(MOST_BITS, rarity * min(np.log2(shared[top]), 3.0))
    members = [int(a) for a in actor.accounts if payment[a] in shared and not org[a]]
    if bits < 1:
        return None
    return ClueWeight(
        float(bits),
        f"{sum(shared.values()):,} of {len(actor.accounts):,} accounts share {len(shared)} payment instrument"
        f"{'s' if len(shared) > 1 else ''} and belong to no organisation"
        + (f"; {outside} others share it" if outside else ""),
        sum(shared.values()) / len(actor.accounts),
        float(np.mean([by_instrument[p] > 1 for p in payment if p])) if by_instrument else None,
        None,
        len(actor.accounts),
        tuple(
            Tie(
                a,
                float(rarity),
                "pays with an instrument that other accounts of the campaign pay with",
                firm=own[payment[a]] >= FIRM_SHARE * len(actor.accounts),
            )
            for a in members
        ),
    )


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute the share again from a bundle."""
    own = [evidence.accounts[k] for k in evidence.named]
    by_instrument = Counter(
        account["payment"] for account in own if account["payment"] and not account["org"]
    )
    shared = sum(n for n in by_instrument.values() if n >= 2)
    return {"actual": shared / len(evidence.named), "n": len(evidence.named)}
