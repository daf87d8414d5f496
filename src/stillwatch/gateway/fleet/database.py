"""The state of a fleet in PostgreSQL. Every gateway keeps a full copy of it as its own `state.db`.

Gateways write in turn: a writer locks the one row of `fleet`, updates its copy, changes the copy under
SQLite, and writes the changed rows here with the number of the change. So only SQLite's rules and statements
apply, reads are always local, and a host knows its bans even without this database. Rows are copied, never
statements.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from stillwatch.gateway.control.mark import Version
from stillwatch.gateway.control.migrations import StateError, StateUnwritable

if TYPE_CHECKING:
    import psycopg

SCHEMA = "stillwatch_gateway"
CHANNEL = "stillwatch_gateway"
SPENT_CHANNEL = "stillwatch_spent"  # announces changes in what accounts spend
LOCK = 0x5711_F1EE  # the key of our PostgreSQL advisory lock, for simultaneous starts
CONNECT_S = 3  # seconds, libpq's connect_timeout
SILENT_MS = 3_000  # longest wait, in milliseconds, for the other host's kernel or for a lock
ANSWER_S = 8.0  # without a byte of an answer for so long a server counts as lost, even if its kernel responds
LONG_ANSWER_S = 600.0  # the same for a statement that writes a whole state
LATE_S = 5.0  # a gateway silent for so long may be gone, or cut off
AGAIN_S = 2.0  # writers do not retry an unreachable database sooner
_KINDS = {"N": "BIGINT", "T": "TEXT", "B": "BYTEA"}
# SQLSTATE: the connection is lost, the server is ending, is full, or is a read-only replica
_LOST = ("08", "57P", "53", "25006")
HISTORY = "history"  # in the copy's `meta`: the marks of its last revisions
KEPT_MARKS = 500


class FleetUnreachable(StateError):
    """The database of the fleet cannot be reached: nothing was changed, the known state remains in force."""


class DatabaseWentBack(StateError):
    """The fleet's database lacks a gateway's changes: an older copy or an incomplete replica replaced it."""


@dataclass(frozen=True)
class SharedTable:
    """A table that exists in `state.db` and in PostgreSQL. Its first column is its key."""

    name: str
    columns: tuple[str, ...]
    kinds: tuple[str, ...]  # of each column: N, T or B
    where: str = "true"  # selects the shared rows

    @property
    def key(self) -> str:
        return self.columns[0]


def _table(name: str, columns: str, where: str = "true") -> SharedTable:
    pairs = [column.split(":") for column in columns.split()]
    return SharedTable(name, tuple(c for c, _ in pairs), tuple(kind for _, kind in pairs), where)


# In the order in which rows may refer to each other.
TABLES = (
    _table("meta", "name:T value:B", "name IN ('admin_token', 'metrics_token')"),
    _table("accounts", "number:N account:T org:T created_us:N"),
    _table("keys", "key_id:T digest:B account:T issued_us:N expires_us:N revoked_us:N replaces:T revision:N"),
    _table("actions", "action:N at_us:N who:T why:T undoes:N root:N ladder:N revision:N"),
    _table(
        "changes",
        "change:N action:N account:T step:N since_us:N until_us:N reason:T campaign:T "
        "output_tokens_per_hour:N mark:T in_force:N over:N",
    ),
    _table("standings", "account:T change:N revision:N"),
    _table(
        "proposals",
        "proposal:N at_us:N campaign:T step:N rule:T why:T accounts:T due_us:N state:T decided_us:N "
        "decided_by:T action:N revision:N",
    ),
    _table("events", "event:N at_us:N who:T what:T subject:T detail:T"),
    _table(
        "hold_schedules",
        "number:N candidate:T accounts:T start_us:N days:N block_minutes:N one_block_in:N key:B begun_us:N "
        "ended_us:N why_ended:T denser_one_block_in:N denser_from_us:N revision:N",
    ),
)


def m001_state(db: "psycopg.Connection[Any]") -> None:
    """Create the fleet, its tables, and its gateways."""
    db.execute(
        """CREATE TABLE fleet (
            generation TEXT NOT NULL,
            revision BIGINT NOT NULL,
            shape BIGINT NOT NULL,                  -- of state.db: its number of migrations
            secret TEXT NOT NULL)                   -- a digest: all gateways must have one secret
        """
    )
    for shared in TABLES:
        columns = ", ".join(f"{c} {_KINDS[k]}" for c, k in zip(shared.columns, shared.kinds, strict=True))
        db.execute(
            f"CREATE TABLE {shared.name} ({columns}, row_revision BIGINT NOT NULL, "
            f"PRIMARY KEY ({shared.key}))"
        )
        db.execute(f"CREATE INDEX {shared.name}_by_row_revision ON {shared.name} (row_revision)")
    db.execute(
        """CREATE TABLE gateways (
            name TEXT PRIMARY KEY,
            life TEXT NOT NULL,                     -- drawn at each start: two with one name are found out
            host TEXT NOT NULL,
            revision BIGINT NOT NULL,               -- in force on all of its workers
            terms TEXT NOT NULL,                    -- digest of its terms
            seen TIMESTAMPTZ NOT NULL)"""
    )
    db.execute(
        """CREATE TABLE leases (
            name TEXT PRIMARY KEY,
            holder TEXT NOT NULL,                   -- the gateway's name
            life TEXT NOT NULL,
            until TIMESTAMPTZ NOT NULL)"""
    )
    db.execute(
        """CREATE TABLE spent (                     -- by an account at a gateway: see path/budgets.py
            gateway TEXT NOT NULL,
            number BIGINT NOT NULL,                 -- of the account
            counts BIGINT[] NOT NULL,
            changed BIGINT NOT NULL,                -- the gateway's own number of the change
            at TIMESTAMPTZ NOT NULL,
            PRIMARY KEY (gateway, number))"""
    )
    db.execute("CREATE INDEX spent_by_changed ON spent (gateway, changed)")
    db.execute(
        """CREATE TABLE spent_read (                -- how far a gateway has read what is spent at another
            reader TEXT NOT NULL,
            gateway TEXT NOT NULL,
            changed BIGINT NOT NULL,
            PRIMARY KEY (reader, gateway))"""
    )
    _create_objects(db)


def _create_objects(db: "psycopg.Connection[Any]") -> None:
    # Writers of objects lock its row. The life is random, so that a re-created database is noticed.
    db.execute("CREATE TABLE objects_clock (value BIGINT NOT NULL, life TEXT NOT NULL)")
    db.execute("INSERT INTO objects_clock VALUES (0, %s)", (secrets.token_hex(8),))
    db.execute(
        """CREATE TABLE objects (                   -- stored at the upstream, and whose they are
            name TEXT PRIMARY KEY,
            account TEXT,                           -- NULL: it is no more
            kind TEXT NOT NULL,
            made_us BIGINT NOT NULL,
            until_us BIGINT,
            changed BIGINT NOT NULL,                -- the clock when it was written
            gone TIMESTAMPTZ)"""
    )
    db.execute("CREATE INDEX objects_by_changed ON objects (changed, name)")
    db.execute("CREATE INDEX objects_by_gone ON objects (gone) WHERE gone IS NOT NULL")


def m002_blocks(db: "psycopg.Connection[Any]") -> None:
    """Count sliding days. A running gateway of an earlier version writes none of it."""
    db.execute("ALTER TABLE spent ADD COLUMN blocks BIGINT[]")  # the row's slots: see path/budgets.py


def m003_history(db: "psycopg.Connection[Any]") -> None:
    """Mark each revision, to distinguish histories with the same numbers. Earlier versions write no marks."""
    db.execute("CREATE TABLE history (revision BIGINT PRIMARY KEY, mark TEXT NOT NULL)")


MIGRATIONS = [m001_state, m002_blocks, m003_history]


@dataclass(frozen=True)
class FleetChanges:
    """The rows changed between two revisions, and the fleet's version."""

    since: Version
    version: Version
    rows: Mapping[str, Sequence[tuple[Any, ...]]]  # by table
    marks: Mapping[int, str]  # of these revisions


