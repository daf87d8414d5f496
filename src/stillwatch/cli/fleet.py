"""`stillwatch fleet`: the gateways that share one state."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli.folder import FOLDER, AsJson, AtFolder, gateway_folder, open_state, table, whoami
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.verb import group, verb
from stillwatch.errors import InputError
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.fleet.database import FleetDatabase, leave, read_gateways
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.units import utc_us

app = group("Gateways that share one state.")


@verb(app, "list")
def list_command(folder: AtFolder = FOLDER, as_json: AsJson = False) -> None:
    """List the gateways of a fleet, and which revision of keys and enforcement statuses each uses.

    $ stillwatch fleet list
    """
    with _fleet(folder) as database, database.connect() as db:
        gateways = read_gateways(db)
    if as_json:
        print_json([asdict(gateway) for gateway in gateways])
        return
    rows = [
        (gateway.name, gateway.host, gateway.revision, gateway.terms[:12], f"{gateway.silent_s:.0f} s ago")
        for gateway in gateways
    ]
    table(("gateway", "host", "revision", "terms", "last sign"), rows, "no gateway runs")


@verb(app, "forget")
def forget_command(
    name: Annotated[str, typer.Argument(help="The gateway, as `fleet list` names it.")],
    folder: AtFolder = FOLDER,
) -> None:
    """Stop waiting for a gateway that was not shut down properly and will not return.

    $ stillwatch fleet forget gw-3

    A gateway that still runs re-registers by itself.
    """
    with _fleet(folder) as database, database.connect() as db:
        if not leave(db, name):
            raise InputError(f"there is no gateway {name!a}; `stillwatch fleet list` shows them")
    print(f"{one_line(name)} is forgotten")


@verb(app, "backup")
def backup_command(
    archive: Annotated[Path, typer.Argument(help="The file to write.", metavar="FILE")],
    folder: AtFolder = FOLDER,
    without_secrets: Annotated[
        bool,
        typer.Option("--without-secrets", help="Leave out `secret` and `audit.key`, to be kept separately."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the state, owners, cases, policy and keys of a fleet to one file, while it serves.

    $ stillwatch fleet backup fleet.tar
    $ stillwatch fleet backup fleet.tar --without-secrets

    Needs PostgreSQL's pg_dump. Exchanges are not included: they are in the shared folder.
    """
    from stillwatch.gateway.fleet.backup import back_up

    gateway = gateway_folder(folder)
    with _open_member(folder) as state:
        about = back_up(gateway, state, archive, utc_us(), keys=not without_secrets)
    elsewhere = GatewaySettings.load(gateway.settings).cases
    if as_json:
        print_json(asdict(about) | {"cases_elsewhere": elsewhere})
        return
    print(f"{archive}: revision {about.revision}; {', '.join(about.files)}")
    if not without_secrets:
        print("It holds the fleet's secret: who reads it can make keys. --without-secrets leaves that out.")
    if elsewhere is not None:
        print(f"Cases are in another database: back up {one_line(elsewhere)} as well.")


@verb(app, "restore")
def restore_command(
    archive: Annotated[Path, typer.Argument(help="What `fleet backup` wrote.", metavar="FILE")],
    folder: AtFolder = FOLDER,
    state: Annotated[
        str | None,
        typer.Option(
            help="Database, as postgresql://USER@HOST/NAME.", show_default="the one that was backed up"
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a database or a folder that is not empty.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a fleet from a file of `fleet backup`: into an empty database, and this gateway's folder.

    $ stillwatch fleet restore fleet.tar --folder /srv/stillwatch
    $ stillwatch fleet restore fleet.tar --state postgresql://stillwatch@db2.internal/stillwatch
    $ stillwatch fleet restore fleet.tar --force

    Run it first on the host whose folder is most complete, then on each other one: the database is written
    once. All gateways must be stopped. Needs PostgreSQL's pg_restore.
    """
    from stillwatch.gateway.fleet.backup import restore

    restored = restore(archive, folder, state, whoami(), utc_us(), force=force)
    if as_json:
        print_json(asdict(restored))
        return
    outcome = "is restored" if restored.database else "had been restored from this before"
    print(f"the database {outcome}; keys and enforcement statuses have revision {restored.revision}")
    if restored.folder_knew is not None:
        print(f"the folder knew revision {restored.folder_knew}, later than the back-up: that is kept")
    print(f"put into {folder}: {', '.join(restored.files) or 'nothing'}")


@contextmanager
def _open_member(folder: Path) -> Iterator[ControlState]:
    """Open a folder's state. Raises: InputError if it does not belong to a fleet."""
    with open_state(folder) as state:
        if state.fleet is None:
            raise InputError(f"{folder}: is in no fleet; `stillwatch serve --state postgresql://…` joins one")
        yield state


@contextmanager
def _fleet(folder: Path) -> Iterator[FleetDatabase]:
    with _open_member(folder) as state:
        assert state.fleet is not None
        yield state.fleet
