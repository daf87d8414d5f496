"""`stillwatch serve`: parse the arguments, show what is served where, keep it running."""

import os
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from stillwatch.cli.folder import FOLDER, FOLDER_VARIABLE
from stillwatch.cli.main import CANNOT, one_line, print_json
from stillwatch.cli.verb import verb
from stillwatch.errors import InputError
from stillwatch.gateway.fleet.store import is_store
from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.gateway.handover import InheritedFiles, become_the_next, check_next, take
from stillwatch.gateway.instance import running_pid
from stillwatch.gateway.settings import UPSTREAM_KEY_VARIABLE, GatewaySettings, new_name
from stillwatch.gateway.setup_check import SetupCheck, look, place_terms, upstream_key

LOCAL = "local"  # of --state: the folder leaves its fleet
NO_TABLE = "none"  # of --networks


@dataclass(frozen=True)
class SettingOptions:
    """The options that a folder remembers for the next start."""

    upstream: Annotated[
        str | None,
        typer.Option(help="Where the model is, as https://host:port/prefix. Needed the first time only."),
    ] = None
    host: Annotated[str | None, typer.Option(help="Address for clients.", show_default="127.0.0.1")] = None
    port: Annotated[int | None, typer.Option(help="Port for clients.", show_default="8080")] = None
    admin_host: Annotated[
        str | None, typer.Option(help="Address of the admin port.", show_default="127.0.0.1")
    ] = None
    admin_port: Annotated[int | None, typer.Option(help="Admin port.", show_default="8081")] = None
    hooks_host: Annotated[
        str | None, typer.Option(help="Address of the hooks port.", show_default="127.0.0.1")
    ] = None
    hooks_port: Annotated[
        int | None, typer.Option(help="Port for gateways you already run; 0: none.", show_default="none")
    ] = None
    workers: Annotated[int | None, typer.Option(help="Worker processes.", show_default="1")] = None
    cases: Annotated[
        str | None,
        typer.Option(
            help="Database of the cases, as postgresql://USER@HOST/NAME.",
            show_default="cases.db in the folder",
        ),
    ] = None
    state: Annotated[
        str | None,
        typer.Option(
            help="Database of the fleet's state, as postgresql://USER@HOST/NAME; local: no fleet.",
            show_default="state.db in the folder",
        ),
    ] = None
    shared: Annotated[
        str | None,
        typer.Option(
            help="What all gateways of the fleet write to: a folder, or s3://BUCKET/PREFIX.",
            show_default="none",
        ),
    ] = None
    gateway: Annotated[
        str | None, typer.Option(help="Its name in the fleet.", show_default="made of the host's name")
    ] = None
    networks: Annotated[
        list[str] | None,
        typer.Option(
            help="Table of networks by which captured addresses get their asn; several times for several "
            "files; none: no table.",
            show_default="none",
        ),
    ] = None
    upstream_ca: Annotated[
        str | None, typer.Option(help="PEM file of certificates to trust besides the system's.")
    ] = None
    upstream_timeout_s: Annotated[
        float | None, typer.Option(help="Seconds without a byte from the upstream.", show_default="600")
    ] = None
    detector_memory_mb: Annotated[
        int | None,
        typer.Option(
            help="MB for the detector: past 450, 2,500 exchanges are kept in each.", show_default="4096"
        ),
    ] = None
    short_answers: Annotated[
        int | None,
        typer.Option(
            help="Tokens: groups with shorter answers stay leads; 0 if short answers are valuable, too.",
            show_default="192",
        ),
    ] = None
    shutdown_delay_s: Annotated[
        float | None,
        typer.Option(
            help="Seconds to keep serving after /readyz turns 503, so that load balancers notice.",
            show_default="5 in a fleet, else 0",
        ),
    ] = None
    log_format: Annotated[
        str | None, typer.Option(help="text, or json: one object a line.", show_default="text")
    ] = None
    log_level: Annotated[
        str | None,
        typer.Option(help="debug, info (one line a request), warning or error.", show_default="warning"),
    ] = None

    def typed_values(self) -> dict[str, Any]:
        """Return the options that were given."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        if self.upstream_ca is not None:
            values["upstream_ca"] = str(Path(self.upstream_ca).resolve())
        if self.shared is not None and not is_store(self.shared):
            values["shared"] = str(Path(self.shared).resolve())
        if self.networks is not None:
            network_files = [] if self.networks == [NO_TABLE] else self.networks
            values["networks"] = tuple(str(Path(network_file).resolve()) for network_file in network_files)
        return values


AS_BEFORE = SettingOptions()


def serve_command(
    options: SettingOptions = AS_BEFORE,
    folder: Annotated[Path, typer.Option(help="Folder for all its data.", envvar=FOLDER_VARIABLE)] = FOLDER,
    terms: Annotated[
        Path | None, typer.Option(help="Put this terms file into the folder before starting.")
    ] = None,
    upstream_key_file: Annotated[
        Path | None, typer.Option(help=f"File with the upstream's key; else {UPSTREAM_KEY_VARIABLE}.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Start nothing; check whether everything is in order.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --check: print it as JSON.")] = False,
) -> None:
    """Serve a model under the policy: record every exchange, watch for campaigns, refuse what is banned.

    $ stillwatch serve --upstream http://127.0.0.1:8000
    $ STILLWATCH_UPSTREAM_KEY=sk-... stillwatch serve --upstream https://api.example.com --workers 2
    $ stillwatch serve --check

    Exit codes: 0 stopped on request, or --check found no problem; 2 it cannot start.
    """
    settings = _merged_settings(Folder(folder.resolve()), options.typed_values())
    gateway = open_folder(folder)  # after the checks: a refused start creates no folder
    inherited = take()
    key = upstream_key(upstream_key_file)
    if not check and (inherited.lock is not None or running_pid(gateway) is None):
        place_terms(gateway, terms)
    checks = look(gateway, settings, key, terms if check else None, inherited)
    if check:
        _print_checks(checks, as_json)
        follows = running_pid(gateway) == os.getppid()  # our parent hands over: no error
        if any(item.verdict == "error" and not (follows and item.what == "folder") for item in checks):
            raise typer.Exit(CANNOT)
        return
    errors = [item.text for item in checks if item.verdict == "error"]
    if errors:
        raise InputError("; ".join(errors))
    _serve(gateway, settings, key, checks, inherited)


def _serve(
    folder: Folder,
    settings: GatewaySettings,
    key: str | None,
    checks: list[SetupCheck],
    inherited: InheritedFiles,
) -> None:
    # Imported here: the admin port's libraries would slow down every other verb by a third of a second.
    from stillwatch.gateway.child import report_crashes
    from stillwatch.gateway.logs import configure, tell
    from stillwatch.gateway.serving import StartNotice, serve

    report_crashes()
    configure(settings.log_format, settings.log_level, "supervisor")
    for check in checks:
        if check.verdict == "warning":
            tell(f"warning: {check.what}: {check.text}")
    environment = {name: value for name, value in os.environ.items() if name != UPSTREAM_KEY_VARIABLE}
    if key is not None:
        environment[UPSTREAM_KEY_VARIABLE] = key

    def announce(news: StartNotice) -> None:
        folder_option = "" if folder.path == FOLDER.resolve() else f" --folder {folder.path}"
        lines = [f"Clients:  {news.serves}/v1   ->  {settings.upstream}", f"Admin:    {news.admin}/health"]
        login = f"stillwatch console user add NAME --folder {folder.path}"
        lines.append(f"Console:  {news.admin}/console   (a login: {login})")
        if settings.hooks_port is not None:
            lines.append(f"Hooks:    http://{settings.hooks_host}:{settings.hooks_port}")
        if news.token is not None:
            lines.append(f"Token:    {news.token}   (for the admin port; shown once)")
        lines += [f"Terms:    {folder.terms}", f"Next:     stillwatch key issue ACCOUNT{folder_option}"]
        with suppress(OSError, ValueError):  # nobody reads it, which must not end the server
            print("\n".join(lines), flush=True)

    exit_state = serve(
        folder,
        settings,
        environment=environment,
        tell=tell,
        started=announce,
        inherited=inherited,
        rehearse=check_next,
    )
    if exit_state is not None:
        become_the_next(exit_state)


def _merged_settings(folder: Folder, typed: dict[str, Any]) -> GatewaySettings:
    """Merge the given options into the settings with which the folder was last served."""
    if folder.settings.exists():
        stored = asdict(GatewaySettings.load(folder.settings))
    elif "upstream" in typed:
        stored = {f.name: f.default for f in fields(GatewaySettings) if f.name != "upstream"}
    else:
        raise InputError(f"{folder.path}: was not served before; say where the model is with --upstream URL")
    if typed.get("hooks_port") == 0:
        typed = typed | {"hooks_port": None}
    if typed.get("state") == LOCAL:
        typed = typed | {"state": None, "shared": None}
    merged = stored | typed
    if merged.get("state") and not merged.get("gateway"):
        merged["gateway"] = new_name()
    return GatewaySettings(**merged)


def _print_checks(checks: list[SetupCheck], as_json: bool) -> None:
    if as_json:
        print_json([asdict(check) for check in checks])
        return
    for check in checks:
        print(f"{check.verdict:8}{check.what:14}{one_line(check.text)}")


def register(app: typer.Typer) -> None:
    """Add this command to the top of the command line."""
    verb(app, "serve")(serve_command)
