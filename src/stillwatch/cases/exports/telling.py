"""Which cases have news for which targets: reads the cases, fills the outbox, remembers what was reported.

It goes by revisions in the store, so code that adds findings or verdicts need not call it. An event sent
twice after a crash has the same id and the same bytes.
"""

import json
from collections.abc import Sequence

from sqlalchemy import select

from stillwatch.cases import DetectorState, RecordNotFound
from stillwatch.cases.alert import Alert, alert
from stillwatch.cases.exports import Activity, ExportError, Form
from stillwatch.cases.exports.messages import case_message
from stillwatch.cases.exports.notices import cef_records, cloudevent, event_source
from stillwatch.cases.exports.ocsf import detection
from stillwatch.cases.exports.outbox import Outbox
from stillwatch.cases.exports.signing import event_id
from stillwatch.cases.exports.sinks import ExportTarget
from stillwatch.cases.exports.targets import sinks
from stillwatch.cases.exports.write import activity_of, write_file
from stillwatch.cases.store import Store
from stillwatch.cases.tables import cases

TOLD = "told.json"


def tell(
    outbox: Outbox,
    targets: Sequence[ExportTarget],
    store: Store,
    now_us: int,
    base_url: str = "",
    source: str = "",
) -> int:
    """Put the news of every case changed since the last call into the outbox; return how many had any.

    Suppressed cases and alarms of detectors in shadow have none. source: of the events, if the owner sets
    one. Raises: ExportError, CaseError.
    """
    source = event_source(store.installation(), source)
    last, before = _read_state(outbox)
    news = 0
    changed = _changed_cases(store, last)
    for case_id, revision, updated_us, suppressed_until_us in changed:
        last = revision
        if (suppressed_until_us or 0) > now_us:
            continue
        try:
            report = alert(store, case_id, now_us, base_url)
        except RecordNotFound:
            continue  # no finding names it itself: it was split off, or opened from a lead
        if any(source.raised and source.state == DetectorState.SHADOW for source in report.detectors):
            continue
        news += 1
        for target in targets:
            body = _letter_body(target, report, activity_of(report, case_id in before), updated_us, source)
            outbox.put(target.name, event_id(report.case, report.revision), report.case, body, now_us)
        before.add(case_id)
    if changed:
        noted = json.dumps({"revision": last, "cases": sorted(before)})
        write_file(outbox.folder / TOLD, noted.encode("ascii"))
    return news


def _letter_body(
    target: ExportTarget, report: Alert, activity: Activity, updated_us: int, source: str
) -> str:
    sink = sinks()[target.kind]
    if sink.FORM == Form.CEF:
        return "\n".join(cef_records(report, activity, updated_us))
    if sink.FORM == Form.MESSAGE:
        return sink.write(case_message(report, activity, source))
    data = detection(report, activity, updated_us) if target.says == "ocsf" else None
    return cloudevent(report, activity, updated_us, data, source).decode("ascii")


def _changed_cases(store: Store, after: int) -> list[tuple[str, int, int, int | None]]:
    c = cases.c
    query = select(c.id, c.revision, c.updated_us, c.suppressed_until_us).where(c.revision > after)
    with store.reading() as db:
        rows = db.execute(query.where(c.merged_into.is_(None)).order_by(c.revision, c.id)).all()
    return [(row.id, row.revision, row.updated_us, row.suppressed_until_us) for row in rows]


def _read_state(outbox: Outbox) -> tuple[int, set[str]]:
    """Return the last revision that was reported, and the cases that were announced."""
    path = outbox.folder / TOLD
    try:
        state = json.loads(path.read_bytes())
        return int(state["revision"]), {str(case) for case in state["cases"]}
    except FileNotFoundError:
        return -1, set()
    except (OSError, ValueError, TypeError, KeyError) as why:
        raise ExportError(
            f"{path}: cannot be read ({why}); move it away, and all cases are told once more"
        ) from None
