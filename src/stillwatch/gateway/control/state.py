"""`state.db`: keys, enforcement statuses and their authors. The only module that writes to it.

SQLite in WAL mode with full synchronisation: acknowledged changes are on the disk. The supervisor with its
admin port, and each command of the command line, open it once, and write in short transactions under SQLite's
own lock; nothing is cached, so they need no coordination. A process opens it once, and only by `sqlite_file`,
which explains why. The file at the path counts: a process that has another one open switches to it, and a
copy that was put back starts a new generation, with an event that records it. Workers use `tables`.
"""

import json
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from stillwatch.errors import refuse_os_errors
from stillwatch.gateway.control import keys
from stillwatch.gateway.control.mark import OLD_LOG, DatabaseMark, Version, read_mark, write_mark
from stillwatch.gateway.control.migrations import StateError, StateUnwritable, migrate
from stillwatch.gateway.fleet.database import FleetChanges, FleetDatabase, FleetTurn, take_up, watch_changes
from stillwatch.gateway.folder import Folder
from stillwatch.sqlite_file import FileId, Keeper, create, database_ids, fold_log, use_wal
from stillwatch.units import utc_us

BUSY_S = 5.0  # a writer's longest wait for others in all, however many wait with it
FLEET_BUSY_S = 1.0  # the same while it holds the fleet's turn: all other gateways wait for that
AGAIN_S = 0.02  # between two attempts; readers of this process proceed meanwhile
LONGEST_NAME = 200
_UNFIT = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"  # controls, line breaks, changes of direction
NAME_PATTERN = rf"^[^\s{_UNFIT}]([^{_UNFIT}]*[^\s{_UNFIT}])?$"  # of everything that people are shown later
_NAME = re.compile(NAME_PATTERN)
ADMIN_TOKEN, METRICS_TOKEN = "admin_token", "metrics_token"
GENERATION, PUT_BACK, FLEET, LIFE = "generation", "put_back", "fleet", "life"  # names in `meta`
_DAMAGED = (
    "{path}: cannot be used: {why}; stop `stillwatch serve`, put back the last back-up of state.db (delete "
    "state.db-wal and state.db-shm with it), or move it away to begin with no keys and standings"
)
_HELD = "{path}: another process has held it for {s:.0f} s; try again"
_FLEETS_ALONE = (
    "{path}: takes nothing now ({why}), but the change is written in the fleet's database: it is in force at "
    "the other gateways, and here as soon as this file takes it. Do not do it again"
)
_OVERWRITTEN = (
    "{path}: went back from revision {seen} to {now}: another file was written over it while it was in use; "
    "stop `stillwatch serve`, put a whole copy in its place, start again"
)


class Stale(StateError):
    """Somebody else changed it since the caller read it."""


class Missing(StateError):
    """There is no such key, action or proposal."""


@dataclass(frozen=True)
class ClientKey:
    """A client key as an administrator sees it: without its secret part."""

    key_id: str
    account: str
    org: str | None
    issued_us: int
    expires_us: int | None
    revoked_us: int | None
    replaces: str | None


@dataclass(frozen=True)
class ControlEvent:
    event: int
    at_us: int
    who: str
    what: str
    subject: str
    detail: dict[str, Any]


@dataclass(frozen=True)
class PutBack:
    """A copy of the state replaced it."""

    at_us: int
    revision: int  # of the copy
    known_revision: int  # that the state had had, as far as known
    last_us: int | None  # time of the copy's last event