@dataclass(frozen=True)
class FleetGateway:
    """One gateway of a fleet, as last reported."""

    name: str
    life: str
    host: str
    revision: int
    terms: str
    silent_s: float  # since its report, by the database's clock


class FleetDatabase:
    """Access to a fleet's database. Each use opens its own connection; see `connect`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._refused: tuple[float, FleetUnreachable] | None = None
        self.no_turn: str | None = None  # why the last turn to write failed

    @contextmanager
    def connect(
        self, *, patient: bool = False, answer_s: float | None = None
    ) -> Iterator["psycopg.Connection[Any]"]:
        """Open a connection outside of any transaction. `patient`: even if it just failed.

        answer_s: the longest wait for an answer; None: the usual. Raises: FleetUnreachable; StateError for
        what the database refuses.
        """
        if self._refused is not None and not patient and time.monotonic() - self._refused[0] < AGAIN_S:
            raise self._refused[1]
        try:
            import psycopg

            from stillwatch.cases.postgres_connection import WaitingConnection
        except ImportError as why:
            raise StateError(f"PostgreSQL needs psycopg: pip install 'stillwatch[postgres]' ({why})") from why
        with refuse_database_errors(self.url):
            try:
                db = WaitingConnection.connect(
                    self.url,
                    autocommit=True,
                    connect_timeout=CONNECT_S,
                    keepalives_idle=1,
                    keepalives_interval=1,
                    keepalives_count=2,
                    tcp_user_timeout=SILENT_MS,
                    application_name="stillwatch",
                    options=f"-c search_path={SCHEMA} -c lock_timeout={SILENT_MS}",
                )
            except psycopg.OperationalError as why:
                refusal = FleetUnreachable(f"{self.url}: cannot be reached: {one_line(why)}")
                self._refused = (time.monotonic(), refusal)
                raise refusal from why
            self._refused = None
            db.answer_s = ANSWER_S if answer_s is None else answer_s
            with db:
                yield db

    @contextmanager
    def turn(self) -> Iterator["FleetTurn"]:
        """Wait for the turn to write, and hold it. Without `FleetTurn.commit` nothing is changed.

        Raises: FleetUnreachable, StateError.
        """
        with ExitStack() as ends:
            try:
                db = ends.enter_context(self.connect())
                ends.callback(_roll_back, db)  # whatever was not committed
                with refuse_database_errors(self.url):
                    db.execute("BEGIN")
                    turn = FleetTurn(db)
            except StateError as why:
                self.no_turn = str(why)
                raise
            self.no_turn = None
            yield turn


def _roll_back(db: "psycopg.Connection[Any]") -> None:
    if not db.closed:
        db.rollback()


class FleetTurn:
    """One gateway's turn to write: no other writes until its end."""

    def __init__(self, db: "psycopg.Connection[Any]") -> None:
        self._db = db
        row = db.execute("SELECT revision FROM fleet FOR UPDATE").fetchone()
        if row is None:
            raise StateError(f"the database holds no state ({SCHEMA}.fleet is empty): see docs/fleet.md")

    def changes(self, copy: sqlite3.Connection, since: Version) -> FleetChanges:
        """Return what the copy, which is at `since`, lacks."""
        return read_changes(self._db, since, read_marks(copy))

    def put(self, copy: sqlite3.Connection, revision: int) -> None:
        """Write the copy's changed rows to the database. Others see them when the turn ends."""
        for shared in TABLES:
            rows = _changed_rows(copy, shared)
            if rows:
                _put_rows(self._db, shared, rows, revision)
        self._db.execute("UPDATE fleet SET revision = %s", (revision,))
        add_marks(copy, put_mark(self._db, revision))
        self._db.execute("SELECT pg_notify(%s, '')", (CHANNEL,))

    def commit(self) -> None:
        """End the turn. Raises: FleetUnreachable if it is unknown whether it was written."""
        import psycopg

        try:
            self._db.execute("COMMIT")
        except psycopg.OperationalError as why:
            raise FleetUnreachable(
                f"the database was lost while this was written ({one_line(why)}): look whether it is in "
                "force before you do it again"
            ) from why


