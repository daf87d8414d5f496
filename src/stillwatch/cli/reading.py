"""Reads a log for a verb that tests sketches of its texts."""

from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console

from stillwatch.cli.options import sketch_key
from stillwatch.exchanges.log import ExchangeLog, build
from stillwatch.exchanges.read import read
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.report.terminal import progress

REJECTED = 3  # the exit code for "done, but lines were rejected"


def sketched_log(
    logs: Sequence[Path], rejects: Rejects, errors: Console, *, key_file: Path | None = None, quiet: bool
) -> ExchangeLog:
    """Read logs to test sketches of their texts, and show progress.

    rejects: collects unreadable lines. Raises: InputError.
    """
    sketcher = Sketcher(sketch_key(logs, key_file))
    with progress(errors, quiet=quiet) as tell:
        batches = read(
            logs,
            rejects=rejects,
            keep_text=False,
            sketcher=sketcher,
            progress=lambda done, total: tell("reading", done, total),
        )
        return build(batches, sketcher)


def tell_rejects(rejects: Rejects, errors: Console) -> None:
    """Report how many lines could not be read, and why the first ones. Raises: typer.Exit if any."""
    if rejects.count:
        why = "; ".join(rejects.examples[:3])
        errors.print(f"{rejects.count:,} lines rejected: {why}", markup=False, soft_wrap=True)
        raise typer.Exit(REJECTED)
