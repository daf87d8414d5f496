"""Shared parts of verbs on a gateway's folder: the folder, the user, durations, tables.

They write to `state.db` under SQLite's own lock, like the gateway, whether it runs or not. If it runs, a
change waits until every worker has adopted it, or reports that one has not. Write access to the folder is the
only permission needed.
"""

import os
import pwd
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from stillwatch.cli.main import one_line
from stillwatch.errors import InputError
from stillwatch.gateway.control.in_force import NotInForce, wait_for_fleet, wait_until_in_force
from stillwatch.gateway.control.migrations import StateError
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.fleet.membership import catch_up
from stillwatch.gateway.folder import Folder
from stillwatch.units import iso

FOLDER = Path("stillwatch-serve")
FOLDER_VARIABLE = "STILLWATCH_FOLDER"
UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
LONGEST_S = 315_360_000  # ten years
PAGE = 1_000
NOT_IN_FORCE = 3  # the exit code for "done, but a worker has not adopted it yet"

AtFolder = Annotated[Path, typer.Option("--folder", help="The gateway's folder.", envvar=FOLDER_VARIABLE)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]


def gateway_folder(folder: Path) -> Folder:
    """Return a gateway's folder. Raises: InputError if there is none."""
    gateway = Folder(folder.resolve())
    if not gateway.secret_file.exists():
        raise InputError(
            f"{folder}: is no gateway's folder; `stillwatch serve` makes one, --folder names another"
        )
    return gateway


def open_state(folder: Path) -> ControlState:
    """Open a folder's state, of a fleet as it is now. Raises: InputError if there is none."""
    gateway = gateway_folder(folder)
    state = ControlState(gateway.state, gateway.secret())
    try:
        catch_up(state)
    except StateError as why:
        text = f"{one_line(str(why))}; this is what this host knows"
        print(f"stillwatch: warning: {text}", file=sys.stderr)
    return state


@contextmanager
def changing(folder: Path) -> Iterator[ControlState]:
    """Open a folder's state for a change, and make sure that the change is in force at the end.

    Ends with exit code NOT_IN_FORCE if it is not within a moment. Raises: InputError if there is none.
    """
    with open_state(folder) as state:
        before = state.version()
        yield state
        version, put_back = state.version(), state.put_back()
    if version == before:
        return
    try:
        wait_until_in_force(Folder(folder.resolve()), version, put_back)
        if state.fleet is not None:
            wait_for_fleet(state.fleet, version)
    except NotInForce as why:
        sys.stdout.flush()
        print(f"stillwatch: {one_line(str(why))}", file=sys.stderr)
        raise typer.Exit(NOT_IN_FORCE) from why


def whoami() -> str:
    """Return the user name for the log."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def span_s(text: str, option: str) -> int:
    """Parse a duration: 90d, 12h, 30m, 45s. Raises: InputError."""
    matched = re.fullmatch(r"([0-9]{1,10})([smhd])", text)
    seconds = int(matched[1]) * UNITS_S[matched[2]] if matched else 0
    if not 0 < seconds <= LONGEST_S:
        raise InputError(
            f"{option} is {text!r}; give a number with s, m, h or d, as in 24h, ten years at most"
        )
    return seconds


def end_us(text: str | None, option: str, now_us: int) -> int | None:
    """Return when a duration from now ends; None if none was given. Raises: InputError."""
    return None if text is None else now_us + 1_000_000 * span_s(text, option)


def need_why(why: str, dry_run: bool = False) -> None:
    """Refuse a change without a reason. Raises: InputError."""
    if not why.strip() and not dry_run:
        raise InputError("--why is missing: the next reader of the log has nothing else")


def read_names(path: Path) -> list[str]:
    """Read names from a file or standard input (-), one a line. Raises: InputError."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except OSError as why:
        raise InputError(f"{path}: cannot be read: {why.strerror}") from why
    except UnicodeDecodeError as why:
        raise InputError(f"{path}: is not UTF-8 text") from why
    return [line for line in text.splitlines() if line.strip()]


def table(heads: tuple[str, ...], rows: Sequence[tuple[object, ...]], nothing: str) -> None:
    """Print rows of arbitrary text, one per line, nothing cut, fit for a pipe. None is blank."""
    if not rows:
        print(nothing)
        return
    lines = [heads, *(tuple("" if cell is None else one_line(str(cell)) for cell in row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def record_as_json(record: Any, *left_out: str) -> dict[str, Any]:
    """Return a dataclass as JSON values: a field `made_us` becomes `made`, ISO text in UTC."""
    return {
        f.name.removesuffix("_us"): iso_time(value) if f.name.endswith("_us") else value
        for f in fields(record)
        if f.name not in left_out
        for value in [getattr(record, f.name)]
    }


def iso_time(at_us: int | None) -> str | None:
    """Return a time as ISO text in UTC."""
    if at_us is None:
        return None
    return iso(at_us)
