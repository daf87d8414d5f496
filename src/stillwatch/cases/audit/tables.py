"""The trail's tables, beside those of the store: their creation, and their SQLAlchemy form.

`audit_head` is one row: a writer holds it until the transaction ends, so that records form one sequence.
Texts are stored as `cases.tables.stored` writes them, and hashed in that form.
"""

import secrets

from sqlalchemy import Connection, MetaData, text

from stillwatch.cases.migrations import Step
from stillwatch.cases.tables import table

METADATA = MetaData()
SUBJECT_INDEXED = 64  # characters: an entry of PostgreSQL's B-tree holds 2,704 bytes


def m001_trail(db: Connection) -> None:
    """Create records, checkpoints, the head, and the keys that seal what can be erased."""
    for statement in (
        """CREATE TABLE audit_records (
            seq BIGINT PRIMARY KEY,
            at_us BIGINT NOT NULL,
            who TEXT NOT NULL,
            what TEXT NOT NULL,
            subject TEXT NOT NULL,
            detail TEXT NOT NULL,                   -- canonical JSON
            sealed TEXT,                            -- canonical JSON: [[key_id, base64], ...]
            prev TEXT NOT NULL,
            hash TEXT NOT NULL,
            signature TEXT NOT NULL)""",
        f"""CREATE INDEX audit_records_by_subject
            ON audit_records (substr(subject, 1, {SUBJECT_INDEXED}), seq)""",
        """CREATE TABLE audit_checkpoints (
            seq BIGINT PRIMARY KEY,
            seal TEXT NOT NULL,
            at_us BIGINT NOT NULL,
            key TEXT NOT NULL,
            signature TEXT NOT NULL)""",
        """CREATE TABLE audit_head (
            one BIGINT PRIMARY KEY,                 -- 1, always
            chain TEXT NOT NULL,
            seq BIGINT NOT NULL,
            seal TEXT NOT NULL,
            key TEXT NOT NULL,                      -- that signs the next record
            checkpoint_seq BIGINT NOT NULL,
            checkpoint_us BIGINT NOT NULL)""",
        """CREATE TABLE audit_person_keys (
            key_id TEXT PRIMARY KEY,
            person TEXT NOT NULL UNIQUE,            -- as cases.tables.key_of writes names
            key TEXT NOT NULL)""",  # hex; the row is deleted when the person's details are erased
    ):
        db.execute(text(statement))
    begin = text("INSERT INTO audit_head VALUES (1, :chain, 0, :seal, '', 0, 0)")
    db.execute(begin, {"chain": secrets.token_hex(16), "seal": "0" * 64})


def m002_who(db: Connection) -> None:
    """Index what each person did."""
    db.execute(
        text(f"CREATE INDEX audit_records_by_who ON audit_records (substr(who, 1, {SUBJECT_INDEXED}), seq)")
    )


MIGRATIONS: list[Step] = [m001_trail, m002_who]


records = table(
    METADATA,
    "audit_records",
    "seq:N at_us:N who:T what:T subject:T detail:T sealed:T prev:T hash:T signature:T",
)
checkpoints = table(METADATA, "audit_checkpoints", "seq:N seal:T at_us:N key:T signature:T")
head = table(METADATA, "audit_head", "one:N chain:T seq:N seal:T key:T checkpoint_seq:N checkpoint_us:N")
person_keys = table(METADATA, "audit_person_keys", "key_id:T person:T key:T")
