"""The actor's own fingerprints that its accounts carry, as used by all wording clues.

Not a clue itself.
"""

from dataclasses import dataclass

import numpy as np

from stillwatch.actors import Actor, ActorContext
from stillwatch.stats.dealing import distinct

LEAST_ACCOUNTS = 3


@dataclass(frozen=True)
class CarriedFingerprints:
    fingerprints: np.ndarray  # (fingerprints,) numbers
    spread: np.ndarray  # (fingerprints,) number of the actor's accounts that carry each
    uses: np.ndarray  # (fingerprints,) number of the actor's exchanges with each
    accounts: np.ndarray  # (accounts,) codes of those with at least one
    per_account: np.ndarray  # (accounts,) number of different ones on each


def carried_fingerprints(
    actor: Actor, context: ActorContext, kinds: tuple[int, ...]
) -> CarriedFingerprints | None:
    """Return the actor's own fingerprints of some kinds that three of its accounts carry, or None."""
    use = context.uses_of(
        actor.own_fingerprints[np.isin(context.fingerprint_kind[actor.own_fingerprints], kinds)]
    )
    use = use[np.isin(context.use_row[use], actor.rows)]
    fingerprint, row = context.use_fingerprint[use], context.use_row[use]
    account = context.log["account"][row]
    pairs = distinct(fingerprint.astype(np.int64) * len(context.log.accounts) + account)
    fingerprints, spread = np.unique(pairs // len(context.log.accounts), return_counts=True)
    kept = fingerprints[spread >= LEAST_ACCOUNTS]
    if len(kept) == 0:
        return None
    pairs = pairs[np.isin(pairs // len(context.log.accounts), kept)]
    accounts, per_account = np.unique(pairs % len(context.log.accounts), return_counts=True)
    uses = np.bincount(np.searchsorted(kept, fingerprint[np.isin(fingerprint, kept)]), minlength=len(kept))
    return CarriedFingerprints(kept, spread[spread >= LEAST_ACCOUNTS], uses, accounts, per_account)
