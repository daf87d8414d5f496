"""Stores the leads of the latest scans, which are not findings, apart from cases.

A person may open a case from a lead. Until a finding names that case, no action may rest on it: its accounts
are no targets, whatever the verdict (`reading.targets`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Unpack

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from stillwatch.cases import MACHINE, Case, CaseError, CaseState, RecordNotFound
from stillwatch.cases.acts import put
from stillwatch.cases.handling import StatedAct, check_reason
from stillwatch.cases.joining import create
from stillwatch.cases.membership import NamedAccount, add, homes_of
from stillwatch.cases.reading import begins_with
from stillwatch.cases.store import PAGE, Store, Transaction, case_in
from stillwatch.cases.tables import key_of
from stillwatch.cases.tables import leads as leads_table
from stillwatch.report.amounts import plural
from stillwatch.report.findings import lead_json, lead_of
from stillwatch.report.leads import NO_ACTION, formed_by, rests_on, would_make_it_a_finding
from stillwatch.scan import Lead, ScanResult
from stillwatch.units import DAY_US, us

_L = leads_table.c


@dataclass(frozen=True)
class StoredLead:
    """A lead as the latest scan of its source reports it."""

    lead: Lead
    at_us: int  # when it was added
    source: str
    latest: bool  # the source's latest scan still reports it
    case: str | None  # opened from it by a person

    @property
    def since_us(self) -> int:
        return us(self.lead.since)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values, with what it rests on in words."""
        lead = self.lead
        return lead_json(lead) | {
            "source": self.source,
            "folded_us": self.at_us,
            "latest": self.latest,
            "case": self.case,
            "actionable": False,
            "note": NO_ACTION,
            "rests_on": list(rests_on(lead)),
            "counted": formed_by(lead),
            "would_make_it_a_finding": list(would_make_it_a_finding(lead)),
        }


def leads_changed(db: Connection, result: ScanResult, source: str) -> bool:
    """Return whether a scan's leads differ from those stored of its source."""
    return bool(_news(db, result)) or bool(_no_longer_said(db, result, source))


def keep_leads(tx: Transaction, result: ScanResult, source: str) -> None:
    """Replace a source's stored leads by those of its latest scan."""
    news, leads_gone = _news(tx.db, result), _no_longer_said(tx.db, result, source)
    for lead, document in news.items():
        row = {"at_us": tx.now_us, "source": source, "until_us": _until_us(result), "latest": 1}
        row |= {"document": document}
        row |= {column: json.loads(document)[column] for column in ("exchanges", "answer_tokens")}
        if tx.db.execute(update(leads_table).where(_L.lead == lead).values(row)).rowcount == 0:
            tx.db.execute(insert(leads_table).values(row | {"lead": lead}))
    for lead in leads_gone:  # a lead with a case is kept: the case rests on it
        tx.db.execute(update(leads_table).where(_L.lead == lead).values(latest=0))
        tx.db.execute(delete(leads_table).where(_L.lead == lead, _L.case_id.is_(None)))
    if news or leads_gone:
        tx.audit(MACHINE, "leads folded", "leads", {"new_or_changed": len(news), "gone": len(leads_gone)})


def _until_us(result: ScanResult) -> int:
    return 0 if result.scanned.last is None else us(result.scanned.last)


def _news(db: Connection, result: ScanResult) -> dict[str, str]:
    """Return the documents of new and changed leads; an older scan changes none."""
    had = {row.lead: row for row in db.execute(select(_L.lead, _L.document, _L.until_us, _L.latest))}
    documents = {lead.id: json.dumps(lead_json(lead), sort_keys=True) for lead in result.leads}
    newest = {lead for lead, row in had.items() if row.until_us > _until_us(result)}
    unchanged = {lead for lead, row in had.items() if row.latest and row.document == documents.get(lead)}
    return {lead: document for lead, document in documents.items() if lead not in newest | unchanged}


