"""The line on which each key of a TOML text stands, which `tomllib` does not report.

It takes only texts that `tomllib` accepts, and checks nothing itself.
"""

import re
import tomllib
from bisect import bisect_right

Path = tuple[str | int, ...]  # ("exception", 1, "expires"): arrays count from 0

_BLANK = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\n\r]|#[^\n]*)*")  # what may separate two statements or two elements
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?""""{0,2}'  # two quotes may precede the closing three
    r"|'''.*?''''{0,2}"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]*")


def places(text: str) -> dict[Path, int]:
    r"""Return the line, counted from 1, of every key, table and array element.

    >>> places('a = 1\n[[b]]\nc.d = [\n 7,\n 8]')[("b", 0, "c", "d", 1)]
    5
    """
    scan = _TextScan(text)
    scan.document()
    ends = [match.start() for match in re.finditer("\n", text)]
    return {path: bisect_right(ends, offset - 1) + 1 for path, offset in scan.found.items()}


class _TextScan:
    """One pass over the text. `found` holds the offset of each path."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Path, int] = {}
        self.lengths: dict[Path, int] = {}  # of arrays of tables

    def skip(self, what: re.Pattern[str]) -> str:
        match = what.match(self.text, self.at)
        if match is None:
            raise ValueError(f"not TOML at offset {self.at}")  # the caller did not check with tomllib first
        self.at = match.end()
        return match.group()

    def more(self) -> bool:
        self.skip(_BETWEEN)
        return self.at < len(self.text)

    def note(self, path: Path, start: int) -> None:
        for length in range(len(path), 0, -1):
            if path[:length] in self.found:
                break  # then its prefixes are known as well
            self.found[path[:length]] = start

    def document(self) -> None:
        header: Path = ()
        while self.more():
            if not self.text.startswith("[", self.at):
                self.pair(header)
                continue
            start, many = self.at, self.text.startswith("[[", self.at)
            self.at += 1 + many
            header = self.enter(self.key(), many)
            self.at += 1 + many
            self.note(header, start)

    def enter(self, key: tuple[str, ...], many: bool) -> Path:
        """Return the path that a header opens. Below an array of tables, that is in its last table."""
        path: Path = ()
        for part in key[:-1]:
            path = (*path, part)
            if path in self.lengths:
                path = (*path, self.lengths[path] - 1)
        path = (*path, key[-1])
        if many:
            self.lengths[path] = self.lengths.get(path, 0) + 1
            path = (*path, self.lengths[path] - 1)
        return path

    def key(self) -> tuple[str, ...]:
        parts = []
        while True:
            self.skip(_BLANK)
            if self.text[self.at] in "\"'":
                parts.append(tomllib.loads(f"k = {self.skip(_STRING)}")["k"])
            else:
                parts.append(self.skip(_BARE_KEY))
            self.skip(_BLANK)
            if self.text[self.at] != ".":
                return tuple(parts)
            self.at += 1

    def pair(self, below: Path) -> None:
        start = self.at
        path = (*below, *self.key())
        self.at += 1  # the equals sign
        self.skip(_BLANK)
        self.note(path, start)
        self.value(path)

    def value(self, path: Path) -> None:
        first = self.text[self.at]
        if first in "\"'":
            self.skip(_STRING)
        elif first == "[":
            self.elements(path, "]")
        elif first == "{":
            self.elements(path, "}")
        else:
            self.skip(_SCALAR)

    def elements(self, path: Path, end: str) -> None:
        """Record what an array or an inline table contains."""
        self.at += 1
        number = 0
        while self.more() and self.text[self.at] != end:
            if self.text[self.at] == ",":
                self.at += 1
            elif end == "}":
                self.pair(path)
            else:
                self.note((*path, number), self.at)
                self.value((*path, number))
                number += 1
        self.at += 1
