"""Checks the extract of the audit trail in an evidence bundle. Standard library only.

This file travels in each bundle, beside `recompute.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .bundle_events import told_draws


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def check_audit(bundle: Any, is_signed: Callable[[bytes, bytes, bytes], bool]) -> tuple[list[str], str]:
    """Check the extract of the audit trail; return what is wrong, and a sentence about it."""
    wrong: list[str] = []
    rows = bundle.lines("audit.ndjson")
    head = bundle.json("audit_head.json")
    statement = {name: head[name] for name in ("at_us", "chain", "key", "seal", "seq")}
    keys = {span["key"]: span for span in head["keys"]}
    if not is_signed(
        bytes.fromhex(head["key"]),
        bytes.fromhex(head["signature"]),
        b"stillwatch.audit.head.1\n" + _canonical(statement),
    ):
        wrong.append("audit_head.json: is not signed by the key that it names")
    linked, before = 0, None
    drawn = told_draws(bundle)
    for place, records in (("audit.ndjson", rows), ("holds.json", [] if drawn is None else drawn["records"])):
        wrong += _unsigned_records(place, records, keys, is_signed)
    for row in rows:
        seq = row["seq"]
        if before is not None and before["seq"] + 1 == seq:
            linked += 1
            if hashlib.sha256((before["hash"] + before["signature"]).encode()).hexdigest() != row["prev"]:
                wrong.append(f"audit.ndjson: record {seq} does not follow on record {seq - 1}")
        if before is not None and seq <= before["seq"]:
            wrong.append(f"audit.ndjson: record {seq} is not after record {before['seq']}")
        before = row
    wrong += _head_differs(head, rows)
    sentence = (
        f"{len(rows)} records of the audit trail are signed, {linked} of them linked to the one before; the "
        f"trail stood at record {head['seq']}, {head['seal'][:16]}…, and what lies between is not here"
    )
    return wrong, sentence


def _head_differs(head: Mapping[str, Any], rows: list[Any]) -> Iterator[str]:
    """Yield errors in the trail's end: it contradicts the records, or its keys do not follow each other."""
    last: Mapping[str, Any] = rows[-1] if rows else {"seq": 0, "hash": "", "signature": ""}
    if head["seq"] < last["seq"]:
        yield "audit_head.json: is of a time before the last record"
    seal = hashlib.sha256((last["hash"] + last["signature"]).encode()).hexdigest()
    if head["seq"] == last["seq"] and head["seal"] != seal:
        yield "audit_head.json: is not the seal of the last record"
    spans = head["keys"]
    ends = [0, *(span["last"] for span in spans)]
    if [span["first"] for span in spans] != [end + 1 for end in ends[:-1]] or ends != sorted(ends):
        yield "audit_head.json: its keys did not sign one after another"
    if not spans or spans[-1]["key"] != head["key"] or ends[-1] != head["seq"]:
        yield "audit_head.json: is not signed by the last of its keys"


def _unsigned_records(
    place: str, rows: list[Any], keys: Mapping[str, Any], is_signed: Callable[[bytes, bytes, bytes], bool]
) -> Iterator[str]:
    """Yield each record whose hash or signature is wrong."""
    names = ("at_us", "detail", "prev", "sealed", "seq", "subject", "what", "who")
    for row in rows:
        seq = row["seq"]
        body = b"stillwatch.audit.1\n" + _canonical({name: row[name] for name in names})
        signer = next((key for key, span in keys.items() if span["first"] <= seq <= span["last"]), "")
        message = b"stillwatch.audit.record.1\n" + row["hash"].encode()
        if hashlib.sha256(body).hexdigest() != row["hash"]:
            yield f"{place}: record {seq} is not what was hashed"
        elif not signer or not is_signed(bytes.fromhex(signer), bytes.fromhex(row["signature"]), message):
            yield f"{place}: record {seq} is not signed by the trail's key"
