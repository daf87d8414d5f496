"""One case as a file: prepared, summarised, and released after confirmation.

ready = prepare(store, case_id, Form.OCSF, now_us=now_us)
...                                     # show `sums.describe_leaving(ready.leaving)` and ask
release(store, ready, out, who=who, now_us=now_us)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from stillwatch.cases import Case, CaseState, Verdict
from stillwatch.cases.alert import Alert, alert
from stillwatch.cases.exports import Activity, ExportError, Form, Leaving
from stillwatch.cases.exports.marking import Tlp
from stillwatch.cases.exports.notices import cef_records, cloudevent, event_source
from stillwatch.cases.exports.ocsf import detection, incident
from stillwatch.cases.exports.plain import to_bytes
from stillwatch.cases.exports.stix import campaign_bundle, campaign_id
from stillwatch.cases.exports.sums import leaving
from stillwatch.cases.handling import record_export
from stillwatch.cases.indicators import Indicator
from stillwatch.cases.indicators.keys import IndicatorKey
from stillwatch.cases.indicators.plain_values import PlainIndicator
from stillwatch.cases.store import Store
from stillwatch.cases.tables import cases
from stillwatch.errors import refuse_os_errors
from stillwatch.new_file import replace_file

VALID_DAYS = 180


@dataclass(frozen=True)
class ToPartner:
    """What a STIX export needs in addition to the case."""

    key: IndicatorKey
    sender: str
    tlp: Tlp
    indicators: Sequence[Indicator] = ()
    valid_days: int = VALID_DAYS
    with_accounts: bool = False
    plain: Sequence[PlainIndicator] = ()
    unjudged: str = ""  # why it leaves although nobody has judged the case true
    misp: bool = False  # in the dialect of MISP's converter


@dataclass(frozen=True)
class ReadyExport:
    """An export that is about to leave, and its summary."""

    case: str
    data: bytes
    leaving: Leaving
    override: str = ""  # why it leaves without a verdict
    to: str = ""  # the recipient, if known


def prepare(
    store: Store,
    case_id: str,
    form: Form,
    *,
    now_us: int,
    base_url: str = "",
    partner: ToPartner | None = None,
    source: str = "",
) -> ReadyExport:
    """Prepare an export of a case, without releasing it.

    partner: needed for STIX; source: of a CloudEvent, if the owner sets one.

    Raises: RecordNotFound; ExportError.
    """
    case = store.case(case_id, accounts=False)
    report = alert(store, case.id, now_us, base_url)
    if form is Form.STIX:
        if partner is None:
            raise ExportError(
                "STIX goes to a partner, under an exchange key, a sender's name and a TLP mark: "
                "`stillwatch indicators export` asks for them"
            )
        override = check_verdict(case, partner.unjudged)
        data, leaving_bundle = campaign_bundle(
            report,
            partner.indicators,
            partner.key,
            sender=partner.sender,
            tlp=partner.tlp,
            opened_us=case.opened_us,
            now_us=now_us,
            valid_days=partner.valid_days,
            with_accounts=partner.with_accounts,
            plain=partner.plain,
            misp=partner.misp,
        )
        return ReadyExport(case.id, data, leaving_bundle, override, under_key(partner.key))
    data = _render(report, form, now_us, case.updated_us, event_source(store.installation(), source))
    holds = {"alert": 1, "accounts by name": len(report.accounts), "reasons": len(report.why)}
    return ReadyExport(case.id, data, leaving(form, data, holds, names_accounts=True))


def under_key(key: IndicatorKey) -> str:
    """Return the recipient of a file sealed under a key, in the form that is recorded."""
    return f"who holds key {key.fingerprint}"


def check_verdict(case: Case, unjudged: str) -> str:
    """Return why a case may go to a partner without a verdict of true, or "" if it has one.

    unjudged: the reason given for it. Raises: ExportError if it may not go.
    """
    if case.verdict == Verdict.TRUE:
        return ""
    if case.verdict in (Verdict.FALSE, Verdict.PERMITTED):
        raise ExportError(f"case {case.id} was judged {case.verdict}: nothing of it goes to a partner")
    if not unjudged.strip():
        raise ExportError(
            f"nobody has judged case {case.id} true: what goes to a partner accuses his customers; judge it "
            f'(`stillwatch case judge {case.id} true --why "..."`), or say why it leaves: --unjudged "..."'
        )
    return unjudged.strip()


def _render(report: Alert, form: Form, now_us: int, updated_us: int, source: str) -> bytes:
    activity = activity_of(report)
    if form is Form.CEF:
        return "".join(f"{line}\n" for line in cef_records(report, activity, now_us)).encode("utf-8")
    if form is Form.CLOUDEVENT:
        return cloudevent(report, activity, updated_us, source=source) + b"\n"
    document = (
        detection(report, activity, now_us) if form is Form.OCSF else incident(report, activity, now_us)
    )
    return to_bytes(document, indent=1) + b"\n"


def activity_of(report: Alert, known: bool | None = None) -> Activity:
    """Return the activity to report of a case: opened, if it is announced for the first time."""
    if report.state == CaseState.CLOSED:
        return Activity.CLOSED
    first = report.state == CaseState.NEW if known is None else not known
    return Activity.OPENED if first else Activity.UPDATED


def release(
    store: Store, ready: ReadyExport, out: Path | None, *, who: str, now_us: int, why: str = ""
) -> None:
    """Record that it left, and write it to a file. None: the caller writes it elsewhere.

    The record comes first, so that everything that left is on the trail, whatever happens to the file.
    Raises: ExportError.
    """
    export = {"format": str(ready.leaving.form), "sha256": ready.leaving.sha256}
    export |= {"to": ready.to} if ready.to else {}
    record_export(
        store, ready.case, export, who=who, now_us=now_us, why=ready.override or why,
        unjudged=bool(ready.override),
    )  # fmt: skip
    if out is not None:
        write_file(out, ready.data)


def campaigns(store: Store, sender: str) -> dict[str, str]:
    """Map the STIX id that each case has in this sender's exports to the case."""
    with store.reading() as db:
        case_ids = db.execute(select(cases.c.id)).scalars().all()
    return {campaign_id(sender, case): case for case in case_ids}


def write_file(path: Path, data: bytes) -> None:
    """Write a file atomically, readable only by its owner. Raises: ExportError."""
    with refuse_os_errors(ExportError, f"{path}: cannot be written"):
        replace_file(path, [data])
