"""Requested actions on accounts: stored before they are taken, some until a second person agrees.

Decides who must agree, and takes the action through the deployment. Accounts that were judged victims or
cleared in the meantime are left out when it is taken.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import func, inspect, select, update
from sqlalchemy.engine import Row

from stillwatch.cases import CaseError, RecordNotFound, StaleRevision, reading
from stillwatch.cases.persons import Persons
from stillwatch.cases.store import Store
from stillwatch.console import ConsoleError, Deployment
from stillwatch.console.migrations import asks
from stillwatch.errors import StillwatchError
from stillwatch.report.amounts import plural
from stillwatch.terms import EnforcementStatus, Step
from stillwatch.units import DAY_US

REFUSES = (Step.VERIFY, Step.BLOCK)  # the account is served nothing
MOST_SHOWN = 200
LONGEST_ALONE_S = 30 * 86_400


@dataclass(frozen=True)
class StepRequest:
    """An action that somebody requested."""

    id: int
    case: str
    at_us: int
    who: str
    step: Step
    budget: int | None  # output tokens an hour
    for_s: int | None
    why: str
    accounts: tuple[str, ...]
    state: str  # waiting, taking, done, refused, undone
    decided_us: int | None = None
    decided_by: str | None = None
    decided_why: str | None = None
    action: int | None = None


def why_big(
    step: Step,
    accounts: int,
    most: int,
    for_s: int | None,
    *,
    in_all: int = 0,
    budget: int | None = None,
    usual: int = 0,
) -> str | None:
    """Return why an action needs a second person; None if it does not.

    in_all: accounts including those that its author affected alone within a day, so that small portions add
    up. usual: output tokens an hour that the policy allows under a throttle; a smaller budget is close to
    a refusal.

    >>> why_big(Step.WATCH, 5_000, 10, None), why_big(Step.THROTTLE, 3, 10, 3600)
    (None, None)
    >>> why_big(Step.THROTTLE, 3, 10, 3600, budget=0, usual=20_000)
    'it leaves 0 output tokens an hour, the terms 20,000'
    """
    if step is Step.WATCH:
        return None
    if step in REFUSES:
        return f"{step.name.lower()} refuses requests"
    if accounts > most:
        return f"it hits {plural(accounts, 'account')}, more than {most}"
    if in_all > most:
        return f"with those you hit alone within a day it comes to {in_all:,} accounts, more than {most}"
    if budget is not None and budget < usual:
        return f"it leaves {budget:,} output tokens an hour, the terms {usual:,}"
    if not for_s:
        return "it has no end"
    return None if for_s <= LONGEST_ALONE_S else "it lasts longer than 30 days"


def digest(accounts: Iterable[str]) -> str:
    """Return a digest of a set of accounts."""
    text = "\n".join(json.dumps(a) for a in sorted(accounts))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def put(store: Store, ask: StepRequest, if_revision: int | None) -> int:
    """Store and record a request. Return its number."""
    with store.writing(ask.at_us, case=ask.case, if_revision=if_revision) as tx:
        number = int(tx.db.execute(select(func.coalesce(func.max(asks.c.ask), 0))).scalar_one()) + 1
        row = {
            "ask": number, "case_id": ask.case, "at_us": ask.at_us, "who": ask.who, "step": int(ask.step),
            "budget": ask.budget, "for_s": ask.for_s, "why": ask.why, "accounts": json.dumps(ask.accounts),
            "state": ask.state, "action": None,
        }  # fmt: skip
        tx.db.execute(asks.insert().values(**row))
        tx.audit(ask.who, "step asked for", ask.case, _detail(number, ask), {ask.case: {"why": ask.why}})
    return number


def _detail(number: int, ask: StepRequest) -> dict[str, object]:
    return {
        "ask": number, "step": ask.step.name.lower(), "accounts": len(ask.accounts),
        "accounts_sha256": digest(ask.accounts), "for_s": ask.for_s, "budget": ask.budget, "state": ask.state,
    }  # fmt: skip


def take(store: Store, deployment: Deployment, ask: StepRequest, who: str, why: str, now_us: int) -> int:
    """Take the action of a request in state `taking`, and record the result. Return the action's number."""
    may = set(reading.targets(store, ask.case).accounts)
    accounts = [a for a in ask.accounts if a in may]
    until_us = None if ask.for_s is None else now_us + ask.for_s * 1_000_000
    try:
        if not accounts:
            raise ConsoleError("none of its accounts may be acted on any more: they were judged since")
        campaign = store.case(ask.case, accounts=False).campaign
        standing = EnforcementStatus(ask.step, now_us, ask.why, campaign, ask.budget, until_us)
        action = deployment.act(accounts, standing, who, ask.why, now_us)
    except StillwatchError as trouble:
        _record_decision(store, ask, "refused", who, f"could not be taken: {trouble}", None, now_us)
        raise
    _record_decision(store, ask, "done", who, why, action, now_us)
    return action


