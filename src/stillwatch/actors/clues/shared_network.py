"""Accounts that come from the same few networks (/24 or /48), hubs suppressed.

Null: the actor's accounts draw their networks independently from the population's; a network with many other
    accounts (a campus, a cloud range, an office) is worth little.
Blind to: residential proxies and one address for each account.
Fooled by: a campus or corporate egress that is new in the log, when most of its people do the same.
Source: docs/field.md, signal 15; RFC 6177 for the /48.
"""

import statistics

import numpy as np

from stillwatch.actors import FIRM_SHARE, MOST_BITS, Actor, ActorContext, ClueWeight, Tie
from stillwatch.signals import BundleEvidence
from stillwatch.stats.dealing import distinct

NAME = "shared_network"
CONTROL = "provider"
CLASS = "network"
HUB = 3.0  # other accounts behind a network per member behind it, above which it carries no weight


def weigh(actor: Actor, context: ActorContext) -> ClueWeight | None:
    """Weigh members that share a network with others; bits by how few other accounts are behind it."""
    log = context.log
    accounts = len(log.accounts)
    net, who = context.once(_behind)
    if len(net) == 0:
        return None
    behind = np.bincount(net)
    rows = actor.rows[log["net"][actor.rows] >= 0]
    own = distinct(log["net"][rows].astype(np.int64) * accounts + log["account"][rows])
    own_net, own_who = own // accounts, own % accounts
    own_count = np.bincount(own_net, minlength=len(behind))
    useful = (own_count >= 2) & (behind - own_count <= HUB * own_count)
    tied = useful[own_net]
    members = np.unique(own_who[tied])
    if len(members) < 2 or len(members) < 0.1 * len(actor.accounts):
        return None
    best = np.zeros(accounts)
    together = np.zeros(accounts, np.int64)  # of the actor's accounts, those that share a network with each
    np.maximum.at(together, own_who[tied], own_count[own_net[tied]])
    rarity = np.log2(accounts / np.maximum(behind, 1))
    np.maximum.at(best, own_who[tied], rarity[own_net[tied]])
    share = len(members) / len(actor.accounts)
    bits = float(min(MOST_BITS, 2 * np.median(best[members]) * share))
    # to compare: other accounts that share an equally rare network with one of the campaign
    near = (own_count >= 1) & (behind <= behind[useful].max())
    sharing = np.bincount(who[near[net]], minlength=accounts) > 0
    baseline = float(np.delete(sharing, actor.accounts).mean()) if accounts > len(actor.accounts) else None
    return ClueWeight(
        bits,
        f"{len(members):,} of {len(actor.accounts):,} accounts share {useful[np.unique(own_net)].sum():,} "
        "networks with other accounts of the campaign that hardly anyone else uses",
        float(share),
        baseline,
        None,
        len(actor.accounts),
        tuple(
            Tie(
                int(a),
                float(min(best[a], MOST_BITS)),
                "shares a network with other accounts of the campaign",
                firm=bool(together[a] >= FIRM_SHARE * len(actor.accounts)),
            )
            for a in members
        ),
    )


def _behind(context: ActorContext) -> tuple[np.ndarray, np.ndarray]:
    """Return every pair of a network and an account behind it, once."""
    log = context.log
    known = np.flatnonzero(log["net"] >= 0)
    pairs = distinct(log["net"][known].astype(np.int64) * len(log.accounts) + log["account"][known])
    return pairs // len(log.accounts), pairs % len(log.accounts)


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute share and bits again from a bundle."""
    best = evidence.networks()
    share = len(best) / len(evidence.named)
    bits = min(40.0, 2 * statistics.median(best.values()) * share) if best else 0.0
    return {"actual": share, "bits": bits, "n": len(evidence.named)}


def recompute_ties(evidence: BundleEvidence) -> list[float]:
    """Compute again which accounts it ties, and by how many bits."""
    return [min(40.0, bits) for bits in evidence.networks().values()]
