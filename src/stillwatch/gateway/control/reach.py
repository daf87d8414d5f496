"""Whom a step would hit besides those it names, before it is taken. It changes nothing and judges nobody.

A step acts on accounts: with an account all its keys and all its end users are hit. Who merely shares an
organisation, an end user or a network with them is counted here and is not touched.
"""

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb

from stillwatch.gateway.control.actions import standings
from stillwatch.gateway.control.state import State
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.record import segments
from stillwatch.terms import Step

LOOK_BACK = timedelta(days=7)
PATIENCE_S = 10.0
MEMORY = "256MB"
MOST_NAMED = 100  # accounts listed by name; the rest is counted


@dataclass(frozen=True)
class Reach:
    """Who is hit by a step, and who stands near and is not."""

    accounts: tuple[str, ...]  # whose standing would change
    unchanged: tuple[str, ...]  # on that step already
    unknown: tuple[str, ...]  # no key was issued to them and no exchange of theirs is on record
    keys: int  # working keys of the accounts hit
    end_users: int | None  # below them in the last days; None: that could not be told
    same_org: tuple[str, ...]  # not touched: other accounts of their organisations
    same_end_user: int | None  # not touched: other accounts that some of those end users use too
    same_network: int | None  # not touched: other accounts seen behind an address of theirs
    notes: tuple[str, ...]


def reach(state: State, folder: Folder, accounts: Collection[str], step: Step, now_us: int) -> Reach:
    """Look at whom a step on these accounts would hit."""
    stands = standings(state, accounts)
    hit = tuple(sorted(a for a in accounts if (stands[a].step if a in stands else Step.CLEAR) != step))
    hits = set(hit)
    known = {account: org for account, org, _ in state.accounts()}
    orgs = {known[a] for a in hit if known.get(a) is not None}
    keys = sum(
        1
        for key in state.keys(limit=1_000_000)
        if key.account in hits and key.revoked_us is None and (key.expires_us or now_us + 1) > now_us
    )
    seen = _seen(folder, hit, now_us)
    notes = ["Steps act on accounts. Shared networks and shared end users are counted and not touched."]
    notes += [seen.trouble] if seen.trouble else []
    return Reach(
        accounts=hit,
        unchanged=tuple(sorted(set(accounts) - hits)),
        unknown=tuple(a for a in hit if a not in known and seen.trouble is None and a not in seen.accounts),
        keys=keys,
        end_users=seen.end_users,
        same_org=tuple(sorted(a for a, org in known.items() if org in orgs and a not in hits)),
        same_end_user=seen.same_end_user,
        same_network=seen.same_network,
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _Seen:
    accounts: frozenset[str] = frozenset()  # of the hit ones, with an exchange on record
    end_users: int | None = None
    same_end_user: int | None = None
    same_network: int | None = None
    trouble: str | None = None


def _seen(folder: Folder, accounts: Iterable[str], now_us: int) -> _Seen:
    """What the segments of the last days say of these accounts."""
    since = datetime.fromtimestamp(now_us / 1e6, UTC) - LOOK_BACK
    paths = [str(one.path) for hour, found in segments.hours(folder) if hour >= since for one in found]
    if not paths:
        return _Seen(frozenset(), 0, 0, 0)
    with duckdb.connect(config={"threads": 1, "memory_limit": MEMORY}) as db:
        over = threading.Timer(PATIENCE_S, db.interrupt)
        over.start()
        try:
            db.execute("CREATE TABLE hit (account VARCHAR)")
            db.execute("INSERT INTO hit SELECT unnest($1::VARCHAR[])", [list(accounts)])
            db.execute(
                "CREATE TABLE seen AS SELECT DISTINCT account, end_user, client_ip,"
                " account IN (SELECT account FROM hit) AS is_hit FROM read_parquet($1)",
                [paths],
            )
            named = db.execute("SELECT DISTINCT account FROM seen WHERE is_hit").fetchall()
            users = db.execute(
                "SELECT count(DISTINCT (account, end_user)) FROM seen WHERE is_hit AND end_user IS NOT NULL"
            ).fetchone()
            return _Seen(
                frozenset(account for (account,) in named),
                users[0] if users else 0,
                _sharing(db, "end_user"),
                _sharing(db, "client_ip"),
            )
        except duckdb.Error as why:
            return _Seen(
                trouble=f"Exchanges of the last 7 days could not be looked at: {type(why).__name__}."
            )
        finally:
            over.cancel()


def _sharing(db: duckdb.DuckDBPyConnection, column: str) -> int:
    """Accounts beside the hit ones that share a value of a column with one of them."""
    row = db.execute(
        f"SELECT count(DISTINCT account) FROM seen WHERE NOT is_hit AND {column} IN"
        f" (SELECT {column} FROM seen WHERE is_hit AND {column} IS NOT NULL)"
    ).fetchone()
    return int(row[0]) if row else 0
