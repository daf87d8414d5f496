"""Enforcement statuses and their changes: by actions, each of which can be undone, and by time.

An action puts one change on top of the earlier ones of each of its accounts. In force is the topmost change
that is neither undone nor over, so an undo, or an end, restores exactly the one below, whatever came between.
An undo is an action too and can itself be undone. Nothing is ever deleted: the changes are the history.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple, dataclass

from stillwatch.gateway.control.migrations import StateError
from stillwatch.gateway.control.state import ControlState, Missing, check_name, write_event
from stillwatch.terms import EnforcementStatus, Step

MOST_ACCOUNTS = 100_000  # of one action; the largest published campaign had 25,000 (Anthropic, 2026-02)
_CHANGE = "c.step, c.since_us, c.reason, c.campaign, c.output_tokens_per_hour, c.until_us, c.mark"


@dataclass(frozen=True)
class Change:
    """One account's enforcement status, as one action set it."""

    change: int
    action: int
    at_us: int
    who: str
    why: str
    account: str
    standing: EnforcementStatus
    undone: bool
    over: bool  # ended by time


@dataclass(frozen=True)
class Action:
    """One action, and the number of its accounts."""

    action: int
    at_us: int
    who: str
    why: str
    undoes: int | None
    accounts: int
    in_force: bool


def act(
    state: ControlState,
    changes: Sequence[tuple[str, EnforcementStatus]],
    *,
    who: str,
    why: str,
    now_us: int,
    if_revision: int | None = None,
) -> int:
    """Set statuses, all or none, and return the action's number. CLEAR lifts an earlier status."""
    _check(changes, why, now_us)
    with state.writing(if_revision) as (db, revision):
        return act_within(db, revision, changes, who=who, why=why, now_us=now_us)


def act_within(
    db: sqlite3.Connection,
    revision: int,
    changes: Sequence[tuple[str, EnforcementStatus]],
    *,
    who: str,
    why: str,
    now_us: int,
    ladder: bool = False,
) -> int:
    """Set statuses within a larger transaction. `ladder`: on the ladder's request."""
    action = _action(db, revision, who, why, None, now_us, ladder=ladder)
    db.executemany(
        "INSERT INTO changes (action, account, step, since_us, reason, campaign, output_tokens_per_hour,"
        " until_us, mark) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(action, account, *astuple(standing)) for account, standing in changes],
    )
    _settle(db, revision, [account for account, _ in changes])
    steps = sorted({s.step.name.lower() for _, s in changes})
    campaigns = sorted({s.campaign for _, s in changes if s.campaign})
    detail = {"accounts": len(changes), "steps": steps, "campaigns": campaigns, "why": why}
    write_event(db, now_us, who, "standings set", str(action), detail)
    return action


def undo(
    state: ControlState, action: int, *, who: str, why: str, now_us: int, if_revision: int | None = None
) -> int:
    """Undo an action, or an undo, and return the number of the undoing action.

    Raises: Missing; StateError if it is already undone.
    """
    with state.writing(if_revision) as (db, revision):
        row = db.execute("SELECT root FROM actions WHERE action = ?", (action,)).fetchone()
        if row is None:
            raise Missing(f"there is no action {action}; `stillwatch standing log` shows them")
        root = row[0]
        newest = db.execute("SELECT max(action) FROM actions WHERE root = ?", (root,)).fetchone()[0]
        if newest != action:
            raise StateError(f"action {action} is undone already, by action {newest}; undo {newest} instead")
        number = _action(db, revision, who, why, action, now_us, root)
        in_force = db.execute("SELECT count(*) % 2 FROM actions WHERE root = ?", (root,)).fetchone()[0]
        db.execute("UPDATE changes SET in_force = ? WHERE action = ?", (in_force, root))
        accounts = [a for (a,) in db.execute("SELECT account FROM changes WHERE action = ?", (root,))]
        _settle(db, revision, accounts)
        detail = {"accounts": len(accounts), "in_force": bool(in_force), "why": why}
        write_event(db, now_us, who, "action undone", str(action), detail)
        return number


