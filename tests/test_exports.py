"""Alerts in other programs' formats: OCSF against its official schema, CEF and syslog, the signed event."""

import base64
import functools
import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from exports_world import CLAIM, NOW_US, alert
from stillwatch.cases.alert import Confidence, Exposure
from stillwatch.cases.exports import Activity, ExportError
from stillwatch.cases.exports.cef import record
from stillwatch.cases.exports.notices import cef_records, cloudevent, event_source
from stillwatch.cases.exports.ocsf import detection, incident
from stillwatch.cases.exports.plain import plain
from stillwatch.cases.exports.severity import Severity, severity
from stillwatch.cases.exports.signing import event_id, headers, new_key, read_key, signer
from stillwatch.cases.exports.sinks.syslog import frame, message
from stillwatch.cases.store import Store
from stillwatch.report.visible import visible

ODD = (
    "a|b\\c=d", "two\nlines\r\n<13>1 forged", "\x1b[2J\x00\x07", "\u202egnp.exe", "<img src=x onerror=f(1)>",
    "\ud800 half", "=cmd()|' /C calc'!A0", " lead and trail ", "e\u0301" * 50, "x" * 1_000_000, "",
    "日本語 🧪",
)  # fmt: skip
TEXT = st.one_of(st.sampled_from(ODD), st.text(st.characters(), max_size=60))


@functools.cache
def schema(name: str) -> jsonschema.Draft202012Validator:
    """Return the official schema of a class with our profile; it allows no other property."""
    official = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.8.0"))
    return jsonschema.Draft202012Validator(official.get_class_schema(class_name=name, profiles=["incident"]))


def valid(document: dict[str, Any], name: str) -> bool:
    """Return whether the official schema accepts it, as parsed from the written text."""
    assert document["metadata"]["profiles"] == ["incident"]
    schema(name).validate(json.loads(json.dumps(document, allow_nan=False).encode("utf-8")))
    return True


# --- OCSF ---


@pytest.mark.parametrize("activity", Activity)
@pytest.mark.parametrize("name", ODD, ids=range(len(ODD)))
def test_findings_are_valid_whatever_an_account_is_called(name: str, activity: Activity) -> None:
    odd = alert(name, owner=name or None)
    assert valid(detection(odd, activity, NOW_US), "detection_finding")
    assert valid(incident(odd, activity, NOW_US), "incident_finding")


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    name=TEXT,
    state=st.sampled_from(["new", "open", "closed"]),
    verdict=st.sampled_from([None, "true", "false", "suspicious", "permitted"]),
    number=st.one_of(st.none(), st.floats()),
    n=st.one_of(st.none(), st.integers(0, 2**53)),
    exchanges=st.integers(0, 2**40),
    judged=st.one_of(st.none(), st.integers(0, 50)),
    atlas=st.sampled_from(["AML.T0024.002", "AML.T0012", "AML.T9999", ""]),
)
def test_findings_are_valid_whatever_was_measured(
    name: str, state: str, verdict: str | None, number: float | None, n: int | None, exchanges: int,
    judged: int | None, atlas: str,
) -> None:  # fmt: skip
    claim = type(CLAIM)(**vars(CLAIM) | {"actual": number, "baseline": number, "effect": number, "n": n})
    left = Exposure(exchanges, 1, 1.0, None, 0, 0, None, None, (name,), name, name, 1.5, None, 0, 0)
    sure = Confidence(name, name, judged, judged, None if judged is None else 0.5, 1.0, name)
    odd = alert(
        name, state=state, verdict=verdict, why=(claim,), exposure=left, confidence=sure,
        atlas=({"id": atlas, "name": name, "why": name},), detectors=(), permalink=name,
    )  # fmt: skip
    assert valid(detection(odd, Activity.UPDATED, NOW_US), "detection_finding")
    assert valid(incident(odd, Activity.UPDATED, NOW_US), "incident_finding")


