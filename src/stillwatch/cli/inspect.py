"""`stillwatch inspect`: what a log has and lacks, before it is scanned. It judges nobody."""

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stillwatch.cli.options import AS_CALLED, NameOptions, sketch_key
from stillwatch.cli.scan import KEY_VARIABLE
from stillwatch.cli.verb import verb
from stillwatch.errors import InputError
from stillwatch.exchanges import mapping
from stillwatch.exchanges.sources import local_files
from stillwatch.new_file import write_new_file
from stillwatch.report.amounts import plural
from stillwatch.report.terminal import plain_table, safe
from stillwatch.scan.inspect import OF_ACCOUNTS, TABLE, Inspection, inspect
from stillwatch.scan.pipeline import Options

REJECTED, NOT_JUDGED, CANNOT = 3, 4, 2


def inspect_command(
    logs: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, globs, - for standard input, or postgresql://…", show_default=False
        ),
    ],
    accounts: Annotated[Path | None, typer.Option(help="Accounts table that the scan will get.")] = None,
    names: NameOptions = AS_CALLED,
    write_map: Annotated[
        Path | None,
        typer.Option(help="Write the names (proposed, or given by --map) to this file, to be looked at."),
    ] = None,
    rows: Annotated[int, typer.Option(help="Rows to read at most; 0 reads all.", min=0)] = 100_000,
    assume_utc: Annotated[bool, typer.Option(help="Take times without a zone for UTC.")] = False,
    key_file: Annotated[
        Path | None, typer.Option(help="Key of a log that is sketched already.", envvar=KEY_VARIABLE)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the tables.")] = False,
) -> None:
    """Say what a log has: format, columns filled, what is missing, what that costs and what to set.

    $ stillwatch inspect logs/                  what is there, what is missing, what that costs
    $ stillwatch inspect log.csv --write-map map.toml && stillwatch scan log.csv --map-file map.toml
    $ zcat api.jsonl.gz | stillwatch inspect - --json | jq '.missing[] | [.column, .remedy]'

    Exit codes: 0 read, and groups can be judged; 3 read, but lines were refused; 4 read, but a scan could not
    judge groups; 2 nothing could be read (the columns and what to try are shown where there are any).
    """
    columns = names.columns
    with local_files(logs) as local:
        options = Options(
            assume_utc=assume_utc, columns=columns, key=sketch_key([Path(log) for log in local], key_file)
        )
        found = inspect(local, accounts=accounts, options=options, limit=rows)
    if json:
        print(jsonlib.dumps(to_json(found), indent=1))
    else:
        print_inspection(found, Console())
    if write_map is not None:
        chosen = columns or dict(found.proposal)
        if not chosen:
            raise InputError(f"{write_map}: not written: no column needs a name, or none could be proposed")
        try:
            write_new_file(write_map, mapping.to_toml(chosen).encode(), 0o644)
        except OSError as why:
            raise InputError(f"{write_map}: cannot be written: {why.strerror}") from None
        Console(stderr=True).print(f"{write_map}: written; look at it", markup=False, highlight=False)
    if found.judged is None:
        raise typer.Exit(CANNOT)
    if found.judged.lacks:
        raise typer.Exit(NOT_JUDGED)
    if found.refused:
        raise typer.Exit(REJECTED)


def to_json(found: Inspection) -> dict[str, object]:
    """The inspection as plain values."""
    judged = found.judged
    return {
        "files": [
            {"file": one.file or None, "format": one.format, "version": one.version, "rows": one.rows}
            for one in found.files
        ],
        "rows": found.rows,
        "whole": found.whole,
        "refused": found.refused,
        "refused_examples": list(found.examples),
        "accounts": found.accounts,
        "models": found.models,
        "first": found.first.isoformat() if found.first else None,
        "last": found.last.isoformat() if found.last else None,
        "filled": {name: round(share, 4) for name, share in found.filled.items()},
        "missing": [
            {"column": m.column, "filled": round(m.filled, 4), "costs": m.costs, "remedy": m.remedy}
            for m in found.missing
        ],
        "judged": None
        if judged is None
        else {
            "groups": judged.groups,
            "lone": judged.lone,
            "lacks": list(judged.lacks),
            "why": list(judged.why),
        },
        "notes": list(found.notes),
        "taken": dict(found.taken),
        "columns": list(found.columns),
        "proposal": dict(found.proposal),
    }


def print_inspection(found: Inspection, console: Console) -> None:
    """Print tables for a person."""

    def say(text: str) -> None:
        console.print(safe(text, console, 2_000), soft_wrap=True)

    if found.judged is None:
        say("No record could be read.")
        say(f"  {found.examples[0].partition('; its columns:')[0]}")
        say(f"Its columns: {', '.join(found.columns)}")
        for field, column in found.taken.items():
            if field != column:
                say(f"  {column} is taken for {field}")
        tried = {m.column: found.proposal.get(m.column, "COLUMN") for m in found.missing}
        if tried:
            say(f"Try, if that is what they mean: {mapping.to_options(tried)}")
        return
    part = "" if found.whole else " (the first ones; --rows 0 reads all)"
    size = (
        f"{plural(found.rows, 'row')} of {plural(found.accounts, 'account')}, {plural(found.models, 'model')}"
    )
    say(f"{size}, {found.first:%Y-%m-%d %H:%M} to {found.last:%Y-%m-%d %H:%M} UTC{part}")
    if found.refused:
        say(f"{plural(found.refused, 'line')} refused, as: {found.examples[0] if found.examples else ''}")
    for note in found.notes:
        say(note)
    files = plain_table(console)
    for head in ("file", "format", "written by"):
        files.add_column(head, overflow="fold")
    files.add_column("rows", justify="right")
    for one in found.files:
        cells = (one.file or "(joined over files)", one.format, one.version or "", f"{one.rows:,}")
        files.add_row(*(safe(cell, console) for cell in cells))
    console.print(files)
    have = plain_table(console, ("column", "filled", "read from"), right=("filled",))
    for name, share in found.filled.items():
        if share:
            have.add_row(
                name,
                _percent(share),
                safe(found.taken.get(name, TABLE if name in OF_ACCOUNTS else ""), console),
            )
    console.print(have)
    if found.missing:
        console.print("Missing, or missing in part")
        for m in found.missing:
            say(f"  - {m.column} ({_percent(m.filled)} filled): {m.costs}. Add: {m.remedy}")
    if found.judged.why:
        console.print("What a scan of this could not judge, or only in part")
        for why in found.judged.why:
            say(f"  - {why}")
    else:
        say("A scan of this can judge groups and lone payers.")


def _percent(share: float) -> str:
    """A share that is only called all or nothing where it is."""
    return f"{share:.0%}" if share in (0, 1) else f"{min(max(share, 0.001), 0.999):.1%}"


def register(app: typer.Typer) -> None:
    """Add this command to the top of the command line."""
    verb(app, "inspect")(inspect_command)
