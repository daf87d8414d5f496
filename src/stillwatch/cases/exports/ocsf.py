"""OCSF 1.8.0: a Detection Finding (2004) for each alert and update, an Incident Finding (2005) for each case.

For the owner's own systems: accounts are named. Fields that OCSF lacks are under `unmapped`. The tests check
every document against the official schema.
Source: schema.ocsf.io, version 1.8.0 (2026-03-16), classes detection_finding and incident_finding.
"""

from typing import Any

from stillwatch.cases import CaseState, Json, Verdict
from stillwatch.cases.alert import Alert, SignalSource
from stillwatch.cases.claims import Claim
from stillwatch.cases.exports import Activity
from stillwatch.cases.exports.atlas import TACTICS, VERSION, technique
from stillwatch.cases.exports.plain import plain
from stillwatch.cases.exports.severity import severity
from stillwatch.cases.exports.signing import event_id

SCHEMA = "1.8.0"
PROFILE = "incident"  # adds the verdict to a Detection Finding
ACTIVITY = {Activity.OPENED: (1, "Create"), Activity.UPDATED: (2, "Update"), Activity.CLOSED: (3, "Close")}
VERDICT = {
    Verdict.FALSE: (1, "False Positive"),
    Verdict.TRUE: (2, "True Positive"),
    Verdict.SUSPICIOUS: (4, "Suspicious"),
    Verdict.PERMITTED: (5, "Benign"),
}
DETECTION_STATUS = {
    CaseState.NEW: (1, "New"),
    CaseState.OPEN: (2, "In Progress"),
    CaseState.CLOSED: (4, "Resolved"),
}
INCIDENT_STATUS = {
    CaseState.NEW: (1, "New"),
    CaseState.OPEN: (2, "In Progress"),
    CaseState.CLOSED: (5, "Closed"),
}
# by the lower bound of the measured share
CONFIDENCE = ((0.9, 3, "High"), (0.5, 2, "Medium"), (0.0, 1, "Low"))
STATISTICAL = 3  # analytic type_id
ANALYTIC_STATE = {"shadow": 3, "alert": 1, "act": 1}  # experimental, active
RESOURCE_UID, ACTOR = 10, 2
NOBODY = "Stillwatch: nobody yet"  # the schema requires an assignee or a group
ACCOUNTS = 1_000  # named in one document, as in the alert
LONGEST = 4_000  # characters of one text; only account names make longer ones


def detection(alert: Alert, activity: Activity, now_us: int) -> Json:
    """Return the Detection Finding of an alert as of `now_us`."""
    document = _common_fields(alert, activity, now_us, 2004, "Detection Finding", DETECTION_STATUS)
    raised = next((item for item in alert.detectors if item.raised), None)
    accounts = alert.accounts[:ACCOUNTS]
    document |= {
        "finding_info": finding_info(alert, now_us),
        "is_alert": alert.state != CaseState.CLOSED and (raised is None or raised.state != "shadow"),
        "count": alert.exposure.exchanges,
        "resources": [{"uid": item, "type": "account", "role_id": ACTOR} for item in accounts],
        "observables": [
            {"name": f"resources[{k}].uid", "type_id": RESOURCE_UID, "type": "Resource UID", "value": item}
            for k, item in enumerate(accounts)
        ],
        "anomaly_analyses": [_anomaly(alert, claim) for claim in alert.why if claim.actual is not None],
        "evidences": [
            {"name": claim.detector, "data": plain(vars(claim)), "verdict_id": document["verdict_id"]}
            for claim in alert.why
        ],
        "remediation": {"desc": f"{alert.action.text} {alert.action.command}".strip() or "none"},
    }
    return _fit(document)


def incident(alert: Alert, activity: Activity, now_us: int) -> Json:
    """Return the Incident Finding of a case."""
    document = _common_fields(alert, activity, now_us, 2005, "Incident Finding", INCIDENT_STATUS)
    document |= {
        "finding_info_list": [finding_info(alert, now_us)],
        "desc": _message(alert),
        "attacks": _attacks(alert),
        "is_suspected_breach": alert.verdict == Verdict.TRUE,
    }
    if alert.owner is None:
        document["assignee_group"] = {"name": NOBODY}
    else:
        document["assignee"] = {"name": alert.owner}
    return _fit(document)


def finding_info(alert: Alert, now_us: int) -> Json:
    """Return what was found. Its uid is the case's, from the first alert to the last."""
    raised = next((item for item in alert.detectors if item.raised), None)
    return {
        "uid": alert.case,
        "uid_alt": alert.campaign,
        "title": alert.title,
        "desc": _message(alert),
        "types": ["Unauthorised model distillation"],
        "created_time": _ms(alert.alarm_us),
        "modified_time": _ms(now_us),
        "first_seen_time": _ms(alert.exposure.first_us),
        "last_seen_time": _ms(alert.exposure.last_us),
        "analytic": _analytic(raised) if raised else None,
        "related_analytics": [_analytic(item) for item in alert.detectors if not item.raised],
        "attacks": _attacks(alert),
        "data_sources": [str(item.get("name", "")) for item in alert.inputs],
        "src_url": _url(alert.permalink),
    }


