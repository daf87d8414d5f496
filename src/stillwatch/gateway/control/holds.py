"""Randomised holds: schedules started and ended under the policy, each recorded before it takes effect.

A schedule's key and times are fixed when it starts, and its accounts when they join. Workers only look up
whether an account is held now; nothing else is stored, so every hold can be recomputed from this table.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from stillwatch.errors import InputError
from stillwatch.gateway.control.state import ControlState, write_event
from stillwatch.gateway.folder import derive
from stillwatch.terms import Terms
from stillwatch.terms.holds import (
    HoldCandidate,
    HoldSchedule,
    candidate_of_schedule,
    choose,
    draw_denser,
    draw_longer,
    join,
    joining,
    plan,
    running_cost,
    why_over,
)
from stillwatch.units import DAY_US

PURPOSE = b"holds"
WHO = "stillwatch"
REST_US = 30 * DAY_US  # an account is in no other schedule for this long
COLUMNS = (
    "candidate, accounts, start_us, days, block_minutes, one_block_in, key, ended_us, denser_one_block_in,"
    " denser_from_us"
)


@dataclass(frozen=True)
class HoldRecord:
    """One candidate's schedule, as recorded."""

    number: int
    begun_us: int  # when it was recorded: before its start
    schedule: HoldSchedule
    why_ended: str | None  # None: not ended


def schedule_of(
    candidate: str,
    accounts: str,
    start_us: int,
    days: int,
    block_minutes: int,
    one_block_in: int,
    key: bytes,
    ended_us: int | None,
    denser_one_block_in: int | None,
    denser_from_us: int | None,
) -> HoldSchedule:
    """Return a schedule from the columns of its row."""
    begin_us = {account: int(at_us) for account, at_us in json.loads(accounts).items()}
    return HoldSchedule(
        candidate,
        begin_us,
        start_us,
        days,
        block_minutes,
        one_block_in,
        bytes(key),
        ended_us,
        denser_one_block_in,
        denser_from_us,
    )


def all_held(state: ControlState) -> list[HoldRecord]:
    """List every schedule so far, oldest first, for recomputing a test."""
    with state.reading() as db:
        rows = db.execute(
            f"SELECT number, begun_us, why_ended, {COLUMNS} FROM hold_schedules ORDER BY number"
        )
        return [
            HoldRecord(number, begun_us, schedule_of(*rest), why_ended)
            for number, begun_us, why_ended, *rest in rows
        ]


def schedules_in(path: Path, since_us: int = 0) -> tuple[HoldSchedule, ...]:
    """Return every schedule in a state file, oldest first; none if there is no such file.

    since_us: omits those that ended earlier, as there are thousands a year. The file is opened read-only: the
    detector and scans of a folder, or of a copy of it, use this. Raises: InputError if it cannot be read.
    """
    if not path.exists():
        return ()
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'hold_schedules'").fetchone():
                return ()  # of a version without such holds
            late = "ended_us IS NULL OR ended_us >= ?"
            query = f"SELECT {COLUMNS} FROM hold_schedules WHERE {late} ORDER BY number"
            rows = db.execute(query, (since_us,)).fetchall()
    except sqlite3.Error as why:
        raise InputError(f"{path}: its schedules of holds cannot be read: {why}") from why
    return tuple(schedule_of(*row) for row in rows)


def end(state: ControlState, number: int, why: str, *, now_us: int, who: str = WHO) -> None:
    """End a schedule now. One that has ended is left unchanged."""
    with state.writing() as (db, revision):
        changed = db.execute(
            "UPDATE hold_schedules SET ended_us = ?, why_ended = ?, revision = ?"
            " WHERE number = ? AND why_ended IS NULL",
            (now_us, why, revision, number),
        )
        if changed.rowcount:
            write_event(db, now_us, who, "holds ended", str(number), {"why": why})


def follow(
    state: ControlState,
    terms: Terms,
    candidates: Iterable[HoldCandidate],
    orgs: Mapping[str, str | None],
    *,
    now_us: int,
    tell: Callable[[str], None],
) -> None:
    """End schedules that the policy or the detector no longer wants, and start those that they do.

    `candidates`: all present ones; schedules of others end. `orgs`: of known accounts.
    """
    candidates, ever = tuple(candidates), all_held(state)
    running = []
    for held in ever:
        if held.why_ended is not None:
            continue
        why = why_over(terms.holds, held.schedule, candidates, now_us)
        if why is None:
            running.append(held.schedule)
        else:
            end(state, held.number, why, now_us=now_us)
            tell(f"holds of {held.schedule.candidate} ended: {why}")
    if terms.holds.mode == "off":
        return
    ever = all_held(state)  # including those that have just ended
    known = {held.schedule.candidate for held in ever}
    resting = {
        account
        for held in ever
        if held.why_ended is not None and held.schedule.end_us + REST_US > now_us
        for account in held.schedule.accounts
    }
    if terms.holds.mode == "on":
        _grow(state, terms, ever, candidates, orgs, resting, now_us=now_us, tell=tell)
        _draw_on(state, terms, candidates, now_us=now_us, tell=tell)
        running = [held.schedule for held in all_held(state) if held.why_ended is None]
    fresh = [candidate for candidate in candidates if candidate.candidate not in known]
    for choice in choose(terms.holds, fresh, orgs, terms.permissions, now_us, running, resting):
        chosen = choice.candidate
        if choice.why_not is not None:
            continue
        if terms.holds.mode == "on":
            _begin(state, terms, chosen, now_us)
            tell(f"holds of {chosen.candidate} begin: {len(chosen.accounts):,} accounts")
        elif _note_dry_run(state, chosen, now_us):
            tell(f"dry run: holds of {chosen.candidate} would begin: {len(chosen.accounts):,} accounts")