# --- the copy ---


def watch_changes(copy: sqlite3.Connection) -> None:
    """Make this connection record which shared rows it changes, in its own tables and triggers."""
    # a UNIQUE column would not do: the writing statement decides the conflict rule
    copy.execute("CREATE TEMP TABLE changed (place TEXT, key)")
    for shared in TABLES:
        when = "" if shared.where == "true" else f"WHEN NEW.{shared.where}"
        for what in ("INSERT", "UPDATE"):
            copy.execute(
                f"CREATE TEMP TRIGGER {shared.name}_{what} AFTER {what} ON main.{shared.name} {when} BEGIN"
                f" INSERT INTO changed VALUES ('{shared.name}', NEW.{shared.key}); END"
            )


def take_up(copy: sqlite3.Connection, changes: FleetChanges) -> None:
    """Apply others' changes to the copy, in the running transaction."""
    for shared in TABLES:
        if not changes.rows.get(shared.name):
            continue
        marks = ", ".join("?" * len(shared.columns))
        moved = ", ".join(f"{c} = excluded.{c}" for c in shared.columns[1:])
        then = "NOTHING" if shared.name == "events" else f"UPDATE SET {moved}"  # events are never changed
        copy.executemany(
            f"INSERT INTO {shared.name} ({', '.join(shared.columns)}) VALUES ({marks})"
            f" ON CONFLICT ({shared.key}) DO {then}",
            changes.rows[shared.name],
        )
    copy.execute("UPDATE meta SET value = ? WHERE name = 'revision'", (changes.version.revision,))
    add_marks(copy, changes.marks)
    copy.execute("DELETE FROM changed")  # recording starts afresh


