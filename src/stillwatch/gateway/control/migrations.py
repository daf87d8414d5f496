"""The migrations of `state.db`: functions that run in order, once each.

`PRAGMA user_version` is the number of those that have run. Only append: a released function is never changed.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from stillwatch.errors import StillwatchError


class StateError(StillwatchError):
    """`state.db` cannot be used, or a request to it cannot be fulfilled."""


class StateUnwritable(StateError):
    """It cannot be written now: the disk is full, read-only or broken, or somebody else holds it."""


def m001_keys_standings_proposals(db: sqlite3.Connection) -> None:
    """Create accounts and their keys; enforcement statuses with every change; proposals; events."""
    for statement in (
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
        "INSERT INTO meta VALUES ('revision', 0)",
        """CREATE TABLE accounts (
            number INTEGER PRIMARY KEY,             -- dense from 0, never used again
            account TEXT NOT NULL UNIQUE,
            org TEXT,
            created_us INTEGER NOT NULL)""",
        """CREATE TABLE keys (
            key_id TEXT PRIMARY KEY,
            digest BLOB NOT NULL,
            account TEXT NOT NULL REFERENCES accounts (account),
            issued_us INTEGER NOT NULL,
            expires_us INTEGER,
            revoked_us INTEGER,
            replaces TEXT,                          -- the key this one was rotated from
            revision INTEGER NOT NULL) WITHOUT ROWID""",
        "CREATE INDEX keys_by_revision ON keys (revision)",
        "CREATE INDEX keys_by_account ON keys (account)",
        # One action changes one or many accounts; each has a change. An account's status is its last change
        # that is neither undone nor over, so an undo restores exactly the one below.
        """CREATE TABLE actions (
            action INTEGER PRIMARY KEY,
            at_us INTEGER NOT NULL,
            who TEXT NOT NULL,
            why TEXT NOT NULL,
            undoes INTEGER REFERENCES actions (action),
            root INTEGER NOT NULL,                  -- the action this undoes or brings back, or itself
            ladder INTEGER NOT NULL,                -- 1: what the ladder asked for, by itself or approved
            revision INTEGER NOT NULL)""",
        "CREATE INDEX actions_by_root ON actions (root)",
        """CREATE TABLE changes (
            change INTEGER PRIMARY KEY,
            action INTEGER NOT NULL REFERENCES actions (action),
            account TEXT NOT NULL,
            step INTEGER NOT NULL,
            since_us INTEGER NOT NULL,
            until_us INTEGER,
            reason TEXT NOT NULL,
            campaign TEXT,
            output_tokens_per_hour INTEGER,
            mark TEXT,
            in_force INTEGER NOT NULL DEFAULT 1,    -- 0: undone
            over INTEGER NOT NULL DEFAULT 0)""",  # 1: `until_us` has passed
        "CREATE INDEX changes_by_account ON changes (account, change)",
        "CREATE INDEX changes_by_action ON changes (action)",
        "CREATE INDEX changes_by_end ON changes (until_us) WHERE over = 0 AND until_us IS NOT NULL",
        """CREATE TABLE standings (                  -- what the changes come to now: for the workers
            account TEXT PRIMARY KEY,
            change INTEGER REFERENCES changes (change),  -- NULL: none, the account is clear
            revision INTEGER NOT NULL) WITHOUT ROWID""",
        "CREATE INDEX standings_by_revision ON standings (revision)",
        """CREATE TABLE proposals (
            proposal INTEGER PRIMARY KEY,
            at_us INTEGER NOT NULL,
            campaign TEXT NOT NULL,
            step INTEGER NOT NULL,
            rule TEXT NOT NULL,                     -- of the terms' ladder
            why TEXT NOT NULL,
            accounts TEXT NOT NULL,                 -- JSON
            due_us INTEGER,                         -- done by itself then; NULL: waits for a person
            state TEXT NOT NULL,                    -- open, applied, dismissed, superseded
            decided_us INTEGER,
            decided_by TEXT,
            action INTEGER REFERENCES actions (action),
            revision INTEGER NOT NULL)""",
        "CREATE INDEX proposals_by_state ON proposals (state, proposal)",
        "CREATE INDEX proposals_by_campaign ON proposals (campaign, proposal)",
        """CREATE TABLE events (
            event INTEGER PRIMARY KEY,
            at_us INTEGER NOT NULL,
            who TEXT NOT NULL,
            what TEXT NOT NULL,
            subject TEXT NOT NULL,
            detail TEXT NOT NULL)""",
        """CREATE TRIGGER events_only_grow BEFORE UPDATE ON events
            BEGIN SELECT RAISE(ABORT, 'events are never changed'); END""",
        """CREATE TRIGGER events_stay BEFORE DELETE ON events
            BEGIN SELECT RAISE(ABORT, 'events are never taken out'); END""",
    ):
        db.execute(statement)


def m002_holds(db: sqlite3.Connection) -> None:
    """Create randomised holds: each candidate's schedule, and its key."""
    for statement in (
        """CREATE TABLE holds (
            number INTEGER PRIMARY KEY,
            candidate TEXT NOT NULL,
            accounts TEXT NOT NULL,                 -- JSON, in the order of their names
            start_us INTEGER NOT NULL,
            days INTEGER NOT NULL,
            block_minutes INTEGER NOT NULL,
            blocks_per_window INTEGER NOT NULL,
            key BLOB NOT NULL,                      -- of this candidate alone
            begun_us INTEGER NOT NULL,
            ended_us INTEGER,
            why_ended TEXT,
            revision INTEGER NOT NULL)""",
        "CREATE INDEX holds_by_revision ON holds (revision)",
    ):
        db.execute(statement)


