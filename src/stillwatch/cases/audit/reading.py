"""Reading the trail for people: newest first, sealed details opened on request. It verifies nothing."""

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

    person: only what is sealed about him; opened: with sealed details whose key is there. Whoever asks for
    that looks at content: put it on record first. Raises: AuditError where a record cannot be read.
    """
    c = records.c
    wanted = select(records)
    for column, given in ((c.subject, subject), (c.who, who)):
        if given is not None:
            text = to_stored(given)
            wanted = wanted.where(_index_prefix(column) == text[:SUBJECT_INDEXED], column == text)
    if before is not None:
        wanted = wanted.where(c.seq < before)
    if person is not None:
        key_id, _ = sealed_about(db, person)
        if key_id is None:
            return []
        wanted = wanted.where(c.sealed.contains(f'["{key_id}",'))
    rows = db.execute(wanted.order_by(c.seq.desc()).limit(limit)).all()
    keys: dict[str, tuple[str, str]] = {}
    if opened:
        keys = {row.key_id: (row.person, row.key) for row in db.execute(select(person_keys))}
    return [_record(row, keys) for row in rows]


def _index_prefix(column: ColumnElement[str]) -> ColumnElement[str]:
    """The beginning of a text as the indexes have it: numbers in it may be no parameters."""
    return func.substr(column, literal_column("1"), literal_column(str(SUBJECT_INDEXED)))


def _record(row: Row[Any], keys: dict[str, tuple[str, str]]) -> AuditRecord:
    try:
        details, closed = [], 0
        for key_id, box in boxes(row.sealed):
            held = keys.get(key_id)
            text = None if held is None else unseal(box, key_id, *held)
            if text is None:
                closed += 1
            else:
                details.append({"person": _name_of(held[0]) if held is not None else ""} | text)
        who, what, subject = (read_back(text) for text in (row.who, row.what, row.subject))
        detail = json.loads(row.detail)
        return AuditRecord(row.seq, row.at_us, who, what, subject, detail, tuple(details), closed, row.hash)
    except (ValueError, TypeError) as why:
        raise AuditError(
            f"record {row.seq} of the trail cannot be read ({why}); see `stillwatch audit verify`"
        ) from None


def _name_of(key: str) -> str:
    """The name that a person's key was made of, or its digest where it was too long for one."""
    return key[1:] if key.startswith("\x1a#") else read_back(key)
