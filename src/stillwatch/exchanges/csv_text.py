"""CSV text into one mapping per record, with its place.

A quoted field may hold line ends. When a quote never closes, only the line that opened it is refused.
"""

import csv
from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache

from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.json_text import Good, UndecodableValue, long_line
from stillwatch.exchanges.lines import Line, LongLine

LOOKAHEAD = 4 << 20  # bytes searched for the end of a quoted field
DELIMITERS = b",;\t|"
RULE = b" \t\r-+|"  # bytes of an empty line or of a rule drawn under a header
# an empty cell, as databases (PostgreSQL, MySQL) and pandas write it
EMPTY: dict[str, None] = dict.fromkeys(("", "\\N", "NULL", "null", "None", "nan", "NaN", "NaT", "<NA>"))


def delimiter_of(header: bytes) -> str:
    """Return the delimiter that a header line uses most."""
    best = max(DELIMITERS, key=header.count)
    return chr(best)


@lru_cache(16)
def _dialect(delimiter: str, padded: bool) -> csv.Dialect:
    """Return a dialect, cached because creating one takes longer than reading a record."""
    made = csv.reader([], delimiter=delimiter, strict=True, skipinitialspace=padded)
    return made.dialect  # type: ignore[return-value]


def fields(raw: bytes, delimiter: str, padded: bool = False) -> list[str]:
    """Return the fields of one record, stripped if padded. Raises: Refused."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as why:
        raise Refused(
            f"not UTF-8: {why.reason}; right would be UTF-8 (what Excel saved on Windows: "
            "iconv -f CP1252 -t UTF-8)"
        ) from None
    if "\x00" in text:
        raise Refused("holds a NUL byte: not CSV (binary, or a gap in the file)")
    try:
        cells = next(csv.reader([text], _dialect(delimiter, padded)), [])
        return [cell.strip() for cell in cells] if padded else cells
    except csv.Error as why:
        raise Refused(f"not CSV: {why}") from None


def records(
    lines: Iterator[Line | LongLine], limit: int, check: Callable[[dict[str, object]], None]
) -> Iterator[Good | UndecodableValue]:
    """Yield each record after the header as a mapping column -> text (empty: None).

    Raises: whatever `check` raises for the header and for the first record, whose values may reveal more.
    """
    csv.field_size_limit(max(csv.field_size_limit(), limit))
    waiting: deque[Line | LongLine] = deque()
    header: list[str] = []
    problem: Refused | None = None  # of the header
    padded = False  # whether cells are padded with blanks for alignment
    delimiter = ","
    while (line := _next(waiting, lines)) is not None:
        if isinstance(line, LongLine):
            yield long_line(line)
            continue
        before_header = not header and (line.raw.startswith(b"# ") or line.raw.strip()[:4].lower() == b"sep=")
        if before_header or not line.raw.strip(RULE):  # an exporter's remarks, Excel's own line, a rule
            continue
        raw = _joined_record(line, waiting, lines)
        if raw is not None:
            raw = raw.removesuffix(b"\r")
        if not header:
            delimiter = delimiter_of(line.raw)
        try:
            if raw is None:
                raise Refused("not CSV: a quote opens and does not close")
            cells = fields(raw, delimiter, padded)
            if header and len(cells) != len(header):
                raise Refused(f"has {len(cells)} fields where the header has {len(header)}")
        except Refused as why:
            if problem is not None:
                break
            yield UndecodableValue(line.number, line.offset, str(why), line.raw)
            continue
        if not header:
            padded = any(name != name.strip() for name in cells)
            header = [name.strip() for name in cells]
            _refuse_twice([name for name in header if name])
            try:
                check(dict.fromkeys(header))
            except Refused as why:
                problem = why
            continue
        value: dict[str, object] = {
            name: (cell if len(cell) > 4 else EMPTY.get(cell, cell)) if cell else None
            for name, cell in zip(header, cells, strict=True)
        }
        if problem is not None:
            check(value)
            problem = None
        yield Good(line.number, line.offset, raw or line.raw, value)
    if problem is not None:
        raise problem


def first_twice(names: list[str]) -> str | None:
    """Return the first repeated name. One pass: a file's first line can hold a million."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _refuse_twice(names: list[str]) -> None:
    twice = first_twice(names)
    if twice is not None:
        raise Refused(f"column {twice[:40]!r} appears twice in the header")


def _next(waiting: deque[Line | LongLine], lines: Iterator[Line | LongLine]) -> Line | LongLine | None:
    return waiting.popleft() if waiting else next(lines, None)


def _joined_record(
    line: Line, waiting: deque[Line | LongLine], lines: Iterator[Line | LongLine]
) -> bytes | None:
    """Return the record that begins at `line`, joined over its lines; None if its quote never closes."""
    if line.raw.count(b'"') % 2 == 0:
        return line.raw
    parts = [line.raw]
    read_ahead: list[Line | LongLine] = []
    size = 0
    while size < LOOKAHEAD:
        following = _next(waiting, lines)
        if following is None:
            break
        read_ahead.append(following)
        if isinstance(following, LongLine):
            break
        parts.append(following.raw)
        size += len(following.raw) + 1
        if following.raw.count(b'"') % 2:
            return b"\n".join(parts)
    waiting.extendleft(reversed(read_ahead))
    return None