class ControlState:
    """A process's one handle on `state.db`. Thread-safe; close it at the end.

    Raises: StateError if the file cannot be used.
    """

    def __init__(self, path: Path, secret: bytes | None = None) -> None:
        self.path = path
        self._secret = secret
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._keeper: Keeper | None = None
        self._ids: tuple[FileId | None, ...] = ()  # of the open files
        self._seen = 0  # revision
        self.fleet: FleetDatabase | None = None  # that this is a copy of; None: of none
        self.is_older = False  # an older file may have replaced the fleet's copy
        self._open()

    @property
    def secret(self) -> bytes:
        """Return the folder's secret, read when first needed."""
        if self._secret is None:
            self._secret = Folder(self.path.parent).secret()
        return self._secret

    def close(self) -> None:
        with self._lock:
            with suppress(StateError):
                if self._db is not None and self._ids == self._files():  # else the log is another's
                    fold_log(self._db)
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the file ---

    def _open(self) -> sqlite3.Connection:
        mark = read_mark(self.path)
        if mark is not None and mark.old_log:
            raise StateError(OLD_LOG.format(path=self.path))
        try:
            create(self.path)
            db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as why:
            raise StateError(f"{self.path}: cannot be opened: {why}") from why
        self._db = db
        try:
            use_wal(db, BUSY_S)
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA foreign_keys = ON")
            migrate(db, self.path)
            self._keeper = Keeper(self.path)
            self._ids = self._files()
            url = _meta(db, FLEET)
            if url is not None and (self.fleet is None or self.fleet.url != url):
                self.fleet = FleetDatabase(str(url))
            if self.fleet is not None:
                watch_changes(db)  # a copy put back here lacks some changes, and fetches them
                self.is_older = not _is_known(db, read_mark(self.path))
            elif not _is_known(db, read_mark(self.path)):
                self._note_copy(db)
            self._seen = _revision(db)
        except sqlite3.Error as why:
            self._close()
            raise _refusal(self.path, why) from why
        except BaseException:
            self._close()
            raise
        return db

    def reopen(self) -> None:
        """Reopen the file, as it may have become another's copy. Raises: StateError."""
        with self._lock:
            self._close()
            self.fleet = None
            self._open()

    def _files(self) -> tuple[FileId | None, ...]:
        """Return the ids of the files at the path now. Raises: StateError if that is unknown."""
        with refuse_os_errors(StateError, f"{self.path}: cannot be reached"):
            return database_ids(self.path)

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
        if self._keeper is not None:
            self._keeper.close()
        self._db, self._keeper, self._ids = None, None, ()

    def _open_current(self) -> sqlite3.Connection:
        """Return the connection to the file at the path now. Raises: StateError if there is none."""
        now = self._files()
        if self._db is not None and now == self._ids:
            return self._db
        if now[0] is None:
            raise StateError(
                f"{self.path}: is gone; put it back, or stop `stillwatch serve` and start it anew"
            )
        if self._db is not None and now[0] == self._ids[0] and now[1] is None:
            with suppress(sqlite3.Error):  # saves what only the deleted log holds
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._close()
        return self._open()

    def _note_copy(self, db: sqlite3.Connection) -> None:
        """If this is not the database that the mark names, start a new generation and record it."""
        with self._transaction(db, "BEGIN IMMEDIATE"):
            mark = read_mark(self.path)  # under the lock: another process may have done it
            if _is_known(db, mark):
                return
            generation, revision = _meta(db, GENERATION), _revision(db)
            event = _last_event(db)
            if mark is None and (generation is None or revision == 0):  # new, or older than marks
                now = Version(generation or secrets.token_hex(8), revision)
            else:
                mark = mark or DatabaseMark(Version("", revision), event, intact=False, old_log=False)
                now = Version(secrets.token_hex(8), max(revision, mark.version.revision) + 1)
                event = self._write_put_back(db, now, revision, mark, event)
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (GENERATION, now.generation))
            db.execute("UPDATE meta SET value = ? WHERE name = 'revision'", (now.revision,))
            write_mark(self.path, now, event)  # before others may look: they would record the copy once more
            db.execute("COMMIT")

    def _write_put_back(
        self, db: sqlite3.Connection, now: Version, revision: int, mark: DatabaseMark, event: int
    ) -> int:
        """Record that a copy was put back; return the event's number, one never used before."""
        last_us = db.execute("SELECT max(at_us) FROM events").fetchone()[0]
        now_us, number = utc_us(), max(event, mark.event) + 1
        detail = {"revision": revision, "known_revision": mark.version.revision, "last_us": last_us}
        db.execute(
            "INSERT INTO events (event, at_us, who, what, subject, detail) VALUES (?, ?, ?, ?, ?, ?)",
            (number, now_us, "stillwatch", "state put back", now.generation, json.dumps(detail)),
        )
        db.execute(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", (PUT_BACK, json.dumps({"at_us": now_us, **detail}))
        )
        return number

    # --- transactions ---

    @contextmanager
    def _transaction(self, db: sqlite3.Connection, begin: str | None) -> Iterator[None]:
        """Always end the transaction. `begin` None: it has begun already."""
        try:
            if begin is not None:
                db.execute(begin)
            yield
        except sqlite3.Error as why:
            raise _refusal(self.path, why) from why
        finally:
            if db.in_transaction:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")

    @contextmanager
    def _alone(self, patience_s: float = BUSY_S) -> Iterator[sqlite3.Connection]:
        """Hold the connection with SQLite's write lock. While it waits for the lock, others may read.

        Raises: StateUnwritable if others hold it for so long.
        """
        until_s = time.monotonic() + patience_s
        while True:
            with self._lock:
                db = self._open_current()
                if self._begins(db):
                    with self._transaction(db, None):
                        yield db
                    return
                if time.monotonic() >= until_s:
                    raise StateUnwritable(_HELD.format(path=self.path, s=patience_s))
            time.sleep(AGAIN_S)

    def _begins(self, db: sqlite3.Connection) -> bool:
        """Begin a write transaction; False if another process has one."""
        try:
            db.execute("PRAGMA busy_timeout = 0")
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as why:
            if _is_held(why):
                return False
            raise _refusal(self.path, why) from why
        finally:
            db.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000:.0f}")
        return True

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Open the connection for reading a consistent snapshot."""
        with self._lock:
            db = self._open_current()
            with self._transaction(db, "BEGIN"):
                yield db

    @contextmanager
    def writing(self, if_revision: int | None = None) -> Iterator[tuple[sqlite3.Connection, int]]:
        """Open one transaction, with the revision for its rows.

        Raises: Stale if `if_revision` is not the present one; StateError if it cannot be written, or was
        written to a file that is no longer at the path; FleetUnreachable.
        """
        with ExitStack() as ends:
            turn = None if self.fleet is None else ends.enter_context(self.fleet.turn())
            # after the turn, which may take long
            with self._alone(BUSY_S if turn is None else FLEET_BUSY_S) as db:
                now = self._current_revision(db, turn)
                if if_revision is not None and if_revision != now:
                    raise Stale(f"this was asked for at revision {if_revision}, it is {now} now: look again")
                db.execute("UPDATE meta SET value = ? WHERE name = 'revision'", (now + 1,))
                yield db, now + 1
                version, event = Version(str(_meta(db, GENERATION)), now + 1), _last_event(db)
                if turn is not None:
                    turn.put(db, version.revision)
                    turn.commit()  # first: else a change only in the copy would be in force here alone
                try:
                    db.execute("COMMIT")
                except sqlite3.Error as why:
                    if turn is None:
                        raise
                    raise StateUnwritable(_FLEETS_ALONE.format(path=self.path, why=why)) from why
                if self._files() != self._ids:
                    raise StateError(
                        f"{self.path}: was replaced while this was written, so it may be lost; do it again"
                    )
                self._seen = version.revision
                write_mark(self.path, version, event)

    def _current_revision(self, db: sqlite3.Connection, turn: FleetTurn | None) -> int:
        """Return the revision that a change starts from; in a fleet others' changes are applied first."""
        if turn is not None:
            take_up(db, turn.changes(db, _version(db)))
        elif self.fleet is not None or _meta(db, FLEET) is not None:
            raise StateError(f"{self.path}: became a fleet's, or another's, in this moment; do it again")
        elif _revision(db) < self._seen:
            raise StateError(_OVERWRITTEN.format(path=self.path, seen=self._seen, now=_revision(db)))
        return _revision(db)

    def take_up(self, changes: FleetChanges) -> bool:
        """Apply other gateways' changes to this copy; False if it is another one by now."""
        with self.rewriting() as (db, version):
            if version != changes.since:
                return False
            take_up(db, changes)
        return True

    @contextmanager
    def rewriting(self) -> Iterator[tuple[sqlite3.Connection, Version]]:
        """Open the connection to make or update a copy of a state, without a change of its own."""
        with self._alone() as db:
            yield db, _version(db)
            version, event = _version(db), _last_event(db)
            db.execute("COMMIT")
            self._seen = version.revision
            write_mark(self.path, version, event)

    def revision(self) -> int:
        """Return the number of the last change."""
        with self.reading() as db:
            return _revision(db)

    def version(self) -> Version:
        """Return the present version, which up-to-date workers apply."""
        with self.reading() as db:
            return _version(db)

    def begin_life(self) -> tuple[str, str]:
        """Create a random name for this start of the gateway; return it and the previous one."""
        life = secrets.token_hex(8)
        with self.rewriting() as (db, _):
            before = str(_meta(db, LIFE) or life)
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (LIFE, life))
        return life, before

    def put_back(self) -> PutBack | None:
        """Return when a copy last replaced the state; None: never."""
        with self.reading() as db:
            stored = _meta(db, PUT_BACK)
        return None if stored is None else PutBack(**json.loads(stored))

    # --- keys ---

    def issue(
        self,
        account: str,
        org: str | None = None,
        expires_us: int | None = None,
        *,
        now_us: int,
        who: str = "owner",
        if_revision: int | None = None,
    ) -> str:
        """Create a key for an account, and the account if needed. The key is returned only here."""
        check_name(account, "account")
        if org is not None:
            check_name(org, "org")
        if expires_us is not None and expires_us <= now_us:
            raise StateError("the key would have expired before it was issued; give a later time")
        with self.writing(if_revision) as (db, revision):
            _account(db, account, org, now_us, revision)
            key, key_id = self._insert(db, account, expires_us, None, now_us, revision)
            write_event(db, now_us, who, "key issued", key_id, {"account": account, "expires_us": expires_us})
        return key

    def revoke(self, key_id: str, *, now_us: int, who: str = "owner", if_revision: int | None = None) -> None:
        """Revoke a key now. Repeating it is no error."""
        with self.writing(if_revision) as (db, revision):
            key = _key(db, key_id)
            if key.revoked_us is None:
                db.execute(
                    "UPDATE keys SET revoked_us = ?, revision = ? WHERE key_id = ?",
                    (now_us, revision, key_id),
                )
                write_event(db, now_us, who, "key revoked", key_id, {"account": key.account})

    def rotate(
        self,
        key_id: str,
        overlap_us: int,
        *,
        now_us: int,
        who: str = "owner",
        expires_us: int | None = None,
        if_revision: int | None = None,
    ) -> str:
        """Issue a key to replace another, which keeps working for `overlap_us` and then ends."""
        with self.writing(if_revision) as (db, revision):
            old = _key(db, key_id)
            if old.revoked_us is not None or (old.expires_us is not None and old.expires_us <= now_us):
                raise StateError(f"key {key_id} has ended already; issue a new one to {old.account}")
            end = min(now_us + overlap_us, old.expires_us or now_us + overlap_us)
            db.execute(
                "UPDATE keys SET expires_us = ?, revision = ? WHERE key_id = ?", (end, revision, key_id)
            )
            key, new_id = self._insert(db, old.account, expires_us, key_id, now_us, revision)
            detail = {"account": old.account, "replaces": key_id, "old_ends_us": end}
            write_event(db, now_us, who, "key rotated", new_id, detail)
        return key

    def _insert(
        self,
        db: sqlite3.Connection,
        account: str,
        expires_us: int | None,
        replaces: str | None,
        now_us: int,
        revision: int,
    ) -> tuple[str, str]:
        key, key_id, part = keys.new_key()
        while db.execute("SELECT 1 FROM keys WHERE key_id = ?", (key_id,)).fetchone():
            key, key_id, part = keys.new_key()
        db.execute(
            "INSERT INTO keys (key_id, digest, account, issued_us, expires_us, replaces, revision)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (key_id, keys.digest(part, self.secret), account, now_us, expires_us, replaces, revision),
        )
        return key, key_id

    def key(self, key_id: str) -> ClientKey:
        """Return one key. Raises: Missing."""
        with self.reading() as db:
            return _key(db, key_id)

    def keys(self, account: str | None = None, after: str = "", limit: int = 1_000) -> list[ClientKey]:
        """List keys by id, of one account or all, in pages."""
        with self.reading() as db:
            rows = db.execute(
                f"{_KEYS} WHERE key_id > ?1 AND (?2 IS NULL OR account = ?2) ORDER BY key_id LIMIT ?3",
                (after, account, limit),
            )
            return [ClientKey(*row) for row in rows]

    def accounts(self) -> list[tuple[str, str | None, int]]:
        """List every account that has had a key: name, organisation, time of creation."""
        with self.reading() as db:
            return list(db.execute("SELECT account, org, created_us FROM accounts ORDER BY number"))

    # --- the admin token ---

    def admin_token(self, *, now_us: int, renew: bool = False, who: str = "owner") -> str | None:
        """Create the admin token, returned only here; None if one exists and is not to be renewed."""
        with self.reading() as db:
            if not renew and _meta(db, ADMIN_TOKEN) is not None:
                return None  # without a turn: a gateway also starts while its fleet's database is away
        with self.writing() as (db, _):
            if not renew and _meta(db, ADMIN_TOKEN) is not None:
                return None
            return self._put_token(db, ADMIN_TOKEN, keys.ADMIN_PREFIX, "admin token made", who, now_us)

    def metrics_token(self, *, now_us: int, who: str = "owner") -> str:
        """Create a token that only reads `/metrics`, returned only here; the old one stops working."""
        with self.writing() as (db, _):
            return self._put_token(db, METRICS_TOKEN, keys.METRICS_PREFIX, "metrics token made", who, now_us)

    def _put_token(
        self, db: sqlite3.Connection, name: str, prefix: str, what: str, who: str, now_us: int
    ) -> str:
        token = keys.new_token(prefix)
        digest = keys.admin_digest(token, self.secret)
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, digest))
        write_event(db, now_us, who, what, "", {})
        return token

    def may_read_metrics(self, token: str) -> bool:
        """Return whether this is the token for metrics, or the admin token."""
        with self.reading() as db:
            digest = _meta(db, METRICS_TOKEN)
        is_right = isinstance(digest, bytes) and keys.same(digest, keys.admin_digest(token, self.secret))
        return is_right or self.is_admin(token)

    def is_admin(self, token: str) -> bool:
        """Return whether this is the admin token."""
        with self.reading() as db:
            digest = _meta(db, ADMIN_TOKEN)
        return isinstance(digest, bytes) and keys.same(digest, keys.admin_digest(token, self.secret))

    # --- events ---

    def event(self, who: str, what: str, subject: str, detail: dict[str, Any], *, now_us: int) -> None:
        """Record an event."""
        with self.writing() as (db, _):
            write_event(db, now_us, who, what, subject, detail)

    def events(self, before: int | None = None, limit: int = 100) -> list[ControlEvent]:
        """List events, newest first."""
        with self.reading() as db:
            query = f"{_EVENTS} WHERE ?1 IS NULL OR event < ?1 ORDER BY event DESC LIMIT ?2"
            rows = db.execute(query, (before, limit))
            return [_event(*row) for row in rows]

    def last_detail(self, what: str, subject: str) -> dict[str, Any]:
        """Return the detail of the latest event of this kind and subject; empty if there was none."""
        with self.reading() as db:
            query = f"{_EVENTS} WHERE what = ? AND subject = ? ORDER BY event DESC LIMIT 1"
            row = db.execute(query, (what, subject)).fetchone()
        return {} if row is None else _event(*row).detail

    def events_after(self, event: int, limit: int) -> list[ControlEvent]:
        """List later events, oldest first."""
        with self.reading() as db:
            rows = db.execute(f"{_EVENTS} WHERE event > ? ORDER BY event LIMIT ?", (event, limit))
            return [_event(*row) for row in rows]


