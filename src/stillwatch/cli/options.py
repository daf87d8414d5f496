"""Options that verbs in several files share, and their values."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.api.exchanges import key_of
from stillwatch.cases.exports.places import place
from stillwatch.cases.stamping import Authority, read_roots
from stillwatch.cli.main import one_line
from stillwatch.errors import InputError, refuse_os_errors
from stillwatch.exchanges import mapping

LogPlaces = Annotated[
    list[str],
    typer.Argument(help="Files, folders, globs, - for standard input, or postgresql://…", show_default=False),
]
LogKey = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Key for the sketches of a log without texts.")
]

# --- the owner's names for a log's columns ---

Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN",
        help="The log's name for a field: account=tenant_name. Dotted paths reach inside. Repeatable.",
    ),
]
MapFile = Annotated[
    Path | None,
    typer.Option(help="The same from a TOML file, in a table named columns; stillwatch inspect writes one."),
]


@dataclass(frozen=True)
class NameOptions:
    """The owner's column names, as options of a verb."""

    names: Map = None
    map_file: MapFile = None

    @property
    def columns(self) -> dict[str, str]:
        """Return field -> column; the command line overrides the file. Raises: InputError."""
        read = mapping.from_file(self.map_file) if self.map_file is not None else {}
        return read | mapping.from_pairs(self.names or ())


AS_CALLED = NameOptions()


# --- what leaves ---


Yes = Annotated[bool, typer.Option("--yes", help="Confirm the export in advance.")]
Unjudged = Annotated[str, typer.Option(help="Reason for exporting a case not judged true; recorded.")]


def may_leave(lines: Sequence[str], to: str, yes: bool) -> None:
    """Print what leaves, and continue only if somebody agrees.

    Raises: InputError if nobody is there to answer, or the answer is no.
    """
    print(f"This leaves to {one_line(to)}:", file=sys.stderr)
    for line in lines:
        print(f"  {one_line(line)}", file=sys.stderr)
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("nothing has left: nobody is there to be asked; --yes says yes beforehand")
    if not typer.confirm("Let it leave?", err=True):
        raise InputError("nothing has left")


ConsoleUrl = Annotated[
    str, typer.Option("--console", help="Where the console is, for links.", envvar="STILLWATCH_CONSOLE")
]
EventSource = Annotated[
    str,
    typer.Option(
        "--source",
        help="`source` of CloudEvents: a URI that names this installation; else a URN with the cases' id.",
        envvar="STILLWATCH_EVENT_SOURCE",
    ),
]


# --- a time-stamping authority ---


StampUrl = Annotated[str | None, typer.Option("--stamp", help="URL of a time-stamping authority (RFC 3161).")]
StampCa = Annotated[
    Path | None, typer.Option("--stamp-ca", help="PEM file of the root certificate of its stamps.")
]


def named_authority(url: str | None, roots: Path | None) -> Authority | None:
    """Return the named authority, or None. Raises: InputError, ExportError, StampError."""
    if url is None and roots is None:
        return None
    if url is None or roots is None:
        raise InputError(
            "--stamp and --stamp-ca go together: whom to ask, and the certificate by which it is known"
        )
    place(url, ("https", "http"))  # before creating anything to be stamped
    return Authority(url, read_roots(roots))


# --- the key of a log's sketches ---


def sketch_key(logs: Sequence[Path], key_file: Path | None) -> bytes:
    """Return the sketch key: of the file, else of the gateway's folder among the logs, else the default.

    Raises: InputError for a file without a key, and for folders of two gateways.
    """
    return key_of(list(logs), None if key_file is None else key_in(key_file))


def key_in(path: Path) -> bytes:
    """Return the key in a file.

    Raises: InputError if it cannot be read, or is too short.
    """
    with refuse_os_errors(InputError, f"{path}: cannot read the sketch key"):
        key = path.read_bytes().strip()
    if len(key) < 16:
        raise InputError(f"{path}: a sketch key of {len(key)} bytes; give at least 16")
    return key
