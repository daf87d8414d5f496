"""The migrations of the tables: a plain list of functions, each run once.

Each part of the package with tables (cases, the audit trail) has its own list and calls `migrate` with it;
`shapes` says how many of each have run. Append only: a released function is never changed. The SQL is valid
in both SQLite and PostgreSQL.
"""

import uuid
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Engine, text

from stillwatch.cases import CaseError

Step = Callable[[Connection], None]
SHAPES = "CREATE TABLE IF NOT EXISTS shapes (part TEXT PRIMARY KEY, version BIGINT NOT NULL)"
LOCK = 0x5711_CA5E  # our number for PostgreSQL's advisory lock, when two processes start at once


def m001_cases(db: Connection) -> None:
    """Create cases, their accounts, findings, harvested hours, and acts."""
    postgres = db.dialect.name == "postgresql"
    blob = "BYTEA" if postgres else "BLOB"
    bytewise = 'COLLATE "C"' if postgres else ""  # SQLite's own order
    for statement in (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
        "INSERT INTO meta VALUES ('revision', 0)",
        f"""CREATE TABLE cases (
            id TEXT {bytewise} PRIMARY KEY,
            opened_us BIGINT NOT NULL,
            updated_us BIGINT NOT NULL,
            -- what the findings say
            campaign TEXT NOT NULL,                 -- id of the latest finding
            title TEXT NOT NULL,
            p_value DOUBLE PRECISION NOT NULL,
            score_bits DOUBLE PRECISION NOT NULL,
            exchanges BIGINT NOT NULL,
            output_tokens BIGINT NOT NULL,
            first_us BIGINT,
            last_us BIGINT,
            members BIGINT NOT NULL,
            victims BIGINT NOT NULL DEFAULT 0,
            cleared BIGINT NOT NULL DEFAULT 0,
            reopened BIGINT NOT NULL DEFAULT 0,
            raised_by TEXT NOT NULL,                -- detector of the latest alarm
            permission TEXT,                        -- that the finding names as suppressing it
            merged_into TEXT REFERENCES cases (id),
            split_from TEXT REFERENCES cases (id),
            -- what the acts in force come to
            state TEXT NOT NULL,
            verdict TEXT,
            owner TEXT,
            due_us BIGINT,
            suppressed_until_us BIGINT,
            suppressed_by TEXT,
            suppressed_why TEXT,
            appeal TEXT,
            revision BIGINT NOT NULL)""",
        "CREATE INDEX cases_by_state ON cases (state, updated_us)",
        # An account is the actor's in one case at most: `home` is its key there, else NULL, and NULLs are
        # never equal. Keys are names that an index can hold (see tables.key_of).
        f"""CREATE TABLE members (
            case_id TEXT NOT NULL REFERENCES cases (id),
            key TEXT {bytewise} NOT NULL,
            account TEXT NOT NULL,
            since_us BIGINT NOT NULL,               -- named first
            last_us BIGINT NOT NULL,                -- when a finding named it last
            finding BIGINT NOT NULL,                -- that finding
            provisional BIGINT NOT NULL DEFAULT 0,  -- seen between two full looks only
            exchanges BIGINT NOT NULL DEFAULT 0,    -- of the account in the scanned log
            verdict TEXT,                           -- of the account, where it has its own
            moved_to TEXT REFERENCES cases (id),    -- left for this case
            home TEXT UNIQUE,
            PRIMARY KEY (case_id, key))""",
        "CREATE INDEX members_by_key ON members (key)",
        "CREATE INDEX members_victims ON members (key) WHERE verdict = 'victim'",
        """CREATE TABLE findings (
            finding BIGINT PRIMARY KEY,
            case_id TEXT NOT NULL REFERENCES cases (id),
            at_us BIGINT NOT NULL,
            source TEXT NOT NULL,
            campaign TEXT NOT NULL,
            digest TEXT NOT NULL,                   -- of the campaign as it was found
            alarm_us BIGINT NOT NULL,
            p_value DOUBLE PRECISION NOT NULL,
            exchanges BIGINT NOT NULL,
            output_tokens BIGINT NOT NULL,
            accounts BIGINT NOT NULL)""",
        "CREATE INDEX findings_by_case ON findings (case_id, finding)",
        "CREATE INDEX findings_by_campaign ON findings (campaign)",
        # of each case's latest finding, and of those with a verdict
        f"""CREATE TABLE evidence (
            finding BIGINT PRIMARY KEY REFERENCES findings (finding),
            case_id TEXT NOT NULL REFERENCES cases (id),
            context TEXT NOT NULL,                  -- JSON: what the scan was and could not claim
            campaign {blob} NOT NULL,               -- JSON, deflated
            held BIGINT NOT NULL DEFAULT 0)""",
        "CREATE INDEX evidence_by_case ON evidence (case_id, finding)",
        """CREATE TABLE spoken (                        -- which detectors said something of a case
            case_id TEXT NOT NULL REFERENCES cases (id),
            detector TEXT NOT NULL,
            first_us BIGINT NOT NULL,
            last_us BIGINT NOT NULL,
            bits DOUBLE PRECISION NOT NULL,         -- latest
            raised BIGINT NOT NULL,                 -- its alarm opened the case or kept it up
            PRIMARY KEY (case_id, detector))""",
        """CREATE TABLE detector_states (
            change BIGINT PRIMARY KEY,
            detector TEXT NOT NULL,
            at_us BIGINT NOT NULL,
            who TEXT NOT NULL,
            state TEXT NOT NULL,
            text TEXT NOT NULL,                     -- why
            measured TEXT NOT NULL)""",  # JSON: the precision it was decided on
        "CREATE INDEX detector_states_by_name ON detector_states (detector, change)",
        """CREATE TABLE hours (
            case_id TEXT NOT NULL REFERENCES cases (id),
            hour_us BIGINT NOT NULL,
            exchanges BIGINT NOT NULL,
            output_tokens BIGINT NOT NULL,
            PRIMARY KEY (case_id, hour_us))""",
        # Acts on a case, by people and by findings. An act sets some of the case's facets; the present value
        # of each facet is that of the last act in force.
        """CREATE TABLE acts (
            act BIGINT PRIMARY KEY,
            case_id TEXT NOT NULL REFERENCES cases (id),
            at_us BIGINT NOT NULL,
            who TEXT NOT NULL,
            verb TEXT NOT NULL,
            text TEXT NOT NULL,                     -- why, or the note
            sets TEXT NOT NULL,                     -- JSON: facet -> value
            undoes BIGINT REFERENCES acts (act),
            in_force BIGINT NOT NULL,
            revision BIGINT NOT NULL)""",
        "CREATE INDEX acts_by_case ON acts (case_id, act)",
    ):
        db.execute(text(statement))


