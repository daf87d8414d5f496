"""Reads a log for a verb that tests its texts' sketches. It is no verb itself."""

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
    """Read logs for a test of their texts' sketches, and say how far it is.

    rejects: takes the lines that cannot be read. Raises: InputError.
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
    """Say how many lines could not be read, the first ones why. Raises: typer.Exit where there is one."""
    if rejects.count:
        why = "; ".join(rejects.examples[:3])
        errors.print(f"{rejects.count:,} lines rejected: {why}", markup=False, soft_wrap=True)
        raise typer.Exit(REJECTED)
