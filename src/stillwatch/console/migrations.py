"""The console's own tables, in the cases' database: people, their identities at a provider, second factors,
sessions, API tokens, requested actions and dismissals, views, notices, escalations.

Only append: a step that was released is never changed. The SQL is what SQLite and PostgreSQL both read.
"""

from sqlalchemy import Connection, MetaData, select, text

from stillwatch.cases.migrations import Step
from stillwatch.cases.persons import IdentityMark, identity_value, mark_digest
from stillwatch.cases.tables import table

PART = "console"


def m001_console(db: Connection) -> None:
    """Begin: people, sessions, asks."""
    for statement in (
        """CREATE TABLE console_users (
            name TEXT PRIMARY KEY,
            role BIGINT NOT NULL,
            password TEXT NOT NULL,                 -- scrypt, with its settings and salt
            created_us BIGINT NOT NULL,
            disabled_us BIGINT)""",
        """CREATE TABLE console_sessions (
            digest TEXT PRIMARY KEY,                -- SHA-256 of the cookie: who reads this cannot log in
            name TEXT NOT NULL REFERENCES console_users (name),
            opened_us BIGINT NOT NULL,
            seen_us BIGINT NOT NULL)""",
        # Actions on accounts that were requested here: done at once, or waiting for a second person.
        """CREATE TABLE console_asks (
            ask BIGINT PRIMARY KEY,
            case_id TEXT NOT NULL REFERENCES cases (id),
            at_us BIGINT NOT NULL,
            who TEXT NOT NULL,
            step BIGINT NOT NULL,
            budget BIGINT,                          -- output tokens an hour
            for_s BIGINT,
            why TEXT NOT NULL,
            accounts TEXT NOT NULL,                 -- JSON
            state TEXT NOT NULL,                    -- waiting, taking, done, refused, undone
            decided_us BIGINT,
            decided_by TEXT,
            decided_why TEXT,
            action BIGINT)""",
        "CREATE INDEX console_asks_by_case ON console_asks (case_id, ask)",
        "CREATE INDEX console_asks_by_state ON console_asks (state, ask)",
    ):
        db.execute(text(statement))


def m002_views(db: Connection) -> None:
    """Store filters of the queue by name, per person."""
    db.execute(
        text(
            """CREATE TABLE console_views (
            person TEXT NOT NULL REFERENCES console_users (name),
            name TEXT NOT NULL,
            words TEXT NOT NULL,                    -- of the queue's address
            saved_us BIGINT NOT NULL,
            PRIMARY KEY (person, name))"""
        )
    )


def m003_identities(db: Connection) -> None:
    """Let people log in at an identity provider. Attempts that have ended are kept for a while."""
    for statement in (
        """CREATE TABLE console_identities (
            issuer TEXT NOT NULL,
            subject TEXT NOT NULL,
            name TEXT NOT NULL UNIQUE REFERENCES console_users (name),
            bound_us BIGINT NOT NULL,
            PRIMARY KEY (issuer, subject))""",
        """CREATE TABLE console_used_logins (
            digest TEXT PRIMARY KEY,
            at_us BIGINT NOT NULL)""",
    ):
        db.execute(text(statement))


def m004_dismissals(db: Connection) -> None:
    """Store dismissals that wait for a second person."""
    db.execute(
        text(
            """CREATE TABLE console_dismissals (
            number BIGINT PRIMARY KEY,
            at_us BIGINT NOT NULL,
            who TEXT NOT NULL,
            why TEXT NOT NULL,
            act TEXT NOT NULL,                      -- JSON
            cases TEXT NOT NULL,                    -- JSON: of each its id and the revision that was seen
            state TEXT NOT NULL,                    -- waiting, approved, refused
            decided_us BIGINT,
            decided_by TEXT,
            decided_why TEXT)"""
        )
    )


def m005_second_factors(db: Connection) -> None:
    """Let people prove a second factor: codes of an authenticator, and recovery codes."""
    for statement in (
        """CREATE TABLE console_second_factors (
            name TEXT PRIMARY KEY REFERENCES console_users (name),
            secret TEXT NOT NULL,                   -- Base32: what codes are computed from
            made_us BIGINT NOT NULL,
            confirmed_us BIGINT,                    -- none: it counts for nothing yet
            last_step BIGINT NOT NULL,              -- of time: no code of it or before counts again
            failed BIGINT NOT NULL,                 -- wrong codes since the last right one
            failed_us BIGINT NOT NULL)""",
        """CREATE TABLE console_recovery_codes (
            name TEXT NOT NULL REFERENCES console_users (name),
            digest TEXT NOT NULL,                   -- SHA-256; a code that was used is gone
            PRIMARY KEY (name, digest))""",
        # Log-ins with a correct password that wait for a code.
        """CREATE TABLE console_half_logins (
            digest TEXT PRIMARY KEY,                -- SHA-256 of the cookie
            name TEXT NOT NULL REFERENCES console_users (name),
            opened_us BIGINT NOT NULL)""",
    ):
        db.execute(text(statement))


