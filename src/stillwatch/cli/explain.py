"""`stillwatch explain`: why an account or a campaign was named, out of a report. It scans nothing."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stillwatch.report.explain import explain, print_explanation
from stillwatch.report.findings import FOLDER, load

EXAMPLES = """
Examples:

  stillwatch explain acct_4112b93e705092

  stillwatch explain sw-1f0c22aa90 --report report
"""


def explain_command(
    subject: Annotated[str, typer.Argument(help="An account or a campaign, or the beginning of its name.")],
    report: Annotated[Path, typer.Option(help="Folder that a scan wrote.")] = FOLDER,
) -> None:
    """Show the evidence on an account or a campaign, link by link, with the numbers and their baselines."""
    print_explanation(explain(load(report), subject), Console())


def register(app: typer.Typer) -> None:
    """Add this command to the top of the command line."""
    app.command("explain", epilog=EXAMPLES)(explain_command)
