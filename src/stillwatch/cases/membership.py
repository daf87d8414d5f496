"""The accounts of a case: adding them, moving them between cases and back.

An account is the actor's in one case at most, its *home*. A case keeps a row for every account it ever had:
cleared accounts, victims, and accounts moved to another case have no home in it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, null, select, text, update

from stillwatch.cases import CaseError
from stillwatch.cases.acts import NOT_THE_ACTOR
from stillwatch.cases.store import Transaction
from stillwatch.cases.tables import among, cases, hours, members, to_stored

_BULK = """INSERT INTO members (case_id, key, account, since_us, last_us, finding, provisional, exchanges,
        home, moved_to, tied)
    SELECT :case_id, x.key, x.account, x.since_us, :last_us, :finding, :provisional, x.exchanges, x.home,
        x.moved_to, x.tied
    FROM unnest(CAST(:key AS text[]), CAST(:account AS text[]), CAST(:since_us AS bigint[]),
        CAST(:exchanges AS bigint[]), CAST(:home AS text[]), CAST(:moved_to AS text[]),
        CAST(:tied AS bigint[]))
        AS x (key, account, since_us, exchanges, home, moved_to, tied)"""


@dataclass(frozen=True)
class NamedAccount:
    """An account as a finding names it."""

    key: str
    account: str
    since_us: int
    exchanges: int
    tied: bool = False  # Campaign.firm


def homes_of(db: Connection, keys: Collection[str]) -> dict[str, str]:
    """Return the home case of each account that has one."""
    m = members.c
    rows = db.execute(select(m.home, m.case_id).where(among(db, m.home, keys)))
    return {row.home: row.case_id for row in rows}


def add(
    tx: Transaction, case_id: str, named: Iterable[NamedAccount], finding: int, *, provisional: bool
) -> None:
    """Add accounts without a row in the case. Those at home in another case stay there.

    finding: the latest one, or 0 if an older one names them.
    """
    rows = list(named)
    if not rows:
        return
    homes = homes_of(tx.db, [row.key for row in rows])
    common = {"case_id": case_id, "last_us": tx.now_us, "finding": finding, "provisional": int(provisional)}
    if tx.db.dialect.name == "postgresql":
        columns = {
            "key": [row.key for row in rows],
            "account": [to_stored(row.account) for row in rows],
            "since_us": [row.since_us for row in rows],
            "exchanges": [row.exchanges for row in rows],
            "home": [None if row.key in homes else row.key for row in rows],
            "moved_to": [homes.get(row.key) for row in rows],
            "tied": [int(row.tied) for row in rows],
        }
        tx.db.execute(text(_BULK), common | columns)
        return
    values = [
        common
        | {"key": row.key, "account": row.account, "since_us": row.since_us, "exchanges": row.exchanges}
        | {"home": None if row.key in homes else row.key, "moved_to": homes.get(row.key)}
        | {"tied": int(row.tied)}
        for row in rows
    ]
    tx.db.execute(insert(members), values)


def name_again(tx: Transaction, case_id: str, named: Mapping[str, NamedAccount], finding: int) -> None:
    """Record that a finding names accounts that have a row in the case."""
    m = members.c
    named_members = (m.case_id == case_id) & among(tx.db, m.key, named)
    last = {"last_us": tx.now_us, "finding": finding, "provisional": 0, "tied": 0}
    had = {row.key: row.exchanges for row in tx.db.execute(select(m.key, m.exchanges).where(named_members))}
    tx.db.execute(update(members).where(named_members).values(last))
    enough = (m.case_id == case_id) & among(
        tx.db, m.key, [key for key, member in named.items() if member.tied]
    )
    tx.db.execute(update(members).where(enough).values(tied=1))
    by_count: dict[int, list[str]] = {}
    for key, n in had.items():
        if named[key].exchanges > n:
            by_count.setdefault(named[key].exchanges, []).append(key)
    for n, keys in by_count.items():
        tx.db.execute(
            update(members).where(m.case_id == case_id, among(tx.db, m.key, keys)).values(exchanges=n)
        )


def drop_provisional(tx: Transaction, case_id: str, but: Collection[str]) -> int:
    """Remove provisional accounts that no full evaluation confirmed. Return how many."""
    m = members.c
    dropped = (m.case_id == case_id) & (m.provisional == 1) & m.verdict.is_(None) & ~among(tx.db, m.key, but)
    return tx.db.execute(delete(members).where(dropped)).rowcount


# --- moving ---


def move(tx: Transaction, source: str, target: str, keys: Collection[str] | None = None) -> dict[str, Any]:
    """Move all or the named accounts of `source` to `target`. Return what undoes it.

    Accounts' verdicts go with them unless the target has its own: see `verdicts` in the result.
    """
    m = members.c
    members_moving = (m.case_id == source) & m.moved_to.is_(None)
    if keys is not None:
        members_moving &= among(tx.db, m.key, keys)
    rows = tx.db.execute(select(members).where(members_moving).order_by(m.key)).mappings().all()
    moving = {row["key"]: row for row in rows}
    had = {
        row["key"]: row
        for row in tx.db.execute(
            select(members).where(m.case_id == target, among(tx.db, m.key, moving))
        ).mappings()
    }
    at_home = sorted(key for key, row in moving.items() if row["home"] is not None)
    tx.db.execute(update(members).where(members_moving).values(moved_to=target, home=null()))
    created = sorted(set(moving) - set(had))
    if created:
        tx.db.execute(
            insert(members),
            [dict(moving[key]) | {"case_id": target, "home": moving[key]["home"]} for key in created],
        )
    # those that the target had before return home, unless it judged them not to be the actor's
    back = sorted(k for k in at_home if k in had and had[k]["verdict"] not in NOT_THE_ACTOR)
    moved_before = sorted(k for k, row in had.items() if row["moved_to"] is not None)
    returned = (m.case_id == target) & among(tx.db, m.key, list(had))
    tx.db.execute(update(members).where(returned).values(moved_to=null()))
    tx.db.execute(update(members).where(m.case_id == target, among(tx.db, m.key, back)).values(home=m.key))
    verdicts: dict[str, list[str]] = {}
    for key, row in moving.items():
        if row["verdict"] is not None and (key not in had or had[key]["verdict"] is None):
            verdicts.setdefault(row["verdict"], []).append(key)
    return {
        "from": source,
        "to": target,
        "keys": sorted(moving),
        "at_home": at_home,
        "created": created,
        "left": {key: had[key]["moved_to"] for key in moved_before},
        "was_home": sorted(k for k, row in had.items() if row["home"] is not None),
        "verdicts": [{"verdict": v, "keys": sorted(named)} for v, named in sorted(verdicts.items())],
    }


def move_back(tx: Transaction, moved: Mapping[str, Any]) -> None:
    """Undo a move exactly. Raises: CaseError, before any write, if its accounts have moved since."""
    m = members.c
    source, target, db = moved["from"], moved["to"], tx.db
    in_target = m.case_id == target
    on = in_target & among(db, m.key, moved["keys"]) & m.moved_to.is_not(None)
    moved_on = db.execute(select(m.account, m.moved_to).where(on)).first()
    if moved_on is not None:
        raise CaseError(
            f"account {moved_on.account!a} went on to case {moved_on.moved_to}: take that back first"
        )
    elsewhere = among(db, m.home, moved["at_home"]) & m.case_id.not_in([source, target])
    other = db.execute(select(m.account, m.case_id).where(elsewhere)).first()
    if other is not None:
        raise CaseError(
            f"account {other.account!a} is the actor's in case {other.case_id} now: see there first"
        )
    db.execute(delete(members).where(in_target, among(db, m.key, moved["created"])))
    stayed = [key for key in moved["at_home"] if key not in set(moved["created"])]
    gone_home = set(moved["was_home"])
    away = [key for key in stayed if key not in gone_home]
    db.execute(update(members).where(in_target, among(db, m.key, away)).values(home=null()))
    for key, case_id in moved["left"].items():
        db.execute(update(members).where(in_target, m.key == key).values(moved_to=case_id, home=null()))
    back = (m.case_id == source) & among(db, m.key, moved["keys"])
    db.execute(update(members).where(back).values(moved_to=null()))
    home = (m.case_id == source) & among(db, m.key, moved["at_home"])
    db.execute(update(members).where(home).values(home=m.key))


# --- harvested hours ---


def hours_of(db: Connection, case_id: str) -> dict[int, tuple[int, int]]:
    """Return hour -> (exchanges, output tokens)."""
    h = hours.c
    rows = db.execute(select(h.hour_us, h.exchanges, h.output_tokens).where(h.case_id == case_id))
    return {hour: (exchanges, tokens) for hour, exchanges, tokens in rows}


def set_hours(db: Connection, case_id: str, changed: Mapping[int, tuple[int, int]]) -> None:
    """Write hours, deleting those of (0, 0). The case's sums follow."""
    h = hours.c
    if changed:
        hours_changed = [int(hour) for hour in changed]
        for hour in range(0, len(hours_changed), 1000):
            db.execute(
                delete(hours).where(h.case_id == case_id, h.hour_us.in_(hours_changed[hour : hour + 1000]))
            )
        rows = [
            {"case_id": case_id, "hour_us": int(hour), "exchanges": n, "output_tokens": tokens}
            for hour, (n, tokens) in changed.items()
            if n or tokens
        ]
        if rows:
            db.execute(insert(hours), rows)
    sums = select(func.sum(h.exchanges), func.sum(h.output_tokens), func.min(h.hour_us), func.max(h.hour_us))
    n, tokens, first, last = db.execute(sums.where(h.case_id == case_id)).one()
    row = {"exchanges": int(n or 0), "output_tokens": int(tokens or 0), "first_us": first, "last_us": last}
    db.execute(update(cases).where(cases.c.id == case_id).values(row))