def _no_longer_said(db: Connection, result: ScanResult, source: str) -> set[str]:
    """Return the leads of a source that its latest scan no longer reports."""
    had = select(_L.lead).where(_L.source == source, _L.latest == 1, _L.until_us <= _until_us(result))
    return set(db.execute(had).scalars()) - {lead.id for lead in result.leads}


# --- reading ---


def leads(store: Store, *, offset: int = 0, limit: int = PAGE) -> tuple[list[StoredLead], int]:
    """Return a page of the leads of the latest scans, longest answers first, and their total."""
    latest = select(leads_table).where(_L.latest == 1)
    query = latest.order_by(_L.answer_tokens.desc(), _L.exchanges.desc(), _L.lead).offset(offset).limit(limit)
    with store.reading() as db:
        total = db.execute(select(func.count()).select_from(latest.subquery())).scalar_one()
        return [_stored_lead(row) for row in db.execute(query)], int(total)


def find_lead(store: Store, beginning: str) -> StoredLead:
    """Return the one lead with this id or prefix. Raises: RecordNotFound."""
    with store.reading() as db:
        rows = db.execute(select(leads_table).where(begins_with(_L.lead, beginning)).limit(2)).all()
    exact = [row for row in rows if row.lead == beginning]
    if len(rows) != 1 and not exact:
        problem = "several leads begin so" if rows else "there is no such lead"
        raise RecordNotFound(f"{beginning!a}: {problem}; `stillwatch case leads` shows them")
    return _stored_lead((exact or rows)[0])


def lead_of_case(store: Store, case_id: str) -> StoredLead | None:
    """Return the lead that a case was opened from; None if it was not."""
    with store.reading() as db:
        row = db.execute(select(leads_table).where(_L.case_id == case_id)).first()
    return None if row is None else _stored_lead(row)


def _stored_lead(row: Row[Any]) -> StoredLead:
    r: Mapping[Any, Any] = row._mapping
    lead = lead_of(json.loads(r["document"]))
    return StoredLead(lead, r["at_us"], r["source"], bool(r["latest"]), r["case_id"])


# --- a case by hand ---


def open_case(store: Store, lead_id: str, **by: Unpack[StatedAct]) -> Case:
    """Open a case from a lead, so that people can work on it. No action may rest on it.

    Raises: RecordNotFound; CaseError if a case was opened from it, or all its accounts are in others.
    """
    check_reason(by)
    lead = find_lead(store, lead_id).lead
    with store.writing(by["now_us"]) as tx:
        row = tx.db.execute(select(leads_table).where(_L.lead == lead.id)).first()
        if row is None:
            raise CaseError(f"{lead.id}: the latest scan does not say it any more; look again")
        if row.case_id is not None:
            raise CaseError(f"{lead.id} is case {row.case_id} already")
        lead = _stored_lead(row).lead
        keys = {key_of(account): account for account in lead.accounts}
        homes = homes_of(tx.db, list(keys))
        if len(homes) == len(keys):
            where = ", ".join(sorted(set(homes.values()))[:3])
            raise CaseError(f"{lead.id}: all its accounts are in cases already ({where}); work there")
        title = f"Lead, no finding: {plural(len(keys), 'account')} that may be unrelated people."
        case_id = create(tx, lead.id, {
            "campaign": lead.id, "title": title, "p_value": lead.p_value, "score_bits": 0.0, "raised_by": "",
        })  # fmt: skip
        since = us(lead.since)
        add(tx, case_id, [NamedAccount(k, a, since, 0) for k, a in keys.items()], 0, provisional=False)
        tx.db.execute(update(leads_table).where(_L.lead == lead.id).values(case_id=case_id))
        sets = {"state": CaseState.OPEN.value, "due_us": by["now_us"] + DAY_US, "lead": lead.id}
        put(tx, case_id, by["who"], "opened", by["why"], sets)
        return case_in(tx.db, case_id)