def m006_tokens(db: Connection) -> None:
    """Let programs in, each with a person's token."""
    for statement in (
        """CREATE TABLE console_tokens (
            digest TEXT PRIMARY KEY,                -- SHA-256 of the token
            person TEXT NOT NULL REFERENCES console_users (name),
            name TEXT NOT NULL,
            scope TEXT NOT NULL,                    -- read, triage
            made_us BIGINT NOT NULL,
            expires_us BIGINT NOT NULL,
            used_us BIGINT,
            revoked_us BIGINT)""",
        "CREATE INDEX console_tokens_by_person ON console_tokens (person, made_us)",
        # When the provider last let somebody in: no one reports that they have left.
        "ALTER TABLE console_identities ADD COLUMN seen_us BIGINT",
    ):
        db.execute(text(statement))


def m007_notices(db: Connection) -> None:
    """Notify people of mentions and of overdue cases."""
    for statement in (
        """CREATE TABLE console_addresses (
            person TEXT PRIMARY KEY REFERENCES console_users (name),
            address TEXT NOT NULL)""",  # for their mail, if they want any
        """CREATE TABLE console_notices (
            number BIGINT PRIMARY KEY,
            person TEXT NOT NULL REFERENCES console_users (name),
            kind TEXT NOT NULL,                     -- mention, overdue
            case_id TEXT NOT NULL REFERENCES cases (id),
            act BIGINT,                             -- the note
            who TEXT NOT NULL,
            at_us BIGINT NOT NULL,
            seen_us BIGINT,
            sent_us BIGINT)""",  # when a mail of it was put in the outbox; 0: none is wanted
        "CREATE INDEX console_notices_by_person ON console_notices (person, number)",
        "CREATE INDEX console_notices_by_sent ON console_notices (sent_us, number)",
        """CREATE TABLE console_escalations (
            case_id TEXT NOT NULL REFERENCES cases (id),
            due_us BIGINT NOT NULL,                 -- another due date begins anew
            after_hours BIGINT NOT NULL,
            at_us BIGINT NOT NULL,
            PRIMARY KEY (case_id, due_us, after_hours))""",
    ):
        db.execute(text(statement))


def m008_sealed_factors(db: Connection) -> None:
    """Change nothing, but lock out older versions: from here on secrets are sealed (`factor_seal`)."""


def m009_identity_marks(db: Connection) -> None:
    """Store what identifies people: mail addresses, identities at a provider."""
    row = "INSERT INTO identity_marks (name, kind, digest, since_us) VALUES (:name, :kind, :digest, :since)"
    for bound_row in db.execute(select(identities)).all():
        value = identity_value(bound_row.issuer, bound_row.subject)
        _mark(db, row, bound_row.name, IdentityMark.IDENTITY, value, bound_row.bound_us)
    for bound_row in db.execute(select(addresses)).all():
        _mark(db, row, bound_row.person, IdentityMark.ADDRESS, bound_row.address, 0)


def _mark(db: Connection, row: str, name: str, kind: IdentityMark, value: str, since_us: int) -> None:
    digest = mark_digest(kind, value)
    db.execute(text(row), {"name": name, "kind": str(kind), "digest": digest, "since": since_us})


MIGRATIONS: list[Step] = [
    m001_console,
    m002_views,
    m003_identities,
    m004_dismissals,
    m005_second_factors,
    m006_tokens,
    m007_notices,
    m008_sealed_factors,
    m009_identity_marks,
]

METADATA = MetaData()
users = table(METADATA, "console_users", "name:W role:N password:T created_us:N disabled_us:N")
sessions = table(METADATA, "console_sessions", "digest:T name:W opened_us:N seen_us:N")
asks = table(
    METADATA,
    "console_asks",
    "ask:N case_id:W at_us:N who:W step:N budget:N for_s:N why:W accounts:T state:T decided_us:N "
    "decided_by:W decided_why:W action:N",
)
views = table(METADATA, "console_views", "person:W name:W words:W saved_us:N")
identities = table(METADATA, "console_identities", "issuer:W subject:W name:W bound_us:N seen_us:N")
used_logins = table(METADATA, "console_used_logins", "digest:T at_us:N")
dismissals = table(
    METADATA,
    "console_dismissals",
    "number:N at_us:N who:W why:W act:T cases:T state:T decided_us:N decided_by:W decided_why:W",
)
second_factors = table(
    METADATA,
    "console_second_factors",
    "name:W secret:T made_us:N confirmed_us:N last_step:N failed:N failed_us:N",
)
recovery_codes = table(METADATA, "console_recovery_codes", "name:W digest:T")
half_logins = table(METADATA, "console_half_logins", "digest:T name:W opened_us:N")
tokens = table(
    METADATA,
    "console_tokens",
    "digest:T person:W name:T scope:T made_us:N expires_us:N used_us:N revoked_us:N",
)
addresses = table(METADATA, "console_addresses", "person:W address:T")
notices = table(
    METADATA, "console_notices", "number:N person:W kind:T case_id:W act:N who:W at_us:N seen_us:N sent_us:N"
)
escalations = table(METADATA, "console_escalations", "case_id:W due_us:N after_hours:N at_us:N")
