"""The storage of cases: SQLite or PostgreSQL by URL.

Every change is one transaction, which includes its record on the audit trail. Writers take turns, and each
change sets the case's revision to the number of its transaction: writers name the revision they saw.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import copy
from pathlib import Path
from typing import Any, Protocol, Self

from sqlalchemy import Connection, Engine, create_engine, event, select, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from stillwatch.cases import (
    Case,
    CaseError,
    DatabaseUnreachable,
    RecordNotFound,
    StaleRevision,
    tables,
)
from stillwatch.cases.migrations import MIGRATIONS, migrate
from stillwatch.errors import refuse_os_errors
from stillwatch.sqlite_file import Keeper, create, database_ids, use_wal

BUSY_MS = 10_000
PAGE = 100
CASE_FIELDS = [name for name in Case.__dataclass_fields__ if name != "accounts"]  # columns of the same names
Personal = Mapping[str, Mapping[str, Any]]  # person -> details about them
_URLS = "give sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"


class Trail(Protocol):
    """Records what was done and seen: `audit.Audit` is one."""

    def append(
        self,
        db: Connection,
        who: str,
        what: str,
        subject: str,
        detail: Mapping[str, Any],
        now_us: int,
        personal: Personal | None = None,
    ) -> object:
        """Add a record, in the transaction that it describes.

        detail: JSON that stays forever, so no names and no free text; personal: what can be erased later, by
        person (an account, or a case for text about it as a whole).
        """


class Transaction:
    """One change in progress: it reads the present state, and happens completely or not at all."""

    def __init__(
        self, db: Connection, now_us: int, revision: int, trail: Trail | None, mark: Mapping[str, str]
    ) -> None:
        self.db = db
        self.now_us = now_us
        self.revision = revision  # for the rows it changes
        self.changed = False
        self._trail = trail
        self.mark = mark

    def audit(
        self, who: str, what: str, subject: str, detail: Mapping[str, Any], personal: Personal | None = None
    ) -> None:
        """Record that `who` did or saw something; this also makes the transaction count as a change."""
        self.changed = True
        if self._trail is not None:
            self._trail.append(self.db, who, what, subject, {**detail, **self.mark}, self.now_us, personal)


class Store:
    """The cases of one deployment. Thread-safe; other processes may write at the same time.

    trail: the audit trail; may be set before the first change. Raises: CaseError if it cannot be opened.
    """

    def __init__(self, url: str, trail: Trail | None = None) -> None:
        self.url = check_url(url)
        self.trail = trail
        self.engine = _engine(self.url)
        self._file: _SqliteFiles | None = None
        self.mark: Mapping[str, str] = {}
        with ExitStack() as undo, self._refusals():
            undo.callback(self.engine.dispose)
            migrate(self.engine, "cases", MIGRATIONS)
            if self.url.get_backend_name() == "sqlite":
                self._file = _SqliteFiles(Path(str(self.url.database)))
            undo.pop_all()

    def close(self) -> None:
        self.engine.dispose()
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def with_mark(self, mark: Mapping[str, str]) -> Self:
        """Return the same store with this detail added to all its records on the trail: how somebody acts."""
        other = copy(self)
        other.mark = mark
        return other

    @property
    def name(self) -> str:
        """Return the URL without a password, for people."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection to a snapshot of the state."""
        with self._refusals(), self.engine.connect() as db:
            if self._file is not None:
                self._file.check()
            yield db

    @contextmanager
    def writing(
        self, now_us: int, *, case: str | None = None, if_revision: int | None = None
    ) -> Iterator[Transaction]:
        """Open a transaction; others wait for its end. One without a record leaves no trace.

        Raises: RecordNotFound if there is no such case; StaleRevision if it is not at `if_revision`.
        """
        with self._refusals(), self.engine.connect().execution_options(writes=True) as db, db.begin():
            if self._file is not None:
                self._file.check()
            lock = select(tables.meta.c.value).where(tables.meta.c.name == "revision").with_for_update()
            before = db.execute(lock).scalar_one()
            if case is not None:
                check_revision(db, case, if_revision)
            transaction = Transaction(db, now_us, before + 1, self.trail, self.mark)
            yield transaction
            if not transaction.changed:
                db.rollback()
                return
            meta = tables.meta
            db.execute(update(meta).where(meta.c.name == "revision").values(value=before + 1))
        if self._file is not None:
            self._file.check()

    def look(
        self,
        who: str,
        what: str,
        subject: str,
        detail: Mapping[str, Any],
        now_us: int,
        personal: Personal | None = None,
    ) -> None:
        """Record that a person views content, before it is shown."""
        with self.writing(now_us) as transaction:
            transaction.audit(who, what, subject, detail, personal)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as why:
            raise _refusal(self.name, why) from why

    # --- cases ---

    def revision(self) -> int:
        """Return the number of the last change."""
        with self.reading() as db:
            return int(db.execute(select(tables.meta.c.value)).scalar_one())

    def installation(self) -> str:
        """Return the id of these cases: random, and the same for everybody who opens them."""
        with self.reading() as db:
            return str(db.execute(select(tables.installation.c.id)).scalar_one())

    def case(self, case: str, *, accounts: bool = True) -> Case:
        """Return one case, with all its accounts or without. Raises: RecordNotFound."""
        with self.reading() as db:
            return case_in(db, case, accounts=accounts)


