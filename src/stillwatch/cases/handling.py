"""What people do with cases: assign, note, judge, close, suppress, appeal, merge, split, undo.

Every operation is one act with author and reason, on the case and on the trail, and can be undone. None
changes an account's enforcement status: the ladder does (`stillwatch standing`), for the accounts in
`targets`.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, Unpack

from sqlalchemy import Connection, func, select

from stillwatch.cases import (
    MACHINE,
    Act,
    Case,
    CaseError,
    CaseState,
    Json,
    RecordNotFound,
    SecondPersonNeeded,
    Verdict,
)
from stillwatch.cases.acts import (
    APPEAL,
    GRANTED,
    REFUSED,
    OpenAppeal,
    act_of,
    acts_of,
    open_appeals,
    put,
    put_back,
    take_back,
)
from stillwatch.cases.acts import CLEARED as DISMISSED
from stillwatch.cases.evidence import hold
from stillwatch.cases.joining import MERGE, SPLIT, create, part
from stillwatch.cases.joining import merge as merge_cases
from stillwatch.cases.joining import split as split_case
from stillwatch.cases.persons import LONGEST_NAME, Persons
from stillwatch.cases.store import Store, Transaction, case_in, check_revision
from stillwatch.cases.tables import acts, among, cases, key_of, members
from stillwatch.units import DAY_US, HOUR_US

LONGEST_WORDS = 10_000  # characters of a note or a reason
LONGEST_AHEAD_US = 366 * DAY_US
FRESH_US = 2 * DAY_US  # a case whose last exchanges are older is not live: see `_known`
DISMISSED_CASES_A_DAY = 25  # by one person without a second one
DISMISSED_ACCOUNTS_A_DAY = 1_000
_DIGEST = re.compile("[0-9a-f]{64}")


class Authorship(TypedDict):
    """Who acts on a case, and when. `if_revision`: only if nobody has changed it since."""

    who: str
    now_us: int
    if_revision: NotRequired[int | None]


class StatedAct(Authorship):
    """An act that needs a reason."""

    why: str


class Dismissal(StatedAct):
    """`approver`: a second person, required once somebody dismisses many cases in a day."""

    approver: NotRequired[str | None]


def assign(
    store: Store,
    case_id: str,
    owner: str | None,
    *,
    why: str = "",
    due_us: int | None = None,
    **by: Unpack[Authorship],
) -> Case:
    """Assign a case to a person, or to nobody. A new case becomes open.

    due_us: the due date; without one, the present one stays.
    """
    if owner is not None:
        _checked_name(owner, "the owner")
    sets: Json = {"owner": owner} | ({} if due_us is None else {"due_us": due_us})
    return _act(store, case_id, by, "assign", why, sets, opens=True)


def set_due(store: Store, case_id: str, due_us: int, **by: Unpack[StatedAct]) -> Case:
    """Set the due date of a case; its owner stays. Raises: CaseError for a date in the past."""
    if not by["now_us"] < due_us <= by["now_us"] + LONGEST_AHEAD_US:
        raise CaseError("a case is due between now and a year from now; give a date there")
    return _act(store, case_id, by, "due", _why(by["why"]), {"due_us": due_us}, opens=True)


def note(
    store: Store,
    case_id: str,
    text: str,
    *,
    then: Callable[[Transaction, int], object] | None = None,
    **by: Unpack[Authorship],
) -> Case:
    """Add a note. Its text can be erased later, but not the fact that it was made.

    then: called with the transaction and the act's number, to store consequences of the note with it.
    """
    with _changing(store, case_id, by) as tx:
        act = put(tx, case_id, by["who"], "note", _checked_words(text, "the note"), {})
        if then is not None:
            then(tx, act)
        return case_in(tx.db, case_id)


def judge(store: Store, case_id: str, verdict: Verdict, **by: Unpack[Dismissal]) -> Case:
    """Record a verdict on a case. It stays open.

    approver: a second person, required once somebody dismisses many cases in a day. Raises: CaseError.
    """
    _of_cases(verdict)
    sets = {"verdict": str(verdict)}
    return _act(store, case_id, by, "judge", _why(by["why"]), sets, opens=True, approver=by.get("approver"))


def judge_accounts(
    store: Store, case_id: str, accounts: Collection[str], verdict: Verdict | None, **by: Unpack[Dismissal]
) -> Case:
    """Record a verdict on single accounts of a case; None removes theirs.

    false, permitted: not the actor's, and not to be acted on. victim: a customer whose key the actor has; the
    key must be replaced, and the customer left alone.
    """
    keys = {key_of(account): account for account in accounts}
    if not keys:
        raise CaseError("no account was named")
    with _changing(store, case_id, by) as tx:
        m = members.c
        members_named = select(m.key).where(
            m.case_id == case_id, m.moved_to.is_(None), among(tx.db, m.key, keys)
        )
        missing = sorted(keys.keys() - set(tx.db.execute(members_named).scalars()))
        if missing:
            and_more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
            raise RecordNotFound(f"account {keys[missing[0]]!a}{and_more}: not in case {case_id}")
        group = {"verdict": None if verdict is None else str(verdict), "keys": sorted(keys)}
        sets: Json = {"accounts": [group]} | _open_if_new(tx, case_id)
        _second_person(tx, case_id, by["who"], by.get("approver"), sets)
        hold(tx.db, case_id)
        put(tx, case_id, by["who"], "judge accounts", _why(by["why"]), sets)
        return case_in(tx.db, case_id)


def close(store: Store, case_id: str, verdict: Verdict | None = None, **by: Unpack[Dismissal]) -> Case:
    """Close a judged case. New activity re-opens it: see `fold`.

    Raises: CaseError if it has no verdict and none is given, or while an appeal is open.
    """
    if verdict is not None:
        _of_cases(verdict)
    with _changing(store, case_id, by) as tx:
        case = case_in(tx.db, case_id, accounts=False)
        final = verdict or case.verdict
        if final is None:
            raise CaseError(f"case {case_id} has no verdict; close it with one")
        if case.appeal is not None:
            raise CaseError(f"case {case_id} has an open appeal; decide it first")
        if case.state == CaseState.CLOSED and final == case.verdict:
            return case_in(tx.db, case_id)
        sets = {"state": CaseState.CLOSED.value, "verdict": str(final), "known": _closed_extent(tx, case)}
        _second_person(tx, case_id, by["who"], by.get("approver"), sets)
        hold(tx.db, case_id)
        put(tx, case_id, by["who"], "close", _why(by["why"]), sets)
        return case_in(tx.db, case_id)


def reopen(store: Store, case_id: str, **by: Unpack[StatedAct]) -> Case:
    """Re-open a closed case. Its verdict stays until it is judged again."""
    with _changing(store, case_id, by) as tx:
        if case_in(tx.db, case_id, accounts=False).state != CaseState.CLOSED:
            raise CaseError(f"case {case_id} is not closed")
        put(tx, case_id, by["who"], "reopen", _why(by["why"]), {"state": CaseState.OPEN.value})
        return case_in(tx.db, case_id)


def suppress(store: Store, case_id: str, *, owner: str, until_us: int, **by: Unpack[Dismissal]) -> Case:
    """Suppress notifications of a case for a while; it is still measured.

    owner: the person responsible. Raises: CaseError if the expiry is past, or over a year away.
    """
    _checked_name(owner, "who answers for it")
    if not by["now_us"] < until_us <= by["now_us"] + LONGEST_AHEAD_US:
        raise CaseError("a suppression ends between now and a year from now; give it an expiry there")
    sets = {"suppressed_until_us": until_us, "suppressed_by": owner, "suppressed_why": _why(by["why"])}
    return _act(store, case_id, by, "suppress", by["why"], sets, opens=True, approver=by.get("approver"))


def unsuppress(store: Store, case_id: str, **by: Unpack[StatedAct]) -> Case:
    """End a suppression before its expiry."""
    sets = {"suppressed_until_us": None, "suppressed_by": None, "suppressed_why": None}
    return _act(store, case_id, by, "unsuppress", _why(by["why"]), sets)


def appeal(
    store: Store, case_id: str, text: str, *, account: str | None = None, **by: Unpack[Authorship]
) -> Case:
    """Record a customer's appeal against a case, or for one account. A closed case opens again.

    Each account can have one open appeal, and the whole case another. Raises: CaseError for a second one.
    """
    _checked_words(text, "the appeal")
    with _changing(store, case_id, by) as tx:
        appeal_text = text if account is None else f"{account}: {text}"
        sets: Json = {"appeal": appeal_text, "state": CaseState.OPEN.value}
        if account is not None:
            _member_accounts(tx, case_id, [account])
            sets["appellant"] = key_of(account)
        for earlier in open_appeals(acts_of(tx.db, case_id, in_force=True)):
            if earlier.appellant == sets.get("appellant"):
                whose = f"case {case_id}" if account is None else f"account {account!a} of case {case_id}"
                raise CaseError(
                    f"{whose} has an open appeal already ({earlier.act}); decide it, or add a note"
                )
        put(tx, case_id, by["who"], APPEAL, appeal_text, sets)
        return case_in(tx.db, case_id)


def decide(
    store: Store,
    case_id: str,
    granted: bool,
    *,
    accounts: Collection[str] = (),
    number: int | None = None,
    sanctioned: Mapping[str, str] | None = None,
    **by: Unpack[StatedAct],
) -> Case:
    """Decide an appeal. Nobody may who judged the case, opened it by hand, or took part in its actions.

    accounts: those that a grant clears; by default the one that the appeal is for. A grant reaches no further
    than its appeal: only one for the whole case ends it. number: which appeal, if several are open: see
    `appeals`. sanctioned: who took part in actions, and which; only the caller knows.
    """
    with _changing(store, case_id, by) as tx:
        case_in(tx.db, case_id, accounts=False)
        chosen_appeal = _which_appeal(case_id, open_appeals(acts_of(tx.db, case_id, in_force=True)), number)
        cleared = _member_accounts(tx, case_id, accounts) or (
            {chosen_appeal.appellant} if chosen_appeal.appellant else set()
        )
        _check_impartial(tx.db, case_id, by["who"], sanctioned or {})
        sets: Json = {"appeal": None, "decides": chosen_appeal.act}
        if granted and cleared:
            sets["accounts"] = [{"verdict": str(Verdict.FALSE), "keys": sorted(cleared)}]
        elif granted:
            sets["verdict"] = str(Verdict.FALSE)
        hold(tx.db, case_id)
        put(tx, case_id, by["who"], GRANTED if granted else REFUSED, _why(by["why"]), sets)
        return case_in(tx.db, case_id)


def merge(
    store: Store, case_id: str, into: str, *, into_revision: int | None = None, **by: Unpack[Dismissal]
) -> Case:
    """Merge a case into another with the same actor. Return the case that continues.

    into_revision: only if nobody has changed that case since. approver: a second person, required for merging
    many cases into dismissed ones. Raises: CaseError.
    """
    with _changing(store, case_id, by) as tx:
        check_revision(tx.db, into, into_revision)
        sets: Json = {"dismisses": 1} if _hides(tx, into) and not _hides(tx, case_id) else {}
        _second_person(tx, case_id, by["who"], by.get("approver"), sets)
        merge_cases(tx, case_id, into, by["who"], _why(by["why"]), sets)
        return case_in(tx.db, into)


def split(store: Store, case_id: str, accounts: Collection[str], **by: Unpack[StatedAct]) -> Case:
    """Split accounts of another actor off into a new case. Return the new case.

    Its harvest is what those accounts sent in the scanned log, until a finding knows more.
    """
    keys = {key_of(account): account for account in accounts}
    with _changing(store, case_id, by) as tx:
        m, c = members.c, cases.c
        own_members = select(m.key).where(m.case_id == case_id, m.home.is_not(None))
        members_named = set(tx.db.execute(own_members).scalars())
        missing = sorted(keys.keys() - members_named)
        if missing:
            raise RecordNotFound(f"account {keys[missing[0]]!a}: not one of case {case_id}'s actor")
        if not keys or len(keys) == len(members_named):
            raise CaseError("a case is split into two parts that both have accounts; name some of them")
        had = tx.db.execute(select(cases).where(c.id == case_id)).mappings().one()
        row = {name: had[name] for name in ("campaign", "p_value", "score_bits", "permission", "raised_by")}
        row["title"] = f"{len(keys):,} accounts of {case_id} that are another actor's."
        new_id = create(tx, f"{case_id} {min(keys)}", row)
        split_case(tx, case_id, keys, new_id, by["who"], _why(by["why"]), {})
        return case_in(tx.db, new_id)


def record_export(
    store: Store,
    case_id: str,
    export: Mapping[str, str],
    *,
    who: str,
    now_us: int,
    why: str = "",
    unjudged: bool = False,
) -> Case:
    """Record on the case that it was exported: {"format": ..., "sha256": ...}, with "to" if known.

    unjudged: it left although nobody had judged the case true, for the reason `why`.
    """
    if set(export) - {"to"} != {"format", "sha256"} or not _DIGEST.fullmatch(export["sha256"]):
        raise CaseError("an export has a format and the SHA-256 of what was written, in hex")
    with _changing(store, case_id, {"who": who, "now_us": now_us}) as tx:
        hold(tx.db, case_id)
        sets: Json = {"export": dict(export)} | ({"unjudged": True} if unjudged else {})
        put(tx, case_id, who, "export", why, sets)
        return case_in(tx.db, case_id)


def undo(store: Store, case_id: str, act: int, **by: Unpack[StatedAct]) -> Case:
    """Undo an act: the result is exactly the state without it. An undo can be undone, too.

    Raises: RecordNotFound; CaseError if it was undone already, or later acts depend on it.
    """
    with _changing(store, case_id, by) as tx:
        act_to_undo = act_of(tx.db, case_id, act)
        if not act_to_undo.in_force:
            raise CaseError(f"act {act} was taken back already")
        if act_to_undo.verb in (MERGE, SPLIT):
            part(tx, act_to_undo, by["who"], _why(by["why"]))
            return case_in(tx.db, case_id)
        if act_to_undo.verb == "export":
            raise CaseError(f"act {act} is an export: what has left cannot be taken back")
        if act_to_undo.verb in (f"un{MERGE}", f"un{SPLIT}", f"{SPLIT} off", "opened"):
            raise CaseError(
                f"act {act} ({act_to_undo.verb}) cannot be taken back by itself; merge or split the cases"
            )
        root = act_to_undo
        while root.undoes is not None:
            root = act_of(tx.db, case_id, root.undoes)
        if root.verb in (APPEAL, GRANTED, REFUSED):  # removing an appeal decides it
            _check_impartial(tx.db, case_id, by["who"], {})
        if act_to_undo.undoes is not None:
            _second_person(tx, case_id, by["who"], None, dict(root.sets))  # a dismissal may count again
        put(tx, case_id, by["who"], "undo", _why(by["why"]), {}, undoes=act)
        _turn(tx, case_id)
        return case_in(tx.db, case_id)


def _turn(tx: Transaction, case_id: str) -> None:
    """Put in force exactly those acts that no act in force has undone.

    Two undos may refer to one act: undoing one of them leaves the other.
    """
    undone: set[int] = set()
    turned: list[tuple[Act, bool]] = []
    for act in reversed(acts_of(tx.db, case_id)):
        counts = act.id not in undone
        if counts and act.undoes is not None:
            undone.add(act.undoes)
        if counts != act.in_force:
            turned.append((act, counts))
    for act, counts in turned:
        if act.verb in (MERGE, SPLIT):
            raise CaseError(f"a {act.verb} that was taken back cannot be put back; {act.verb} again")
        (put_back if counts else take_back)(tx, act)


@dataclass(frozen=True)
class Appeal:
    """An open appeal."""

    number: int  # of the act that recorded it
    account: str | None  # that it concerns; None: the whole case
    text: str


def appeals(store: Store, case_id: str) -> list[Appeal]:
    """Return the open appeals of a case, oldest first."""
    m = members.c
    with store.reading() as db:
        open_ones = open_appeals(acts_of(db, case_id, in_force=True))
        keys = [a.appellant for a in open_ones if a.appellant is not None]
        account_names = select(m.key, m.account).where(m.case_id == case_id, among(db, m.key, keys))
        names = {row.key: row.account for row in db.execute(account_names)}
    return [Appeal(a.act, names.get(a.appellant or ""), a.text) for a in open_ones]


def related_cases(store: Store, case_id: str) -> list[str]:
    """Return a case, those merged into it, and those that any of them was split from."""
    with store.reading() as db:
        return _related_ids(db, case_id)


# --- shared parts ---


def _member_accounts(tx: Transaction, case_id: str, accounts: Collection[str]) -> set[str]:
    """Return the keys of accounts of a case. Raises: RecordNotFound."""
    by_key = {key_of(account): account for account in accounts}
    m = members.c
    members_named = select(m.key).where(m.case_id == case_id, among(tx.db, m.key, by_key))
    for key in sorted(by_key.keys() - set(tx.db.execute(members_named).scalars())):
        raise RecordNotFound(f"account {by_key[key]!a}: not in case {case_id}")
    return set(by_key)


def _which_appeal(case_id: str, open_ones: list[OpenAppeal], number: int | None) -> OpenAppeal:
    """Return the open appeal with a number, or the only one. Raises: CaseError."""
    if not open_ones:
        raise CaseError(f"case {case_id} has no open appeal")
    listed = ", ".join(str(open_appeal.act) for open_appeal in open_ones)
    if number is None and len(open_ones) > 1:
        raise CaseError(
            f"case {case_id} has {len(open_ones)} open appeals ({listed}); say which one is decided"
        )
    if number is not None and number not in {open_appeal.act for open_appeal in open_ones}:
        raise CaseError(f"case {case_id} has no open appeal {number}; open: {listed}")
    return next(open_appeal for open_appeal in open_ones if number in (None, open_appeal.act))


def _check_impartial(db: Connection, case_id: str, who: str, sanctioned: Mapping[str, str]) -> None:
    """Refuse a person who would decide on their own acts, including those undone since.

    Raises: CaseError if `who` judged this case or one that is part of it, approved a dismissal, opened it by
    hand, or took part in actions on its accounts.
    """
    persons = Persons.read(db)
    parts = [(name, did, 0) for name, did in sanctioned.items()]
    for act in (act for related in _related_ids(db, case_id) for act in acts_of(db, related)):
        if approver := act.sets.get("approver"):
            parts.append((approver, f"approved act {act.id}", act.at_us))
        if act.verb != GRANTED and (_judges(act.sets) or act.verb == "opened"):
            parts.append((act.who, "opened it" if act.verb == "opened" else "judged", act.at_us))
    for name, did, at_us in parts:
        if why := persons.why_one(who, name, at_us):
            whom = "" if name == who else f", who counts as the same person as {who!a}: {why}"
            raise CaseError(f"{name!a} {did} (case {case_id}){whom}: somebody else decides the appeal")


def _related_ids(db: Connection, case_id: str) -> list[str]:
    c = cases.c
    case_ids, new = {case_id}, {case_id}
    while new:
        parents = select(c.split_from).where(among(db, c.id, new), c.split_from.is_not(None))
        into = select(c.id).where(among(db, c.merged_into, new))
        new = {*db.execute(parents).scalars(), *db.execute(into).scalars()} - case_ids
        case_ids |= new
    return sorted(case_ids)


def _act(
    store: Store,
    case_id: str,
    by: Authorship,
    verb: str,
    text: str,
    sets: Mapping[str, Any],
    *,
    opens: bool = False,
    approver: str | None = None,
) -> Case:
    if len(text) > LONGEST_WORDS:
        _checked_words(text, "the reason")
    with _changing(store, case_id, by) as tx:
        put_sets = dict(sets) | (_open_if_new(tx, case_id) if opens else {})
        _second_person(tx, case_id, by["who"], approver, put_sets)
        if verb in ("judge", "suppress"):
            hold(tx.db, case_id)
        put(tx, case_id, by["who"], verb, text, put_sets)
        return case_in(tx.db, case_id)


def _changing(store: Store, case_id: str, by: Authorship) -> AbstractContextManager[Transaction]:
    """Open a transaction on a case that was not merged into another. Raises: CaseError."""
    _check_person(by["who"])
    with store.reading() as db:
        into = case_in(db, case_id, accounts=False).merged_into
    if into is not None:
        raise CaseError(f"case {case_id} was merged into {into}; name that one")
    return store.writing(by["now_us"], case=case_id, if_revision=by.get("if_revision"))


def _open_if_new(tx: Transaction, case_id: str) -> dict[str, str]:
    """Open a new case once somebody works on it."""
    new = case_in(tx.db, case_id, accounts=False).state == CaseState.NEW
    return {"state": CaseState.OPEN.value} if new else {}


def _closed_extent(tx: Transaction, case: Case) -> dict[str, int]:
    """Return the extent of a case at closing: what exceeds it is new.

    For a live case it ends with this hour, since hours are counted whole; for an old log, with its own last
    hour.
    """
    m = members.c
    rows = select(func.count()).where(m.case_id == case.id, m.moved_to.is_(None))
    last = case.last_us or 0
    live = last > tx.now_us - FRESH_US
    return {
        "rows": int(tx.db.execute(rows).scalar_one()),
        "members": case.members,
        "exchanges": case.exchanges,
        "until_us": max(last, tx.now_us // HOUR_US * HOUR_US) if live else last,
    }


def _second_person(tx: Transaction, case_id: str, who: str, approver: str | None, sets: Json) -> None:
    """Require a second person for many dismissals, since one careless or bribed person could blind the rest.

    A case counts with those that people merged into it: `dismisses` in `sets`. Raises: SecondPersonNeeded;
    CaseError if the second person is the first one.
    """
    if approver is not None:
        _checked_name(approver, "the approver")
        if why := Persons.read(tx.db).why_one(who, approver, tx.now_us):
            raise CaseError(f"the approver is somebody else than who does it: {approver!a} is not ({why})")
        sets["approver"] = approver
        return
    if not any(_weight(sets)):
        return
    cases_before, accounts_before = _dismissed_alone(tx.db, who, tx.now_us)
    if _weight(sets)[0] and (merged := _merged_into(tx.db, case_id)):
        sets["dismisses"] = 1 + merged
    cases_now, accounts_now = _weight(sets)
    if cases_now and cases_before + cases_now > DISMISSED_CASES_A_DAY:
        who_else = "another one needs" if cases_now == 1 else f"{cases_now} more, merged into one, need"
        raise SecondPersonNeeded(
            f"{who!a} has dismissed {cases_before} cases within a day; {who_else} an approver"
        )
    if accounts_now and accounts_before + accounts_now > DISMISSED_ACCOUNTS_A_DAY:
        raise SecondPersonNeeded(
            f"{who!a} would have cleared {accounts_before + accounts_now:,} accounts within a day; over "
            f"{DISMISSED_ACCOUNTS_A_DAY:,} need an approver"
        )


def _dismissed_alone(db: Connection, who: str, now_us: int) -> tuple[int, int]:
    """Return how many cases and accounts a person has dismissed alone within a day, under any name."""
    a = acts.c
    today = (a.in_force == 1) & (a.at_us > now_us - DAY_US)
    names = db.execute(select(a.who).distinct().where(today)).scalars()
    own_names = Persons.read(db).names_of(who, names, now_us - DAY_US)
    before = [
        json.loads(words)
        for words in db.execute(select(a.sets).where(today, among(db, a.who, own_names))).scalars()
    ]
    cases, accounts = (sum(n) for n in zip((0, 0), *map(_weight, before), strict=True))
    return cases, accounts


def dismissals_left(store: Store, who: str, now_us: int) -> int:
    """Return how many more cases a person may dismiss alone now."""
    with store.reading() as db:
        return max(DISMISSED_CASES_A_DAY - _dismissed_alone(db, who, now_us)[0], 0)


def _weight(sets: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many cases and accounts an act dismisses alone."""
    if "approver" in sets:
        return 0, 0
    dismisses = sets.get("verdict") in DISMISSED or sets.get("suppressed_until_us") is not None
    groups = sets.get("accounts", ())
    accounts = sum(len(group["keys"]) for group in groups if group["verdict"] in DISMISSED)
    return int(sets.get("dismisses", dismisses)), accounts