def end_what_is_over(state: ControlState, *, now_us: int) -> int:
    """End changes that have reached their end; those below are in force again. Return how many ended."""
    due = "over = 0 AND until_us IS NOT NULL AND until_us <= ?"
    return _set_over(state, 1, due, "standings ended", now_us)


def resume_what_is_not_over(state: ControlState, *, now_us: int) -> int:
    """Resume changes that a clock set ahead has ended, until their end. Return how many.

    It reads every change: for use at a start, and after a clock went back.
    """
    return _set_over(state, 0, "over = 1 AND until_us > ?", "standings resumed", now_us)


def _set_over(state: ControlState, over: int, where: str, what: str, now_us: int) -> int:
    query = f"SELECT change, account FROM changes WHERE {where}"
    with state.reading() as db:
        if db.execute(f"{query} LIMIT 1", (now_us,)).fetchone() is None:
            return 0
    with state.writing() as (db, revision):
        found = db.execute(query, (now_us,)).fetchall()
        db.executemany(
            "UPDATE changes SET over = ? WHERE change = ?", [(over, change) for change, _ in found]
        )
        accounts = sorted({account for _, account in found})
        _settle(db, revision, accounts)
        write_event(db, now_us, "stillwatch", what, "", {"accounts": len(accounts)})
        return len(found)


def standings(
    state: ControlState,
    accounts: Iterable[str] | None = None,
    *,
    step: Step | None = None,
    campaign: str | None = None,
    after: str = "",
    limit: int = 1_000,
) -> dict[str, EnforcementStatus]:
    """Return the statuses in force, by account; accounts that are clear are omitted."""
    where = " FROM standings s JOIN changes c USING (change) WHERE c.step > 0"
    with state.reading() as db:
        if accounts is not None:
            statuses: dict[str, EnforcementStatus] = {}
            for account in accounts:
                row = db.execute(f"SELECT {_CHANGE}{where} AND s.account = ?", (account,)).fetchone()
                if row is not None:
                    statuses[account] = EnforcementStatus(Step(row[0]), *row[1:])
            return statuses
        rows = db.execute(
            f"SELECT s.account, {_CHANGE}{where} AND s.account > ?1 AND (?2 IS NULL OR c.step = ?2)"
            " AND (?3 IS NULL OR c.campaign = ?3) ORDER BY s.account LIMIT ?4",
            (after, None if step is None else int(step), campaign, limit),
        )
        return {row[0]: EnforcementStatus(Step(row[1]), *row[2:]) for row in rows}


def by_step(state: ControlState) -> dict[Step, int]:
    """Count the accounts on each step but clear."""
    with state.reading() as db:
        rows = db.execute(
            "SELECT c.step, count(*) FROM standings s JOIN changes c USING (change)"
            " WHERE c.step > 0 GROUP BY 1"
        )
        counts = dict(rows.fetchall())
    return {step: counts.get(int(step), 0) for step in Step if step}


def history(
    state: ControlState, account: str | None = None, *, before: int | None = None, limit: int = 100
) -> list[Change]:
    """List changes, of one account or all, newest first."""
    with state.reading() as db:
        rows = db.execute(
            f"SELECT c.change, c.action, a.at_us, a.who, a.why, c.account, NOT c.in_force, c.over, {_CHANGE}"
            " FROM changes c JOIN actions a USING (action)"
            " WHERE (?1 IS NULL OR c.account = ?1) AND (?2 IS NULL OR c.change < ?2)"
            " ORDER BY c.change DESC LIMIT ?3",
            (account, before, limit),
        )
        return [
            Change(*(*row[:6], EnforcementStatus(Step(row[8]), *row[9:]), bool(row[6]), bool(row[7])))
            for row in rows
        ]