def read_marks(copy: sqlite3.Connection) -> dict[int, str]:
    """Return the marks of the last revisions that a copy knows."""
    row = copy.execute("SELECT value FROM meta WHERE name = ?", (HISTORY,)).fetchone()
    return {} if row is None else {int(revision): str(mark) for revision, mark in json.loads(row[0])}


def add_marks(copy: sqlite3.Connection, marks: Mapping[int, str]) -> None:
    """Add marks to a copy, in the transaction that they mark."""
    if marks:
        known = sorted((read_marks(copy) | dict(marks)).items())[-KEPT_MARKS:]
        copy.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (HISTORY, json.dumps(known)))


def _changed_rows(copy: sqlite3.Connection, shared: SharedTable) -> list[tuple[Any, ...]]:
    return copy.execute(
        f"SELECT {', '.join(shared.columns)} FROM {shared.name} WHERE {shared.key} IN"
        f" (SELECT key FROM changed WHERE place = '{shared.name}') ORDER BY 1"
    ).fetchall()


def put_everything(db: "psycopg.Connection[Any]", copy: sqlite3.Connection, revision: int) -> None:
    """Write all shared rows of a state to the database."""
    for shared in TABLES:
        rows = copy.execute(
            f"SELECT {', '.join(shared.columns)} FROM {shared.name} WHERE {shared.where}"
        ).fetchall()
        if rows:
            _put_rows(db, shared, rows, revision)


# --- rows in PostgreSQL ---


def read_version(db: "psycopg.Connection[Any]") -> Version | None:
    """Return the fleet's present version; None if it has no state yet."""
    row = db.execute("SELECT generation, revision FROM fleet").fetchone()
    return None if row is None else Version(*row)


def put_mark(db: "psycopg.Connection[Any]", revision: int) -> dict[int, str]:
    """Create and return the mark of a revision that is being written."""
    mark = {revision: secrets.token_hex(6)}
    put_marks(db, mark)
    return mark


def put_marks(db: "psycopg.Connection[Any]", marks: Mapping[int, str]) -> None:
    """Write the marks of revisions to the database."""
    db.execute(
        "INSERT INTO history SELECT * FROM unnest(%s::bigint[], %s::text[])"
        " ON CONFLICT (revision) DO UPDATE SET mark = excluded.mark",
        (list(marks), list(marks.values())),
    )