def case_in(db: Connection, case: str, *, accounts: bool = True) -> Case:
    """Return a case as a transaction sees it. Raises: RecordNotFound."""
    c, m = tables.cases.c, tables.members.c
    row = db.execute(select(*(c[name] for name in CASE_FIELDS)).where(c.id == case)).mappings().first()
    if row is None:
        raise _no_case(case)
    names: tuple[str, ...] = ()
    if accounts:
        own_members = select(m.account).where(m.case_id == case, m.home.is_not(None)).order_by(m.key)
        names = tuple(db.execute(own_members).scalars())
    return case_of_row(row, names)


def case_of_row(row: Mapping[Any, Any], accounts: tuple[str, ...]) -> Case:
    return tables.record_of(Case, row, accounts=accounts)


def check_revision(db: Connection, case: str, if_revision: int | None) -> None:
    """Refuse a case that has changed since the given revision. Raises: RecordNotFound, StaleRevision."""
    revision = db.execute(select(tables.cases.c.revision).where(tables.cases.c.id == case)).scalar()
    if revision is None:
        raise _no_case(case)
    if if_revision is not None and if_revision != revision:
        raise StaleRevision(
            f"case {case} was seen at revision {if_revision}, it is at {revision} now: look again"
        )


def _no_case(case: str) -> RecordNotFound:
    return RecordNotFound(f"there is no case {case!a}; `stillwatch case list` shows them")


# --- engines ---


def check_url(url: str) -> URL:
    """Parse a database URL without opening it. Raises: CaseError for one that cannot hold cases."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is not a number
        raise CaseError(f"{url!a} is no database URL; {_URLS}") from None
    if parsed.get_backend_name() == "postgresql" and parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise CaseError(f"cases cannot be kept in {parsed.drivername!a}; {_URLS}")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise CaseError("cases in memory would be lost at once; give sqlite:///PATH")
    return parsed


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        try:
            # SQLAlchemy's own default, made explicit: a writer waits for the row that all writers lock
            return create_engine(url, isolation_level="READ COMMITTED", pool_pre_ping=True)
        except (ImportError, NoSuchModuleError) as why:
            raise CaseError(f"PostgreSQL needs psycopg: pip install 'stillwatch[postgres]' ({why})") from why
    path = Path(str(url.database))
    with refuse_os_errors(CaseError, f"{path}: cannot be opened"):
        path.parent.mkdir(mode=0o700, exist_ok=True)  # one level only: a mistyped path creates no tree
        create(path)
    engine = create_engine(url, connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # `begun` decides when, not the driver
        use_wal(connection, BUSY_MS / 1000)
        for pragma in ("synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(db: Connection) -> None:
        writes = db.get_execution_options().get("writes", False)
        db.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


class _SqliteFiles:
    """The files of an open SQLite database, and the reader that preserves its log (see `sqlite_file`)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._keeper = Keeper(path)
        except sqlite3.Error as why:
            raise CaseError(f"{path}: cannot be opened: {why}") from why
        self._ids = database_ids(path)

    def check(self) -> None:
        """Refuse to continue with files that were replaced at the path. Raises: DatabaseUnreachable."""
        if database_ids(self._path) != self._ids:
            raise DatabaseUnreachable(
                f"{self._path}: it, or its -wal or -shm, was replaced or removed while it was open; "
                "what was written last may be lost: start this process anew, and look"
            )

    def close(self) -> None:
        self._keeper.close()


def _refusal(name: str, why: DBAPIError) -> DatabaseUnreachable:
    """Return advice for a person; never the statement, whose parameters may hold names."""
    text = " ".join(str(why.orig).split())
    if "locked" in text or "busy" in text:
        return DatabaseUnreachable(
            f"{name}: another process has held it for {BUSY_MS / 1000:.0f} s; try again"
        )
    if any(word in text for word in ("full", "readonly", "I/O", "unable to open")):
        return DatabaseUnreachable(f"{name}: cannot be written: {text}; make room or give it back its rights")
    if "malformed" in text or "not a database" in text:
        return DatabaseUnreachable(f"{name}: is damaged: {text}; put the last back-up in its place")
    if why.connection_invalidated or "connect" in text:
        return DatabaseUnreachable(f"{name}: cannot be reached: {text}")
    return DatabaseUnreachable(f"{name}: {text}")
