"""What a finding rests on, as it is kept with a case: the campaign whole, and what the scan was.

It does not judge. Of each case the latest finding's evidence is kept, and that of findings judged upon.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from stillwatch.cases import Finding, Missing
from stillwatch.cases.store import Store
from stillwatch.cases.tables import evidence, findings
from stillwatch.report.findings import campaign_json, campaign_of
from stillwatch.scan import Campaign

LEVEL = 1  # of deflate: 25,000 accounts' links are 10 MB, and a fold has to wait for it


@dataclass(frozen=True)
class Input:
    """A file that was scanned."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Evidence:
    """A finding with what it rests on."""

    finding: Finding
    context: dict[str, Any]  # what the scan was, and the static part of the alert: see `alert`
    campaign: Campaign


@dataclass(frozen=True)
class Packed:
    """A campaign ready to be kept."""

    digest: str  # SHA-256 of what was found; the same finding always has the same one
    data: bytes


def pack(campaign: Campaign) -> Packed:
    """Write a campaign as it is kept. When it may reach its next milestone is no part of what was found."""
    still = _json(campaign_json(replace(campaign, next_milestone=None)))
    data = _json(campaign_json(campaign))
    return Packed(hashlib.sha256(still).hexdigest(), zlib.compress(data, LEVEL))


def unpack(data: bytes) -> Campaign:
    return campaign_of(json.loads(zlib.decompress(data)))


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, allow_nan=False, separators=(",", ":")).encode("ascii")


def latest(store: Store, case_id: str) -> Evidence:
    """Give the evidence of a case's latest finding. Raises: Missing."""
    with store.reading() as db:
        e = evidence.c
        query = select(e.finding).where(e.case_id == case_id).order_by(e.finding.desc()).limit(1)
        number = db.execute(query).scalar()
        if number is None:
            raise Missing(f"there is no evidence of case {case_id!a}; `stillwatch case list` shows the cases")
        return evidence_in(db, number)


def evidence_in(db: Connection, number: int) -> Evidence:
    """Give a finding's evidence. Raises: Missing where it was not kept."""
    query = select(findings, evidence.c.context, evidence.c.campaign.label("packed")).join(
        evidence, evidence.c.finding == findings.c.finding
    )
    row = db.execute(query.where(findings.c.finding == number)).mappings().first()
    if row is None:
        raise Missing(f"the evidence of finding {number} was not kept: nobody judged upon it")
    return Evidence(finding_of(row), json.loads(row["context"]), unpack(row["packed"]))


def context_in(db: Connection, case_id: str) -> tuple[Finding, dict[str, Any]]:
    """Give a case's latest finding and its context, without unpacking the campaign. Raises: Missing."""
    query = select(findings, evidence.c.context).join(evidence, evidence.c.finding == findings.c.finding)
    query = query.where(evidence.c.case_id == case_id).order_by(evidence.c.finding.desc()).limit(1)
    row = db.execute(query).mappings().first()
    if row is None:
        raise Missing(f"there is no evidence of case {case_id!a}; `stillwatch case list` shows the cases")
    return finding_of(row), json.loads(row["context"])


def keep(db: Connection, case_id: str, number: int, context: Mapping[str, Any], packed: Packed) -> None:
    """Keep a finding's evidence in place of the one before, unless somebody judged upon that."""
    e = evidence.c
    db.execute(delete(evidence).where(e.case_id == case_id, e.held == 0))
    words = json.dumps(context, sort_keys=True, allow_nan=False)
    row = {"finding": number, "case_id": case_id, "context": words, "campaign": packed.data, "held": 0}
    db.execute(insert(evidence).values(row))


def hold(db: Connection, case_id: str) -> None:
    """Keep what a case's latest finding rests on for good: somebody judges upon it."""
    e = evidence.c
    newest = select(e.finding).where(e.case_id == case_id).order_by(e.finding.desc()).limit(1)
    db.execute(update(evidence).where(e.finding == newest.scalar_subquery()).values(held=1))


def finding_of(row: Mapping[Any, Any]) -> Finding:
    return Finding(
        id=row["finding"],
        case=row["case_id"],
        at_us=row["at_us"],
        source=row["source"],
        campaign=row["campaign"],
        digest=row["digest"],
        alarm_us=row["alarm_us"],
        p_value=row["p_value"],
        exchanges=row["exchanges"],
        output_tokens=row["output_tokens"],
        accounts=row["accounts"],
    )