def _common_fields(
    alert: Alert,
    activity: Activity,
    now_us: int,
    class_uid: int,
    class_name: str,
    statuses: dict[CaseState, tuple[int, str]],
) -> Json:
    activity_id, activity_name = ACTIVITY[activity]
    status_id, status = statuses[CaseState(alert.state)]
    verdict_id, verdict = (
        VERDICT.get(Verdict(alert.verdict), (99, alert.verdict)) if alert.verdict else (0, "Unknown")
    )
    confidence_id, confidence, score = _confidence(alert)
    return {
        "activity_id": activity_id,
        "activity_name": activity_name,
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": class_uid,
        "class_name": class_name,
        "type_uid": class_uid * 100 + activity_id,
        "type_name": f"{class_name}: {activity_name}",
        "severity_id": int(severity(alert)),
        "severity": severity(alert).name.capitalize(),
        "time": _ms(now_us),
        "start_time": _ms(alert.exposure.first_us),
        "end_time": _ms(alert.exposure.last_us),
        "message": alert.title,
        "status_id": status_id,
        "status": status,
        "verdict_id": verdict_id,
        "verdict": verdict,
        "confidence_id": confidence_id,
        "confidence": confidence,
        "confidence_score": score,
        "metadata": {
            "version": SCHEMA,
            "profiles": [PROFILE],
            "product": {"name": "Stillwatch", "vendor_name": "Stillwatch", "version": alert.stillwatch},
            "uid": event_id(alert.case, alert.revision),
            "correlation_uid": alert.case,
            "event_code": f"case.{activity}",
            "log_name": "cases",
            "is_truncated": alert.members > len(alert.accounts[:ACCOUNTS]),
        },
        "src_url": _url(alert.permalink),
        "unmapped": _unmapped_fields(alert),
    }


def _unmapped_fields(alert: Alert) -> Json:
    """Return the alert's fields that OCSF lacks. Accounts, reasons and links are elsewhere."""
    document = alert.as_json()
    for elsewhere in ("accounts", "why", "atlas", "title"):
        document.pop(elsewhere, None)
    return {"stillwatch": document}


def _anomaly(alert: Alert, claim: Claim) -> Json:
    observed: Json = {"value": f"{claim.actual:g}"}
    if claim.n is not None:
        observed["count"] = claim.n
    usual = [
        {"value": f"{value:g} ({label})"}
        for value, label in ((claim.baseline, "baseline"), (claim.peer_p95, "95th percentile of peers"))
        if value is not None
    ]
    parameter = claim.signal or claim.detector
    anomaly: Json = {
        "analysis_targets": [{"name": alert.case, "type": "case"}],
        "anomalies": [
            {
                "observation_parameter": parameter,
                "observation_type": claim.detector,
                "observations": [observed],
                "observed_pattern": claim.text,
            }
        ],
    }
    if usual:
        anomaly["baselines"] = [{"observation_parameter": parameter, "observations": usual}]
    return anomaly


def _analytic(source: SignalSource) -> Json:
    return {
        "uid": source.id,
        "name": source.id,
        "type_id": STATISTICAL,
        "type": "Statistical",
        "version": source.version,
        "state_id": ANALYTIC_STATE.get(source.state, 0),
        "desc": f"Fooled by: {source.fooled_by} Evaded by: {source.evades_by}",
    }


def _attacks(alert: Alert) -> list[Json]:
    attacks = []
    for technique_row in alert.atlas:
        listed = technique(technique_row["id"])
        entry: Json = {"version": f"ATLAS {VERSION}"}
        technique_object = {"uid": listed.id, "name": listed.name, "src_url": listed.url}
        if listed.of is None:
            entry["technique"] = technique_object
        else:
            entry["technique"] = {"uid": listed.id.rpartition(".")[0], "name": listed.of}
            entry["sub_technique"] = technique_object
        if listed.tactic in TACTICS:
            entry["tactic"] = {"uid": TACTICS[listed.tactic], "name": listed.tactic}
        attacks.append(entry)
    return attacks


def _confidence(alert: Alert) -> tuple[int, str, int | None]:
    """Return the measured confidence; unknown if no alarm was judged yet."""
    measured = alert.confidence
    if not measured.judged or measured.right is None or measured.low is None:
        return 0, "Unknown", None
    number, name = next((number, name) for low, number, name in CONFIDENCE if measured.low >= low)
    return number, name, round(100 * measured.right / measured.judged)


def _message(alert: Alert) -> str:
    return "\n".join([alert.title, *(f"- {claim.text}" for claim in alert.why)])


def _url(text: str) -> str | None:
    return text if text.startswith(("https://", "http://")) else None


def _ms(at_us: int | None) -> int | None:
    return None if at_us is None else at_us // 1000


def _fit(document: Json) -> Json:
    """Remove empty values, and cut long texts: only names from a log are that long."""
    return dict(_cut(plain(document)))


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return (
            value if len(value) <= LONGEST else f"{value[:LONGEST]}... (+{len(value) - LONGEST:,} characters)"
        )
    if isinstance(value, dict):
        return {name: _cut(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_cut(member) for member in value]
    return value
