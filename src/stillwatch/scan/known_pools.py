"""Known pools in a scan: who goes through a public set of prompts, and whether as one queue dealt over them.

Whose exchanges they are, and nothing else, forms the group: at least three items and a tenth of what a payer
sent since the first. Of a set that people train on it makes leads, and never a finding: an honest firm that
shards a benchmark over its keys, annotators and a class look the same (docs/lab.md).

Null, Blind to, Fooled by: those of `stats/cover.py`. Besides: two pools on one set hide each other, as they
    repeat each other's items by chance.
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
from stillwatch.scan import Campaign, Lead, PoolCover
from stillwatch.scan.explanations import UNCHECKED, one_customer
from stillwatch.scan.harvest import moment
from stillwatch.stats.cover import Cover
from stillwatch.stats.dealing import distinct
from stillwatch.stats.exchangeability import Hands

LEAST_ITEMS = 3  # that a payer must have asked
LEAST_SHARE = 0.1  # of what it sent since the first of them
SAME_GROUP = 0.5  # of a lead's accounts in another lead, or a finding: then it is the same group
ONE_QUEUE = (
    "they go through a known training set as one queue dealt over them: one operator, but also one firm that "
    "spreads its work over keys, annotators, or a class whose exercises are dealt"
)


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
    """Which item of each pool each exchange asks."""
    return tuple(
        KnownPoolUse(pool.name, pool.training, len(pool), pool.items_of(log.phrases)) for pool in pools
    )


def with_pools(
    world: ActorContext, excused: set[int], alpha: float, found: Sequence[Campaign], leads: Sequence[Lead]
) -> tuple[list[Lead], tuple[PoolCover, ...]]:
    """Leads with the pools that they go through, new leads among them, and of each pool its users' cover.

    excused: accounts whose use is permitted; alpha: what all pools together may spend.
    """
    if not world.pools:
        return list(leads), ()
    code = {name: k for k, name in enumerate(world.log.accounts)}
    old = [_add_pools(lead, world, code) for lead in leads]
    new, pool_covers = _pool_leads(world, excused, alpha, [*found, *leads])
    return sorted([*old, *new], key=lambda lead: (lead.since, lead.id)), pool_covers


def _add_pools(lead: Lead, world: ActorContext, code: dict[str, int]) -> Lead:
    rows = world.rows_of(np.array([code[name] for name in lead.accounts], np.int64))
    found = covers(world, rows)
    if not found:
        return lead
    pool_covers = [_pool_cover(world, *one) for one in found]
    texts = [
        cover_text(use, seen, one.accounts, one.exchanges)
        for (use, seen, _), one in zip(found, pool_covers, strict=True)
    ]
    return replace(lead, text=". ".join([lead.text, *texts]), pools=tuple(pool_covers))


def _pool_leads(
    world: ActorContext, excused: set[int], alpha: float, known: Sequence[Lead | Campaign]
) -> tuple[list[Lead], tuple[PoolCover, ...]]:
    """New leads, and of each pool its users' cover. known: most of a new lead is in none of these."""
    leads, pool_covers = [], []
    for use in world.pools:
        seen, rows = cover_of(use, world, _rows_of_users(use, world, excused))
        one = _pool_cover(world, use, seen, rows)
        pool_covers.append(one)
        if not use.training or seen.p_value * len(world.pools) > alpha:
            continue
        lead = _lead(use, world, seen, rows, one)
        if lead is not None and not any(_same_group(lead, other) for other in known):
            leads.append(lead)
    return leads, tuple(pool_covers)


def _rows_of_users(use: KnownPoolUse, world: ActorContext, excused: set[int]) -> np.ndarray:
    """The exchanges of a pool's items by payers for whom these are a part of what they do."""
    log = world.log
    account = log["account"]
    by = account if world.payer is None else world.payer[account]
    allowed = np.ones(len(log.accounts), bool)
    allowed[list(excused)] = False
    hit = np.flatnonzero((use.item >= 0) & allowed[account])
    payers = len(log.accounts)
    first = np.full(payers, len(log), np.int64)
    np.minimum.at(first, by[hit], hit)
    sent = np.bincount(by[np.arange(len(log)) >= first[by]], minlength=payers)
    exchanges = np.bincount(by[hit], minlength=payers)
    pairs = distinct(by[hit].astype(np.int64) << 32 | use.item[hit])
    different = np.bincount(pairs >> 32, minlength=payers)
    user = (different >= LEAST_ITEMS) & (exchanges >= LEAST_SHARE * sent)
    rows: np.ndarray = hit[user[by[hit]]]
    return rows


def _pool_cover(world: ActorContext, use: KnownPoolUse, seen: Cover, rows: np.ndarray) -> PoolCover:
    accounts = len(np.unique(world.log["account"][rows]))
    return PoolCover(
        use.name, use.items, accounts, len(rows), seen.covered, seen.repeated, seen.expected, seen.p_value
    )


def _lead(
    use: KnownPoolUse, world: ActorContext, seen: Cover, rows: np.ndarray, cover: PoolCover
) -> Lead | None:
    """A pool's users as a lead; None where they are few, or what they ask clings to each of them."""
    log = world.log
    account = log["account"]
    codes = np.unique(account[rows])
    by = codes if world.payer is None else world.payer[codes]
    if len(np.unique(by)) < LEAST_TENANTS:
        return None
    hands = content_of(log, rows, account, codes.tolist(), lambda a: log.accounts[a]).hands
    if hands is Hands.MANY:
        return None
    text = f"{ONE_QUEUE}. {cover_text(use, seen, cover.accounts, cover.exchanges)}"
    honest = one_customer(world.known, codes)
    text += f". {honest}" if honest and honest != UNCHECKED else ""
    names = tuple(sorted(log.accounts[a] for a in codes))
    since = int(log["ts_us"][rows[seen.largest_at]])
    first = log.accounts[int(account[rows[0]])]
    what = f"{use.name} {int(log['ts_us'][rows[0]])} {first}"
    digest = hashlib.blake2b(what.encode("utf-8", "surrogatepass"), digest_size=5, person=b"stillwatch.pool")
    return Lead(
        f"lead-{digest.hexdigest()}", moment(since), 1.0, names, len(rows), str(hands), text, pools=(cover,)
    )


def _same_group(lead: Lead, other: Lead | Campaign) -> bool:
    mine = set(lead.accounts)
    return len(mine.intersection(other.accounts)) >= SAME_GROUP * len(mine)
