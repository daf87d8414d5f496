"""`stillwatch hooks`: the files that other gateways need, and checks of the setup. Changes nothing."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli.folder import FOLDER, AsJson, AtFolder, open_state, table
from stillwatch.cli.main import CANNOT, print_json
from stillwatch.cli.verb import group, verb
from stillwatch.errors import InputError
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.hooks.doctor import FILES, look
from stillwatch.units import utc_us

app = group("Connect gateways you already run.")

WHAT = {
    "stillwatch_litellm.py": "LiteLLM: the callback, to lie beside its config.yaml",
    "litellm.yaml": "LiteLLM: what its config.yaml needs",
    "envoy.yaml": "Envoy: ext_authz over HTTP, with the body",
    "nginx.conf": "nginx: auth_request",
}


@verb(app, "files")
def files_command(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Print only this file's path.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print where the files for LiteLLM, Envoy and nginx are.

    $ stillwatch hooks files
    $ cp $(stillwatch hooks files stillwatch_litellm.py) /etc/litellm/

    Exit codes: 0 printed; 2 there is no such file.
    """
    if name is not None:
        if name not in WHAT:
            raise InputError(f"{name!r} is no file for a gateway; there are {', '.join(WHAT)}")
        print(FILES / name)
    elif as_json:
        print_json([{"name": n, "for": w, "path": str(FILES / n)} for n, w in WHAT.items()])
    else:
        print(f"In {FILES}:")
        table(("file", "for"), list(WHAT.items()), "")


@verb(app, "doctor")
def doctor_command(
    litellm: Annotated[Path | None, typer.Option(help="LiteLLM's config.yaml, to be checked too.")] = None,
    folder: AtFolder = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Check whether the hooks can work with the present setup.

    $ stillwatch hooks doctor --litellm /etc/litellm/config.yaml

    Exit codes: 0 no problems, or only warnings; 2 something cannot work.
    """
    with open_state(folder):  # requires a gateway's folder
        checks = look(Folder(folder.resolve()), utc_us(), litellm)
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        table(("what", "", ""), [(check.what, check.verdict, check.text) for check in checks], "")
    if any(check.verdict == "error" for check in checks):
        raise typer.Exit(CANNOT)
