"""The record: who did and saw what, and whether it is what was written. Sealed details stay sealed here."""

import threading

from sqlalchemy.exc import DBAPIError

from stillwatch.cases.audit import AuditRecord, Broken, VerifiedTrail
from stillwatch.cases.audit.reading import read
from stillwatch.cases.audit.trail import Audit
from stillwatch.cases.audit.verify import verify as verify_trail
from stillwatch.console import ConsoleError
from stillwatch.console.page_context import PageRequest
from stillwatch.console.page_forms import Shown, iso_us

PAGE = 50
_ONE = threading.Lock()  # a long trail takes seconds: one at a time


def _records(asked: PageRequest) -> tuple[list[AuditRecord], str | None]:
    before = asked.query_number("before", 0)
    try:
        with asked.store.reading() as db:
            found = read(
                db, subject=asked.query("subject") or None, who=asked.query("who") or None,
                before=before or None, limit=PAGE + 1,
            )  # fmt: skip
    except DBAPIError:
        return [], "this store keeps no record"
    return found, None


def show(asked: PageRequest, outcome: VerifiedTrail | Broken | None = None) -> Shown:
    """Show the newest records."""
    if asked.store.trail is None:
        found: list[AuditRecord] = []
        trouble: str | None = "This store keeps no record: it was opened without a trail."
    else:
        found, trouble = _records(asked)
    shown, more = found[:PAGE], len(found) > PAGE
    rows = [
        {
            "seq": r.seq,
            "at": iso_us(r.at_us),
            "who": r.who,
            "what": r.what,
            "subject": r.subject,
            "detail": r.detail,
            "hash": r.hash,
        }
        for r in shown
    ]
    data = {"records": rows, "next_before": shown[-1].seq if more else None, "outcome": outcome}
    view = {
        "records": shown, "more": shown[-1].seq if more else None, "trouble": trouble, "outcome": outcome,
        "broken": isinstance(outcome, Broken), "given": {w: asked.query(w) for w in ("subject", "who")},
    }  # fmt: skip
    return Shown("audit.html.j2", "Audit", data, rows, view)


def verify(asked: PageRequest) -> Shown:
    """Check the whole chain now."""
    if asked.store.trail is None:
        raise ConsoleError("this store keeps no record: there is nothing to verify")
    if not _ONE.acquire(timeout=2.0):
        raise ConsoleError("it is being verified already; try again in a moment")
    try:
        trail = asked.store.trail  # its key was here before: a trail written anew with another does not pass
        trusted = (trail.signer.key,) if isinstance(trail, Audit) else ()
        outcome = verify_trail(asked.store, trusted=trusted)
    finally:
        _ONE.release()
    return show(asked, outcome)
