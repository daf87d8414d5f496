"""`stillwatch explain`: why an account, a campaign or a lead is in a report. Nothing is scanned."""

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stillwatch.cli.verb import verb
from stillwatch.report.explain import explain, explanation_json, print_explanation
from stillwatch.report.findings import FOLDER, load


def explain_command(
    subject: Annotated[
        str, typer.Argument(help="An account, a campaign or a lead, or the beginning of its name.")
    ],
    report: Annotated[Path, typer.Option(help="Folder that a scan wrote.")] = FOLDER,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show the evidence on an account, a campaign or a lead, with the numbers and their baselines.

    $ stillwatch explain acct_4112b93e705092
    $ stillwatch explain sw-1f0c22aa90 --report report
    $ stillwatch explain lead-5b0c93ad11 --report report
    $ stillwatch explain acct_4112b93e705092 --json | jq '.reasons[].text'
    """
    explanation = explain(load(report), subject)
    if json:
        print(jsonlib.dumps(explanation_json(explanation), indent=1, allow_nan=False))
    else:
        print_explanation(explanation, Console())


def register(app: typer.Typer) -> None:
    """Add this command to the top of the command line."""
    verb(app, "explain")(explain_command)
