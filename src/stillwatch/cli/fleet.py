"""`stillwatch fleet`: the gateways that share one state."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli.folder import FOLDER, AsJson, AtFolder, open_state, table
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.verb import group, verb
from stillwatch.errors import InputError
from stillwatch.gateway.fleet.database import FleetDatabase, leave, read_gateways

app = group("Gateways that share one state.")


@verb(app, "list")
def list_command(folder: AtFolder = FOLDER, as_json: AsJson = False) -> None:
    """List the gateways of a fleet, and the revision of keys and enforcement statuses that each goes by.

    $ stillwatch fleet list
    """
    with _fleet(folder) as database, database.connect() as db:
        gateways = read_gateways(db)
    if as_json:
        print_json([asdict(one) for one in gateways])
        return
    rows = [
        (one.name, one.host, str(one.revision), one.terms[:12], f"{one.silent_s:.0f} s ago")
        for one in gateways
    ]
    table(("gateway", "host", "revision", "terms", "last sign"), rows, "no gateway runs")


@verb(app, "forget")
def forget_command(
    name: Annotated[str, typer.Argument(help="The gateway, as `fleet list` names it.")],
    folder: AtFolder = FOLDER,
) -> None:
    """Wait no more for a gateway that was not stopped in good order and is no more.

    $ stillwatch fleet forget gw-3

    One that still runs comes back by itself.
    """
    with _fleet(folder) as database, database.connect() as db:
        if not leave(db, name):
            raise InputError(f"there is no gateway {name!a}; `stillwatch fleet list` shows them")
    print(f"{one_line(name)} is forgotten")


@contextmanager
def _fleet(folder: Path) -> Iterator[FleetDatabase]:
    with open_state(folder) as state:
        if state.fleet is None:
            raise InputError(f"{folder}: is in no fleet; `stillwatch serve --state postgresql://…` joins one")
        yield state.fleet
