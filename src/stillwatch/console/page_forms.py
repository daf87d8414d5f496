"""One page, three forms: HTML for people, JSON and CSV for programs."""

import csv
import dataclasses
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from starlette.responses import Response

_FORMULA = re.compile(r"^[\s\x00]*[=+\-@|%＝＋－＠]")  # what a spreadsheet may execute; OWASP, CSV Injection


@dataclass(frozen=True)
class Shown:
    """The content of a page. `data` is its JSON, `rows` its main table and CSV, `view` for the template."""

    template: str
    title: str
    data: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]] = ()
    view: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


def iso_us(at_us: int | None) -> str | None:
    """Return a time for programs.

    >>> iso_us(1_772_944_200_000_000)
    '2026-03-08T04:30:00.000000Z'
    """
    if at_us is None:
        return None
    second, rest = divmod(at_us, 1_000_000)
    try:
        moment = datetime.fromtimestamp(second, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:06}Z"


def as_json(shown: Shown) -> Response:
    """Return the page as JSON: ASCII, so that no name in it can act in a terminal."""
    text = json.dumps(plain(shown.data), ensure_ascii=True, allow_nan=False, indent=1)
    return Response(text + "\n", shown.status, media_type="application/json")


def as_csv(shown: Shown, name: str) -> Response:
    """Return the page as CSV, with nothing that a spreadsheet executes."""
    out = io.StringIO()
    heads = list(dict.fromkeys(key for row in shown.rows for key in row))
    writer = csv.writer(out, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    writer.writerow([cell(head) for head in heads])  # in SQL a heading may be anything
    for row in shown.rows:
        writer.writerow([cell(row.get(head)) for head in heads])
    text = out.getvalue().encode("utf-8", "backslashreplace")
    headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
    return Response(text, shown.status, headers, media_type="text/csv; charset=utf-8")


def cell(value: Any) -> str | int | float:
    r"""Make one cell safe: possible formulas get an apostrophe in front, control characters are escaped.

    >>> cell("=1+1"), cell(-3), cell("a\x1b[2J"), cell(None), cell("\t=1")
    ("'=1+1", -3, 'a\\x1b[2J', '', "'\\t=1")
    """
    value = plain(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=True)
    guarded = "'" if _FORMULA.match(text) else ""
    return guarded + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def plain(value: Any) -> Any:
    """Convert our types to JSON values; a number that is not one becomes null."""
    if isinstance(value, Enum):  # before str and int, which some of ours are too
        return value.value if isinstance(value.value, str) else value.name.lower()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(member) for member in value]
    return str(value)
