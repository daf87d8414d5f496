"""Exchanges the owners of stored objects between the gateways of a fleet.

A worker writes to and reads `objects.db` as usual, without waiting. Triggers there record changes; this part
sends them to the database and applies those of others. The first entry owns an object, unless an
administrator assigns it.
"""

import sqlite3
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stillwatch.gateway.control.owners import ASSIGNED, Owners
from stillwatch.gateway.fleet.part import FleetPart
from stillwatch.gateway.folder import Folder

if TYPE_CHECKING:
    import psycopg

CHANNEL = "stillwatch_objects"
LOOK_S = 0.05  # between two checks of the recorded changes
AT_ONCE = 5_000  # rows of one transaction
GONE_DAYS = 7  # a gateway that was away longer may know objects that no longer exist
TIDY_S = 3_600.0

# From the time: even in a database that went back no number repeats.
_TICK = """UPDATE objects_clock SET
    value = greatest(value + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) RETURNING value"""
_PUT = """INSERT INTO objects AS o (name, account, kind, made_us, until_us, changed, gone)
    SELECT name, account, kind, made_us, until_us, %s, CASE WHEN account IS NULL THEN now() END
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[])
        AS n (name, account, kind, made_us, until_us)
    ON CONFLICT (name) DO UPDATE SET changed = excluded.changed"""
_FIRST_WINS = _PUT + "".join(
    f", {column} = CASE WHEN o.account IS NULL THEN excluded.{column} ELSE o.{column} END"
    for column in ("account", "kind", "made_us", "until_us", "gone")
)
_LAST_WINS = _PUT + "".join(
    f", {column} = excluded.{column}" for column in ("account", "kind", "made_us", "until_us", "gone")
)


class ObjectExchange(FleetPart):
    """One gateway's part of the exchange."""

    name = "fleet-objects"
    channel = CHANNEL

    def __init__(self, folder: Folder, url: str, tell: Callable[[str], None]) -> None:
        super().__init__(url, tell)
        self._owners = Owners(folder.objects)
        self._owners.share()
        self._tidied_s: float | None = None
        self._timeline: tuple[object, str] | None = None  # and the connection that it was read on

    def step(self, db: "psycopg.Connection[Any]") -> float:
        """Send recorded changes, apply others' changes. Raises: OwnersError."""
        self._see_life(db)
        while self._put(db):
            pass
        while self._take_up(db):
            pass
        if self._tidied_s is None or time.monotonic() - self._tidied_s > TIDY_S:
            self._tidied_s = time.monotonic()
            db.execute("DELETE FROM objects WHERE gone < now() - make_interval(days => %s)", (GONE_DAYS,))
        return LOOK_S

    def end(self, db: "psycopg.Connection[Any]") -> None:
        self._put(db)
        self._owners.close()

    def _see_life(self, db: "psycopg.Connection[Any]") -> None:
        """Send everything again if the database is new, went back, or continues on another server."""
        row = db.execute("SELECT value, life FROM objects_clock").fetchone()
        assert row is not None
        if self._timeline is None or self._timeline[0] is not db:
            self._timeline = (db, _read_timeline(db))
        with self._owners.reading() as local:
            changed, life = local.execute("SELECT changed, life FROM taken_up").fetchone()
        now = f"{row[1]}@{self._timeline[1]}"
        if changed > row[0] or life not in (now, row[1]):  # without a timeline: of earlier versions
            self._owners.note_all(now)
        elif life != now:
            with self._owners.writing() as local:
                local.execute("UPDATE taken_up SET life = ?", (now,))

    def _put(self, db: "psycopg.Connection[Any]") -> bool:
        """Send recorded changes to the database; return whether there may be more."""
        with self._owners.reading() as local:
            query = "SELECT number, name, account, kind, made_us, until_us FROM noted ORDER BY number LIMIT ?"
            noted = local.execute(query, (AT_ONCE,)).fetchall()
        if not noted:
            return False
        last = {row[1]: row[1:] for row in noted}  # the last of several about one object
        made = [row for row in last.values() if row[1] is not None and row[2] != ASSIGNED]
        forced = [row for row in last.values() if row[1] is None or row[2] == ASSIGNED]
        with db.transaction():
            clock = db.execute(_TICK).fetchone()
            assert clock is not None
            for statement, rows in ((_FIRST_WINS, made), (_LAST_WINS, forced)):
                if rows:
                    columns = [list(column) for column in zip(*rows, strict=True)]
                    db.execute(statement, (clock[0], *columns))
            db.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
        with self._owners.writing() as local:  # if interrupted, they are sent again, without effect
            local.execute("DELETE FROM noted WHERE number <= ?", (noted[-1][0],))
        return len(noted) == AT_ONCE

    def _take_up(self, db: "psycopg.Connection[Any]") -> bool:
        """Apply others' changes from the database; return whether there may be more."""
        with self._owners.reading() as local:
            at = local.execute("SELECT changed, name FROM taken_up").fetchone()
        rows = db.execute(
            "SELECT name, account, kind, made_us, until_us, changed FROM objects"
            " WHERE (changed, name) > (%s, %s) ORDER BY changed, name LIMIT %s",
            (*at, AT_ONCE),
        ).fetchall()
        if not rows:
            return False
        with self._owners.writing() as local:
            _write(local, rows)
        return len(rows) == AT_ONCE


def _read_timeline(db: "psycopg.Connection[Any]") -> str:
    """Return the server's timeline: each replica that becomes the primary starts a new one."""
    import psycopg

    try:
        row = db.execute("SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)").fetchone()
    except psycopg.OperationalError:
        raise
    except psycopg.Error:  # a hosted database that does not reveal it
        return ""
    return "" if row is None else str(row[0])


def _write(local: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
    """Write rows as they are in the database, without recording them as changed here."""
    before = local.execute("SELECT coalesce(max(number), 0) FROM noted").fetchone()[0]
    local.executemany(
        "DELETE FROM objects WHERE name = ?", [(name,) for name, account, *_ in rows if account is None]
    )
    local.executemany(
        "INSERT INTO objects VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
        " account = excluded.account, kind = excluded.kind, made_us = excluded.made_us,"
        " until_us = excluded.until_us",
        [row[:5] for row in rows if row[1] is not None],
    )
    local.execute("DELETE FROM noted WHERE number > ?", (before,))
    local.execute("UPDATE taken_up SET changed = ?, name = ?", (rows[-1][5], rows[-1][0]))
