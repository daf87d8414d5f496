"""Erasing sealed details about a person: the key is deleted, the records stay."""

from sqlalchemy import Connection, Engine, func, select

from stillwatch.cases.audit import AuditError
from stillwatch.cases.audit.chain import ERASED
from stillwatch.cases.audit.tables import person_keys, records
from stillwatch.cases.audit.trail import Audit
from stillwatch.cases.tables import key_of


def sealed_about(db: Connection, person: str) -> tuple[str | None, int]:
    """Return the number of a person's key, or None, and how many records it seals."""
    key_id = db.execute(select(person_keys.c.key_id).where(person_keys.c.person == key_of(person))).scalar()
    if key_id is None:
        return None, 0
    holding = select(func.count()).select_from(records).where(records.c.sealed.contains(f'["{key_id}",'))
    return key_id, int(db.execute(holding).scalar_one())


def erase(audit: Audit, db: Connection, person: str, who: str, why: str, now_us: int) -> int:
    """Delete a person's key, so that details sealed under it cannot be read; return the number of records.

    `why` stays on record, so it must not name anybody. Call `scrub` after the commit.

    Raises: AuditError if nothing about that person is sealed.
    """
    key_id, count = sealed_about(db, person)
    if key_id is None:
        raise AuditError(f"nothing is sealed under the key of {person[:200]!a}, or it was erased before")
    # The record first: a crash between the two would otherwise leave a lost key without an explanation.
    audit.append(db, who, ERASED, key_id, {"key_id": key_id, "records": count, "why": why}, now_us)
    if db.dialect.name == "sqlite":
        db.exec_driver_sql("PRAGMA secure_delete = ON")  # overwrites the row with zeroes
    db.execute(person_keys.delete().where(person_keys.c.key_id == key_id))
    return count


def scrub(engine: Engine, table: str = person_keys.name) -> None:
    """Remove erased rows of a table from the database's files too, as far as they can be reached.

    On PostgreSQL this locks the table, which is small; the write-ahead log is not reached.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        if engine.dialect.name == "sqlite":
            db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            db.exec_driver_sql(f"VACUUM FULL {table}")
