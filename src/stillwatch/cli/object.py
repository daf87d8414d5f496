"""`stillwatch object`: the owners of files, batches, responses and threads at the upstream."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from stillwatch.cli.folder import FOLDER, PAGE, AsJson, AtFolder, DryRun, iso_time, open_state, table, whoami
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.verb import group, verb
from stillwatch.errors import InputError
from stillwatch.gateway.control.owners import EVERYBODY, Object, Owners
from stillwatch.gateway.folder import Folder
from stillwatch.units import utc_us

app = group("Objects stored at the upstream, and whose they are.")
ALL = "everybody"


@verb(app, "list")
def list_command(
    account: Annotated[str | None, typer.Option(help="Only objects of this account.")] = None,
    folder: AtFolder = FOLDER,
    as_json: AsJson = False,
) -> None:
    """List the objects whose owner is known.

    $ stillwatch object list --account acme
    $ stillwatch object list --json | jq -r '.[] | select(.kind == "files").name'
    """
    objects: list[Object] = []
    with _owners(folder) as owners:
        while len(page := owners.page(account, objects[-1].name if objects else "", PAGE)) == PAGE:
            objects += page
        objects += page
    if as_json:
        print_json([_as_json(listed) for listed in objects])
        return
    rows = [
        (
            listed.name,
            listed.account or f"({ALL})",
            listed.kind,
            iso_time(listed.made_us),
            iso_time(listed.until_us),
        )
        for listed in objects
    ]
    table(("object", "account", "kind", "since", "forgotten"), rows, "no object is known yet")


@verb(app, "show")
def show_command(
    name: Annotated[str, typer.Argument(metavar="ID", help="The object's id, as the upstream writes it.")],
    folder: AtFolder = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Show who owns an object.

    $ stillwatch object show file-abc123
    """
    with _owners(folder) as owners:
        stored = owners.object(name)
    if stored is None:
        raise InputError(
            f"{one_line(name)} has no owner, so every account gets 404; "
            "`stillwatch object assign ID ACCOUNT` gives it one"
        )
    whose = stored.account or ALL
    print(json.dumps(_as_json(stored), indent=1) if as_json else f"{one_line(name)} is of {one_line(whose)}")


@verb(app, "assign")
def assign_command(
    name: Annotated[str, typer.Argument(metavar="ID", help="The object's id, as the upstream writes it.")],
    account: Annotated[str | None, typer.Argument(metavar="ACCOUNT", help="The new owner.")] = None,
    everybody: Annotated[
        bool, typer.Option("--everybody", help="All accounts may read and use it; none may change it.")
    ] = False,
    folder: AtFolder = FOLDER,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Assign an object to an account, whoever owned it. Takes effect at once.

    $ stillwatch object assign file-abc123 acme
    $ stillwatch object assign vs_handbook --everybody
    """
    if everybody == (account is not None):
        raise InputError("give either an ACCOUNT or --everybody")
    to = EVERYBODY if account is None else account
    now_us = utc_us()
    with open_state(folder) as state, _owners(folder) as owners:
        if to != EVERYBODY and to not in {known_account for known_account, _, _ in state.accounts()}:
            raise InputError(
                f"there is no account {one_line(to)}; `stillwatch key list` shows them, and "
                "`stillwatch key issue ACCOUNT` makes one"
            )
        before = owners.object(name)
        had = None if before is None else before.account or ALL
        if not dry_run:
            owners.assign(name, to, now_us)
            detail = {"account": to or ALL, "had": had}
            state.event(whoami(), "object assigned", name, detail, now_us=now_us)
    if as_json:
        print_json({"name": name, "account": to or None, "everybody": everybody, "had": had})
        return
    outcome = "would be" if dry_run else "is now"
    of = f" (was of {one_line(had)})" if had else ""
    print(f"{one_line(name)} {outcome} of {one_line(to or ALL)}{of}")


def _owners(folder: Any) -> Owners:
    with open_state(folder):  # requires a gateway's folder
        return Owners(Folder(folder.resolve()).objects)


def _as_json(stored: Object) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(stored).items() if not name.endswith("_us")}
    fields |= {"account": stored.account or None, "everybody": stored.account == EVERYBODY}
    return fields | {"since": iso_time(stored.made_us), "forgotten": iso_time(stored.until_us)}
