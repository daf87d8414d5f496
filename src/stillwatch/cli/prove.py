"""`stillwatch prove`: the verbs are in `prove_*.py`, one file each; this is where they hang."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from stillwatch.cli.main import one_line
from stillwatch.cli.verb import group

Witness = Annotated[
    list[str] | None,
    typer.Option("--witness", help="A witness's public key that you trust; may be given again."),
]
Samples = Annotated[
    int, typer.Option(min=1, help="For overlap and continuations: the suspect's texts for one question.")
]
Places = Annotated[
    int, typer.Option(min=1, help="For continuations: places in each answer, from which it is to go on.")
]
REJECTED = 3  # the exit code for "done, and rows of a file were left out"

app = group("Was this model distilled from that one? Evidence by grades.")


def say_left_out(rows: Sequence[str]) -> None:
    """End with 3 where rows of a file could not be used, and say which was the first."""
    if rows:
        print(f"{len(rows):,} left out of what was read; the first: {one_line(rows[0])}", file=sys.stderr)
        raise typer.Exit(REJECTED)
