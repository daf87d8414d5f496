"""Known pools in a scan: accounts that go through a public set of prompts, possibly as one queue.

The group is formed only by whose exchanges these are: at least three items and a tenth of what a payer sent
since the first. For a set used in training it makes leads, and never a finding: an honest firm that shards a
benchmark over its keys, annotators and a class look the same (docs/lab.md).

Null, Blind to, Fooled by: those of `stats/cover.py`. In addition, two pools on one set hide each other, since
    they repeat each other's items by chance.
Source: docs/scan.md, known pools.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from stillwatch.actors import ActorContext, KnownPoolUse
from stillwatch.actors.clues.known_pool import cover_of, cover_text, covers
from stillwatch.actors.groups import LEAST_TENANTS
from stillwatch.actors.sessions import content_of
from stillwatch.errors import InputError
from stillwatch.exchanges.known_pool import KnownPool, read_pool
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.scan import ONE_QUEUE, Campaign, Lead, PoolCover
from stillwatch.scan.explanations import UNCHECKED, answer_size, one_customer
from stillwatch.stats.cover import Cover
from stillwatch.stats.dealing import distinct
from stillwatch.stats.exchangeability import Hands
from stillwatch.units import time_of

LEAST_ITEMS = 3  # that a payer must have asked
LEAST_SHARE = 0.1  # of a payer's exchanges since its first item
SAME_GROUP = 0.5  # of a lead's accounts in another lead or a finding: then it is the same group


def read_pools(paths: Iterable[str], key: bytes) -> tuple[KnownPool, ...]:
    """Read the pools' files.

    Raises: InputError for one that cannot be read, was sketched under another key, or has another's name.
    """
    sketcher = Sketcher(key)
    pools = tuple(read_pool(path, sketcher) for path in paths)
    names = [pool.name for pool in pools]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise InputError(
            f"two known pools are called {double!r}; sketch one of them anew with another --name"
        )
    return pools


def pool_uses(log: ExchangeLog, pools: Sequence[KnownPool]) -> tuple[KnownPoolUse, ...]:
    """Return which item of each pool each exchange asks."""
    return tuple(
        KnownPoolUse(pool.name, pool.training, len(pool), pool.items_of(log.phrases)) for pool in pools
    )


def with_pools(
    context: ActorContext, excused: set[int], alpha: float, found: Sequence[Campaign], leads: Sequence[Lead]
) -> tuple[list[Lead], tuple[PoolCover, ...]]:
    """Add to leads the pools that they go through, add new leads, and return the users' cover of each pool.

    excused: accounts whose use is permitted; alpha: what all pools together may spend.
    """
    if not context.pools:
        return list(leads), ()
    code = {name: k for k, name in enumerate(context.log.accounts)}
    old = [_add_pools(lead, context, code) for lead in leads]
    new, pool_covers = _pool_leads(context, excused, alpha, [*found, *leads])
    return sorted([*old, *new], key=lambda lead: (lead.since, lead.id)), pool_covers


def _add_pools(lead: Lead, context: ActorContext, code: dict[str, int]) -> Lead:
    rows = context.rows_of(np.array([code[name] for name in lead.accounts], np.int64))
    uses = covers(context, rows)
    if not uses:
        return lead
    pool_covers = [_pool_cover(context, *use_cover) for use_cover in uses]
    texts = [
        cover_text(use, seen, use_cover.accounts, use_cover.exchanges)
        for (use, seen, _), use_cover in zip(uses, pool_covers, strict=True)
    ]
    return replace(lead, text=". ".join([lead.text, *texts]), pools=tuple(pool_covers))


def _pool_leads(
    context: ActorContext, excused: set[int], alpha: float, groups: Sequence[Lead | Campaign]
) -> tuple[list[Lead], tuple[PoolCover, ...]]:
    """Return new leads, and the users' cover of each pool. known: groups that are leads already."""
    leads, pool_covers = [], []
    for use in context.pools:
        seen, rows = cover_of(use, context, _user_rows(use, context, excused))
        pool_cover = _pool_cover(context, use, seen, rows)
        pool_covers.append(pool_cover)
        if not use.training or seen.p_value * len(context.pools) > alpha:
            continue
        lead = _lead(use, context, seen, rows, pool_cover)
        if lead is not None and not any(_same_group(lead, other) for other in groups):
            leads.append(lead)
    return leads, tuple(pool_covers)


def _user_rows(use: KnownPoolUse, context: ActorContext, excused: set[int]) -> np.ndarray:
    """Return the exchanges of a pool's items by payers for whom these are a part of their traffic."""
    log = context.log
    account = log["account"]
    payer = context.payers[account]
    allowed = np.ones(len(log.accounts), bool)
    allowed[list(excused)] = False
    hits = np.flatnonzero((use.item >= 0) & allowed[account])
    payers = len(log.accounts)
    first = np.full(payers, len(log), np.int64)
    np.minimum.at(first, payer[hits], hits)
    sent = np.bincount(payer[np.arange(len(log)) >= first[payer]], minlength=payers)
    exchanges = np.bincount(payer[hits], minlength=payers)
    pairs = distinct(payer[hits].astype(np.int64) << 32 | use.item[hits])
    different = np.bincount(pairs >> 32, minlength=payers)
    user = (different >= LEAST_ITEMS) & (exchanges >= LEAST_SHARE * sent)
    rows: np.ndarray = hits[user[payer[hits]]]
    return rows


def _pool_cover(context: ActorContext, use: KnownPoolUse, seen: Cover, rows: np.ndarray) -> PoolCover:
    accounts = len(np.unique(context.log["account"][rows]))
    return PoolCover(
        use.name, use.items, accounts, len(rows), seen.covered, seen.repeated, seen.expected, seen.p_value
    )


def _lead(
    use: KnownPoolUse, context: ActorContext, seen: Cover, rows: np.ndarray, cover: PoolCover
) -> Lead | None:
    """Return a pool's users as a lead; None if they are few, or their content is of many sources."""
    log = context.log
    account = log["account"]
    codes = np.unique(account[rows])
    if len(np.unique(context.payers[codes])) < LEAST_TENANTS:
        return None
    hands = content_of(log, rows, account, codes.tolist(), lambda a: log.accounts[a]).hands
    if hands is Hands.MANY:
        return None
    text = f"{ONE_QUEUE}. {cover_text(use, seen, cover.accounts, cover.exchanges)}"
    honest = one_customer(context.known, codes)
    text += f". {honest}" if honest and honest != UNCHECKED else ""
    names = tuple(sorted(log.accounts[a] for a in codes))
    since = int(log["ts_us"][rows[seen.largest_at]])
    first = log.accounts[int(account[rows[0]])]
    key = f"{use.name} {int(log['ts_us'][rows[0]])} {first}"
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=5, person=b"stillwatch.pool")
    return Lead(
        f"lead-{digest.hexdigest()}",
        time_of(since),
        1.0,
        names,
        len(rows),
        str(hands),
        text,
        pools=(cover,),
        answer_tokens=answer_size(log, context.rows_of(codes)),
    )


def _same_group(lead: Lead, other: Lead | Campaign) -> bool:
    accounts = set(lead.accounts)
    return len(accounts.intersection(other.accounts)) >= SAME_GROUP * len(accounts)
