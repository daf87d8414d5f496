"""`stillwatch console`: serves the console of a folder of reports and cases; manages its users."""

import json
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stillwatch.cases.audit.trail import attach
from stillwatch.cases.store import Store
from stillwatch.cli.case_opening import CASES, KEY, AuditKey, CasesUrl
from stillwatch.cli.folder import AsJson, iso_time, table, whoami
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.verb import expand_groups, group, verb
from stillwatch.errors import InputError
from stillwatch.report.findings import FINDINGS
from stillwatch.report.findings import FOLDER as REPORTS
from stillwatch.units import utc_us

ROLES = ("reader", "analyst", "approver")


class Places(TyperGroup):
    """Lets a folder stand in the place of a verb: `stillwatch console report`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["--folder", *args]
        return list(super().parse_args(ctx, args))


app = typer.Typer(
    cls=Places,
    help="Look at cases, decide, act.",
    add_completion=False,
    subcommand_metavar="[FOLDER | user ... | token ...]",
)
users = group("Who may log in to the console.")
app.add_typer(users, name="user")
api_tokens = group("API tokens: what a program shows in place of a session.")
app.add_typer(api_tokens, name="token")

EXAMPLES = """
Examples:

  stillwatch console stillwatch-report

  stillwatch console stillwatch-report --cases postgresql://host/cases --port 9000

  stillwatch console stillwatch-report --log logs/may.parquet --accounts accounts.csv

  stillwatch console user add anna --role analyst
"""
Folder = Annotated[Path, typer.Option("--folder", help="Where the report and the cases are.")]


@dataclass(frozen=True)
class ConsolePlace:
    """The options of a verb on a console's users: where the folder and the cases are."""

    folder: Folder = REPORTS
    cases: CasesUrl = None
    audit_key: AuditKey = None

    def open(self, make: bool = False) -> Store:
        """Open the cases with their trail and the console's tables.

        They are created if `make` is set or a URL is given. Raises: InputError.
        """
        from stillwatch.console import people

        folder = self.folder
        if not folder.is_dir():
            raise InputError(
                f"{folder}: is no folder; `stillwatch scan LOG... --out {folder}` or `stillwatch serve` "
                "makes one, --folder names another"
            )
        if self.cases is None and not make and not (folder / CASES).exists():
            how = f"`stillwatch scan LOG... --out {folder}` makes a report, of which the console makes cases"
            if (folder / FINDINGS).exists():
                how = f"`stillwatch console {folder}` makes them of its report"
            raise InputError(f"{folder}: holds no cases; {how}")
        store = Store(self.cases or f"sqlite:///{(folder / CASES).resolve()}")
        with ExitStack() as undo:
            undo.callback(store.close)
            attach(store, self.audit_key or folder / KEY)
            people.prepare(store)
            undo.pop_all()
        return store


HERE = ConsolePlace()


@dataclass(frozen=True)
class PagesOptions(ConsolePlace):
    """The options of the verb that serves pages."""

    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8090
    name: Annotated[list[str] | None, typer.Option(help="Further host name for browsers. Repeatable.")] = None
    cert: Annotated[Path | None, typer.Option(help="TLS: PEM file of the certificate chain.")] = None
    cert_key: Annotated[Path | None, typer.Option(help="TLS: PEM file of the certificate's key.")] = None
    behind_tls: Annotated[
        bool, typer.Option("--behind-tls", help="A proxy in front of it speaks TLS with browsers.")
    ] = False
    log: Annotated[
        list[Path] | None,
        typer.Option(
            help="Parquet file of exchanges: SQL asks about it without texts, pages show days, networks and "
            "texts to analysts who give a reason. Repeatable."
        ),
    ] = None
    accounts: Annotated[
        Path | None, typer.Option(help="Accounts table (Parquet, JSONL or CSV): payment, sign-up.")
    ] = None

    def check(self) -> None:
        """Refuse missing files, and settings that would send passwords in clear text. Raises: InputError."""
        if (self.cert is None) != (self.cert_key is None):
            raise InputError("--cert and --cert-key go together: give both")
        if self.cert is None and not self.behind_tls and self.host not in ("127.0.0.1", "localhost", "::1"):
            raise InputError(
                f"{self.host}: passwords would cross the network in the clear; give --cert and --cert-key, "
                "or --behind-tls"
            )
        for file in (self.cert, self.cert_key, self.accounts, *(self.log or ())):
            if file is not None and not file.is_file():
                raise InputError(f"{file}: no such file")


AS_IT_IS = PagesOptions()


def console_command(ctx: typer.Context, options: PagesOptions = AS_IT_IS) -> None:
    """Serve the console of a folder: its report's findings become cases that people judge.

    FOLDER may stand in the place of a verb. The first start prints a user name and a password, once.
    """
    if ctx.invoked_subcommand is None:
        _serve_pages(options)