def begin(store: Store, number: int, who: str, now_us: int) -> StepRequest:
    """Claim a waiting request, so that its action is taken once. Raises: ConsoleError for its author."""
    ask = read_request(store, number)
    check_another(store, who, ask.who, f"asked for step {number}", ask.at_us)
    _move(store, ask, "waiting", "taking", now_us)
    return ask


def check_another(store: Store, who: str, author: str, did: str, at_us: int) -> None:
    """Refuse approval of one's own request, under whatever name. Raises: ConsoleError."""
    if why := why_own(store, who, author, at_us):
        name = "you" if who == author else f"{author}, who counts as the same person as you ({why}),"
        raise ConsoleError(f"{name} {did}: another person must approve it")


def why_own(store: Store, who: str, author: str, at_us: int) -> str | None:
    """Return why a person counts as the author of a request; None if it is another person."""
    with store.reading() as db:
        return Persons.read(db).why_one(who, author, at_us)


def hold(store: Store, number: int, now_us: int) -> None:
    """Return an action to the requests that wait for a second person."""
    _move(store, read_request(store, number), "taking", "waiting", now_us)


def refuse(store: Store, number: int, who: str, why: str, now_us: int) -> StepRequest:
    """Close a waiting request, or one whose execution was interrupted, without doing anything.

    If somebody is still executing it, what they did stays on record.
    """
    ask = read_request(store, number)
    if ask.state != "taking":
        _move(store, ask, "waiting", "taking", now_us)
    _record_decision(store, ask, "refused", who, why, None, now_us)
    return ask


def undo(store: Store, deployment: Deployment, number: int, who: str, why: str, now_us: int) -> StepRequest:
    """Undo the action that was taken for a request."""
    ask = read_request(store, number)
    if ask.state != "done" or ask.action is None:
        raise ConsoleError(f"step {number} is {ask.state}: there is nothing to take back")
    back = deployment.undo(ask.action, who, why, now_us)
    with store.writing(now_us) as tx:
        tx.db.execute(update(asks).where(asks.c.ask == number).values(state="undone"))
        detail = {"ask": number, "action": ask.action, "by_action": back}
        tx.audit(who, "step undone", ask.case, detail, {ask.case: {"why": why}})
    return ask


def _move(store: Store, ask: StepRequest, before: str, after: str, now_us: int) -> None:
    with store.writing(now_us) as tx:
        c = asks.c
        changed = tx.db.execute(update(asks).where(c.ask == ask.id, c.state == before).values(state=after))
        if changed.rowcount != 1:
            raise StaleRevision(f"step {ask.id} waits no longer: somebody else was faster; look again")
        tx.changed = True


