"""`stillwatch holds`: randomised holds of a gateway's folder: list, test, end. The terms begin them."""

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
    """One schedule with what the log says of it."""

    held: HoldRecord
    holds: HoldsEvidence
    failover: FailoverEvidence


@verb(app, "list")
def list_command(folder: AtFolder = FOLDER, as_json: AsJson = False) -> None:
    """List every schedule there has been: which candidate, when, how many accounts, why it ended.

    $ stillwatch holds list
    $ stillwatch holds list --json | jq '.[] | select(.ended_because == null)'
    """
    with open_state(folder) as state:
        found = all_held(state)
    if as_json:
        print_json([_plain(one) for one in found])
        return
    rows = [
        (
            one.number,
            one.schedule.candidate,
            f"{len(one.schedule.accounts):,}",
            iso_time(one.schedule.start_us),
            iso_time(one.schedule.end_us),
            one.why_ended or "runs",
        )
        for one in found
    ]
    table(("number", "candidate", "accounts", "from", "to", ""), rows, "nobody has been held")


@verb(app, "test")
def evaluate_command(
    folder: AtFolder = FOLDER,
    accounts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Accounts table: who is one customer. Else by organisation alone."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Test from the captured exchanges whether accounts take over what the others are refused.

    It may be run at any time: the test allows for being looked at. `accounts_alone` is what each account may
    be told; the group's p-value is nobody's own. What passes between accounts of one customer counts for
    nothing.

    $ stillwatch holds test --accounts accounts.csv
    $ stillwatch holds test --json | jq '.[] | {candidate, p_value, named}'

    Exit codes: 0 printed; 2 nothing could be read; 3 printed, but lines were rejected.
    """
    now_us = utc_us()
    with open_state(folder) as state:
        found = all_held(state)
        customer = {account: org for account, org, _ in state.accounts() if org}
    if not found:
        print("[]" if as_json else "nobody has been held")
        return
    errors = Console(stderr=True)
    with Rejects() as rejects:
        log = sketched_log([folder], rejects, errors, quiet=as_json)
        known = None if accounts is None else known_of(log, read_accounts(accounts, rejects=rejects))
    codes = None if known is None else customers(log, known, payers(log, known))
    if codes is not None:
        customer = {name: str(code) for name, code in zip(log.accounts, codes.tolist(), strict=True)}
    tested = [
        HoldTrial(
            one,
            holds_evidence(log, one.schedule, now_us, customer),
            failover_evidence(log, one.schedule.accounts, customer=codes),
        )
        for one in found
    ]
    if as_json:
        print_json([_plain(one.held) | _result(one) for one in tested])
    else:
        for one in tested:
            print(f"{one.held.number} {one.held.schedule.candidate}: {one.holds.text} {one.failover.text}")
    tell_rejects(rejects, errors)


@verb(app, "end")
def end_command(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As `stillwatch holds list` shows it.")],
    why: Annotated[str, typer.Option(help="What the next reader of the log should know.")],
    folder: AtFolder = FOLDER,
) -> None:
    """End a candidate's holds now: its accounts are served within a second, and it is never held again.

    $ stillwatch holds end 3 --why "they are our own testers"
    """
    if not why.strip():
        raise InputError("--why is empty; say why")
    with changing(folder) as state:
        found = {one.number: one for one in all_held(state)}.get(number)
        if found is None:
            raise InputError(f"there is no schedule {number}; `stillwatch holds list` shows them")
        if found.why_ended is not None:
            raise InputError(f"schedule {number} has ended already: {found.why_ended}")
        end(state, number, why, now_us=utc_us(), who=whoami())
        print(f"{number}: ended")


def _plain(one: HoldRecord) -> dict[str, Any]:
    schedule = one.schedule
    return {
        "number": one.number,
        "candidate": schedule.candidate,
        "accounts": schedule.accounts,
        "joined": {a: iso_time(at) for a, at in schedule.begin_us.items() if at > schedule.start_us},
        "begun_at": iso_time(one.begun_us),
        "from": iso_time(schedule.start_us),
        "to": iso_time(schedule.end_us),
        "days": schedule.days,
        "block_minutes": schedule.block_minutes,
        "one_block_in": schedule.one_block_in,
        "denser": None
        if schedule.denser_from_us is None
        else {"one_block_in": schedule.denser_one_block_in, "from": iso_time(schedule.denser_from_us)},
        "commitment": schedule.commitment,
        # before the end it would tell when the next hold comes
        "key": None if one.why_ended is None else schedule.key.hex(),
        "ended_because": one.why_ended,
    }


def _result(one: HoldTrial) -> dict[str, Any]:
    return {
        "p_value": one.holds.p_value,
        "found_at": None if one.holds.found_us is None else iso_time(one.holds.found_us),
        "named": sorted(one.holds.named_us),
        "accounts_alone": {account: asdict(own) for account, own in sorted(one.holds.own.items())},
        "text": one.holds.text,
        "failover_p_value": one.failover.p_value,
        "failover_text": one.failover.text,
        "repeats": [asdict(repeat) for repeat in one.failover.repeats],
    }
