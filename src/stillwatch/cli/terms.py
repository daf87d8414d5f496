"""`stillwatch terms`: create, check, compare and test a policy file."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli.folder import AsJson, table
from stillwatch.cli.main import print_json
from stillwatch.cli.verb import group, verb
from stillwatch.errors import InputError
from stillwatch.terms import Terms, TermsError
from stillwatch.terms.diff import difference
from stillwatch.terms.load import check, default_text, load, loads, read
from stillwatch.terms.trial import run
from stillwatch.units import utc_us

app = group("Policy file: check, test, compare.")

FAILED, CANNOT = 1, 2


@verb(app, "init")
def init_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to make.")],
    owner: Annotated[str, typer.Option(help="The owner of the rules.")] = "",
) -> None:
    """Write an initial policy file: it bans and limits nothing, and shows what can be written.

    $ stillwatch terms init terms.toml --owner "Example Inc."
    """
    text = default_text(owner)
    try:
        loads(text)
    except TermsError as error:
        raise InputError(f"--owner {owner!r} cannot stand in a terms file; give printable text") from error
    try:
        with file.open("x", encoding="utf-8") as new_file:
            new_file.write(text)
    except FileExistsError as error:
        raise InputError(f"{file}: is there already; remove it first, or give another name") from error
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror}") from error
    print(f"{file}: written; change it and run `stillwatch terms check {file}`")


@verb(app, "check")
def check_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A terms file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print problems and warnings as JSON.")] = False,
) -> None:
    """Report all problems in a policy file, each with its line, and warnings.

    $ stillwatch terms check terms.toml
    $ stillwatch terms check terms.toml --json | jq -r '.problems[]'

    Exit codes: 0 usable, perhaps with warnings; 2 not usable: every problem is listed with its line.
    """
    try:
        checked = check(read(file), str(file), utc_us())
        problems, warnings, terms = checked.problems, checked.warnings, checked.terms
    except TermsError as error:
        problems, warnings, terms = tuple(error.problems), (), None
    if as_json:
        version = terms.version if terms is not None else None
        print_json({"version": version, "problems": problems, "warnings": warnings})
    else:
        for sentence in problems:
            print(sentence)
        for sentence in warnings:
            print(f"warning: {sentence}")
        if terms is not None:
            print(f"{file}: version {terms.version}, {_extent(terms)}")
    if problems:
        raise typer.Exit(CANNOT)


def _extent(terms: Terms) -> str:
    amounts = (
        (len(terms.bans), "ban"),
        (len(terms.exceptions), "exception"),
        (len(terms.permissions), "permission"),
        (len(terms.ladder.rungs), "ladder rule"),
        (len(terms.tests), "test"),
    )
    extent = ", ".join(f"{amount:,} {word}{'' if amount == 1 else 's'}" for amount, word in amounts)
    return extent if terms.holds.mode == "off" else f"{extent}, holds: {terms.holds.mode}"


@verb(app, "diff")
def diff_command(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The terms in force.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The terms to come.")],
    as_json: AsJson = False,
) -> None:
    """Show what changes between two policy files: what gets stricter and what looser.

    $ stillwatch terms diff terms.toml new.toml
    $ stillwatch terms diff terms.toml new.toml --json | jq '.changes[] | select(.direction == "looser")'

    Exit codes: 0 compared; 2 one of them cannot be used.
    """
    changes = difference(load(old), load(new), utc_us())
    if as_json:
        print_json({"changes": [asdict(change) for change in changes]})
        return
    rows = [(change.direction, change.where, change.text) for change in changes]
    table(("", "where", "what"), rows, "The same rules.")


@verb(app, "test")
def try_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A terms file with tests in it.")],
    as_json: AsJson = False,
) -> None:
    """Run the tests in a policy file, with the same decisions as the gateway's.

    $ stillwatch terms test terms.toml

    Exit codes: 0 all passed; 1 one failed; 2 the file cannot be used.
    """
    tried = run(load(file), utc_us())
    failed = sum(not tried_case.passed for tried_case in tried)
    if as_json:
        tests = [asdict(tried_case) for tried_case in tried]
        print_json({"passed": len(tried) - failed, "failed": failed, "tests": tests})
    elif not tried:
        print(f"{file}: holds no [[test]]; `stillwatch terms init` writes a file with two")
    else:
        rows = [
            (
                tried_case.line,
                tried_case.what,
                tried_case.expect,
                f"{tried_case.got}{'' if tried_case.passed else ' (failed)'}",
                tried_case.rule,
            )
            for tried_case in tried
        ]
        table(("line", "request", "expected", "got", "by"), rows, "")
        for tried_case in tried:
            if not tried_case.passed:
                print(f"{file}:{tried_case.line}: {tried_case.why}")
        print(f"{len(tried) - failed} of {len(tried)} passed")
    if failed:
        raise typer.Exit(FAILED)
