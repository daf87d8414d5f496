"""Which of an actor's own markers its accounts carry: what the wording clues have in common.

Not a clue itself. It does not know what a marker's weight is.
"""

from dataclasses import dataclass

import numpy as np

from stillwatch.actors import Actor, ActorContext
from stillwatch.stats.dealing import distinct

LEAST_ACCOUNTS = 3


@dataclass(frozen=True)
class CarriedMarkers:
    markers: np.ndarray  # (markers,) numbers
    spread: np.ndarray  # (markers,) how many of the actor's accounts carry each
    uses: np.ndarray  # (markers,) in how many of the actor's exchanges
    accounts: np.ndarray  # (accounts,) codes of those that carry any
    per_account: np.ndarray  # (accounts,) how many different ones each carries


def carried_markers(actor: Actor, world: ActorContext, kinds: tuple[int, ...]) -> CarriedMarkers | None:
    """The actor's own markers of some kinds that at least three of its accounts carry, or None."""
    use = world.uses_of(actor.own_markers[np.isin(world.marker_kind[actor.own_markers], kinds)])
    use = use[np.isin(world.use_row[use], actor.rows)]
    marker, row = world.use_marker[use], world.use_row[use]
    account = world.log["account"][row]
    pairs = distinct(marker.astype(np.int64) * len(world.log.accounts) + account)
    markers, spread = np.unique(pairs // len(world.log.accounts), return_counts=True)
    kept = markers[spread >= LEAST_ACCOUNTS]
    if len(kept) == 0:
        return None
    pairs = pairs[np.isin(pairs // len(world.log.accounts), kept)]
    accounts, per_account = np.unique(pairs % len(world.log.accounts), return_counts=True)
    uses = np.bincount(np.searchsorted(kept, marker[np.isin(marker, kept)]), minlength=len(kept))
    return CarriedMarkers(kept, spread[spread >= LEAST_ACCOUNTS], uses, accounts, per_account)