app.callback(invoke_without_command=True, epilog=EXAMPLES)(expand_groups(console_command))


def _serve_pages(options: PagesOptions) -> None:
    # Imported here: the page server would slow down every other verb by a third of a second.
    import uvicorn

    from stillwatch.console import people
    from stillwatch.console.app import make
    from stillwatch.console.folder import LoggedFolder, ReportFolder
    from stillwatch.console.openid import load_provider
    from stillwatch.console.pages.identity_login import BACK
    from stillwatch.console.settings import load_settings
    from stillwatch.exchanges.accounts import read_accounts
    from stillwatch.exchanges.rejects import Rejects
    from stillwatch.gateway.admin.connections import BACKLOG, AdminConnection
    from stillwatch.gateway.probe import bind

    options.check()
    folder, names, logs, accounts = options.folder, options.name or [], options.log or [], options.accounts
    provider, settings = load_provider(folder), load_settings(folder)
    with options.open(make=True) as store:
        report_lines = _fold_report(store, folder)
        first = people.first_way_in(store, who=whoami(), now_us=utc_us())
        door = bind(options.host, options.port, "--port")
        host_text = f"[{options.host}]" if ":" in options.host else options.host
        scheme = "http" if options.cert is None else "https"
        hosts = {"127.0.0.1", "localhost", "[::1]", host_text, *names}
        secure = True if options.behind_tls or options.cert is not None else None
        own_url = f"{scheme}://{names[0] if names else host_text}:{options.port}"
        lines = [f"Console:  {own_url}/", *report_lines]
        if first is not None:
            lines.append(f"Log in:   {first.name}   {first.password}   (an approver; shown once)")
        if provider is not None:
            back = provider.settings.redirect_uri or own_url + BACK
            lines.append(f"Log in:   with {provider.settings.label}, which sends browsers back to {back}")
        lines.append(f"Users:    stillwatch console user add NAME --role analyst --folder {folder}")
        with suppress(OSError, ValueError):  # nobody reads it, which must not end the server
            print("\n".join(lines), flush=True)
        account_table = None if accounts is None else read_accounts(accounts, rejects=Rejects())
        behind = (
            LoggedFolder(folder, store, tuple(logs), account_table)
            if logs or accounts
            else ReportFolder(folder, store)
        )
        config = uvicorn.Config(
            make(store, behind, hosts=hosts, secure=secure, settings=settings, provider=provider),
            log_config=None,
            access_log=False,
            lifespan="off",
            http=AdminConnection,
            ws="none",
            backlog=BACKLOG,
            server_header=False,
            # the address that failed log-ins count for: only a proxy on this machine is believed
            proxy_headers=options.behind_tls,
            forwarded_allow_ips=["127.0.0.1", "::1"],
            limit_concurrency=200,
            ssl_certfile=options.cert,
            ssl_keyfile=options.cert_key,
        )
        uvicorn.Server(config).run(sockets=[door])


def _fold_report(store: Store, folder: Path) -> list[str]:
    """Make cases of the folder's report; existing cases stay as they are."""
    from stillwatch.cases.fold import fold
    from stillwatch.report.findings import load

    if not (folder / FINDINGS).exists():
        return []
    folded = fold(store, load(folder), utc_us(), f"report {folder.resolve().name}")
    new = len(folded.opened) + len(folded.came_back)
    return [f"Cases:    {new} new, {len(folded.updated)} with something new, of {folder / FINDINGS}"]


# --- users ---

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Two or more.")]