def read_changes(
    db: "psycopg.Connection[Any]", since: Version, known: Mapping[int, str] = MappingProxyType({})
) -> FleetChanges:
    """Return what a copy lacks; call it in a transaction with a consistent snapshot.

    known: marks of the copy's revisions. Raises: StateError if the copy is of another state, or newer than
    this one; DatabaseWentBack.
    """
    now = read_version(db)
    if now is None:
        raise StateError(f"the database holds no state ({SCHEMA}.fleet is empty): see docs/fleet.md")
    if now.generation != since.generation:
        raise StateError(
            "the database holds the state of another fleet; what this gateway knows stays in force. Give it "
            "the right --state, or begin with a new folder"
        )
    query = "SELECT revision, mark FROM history WHERE revision >= %s ORDER BY revision DESC LIMIT %s"
    marks = {int(revision): str(mark) for revision, mark in db.execute(query, (since.revision, KEPT_MARKS))}
    if now.revision < since.revision:
        raise DatabaseWentBack(
            f"the database went back to revision {now.revision}, this gateway knows {since.revision}: an "
            "older back-up was restored, or a replica went on that had not got everything. What this gateway "
            "knows stays in force. See docs/fleet.md, restore"
        )
    mark = known.get(since.revision)
    if mark is not None and mark != _mark_of(db, since.revision):
        raise DatabaseWentBack(
            f"the database went back, and others have changed it since: its revision {since.revision} is not "
            "the one that this gateway knows. What this gateway knows stays in force, and it takes nothing "
            "from there. See docs/fleet.md, failover"
        )
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for shared in TABLES if now.revision > since.revision else ():
        query = f"SELECT {', '.join(shared.columns)} FROM {shared.name} WHERE row_revision > %s ORDER BY 1"
        changed = db.execute(query, (since.revision,)).fetchall()
        rows[shared.name] = [_from_stored(shared, row) for row in changed]
    return FleetChanges(since, now, rows, marks)


def _mark_of(db: "psycopg.Connection[Any]", revision: int) -> str | None:
    row = db.execute("SELECT mark FROM history WHERE revision = %s", (revision,)).fetchone()
    return None if row is None else str(row[0])


def bring_back(db: "psycopg.Connection[Any]", copy: sqlite3.Connection, copied: Version) -> int | None:
    """Write a copy's later changes into a database that went back, if nobody has changed it since.

    In a transaction. Returns the revision that it had gone back to; None if nothing was written.
    """
    row = db.execute("SELECT generation, revision FROM fleet FOR UPDATE").fetchone()
    known = read_marks(copy)
    if row is None or row[0] != copied.generation or row[1] >= copied.revision:
        return None
    if known.get(row[1]) is None or known[row[1]] != _mark_of(db, row[1]):
        return None  # changed since, or too old to be compared
    put_everything(db, copy, copied.revision)
    put_marks(db, {revision: mark for revision, mark in known.items() if revision > row[1]})
    db.execute("UPDATE fleet SET revision = %s", (copied.revision,))
    db.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
    return int(row[1])


def _put_rows(
    db: "psycopg.Connection[Any]", shared: SharedTable, rows: Sequence[tuple[Any, ...]], revision: int
) -> None:
    columns = [list(column) for column in zip(*(_to_stored(shared, row) for row in rows), strict=True)]
    casts = ", ".join(f"%s::{_KINDS[kind]}[]" for kind in shared.kinds)
    names = ", ".join(shared.columns)
    moved = ", ".join(f"{c} = excluded.{c}" for c in (*shared.columns[1:], "row_revision"))
    db.execute(
        f"INSERT INTO {shared.name} ({names}, row_revision) SELECT *, %s FROM unnest({casts})"
        f" ON CONFLICT ({shared.key}) DO UPDATE SET {moved}",
        (revision, *columns),
    )


def _to_stored(shared: SharedTable, row: tuple[Any, ...]) -> tuple[Any, ...]:
    from stillwatch.cases.tables import to_stored  # SQLAlchemy: a worker that reads no such row needs none

    return tuple(
        to_stored(value) if kind == "T" and value is not None else value
        for kind, value in zip(shared.kinds, row, strict=True)
    )