def _record_decision(
    store: Store, ask: StepRequest, state: str, who: str, why: str, action: int | None, now_us: int
) -> None:
    with store.writing(now_us) as tx:
        values = {
            "state": state,
            "decided_us": now_us,
            "decided_by": who,
            "decided_why": why,
            "action": action,
        }
        change = update(asks).where(asks.c.ask == ask.id)
        if state == "refused":  # what was done in the meantime stays done
            change = change.where(asks.c.state == "taking")
        if tx.db.execute(change.values(**values)).rowcount != 1:
            raise StaleRevision(f"step {ask.id} was taken in the meantime; look again")
        detail = {"ask": ask.id, "action": action, "step": ask.step.name.lower()}
        words = {ask.case: {"why": why}} if why else None
        tx.audit(who, "step taken" if state == "done" else "step refused", ask.case, detail, words)


# --- reading ---


def read_request(store: Store, number: int) -> StepRequest:
    """Return one request. Raises: RecordNotFound."""
    row = None
    if number < 1 << 63:  # the range of the column
        with store.reading() as db:
            row = db.execute(select(asks).where(asks.c.ask == number)).first()
    if row is None:
        raise RecordNotFound(f"there is no step {number} that was asked for")
    return _ask(row)


def waiting(store: Store) -> list[StepRequest]:
    """List requests that wait for a second person, oldest first; and those whose execution never ended."""
    query = select(asks).where(asks.c.state.in_(("waiting", "taking"))).order_by(asks.c.ask)
    with store.reading() as db:
        return [_ask(row) for row in db.execute(query.limit(MOST_SHOWN))]


def of_case(store: Store, case: str) -> list[StepRequest]:
    """List the requests of a case, newest first."""
    query = select(asks).where(asks.c.case_id == case).order_by(asks.c.ask.desc())
    with store.reading() as db:
        return [_ask(row) for row in db.execute(query.limit(MOST_SHOWN))]


def participants(store: Store, cases: Sequence[str]) -> dict[str, str]:
    """Return who requested or approved an action of some cases, and which. Empty without a console."""
    if not inspect(store.engine).has_table(asks.name):
        return {}
    query = select(asks).where(asks.c.case_id.in_(cases)).order_by(asks.c.ask)
    with store.reading() as db:
        rows = db.execute(query).all()
    request = {row.who: f"asked for step {row.ask}" for row in rows}
    agreed = {
        row.decided_by: f"approved step {row.ask}"
        for row in rows
        if row.decided_by and row.state != "refused"
    }
    return request | agreed


def accounts_hit_alone(store: Store, who: str, now_us: int) -> set[str]:
    """Return the accounts that a person affected alone within a day, or is about to affect.

    Watching affects nobody. Actions of the same person under another name count.
    """
    c = asks.c
    since_us = now_us - DAY_US
    query = select(c.who, c.decided_by, c.accounts).where(
        c.step != int(Step.WATCH),
        ((c.state == "done") & (c.decided_us > since_us)) | ((c.state == "taking") & (c.at_us > since_us)),
    )
    with store.reading() as db:
        persons = Persons.read(db)
        return {
            account
            for row in db.execute(query)
            if all(persons.why_one(who, name, since_us) for name in (row.who, row.decided_by or row.who))
            for account in json.loads(row.accounts)
        }


def _ask(row: Row[tuple[object, ...]]) -> StepRequest:
    r = row._mapping
    return StepRequest(
        r["ask"], r["case_id"], r["at_us"], r["who"], Step(r["step"]), r["budget"], r["for_s"], r["why"],
        tuple(json.loads(r["accounts"])), r["state"], r["decided_us"], r["decided_by"], r["decided_why"],
        r["action"],
    )  # fmt: skip


def choose_accounts(targets: Sequence[str], picked: Sequence[str]) -> list[str]:
    """Return the accounts of an action: all that may be acted on, or the selected ones of them."""
    if not picked:
        return list(targets)
    may = set(targets)
    wrong = [a for a in picked if a not in may]
    if wrong:
        raise CaseError(
            f"{wrong[0]!a} is not among the accounts that may be acted on: judged, or not the actor's"
        )
    return sorted(set(picked))
