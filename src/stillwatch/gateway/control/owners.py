"""`objects.db`: which account owns which object stored at the upstream.

The upstream sees one key for all accounts, so the gateway remembers the maker of each object. A name that is
missing here belongs to nobody. The first account to make an object owns it; only an administrator can
reassign it. Workers and the command line write at the same time, under SQLite's own lock.

Writes do not wait for the disk, but come before the client learns the name: a killed process loses nothing, a
power cut may lose the last moments. Objects whose entry is lost are inaccessible until they are assigned.
While the file cannot be written, a worker keeps its entries in `unwritten_owners`.
"""

import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from stillwatch.errors import StillwatchError
from stillwatch.gateway.control.unwritten_owners import Unwritten, UnwrittenOwners
from stillwatch.sqlite_file import create, use_wal
from stillwatch.units import DAY_US

ASSIGNED = "assigned"  # kind of objects that an administrator assigned: they may be of any kind
MODELS = "models"  # kind of a training job's results
EVERYBODY = ""  # owner of objects that all accounts may use and none may change: no account has this name
PASSING = frozenset(("responses", "completions", "items", "audio", "runs"))  # kinds that upstreams delete
PASSING_US = 40 * DAY_US  # OpenAI keeps responses and completions for 30 days
MOST_OF_ACCOUNT = 1_000_000  # objects; beyond, first those of passing kinds are deleted, then the oldest
TIDY = 10_000  # expired entries are deleted each time so many were added
TIDIED = 20_000  # most rows deleted at once: other writers wait meanwhile
WAIT_S = 0.5  # for another process's write; if that was too short, there is no wait until a write succeeds
FEW_WAITING, AGAIN_S = 100, 0.25  # if more objects wait, the interval between retries; else each call retries
MOST_AT_ONCE = 16  # rows of one statement
MOST_WAITING = 100_000  # objects not written yet
LONGEST_NAME = 512
FORM = 1  # `PRAGMA user_version`; 0 in older files, which have the same tables
# These names are case-sensitive; some upstreams ignore case in a model's name
_ID = re.compile(r"(?:file|batch|resp|thread|asst|vs|conv|run|msg|msgbatch|ftjob|upload|chatcmpl)[-_]\w+")
_TABLE = (
    """CREATE TABLE IF NOT EXISTS objects (
        name TEXT PRIMARY KEY,
        account TEXT NOT NULL,
        kind TEXT NOT NULL,
        made_us INTEGER NOT NULL,
        until_us INTEGER) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS objects_by_account ON objects (account, kind, made_us)",
)


_NOTED = (  # if a fleet shares the owners: changes here, until the others know of them
    """CREATE TABLE IF NOT EXISTS noted (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        account TEXT,                               -- NULL: it is no more
        kind TEXT NOT NULL,
        made_us INTEGER NOT NULL,
        until_us INTEGER)""",
    "CREATE TABLE IF NOT EXISTS taken_up (changed INTEGER NOT NULL, name TEXT NOT NULL, life TEXT NOT NULL)",
    *(
        f"""CREATE TRIGGER IF NOT EXISTS noted_{what} AFTER {what} ON objects BEGIN INSERT INTO noted
            (name, account, kind, made_us, until_us) VALUES
            ({row}.name, {account}, {kind}, {row}.made_us, {row}.until_us); END"""
        for what, row, account, kind in (
            ("INSERT", "NEW", "NEW.account", "NEW.kind"),
            ("UPDATE", "NEW", "NEW.account", f"'{ASSIGNED}'"),
            ("DELETE", "OLD", "NULL", "OLD.kind"),
        )
    ),
)


class OwnersError(StillwatchError):
    """`objects.db` cannot be used."""


@dataclass(frozen=True)
class Object:
    """One object at the upstream. `account` is `EVERYBODY` for objects that all may use."""

    name: str
    account: str
    kind: str  # its collection: "files", "batches", …
    made_us: int
    until_us: int | None  # then it is forgotten


class Owners:
    """The owners of objects, for all workers and across restarts. `path` None: nothing is owned.

    unwritten: a worker's file for what cannot be written to `path` now.
    """

    def __init__(self, path: Path | None, unwritten: Path | None = None) -> None:
        self.path = path
        self._db: sqlite3.Connection | None = None
        self._waiting: dict[str, tuple[str, str, int]] = {}
        self._unwritten: UnwrittenOwners | None = None
        if unwritten is not None:
            with suppress(OSError):  # it cannot be created: only a kill loses what waits in memory
                self._unwritten = UnwrittenOwners(unwritten)
                self._wait_for(self._unwritten.lines())
                self.take_over()
        self._again_s = 0.0  # monotonic; 0: the last write succeeded
        self._added = 0
        self._since_tidy: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._again_s = 0.0
        self.write_waiting()
        if self._db is not None:
            self._db.close()
            self._db = None
        if self._unwritten is not None:
            self._unwritten.close()
            self._unwritten = None

    def owners(self, names: Iterable[str]) -> dict[str, str]:
        """Return the owners of names; names without one are omitted. Raises: OwnersError."""
        owners: dict[str, str] = {}
        for name in names:
            if name in self._waiting:
                owners[name] = self._waiting[name][0]
            elif (known := self.object(name)) is not None:
                owners[name] = known.account
        return owners

    def object(self, name: str) -> Object | None:
        """Return one object. Raises: OwnersError."""
        query = "SELECT name, account, kind, made_us, until_us FROM objects WHERE name = ?"
        try:
            row = self._open().execute(query, (_fit(name),)).fetchone()
        except sqlite3.Error as why:
            raise self._refusal(why) from why
        return None if row is None else Object(*row)

    def model_owner(self, names: Iterable[str]) -> str | None:
        """Return the only account that owns a model, by the first known of its names. Raises: OwnersError.

        Only trained and assigned models count: clients choose the names of other objects.
        """
        for name in names:
            if name in self._waiting:
                account, kind, _ = self._waiting[name]
            elif (known := self.object(name)) is not None:
                account, kind = known.account, known.kind
            else:
                continue
            if kind in (MODELS, ASSIGNED):
                return account
        return None

    def has(self, account: str, kind: str) -> bool:
        """Return whether an account has, or may use, anything of a kind. Raises: OwnersError."""
        if any(waiting[0] == account for waiting in self._waiting.values()):
            return True
        kinds = (kind, ASSIGNED, "built" if kind == "files" else kind)
        with self._refusing():
            row = self._open().execute(
                "SELECT 1 FROM objects WHERE account IN (?, ?) AND kind IN (?, ?, ?) LIMIT 1",
                (account, EVERYBODY, *kinds),
            )
            return row.fetchone() is not None

    def add(
        self, account: str, made: Iterable[tuple[str, str]], now_us: int, *, expected_new: bool = False
    ) -> None:
        """Record (name, kind) of objects that an account made. An existing owner stays.

        Entries that cannot be written now are remembered and retried with the next. `expected_new`: made just
        now; else they are looked up first, which is cheaper than writing and waits for nobody.
        """
        kinds = {_fit(name): kind for name, kind in made if name}
        if not expected_new:
            with suppress(OwnersError):
                for name in self.owners(kinds):
                    del kinds[name]
        new = []
        for name, kind in kinds.items():
            if name not in self._waiting and len(self._waiting) < MOST_WAITING:
                self._waiting[name] = (account, kind, now_us)
                new.append(name)
        if self.write_waiting() and new and self._unwritten is not None:
            with suppress(OSError):  # only a kill loses what stays in memory
                self._unwritten.add(Unwritten(name, account, kinds[name], now_us) for name in new)

    def write_waiting(self) -> int:
        """Write waiting entries; return how many still wait. Also call it each second."""
        is_due = len(self._waiting) <= FEW_WAITING or time.monotonic() >= self._again_s
        if self._waiting and is_due:
            with suppress(OwnersError), self._wait_once():
                self._write_all()
        return len(self._waiting)

    def take_over(self) -> None:
        """Write what ended workers could not write."""
        if self._unwritten is not None:
            with suppress(OSError):  # tried again later
                self._wait_for(self._unwritten.take_over())

    def _wait_for(self, left: Iterable[Unwritten]) -> None:
        for name, account, kind, made_us in left:
            self._waiting.setdefault(name, (account, kind, made_us))

    @contextmanager
    def _wait_once(self) -> Iterator[None]:
        """Wait for others' writes, unless the last write waited in vain. Raises: OwnersError."""
        try:
            with self._refusing():
                self._open().execute(f"PRAGMA busy_timeout = {0 if self._again_s else 1_000 * WAIT_S:.0f}")
            yield
        except OwnersError:
            self._again_s = time.monotonic() + AGAIN_S
            raise
        self._again_s = 0.0

    def _write_all(self) -> None:
        rows = [
            (name, account, kind, at, at + PASSING_US if kind in PASSING else None)
            for name, (account, kind, at) in self._waiting.items()
        ]
        with self._refusing():
            db = self._open()
            if len(rows) <= MOST_AT_ONCE:  # a single statement is its own transaction, at half the cost
                values = ", ".join(["(?, ?, ?, ?, ?)"] * len(rows))
                each = [value for row in rows for value in row]
                db.execute(f"INSERT OR IGNORE INTO objects VALUES {values}", each)
            else:
                db.execute("BEGIN IMMEDIATE")
                try:
                    db.executemany("INSERT OR IGNORE INTO objects VALUES (?, ?, ?, ?, ?)", rows)
                    db.execute("COMMIT")
                finally:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
        now_us = max(row[3] for row in rows)
        self._since_tidy.update(row[1] for row in rows)
        self._waiting.clear()
        if self._unwritten is not None:
            self._unwritten.clear()
        self._added += len(rows)
        if self._added >= TIDY:
            self._added = 0
            with suppress(sqlite3.Error):
                self._tidy(db, now_us)

    def _tidy(self, db: sqlite3.Connection, now_us: int) -> None:
        """Delete expired entries, and those beyond an account's limit."""
        kinds = ", ".join(f"'{kind}'" for kind in sorted(PASSING))
        over = (
            f"SELECT name FROM objects WHERE account = ? AND kind IN ({kinds}) AND made_us < ?"
            " AND until_us IS NOT NULL LIMIT ?"
        )
        accounts, self._since_tidy = self._since_tidy, set()
        for account in accounts:
            db.execute(f"DELETE FROM objects WHERE name IN ({over})", (account, now_us - PASSING_US, TIDIED))
            count = db.execute("SELECT count(*) FROM objects WHERE account = ?", (account,)).fetchone()[0]
            if count > MOST_OF_ACCOUNT:
                oldest = (
                    "SELECT name FROM objects WHERE account = ? ORDER BY until_us IS NULL, made_us LIMIT ?"
                )
                db.execute(
                    f"DELETE FROM objects WHERE name IN ({oldest})",
                    (account, min(count - MOST_OF_ACCOUNT, TIDIED)),
                )

    def forget(self, name: str) -> None:
        """Forget an object that no longer exists. Raises: OwnersError."""
        self._waiting.pop(name, None)
        with self._wait_once(), self._refusing():
            self._open().execute("DELETE FROM objects WHERE name = ?", (_fit(name),))

    def assign(self, name: str, account: str, now_us: int) -> None:
        """Give an object to an account, whoever owned it. Raises: OwnersError."""
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or " " in name:
            raise OwnersError(f"{name[:80]!a} is no object's id; give it as the upstream writes it")
        names = {name} if _ID.fullmatch(name) else {name, name.lower()}
        with self.writing() as db:
            db.executemany(
                "INSERT INTO objects VALUES (?, ?, ?, ?, NULL) ON CONFLICT (name)"
                " DO UPDATE SET account = excluded.account, until_us = NULL",
                [(each, account, ASSIGNED, now_us) for each in sorted(names)],
            )

    def page(self, account: str | None = None, after: str = "", limit: int = 1_000) -> list[Object]:
        """List objects by name, of one account or all, in pages. Raises: OwnersError."""
        with self._refusing():
            rows = self._open().execute(
                "SELECT name, account, kind, made_us, until_us FROM objects"
                " WHERE name > ?1 AND (?2 IS NULL OR account = ?2) ORDER BY name LIMIT ?3",
                (after, account, limit),
            )
            return [Object(*row) for row in rows]

    # --- a fleet ---

    def share(self) -> None:
        """Record changes from now on, for other gateways. Raises: OwnersError."""
        with self.writing() as db:
            if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'noted'").fetchone():
                return
            for statement in _NOTED:
                db.execute(statement)
            db.execute("INSERT INTO taken_up VALUES (0, '', '')")

    def note_all(self, life: str) -> None:
        """Record all objects, for a database that lacks them. Raises: OwnersError."""
        with self.writing() as db:
            db.execute("DELETE FROM noted")
            rows = "SELECT name, account, kind, made_us, until_us FROM objects"
            db.execute(f"INSERT INTO noted (name, account, kind, made_us, until_us) {rows}")
            db.execute("UPDATE taken_up SET changed = 0, name = '', life = ?", (life,))

    def end_sharing(self) -> None:
        """Stop recording changes. Raises: OwnersError."""
        with self.writing() as db:
            for what in (
                "TRIGGER IF EXISTS noted_INSERT",
                "TRIGGER IF EXISTS noted_UPDATE",
                "TRIGGER IF EXISTS noted_DELETE",
                "TABLE IF EXISTS noted",
                "TABLE IF EXISTS taken_up",
            ):
                db.execute(f"DROP {what}")  # fmt: skip

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Open one transaction. Raises: OwnersError."""
        with self._refusing():
            db = self._open()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Return the connection for reading. Raises: OwnersError."""
        with self._refusing():
            yield self._open()

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            if self.path is None:
                raise OwnersError("nothing is remembered here of who made what")
            try:
                create(self.path)
                db = sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
            except (OSError, sqlite3.Error) as why:
                raise self._refusal(why) from why
            try:
                use_wal(db, WAIT_S)
                db.execute("PRAGMA synchronous = NORMAL")
                db.execute("PRAGMA wal_autocheckpoint = 4000")
                _prepare(db, self.path)
            except sqlite3.Error as why:
                db.close()
                raise self._refusal(why) from why
            except OwnersError:
                db.close()
                raise
            self._db = db
        return self._db

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as why:
            raise self._refusal(why) from why

    def _refusal(self, why: Exception) -> OwnersError:
        if "locked" in str(why):
            return OwnersError(f"{self.path}: another process holds it; try again")
        return OwnersError(
            f"{self.path}: cannot be used: {why}; make room or give it back its rights, or put back the last "
            "back-up (delete objects.db-wal and objects.db-shm with it)"
        )


def _fit(name: str) -> str:
    """Return a name that can be stored: no half surrogates, and no longer than any upstream's id."""
    return name[:LONGEST_NAME].encode("utf-8", "replace").decode()


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Create the tables. Raises: OwnersError for those of a newer version."""
    form = int(db.execute("PRAGMA user_version").fetchone()[0])
    if form > FORM:
        raise OwnersError(f"{path}: was written by a newer Stillwatch (form {form}); install that one again")
    for statement in _TABLE:
        db.execute(statement)
    with suppress(sqlite3.Error):  # no room: written at the next opening
        if form < FORM:
            db.execute(f"PRAGMA user_version = {FORM}")