def m002_tied(db: Connection) -> None:
    """Record for each account whether it is tied strongly enough to act on it (Campaign.firm)."""
    db.execute(text("ALTER TABLE members ADD COLUMN tied BIGINT NOT NULL DEFAULT 0"))


def m003_indexes(db: Connection) -> None:
    """Keep the queue and detectors' records fast with 100,000 cases."""
    # 1 << 62 is reading.NEVER. The filter columns follow the sort order, so that the last page is found in
    # the index alone. An entry of PostgreSQL's may not be long, and `permission` is a text.
    filters = ", merged_into, state, suppressed_until_us, permission" if db.dialect.name == "sqlite" else ""
    for statement in (
        f"""CREATE INDEX cases_in_queue ON cases
            (coalesce(due_us, {1 << 62}), exchanges DESC, opened_us, id{filters})""",
        "CREATE INDEX cases_by_revision ON cases (revision)",
        "CREATE INDEX spoken_by_detector ON spoken (detector, first_us, last_us)",
    ):
        db.execute(text(statement))


def m004_leads(db: Connection) -> None:
    """Store the leads of the latest scan of each source, apart from findings."""
    db.execute(
        text(
            """CREATE TABLE leads (
            lead TEXT PRIMARY KEY,
            at_us BIGINT NOT NULL,                  -- when it was folded in
            source TEXT NOT NULL,                   -- which scan says it
            until_us BIGINT NOT NULL,               -- where the log ended that was scanned
            exchanges BIGINT NOT NULL,
            document TEXT NOT NULL,                 -- JSON, as in findings.json
            latest BIGINT NOT NULL,                 -- 0: the source's latest scan does not say it any more
            case_id TEXT REFERENCES cases (id))     -- that a person opened from it"""
        )
    )


