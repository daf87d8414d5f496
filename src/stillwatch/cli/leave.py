"""Says what is about to leave, and asks. It is no verb: the verbs that export share it."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from stillwatch.cli.main import one_line
from stillwatch.errors import InputError

Yes = Annotated[bool, typer.Option("--yes", help="Say yes beforehand to what leaves.")]


def may_leave(lines: Sequence[str], to: str, yes: bool) -> None:
    """Print what leaves, and go on only if somebody says yes.

    Raises: InputError where nobody is there to say it, or the answer is no.
    """
    print(f"This leaves to {one_line(to)}:", file=sys.stderr)
    for line in lines:
        print(f"  {one_line(line)}", file=sys.stderr)
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("nothing has left: nobody is there to be asked; --yes says yes beforehand")
    if not typer.confirm("Let it leave?", err=True):
        raise InputError("nothing has left")
