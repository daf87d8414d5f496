"""An alert as CEF records and as a CloudEvent: the content for syslog and webhooks."""

import re
from datetime import UTC, datetime
from typing import Any

import stillwatch
from stillwatch.cases.alert import Alert
from stillwatch.cases.exports import Activity, ExportError
from stillwatch.cases.exports.cef import record
from stillwatch.cases.exports.plain import plain, to_bytes
from stillwatch.cases.exports.severity import OF_CEF, severity
from stillwatch.cases.exports.signing import event_id

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"  # CloudEvents 1.0, HTTP binding, structured mode
SOURCE = "urn:stillwatch"  # of an event that no installation sends
LONGEST_SOURCE = 1_024
# RFC 3986, sections 2 and 3: valid in a URI-reference, without a name or password before the host
_URI = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?(?:[A-Za-z0-9._~:/?#\[\]!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+", re.ASCII)


def event_source(installation: str, source: str = "") -> str:
    """Return the `source` of an installation's events: as set by the owner, else a URN with its id.

    Source: CloudEvents 1.0.2, `source`: a URI-reference that is not empty; with `id` unique for each event.
    Raises: ExportError if the given one is invalid.

    >>> event_source("7c9e"), event_source("7c9e", "https://eu.example/stillwatch")
    ('urn:stillwatch:7c9e', 'https://eu.example/stillwatch')
    """
    if not source:
        return f"{SOURCE}:{installation}"
    if len(source) > LONGEST_SOURCE or not _URI.fullmatch(source):
        raise ExportError(
            f"--source is {source[:80]!a}: no URI, which CloudEvents wants; give https://HOST/NAME or "
            f"{SOURCE}:NAME, in at most {LONGEST_SOURCE:,} characters"
        )
    return source


def cef_records(alert: Alert, activity: Activity, now_us: int) -> list[str]:
    """Return one record of the case, and one of each account that the alert names."""
    level = OF_CEF[severity(alert)]
    exposure = alert.exposure
    head = ("Stillwatch", "Stillwatch", alert.stillwatch)
    common: dict[str, str | int | None] = {
        "rt": now_us // 1000,
        "externalId": alert.case,
        "cs1Label": "campaign",
        "cs1": alert.campaign,
        "cn3Label": "revision",
        "cn3": alert.revision,
    }
    case: dict[str, str | int | None] = common | {
        "cat": "distillation",
        "start": _ms(exposure.first_us),
        "end": _ms(exposure.last_us),
        "cnt": exposure.exchanges,
        "cn1Label": "accounts",
        "cn1": alert.members,
        "cn2Label": "output_tokens",
        "cn2": exposure.output_tokens,
        "cfp1Label": "p_value",
        "cfp1": f"{alert.p_value:g}",
        "cs2Label": "state",
        "cs2": alert.state,
        "cs3Label": "verdict",
        "cs3": alert.verdict,
        "cs4Label": "atlas",
        "cs4": " ".join(item["id"] for item in alert.atlas),
        "cs5Label": "recommended",
        "cs5": alert.action.step,
        "cs6Label": "eventId",
        "cs6": event_id(alert.case, alert.revision),
        "request": alert.permalink,
        "msg": alert.why[0].text if alert.why else None,
    }
    lines = [record(*head, f"case.{activity}", alert.title, level, case)]
    text = f"account in case {alert.case}"
    lines += [record(*head, "case.account", text, level, common | {"suser": item}) for item in alert.accounts]
    return lines


def cloudevent(
    alert: Alert, activity: Activity, at_us: int, data: dict[str, Any] | None = None, source: str = SOURCE
) -> bytes:
    """Return the event of a case's revision, in structured JSON: the same bytes for the same revision.

    at_us: when the case reached this revision. data: the payload; default: the alert. source: see
    `event_source`.
    """
    carried = plain(alert.as_json()) if data is None else data
    id = event_id(alert.case, alert.revision)
    return _event(id, f"stillwatch.case.{activity}", plain(alert.case), at_us, carried, source)


def _event(id: str, kind: str, subject: str, at_us: int, data: Any, source: str) -> bytes:
    when = datetime.fromtimestamp(at_us // 1000 / 1000, UTC).isoformat(timespec="milliseconds")
    return to_bytes(
        {
            "specversion": "1.0",
            "id": id,
            "source": source,
            "type": kind,
            "subject": subject,
            "time": when.replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": data,
        }
    )


def trial_event(at_us: int, cef: bool) -> tuple[str, str]:
    """Return a test event: its id, and the body."""
    id = event_id("test", at_us)
    if cef:
        head = ("Stillwatch", "Stillwatch", stillwatch.__version__, "test", "A test; nothing happened", 0)
        return id, record(*head, {"rt": at_us // 1000, "externalId": id})
    data = {"text": "A test; nothing happened."}
    return id, _event(id, "stillwatch.test", "test", at_us, data, SOURCE).decode("ascii")


def _ms(at_us: int | None) -> int | None:
    return None if at_us is None else at_us // 1000