@verb(users, "add")
def add_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits, dots, dashes.")],
    role: Annotated[
        str, typer.Option(help="reader views; analyst judges, acts, requests; approver also approves.")
    ] = "reader",
    generate: Annotated[
        bool, typer.Option("--generate", help="Generate a password and print it once.")
    ] = False,
    subject: Annotated[
        str | None,
        typer.Option(help="Who it is at the identity provider (`sub`): logs in there, without a password."),
    ] = None,
    place: ConsolePlace = HERE,
    as_json: AsJson = False,
) -> None:
    """Add a user, or change a user's role and password, which ends that user's sessions.

    The password is requested twice on a terminal, else read as one line from standard input.

    $ stillwatch console user add anna --role analyst
    $ stillwatch console user add ben --role approver --generate
    $ stillwatch console user add cleo --role analyst --subject 00u1x7kQ
    """
    from stillwatch.console import UserRole, identities, people
    from stillwatch.console.password_rules import random_password
    from stillwatch.console.settings import load_settings

    settings = load_settings(place.folder)
    if role not in ROLES:
        raise InputError(f"--role is {role!a}; give one of {', '.join(ROLES)}")
    if subject is not None and generate:
        raise InputError("--subject and --generate: who logs in at an identity provider has no password here")
    identity = None if subject is None else identities.BoundIdentity(_provider_issuer(place.folder), subject)
    has_report = (place.folder / FINDINGS).exists()  # the console makes its cases at the next start
    with place.open(make=has_report) as store:
        password = ""
        if identity is not None:
            identities.bind(store, name, UserRole[role.upper()], identity, who=whoami(), now_us=utc_us())
        else:
            password, words = random_password(name) if generate else _read_password(), settings.password_words
            people.add(
                store, name, UserRole[role.upper()], password, who=whoami(), now_us=utc_us(), words=words
            )
        approvers = [
            u for u in people.everybody(store) if u.role is UserRole.APPROVER and u.disabled_us is None
        ]
    document = {"name": name, "role": role} | ({"password": password} if generate else {})
    if as_json:
        print_json(document)
        return
    print(f"{one_line(name)} may log in as {role}" + (f" with   {password}" if generate else ""))
    if len(approvers) < 2:
        who_may = "nobody" if not approvers else "one person only"
        print(
            f"{who_may} may approve: a step or an appeal may need another; add one with --role approver",
            file=sys.stderr,
        )


def _provider_issuer(folder: Path) -> str:
    """Return the identity provider of a folder's console. Raises: InputError if it has none."""
    from stillwatch.console.openid import FILE, load_provider

    provider = load_provider(folder)
    if provider is None:
        raise InputError(
            f"{folder / FILE}: no such file; it names the identity provider that knows the subject"
        )
    return provider.settings.issuer


def _read_password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


@verb(users, "list")
def list_command(place: ConsolePlace = HERE, as_json: AsJson = False) -> None:
    """List current and former users, and which of them count as one person.

    $ stillwatch console user list --json
    """
    from stillwatch.cases.persons import Persons
    from stillwatch.console import identities, people, second_factor

    with place.open() as store:
        everybody, bound = people.everybody(store), identities.bound(store)
        proven = {u.name for u in everybody if second_factor.is_confirmed(store, u.name)}
        with store.reading() as db:
            persons, names, now_us = Persons.read(db), [u.name for u in everybody], utc_us()
    rows: list[dict[str, Any]] = [
        {
            "name": u.name,
            "role": u.role.name.lower(),
            "added": iso_time(u.created_us),
            "disabled": iso_time(u.disabled_us),
            "second_factor": u.name in proven,
            "issuer": bound[u.name].issuer if u.name in bound else None,
            "subject": bound[u.name].subject if u.name in bound else None,
            "one_person_with": [n for n in persons.names_of(u.name, names, now_us) if n != u.name],
        }
        for u in everybody
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        row["one_person_with"] = ", ".join(row["one_person_with"])
    heads = ("name", "role", "added", "disabled", "subject", "one_person_with")
    table(heads, [tuple(str(row[n] or "") for n in heads) for row in rows], "nobody may log in yet")


@verb(users, "link")
def link_command(
    names: Names,
    why: Annotated[str, typer.Option(help="Reason.")] = "",
    place: ConsolePlace = HERE,
    as_json: AsJson = False,
) -> None:
    """Declare that names are one person: none of them approves or decides what another of them did.

    A name is a user here, or a user of the machine, as the command line records it.

    $ stillwatch console user link anna anna.berg@corp.example --why "her single sign-on"
    """
    _set_link(names, True, why, place, as_json)


@verb(users, "unlink")
def unlink_command(
    names: Names,
    why: Annotated[str, typer.Option(help="Reason.")] = "",
    place: ConsolePlace = HERE,
    as_json: AsJson = False,
) -> None:
    """Declare that each of these names is another person, although they share an address or were linked.

    An ended link still counts for what was done before. Nobody may do this for their own name.

    $ stillwatch console user unlink anna ben --why "the desk's shared mailbox"
    """
    _set_link(names, False, why, place, as_json)


def _set_link(names: list[str], is_one: bool, why: str, place: ConsolePlace, as_json: bool) -> None:
    from stillwatch.cases.persons import link
    from stillwatch.console import people

    with place.open() as store:
        pairs = link(store, names, is_one, who=whoami(), why=why, now_us=utc_us())
        strange = sorted(set(names) - {user.name for user in people.everybody(store)})
    if as_json:
        print_json({"names": sorted(set(names)), "one_person": is_one, "pairs": len(pairs)})
    else:
        meaning = "count as one person" if is_one else "count as different people"
        print(f"{one_line(', '.join(sorted(set(names))))} {meaning}")
    for name in strange:
        print(f"{name!a} is no user here: taken as a user of the machine", file=sys.stderr)


@verb(users, "disable")
def disable_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose access ends.")],
    place: ConsolePlace = HERE,
    as_json: AsJson = False,
) -> None:
    """End a user's access now, with all sessions. Records of what the user did stay.

    $ stillwatch console user disable anna
    """
    from stillwatch.console import people

    with place.open() as store:
        people.disable(store, name, who=whoami(), now_us=utc_us())
    print(
        json.dumps({"name": name, "disabled": True}) if as_json else f"{one_line(name)} can no longer log in"
    )


