"""Whom a step would affect besides the accounts it names, before it is taken.

A step acts on accounts: all keys and end users of an account are affected. Accounts that merely share an
organisation, an end user or a network with them are listed here but not touched.
"""

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from stillwatch.console import AffectedEndUser, NearbyAccount, StepImpact
from stillwatch.errors import InputError
from stillwatch.gateway.control.actions import standings
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.latest import Findings
from stillwatch.scan import AccountVerdict
from stillwatch.terms import EnforcementStatus, Step
from stillwatch.units import time_of

LOOK_BACK = timedelta(days=7)
PATIENCE_S = 10.0
MEMORY = "256MB"
MOST_NAMED = 100  # accounts, and end users, listed with details; the rest is counted
ORGANISATION, END_USER, ADDRESS = "organisation", "end user", "address"  # what two accounts may share


def reach(
    state: ControlState,
    folder: Folder,
    accounts: Collection[str],
    step: Step,
    now_us: int,
    findings: Findings | None = None,
) -> StepImpact:
    """Find whom a step on these accounts would affect. `findings`: the folder's, if already open."""
    statuses = standings(state, accounts)
    hit = tuple(sorted(a for a in accounts if (statuses[a].step if a in statuses else Step.CLEAR) != step))
    hits = set(hit)
    known = {account: org for account, org, _ in state.accounts()}
    orgs = {known[a] for a in hit if known.get(a) is not None}
    others = known.keys() - set(accounts)  # accounts already on that step are no bystanders
    same_org = tuple(sorted(a for a in others if known[a] in orgs))
    keys = sum(
        1
        for key in state.keys(limit=1_000_000)
        if key.account in hits and key.revoked_us is None and (key.expires_us or now_us + 1) > now_us
    )
    notes = [
        "Steps act on accounts. Who only shares an organisation, an end user or an address is not touched."
    ]
    verdicts: dict[str, AccountVerdict] = {}
    try:
        result = (findings or Findings(folder)).current().result
        verdicts = {v.account: v for v in result.accounts} if result is not None else {}
    except InputError as why:
        notes.append(f"What the detector says of accounts is missing: {why}.")
    seen = _read_traffic(folder, hit, set(accounts) - hits, same_org, now_us)
    notes += [seen.trouble] if seen.trouble else []
    shown = {n.account for n in (*seen.hit, *seen.near)}
    statuses |= standings(state, shown - statuses.keys())
    about = _About(known, orgs, statuses, verdicts, seen.trouble is None)
    return StepImpact(
        accounts=hit,
        unchanged=tuple(sorted(set(accounts) - hits)),
        unknown=tuple(a for a in hit if a not in known and seen.trouble is None and a not in seen.accounts),
        keys=keys,
        end_users=seen.end_users,
        same_org=same_org,
        same_end_user=seen.same_end_user,
        same_network=seen.same_network,
        notes=tuple(notes),
        hit=tuple(about(traffic, near=False) for traffic in seen.hit),
        near=tuple(about(traffic, near=True) for traffic in seen.near),
        users=seen.users,
    )


@dataclass(frozen=True)
class _Traffic:
    """One account's exchanges of the last days, and what it shares with an affected one."""

    account: str
    exchanges: int = 0
    output_tokens: int = 0
    end_users: int = 0
    same_end_user: bool = False
    same_network: bool = False


@dataclass(frozen=True)
class _About:
    """The available facts about accounts, from all sources."""

    known: Mapping[str, str | None]
    orgs: Collection[str | None]  # of the affected accounts
    stands: Mapping[str, EnforcementStatus]
    verdicts: Mapping[str, AccountVerdict]
    looked: bool  # the segments could be read

    def __call__(self, traffic: _Traffic, *, near: bool) -> NearbyAccount:
        verdict, org = self.verdicts.get(traffic.account), self.known.get(traffic.account)
        status = self.stands.get(traffic.account)
        shares = [(org is not None and org in self.orgs, ORGANISATION)]
        shares += [(traffic.same_end_user, END_USER), (traffic.same_network, ADDRESS)]
        return NearbyAccount(
            account=traffic.account,
            org=org,
            step=(status.step if status else Step.CLEAR).name.lower(),
            kind_of_use=verdict.kind_of_use if verdict else None,
            campaign=verdict.campaign if verdict else None,
            exchanges=traffic.exchanges if self.looked else None,
            output_tokens=traffic.output_tokens if self.looked else None,
            end_users=traffic.end_users if self.looked else None,
            shares=tuple(name for does, name in shares if does and near),
        )


