"""The audit trail: who did and saw what, and whether it is unchanged. Sealed details stay sealed here."""

from sqlalchemy.exc import DBAPIError

from stillwatch.cases.audit import AuditRecord, Broken
from stillwatch.cases.audit.reading import read
from stillwatch.console import ConsoleError
from stillwatch.console.page_context import PageRequest
from stillwatch.console.page_forms import Shown, iso_us

PAGE = 50


def _find_records(request: PageRequest) -> tuple[list[AuditRecord], str | None]:
    before = request.query_number("before")
    try:
        with request.store.reading() as db:
            records = read(
                db, subject=request.query("subject") or None, who=request.query("who") or None,
                before=before or None, limit=PAGE + 1,
            )  # fmt: skip
    except DBAPIError:
        return [], "this store keeps no record"
    return records, None


def show(request: PageRequest) -> Shown:
    """Show the newest records, and the state of the trail's check."""
    check = request.desk.checks.state()
    if request.store.trail is None:
        records: list[AuditRecord] = []
        trouble: str | None = "This store keeps no record: it was opened without a trail."
    else:
        records, trouble = _find_records(request)
    shown, more = records[:PAGE], len(records) > PAGE
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
    data = {
        "records": rows, "next_before": shown[-1].seq if more else None, "outcome": check.outcome,
        "check": check,
    }  # fmt: skip
    view = {
        "records": shown, "more": shown[-1].seq if more else None, "trouble": trouble, "check": check,
        "outcome": check.outcome, "broken": isinstance(check.outcome, Broken),
        "given": {w: request.query(w) for w in ("subject", "who")},
    }  # fmt: skip
    return Shown("audit.html.j2", "Audit", data, rows, view)


def verify(request: PageRequest) -> Shown:
    """Start a check of the chain: all of it, or the records since the last check."""
    if request.store.trail is None:
        raise ConsoleError("this store keeps no record: there is nothing to verify")
    request.desk.checks.start(whole=request.form("since", 10) != "last")
    return show(request)
