"""Accounts that go through a known set of prompts together, like one distributed queue.

Used only if a scan is given known pools. `scan/known_pools.py` makes leads from the same data.

Null: each account draws its items independently (`stats/cover.py`).
Blind to: a set that nobody sketched; paraphrase; a queue that draws with replacement, at little cost.
Fooled by: one honest queue: a benchmark over one firm's keys, annotators, a class with assigned exercises;
    authors of texts that were made into a set. It therefore makes no account high-confidence.
Source: docs/scan.md, known pools; docs/field.md, signal 7.
"""

import numpy as np

from stillwatch.actors import Actor, ActorContext, ClueWeight, KnownPoolUse, evidence_bits
from stillwatch.signals import Signal
from stillwatch.stats.cover import Cover, cover

NAME = "known_pool"
CONTROL = "client"
CLASS = "division of work"
SIGNAL = Signal(
    not_recomputed="a bundle does not hold the sketched set; scan again with the same --known-pool"
)
LEAST_SHARE = 0.1  # of a group's exchanges that ask items of a pool, from which it is reported
SPEAKS = 0.01  # greatest p-value of the cover that has weight


def cover_of(use: KnownPoolUse, context: ActorContext, rows: np.ndarray) -> tuple[Cover, np.ndarray]:
    """Return how some exchanges go through a pool, and those that ask an item. rows: in time order."""
    rows = rows[use.item[rows] >= 0]
    payer = context.payers[context.log["account"][rows]]
    return cover(payer, use.item[rows], use.items), rows


def covers(context: ActorContext, rows: np.ndarray) -> list[tuple[KnownPoolUse, Cover, np.ndarray]]:
    """Return the pools of which a tenth of some exchanges ask items, strongest evidence first."""
    uses = [(use, *cover_of(use, context, rows)) for use in context.pools]
    uses = [
        (use, seen, asked) for use, seen, asked in uses if len(asked) >= max(1.0, LEAST_SHARE * len(rows))
    ]
    return sorted(uses, key=lambda use: (use[1].p_value, -use[1].draws, use[0].name))


def cover_text(use: KnownPoolUse, seen: Cover, accounts: int, exchanges: int) -> str:
    """Describe how much of a pool was asked, and how closely that resembles one queue."""
    return (
        f"{accounts:,} accounts asked {seen.covered:,} of the {use.items:,} items of {use.name} in "
        f"{exchanges:,} exchanges; {seen.repeated:,} were asked by a second payer, {seen.expected:.1f} if "
        f"each chose by itself (p = {seen.p_value:.2g})"
    )


def weigh(actor: Actor, context: ActorContext) -> ClueWeight | None:
    """Weigh the known pool that the actor goes through, by how rarely two of its accounts ask one item."""
    uses = covers(context, actor.rows)
    if not uses or len(actor.accounts) < 2:
        return None
    use, seen, rows = uses[0]
    p_value = min(1.0, seen.p_value * len(context.pools))
    bits = evidence_bits(p_value, 1e-300) if p_value <= SPEAKS else 0.0
    accounts = len(np.unique(context.log["account"][rows]))
    share = seen.repeated / max(seen.draws, 1)
    text = cover_text(use, seen, accounts, len(rows))
    return ClueWeight(bits, text, share, seen.expected / max(seen.draws, 1), None, len(rows))
