"""`stillwatch alerts`: notifications about cases by webhook and syslog."""

import json
import random
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from stillwatch.cases.audit.trail import attach
from stillwatch.cases.exports import TARGETS, Form
from stillwatch.cases.exports.deliver import Delivered, send, work_off
from stillwatch.cases.exports.messages import TRIAL
from stillwatch.cases.exports.notices import trial_event
from stillwatch.cases.exports.outbox import Letter, Outbox
from stillwatch.cases.exports.places import addresses
from stillwatch.cases.exports.signing import new_key, read_key
from stillwatch.cases.exports.sinks import ExportTarget
from stillwatch.cases.exports.targets import read_targets, sinks
from stillwatch.cases.exports.telling import tell
from stillwatch.cases.store import Store
from stillwatch.cli.case_opening import CasesUrl, key_of, seen_cases
from stillwatch.cli.folder import FOLDER, AsJson, AtFolder, iso_time, record_as_json, span_s, table
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.options import ConsoleUrl, EventSource
from stillwatch.cli.verb import group, verb
from stillwatch.console import escalation, inbox, people
from stillwatch.console.settings import load_settings
from stillwatch.errors import InputError, StillwatchError
from stillwatch.units import utc_us

app = group("Send case alerts: webhooks, syslog, Slack, Teams, PagerDuty, mail.")

OUTBOX = "outbox"
FAILED = 3

TargetsFile = Annotated[
    Path | None, typer.Option("--targets", help=f"The list of who is told; else {TARGETS} in the folder.")
]


@verb(app, "deliver")
def deliver_command(
    folder: AtFolder = FOLDER,
    cases: CasesUrl = None,
    targets: TargetsFile = None,
    console: ConsoleUrl = "",
    source: EventSource = "",
    every: Annotated[str | None, typer.Option(help="Keep running, at this interval: 30s, 5m.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send news of cases to all targets; a failed delivery is retried later, ten times in all.

    Overdue cases are escalated as set in `console.toml`, and mentioned people get their mail.

    $ stillwatch alerts deliver                 once: changes since the last run, and retries that are due
    $ stillwatch alerts deliver --every 30s     continue until interrupted

    Exit codes: 0 everything due was delivered; 3 some deliveries failed and wait; 2 could not run.
    """
    pause_s = None if every is None else span_s(every, "--every")
    while pause_s is not None:
        try:
            _show_delivered(_deliver(folder, cases, _targets(folder, targets), console, source), as_json)
        except StillwatchError as why:  # a list being edited, a full disk: the next round may succeed
            print(f"stillwatch: {one_line(str(why))}", file=sys.stderr, flush=True)
        time.sleep(pause_s)
    round_result = _deliver(folder, cases, _targets(folder, targets), console, source)
    _show_delivered(round_result, as_json)
    if round_result.failed or round_result.dead:
        raise typer.Exit(FAILED)


@verb(app, "overdue")
def overdue_command(
    folder: AtFolder = FOLDER,
    cases: CasesUrl = None,
    targets: TargetsFile = None,
    as_json: AsJson = False,
) -> None:
    """Show which overdue cases the next round would escalate, and to whom. Nothing is sent.

    If a stage has no target and none of its people may log in, it goes to the approvers.

    $ stillwatch alerts overdue
    """
    stages = load_settings(folder).escalation
    escalation.check_targets(stages, {target.name: target for target in _targets(folder, targets)})
    with seen_cases(folder, cases) as store:
        people.prepare(store)
        plans = escalation.plan(store, stages, utc_us())
        with store.reading() as db:
            recipients_of = [escalation.recipients(db, escalated, utc_us()) for escalated in plans]
    rows: list[dict[str, Any]] = [
        {
            "case": escalated.case,
            "due": iso_time(escalated.due_us),
            "after_hours": escalated.stage.after_hours,
            "people": reached,
            "not_reached": [name for name in escalated.people if name not in reached],
            "targets": list(escalated.stage.targets),
            "approvers_instead": approvers,
        }
        for escalated, (reached, approvers) in zip(plans, recipients_of, strict=True)
    ]
    if as_json:
        print_json(rows)
        return
    listed = ("people", "targets", "not_reached", "approvers_instead")
    cells = [
        (row["case"], str(row["due"]), str(row["after_hours"]), *(" ".join(row[name]) for name in listed))
        for row in rows
    ]
    heads = ("case", "due", "stage (hours)", "people", "targets", "not reached", "approvers instead")
    table(heads, cells, "nothing is to escalate")
    if lost := [
        row["case"] for row in rows if not any(row[k] for k in ("people", "targets", "approvers_instead"))
    ]:
        print(
            f"nobody would hear of {', '.join(lost)}: no approver may log in; `stillwatch console user add`",
            file=sys.stderr,
        )


@verb(app, "check")
def check_command(
    folder: AtFolder = FOLDER,
    targets: TargetsFile = None,
    send_one: Annotated[bool, typer.Option("--send", help="Send each target a test event.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check the list of targets: its form, keys, addresses; with --send, whether they accept an event.

    $ stillwatch alerts check
    $ stillwatch alerts check --send     also send a test event to each
    """
    rows = [_check_target(target, send_one) for target in _targets(folder, targets)]
    if as_json:
        print_json(rows)
    else:
        cells = [tuple(str(row[name]) for name in ("name", "kind", "at", "says")) for row in rows]
        table(("target", "kind", "at", "check"), cells, "nobody is told: the list is empty")
    if any(not row["fit"] for row in rows):
        raise typer.Exit(FAILED)


@verb(app, "keygen")
def keygen_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="File for the new key; an existing one is not overwritten.")
    ],
    ed25519: Annotated[bool, typer.Option(help="Make a key pair instead of a shared secret.")] = False,
) -> None:
    """Create a key that signs webhooks. For a key pair the public half is printed.

    $ stillwatch alerts keygen stillwatch-serve/on-call.key
    $ stillwatch alerts keygen stillwatch-serve/siem.key --ed25519   (the receiver needs only the public half)
    """
    key = new_key(file, "ed25519" if ed25519 else "hmac")
    print(key.public or f"{file}: give the receiver its one line, over a safe way")