@dataclass(frozen=True)
class _Seen:
    accounts: frozenset[str] = frozenset()  # affected ones with an exchange on record
    end_users: int | None = None
    same_end_user: int | None = None
    same_network: int | None = None
    hit: tuple[_Traffic, ...] = ()
    near: tuple[_Traffic, ...] = ()
    users: tuple[AffectedEndUser, ...] = ()
    trouble: str | None = None


_SEEN = """CREATE TABLE seen AS SELECT account, end_user, client_ip, count(*) AS n,
    coalesce(sum(output_tokens), 0) AS tokens, account IN (SELECT account FROM hit) AS is_hit
    FROM read_parquet($1) GROUP BY ALL"""
_OF_EACH = """SELECT account, any_value(is_hit), sum(n)::BIGINT AS asked, sum(tokens)::BIGINT,
    count(DISTINCT end_user), coalesce(bool_or(end_user IN (SELECT v FROM users)), false) AS user_too,
    coalesce(bool_or(client_ip IN (SELECT v FROM addresses)), false) AS address_too
    FROM seen GROUP BY account
    HAVING any_value(is_hit) OR user_too OR address_too OR account IN (SELECT account FROM orgs)
    ORDER BY asked DESC, account"""
_USERS = """SELECT account, end_user, sum(n)::BIGINT AS asked, count(*) OVER () FROM seen
    WHERE is_hit AND end_user IS NOT NULL GROUP BY account, end_user
    ORDER BY asked DESC, account, end_user LIMIT $1"""


def _read_traffic(
    folder: Folder,
    accounts: Collection[str],
    unchanged: Collection[str],
    same_org: Collection[str],
    now_us: int,
) -> _Seen:
    """Read the last days' exchanges of these accounts, and of accounts that share something with them."""
    # Imported here: the supervisor, which rarely needs it, saves 50 MB.
    import duckdb

    from stillwatch.gateway.record import segments

    since = time_of(now_us) - LOOK_BACK
    paths = [
        str(segment.path) for hour, group in segments.hours(folder) if hour >= since for segment in group
    ]
    silent = _without_traffic(accounts), _without_traffic(same_org)
    if not paths:
        return _Seen(frozenset(), 0, 0, 0, *silent)
    with duckdb.connect(config={"threads": 1, "memory_limit": MEMORY}) as db:
        over = threading.Timer(PATIENCE_S, db.interrupt)
        over.start()
        try:
            for name, these in (("hit", accounts), ("orgs", same_org)):
                db.execute(f"CREATE TABLE {name} (account VARCHAR)")
                db.execute(f"INSERT INTO {name} SELECT unnest($1::VARCHAR[])", [list(these)])
            db.execute(_SEEN, [paths])
            for name, column in (("users", "end_user"), ("addresses", "client_ip")):
                db.execute(
                    f"CREATE TABLE {name} AS SELECT DISTINCT {column} AS v FROM seen"
                    f" WHERE is_hit AND {column} IS NOT NULL"
                )
            rows = db.execute(_OF_EACH).fetchall()
            users = db.execute(_USERS, [MOST_NAMED]).fetchall()
        except duckdb.Error as why:
            trouble = f"Exchanges of the last 7 days could not be looked at: {type(why).__name__}."
            return _Seen(hit=silent[0], near=silent[1], trouble=trouble)
        finally:
            over.cancel()
    hit = [_Traffic(a, n, tokens, below) for a, is_hit, n, tokens, below, *_ in rows if is_hit]
    near = [_Traffic(a, *rest) for a, is_hit, *rest in rows if not is_hit and a not in unchanged]
    names = frozenset(traffic.account for traffic in hit)
    near += _without_traffic(set(same_org) - {neighbour.account for neighbour in near})
    org = frozenset(same_org)
    near.sort(key=lambda n: -(n.same_end_user + n.same_network + (n.account in org)))
    return _Seen(
        accounts=names,
        end_users=users[0][3] if users else 0,
        same_end_user=sum(n.same_end_user for n in near),
        same_network=sum(n.same_network for n in near),
        hit=(*hit, *_without_traffic(set(accounts) - names))[:MOST_NAMED],
        near=tuple(near[:MOST_NAMED]),
        users=tuple(AffectedEndUser(*row[:3]) for row in users),
    )


def _without_traffic(accounts: Collection[str]) -> tuple[_Traffic, ...]:
    """Return accounts without an exchange on record."""
    return tuple(map(_Traffic, sorted(accounts)[:MOST_NAMED]))