def test_the_schema_refuses_what_is_no_finding() -> None:
    """Tests the oracle itself: a superfluous property, a missing one, one of the wrong type."""
    good = detection(alert(), Activity.OPENED, NOW_US)
    for bad in (
        good | {"prompt": "x"},
        {k: v for k, v in good.items() if k != "time"},
        good | {"time": "now"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            valid(bad, "detection_finding")
    unassigned = incident(alert(), Activity.OPENED, NOW_US)
    with pytest.raises(jsonschema.ValidationError):
        valid({k: v for k, v in unassigned.items() if k != "assignee_group"}, "incident_finding")


def test_a_finding_says_what_the_alert_says() -> None:
    one = alert(verdict="true", owner="ana")
    found, case = detection(one, Activity.UPDATED, NOW_US), incident(one, Activity.CLOSED, NOW_US)
    assert (found["type_uid"], case["type_uid"]) == (200402, 200503)
    assert found["finding_info"]["uid"] == case["finding_info_list"][0]["uid"] == "case-7f3a"
    assert found["metadata"]["uid"] == event_id("case-7f3a", 4)
    assert [one["uid"] for one in found["resources"]] == ["acct-1", "acct-2"]
    assert found["anomaly_analyses"][0]["baselines"][0]["observations"][0]["value"] == "0.39 (baseline)"
    assert found["finding_info"]["attacks"][0]["sub_technique"]["uid"] == "AML.T0024.002"
    assert found["finding_info"]["attacks"][0]["technique"]["uid"] == "AML.T0024"
    assert (case["verdict"], case["assignee"]) == ("True Positive", {"name": "ana"})
    assert found["unmapped"]["stillwatch"]["benign"][0]["kind"] == "classroom"
    assert found["confidence_id"] == 0
    assert "confidence_score" not in found


def test_severity_is_what_has_left() -> None:
    def left(exchanges: int, **more: Any) -> Severity:
        return severity(
            alert(exposure=Exposure(exchanges, *[0] * 5, None, None, (), "", None, None, None, 0, 0), **more)
        )

    assert [left(n) for n in (999, 1_000, 17_000, 114_000)] == [2, 3, 4, 5]
    assert left(10**6, verdict="permitted") == left(10**6, state="closed") == Severity.INFORMATIONAL


# --- CEF and syslog ---


def cef_parse(line: str) -> tuple[list[str], dict[str, str]]:
    """An independent parser of CEF: a header of seven fields, then keys and values."""
    parts, at, piece = [], 0, ""
    while len(parts) < 7:
        if line[at] == "\\":
            piece, at = piece + line[at + 1], at + 2
            continue
        if line[at] == "|":
            parts.append(piece)
            piece = ""
        else:
            piece += line[at]
        at += 1
    found = list(re.finditer(r"(?:^|(?<= ))([A-Za-z0-9]+)(?<!\\)=", line[at:]))
    values = {}
    for k, key in enumerate(found):
        end = found[k + 1].start() - 1 if k + 1 < len(found) else len(line) - at
        values[key[1]] = re.sub(r"\\(.)", r"\1", line[at:][key.end() : end])
    return parts, values


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(head=TEXT, one=TEXT, two=TEXT)
def test_cef_comes_back_and_stays_one_line(head: str, one: str, two: str) -> None:
    line = record("Stillwatch", head, "1", head, head, 7, {"msg": one, "suser": two, "cnt": 3})
    assert line.isprintable() or all(c.isprintable() or c == " " for c in line)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", line)
    parts, values = cef_parse(line)
    assert parts[:4] + parts[4:5] == ["CEF:0", "Stillwatch", visible(head, 1000), "1", visible(head, 1000)]
    assert values == {k: visible(v, 1000) for k, v in (("msg", one), ("suser", two)) if v} | {"cnt": "3"}


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(one=st.text(st.characters(), max_size=80), two=st.text(st.characters(), max_size=80))
def test_two_names_never_make_one_record(one: str, two: str) -> None:
    lines = {record("v", "p", "1", "c", "n", 1, {"suser": name}) for name in (one, two)}
    assert len(lines) == len({one, two})


@pytest.mark.parametrize("name", ODD, ids=range(len(ODD)))
def test_an_alert_is_one_record_and_one_for_each_account(name: str) -> None:
    lines = cef_records(alert(name), Activity.OPENED, NOW_US)
    assert len(lines) == 3
    assert cef_parse(lines[0])[1]["cnt"] == "1204"
    assert cef_parse(lines[1])[1].get("suser", "") == visible(name, 1000)
    assert max(map(len, lines)) < 20_000


def test_cef_knows_its_own_faults() -> None:
    with pytest.raises(ValueError, match="severity 11"):
        record("v", "p", "1", "c", "n", 11, {})
    with pytest.raises(ValueError, match="no name"):
        record("v", "p", "1", "c", "n", 1, {"a b": "x"})


def test_syslog_has_a_header_that_names_cannot_break() -> None:
    raw = message("CEF:0|x", 8, 1_767_225_600_123_456, "host name\n<1>")
    assert raw == b"<107>1 2026-01-01T00:00:00.123Z host_name_<1> stillwatch - CEF - \xef\xbb\xbfCEF:0|x"
    assert frame(raw).split(b" ", 1)[0] == str(len(raw)).encode()
    with pytest.raises(ValueError, match="one line"):
        message("a\nb", 1, 0, "h")


# --- the event ---


def test_an_event_is_the_same_bytes_for_the_same_revision() -> None:
    one, again = (cloudevent(alert("a\ud800"), Activity.UPDATED, NOW_US) for _ in range(2))
    later = cloudevent(alert(revision=5), Activity.UPDATED, NOW_US)
    assert one == again
    event = json.loads(one)
    assert {"specversion", "id", "source", "type"} <= event.keys()
    assert (event["type"], event["subject"]) == ("stillwatch.case.updated", "case-7f3a")
    assert event["id"] != json.loads(later)["id"]
    assert event["data"]["format"] == "stillwatch.alert/1"


@pytest.mark.parametrize(
    "source",
    ["https://eu.example/stillwatch", "urn:stillwatch:eu-1", "/eu/1", "https://h.example/a%20b?c=d#e"],
)
def test_an_owner_says_where_events_come_from(source: str) -> None:
    assert event_source("7c9e", source) == source
    event = json.loads(cloudevent(alert(), Activity.UPDATED, NOW_US, source=source))
    assert event["source"] == source


@pytest.mark.parametrize(
    "source", [" ", "a b", "https://user:pw@host/", "https://h/%zz", "https://h/\n", "x" * 2_000, "ü"]
)
def test_what_is_no_uri_is_no_source(source: str) -> None:
    with pytest.raises(ExportError, match="no URI, which CloudEvents wants"):
        event_source("7c9e", source)


def test_two_installations_are_two_sources(tmp_path: Path) -> None:
    """The same case and revision elsewhere is another event: `source` and `id` together identify one."""
    told = []
    for name in ("a", "b", "a"):
        with Store(f"sqlite:///{tmp_path}/{name}.db") as store:
            told.append(event_source(store.installation()))
    assert told[0] == told[2] != told[1]
    assert all(re.fullmatch(r"urn:stillwatch:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", one) for one in told)


def test_a_receiver_can_check_both_signatures(tmp_path: Any) -> None:
    shared, private = tmp_path / "shared.key", tmp_path / "private.key"
    new_key(shared, "hmac")
    new_key(private, "ed25519")
    body = b'{"a":1}'
    sent = headers("sw_1", 1_700_000_000, body, (read_key(shared), read_key(private)))
    signed = b"sw_1.1700000000." + body
    first, second = (part.split(",") for part in sent["webhook-signature"].split(" "))
    secret = base64.b64decode(shared.read_text().strip().removeprefix("whsec_"))
    assert first == ["v1", base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()]
    public = read_key(private).public
    assert public is not None
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    key.verify(base64.b64decode(second[1]), signed)
    assert oct(shared.stat().st_mode & 0o777) == "0o600"


def test_signatures_are_those_of_the_specification() -> None:
    """The example from Standard Webhooks' own documents."""
    made = headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}',
        (signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "here"),),
    )  # fmt: skip
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_bad_key_is_refused_and_never_shown(tmp_path: Any) -> None:
    for text, why in (
        ("hunter2", "holds no webhook key"), ("whsec_!!", "no base64"), ("whsec_aGk=", "secret of 2 bytes"),
        ("whsk_aGk=", "Ed25519 key of 2 bytes"),
    ):  # fmt: skip
        with pytest.raises(ExportError, match=why) as refused:
            signer(text, "k")
        assert text not in str(refused.value)
    loose = tmp_path / "loose.key"
    new_key(loose, "hmac")
    loose.chmod(0o644)
    with pytest.raises(ExportError, match="chmod 600"):
        read_key(loose)
    with pytest.raises(ExportError, match="never written over"):
        new_key(loose, "hmac")
    with pytest.raises(ExportError, match="cannot read"):
        read_key(tmp_path / "none.key")
    seed = Ed25519PrivateKey.generate().private_bytes_raw()
    assert signer("whsk_" + base64.b64encode(seed + b"p" * 32).decode(), "k").public


def test_plain_is_json_for_everybody() -> None:
    assert plain({"a": [None, float("inf"), "\0"], "b": (1, {"c": None})}) == {"a": ["\\x00"], "b": [1, {}]}
