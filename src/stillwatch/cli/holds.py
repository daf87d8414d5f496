"""`stillwatch holds`: randomised holds of a gateway's folder: list, test, end. The policy starts them."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stillwatch.cli.folder import FOLDER, AsJson, AtFolder, changing, iso_time, open_state, table, whoami
from stillwatch.cli.main import print_json
from stillwatch.cli.reading import sketched_log, tell_rejects
from stillwatch.cli.verb import group, verb
from stillwatch.errors import InputError
from stillwatch.exchanges.accounts import read_accounts
from stillwatch.exchanges.rejects import Rejects
from stillwatch.gateway.control.holds import HoldRecord, all_held, end
from stillwatch.scan.explanations import customers
from stillwatch.scan.failover import FailoverEvidence, failover_evidence
from stillwatch.scan.holds import HoldsEvidence, holds_evidence
from stillwatch.scan.pipeline import known_of, payers
from stillwatch.units import utc_us

app = group("Randomised holds of a gateway.")


@dataclass(frozen=True)
class HoldTrial:
    """One schedule and its result in the log."""

    held: HoldRecord
    holds: HoldsEvidence
    failover: FailoverEvidence


@verb(app, "list")
def list_command(folder: AtFolder = FOLDER, as_json: AsJson = False) -> None:
    """List all schedules so far: which candidate, when, how many accounts, why it ended.

    $ stillwatch holds list
    $ stillwatch holds list --json | jq '.[] | select(.ended_because == null)'
    """
    with open_state(folder) as state:
        holds = all_held(state)
    if as_json:
        print_json([_hold_as_json(hold) for hold in holds])
        return
    rows = [
        (
            hold.number,
            hold.schedule.candidate,
            f"{len(hold.schedule.accounts):,}",
            iso_time(hold.schedule.start_us),
            iso_time(hold.schedule.end_us),
            hold.why_ended or "runs",
        )
        for hold in holds
    ]
    table(("number", "candidate", "accounts", "from", "to", ""), rows, "nobody has been held")


@verb(app, "test")
def evaluate_command(
    folder: AtFolder = FOLDER,
    accounts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Accounts table: who is one customer; else by organisation.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Test with the captured exchanges whether accounts take over work that others are refused.

    The test may be run at any time: it allows for repeated evaluation. `accounts_alone` is what each account
    may be told; the group's p-value belongs to no single account. Work that moves between accounts of one
    customer does not count.

    $ stillwatch holds test --accounts accounts.csv
    $ stillwatch holds test --json | jq '.[] | {candidate, p_value, named}'

    Exit codes: 0 printed; 2 nothing could be read; 3 printed, but lines were rejected.
    """
    now_us = utc_us()
    with open_state(folder) as state:
        holds = all_held(state)
        customer = {account: org for account, org, _ in state.accounts() if org}
    if not holds:
        print("[]" if as_json else "nobody has been held")
        return
    errors = Console(stderr=True)
    with Rejects() as rejects:
        log = sketched_log([folder], rejects, errors, quiet=as_json)
        account_facts = None if accounts is None else known_of(log, read_accounts(accounts, rejects=rejects))
    codes = None if account_facts is None else customers(log, account_facts, payers(log, account_facts))
    if codes is not None:
        customer = {name: str(code) for name, code in zip(log.accounts, codes.tolist(), strict=True)}
    tested = [
        HoldTrial(
            hold,
            holds_evidence(log, hold.schedule, now_us, customer),
            failover_evidence(log, hold.schedule.accounts, customer=codes),
        )
        for hold in holds
    ]
    if as_json:
        print_json([_hold_as_json(trial.held) | _trial_as_json(trial) for trial in tested])
    else:
        for trial in tested:
            held = trial.held
            print(f"{held.number} {held.schedule.candidate}: {trial.holds.text} {trial.failover.text}")
    tell_rejects(rejects, errors)


@verb(app, "end")
def end_command(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As `stillwatch holds list` shows it.")],
    why: Annotated[str, typer.Option(help="Reason, for the next reader of the log.")],
    folder: AtFolder = FOLDER,
) -> None:
    """End a candidate's holds now: its accounts are served within a second, and never held again.

    $ stillwatch holds end 3 --why "they are our own testers"
    """
    if not why.strip():
        raise InputError("--why is empty; say why")
    with changing(folder) as state:
        hold = {record.number: record for record in all_held(state)}.get(number)
        if hold is None:
            raise InputError(f"there is no schedule {number}; `stillwatch holds list` shows them")
        if hold.why_ended is not None:
            raise InputError(f"schedule {number} has ended already: {hold.why_ended}")
        end(state, number, why, now_us=utc_us(), who=whoami())
        print(f"{number}: ended")


def _hold_as_json(hold: HoldRecord) -> dict[str, Any]:
    schedule = hold.schedule
    return {
        "number": hold.number,
        "candidate": schedule.candidate,
        "accounts": schedule.accounts,
        "joined": {
            a: iso_time(begin_us) for a, begin_us in schedule.begin_us.items() if begin_us > schedule.start_us
        },
        "begun_at": iso_time(hold.begun_us),
        "from": iso_time(schedule.start_us),
        "to": iso_time(schedule.end_us),
        "days": schedule.days,
        "block_minutes": schedule.block_minutes,
        "one_block_in": schedule.one_block_in,
        "denser": None
        if schedule.denser_from_us is None
        else {"one_block_in": schedule.denser_one_block_in, "from": iso_time(schedule.denser_from_us)},
        "commitment": schedule.commitment,
        # an open schedule would reveal the next hold
        "key": None if hold.why_ended is None else schedule.key.hex(),
        "ended_because": hold.why_ended,
    }


def _trial_as_json(trial: HoldTrial) -> dict[str, Any]:
    return {
        "p_value": trial.holds.p_value,
        "found_at": None if trial.holds.found_us is None else iso_time(trial.holds.found_us),
        "named": sorted(trial.holds.named_us),
        "accounts_alone": {account: asdict(alone) for account, alone in sorted(trial.holds.own.items())},
        "text": trial.holds.text,
        "failover_p_value": trial.failover.p_value,
        "failover_text": trial.failover.text,
        "repeats": [asdict(repeat) for repeat in trial.failover.repeats],
    }
