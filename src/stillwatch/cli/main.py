"""The `stillwatch` command: finds the verbs and turns refusals into one line and an exit code.

A verb is a module of the verb's name, beside this one or in an installed package that lists it in the entry
point group `stillwatch.commands`. It has `register(app)`, which adds its command at the top level, or a Typer
app named `app`, which is mounted under that name. Only the module of the given verb is imported, so a verb
does not load what others need.
"""

import json
import os
import pkgutil
import sys
import traceback
from contextlib import nullcontext
from importlib import metadata
from typing import Annotated, Any

import typer

import stillwatch
import stillwatch.cli
from stillwatch.cli.verb import VerbGroup
from stillwatch.errors import Faults, StillwatchError, machine_refusal
from stillwatch.plugins import blamed_on

GROUP = "stillwatch.commands"
CANNOT = 2  # the exit code for "could not do it"; 1 is kept for --fail-on-campaign
FAULT = 70  # a bug in the program: sysexits' EX_SOFTWARE
BROKEN_PIPE = 141  # 128 + SIGPIPE, what a shell reports if the reader of a pipe is gone
LAST_STREAM = 2  # the number of standard error

FIRST = (  # the verbs that the first help shows; it names the others
    *("scan", "explain", "inspect", "serve", "key", "terms", "case", "console", "ban"),
    *("prove", "range", "distill"),
)
EXAMPLES = """
Examples:

  stillwatch scan logs/*.parquet                 find the campaigns in a log

  stillwatch scan api.jsonl.gz --accounts a.csv  the same, accounts known

  stillwatch explain acct_1234                   why an account was named
"""


def one_line(text: str) -> str:
    r"""Make text from a log safe to print: one line, nothing that steers a terminal.

    >>> one_line("a.jsonl:3: bad\nvalue \x1b[2J")
    'a.jsonl:3: bad value \\x1b[2J'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))


def print_json(document: object) -> None:
    """Print output for a program."""
    print(json.dumps(document, indent=1))


class Verbs(VerbGroup):
    """The group of all verbs: every refusal in one becomes a line on stderr and an exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        self._mount(modules())
        others = sorted(self.commands.keys() - FIRST)
        self.epilog = f"{EXAMPLES}\nMore verbs, each with --help: {', '.join(others)}\n"
        for name in others:
            self.commands[name].hidden = True
        return [*(name for name in FIRST if name in self.commands), *others]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands:
            self._mount(modules(cmd_name) or modules())
        return super().get_command(ctx, cmd_name)

    def _mount(self, points: list[metadata.EntryPoint]) -> None:
        self.commands.update(typer.main.get_group(mount(points)).commands)

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except StillwatchError as error:
            for line in error.lines if isinstance(error, Faults) else (str(error),):
                print(f"stillwatch: {one_line(line)}", file=sys.stderr)
            raise typer.Exit(CANNOT) from error
        except BrokenPipeError as error:
            _discard_output()
            raise typer.Exit(BROKEN_PIPE) from error
        return result


app = typer.Typer(
    name="stillwatch",
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a decorated traceback may print content of the log
    epilog=EXAMPLES,
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"stillwatch {stillwatch.__version__}")
        raise typer.Exit


@app.callback()
def stillwatch_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Watch a model API for unauthorised distillation: find the actor behind any number of accounts."""


def modules(verb: str = "") -> list[metadata.EntryPoint]:
    """Find the modules of all verbs, or of one: modules such as `prove_coin` add their verbs to the app of
    `prove`.

    A package cannot take the name of a verb beside this module.
    """
    names = [module.name for module in pkgutil.iter_modules(stillwatch.cli.__path__) if module.name != "main"]
    beside = {name: metadata.EntryPoint(name, f"stillwatch.cli.{name}", GROUP) for name in names}
    points = {point.name: point for point in metadata.entry_points(group=GROUP)} | beside
    chosen = [name for name in sorted(points) if not verb or name == verb or name.startswith(f"{verb}_")]
    return [points[name] for name in chosen] if not verb or verb in chosen else []


def mount(points: list[metadata.EntryPoint]) -> typer.Typer:
    """Import modules and add their verbs to a new app.

    Raises: InputError if the module of an installed package cannot be imported.
    """
    verbs = typer.Typer()
    apps: list[typer.Typer] = []
    for point in points:
        place = f"entry point {point.name} = {point.value} of {GROUP}: cannot be loaded"
        with blamed_on(place) if point.dist else nullcontext():
            module = point.load()
        if hasattr(module, "register"):
            module.register(verbs)
        elif isinstance(getattr(module, "app", None), typer.Typer) and module.app not in apps:
            apps.append(module.app)
            verbs.add_typer(module.app, name=point.name)
    return verbs


def _discard_output() -> None:
    """Discard output: Python flushes once more at exit, and would print a second complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_closed_streams() -> None:
    """Open the null device for standard streams that are closed, here and in children.

    Otherwise the next file opened takes the stream's number, and output goes into that file.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= LAST_STREAM:
        os.set_inheritable(handle, True)
    os.close(handle)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def run() -> None:
    """Run the command line (the entry point of the installed `stillwatch`)."""
    _open_closed_streams()
    try:
        app()
    except Exception as error:  # noqa: BLE001 - the edge of the process: 1 would mean that a campaign was found
        why = machine_refusal(error)
        if why is None:
            traceback.print_exc()
            sys.exit(FAULT)
        _discard_output()
        print(f"stillwatch: {one_line(why)}", file=sys.stderr)
        sys.exit(CANNOT)