def _merged_into(db: Connection, case_id: str) -> int:
    """Count the cases that people merged into a case, directly or indirectly."""
    a = acts.c
    count, case_ids, new = 0, {case_id}, {case_id}
    while new:
        merges = select(a.who, a.sets).where(among(db, a.case_id, new), a.verb == MERGE, a.in_force == 1)
        came = {json.loads(row.sets)["moved"]["from"]: row.who for row in db.execute(merges)}
        new = came.keys() - case_ids
        count += sum(came[case] != MACHINE for case in new)
        case_ids |= new
    return count


def _hides(tx: Transaction, case_id: str) -> bool:
    """Return whether a case is dismissed, or its notifications are suppressed now."""
    case = case_in(tx.db, case_id, accounts=False)
    return case.verdict in DISMISSED or (case.suppressed_until_us or 0) > tx.now_us


def _judges(sets: Mapping[str, Any]) -> bool:
    return sets.get("verdict") is not None or any(g["verdict"] is not None for g in sets.get("accounts", ()))


def check_reason(by: StatedAct) -> None:
    """Refuse an act without a person's name and a reason. Raises: CaseError."""
    _check_person(by["who"])
    _why(by["why"])


def _check_person(who: str) -> None:
    _checked_name(who, "who does it")
    if who == MACHINE:
        raise CaseError(f"{MACHINE!a} is who acts when findings do; give a person's name")


def _of_cases(verdict: Verdict) -> None:
    if verdict == Verdict.VICTIM:
        raise CaseError("a case has no victim verdict: name the accounts whose keys were stolen")


def _checked_name(text: str, label: str) -> str:
    if not text.strip() or len(text) > LONGEST_NAME:
        raise CaseError(f"{label} is {text[:40]!a}; give a name of 1 to {LONGEST_NAME} characters")
    return text


def _why(text: str) -> str:
    return _checked_words(text, "why")


def _checked_words(text: str, label: str) -> str:
    if not text.strip():
        raise CaseError(f"{label} is missing: the next reader has nothing else")
    if len(text) > LONGEST_WORDS:
        raise CaseError(f"{label} has {len(text):,} characters; {LONGEST_WORDS:,} at most")
    return text
