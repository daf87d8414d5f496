"""How strongly one account by itself is tied to a group finding, compared with unnamed accounts.

Strength: the number of the group's own fingerprints that the account carries, times the share of its
exchanges that carry two of them, from the first that does. An account must not be tied by what it contributed
itself: a fingerprint counts for it only if at least 3 *other* accounts of the finding carry it, and they are
at least 60 % of its other users. For unnamed accounts fingerprints count under the same rule or a laxer one,
which makes the p-value larger.

Null: the account is one more of the log's unnamed accounts that were active since the finding began; the rank
of its strength among theirs is then uniform (conformal). For accounts that a finding's wording added, the
wording was learned from others, so every fingerprint of it counts.
Blind to: everything but wording. An account without such wording has no p-value.
Fooled by: selection. Accounts are named because they carry the wording, so a small p-value is expected for
each, honest or not. Two users of one program with a fixed template are tied as strongly as two accounts of
one operator.
Source: Vovk, Gammerman and Shafer 2005, conformal p-values: (1 + those at least as strong) / (n + 1).
"""

import numpy as np

from stillwatch.actors import Actor, ActorContext
from stillwatch.actors.signature import LEAST_IN, NEEDED, PURITY
from stillwatch.scan import OwnTie
from stillwatch.stats.dealing import distinct

LEAST_ACTIVE = 2  # exchanges since the finding began: no account is named for fewer


def own_ties(
    actor: Actor, context: ActorContext, unnamed: np.ndarray, learnt: bool = False
) -> dict[int, OwnTie]:
    """Return the tie of each of a group's accounts, by code.

    unnamed: (accounts,) bool, those in no finding; learnt: whether the fingerprints were learned from other
    accounts than those tested. In that case each counts, and the null is the same.
    """
    log = context.log
    accounts = len(log.accounts)
    named = np.zeros(accounts, bool)
    named[actor.accounts] = True
    begun = int(actor.rows.min())
    peers = unnamed & (np.bincount(log["account"][begun:], minlength=accounts) >= LEAST_ACTIVE)
    use = context.uses_of(actor.own_fingerprints)
    row, fingerprint = context.use_row[use].astype(np.int64), context.use_fingerprint[use].astype(np.int64)
    who = log["account"][row]
    inside, outside = (
        _users(fingerprint, who, chosen, len(context.fingerprint_kind)) for chosen in (named, unnamed)
    )
    others = inside + outside - 1  # users of each fingerprint besides the one that is judged
    for_named = (inside - 1 >= LEAST_IN) & (inside - 1 >= PURITY * others)
    for_unnamed = (inside >= LEAST_IN) & (inside >= PURITY * others)
    counts = (named[who] & for_named[fingerprint]) | (peers[who] & for_unnamed[fingerprint])
    counts = named[who] | peers[who] if learnt else counts
    fingerprints, carrying, sent = _carried_fingerprints(
        context, row[counts], fingerprint[counts], who[counts]
    )
    strength = fingerprints * carrying / np.maximum(sent, 1)
    peer_strength = np.sort(strength[peers])
    as_strong = len(peer_strength) - np.searchsorted(peer_strength, strength[actor.accounts])
    return {
        int(a): OwnTie(int(carrying[a]), int(sent[a]), int(fingerprints[a]), int(above), len(peer_strength))
        for a, above in zip(actor.accounts, as_strong, strict=True)
    }


def _users(fingerprint: np.ndarray, who: np.ndarray, chosen: np.ndarray, fingerprints: int) -> np.ndarray:
    """(fingerprints,) number of accounts among `of` that use each fingerprint."""
    is_chosen = chosen[who]
    pairs = distinct(fingerprint[is_chosen] * len(chosen) + who[is_chosen])
    users: np.ndarray = np.bincount(pairs // len(chosen), minlength=fingerprints)
    return users


def _carried_fingerprints(
    context: ActorContext, row: np.ndarray, fingerprint: np.ndarray, who: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(accounts,) fingerprints carried, exchanges that carry two, exchanges sent since the first of these."""
    log = context.log
    accounts = len(log.accounts)
    pairs = distinct(who.astype(np.int64) * len(context.fingerprint_kind) + fingerprint)
    fingerprints = np.bincount(pairs // len(context.fingerprint_kind), minlength=accounts)
    rows, count = np.unique(row, return_counts=True)
    rows = rows[count >= NEEDED]
    carrying = np.bincount(log["account"][rows], minlength=accounts)
    first = np.full(accounts, len(log), np.int64)
    np.minimum.at(first, log["account"][rows], rows)
    rows_of_accounts = context.rows_of(np.flatnonzero(carrying))
    sent = np.bincount(
        log["account"][rows_of_accounts[rows_of_accounts >= first[log["account"][rows_of_accounts]]]],
        minlength=accounts,
    )
    return fingerprints, carrying, sent
