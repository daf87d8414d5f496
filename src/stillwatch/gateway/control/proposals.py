"""Storage of the ladder's proposals: recorded, approved, dismissed."""

import json
import sqlite3
from typing import Any

from stillwatch.gateway.control.actions import act_within, decided_steps, standings
from stillwatch.gateway.control.ladder import Proposal, ProposalChanges, WantedStep, standing
from stillwatch.gateway.control.migrations import StateError
from stillwatch.gateway.control.state import ControlState, Missing, write_event
from stillwatch.terms import EnforcementStatus, Step

LADDER = "ladder"  # the actor of automatic steps
_PROPOSAL = (
    "SELECT proposal, at_us, campaign, step, rule, why, accounts, due_us, state, decided_us, decided_by,"
    " action FROM proposals"
)


def proposals(
    state: ControlState,
    which: str | None = None,
    *,
    due_us: int | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Proposal]:
    """List proposals, newest first; `which` is open, applied, dismissed or superseded.

    due_us: only those that are automatic and due by then.
    """
    with state.reading() as db:
        rows = db.execute(
            f"{_PROPOSAL} WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR proposal < ?2)"
            " AND (?4 IS NULL OR due_us <= ?4) ORDER BY proposal DESC LIMIT ?3",
            (which, before, limit, due_us),
        )
        return [_proposal(*row) for row in rows]


def proposal(state: ControlState, number: int) -> Proposal:
    """Return one. Raises: Missing."""
    with state.reading() as db:
        return _read_proposal(db, number)


def write_down(state: ControlState, changes: ProposalChanges, *, now_us: int) -> None:
    """Store the ladder's present requests; nothing is written if nothing changed."""
    if not (changes.new or changes.changed or changes.gone):
        return
    with state.writing() as (db, revision):
        for new in changes.new:
            want = new.wanted
            cursor = db.execute(
                "INSERT INTO proposals"
                " (at_us, campaign, step, rule, why, accounts, due_us, state, revision)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 'open', ?)",
                (new.at_us, *_columns(want), revision),
            )
            detail = {
                "step": want.step.name.lower(),
                "accounts": len(want.accounts),
                "campaign": want.campaign,
            }
            detail |= {"rule": want.rule, "why": want.why, "by itself": want.due_us is not None}
            write_event(db, now_us, LADDER, "step proposed", str(cursor.lastrowid), detail)
        for changed in changes.changed:
            db.execute(
                "UPDATE proposals SET campaign = ?, step = ?, rule = ?, why = ?, accounts = ?, due_us = ?,"
                " revision = ? WHERE proposal = ? AND state = 'open'",
                (*_columns(changed.wanted), revision, changed.proposal),
            )
        for gone in changes.gone:
            _decide(db, revision, gone.proposal, "superseded", LADDER, None, now_us)


def apply(
    state: ControlState,
    number: int,
    *,
    who: str,
    why: str = "",
    now_us: int,
    until_us: int | None = None,
    if_revision: int | None = None,
) -> int | None:
    """Take the step of a proposal, and return the action's number; None if nothing is left to do.

    The ladder itself skips accounts that a person decided about meanwhile. Raises: Missing; StateError if the
    proposal is no longer open.
    """
    overruled = overruled_by_people(state) if who == LADDER else {}
    with state.writing(if_revision) as (db, revision):
        stored = _open_one(db, number)
        want = stored.wanted
        set_to = standing(want, secret=state.secret, now_us=now_us, until_us=until_us)
        changes: list[tuple[str, EnforcementStatus]] = []
        for account in want.accounts:
            row = db.execute(
                "SELECT c.step FROM standings s JOIN changes c USING (change) WHERE s.account = ?", (account,)
            ).fetchone()
            if (row is None or row[0] < want.step) and account not in overruled:
                changes.append((account, set_to))
        action = None
        if changes:
            because = why or want.why
            action = act_within(db, revision, changes, who=who, why=because, now_us=now_us, ladder=True)
        _decide(db, revision, number, "applied", who, action, now_us)
        return action


def would_change(state: ControlState, number: int) -> tuple[list[str], Step]:
    """Return the accounts that an open proposal would raise now, and the step. Raises like `apply`."""
    with state.reading() as db:
        want = _open_one(db, number).wanted
    statuses = standings(state, want.accounts)
    return [a for a in want.accounts if a not in statuses or statuses[a].step < want.step], want.step


def dismiss(
    state: ControlState, number: int, *, who: str, why: str, now_us: int, if_revision: int | None = None
) -> None:
    """Close a proposal. The ladder does not request that step for these accounts again."""
    if not why.strip():
        raise StateError("say why: it is what the next reader of the log has")
    with state.writing(if_revision) as (db, revision):
        _open_one(db, number)
        _decide(db, revision, number, "dismissed", who, None, now_us, why)


def overruled_by_people(state: ControlState) -> dict[str, Step]:
    """Return the accounts that a person has decided about, with the strictest step concerned.

    A decision sets a status that is in force, undoes a step of the ladder, or dismisses a proposal.
    """
    steps = decided_steps(state)
    with state.reading() as db:
        for step, accounts in db.execute("SELECT step, accounts FROM proposals WHERE state = 'dismissed'"):
            for account in json.loads(accounts):
                steps[account] = max(steps.get(account, Step.CLEAR), Step(step))
    return steps


def _columns(want: WantedStep) -> tuple[str, int, str, str, str, int | None]:
    return want.campaign, int(want.step), want.rule, want.why, json.dumps(want.accounts), want.due_us


def _proposal(
    number: int,
    at_us: int,
    campaign: str,
    step: int,
    rule: str,
    why: str,
    accounts: str,
    due_us: int | None,
    *rest: Any,
) -> Proposal:
    want = WantedStep(campaign, Step(step), rule, why, tuple(json.loads(accounts)), due_us)
    return Proposal(number, at_us, want, *rest)


def _read_proposal(db: sqlite3.Connection, number: int) -> Proposal:
    row = db.execute(f"{_PROPOSAL} WHERE proposal = ?", (number,)).fetchone()
    if row is None:
        raise Missing(f"there is no proposal {number}; `stillwatch standing proposals` shows them")
    return _proposal(*row)


def _open_one(db: sqlite3.Connection, number: int) -> Proposal:
    stored = _read_proposal(db, number)
    if stored.state != "open":
        raise StateError(f"proposal {number} is {stored.state} already, by {stored.decided_by}")
    return stored


def _decide(
    db: sqlite3.Connection,
    revision: int,
    number: int,
    to: str,
    who: str,
    action: int | None,
    now_us: int,
    why: str = "",
) -> None:
    db.execute(
        "UPDATE proposals SET state = ?, decided_us = ?, decided_by = ?, action = ?, revision = ?"
        " WHERE proposal = ?",
        (to, now_us, who, action, revision, number),
    )
    write_event(db, now_us, who, f"proposal {to}", str(number), {"action": action, "why": why})