def _begin(state: ControlState, terms: Terms, candidate: HoldCandidate, now_us: int) -> None:
    drawn = plan(terms.holds, candidate.candidate, candidate.accounts, now_us, derive(state.secret, PURPOSE))
    detail = {
        "accounts": len(drawn.accounts),
        "start_us": drawn.start_us,
        "days": drawn.days,
        "block_minutes": drawn.block_minutes,
        "one_block_in": drawn.one_block_in,
        "commitment": drawn.commitment,
        "p_value": candidate.p_value,
        "terms": terms.version,
    }
    with state.writing() as (db, revision):
        number = _insert(db, drawn, now_us, revision)
        write_event(db, now_us, WHO, "holds begun", str(number), {"candidate": candidate.candidate} | detail)


def _grow(
    state: ControlState,
    terms: Terms,
    ever: Iterable[HoldRecord],
    candidates: Collection[HoldCandidate],
    orgs: Mapping[str, str | None],
    resting: Collection[str],
    *,
    now_us: int,
    tell: Callable[[str], None],
) -> None:
    """Add the accounts by which a candidate has grown to its schedule."""
    running = [held for held in ever if held.why_ended is None]
    taken = {account for held in running for account in held.schedule.accounts}.union(resting)
    cost = running_cost(terms.holds, (held.schedule for held in running), candidates)
    for held in running:
        if (candidate := candidate_of_schedule(held.schedule, candidates)) is None:
            continue
        new, more = joining(
            terms.holds, held.schedule, candidate, orgs, terms.permissions, now_us, taken, cost
        )
        if new:
            cost += more
            grown = join(held.schedule, new, now_us)
            with state.writing() as (db, revision):
                db.execute(
                    "UPDATE hold_schedules SET accounts = ?, revision = ?"
                    " WHERE number = ? AND why_ended IS NULL",
                    (json.dumps(grown.begin_us), revision, held.number),
                )
                detail = {"accounts": len(new), "from_us": grown.begin_us[new[0]]}
                write_event(db, now_us, WHO, "holds joined", str(held.number), detail)
            taken.update(new)
            tell(f"holds of {held.schedule.candidate}: {len(new):,} accounts join")


def _draw_on(
    state: ControlState,
    terms: Terms,
    candidates: Collection[HoldCandidate],
    *,
    now_us: int,
    tell: Callable[[str], None],
) -> None:
    """Draw more often if work moves, and prolong a schedule that its first days left undecided."""
    running = {held.schedule.candidate: held for held in all_held(state) if held.why_ended is None}
    schedules = [held.schedule for held in running.values()]
    for denser in draw_denser(terms.holds, schedules, candidates, now_us):
        often, from_us = denser.denser_one_block_in, denser.denser_from_us
        new = {"denser_one_block_in": often, "denser_from_us": from_us}
        detail: dict[str, int | None] = {"one_block_in": often, "from_us": from_us}
        _change(state, running[denser.candidate].number, new, "holds denser", detail, now_us)
        tell(f"holds of {denser.candidate}: work moves, one block in {often} is drawn")
    for longer in draw_longer(terms.holds, schedules, candidates, now_us):
        was = running[longer.candidate]
        detail = {"days": longer.days, "from_us": was.schedule.start_us + was.schedule.days * DAY_US}
        _change(state, was.number, {"days": longer.days}, "holds longer", detail, now_us)
        tell(f"holds of {longer.candidate}: undecided, they go on for {longer.days} days in all")


def _change(
    state: ControlState,
    number: int,
    new: dict[str, int | None],
    what: str,
    detail: dict[str, int | None],
    now_us: int,
) -> None:
    """Change columns of a running schedule, and record the event."""
    columns = ", ".join(f"{name} = ?" for name in (*new, "revision"))
    with state.writing() as (db, revision):
        db.execute(
            f"UPDATE hold_schedules SET {columns} WHERE number = ? AND why_ended IS NULL",
            (*new.values(), revision, number),
        )
        write_event(db, now_us, WHO, what, str(number), detail)


def _note_dry_run(state: ControlState, candidate: HoldCandidate, now_us: int) -> bool:
    """Record, once, that a candidate would be held."""
    what = "holds would begin"
    with state.reading() as db:
        query = "SELECT 1 FROM events WHERE what = ? AND subject = ? LIMIT 1"
        if db.execute(query, (what, candidate.candidate)).fetchone():
            return False
    # their number stays on the trail; their names can be erased
    detail = {"accounts": len(candidate.accounts), "names": list(candidate.accounts)}
    state.event(WHO, what, candidate.candidate, detail, now_us=now_us)
    return True


def _insert(db: sqlite3.Connection, drawn: HoldSchedule, now_us: int, revision: int) -> int:
    done = db.execute(
        f"INSERT INTO hold_schedules ({COLUMNS}, begun_us, revision)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, ?, ?)",
        (
            drawn.candidate,
            json.dumps(drawn.begin_us),
            drawn.start_us,
            drawn.days,
            drawn.block_minutes,
            drawn.one_block_in,
            drawn.key,
            now_us,
            revision,
        ),
    )
    return int(done.lastrowid or 0)
