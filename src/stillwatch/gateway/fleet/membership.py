"""How a gateway's folder joins a fleet, becomes a full copy of its state, and leaves.

The first gateway contributes its state. A folder with its own keys or enforcement statuses cannot join a
fleet that has a state: nothing is mixed and nothing is lost.
"""

import sqlite3
from collections.abc import Callable
from typing import Any

from stillwatch.gateway.control.mark import Version
from stillwatch.gateway.control.migrations import MIGRATIONS, StateError
from stillwatch.gateway.control.state import FLEET, ControlState
from stillwatch.gateway.fleet.database import (
    LOCK,
    LONG_ANSWER_S,
    DatabaseWentBack,
    FleetDatabase,
    FleetUnreachable,
    add_marks,
    bring_back,
    make_tables,
    put_everything,
    put_mark,
    put_marks,
    read_changes,
    read_marks,
    take_up,
    watch_changes,
)
from stillwatch.gateway.folder import derive

LEFT = "left_fleet"  # in `meta`: the revision at which a copy became a separate state
_OWN = "SELECT (SELECT count(*) FROM keys) + (SELECT count(*) FROM changes)"


def join(state: ControlState, url: str) -> str | None:
    """Make a folder's state the fleet's, or a copy of it. Returns a warning, if any.

    Raises: StateError if it cannot join. A folder that is already a member starts with its own copy if the
    database is away.
    """
    database = FleetDatabase(url)
    try:
        with database.connect(patient=True, answer_s=LONG_ANSWER_S) as db:
            make_tables(db)
            with db.transaction():
                db.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))  # of two that start a fleet, one does
                fleet = db.execute("SELECT generation, revision, shape, secret FROM fleet").fetchone()
                _check(fleet, state)
                with state.rewriting() as (copy, version):
                    if fleet is None:
                        _bring_along(db, copy, version, _secret_digest(state))
                    else:
                        _become_copy(db, copy, version, str(fleet[0]), url)
                    copy.execute("DELETE FROM meta WHERE name = ?", (LEFT,))
                    copy.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (FLEET, url))
        state.reopen()
        catch_up(state)
    except FleetUnreachable as why:
        if state.fleet is None:
            raise StateError(f"{why}; a gateway joins a fleet only while its database is there") from why
        if state.is_older:
            raise StateError(
                f"{why}; and {state.path} was put here from elsewhere: it may not know which keys were "
                "revoked since. Start when the database is there"
            ) from why
        return _begins_with(state, why)
    except DatabaseWentBack as why:
        return _begins_with(state, why)
    return None


def _begins_with(state: ControlState, why: StateError) -> str:
    return f"{why}; begins with revision {state.revision()} of keys and enforcement statuses"


def leave_fleet(state: ControlState) -> bool:
    """Make a copy a separate state again. Returns whether it was a copy."""
    if state.fleet is None:
        return False
    with state.rewriting() as (copy, version):
        copy.execute("DELETE FROM meta WHERE name = ?", (FLEET,))
        copy.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (LEFT, version.revision))
    state.reopen()
    return True


def catch_up(state: ControlState, db: Any = None, tell: Callable[[str], None] = lambda _: None) -> bool:
    """Read others' changes, on a new connection or the given one. Returns whether there were any.

    A database that lost its last changes, and was not changed since, is given them again from here; `tell`
    reports it. Raises: StateError, FleetUnreachable; the present state stays.
    """
    if state.fleet is None:
        return False
    if db is None:
        with state.fleet.connect() as opened:
            return catch_up(state, opened, tell)
    while True:
        since = state.version()
        with state.reading() as copy:
            known = read_marks(copy)
        try:
            with db.transaction():
                db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                changes = read_changes(db, since, known)
        except DatabaseWentBack:
            if (lost := _bring_back(state, db)) is None:
                raise
            tell(f"fleet: the database had lost what came after revision {lost}; it has it again from here")
            continue
        if changes.version == since:
            return False
        if state.take_up(changes):
            return True


def _bring_back(state: ControlState, db: Any) -> int | None:
    """Restore this copy to a database that went back. It makes no change of its own: others may know more."""
    before_s, db.answer_s = db.answer_s, LONG_ANSWER_S
    try:
        with db.transaction():
            db.execute("SELECT 1 FROM fleet FOR UPDATE")  # lock order as in writers: fleet, then copy
            version = state.version()
            with state.reading() as copy:
                return bring_back(db, copy, version)
    finally:
        db.answer_s = before_s


def _check(fleet: tuple[Any, ...] | None, state: ControlState) -> None:
    """Refuse a fleet whose state cannot be this folder's."""
    if fleet is None:
        return
    if fleet[2] != len(MIGRATIONS):
        raise StateError(
            f"the fleet's state has shape {fleet[2]}, this version has {len(MIGRATIONS)}: see docs/fleet.md, "
            "upgrade"
        )
    if fleet[3] != _secret_digest(state):
        raise StateError(
            f"{state.path.parent}: its secret is not the fleet's: copy the file `secret` from the folder of "
            "another gateway, before its first start"
        )


def _secret_digest(state: ControlState) -> str:
    return derive(state.secret, b"fleet").hex()


def _bring_along(db: Any, copy: sqlite3.Connection, version: Version, secret: str) -> None:
    """Start a fleet with the state of this gateway."""
    row = (version.generation, version.revision, len(MIGRATIONS), secret)
    db.execute("INSERT INTO fleet VALUES (%s, %s, %s, %s)", row)
    put_marks(db, read_marks(copy))  # of a fleet that was started again: others know these marks
    if version.revision not in read_marks(copy):
        add_marks(copy, put_mark(db, version.revision))
    put_everything(db, copy, version.revision)


def _become_copy(db: Any, copy: sqlite3.Connection, own: Version, generation: str, url: str) -> None:
    """Copy the fleet's state if this folder has none; else it must be the fleet's already."""
    left = copy.execute("SELECT value FROM meta WHERE name = ?", (LEFT,)).fetchone()
    if left is not None and left[0] != own.revision:
        raise StateError(
            f"this folder left the fleet at revision {left[0]} and was changed since, up to {own.revision}: "
            "move state.db away to take the fleet's state, and do there what is to stay"
        )
    if own.generation != generation:
        if copy.execute(_OWN).fetchone()[0]:
            raise StateError(
                f"this folder has keys or enforcement statuses of its own, and the fleet at {url} has a "
                "state already: move state.db away to take the fleet's, and issue those keys there"
            )
        copy.execute("DELETE FROM meta WHERE name NOT IN ('revision', 'generation')")
        for table in ("proposals", "hold_schedules", "accounts"):
            copy.execute(f"DELETE FROM {table}")
        _forget_events(copy)
        copy.execute("UPDATE meta SET value = -1 WHERE name = 'revision'")
        copy.execute("UPDATE meta SET value = ? WHERE name = 'generation'", (generation,))
        if copy.execute("SELECT 1 FROM temp.sqlite_master WHERE name = 'changed'").fetchone() is None:
            watch_changes(copy)
        take_up(copy, read_changes(db, Version(generation, -1)))


def _forget_events(copy: sqlite3.Connection) -> None:
    """Delete the events of an unused state, which a trigger protects against deletion by mistake."""
    made = copy.execute("SELECT sql FROM sqlite_master WHERE name = 'events_stay'").fetchone()[0]
    copy.execute("DROP TRIGGER events_stay")
    copy.execute("DELETE FROM events")
    copy.execute(made)
