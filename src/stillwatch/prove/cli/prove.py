"""`stillwatch prove`: the Typer app that the verbs beside this file register on."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from stillwatch.cli.coin import LedgerOptions
from stillwatch.cli.main import one_line
from stillwatch.cli.verb import group
from stillwatch.prove.suspect.endpoint import Manners

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

NamingSeal = Annotated[
    int | None,
    typer.Option(help="With --seal: the number of the seal that named the actors before their coins fell."),
]


@dataclass(frozen=True)
class TestedLedger(LedgerOptions):
    """The ledger options of a test, with its folder as an option."""

    ledger: Annotated[Path | None, typer.Option(help="A ledger's folder or file; else the gateway's.")] = None


@dataclass(frozen=True)
class SuspectEndpoint:
    """The options for asking a suspect behind an address."""

    model: Annotated[str, typer.Option(help="An endpoint's model.")] = ""
    api_key_env: Annotated[str, typer.Option(help="The variable that holds its key.")] = "SUSPECT_API_KEY"
    consent: Annotated[
        str | None,
        typer.Option(help="What gives the right to ask another's endpoint; it is kept with the test."),
    ] = None
    concurrency: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 4
    requests_per_minute: Annotated[int, typer.Option(min=0, help="0: as fast as it answers.")] = 0
    most_requests: Annotated[int | None, typer.Option(help="A budget, in requests.")] = None
    most_tokens: Annotated[int | None, typer.Option(help="And in tokens.")] = None

    def manners(self, max_tokens: int, temperature: float, **more: Any) -> Manners:
        """Return how to ask: these options, and `more` of the verb's own."""
        own = {name: value for name, value in vars(self).items() if name != "consent"}
        return Manners(max_tokens=max_tokens, temperature=temperature, **own, **more)


TESTED, AS_IT_IS = TestedLedger(), SuspectEndpoint()
REJECTED = 3  # the exit code for "done, and rows of a file were left out"

app = group("Was this model distilled from that one? Evidence by grades.")


def say_left_out(rows: Sequence[str]) -> None:
    """Exit with 3 if rows of a file could not be used, and report the first."""
    if rows:
        print(f"{len(rows):,} left out of what was read; the first: {one_line(rows[0])}", file=sys.stderr)
        raise typer.Exit(REJECTED)
