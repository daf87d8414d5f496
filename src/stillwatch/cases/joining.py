"""Merges two cases, splits one into two, and undoes both.

Findings cause this when scans show it, but never rejoin what a person has split.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, insert, select, update

from stillwatch.cases import MACHINE, Act, CaseError, CaseState
from stillwatch.cases.acts import OpenAppeal, acts_of, open_appeals, put, take_back
from stillwatch.cases.membership import hours_of, move, move_back, set_hours
from stillwatch.cases.store import Transaction, case_in
from stillwatch.cases.tables import cases

MERGE, SPLIT = "merge", "split"
Hours = Mapping[int, tuple[int, int]]


def new_id(db: Connection, seed: str) -> str:
    """Return an unused id for a new case, the same for the same seed."""
    number = 0
    while True:
        words = f"{seed} {number}".encode("utf-8", "surrogatepass")
        case_id = f"case-{hashlib.blake2b(words, digest_size=5, person=b'stillwatch.case').hexdigest()}"
        if db.execute(select(cases.c.id).where(cases.c.id == case_id)).first() is None:
            return case_id
        number += 1


def create(tx: Transaction, seed: str, row: Mapping[str, Any]) -> str:
    """Open a case. `row` holds what the finding states. Return its id."""
    case_id = new_id(tx.db, seed)
    times_row = {"id": case_id, "opened_us": tx.now_us, "updated_us": tx.now_us, "revision": tx.revision}
    zeros = dict.fromkeys(("exchanges", "output_tokens", "members", "victims", "cleared", "reopened"), 0)
    tx.db.execute(insert(cases).values(times_row | zeros | {"state": "new"} | dict(row)))
    return case_id


def merge(
    tx: Transaction, source: str, target: str, who: str, why: str, more: Mapping[str, Any] | None = None
) -> int:
    """Merge a case into `target`, with accounts and harvest. Return the act, which can be undone.

    more: what else the act sets.
    """
    a, b = case_in(tx.db, source, accounts=False), case_in(tx.db, target, accounts=False)
    for case in (a, b):
        if case.merged_into is not None:
            raise CaseError(f"case {case.id} was merged into {case.merged_into} already; name that one")
    if source == target:
        raise CaseError(f"{source} is one case; name two")
    moved = move(tx, source, target)
    verdicts = moved.pop("verdicts")
    own_hours, theirs = hours_of(tx.db, target), hours_of(tx.db, source)
    moved["hours"] = {hour: own_hours.get(hour, (0, 0)) for hour in theirs}
    set_hours(tx.db, target, {hour: _sum(own_hours.get(hour, (0, 0)), n) for hour, n in theirs.items()})
    row = {"merged_into": target, "revision": tx.revision, "updated_us": tx.now_us, "members": 0}
    row |= {"victims": 0, "cleared": 0}
    tx.db.execute(update(cases).where(cases.c.id == source).values(row))
    sets: dict[str, Any] = {"moved": moved} | _bring(open_appeals(acts_of(tx.db, source, in_force=True)))
    sets |= more or {}
    if verdicts:
        sets["accounts"] = verdicts
    return put(tx, target, who, MERGE, why, sets)


def _bring(appeals: Iterable[OpenAppeal]) -> dict[str, Any]:
    """Return what moves open appeals to another case, so that a merge or a split loses none."""
    brought = [asdict(appeal) for appeal in appeals]
    return {"appeals": brought, "state": CaseState.OPEN.value} if brought else {}


def split(
    tx: Transaction, source: str, keys: Collection[str], target: str, who: str, why: str, taken: Hours
) -> int:
    """Move accounts of another actor to `target`, a new case. Return the act.

    taken: the hours of the other actor, which are subtracted from the source's.
    """
    moved = move(tx, source, target, keys)
    verdicts = moved.pop("verdicts")
    hours = hours_of(tx.db, source)
    moved["hours"] = {hour: hours[hour] for hour in taken if hour in hours}
    set_hours(tx.db, source, {hour: _less(hours[hour], n) for hour, n in taken.items() if hour in hours})
    tx.db.execute(update(cases).where(cases.c.id == target).values(split_from=source))
    appeals = open_appeals(acts_of(tx.db, source, in_force=True))
    leaving = [appeal for appeal in appeals if appeal.appellant in set(keys)]
    put(tx, target, who, f"{SPLIT} off", why, _bring(leaving) | ({"accounts": verdicts} if verdicts else {}))
    detail = {"appeals_gone": [appeal.act for appeal in leaving]} if leaving else {}
    return put(tx, source, who, SPLIT, why, {"moved": moved} | detail)


def part(tx: Transaction, act: Act, who: str, why: str) -> int:
    """Undo a merge or a split. Return the act that did.

    Raises: CaseError if the accounts have been judged or moved since, or the new case has findings.
    """
    moved = act.sets["moved"]
    source, target = moved["from"], moved["to"]
    keys = set(moved["keys"])
    act_before = act.id if act.verb == MERGE else act.id - 1
    for later in acts_of(tx.db, target, in_force=True):
        judged = {key for group in later.sets.get("accounts", ()) for key in group["keys"]}
        if later.id > act_before and later.id != act.id and judged & keys:
            raise CaseError(
                f"its accounts have been judged since, by act {later.id} of {target}: undo that first"
            )
    target_case = case_in(tx.db, target, accounts=False)
    if target_case.merged_into is not None:
        raise CaseError(f"case {target} was merged into {target_case.merged_into} since: undo that first")
    move_back(tx, moved)
    hours = {int(hour): (int(n[0]), int(n[1])) for hour, n in moved["hours"].items()}
    if act.verb == MERGE:
        set_hours(tx.db, target, hours)
        tx.db.execute(update(cases).where(cases.c.id == source).values(merged_into=None))
    else:
        set_hours(tx.db, source, hours)
        tx.db.execute(update(cases).where(cases.c.id == target).values(merged_into=source))
    take_back(tx, act)
    other = source if act.case == target else target
    put(tx, other, who, f"un{act.verb}", why, {})
    return put(tx, act.case, who, "undo", why, {}, undoes=act.id)


def merge_act(db: Connection, source: str, target: str) -> Act | None:
    """Return the act in force by which one case went into another."""
    for act in reversed(acts_of(db, target, in_force=True)):
        if act.verb == MERGE and act.sets["moved"]["from"] == source:
            return act
    return None


def kept_apart(db: Connection, a: str, b: str) -> bool:
    """Return whether a person has separated two cases, by a split or by undoing a merge."""
    pair = {a, b}
    for case_id in (a, b):
        acts_found = acts_of(db, case_id)
        undone_by = {act.undoes: act.who for act in acts_found if act.undoes is not None}
        for act in acts_found:
            if act.verb not in (MERGE, SPLIT) or {act.sets["moved"]["from"], act.sets["moved"]["to"]} != pair:
                continue
            if act.verb == SPLIT and act.in_force and act.who != MACHINE:
                return True
            if act.verb == MERGE and undone_by.get(act.id, MACHINE) != MACHINE:
                return True
    return False


def _sum(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return a[0] + b[0], a[1] + b[1]


def _less(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return max(0, a[0] - b[0]), max(0, a[1] - b[1])