def m003_draws_for_each_block(db: sqlite3.Connection) -> None:
    """Draw holds per account and block. Schedules of the earlier draw end."""
    now_us = "CAST(strftime('%s', 'now') AS INTEGER) * 1000000"
    why = "a newer version draws otherwise"
    runs = "why_ended IS NULL"
    if db.execute(f"SELECT 1 FROM holds WHERE {runs}").fetchone():
        for statement in (
            "UPDATE meta SET value = value + 1 WHERE name = 'revision'",
            f"""INSERT INTO events (at_us, who, what, subject, detail)
                SELECT {now_us}, 'stillwatch', 'holds ended', number, '{{"why": "{why}"}}' FROM holds
                WHERE {runs} ORDER BY number""",
            f"""UPDATE holds SET ended_us = {now_us}, why_ended = '{why}',
                revision = (SELECT value FROM meta WHERE name = 'revision') WHERE {runs}""",
        ):
            db.execute(statement)
    for statement in (
        """CREATE TABLE hold_schedules (
            number INTEGER PRIMARY KEY,
            candidate TEXT NOT NULL,
            accounts TEXT NOT NULL,                 -- JSON: from when on each may be held
            start_us INTEGER NOT NULL,
            days INTEGER NOT NULL,
            block_minutes INTEGER NOT NULL,
            one_block_in INTEGER NOT NULL,
            key BLOB NOT NULL,                      -- of this candidate alone
            begun_us INTEGER NOT NULL,
            ended_us INTEGER,
            why_ended TEXT,
            denser_one_block_in INTEGER,            -- once its holds show that work moves
            denser_from_us INTEGER,
            revision INTEGER NOT NULL)""",
        "CREATE INDEX hold_schedules_by_revision ON hold_schedules (revision)",
    ):
        db.execute(statement)


MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = [
    m001_keys_standings_proposals,
    m002_holds,
    m003_draws_for_each_block,
]


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Migrate a database to the newest shape, each step whole or not at all.

    Raises: StateError for one that a newer version wrote.
    """
    if _version(db) == len(MIGRATIONS):
        return  # the usual case needs no lock
    while True:
        db.execute("BEGIN IMMEDIATE")  # of two simultaneous starts, the second waits, then finds it done
        try:
            done = _version(db)
            if done > len(MIGRATIONS):
                raise StateError(
                    f"{path}: written by a newer Stillwatch (shape {done}, this one knows "
                    f"{len(MIGRATIONS)}); install that version again, or restore the back-up made before it"
                )
            if done == len(MIGRATIONS):
                db.execute("ROLLBACK")
                return
            MIGRATIONS[done](db)
            db.execute(f"PRAGMA user_version = {done + 1}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])