@verb(app, "list")
def list_command(folder: AtFolder = FOLDER, as_json: AsJson = False) -> None:
    """List deliveries that wait and those given up.

    $ stillwatch alerts list --json | jq '.dead[].last_error'
    """
    outbox = _outbox(folder)
    waiting, dead = outbox.waiting(), outbox.dead()
    if as_json:
        print_json({"waiting": list(map(_letter_as_json, waiting)), "dead": list(map(_letter_as_json, dead))})
        return
    rows = [_letter_row(letter, "waits") for letter in waiting] + [
        _letter_row(letter, "given up") for letter in dead
    ]
    table(("id", "target", "case", "state", "tried", "next", "last refusal"), rows, "nothing waits")


@verb(app, "retry")
def retry_command(
    letter: Annotated[
        str, typer.Argument(metavar="[ID]", help="Id from `alerts list`, or its beginning; else all.")
    ] = "",
    folder: AtFolder = FOLDER,
) -> None:
    """Queue deliveries that were given up again.

    $ stillwatch alerts retry            all of them
    $ stillwatch alerts retry 3f0c2a
    """
    outbox = _outbox(folder)
    given_up = [undelivered for undelivered in outbox.dead() if undelivered.name.startswith(letter)]
    if letter and not given_up:
        raise InputError(f"nothing that was given up is called {letter!a}; see stillwatch alerts list")
    for undelivered in given_up:
        outbox.revive(undelivered, utc_us())
    print(f"{len(given_up)} will be tried again; `stillwatch alerts deliver` sends them")


# --- parts ---


def _deliver(
    folder: Path, cases: str | None, targets: tuple[ExportTarget, ...], console: str, source: str
) -> Delivered:
    outbox = _outbox(folder)
    try:
        with seen_cases(folder, cases) as store:
            tell(outbox, targets, store, utc_us(), console, source)
            _tell_people(outbox, folder, targets, store, console)
    finally:  # problems with escalation targets must not hold up alerts
        round_result = work_off(outbox, targets, utc_us, random.Random())
    return round_result


def _tell_people(
    outbox: Outbox, folder: Path, targets: tuple[ExportTarget, ...], store: Store, console: str
) -> None:
    """Mail mentioned people, and escalate overdue cases. Raises: StillwatchError."""
    if (key := key_of(store, folder)).exists():
        attach(store, key)
        people.prepare(store)
        inbox.mail(outbox, targets, store, utc_us(), console)
        escalation.escalate(outbox, targets, store, load_settings(folder).escalation, utc_us(), console)
    elif load_settings(folder).escalation:
        raise InputError(
            f"{key}: is not there; who was told of overdue cases is on the trail, which needs it"
        )


def _show_delivered(delivered: Delivered, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(delivered)), flush=True)
        return
    if delivered.held_elsewhere:
        print("another process is sending already", flush=True)
        return
    print(
        f"{delivered.sent} sent, {delivered.failed} failed, {delivered.dead} given up, "
        f"{delivered.waiting} wait",
        flush=True,
    )
    for refusal in delivered.refusals:
        print(f"  {one_line(refusal)}", flush=True)


def _check_target(target: ExportTarget, send_one: bool) -> dict[str, Any]:
    row = {"name": target.name, "kind": target.kind, "at": target.where.at, "fit": True, "says": "ready"}
    try:
        for key in target.keys:
            getattr(sinks()[target.kind], "read_key", read_key)(key)
        addresses_found = addresses(target.where, target.allow)
        row["says"] = f"ready, at {addresses_found[0]}"
        if send_one:
            send(target, _test_letter(target), utc_us())
            row["says"] = f"took a test event, at {addresses_found[0]}"
    except StillwatchError as why:
        row |= {"fit": False, "says": str(why)}
    return row


def _test_letter(target: ExportTarget) -> Letter:
    now_us, sink = utc_us(), sinks()[target.kind]
    event, body = trial_event(now_us, sink.FORM == Form.CEF)
    if sink.FORM == Form.MESSAGE:
        body = sink.write(TRIAL)
    return Letter("test", target.name, event, "", body, now_us)


def _targets(folder: Path, file: Path | None) -> tuple[ExportTarget, ...]:
    path = file or folder / TARGETS
    if file is None and not path.exists():
        raise InputError(
            f"{path}: is not there; docs/exports.md shows what stands in it, --targets names another"
        )
    return read_targets(path)


def _outbox(folder: Path) -> Outbox:
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; --folder names another")
    return Outbox(folder / OUTBOX)


def _letter_as_json(letter: Letter) -> dict[str, Any]:
    return record_as_json(letter, "body") | {"bytes": len(letter.body)}


def _letter_row(letter: Letter, state: str) -> tuple[str, ...]:
    following = iso_time(letter.next_us) or "" if state == "waits" else ""
    tried = str(letter.attempts)
    return (letter.name[:8], letter.target, letter.case, state, tried, following, letter.last_error)
