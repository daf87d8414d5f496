"""Reads the trail for people: newest first, sealed details opened on request, without verification."""

import json
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, literal_column, select

from stillwatch.cases.audit import AuditError, AuditRecord
from stillwatch.cases.audit.erasure import sealed_about
from stillwatch.cases.audit.sealed import boxes, unseal
from stillwatch.cases.audit.tables import SUBJECT_INDEXED, person_keys, records
from stillwatch.cases.tables import read_back, to_stored


def read(
    db: Connection,
    *,
    subject: str | None = None,
    who: str | None = None,
    person: str | None = None,
    before: int | None = None,
    limit: int = 100,
    opened: bool = False,
) -> list[AuditRecord]:
    """List records, newest first.

    person: only what is sealed about them; opened: with sealed details whose key exists. Opening them is a
    view of content: record it first. Raises: AuditError if a record cannot be read.
    """
    c = records.c
    query = select(records)
    for column, wanted_text in ((c.subject, subject), (c.who, who)):
        if wanted_text is not None:
            text = to_stored(wanted_text)
            query = query.where(_index_prefix(column) == text[:SUBJECT_INDEXED], column == text)
    if before is not None:
        query = query.where(c.seq < before)
    if person is not None:
        key_id, _ = sealed_about(db, person)
        if key_id is None:
            return []
        query = query.where(c.sealed.contains(f'["{key_id}",'))
    rows = db.execute(query.order_by(c.seq.desc()).limit(limit)).all()
    keys: dict[str, tuple[str, str]] = {}
    if opened:
        keys = {row.key_id: (row.person, row.key) for row in db.execute(select(person_keys))}
    return [_record_of_row(row, keys) for row in rows]


def _index_prefix(column: ColumnElement[str]) -> ColumnElement[str]:
    """Return the indexed prefix of a column, with its length as a literal, as in the indexes' definition."""
    return func.substr(column, literal_column("1"), literal_column(str(SUBJECT_INDEXED)))


def _record_of_row(row: Row[Any], keys: dict[str, tuple[str, str]]) -> AuditRecord:
    try:
        details, closed = [], 0
        for key_id, box in boxes(row.sealed):
            person_key = keys.get(key_id)
            text = None if person_key is None else unseal(box, key_id, *person_key)
            if text is None:
                closed += 1
            else:
                details.append({"person": _name_of(person_key[0]) if person_key is not None else ""} | text)
        who, action, subject = (read_back(text) for text in (row.who, row.what, row.subject))
        detail = json.loads(row.detail)
        return AuditRecord(row.seq, row.at_us, who, action, subject, detail, tuple(details), closed, row.hash)
    except (ValueError, TypeError) as why:
        raise AuditError(
            f"record {row.seq} of the trail cannot be read ({why}); see `stillwatch audit verify`"
        ) from None


def _name_of(key: str) -> str:
    """Return the person's name from the key, or the digest if the name was too long for a key."""
    return key[1:] if key.startswith("\x1a#") else read_back(key)
