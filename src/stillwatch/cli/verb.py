"""Turns a function into a verb: its parameters are the options, its docstring is the help.

Docstring lines that begin with `$` are the examples. Options that several verbs share are one parameter: a
dataclass whose fields are the options.
"""

import copy
import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Any

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from stillwatch.errors import InputError

Verb = Callable[..., None]

SEPARATE = {  # verbs of this project's other distributions, and the extra that installs each
    "ban probe": "provenance",
    "coin exclude": "provenance",
    "coin seal": "provenance",
    "coin witness": "provenance",
    "distill": "distill",
    "economics": "distill",
    "identify": "provenance",
    "prove": "provenance",
    "range": "range",
}


class VerbGroup(TyperGroup):
    """Verbs below one name; says what to install for a verb of another distribution."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        typed, above = args[0], ctx
        while above.parent is not None:
            typed, above = f"{above.info_name} {typed}", above.parent
        if typed in SEPARATE and self.get_command(ctx, args[0]) is None:
            part = SEPARATE[typed]
            folders = " ".join(f"./distributions/{name}" for name in dict.fromkeys(("distill", part)))
            raise InputError(
                f"`{typed}` is in the package stillwatch-{part}: pip install 'stillwatch[{part}]', or in a "
                f"checkout pip install {folders}"
            )
        return super().resolve_command(ctx, args)


class VerbCommand(TyperCommand):
    """A verb whose help omits `--no-…` of flags that are off anyway: it would shorten other names."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        all_parameters = self.params
        self.params = [_without_negative(parameter) for parameter in all_parameters]
        try:
            super().format_help(ctx, formatter)
        finally:
            self.params = all_parameters


def _without_negative(parameter: Any) -> Any:
    if parameter.default is not False or not parameter.secondary_opts:
        return parameter
    shown = copy.copy(parameter)
    shown.secondary_opts = []
    return shown


def group(text: str) -> typer.Typer:
    """Make an app for the verbs of one name. text: its help, above the verbs and in the parent's list."""
    app = typer.Typer(help=text, cls=VerbGroup, no_args_is_help=True, add_completion=False)

    @app.callback()  # otherwise an app of one verb would be that verb
    def about() -> None: ...

    return app


def verb(
    app: typer.Typer, name: str, epilog: str | None = None, hidden: bool = False
) -> Callable[[Verb], Verb]:
    """Add a function to the command line under this name."""

    def add(call: Verb) -> Verb:
        text, examples = split_examples(escape(inspect.getdoc(call) or ""))
        command = app.command(name, cls=VerbCommand, help=text, epilog=epilog or examples, hidden=hidden)
        return command(expand_groups(call))

    return add


def split_examples(docstring: str) -> tuple[str, str | None]:
    r"""Split a docstring into the help, and the text printed below the options.

    >>> split_examples("Look.\n\n$ stillwatch look a\n$ stillwatch look b\n\nIt looks.")
    ('Look.', '\nExamples:\n\n  stillwatch look a\n\n  stillwatch look b\n\nIt looks.\n')
    """
    text, dollar, examples = f"\n{docstring}".partition("\n\n$ ")
    examples = re.sub(r"^ ", "   ", examples, flags=re.MULTILINE).replace("\n$ ", "\n\n  ")
    return text.strip(), f"\nExamples:\n\n  {examples}\n" if dollar else None


def expand_groups(call: Verb) -> Verb:
    """Replace each parameter that is a dataclass by its fields in the function's signature."""
    parameters, groups = [], {}
    for parameter in inspect.signature(call).parameters.values():
        if not is_dataclass(parameter.annotation):
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        groups[parameter.name] = parameter.annotation
        for field in fields(parameter.annotation):
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            parameters.append(
                inspect.Parameter(
                    field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=field.type
                )
            )
    if not groups:
        return call

    @wraps(call)
    def call_expanded(**options: Any) -> None:
        for name, group in groups.items():
            options[name] = group(**{field.name: options.pop(field.name) for field in fields(group)})  # type: ignore[operator]
        call(**options)

    call_expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call_expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call_expanded
