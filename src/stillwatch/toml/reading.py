"""Typed reading of a TOML table: every problem is noted with its line."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from stillwatch.toml.places import Path
from stillwatch.units import us

T = TypeVar("T")
LONGEST_NAME = 512  # characters; no account, host or model has so long a name
LONGEST_TEXT = 2000
MOST_GUESSES = 100  # suggestions for misspelt keys, as each is slow to compute
LAST_YEAR = 2100  # an exception that outlasts it is meant to be permanent
KINDS = {
    bool: "a boolean",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "an array",
    dict: "a table",
}


@dataclass
class Mistakes:
    """Mistakes found in a file, by line. `top` stands for keys outside any table.

    elsewhere: paths of values that come from options that override the file.
    """

    file: str
    lines: dict[Path, int] | None  # None if the source has no lines
    top: str = ""
    elsewhere: dict[Path, str] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)
    warnings: list[tuple[int, str]] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """Return the line of a path, or of its nearest parent that is written."""
        lines = self.lines or {}
        while path and path not in lines:
            path = path[:-1]
        return lines.get(path, 1)

    def _sentence(self, path: Path, what: str) -> tuple[int, str]:
        keys = [part for part in path if isinstance(part, str)]
        where = ".".join(key if key.isprintable() else ascii(key) for key in keys) or self.top
        sentence = f"{where}: {what}" if where else what
        above = (path[:length] for length in range(len(path) + 1))
        if place := next((self.elsewhere[one] for one in above if one in self.elsewhere), None):
            return 0, f"{place}: {sentence}"
        line = self.line(path)
        return line, f"{self.file}: {sentence}" if self.lines is None else f"{self.file}:{line}: {sentence}"

    def wrong(self, path: Path, what: str) -> None:
        self.problems.append(self._sentence(path, what))

    def warn(self, path: Path, what: str) -> None:
        self.warnings.append(self._sentence(path, what))

    def sentences(self) -> list[str]:
        """Return the mistakes in order of lines, each once."""
        return list(dict.fromkeys(sentence for _, sentence in sorted(self.problems)))


class TableReader:
    """A table being read. `done()` reports every key that was never requested as unknown."""

    def __init__(self, content: dict[str, Any], path: Path, notes: Mistakes) -> None:
        self.content = content
        self.path = path
        self.notes = notes
        self.asked: list[str] = []

    def wrong(self, key: str, what: str) -> None:
        self.notes.wrong((*self.path, key) if key else self.path, what)

    def has(self, key: str) -> bool:
        return key in self.content

    def checked(self, built: T) -> T:
        """Return what was built from this table, after noting every unknown key."""
        self.check_unknown_keys()
        return built

    def check_unknown_keys(self) -> None:
        """Note every key that was never requested."""
        for key in self.content:
            if key not in self.asked:
                few = len(self.notes.problems) < MOST_GUESSES and len(key) < LONGEST_NAME
                near = difflib.get_close_matches(key, self.asked, n=1) if few else []
                right = f"did you mean `{near[0]}`?" if near else "known: " + ", ".join(self.asked)
                self.wrong(key, f"unknown key; {right}")

    def _take(self, key: str, kind: type, right: str) -> Any:
        """Return the value of a key, or None if it is missing or of the wrong type (the latter is noted)."""
        self.asked.append(key)
        value = self.content.get(key)
        if value is None or (type(value) is kind):
            return value
        self.wrong(key, f"{show_value(value)} is {kind_of(value)}; {right}")
        return None

    def need(self, key: str, right: str) -> bool:
        """Note a missing key."""
        if key not in self.content:
            self.wrong("", f"`{key}` is missing; {right}")
        return key in self.content

    def whole(self, key: str, default: Any, low: int, high: int, other: str = "") -> Any:
        """Read a whole number in [low, high]; `other` describes what else the caller accepts."""
        right = f"give a whole number from {low:,} to {high:,}{other}"
        value = self._take(key, int, right)
        if value is None:
            return default
        if not low <= value <= high:
            self.wrong(key, f"{show_value(value)} is out of range; {right}")
            return default
        return value

    def share(self, key: str, default: float) -> float:
        """Read a number in [0, 1]."""
        found: float = self.number(key, default, 0, 1)
        return found

    def number(self, key: str, default: Any, low: float, high: float) -> Any:
        """Read a number in [low, high], whole or not."""
        right = f"give a number from {low:g} to {high:g}"
        if type(self.content.get(key)) is int:
            self.asked.append(key)
            value: Any = self.content[key]
        else:
            value = self._take(key, float, right)
        if value is None:
            return default
        if not low <= value <= high:  # false for nan too, hence the negation
            self.wrong(key, f"{show_value(value)} is out of range; {right}")
            return default
        return float(value)

    def rising(self, key: str, default: tuple[float, ...], right: str, low: float, high: float) -> Any:
        """Read an array of at most 20 numbers in [low, high], each greater than the one before."""
        value = self._take(key, list, right)
        if value is None:
            return default
        good = all(type(x) in (int, float) and low <= x <= high for x in value)
        if not good or list(value) != sorted(set(value)) or len(value) > 20:
            self.wrong(key, f"{show_value(value)} is not allowed; {right}")
            return default
        return tuple(float(x) for x in value)

    def flag(self, key: str, default: bool) -> bool:
        value = self._take(key, bool, "give true or false")
        return default if value is None else value

    def choice(self, key: str, default: Any, words: Iterable[str]) -> Any:
        words = list(words)
        right = "give " + " or ".join(f'"{word}"' for word in words)
        value = self._take(key, str, right)
        if value is None:
            return default
        if value not in words:
            self.wrong(key, f"{show_value(value)} is not known; {right}")
            return default
        return value

    def name(self, key: str, default: Any = None) -> Any:
        """Read a name: one line, printable, not empty."""
        value = self._take(key, str, "give a name in quotes")
        return default if value is None or not self.fits(key, value) else value

    def names(self, key: str) -> tuple[str, ...]:
        """Read an array of distinct names."""
        value = self._take(key, list, 'give an array of names, as in ["a", "b"]')
        good: dict[str, None] = {}
        for number, item in enumerate(value or ()):
            path = (*self.path, key, number)
            if type(item) is not str:
                self.notes.wrong(path, f"{show_value(item)} is {kind_of(item)}; give a name in quotes")
            elif item in good:
                self.notes.wrong(path, f"{show_value(item)} appears twice; remove one")
            elif self.fits(key, item, path):
                good[item] = None
        return tuple(good)

    def fits(self, key: str, value: str, path: Path | None = None) -> bool:
        """Return whether a text can be a name; if not, note why."""
        why = None
        if not value.strip():
            why = "is empty; give a name"
        elif value != value.strip():
            why = f"is {show_value(value)}; remove the spaces around the name"
        elif len(value) > LONGEST_NAME:
            why = f"is {len(value):,} characters long; the limit is {LONGEST_NAME}"
        elif not value.isprintable():
            why = f"is {show_value(value)}; use printable characters only"
        if why:
            self.notes.wrong((*self.path, key) if path is None else path, why)
        return why is None

    def text(self, key: str, default: str, longest: int = LONGEST_TEXT) -> str:
        """Read a text for people, which may have several lines."""
        value = self._take(key, str, "give text in quotes")
        if value is None:
            return default
        if len(value) > longest:
            self.wrong(key, f"is {len(value):,} characters long; the limit is {longest:,}")
        elif not value.replace("\n", "").replace("\t", "").isprintable():
            self.wrong(key, f"{show_value(value)} contains unprintable characters; remove them")
        else:
            return str(value)
        return default

    def moment(self, key: str, default: Any = None) -> Any:
        """Read UTC microseconds of a time with a zone, or of the end of a day."""
        self.asked.append(key)
        value = self.content.get(key)
        right = (
            "give a day, as in 2027-01-31, or a time with a zone, as in 2027-01-31T12:00:00Z (without quotes)"
        )
        if value is None:
            return default
        if not isinstance(value, date):
            self.wrong(key, f"{show_value(value)} is not a time; {right}")
        elif not 1970 <= value.year <= LAST_YEAR:
            self.wrong(key, f"{value.year} is out of range; give a year from 1970 to {LAST_YEAR}")
        elif not isinstance(value, datetime):
            end = datetime(value.year, value.month, value.day, tzinfo=UTC) + timedelta(days=1)
            return us(end)
        elif value.tzinfo is None:
            self.wrong(key, f"{value.isoformat()} has no time zone; {right}")
        else:
            return us(value)
        return default

    def table(self, key: str) -> "TableReader":
        """Return the table under a key, or an empty one if there is none."""
        value = self._take(
            key, dict, f"write [{'.'.join(str(p) for p in (*self.path, key) if type(p) is str)}]"
        )
        return TableReader(value or {}, (*self.path, key), self.notes)

    def tables(self, key: str) -> list["TableReader"]:
        """Return the tables of an array of tables."""
        right = f"write [[{'.'.join(str(p) for p in (*self.path, key) if type(p) is str)}]]"
        found = []
        for number, item in enumerate(self._take(key, list, right) or ()):
            path = (*self.path, key, number)
            if type(item) is dict:
                found.append(TableReader(item, path, self.notes))
            else:
                self.notes.wrong(path, f"{show_value(item)} is {kind_of(item)}; {right}")
        return found


def show_value(value: object) -> str:
    """Return a value as one short line for an error message."""
    if isinstance(value, list | dict):
        return "this"
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a number of more than 30 digits"
    text = (
        str(value).lower()
        if isinstance(value, bool)
        else repr(value)
        if isinstance(value, str)
        else str(value)
    )
    return text if len(text) <= 60 else text[:57] + "..."


def kind_of(value: object) -> str:
    return KINDS.get(type(value), "a time")