def m005_owners(db: Connection) -> None:
    """Index cases by owner, to find an owner's cases, and all owners, without a full scan."""
    db.execute(
        text("CREATE INDEX cases_by_owner ON cases (owner, state, merged_into) WHERE owner IS NOT NULL")
    )


def m006_installation(db: Connection) -> None:
    """Give these cases an id of their own, by which receivers distinguish installations."""
    db.execute(text("CREATE TABLE installation (id TEXT PRIMARY KEY)"))
    db.execute(text("INSERT INTO installation VALUES (:id)"), {"id": str(uuid.uuid4())})


def m007_persons(db: Connection) -> None:
    """Record which names are one person: identity marks, and administrators' links."""
    for statement in (
        """CREATE TABLE identity_marks (
            name TEXT NOT NULL,
            kind TEXT NOT NULL,                     -- address, identity
            digest TEXT NOT NULL,                   -- HMAC of SHA-256; before m008 without a key
            since_us BIGINT NOT NULL,
            PRIMARY KEY (kind, digest, name))""",
        """CREATE TABLE person_links (
            link BIGINT PRIMARY KEY,
            at_us BIGINT NOT NULL,
            name TEXT NOT NULL,
            other TEXT NOT NULL,
            is_one BIGINT NOT NULL,                 -- 0: they are two people
            who TEXT NOT NULL,
            why TEXT NOT NULL)""",
    ):
        db.execute(text(statement))


def m008_keyed_marks(db: Connection) -> None:
    """Store the key for identity marks, sealed, and lock out older versions."""
    db.execute(text("CREATE TABLE identity_keys (sealed TEXT NOT NULL)"))


def m009_answers(db: Connection) -> None:
    """Put leads with long answers first. Those of older scans have 0 until the next one."""
    db.execute(text("ALTER TABLE leads ADD COLUMN answer_tokens BIGINT NOT NULL DEFAULT 0"))


MIGRATIONS: list[Step] = [
    m001_cases,
    m002_tied,
    m003_indexes,
    m004_leads,
    m005_owners,
    m006_installation,
    m007_persons,
    m008_keyed_marks,
    m009_answers,
]


def migrate(engine: Engine, part: str, steps: Sequence[Step]) -> None:
    """Migrate one part's tables to the newest version, each step atomically.

    Raises: CaseError for a database that a newer version wrote.
    """
    while True:
        with engine.connect().execution_options(writes=True) as db, db.begin():
            if db.dialect.name == "postgresql":
                db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
            db.execute(text(SHAPES))
            version = db.execute(
                text("SELECT version FROM shapes WHERE part = :part"), {"part": part}
            ).scalar()
            if version is not None and version > len(steps):
                raise CaseError(
                    f"{engine.url.render_as_string()}: its {part} were written by a newer Stillwatch (shape "
                    f"{version}, this one knows {len(steps)}); install that version again"
                )
            if version == len(steps):
                return
            steps[version or 0](db)
            record = (
                "INSERT INTO shapes VALUES (:part, :version)"
                if version is None
                else "UPDATE shapes SET version = :version WHERE part = :part"
            )
            db.execute(text(record), {"part": part, "version": (version or 0) + 1})