_KEYS = (
    "SELECT key_id, account, org, issued_us, expires_us, revoked_us, replaces"
    " FROM keys JOIN accounts USING (account)"
)


_EVENTS = "SELECT event, at_us, who, what, subject, detail FROM events"


def _event(number: int, at_us: int, who: str, what: str, subject: str, detail: str) -> ControlEvent:
    return ControlEvent(number, at_us, who, what, subject, json.loads(detail))


def write_event(
    db: sqlite3.Connection, at_us: int, who: str, what: str, subject: str, detail: dict[str, Any]
) -> None:
    """Append an event, in the transaction that it describes."""
    text = json.dumps(detail, sort_keys=True)
    db.execute(
        "INSERT INTO events (at_us, who, what, subject, detail) VALUES (?, ?, ?, ?, ?)",
        (at_us, who, what, subject, text),
    )


def check_name(name: str, what: str) -> None:
    """Refuse a name that cannot be shown or stored unchanged. Raises: StateError."""
    if not name or len(name) > LONGEST_NAME:
        raise StateError(f"{what} has {len(name)} characters; give 1 to {LONGEST_NAME}")
    if not _NAME.fullmatch(name) or any("\ud800" <= c <= "\udfff" for c in name):
        raise StateError(f"{what} {name!a}: no control characters, and no blank at either end")


