"""People's acts on a case, and the state that results.

An act sets facets of a case (its state, owner, verdict, ...) and verdicts of accounts. The present value of
each is that of the last act in force, so undoing an act yields exactly the state without it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, null, select, update

from stillwatch.cases import Act, CaseError, CaseState, Json, RecordNotFound, Verdict
from stillwatch.cases.store import Personal, Transaction
from stillwatch.cases.tables import acts, among, cases, members, record_of

FACETS: Mapping[str, Any] = {  # and their values if no act has set them
    "state": CaseState.NEW.value,
    "verdict": None,
    "owner": None,
    "due_us": None,
    "suppressed_until_us": None,
    "suppressed_by": None,
    "suppressed_why": None,
    "appeal": None,
}
CLEARED = (Verdict.FALSE, Verdict.PERMITTED)
NOT_THE_ACTOR = (*CLEARED, Verdict.VICTIM)  # such accounts may not be acted on
CAME_BACK = "came back"
APPEAL, GRANTED, REFUSED = "appeal", "appeal granted", "appeal refused"
NAMES_ON_RECORD = 100  # accounts that the trail names individually; for more, a digest


@dataclass(frozen=True)
class OpenAppeal:
    """An undecided appeal."""

    act: int  # the number of the act that recorded it, in whatever case
    appellant: str | None  # key of the account that it concerns; None: the whole case
    text: str


def put(
    tx: Transaction,
    case_id: str,
    who: str,
    verb: str,
    text: str,
    sets: Mapping[str, Any],
    *,
    undoes: int | None = None,
) -> int:
    """Record an act, on the trail too, and apply it. Return its number.

    sets: facets; `accounts`, a list of {verdict, keys}; data for later acts: `known` at a closing, `moved` by
    a merge or split, `export`, `approver`, `dismisses` (how many cases), `appellant`, `decides`, and
    `appeals` that a merge or split brings along or (`appeals_gone`) takes away.
    """
    number = int(tx.db.execute(select(func.coalesce(func.max(acts.c.act), 0))).scalar_one()) + 1
    words = json.dumps(dict(sets), sort_keys=True)
    tx.audit(
        who,
        f"case.{verb}",
        case_id,
        _detail(number, text, words, sets, undoes),
        _personal(case_id, text, sets),
    )
    row = {"act": number, "case_id": case_id, "at_us": tx.now_us, "who": who, "verb": verb, "text": text}
    row |= {"sets": words, "undoes": undoes, "in_force": 1, "revision": tx.revision}
    tx.db.execute(insert(acts).values(row))
    stand(tx, case_id, keys=_keys(sets))
    return number


def take_back(tx: Transaction, act: Act) -> None:
    """Put an act out of force. The caller records that it was undone."""
    tx.db.execute(update(acts).where(acts.c.act == act.id).values(in_force=0, revision=tx.revision))
    stand(tx, act.case, keys=_keys(act.sets))


def put_back(tx: Transaction, act: Act) -> None:
    """Put an act in force again."""
    tx.db.execute(update(acts).where(acts.c.act == act.id).values(in_force=1, revision=tx.revision))
    stand(tx, act.case, keys=_keys(act.sets))


def stand(tx: Transaction, case_id: str, keys: Iterable[str] = ()) -> None:
    """Write the result of the acts in force: the case's facets, and the verdicts of the accounts `keys`."""
    in_force = acts_of(tx.db, case_id, in_force=True)
    facets = dict(FACETS)
    verdicts: dict[str, str | None] = dict.fromkeys(keys)
    for act in in_force:
        facets |= {name: act.sets[name] for name in FACETS if name in act.sets}
        for group in act.sets.get("accounts", ()):
            verdicts |= {key: group["verdict"] for key in group["keys"] if key in verdicts}
    facets["appeal"] = "\n\n".join(appeal.text for appeal in open_appeals(in_force)) or None
    by_verdict: dict[str | None, list[str]] = {}
    for key, verdict in verdicts.items():
        by_verdict.setdefault(verdict, []).append(key)
    for verdict, accounts_judged in by_verdict.items():
        _set_verdict(tx.db, case_id, accounts_judged, verdict)
    facets["reopened"] = sum(act.verb == CAME_BACK for act in in_force)
    row = facets | counts(tx.db, case_id) | {"updated_us": tx.now_us, "revision": tx.revision}
    tx.db.execute(update(cases).where(cases.c.id == case_id).values(row))


def counts(db: Connection, case_id: str) -> dict[str, int]:
    """Count a case's accounts: the actor's, victims', and those cleared."""
    m = members.c
    is_member = m.moved_to.is_(None)
    cleared = [str(verdict) for verdict in CLEARED]
    query = select(
        func.count(m.home),
        func.count().filter(is_member & (m.verdict == str(Verdict.VICTIM))),
        func.count().filter(is_member & m.verdict.in_(cleared)),
    ).where(m.case_id == case_id)
    member_count, victims, given_up = db.execute(query).one()
    return {"members": member_count, "victims": victims, "cleared": given_up}


