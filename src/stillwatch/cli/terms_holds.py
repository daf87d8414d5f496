"""`stillwatch terms holds`: a dry run of randomised holds on a log. Nobody is held."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stillwatch.cli.folder import AsJson, table
from stillwatch.cli.main import print_json
from stillwatch.cli.options import LogKey
from stillwatch.cli.reading import sketched_log, tell_rejects
from stillwatch.cli.terms import app
from stillwatch.cli.verb import verb
from stillwatch.exchanges.accounts import read_accounts
from stillwatch.exchanges.rejects import Rejects
from stillwatch.report.findings import load as load_report
from stillwatch.scan.hold_candidates import candidates
from stillwatch.scan.hold_cost import HoldCost, hold_cost
from stillwatch.terms import Holds, Permission
from stillwatch.terms.holds import HoldChoice, choose
from stillwatch.terms.load import load
from stillwatch.units import DAY_US, utc_us

DAY_MINUTES = 1_440
MODES = {"off": "off", "dry_run": "a dry run", "on": "on"}


@verb(app, "holds")
def holds_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A terms file.")],
    logs: Annotated[list[Path], typer.Argument(metavar="LOG...", help="The log of the report.")],
    report: Annotated[
        Path, typer.Option(metavar="DIR", help="A scan's report: its leads and findings are the candidates.")
    ],
    accounts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Accounts: organisations and permissions.")
    ] = None,
    key_file: LogKey = None,
    as_json: AsJson = False,
) -> None:
    """Show which accounts randomised holds would affect, how often, and how many requests they would refuse.

    $ stillwatch terms holds terms.toml logs/*.parquet --report stillwatch-report
    $ stillwatch terms holds terms.toml stillwatch-serve --report stillwatch-report --json

    Exit codes: 0 printed; 2 nothing could be read; 3 printed, but lines were rejected.
    """
    terms, now_us = load(file), utc_us()
    errors = Console(stderr=True)
    with Rejects() as rejects:
        log = sketched_log(logs, rejects, errors, key_file=key_file, quiet=as_json)
        account_rows = read_accounts(accounts, rejects=rejects).to_pylist() if accounts else []
    orgs = {row["account"]: row["org"] for row in account_rows}
    permissions = terms.permissions + tuple(
        Permission(kind, "the accounts table", now_us + DAY_US, account=row["account"])
        for row in account_rows
        for kind in row["permissions"] or ()
    )
    chosen = choose(terms.holds, candidates(load_report(report)), orgs, permissions, now_us)
    costs = [(choice, hold_cost(log, choice.candidate.accounts, terms.holds)) for choice in chosen]
    if as_json:
        print_json(_plain(terms.holds, costs))
    elif not costs:
        print(f"{report}: has no leads or findings of two accounts: nobody would be held")
    else:
        _show(terms.holds, costs)
    tell_rejects(rejects, errors)


def _plain(holds: Holds, costs: list[tuple[HoldChoice, HoldCost]]) -> dict[str, object]:
    rows = [
        {
            "candidate": choice.candidate.candidate,
            "p_value": choice.candidate.p_value,
            "held": choice.why_not is None,
            "why_not": choice.why_not,
            "accounts": choice.candidate.accounts,
            "exempt": choice.exempt,
            "cost": asdict(cost),
        }
        for choice, cost in costs
    ]
    minutes = DAY_MINUTES // holds.one_block_in
    return {"mode": holds.mode, "held_minutes_per_day": minutes, "candidates": rows}


def _show(holds: Holds, costs: list[tuple[HoldChoice, HoldCost]]) -> None:
    rows = []
    for choice, cost in costs:
        none = replace(cost, accounts=0, refused_per_day=0.0, most_per_account_day=0.0)
        chosen_cost = cost if choice.why_not is None else none
        amounts = (
            chosen_cost.requests_per_day,
            chosen_cost.refused_per_day,
            chosen_cost.most_per_account_day,
        )
        counts = (
            f"{chosen_cost.accounts:,}",
            f"{len(choice.exempt):,}",
            *(f"{amount:,.1f}" for amount in amounts),
        )
        rows.append((choice.candidate.candidate, *counts))
    table(("candidate", "held", "exempt", "requests a day", "refused a day", "most"), rows, "")
    for choice, _ in costs:
        if choice.why_not is not None:
            print(f"{choice.candidate.candidate} is not held: {choice.why_not}")
    most_often = min(holds.one_block_in, holds.one_block_in_once_moved)
    print(
        f"In these terms holds are {MODES[holds.mode]}. While they run, an account is refused in about "
        f"{DAY_MINUTES // holds.one_block_in} minutes of a day, drawn at random in blocks of "
        f"{holds.block_minutes}, for {holds.days} days, and {holds.days_at_most} at most where so little was "
        "asked that these left it undecided; once work moves in its candidate, in up to "
        f"{DAY_MINUTES // most_often}. After {holds.refused_minutes_per_day} minutes with a refusal it is "
        "served for the rest of the day. The table is for what is drawn first. Most: refusals a day of the "
        "account that has most. Clients that try again are refused more often."
    )