def _is_held(why: sqlite3.Error) -> bool:
    return "locked" in str(why) or "busy" in str(why)


def _refusal(path: Path, why: sqlite3.Error) -> StateError:
    text = str(why)
    if _is_held(why):
        return StateUnwritable(_HELD.format(path=path, s=BUSY_S))
    if "full" in text or "readonly" in text or "I/O" in text or "unable to open" in text:
        return StateUnwritable(f"{path}: cannot be written: {text}; make room or give it back its rights")
    if "malformed" in text or "not a database" in text:
        return StateError(_DAMAGED.format(path=path, why=text))
    return StateError(f"{path}: {text}")


def _meta(db: sqlite3.Connection, name: str) -> Any:
    row = db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def _revision(db: sqlite3.Connection) -> int:
    return int(_meta(db, "revision"))


def _version(db: sqlite3.Connection) -> Version:
    return Version(str(_meta(db, GENERATION)), _revision(db))


def _last_event(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(event), 0) FROM events").fetchone()[0])


def _is_known(db: sqlite3.Connection, mark: DatabaseMark | None) -> bool:
    """Return whether this is the database that the mark names, no older than it was then."""
    return (
        mark is not None
        and mark.intact
        and mark.version.generation == _meta(db, GENERATION)
        and mark.version.revision <= _revision(db)
    )


def _account(db: sqlite3.Connection, account: str, org: str | None, now_us: int, revision: int) -> None:
    row = db.execute("SELECT org FROM accounts WHERE account = ?", (account,)).fetchone()
    if row is None:
        db.execute(
            "INSERT INTO accounts (number, account, org, created_us)"
            " SELECT coalesce(max(number) + 1, 0), ?, ?, ? FROM accounts",
            (account, org, now_us),
        )
    elif org is not None and row[0] is None:
        db.execute("UPDATE accounts SET org = ? WHERE account = ?", (org, account))
        db.execute("UPDATE keys SET revision = ? WHERE account = ?", (revision, account))
    elif org is not None and row[0] != org:
        raise StateError(f"account {account} belongs to {row[0]}, not to {org}")


def _key(db: sqlite3.Connection, key_id: str) -> ClientKey:
    row = db.execute(f"{_KEYS} WHERE key_id = ?", (key_id,)).fetchone()
    if row is None:
        raise Missing(f"there is no key {key_id!a}; `stillwatch key list` shows them all")
    return ClientKey(*row)
