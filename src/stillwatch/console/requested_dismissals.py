"""Dismissals that wait for a second person. Whoever has dismissed many within a day requests, an approver
agrees.

`cases.handling` decides when a second person is needed, and dismisses. Each case is dismissed in the state
that the requester saw, or not at all.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.engine import Row

from stillwatch.cases import Case, Json, RecordNotFound, StaleRevision, Verdict, handling, tables
from stillwatch.cases.store import Store
from stillwatch.cases.triage import PickedCase, TriageOutcome, change_each
from stillwatch.console.migrations import dismissals
from stillwatch.console.requested_steps import check_another

MOST_SHOWN = 100


@dataclass(frozen=True)
class DismissalRequest:
    """A requested dismissal of one or several cases."""

    number: int
    at_us: int
    who: str
    why: str
    act: Json  # `do` is judge, close, suppress or "judge accounts", with its arguments
    cases: tuple[PickedCase, ...]
    state: str  # waiting, approved, refused
    decided_by: str | None = None
    decided_why: str | None = None


@dataclass(frozen=True)
class WaitingCase:
    """A case of a request in its present state."""

    id: str
    title: str
    exchanges: int
    members: int


def put(store: Store, who: str, why: str, act: Json, cases: Sequence[PickedCase], now_us: int) -> int:
    """Store and record a request. Return its number."""
    with store.writing(now_us) as tx:
        c = dismissals.c
        number = int(tx.db.execute(select(func.coalesce(func.max(c.number), 0))).scalar_one()) + 1
        row = {
            "number": number, "at_us": now_us, "who": who, "why": why, "act": json.dumps(act),
            "cases": json.dumps([[picked.id, picked.revision] for picked in cases]), "state": "waiting",
        }  # fmt: skip
        tx.db.execute(dismissals.insert().values(**row))
        words = {picked.id: {"why": why} for picked in cases}
        tx.audit(who, "dismissal asked for", str(number), _record_detail(act, cases), words)
    return number


def _record_detail(act: Json, cases: Sequence[PickedCase]) -> Json:
    return {"do": act["do"], "verdict": act.get("verdict"), "cases": [picked.id for picked in cases]}


def approve(store: Store, number: int, who: str, why: str, now_us: int) -> list[TriageOutcome]:
    """Carry out a request, and return the result for each case. Raises: ConsoleError for its author."""
    request = read_dismissal(store, number)
    check_another(store, who, request.who, f"asked for dismissal {number}", request.at_us)
    _decide_in(store, request, "approved", who, why, now_us)
    return change_each(request.cases, lambda picked: _dismiss_case(store, picked, request, who, now_us))


def refuse(store: Store, number: int, who: str, why: str, now_us: int) -> None:
    """Close a request without dismissing anything."""
    _decide_in(store, read_dismissal(store, number), "refused", who, why, now_us)


def _dismiss_case(
    store: Store, picked: PickedCase, request: DismissalRequest, approver: str, now_us: int
) -> Case:
    act = request.act
    by: Any = {
        "who": request.who, "why": request.why, "now_us": now_us, "if_revision": picked.revision,
        "approver": approver,
    }  # fmt: skip
    if act["do"] == "suppress":
        return handling.suppress(store, picked.id, owner=act["owner"], until_us=act["until_us"], **by)
    verdict = Verdict(act["verdict"])
    if act["do"] == "judge accounts":
        return handling.judge_accounts(store, picked.id, act["accounts"], verdict, **by)
    if act["do"] == "close":
        return handling.close(store, picked.id, verdict, **by)
    return handling.judge(store, picked.id, verdict, **by)


def _decide_in(store: Store, request: DismissalRequest, state: str, who: str, why: str, now_us: int) -> None:
    with store.writing(now_us) as tx:
        values = {"state": state, "decided_us": now_us, "decided_by": who, "decided_why": why}
        c = dismissals.c
        change = update(dismissals).where(c.number == request.number, c.state == "waiting").values(**values)
        if tx.db.execute(change).rowcount != 1:
            raise StaleRevision(
                f"dismissal {request.number} waits no longer: somebody else was faster; look again"
            )
        words = {picked.id: {"why": why} for picked in request.cases}
        tx.audit(
            who, f"dismissal {state}", str(request.number), _record_detail(request.act, request.cases), words
        )


def read_dismissal(store: Store, number: int) -> DismissalRequest:
    """Return one request. Raises: RecordNotFound."""
    row = None
    if number < 1 << 63:  # the range of the column
        with store.reading() as db:
            row = db.execute(select(dismissals).where(dismissals.c.number == number)).first()
    if row is None:
        raise RecordNotFound(f"there is no dismissal {number} that was asked for")
    return _of_row(row)


def waiting(store: Store) -> list[tuple[DismissalRequest, list[WaitingCase]]]:
    """List waiting requests, oldest first, each with its cases."""
    query = select(dismissals).where(dismissals.c.state == "waiting").order_by(dismissals.c.number)
    c = tables.cases.c
    with store.reading() as db:
        requests = [_of_row(row) for row in db.execute(query.limit(MOST_SHOWN))]
        ids = {case.id for request in requests for case in request.cases}
        columns = select(c.id, c.title, c.exchanges, c.members).where(tables.among(db, c.id, ids))
        cases_by_id = {row.id: WaitingCase(*row) for row in db.execute(columns)} if ids else {}
    return [
        (dismissal, [cases_by_id[case.id] for case in dismissal.cases if case.id in cases_by_id])
        for dismissal in requests
    ]


def _of_row(row: Row[Any]) -> DismissalRequest:
    cases = tuple(PickedCase(case, revision) for case, revision in json.loads(row.cases))
    return DismissalRequest(
        row.number, row.at_us, row.who, row.why, json.loads(row.act), cases, row.state, row.decided_by,
        row.decided_why,
    )  # fmt: skip
