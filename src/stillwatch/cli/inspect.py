"""`stillwatch inspect`: what a log contains and lacks, before it is scanned."""

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stillwatch.cli.options import AS_CALLED, LogPlaces, NameOptions, sketch_key
from stillwatch.cli.scan import KEY_VARIABLE
from stillwatch.cli.verb import verb
from stillwatch.errors import InputError, refuse_os_errors
from stillwatch.exchanges import mapping
from stillwatch.exchanges.sources import local_files
from stillwatch.new_file import write_new_file
from stillwatch.report.amounts import plural
from stillwatch.report.terminal import plain_table, safe
from stillwatch.scan.inspect import OF_ACCOUNTS, TABLE, Inspection, inspect
from stillwatch.scan.pipeline import Options

REJECTED, NOT_JUDGED, CANNOT = 3, 4, 2


def inspect_command(
    logs: LogPlaces,
    accounts: Annotated[Path | None, typer.Option(help="Accounts table that the scan will get.")] = None,
    names: NameOptions = AS_CALLED,
    write_map: Annotated[
        Path | None,
        typer.Option(help="Write the names (proposed, or given by --map) to this file, to be looked at."),
    ] = None,
    rows: Annotated[int, typer.Option(help="Rows to read at most; 0 reads all.", min=0)] = 100_000,
    assume_utc: Annotated[bool, typer.Option(help="Treat times without a zone as UTC.")] = False,
    key_file: Annotated[
        Path | None, typer.Option(help="Key of a log that is sketched already.", envvar=KEY_VARIABLE)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the tables.")] = False,
) -> None:
    """Report what a log contains: format, filled columns, what is missing, the consequences and remedies.

    $ stillwatch inspect logs/                  content, gaps and their consequences
    $ stillwatch inspect log.csv --write-map map.toml && stillwatch scan log.csv --map-file map.toml
    $ zcat api.jsonl.gz | stillwatch inspect - --json | jq '.missing[] | [.column, .remedy]'

    Exit codes: 0 read, and groups can be judged; 3 read, but lines were rejected; 4 read, but a scan could
    not judge groups; 2 nothing could be read (available columns and suggestions are shown).
    """
    columns = names.columns
    with local_files(logs) as local:
        options = Options(
            assume_utc=assume_utc, columns=columns, key=sketch_key([Path(log) for log in local], key_file)
        )
        inspection = inspect(local, accounts=accounts, options=options, limit=rows)
    if json:
        print(jsonlib.dumps(to_json(inspection), indent=1))
    else:
        print_inspection(inspection, Console())
    if write_map is not None:
        chosen = columns or dict(inspection.proposal)
        if not chosen:
            raise InputError(f"{write_map}: not written: no column needs a name, or none could be proposed")
        with refuse_os_errors(InputError, f"{write_map}: cannot be written"):
            write_new_file(write_map, mapping.to_toml(chosen).encode(), 0o644)
        Console(stderr=True).print(f"{write_map}: written; look at it", markup=False, highlight=False)
    if inspection.judged is None:
        raise typer.Exit(CANNOT)
    if inspection.judged.lacks:
        raise typer.Exit(NOT_JUDGED)
    if inspection.refused:
        raise typer.Exit(REJECTED)


def to_json(inspection: Inspection) -> dict[str, object]:
    """Return the inspection as plain values."""
    judged = inspection.judged
    return {
        "files": [
            {
                "file": log_file.file or None,
                "format": log_file.format,
                "version": log_file.version,
                "rows": log_file.rows,
            }
            for log_file in inspection.files
        ],
        "rows": inspection.rows,
        "whole": inspection.whole,
        "refused": inspection.refused,
        "refused_examples": list(inspection.examples),
        "accounts": inspection.accounts,
        "models": inspection.models,
        "first": inspection.first.isoformat() if inspection.first else None,
        "last": inspection.last.isoformat() if inspection.last else None,
        "filled": {name: round(share, 4) for name, share in inspection.filled.items()},
        "missing": [
            {"column": m.column, "filled": round(m.filled, 4), "costs": m.costs, "remedy": m.remedy}
            for m in inspection.missing
        ],
        "judged": None
        if judged is None
        else {
            "groups": judged.groups,
            "lone": judged.lone,
            "lacks": list(judged.lacks),
            "why": list(judged.why),
        },
        "notes": list(inspection.notes),
        "taken": dict(inspection.taken),
        "columns": list(inspection.columns),
        "proposal": dict(inspection.proposal),
    }


def print_inspection(inspection: Inspection, console: Console) -> None:
    """Print tables for a person."""

    def say(text: str) -> None:
        console.print(safe(text, console, 2_000), soft_wrap=True)

    if inspection.judged is None:
        say("No record could be read.")
        say(f"  {inspection.examples[0].partition('; its columns:')[0]}")
        say(f"Its columns: {', '.join(inspection.columns)}")
        for field, column in inspection.taken.items():
            if field != column:
                say(f"  {column} is taken for {field}")
        tried = {m.column: inspection.proposal.get(m.column, "COLUMN") for m in inspection.missing}
        if tried:
            say(f"Try, if that is what they mean: {mapping.to_options(tried)}")
        return
    part = "" if inspection.whole else " (the first ones; --rows 0 reads all)"
    i = inspection
    size = f"{plural(i.rows, 'row')} of {plural(i.accounts, 'account')}, {plural(i.models, 'model')}"
    say(f"{size}, {inspection.first:%Y-%m-%d %H:%M} to {inspection.last:%Y-%m-%d %H:%M} UTC{part}")
    if inspection.refused:
        say(f"{plural(i.refused, 'line')} refused, as: {i.examples[0] if i.examples else ''}")
    for note in inspection.notes:
        say(note)
    files = plain_table(console)
    for head in ("file", "format", "written by"):
        files.add_column(head, overflow="fold")
    files.add_column("rows", justify="right")
    for log_file in inspection.files:
        cells = (
            log_file.file or "(joined over files)",
            log_file.format,
            log_file.version or "",
            f"{log_file.rows:,}",
        )
        files.add_row(*(safe(cell, console) for cell in cells))
    console.print(files)
    have = plain_table(console, ("column", "filled", "read from"), right=("filled",))
    for name, share in inspection.filled.items():
        if share:
            have.add_row(
                name,
                _percent(share),
                safe(inspection.taken.get(name, TABLE if name in OF_ACCOUNTS else ""), console),
            )
    console.print(have)
    if inspection.missing:
        console.print("Missing, or missing in part")
        for m in inspection.missing:
            say(f"  - {m.column} ({_percent(m.filled)} filled): {m.costs}. Add: {m.remedy}")
    if inspection.judged.why:
        console.print("What a scan of this could not judge, or only in part")
        for why in inspection.judged.why:
            say(f"  - {why}")
    else:
        say("A scan of this can judge groups and lone payers.")


def _percent(share: float) -> str:
    """Format a share: 100 % and 0 % are printed only if they are exact."""
    return f"{share:.0%}" if share in (0, 1) else f"{min(max(share, 0.001), 0.999):.1%}"


def register(app: typer.Typer) -> None:
    """Add this command to the top of the command line."""
    verb(app, "inspect")(inspect_command)
