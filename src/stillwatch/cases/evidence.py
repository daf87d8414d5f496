"""The evidence of a finding, stored with its case: the whole campaign, and the scan that found it.

For each case, the evidence of the latest finding and of findings with a verdict is kept.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from stillwatch.cases import CaseError, Finding, Json, RecordNotFound
from stillwatch.cases.store import Store
from stillwatch.cases.tables import evidence, findings, record_of
from stillwatch.conversion import convert
from stillwatch.errors import InputError, refuse_os_errors
from stillwatch.exchanges.sources import find
from stillwatch.report.findings import campaign_json, campaign_of, set_aside_json
from stillwatch.scan import Campaign

SLOW = b"#"
SALT = "set_aside_salt"  # of a context: opens the trail's digest of accounts set aside
LEVEL = 1  # of deflate: 25,000 accounts' links are 10 MB, and adding a finding waits for it


@dataclass(frozen=True)
class Input:
    """A file that was scanned."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class FindingEvidence:
    """A finding with its evidence."""

    finding: Finding
    context: Json  # facts about the scan, and the fixed part of the alert: see `alert`
    campaign: Campaign


def digest(c: Campaign) -> str:
    """Return the SHA-256 of a campaign, the same whether it comes from a scan or from its report.

    The forecast of its next milestone is not included.
    """
    hashed = hashlib.sha256()
    p = f"{c.p_value:.6g}"
    for word in (c.id, c.title, p, c.alarm_at.isoformat(), c.suppressed_by or "", *sorted(set(c.accounts))):
        hashed.update(word.encode("utf-8", "surrogatepass") + b"\0")
    for account in sorted(set(c.firm)):
        hashed.update(account.encode("utf-8", "surrogatepass") + b"\1")
    for reason in sorted(f"{r.detector}\0{r.text}\0{r.bits:.6g}" for r in c.reasons):
        hashed.update(reason.encode("utf-8", "surrogatepass") + b"\0")
    for hour in sorted((h.start, h.exchanges, h.output_tokens) for h in c.timeline):
        hashed.update(f"{hour[0].isoformat()} {hour[1]} {hour[2]}\0".encode())
    return hashed.hexdigest()


def without_set_aside(c: Campaign) -> Json:
    """Return a campaign as the trail records it and exports contain it: without honest accounts set aside.

    For these the trail has a separate digest (`set_aside_of`), which reveals nothing without its salt.
    """
    return campaign_json(replace(c, set_aside=()))


def set_aside_of(c: Campaign) -> list[Json]:
    """Return the accounts that a campaign set aside, by which rule, on what facts."""
    return [set_aside_json(item) for item in c.set_aside]


def pack(c: Campaign) -> bytes:
    """Return a campaign in its stored form: deflated JSON."""
    try:
        data = msgspec.json.encode(c)
    except UnicodeEncodeError:  # a lone surrogate in a name: only the slow encoder can write it
        document = json.dumps(campaign_json(c), allow_nan=False, separators=(",", ":"))
        data = SLOW + document.encode("ascii")
    return zlib.compress(data, LEVEL)


def unpack(packed: bytes) -> Campaign:
    """Read back the output of `pack`. Raises: CaseError if it is damaged."""
    try:
        data = zlib.decompress(packed)
        if data.startswith(SLOW):
            return campaign_of(json.loads(data.removeprefix(SLOW)))
        return convert(msgspec.json.decode(data), Campaign)
    except (zlib.error, ValueError) as why:
        raise CaseError(f"evidence cannot be read: {why}; put the last back-up in its place") from why


def latest(store: Store, case_id: str) -> FindingEvidence:
    """Return the evidence of a case's latest finding. Raises: RecordNotFound."""
    with store.reading() as db:
        e = evidence.c
        query = select(e.finding).where(e.case_id == case_id).order_by(e.finding.desc()).limit(1)
        number = db.execute(query).scalar()
        if number is None:
            raise RecordNotFound(
                f"there is no evidence of case {case_id!a}; `stillwatch case list` shows the cases"
            )
        return evidence_in(db, number)


def evidence_in(db: Connection, number: int) -> FindingEvidence:
    """Return a finding's evidence. Raises: RecordNotFound if it was not kept."""
    query = select(findings, evidence.c.context, evidence.c.campaign.label("packed")).join(
        evidence, evidence.c.finding == findings.c.finding
    )
    row = db.execute(query.where(findings.c.finding == number)).mappings().first()
    if row is None:
        raise RecordNotFound(f"the evidence of finding {number} was not kept: nobody judged upon it")
    return FindingEvidence(finding_of(row), json.loads(row["context"]), unpack(row["packed"]))


def context_in(db: Connection, case_id: str) -> tuple[Finding, Json]:
    """Return a case's latest finding and context, without unpacking the campaign. Raises: RecordNotFound."""
    query = select(findings, evidence.c.context).join(evidence, evidence.c.finding == findings.c.finding)
    query = query.where(evidence.c.case_id == case_id).order_by(evidence.c.finding.desc()).limit(1)
    row = db.execute(query).mappings().first()
    if row is None:
        raise RecordNotFound(
            f"there is no evidence of case {case_id!a}; `stillwatch case list` shows the cases"
        )
    return finding_of(row), json.loads(row["context"])


def keep(db: Connection, case_id: str, number: int, context: Mapping[str, Any], campaign: Campaign) -> None:
    """Replace the evidence of the previous finding, unless that has a verdict."""
    e = evidence.c
    db.execute(delete(evidence).where(e.case_id == case_id, e.held == 0))
    words = json.dumps(context, sort_keys=True, allow_nan=False)
    row = {"finding": number, "case_id": case_id, "context": words, "campaign": pack(campaign), "held": 0}
    db.execute(insert(evidence).values(row))


def hold(db: Connection, case_id: str) -> None:
    """Keep the evidence of a case's latest finding permanently: it is about to be judged."""
    e = evidence.c
    newest = select(e.finding).where(e.case_id == case_id).order_by(e.finding.desc()).limit(1)
    db.execute(update(evidence).where(e.finding == newest.scalar_subquery()).values(held=1))


def finding_of(row: Mapping[Any, Any]) -> Finding:
    return record_of(Finding, row, id=row["finding"], case=row["case_id"])


def inputs_of(logs: Sequence[str | Path]) -> list[Input]:
    """Hash every file of these logs. Raises: InputError if one cannot be read.

    Names have no folders, because they leave with exports; the digest identifies the file.
    """
    return [Input(PurePath(log.shown).name, _sha256(log.path), log.size) for log in find(logs)]


def _sha256(path: Path) -> str:
    with refuse_os_errors(InputError, f"{path}: cannot be read"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