def _set_verdict(db: Connection, case_id: str, keys: list[str], verdict: str | None) -> None:
    """Set the verdict of accounts; only those that are the actor's have their home in this case.

    Raises: CaseError if one would become the actor's again but is another case's by now.
    """
    m = members.c
    named_members = (m.case_id == case_id) & among(db, m.key, keys)
    if verdict in NOT_THE_ACTOR:
        db.execute(update(members).where(named_members).values(verdict=verdict, home=null()))
        return
    homes = db.execute(select(m.home, m.case_id).where(among(db, m.home, keys)))
    elsewhere = {row.home: row.case_id for row in homes if row.case_id != case_id}
    if elsewhere:
        back = select(m.key, m.account).where(named_members, m.moved_to.is_(None))
        for row in db.execute(back):
            if row.key in elsewhere:
                where = elsewhere[row.key]
                raise CaseError(
                    f"account {row.account!a} is in case {where} by now; merge the two, or clear it there"
                )
    db.execute(update(members).where(named_members).values(verdict=verdict))
    db.execute(update(members).where(named_members, m.moved_to.is_(None)).values(home=m.key))


# --- reading ---


def acts_of(db: Connection, case_id: str, *, in_force: bool = False) -> list[Act]:
    """Return a case's acts, in order."""
    query = select(acts).where(acts.c.case_id == case_id).order_by(acts.c.act)
    if in_force:
        query = query.where(acts.c.in_force == 1)
    return [_act(row) for row in db.execute(query).mappings()]


def open_appeals(in_force: Iterable[Act]) -> list[OpenAppeal]:
    """Return the appeals still open after some acts in force, oldest first."""
    appeals: dict[int, OpenAppeal] = {}
    for act in in_force:
        if act.verb == APPEAL:
            appeals[act.id] = OpenAppeal(act.id, act.sets.get("appellant"), act.sets["appeal"])
        for brought in act.sets.get("appeals", ()):
            appeals[brought["act"]] = OpenAppeal(**brought)
        for number in act.sets.get("appeals_gone", ()):
            appeals.pop(number, None)
        if act.verb in (GRANTED, REFUSED):
            if "decides" in act.sets:
                appeals.pop(act.sets["decides"], None)
            else:  # from a time when a case had at most one open appeal
                appeals.clear()
    return list(appeals.values())


def act_of(db: Connection, case_id: str, number: int) -> Act:
    """Return one act of a case. Raises: RecordNotFound."""
    query = select(acts).where(acts.c.act == number, acts.c.case_id == case_id)
    row = db.execute(query).mappings().first()
    if row is None:
        raise RecordNotFound(
            f"case {case_id} has no act {number}; `stillwatch case log {case_id}` lists them"
        )
    return _act(row)


def _act(row: Mapping[Any, Any]) -> Act:
    sets, in_force = json.loads(row["sets"]), bool(row["in_force"])
    return record_of(Act, row, id=row["act"], case=row["case_id"], sets=sets, in_force=in_force)


# --- the trail ---


def _keys(sets: Mapping[str, Any]) -> list[str]:
    return [key for group in sets.get("accounts", ()) for key in group["keys"]]


def _detail(number: int, text: str, words: str, sets: Mapping[str, Any], undoes: int | None) -> Json:
    """Return what stays on the audit trail forever: no names and no free text."""
    facets_kept = {
        name: sets[name] for name in ("state", "verdict", "due_us", "suppressed_until_us") if name in sets
    }
    if "accounts" in sets:
        facets_kept["accounts"] = {group["verdict"]: len(group["keys"]) for group in sets["accounts"]}
    if "moved" in sets:
        facets_kept["moved"] = {name: sets["moved"][name] for name in ("from", "to")}
        facets_kept["moved"]["accounts"] = len(sets["moved"]["keys"])
    for name in ("export", "known", "approver", "dismisses", "lead", "unjudged"):
        if name in sets:
            facets_kept[name] = sets[name]
    if undoes is not None:
        facets_kept["undoes"] = undoes
    return facets_kept | {"act": number, "text": _sha256(text), "sets": _sha256(words)}


def _personal(case_id: str, text: str, sets: Mapping[str, Any]) -> Personal:
    """Return what may have to be erased: free text and names of accounts."""
    details: dict[str, Json] = {}
    about_case = {name: sets[name] for name in ("owner", "suppressed_by", "appeal") if name in sets}
    if text:
        about_case["text"] = text
    keys = _keys(sets)
    if len(keys) > NAMES_ON_RECORD:
        about_case["accounts"] = _sha256("\n".join(sorted(keys)))
    else:
        for group in sets.get("accounts", ()):
            details |= {key: {"verdict": group["verdict"]} for key in group["keys"]}
    return details | ({case_id: about_case} if about_case else {})


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