def authors(state: ControlState, accounts: Collection[str]) -> dict[str, str]:
    """Return who has ever set a step on some of the accounts, with the action; not who lifted one."""
    with state.reading() as db:
        rows = db.execute(
            "SELECT a.who, max(a.action) FROM changes c JOIN actions a USING (action)"
            " WHERE c.step > 0 AND c.account IN (SELECT value FROM json_each(?)) GROUP BY a.who",
            (json.dumps(list(accounts), ensure_ascii=False),),
        )
        return {who: f"set action {action}" for who, action in rows}


def actions(state: ControlState, *, before: int | None = None, limit: int = 100) -> list[Action]:
    """List actions, newest first."""
    with state.reading() as db:
        rows = db.execute(
            "SELECT action, at_us, who, why, undoes,"
            " (SELECT count(*) FROM changes c WHERE c.action = a.root),"
            " (SELECT max(in_force) FROM changes c WHERE c.action = a.root)"
            " FROM actions a WHERE ?1 IS NULL OR action < ?1 ORDER BY action DESC LIMIT ?2",
            (before, limit),
        )
        return [Action(*(*row[:-1], bool(row[-1]))) for row in rows]


def decided_steps(state: ControlState) -> dict[str, Step]:
    """Return the accounts that a person has decided about, with the strictest step set or undone.

    These are statuses in force that a person set, and steps of the ladder that a person undid.
    """
    with state.reading() as db:
        rows = db.execute(
            "SELECT account, max(step) FROM ("
            " SELECT s.account, c.step FROM standings s JOIN changes c USING (change)"
            " JOIN actions a USING (action) WHERE a.ladder = 0"
            " UNION ALL SELECT c.account, c.step FROM changes c JOIN actions a USING (action)"
            " WHERE a.ladder = 1 AND c.in_force = 0) GROUP BY account"
        )
        return {account: Step(step) for account, step in rows}


def accounts_of(state: ControlState, action: int) -> list[str]:
    """List the accounts of an action, or of the action that it undoes. Raises: Missing."""
    with state.reading() as db:
        rows = db.execute(
            "SELECT account FROM changes JOIN actions a ON changes.action = a.root WHERE a.action = ?"
            " ORDER BY account",
            (action,),
        ).fetchall()
    if not rows:
        raise Missing(f"there is no action {action}; `stillwatch standing log` shows them")
    return [account for (account,) in rows]


def _action(
    db: sqlite3.Connection,
    revision: int,
    who: str,
    why: str,
    undoes: int | None,
    now_us: int,
    root: int | None = None,
    ladder: bool = False,
) -> int:
    number = int(db.execute("SELECT coalesce(max(action), 0) + 1 FROM actions").fetchone()[0])
    db.execute(
        "INSERT INTO actions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (number, now_us, who, why, undoes, number if root is None else root, ladder, revision),
    )
    return number


def _settle(db: sqlite3.Connection, revision: int, accounts: Sequence[str]) -> None:
    """Store the statuses that result from the changes of these accounts."""
    db.executemany(
        "INSERT OR REPLACE INTO standings SELECT ?1, (SELECT max(change) FROM changes"
        " WHERE account = ?1 AND in_force = 1 AND over = 0), ?2",
        [(account, revision) for account in accounts],
    )


def _check(changes: Sequence[tuple[str, EnforcementStatus]], why: str, now_us: int) -> None:
    if not changes:
        raise StateError("no account was given; name at least one")
    if len(changes) > MOST_ACCOUNTS:
        raise StateError(f"{len(changes)} accounts in one action; give at most {MOST_ACCOUNTS}")
    if not why.strip():
        raise StateError("say why: it is what the next reader of the log has")
    if len({account for account, _ in changes}) != len(changes):
        raise StateError("an account is named twice in one action")
    for account, standing in changes:
        check_name(account, "account")
        if standing.until_us is not None and standing.until_us <= now_us:
            raise StateError(f"{account}: it would end before it begins; give a later end")
        budget = standing.output_tokens_per_hour
        if budget is not None and budget < 0:
            raise StateError(f"{account}: a budget of {budget} tokens an hour; give 0 or more")
