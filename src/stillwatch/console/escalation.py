"""Overdue cases: who is notified, and when, by the owner's stages (`console.toml`).

A stage applies once for a case and due date, recorded in the same transaction. It runs where alerts are sent
(`stillwatch alerts deliver`, the gateway's alerts process). It changes no case.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from stillwatch.cases import MACHINE, CaseState
from stillwatch.cases.exports import Form
from stillwatch.cases.exports.notices import event_source
from stillwatch.cases.exports.outbox import Outbox
from stillwatch.cases.exports.sinks import ExportTarget
from stillwatch.cases.exports.targets import sinks
from stillwatch.cases.store import Store
from stillwatch.cases.tables import cases
from stillwatch.console import ConsoleError, UserRole, inbox, people
from stillwatch.console.migrations import escalations, users
from stillwatch.console.sessions import AHEAD_US
from stillwatch.console.settings import EscalationStage
from stillwatch.report.amounts import plural
from stillwatch.report.visible import visible
from stillwatch.units import HOUR_US

OWNER = "owner"  # in a stage's people: the owner of the case
AT_ONCE = 500  # cases of a stage per round: the rest follow in the next

"""A case that a stage must report."""


@dataclass(frozen=True)
class OverdueCase:
    """A case that a stage is to tell of."""

    case: str
    title: str
    owner: str | None
    due_us: int
    stage: EscalationStage

    @property
    def people(self) -> list[str]:
        """Return the names to notify, whether or not such users exist."""
        wanted_names = (self.owner if name == OWNER else name for name in self.stage.people)
        return list(dict.fromkeys(name for name in wanted_names if name is not None))


def overdue(db: Connection, stage: EscalationStage, now_us: int) -> list[OverdueCase]:
    """Return the cases that a stage has not reported yet, those due longest first.

    Reports made before the due date, by a clock that was ahead, do not count.
    """
    c, e = cases.c, escalations.c
    already_escalated = select(e.case_id).where(
        e.case_id == c.id,
        e.due_us == c.due_us,
        e.after_hours == stage.after_hours,
        e.at_us <= now_us + AHEAD_US,
    )
    query = select(c.id, c.title, c.owner, c.due_us).where(
        c.due_us <= now_us - stage.after_hours * HOUR_US,
        c.state.in_([str(CaseState.NEW), str(CaseState.OPEN)]),
        c.merged_into.is_(None),
        (c.suppressed_until_us.is_(None)) | (c.suppressed_until_us <= now_us),
        ~already_escalated.exists(),
    )
    rows = db.execute(query.order_by(c.due_us, c.id).limit(AT_ONCE))
    return [OverdueCase(row.id, row.title, row.owner, row.due_us, stage) for row in rows]


def plan(store: Store, stages: Sequence[EscalationStage], now_us: int) -> list[OverdueCase]:
    """Return what the stages would report now, without sending anything."""
    with store.reading() as db:
        return [overdue_case for stage in stages for overdue_case in overdue(db, stage, now_us)]


def escalate(
    outbox: Outbox,
    targets: Sequence[ExportTarget],
    store: Store,
    stages: Sequence[EscalationStage],
    now_us: int,
    base_url: str = "",
) -> int:
    """Notify the people and targets of the stages of overdue cases; return how many reports were made.

    Raises: ConsoleError for a target that is not on the owner's list; ExportError if the outbox refuses.
    """
    by_name = {target.name: target for target in targets}
    check_targets(stages, by_name)
    if not plan(store, stages, now_us):
        return 0
    source, escalated = event_source(store.installation()), 0
    for stage in stages:
        with store.writing(now_us) as tx:  # others wait, so that a stage applies once
            late_cases = overdue(tx.db, stage, now_us)
            for late in late_cases:
                row = {
                    "case_id": late.case,
                    "due_us": late.due_us,
                    "after_hours": stage.after_hours,
                }
                tx.db.execute(delete(escalations).filter_by(**row))
                tx.db.execute(escalations.insert().values(**row, at_us=now_us))
                names, instead = recipients(tx.db, late, now_us)
                reached = inbox.tell_in(tx, names + instead, inbox.OVERDUE, late.case, MACHINE)
                detail = {"after_hours": stage.after_hours, "due_us": late.due_us, "people": reached}
                tx.audit(MACHINE, "case overdue", late.case, {**detail, "targets": list(stage.targets)})
            if late_cases:
                _put_letters(
                    outbox, [by_name[name] for name in stage.targets], late_cases, now_us, source, base_url
                )
            escalated += len(late_cases)
    return escalated


def recipients(db: Connection, overdue_case: OverdueCase, now_us: int) -> tuple[list[str], list[str]]:
    """Return a stage's people to notify of a case, and approvers if otherwise nobody would be."""
    present = people.present_names(db, now_us)
    reached = [name for name in overdue_case.people if name in present]
    if reached or overdue_case.stage.targets:
        return reached, []
    approvers = select(users.c.name).where(users.c.role == UserRole.APPROVER).order_by(users.c.name)
    return [], [name for name in db.execute(approvers).scalars() if name in present]


def check_targets(stages: Sequence[EscalationStage], targets: Mapping[str, ExportTarget]) -> None:
    """Refuse stages that would reach nobody. Raises: ConsoleError."""
    for stage in stages:
        for name in stage.targets:
            if name not in targets:
                raise ConsoleError(f"escalation names the target {name!a}, which alerts.toml does not have")
            if sinks()[targets[name].kind].FORM is not Form.MESSAGE:
                raise ConsoleError(
                    f"escalation names the target {name!a}, which no person reads; give one of Slack, Teams, "
                    "PagerDuty or mail"
                )


def _put_letters(
    outbox: Outbox,
    targets: Sequence[ExportTarget],
    late_cases: Sequence[OverdueCase],
    now_us: int,
    source: str,
    base_url: str,
) -> None:
    """Put one message for each target into the outbox, with all cases of the stage."""
    hours = late_cases[0].stage.after_hours
    since = f" for {plural(hours, 'hour')} or more" if hours else ""
    head = f"{plural(len(late_cases), 'case')} overdue{since}"
    lines = [f"- {visible(late.title, 200)} ({late.case}), {_owner_text(late)}" for late in late_cases]
    case = late_cases[0].case if len(late_cases) == 1 else f"overdue-{hours}h"
    digest = hashlib.sha256("\0".join(f"{hours} {late.case} {late.due_us}" for late in late_cases).encode())
    message = inbox.digest(head, lines, source, case, base_url)
    for target in targets:
        body = sinks()[target.kind].write(message)
        outbox.put(target.name, f"sw_{digest.hexdigest()[:32]}", case, body, now_us)


def _owner_text(overdue_case: OverdueCase) -> str:
    return "nobody has it" if overdue_case.owner is None else visible(overdue_case.owner, 64)