def _from_stored(shared: SharedTable, row: tuple[Any, ...]) -> tuple[Any, ...]:
    from stillwatch.cases.tables import read_back

    return tuple(
        read_back(value) if kind == "T" and value is not None else value
        for kind, value in zip(shared.kinds, row, strict=True)
    )


# --- gateways ---


def read_gateways(db: "psycopg.Connection[Any]") -> list[FleetGateway]:
    """List the gateways by name."""
    rows = db.execute(
        "SELECT name, life, host, revision, terms, extract(epoch FROM clock_timestamp() - seen)::float8"
        " FROM gateways ORDER BY name"
    )
    return [FleetGateway(*row) for row in rows]


def read_clock(db: "psycopg.Connection[Any]") -> float:
    """Return the database's time, in seconds since 1970."""
    row = db.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    assert row is not None
    return float(row[0])


def say_alive(db: "psycopg.Connection[Any]", me: FleetGateway, life_before: str) -> bool:
    """Record what a gateway applies. False if another one of its name is alive.

    life_before: its own, before its restart; the holder of the folder knows that it has ended.
    """
    done = db.execute(
        "INSERT INTO gateways VALUES (%s, %s, %s, %s, %s, clock_timestamp()) ON CONFLICT (name) DO UPDATE SET"
        " life = excluded.life, host = excluded.host, revision = excluded.revision, terms = excluded.terms,"
        " seen = excluded.seen WHERE gateways.life IN (excluded.life, %s)"
        " OR gateways.seen < clock_timestamp() - make_interval(secs => %s)",
        (me.name, me.life, me.host, me.revision, me.terms, life_before, LATE_S),
    )
    return done.rowcount == 1


def leave(db: "psycopg.Connection[Any]", name: str, life: str | None = None) -> bool:
    """Forget a gateway; with `life`, only in that life of it."""
    done = db.execute(
        "DELETE FROM gateways WHERE name = %s AND (%s::text IS NULL OR life = %s)", (name, life, life)
    )
    return bool(done.rowcount)


def behind_in(gateways: Iterable[FleetGateway], revision: int) -> list[str]:
    """Name the gateways that do not apply a revision or a later one, each with its own."""
    return [
        f"gateway {member.name} goes by revision {member.revision}"
        + (f" and gave no sign for {member.silent_s:.0f} s" if member.silent_s > LATE_S else "")
        for member in gateways
        if member.revision < revision
    ]


# --- tables and errors ---


def psycopg_url(url: str) -> str:
    """Convert a database URL to libpq's form."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def make_tables(db: "psycopg.Connection[Any]") -> None:
    """Migrate the tables to the newest shape. Raises: StateError for those of a newer version."""
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        if db.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (SCHEMA,)).fetchone() is None:
            db.execute(f"CREATE SCHEMA {SCHEMA}")
        db.execute("CREATE TABLE IF NOT EXISTS shapes (part TEXT PRIMARY KEY, version BIGINT NOT NULL)")
        row = db.execute("SELECT version FROM shapes WHERE part = 'gateway'").fetchone()
        done = 0 if row is None else int(row[0])
        if done > len(MIGRATIONS):
            raise StateError(
                f"the fleet's state was written by a newer Stillwatch (shape {done}, this one knows "
                f"{len(MIGRATIONS)}); install that version on this host, too"
            )
        for step in MIGRATIONS[done:]:
            step(db)
        db.execute(
            "INSERT INTO shapes VALUES ('gateway', %s)"
            " ON CONFLICT (part) DO UPDATE SET version = excluded.version",
            (len(MIGRATIONS),),
        )


@contextmanager
def refuse_database_errors(url: str) -> Iterator[None]:
    """Convert the database's errors to ours."""
    import psycopg

    try:
        yield
    except psycopg.Error as why:
        state = why.sqlstate or "08"
        if state.startswith(_LOST):
            raise FleetUnreachable(f"{url}: cannot be reached: {one_line(why)}") from why
        if state == "55P03":
            raise StateUnwritable(
                f"{url}: others have written for {SILENT_MS / 1000:.0f} s; try again"
            ) from why
        raise StateError(f"{url}: {one_line(why)}") from why


def one_line(why: object) -> str:
    """Return an error's text on one line."""
    return " ".join(str(why).split())