@verb(users, "forget")
def forget_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who has left, and was disabled.")],
    why: Annotated[str, typer.Option(help="Stays on record.")] = "",
    place: ConsolePlace = HERE,
    as_json: AsJson = False,
) -> None:
    """Delete the data of a user who has left: address, identity, second factor, identity marks.

    The name stays on what that user did. Refused while that can be appealed, or is in an open case.

    $ stillwatch console user forget anna --why "left in May"
    """
    from stillwatch.console import people

    with place.open() as store:
        marks = people.forget(store, name, who=whoami(), why=why, now_us=utc_us())
    sentence = f"{one_line(name)} is only a name now; {marks} identity marks were deleted"
    print(json.dumps({"name": name, "marks": marks}) if as_json else sentence)


@verb(users, "reset-second-factor")
def reset_second_factor_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who has lost it.")],
    place: ConsolePlace = HERE,
    as_json: AsJson = False,
) -> None:
    """Remove a user's second factor and end all sessions. First make sure that the request is really theirs.

    $ stillwatch console user reset-second-factor anna
    """
    from stillwatch.console import second_factor

    with place.open() as store:
        second_factor.reset(store, name, who=whoami(), now_us=utc_us())
    sentence = f"{one_line(name)} logs in with the password alone, until they set another up"
    print(json.dumps({"name": name, "second_factor": False}) if as_json else sentence)


# --- API tokens ---


@verb(api_tokens, "add")
def add_token_command(
    user: Annotated[str, typer.Argument(metavar="USER", help="Its user, whose rights it cannot exceed.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, such as the program that uses it.")],
    scope: Annotated[
        str, typer.Option(help="read sees what a reader sees; triage also notes, assigns, judges, closes.")
    ] = "read",
    days: Annotated[int, typer.Option(help="How long it works.")] = 90,
    place: ConsolePlace = HERE,
    as_json: AsJson = False,
) -> None:
    """Create an API token and print it once.

    $ stillwatch console token add anna nightly --scope read --days 30
    """
    from stillwatch.console import tokens

    if scope not in list(tokens.TokenScope):
        raise InputError(f"--scope is {scope!a}; give one of {', '.join(tokens.TokenScope)}")
    with place.open() as store:
        token_scope = tokens.TokenScope(scope)
        secret = tokens.make(store, user, name, token_scope, days, who=whoami(), now_us=utc_us())
    document = {"user": user, "name": name, "scope": scope, "days": days, "token": secret}
    print_json(document) if as_json else print(f"{one_line(user)}, {name}, {scope}, {days} days:   {secret}")


@verb(api_tokens, "list")
def list_tokens_command(
    user: Annotated[
        str, typer.Argument(metavar="[USER]", help="Only this user's; default: everybody's.")
    ] = "",
    place: ConsolePlace = HERE,
    as_json: AsJson = False,
) -> None:
    """List API tokens with their last use, including those that no longer work.

    $ stillwatch console token list --json
    """
    from stillwatch.console import people, tokens

    with place.open() as store:
        names = [user] if user else [u.name for u in people.everybody(store)]
        rows = [
            {"user": owner, **tokens.token_row(token, utc_us())}
            for owner in names
            for token in tokens.of_user(store, owner)
        ]
    if as_json:
        print_json(rows)
        return
    heads = ("user", "name", "scope", "state", "expires", "last_used")
    table(heads, [tuple(row[n] or "" for n in heads) for row in rows], "there are no tokens")


@verb(api_tokens, "revoke")
def revoke_token_command(
    user: Annotated[str, typer.Argument(metavar="USER", help="Whose token it is.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The token's.")],
    place: ConsolePlace = HERE,
    as_json: AsJson = False,
) -> None:
    """End an API token now.

    $ stillwatch console token revoke anna nightly
    """
    from stillwatch.console import tokens

    with place.open() as store:
        tokens.revoke(store, user, name, who=whoami(), now_us=utc_us())
    document = {"user": user, "name": name, "revoked": True}
    print_json(document) if as_json else print(f"{one_line(user)}'s token {name} no longer works")
