"""`stillwatch prove`: the verbs are in `prove_*.py`, one file each; this is where they hang."""

import typer

app = typer.Typer(
    help="Was this model distilled from that one? Evidence by grades.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def prove_verbs() -> None:
    """Was this model distilled from that one? Evidence by grades."""
