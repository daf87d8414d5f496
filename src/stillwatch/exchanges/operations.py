"""Which operation of which API a method and a path mean: one table, `operations.txt`, for all callers.

    >>> found = OPERATIONS.find("GET", "/v1/threads/thread_1/messages?limit=2")
    >>> found.does, found.operation, found.ids
    ('lists', 'other', (('thread', 'thread_1'),))
    >>> OPERATIONS.find("POST", "/v1beta/models/gemini-2.5-pro:generateContent").does
    'generates'
    >>> OPERATIONS.find("POST", "/v1/nothing/known") is None
    True

What is counted, limited, read and forwarded follows from `does`.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

import msgspec

DOES = (
    "generates", "renders", "embeds", "counts", "begins", "creates", "changes", "deletes", "lists", "reads",
    "fetches", "opens", "mints", "administers",
)  # fmt: skip
REFUSED = frozenset(("opens", "mints", "administers"))  # unless the owner's own line for it allows it
NAMES_A_MODEL = frozenset(("generates", "renders", "embeds"))  # a ban requires these to name the model
# no budget of output tokens applies to these
UNCOUNTED = frozenset(("renders", "embeds", "counts", "creates", "changes", "deletes", "lists", "reads"))
ANSWER = "answer"  # created by a request and fetched later
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "*")
REMEMBERED, LONGEST = 4_096, 512  # cached targets, and characters of one
MOST_SEGMENTS, LONGEST_PATH = 64, 4_096  # longer paths match no line, since trying templates would take long
_PARAMETERS = re.compile(r";[^/]*")  # of a segment: Java servers ignore them
_SLASHES = re.compile(r"/{2,}")
_ENDS = re.compile(r"(?<=[^/.\s])[.\s]+(?=/)")  # of a segment: Windows servers ignore them
_PART = re.compile(r"\{([a-z_]+)(\.\.\.)?\}")
_LITERAL = re.compile(r"[^/{}*]+")


class Operation(msgspec.Struct, frozen=True):
    """One line of the table."""

    api: str
    method: str
    path: str
    does: str  # one of DOES
    name: str = "other"
    makes: str | None = None  # the kind of object that a request creates
    by_owner: bool = False  # named in the owner's policy: forwarded whatever it does


class OperationMatch(msgspec.Struct, frozen=True):
    """The meaning of a request's method and target."""

    line: Operation
    ids: tuple[tuple[str, str], ...] = ()  # (kind, id) in the path, left to right, unescaped

    @property
    def does(self) -> str:
        return self.line.does

    @property
    def operation(self) -> str:
        return self.line.name

    @property
    def object(self) -> tuple[str, str] | None:
        """Return (kind, id) of what is read, changed or deleted."""
        return self.ids[-1] if self.ids else None


class Operations:
    """A table of operations. The first matching line decides."""

    def __init__(self, lines: Iterable[Operation], prefixes: Iterable[str] = ("",)) -> None:
        self.lines = tuple(lines)
        self.prefixes = tuple(prefixes)
        self._beginnings = [_Template(item, named=False) for item in self.prefixes]
        templates = [(_tail(line.path), (line, _Template(line.path))) for line in self.lines]
        self._tails: dict[str | None, list[tuple[Operation, _Template]]] = {None: []}
        self._tails |= {tail: [] for tail, _ in templates}
        for tail, item in templates:
            for fitting in self._tails.values() if tail is None else (self._tails[tail],):
                fitting.append(item)
        self._known: dict[tuple[str, str], OperationMatch | None] = {}

    def find(self, method: str, target: str) -> OperationMatch | None:
        """Return the operation of a request, or None. HEAD counts as GET; the query is ignored."""
        key = (method, target)
        if key in self._known:
            return self._known[key]
        match = self._find("GET" if method == "HEAD" else method, plain(target))
        if len(target) <= LONGEST:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = match
        return match

    def _find(self, method: str, path: str) -> OperationMatch | None:
        if path.count("/") > MOST_SEGMENTS or len(path) > LONGEST_PATH:
            return None
        ends = [path[at:] for at, letter in enumerate(path) if letter == "/"]
        rests = [path[end:] for part in self._beginnings if (end := part.length(path)) is not None]
        for line, template in self._tails.get(path[path.rfind("/") + 1 :].lower(), self._tails[None]):
            if line.method not in (method, "*"):
                continue
            for part in ends if line.path.startswith("**") else (path,) if line.by_owner else rests:
                if (ids := template.ids(part)) is not None:
                    return OperationMatch(line, ids)
        return None


class _Template:
    """A path with names in braces, compiled on first use: most never are."""

    def __init__(self, path: str, named: bool = True) -> None:
        self._path, self._named = path, named
        self._kinds = tuple(kind for kind, _ in _PART.findall(path))
        self._pattern: re.Pattern[str] | None = None

    def _compile(self) -> re.Pattern[str]:
        if self._pattern is None:
            self._pattern = re.compile(pattern_of(self._path, self._named), re.IGNORECASE | re.DOTALL)
        return self._pattern

    def ids(self, path: str) -> tuple[tuple[str, str], ...] | None:
        """Return the values of the names in a whole path."""
        fits = self._compile().fullmatch(path)
        return tuple(zip(self._kinds, fits.groups(), strict=True)) if fits else None

    def length(self, path: str) -> int | None:
        """Return how much of a path's beginning matches."""
        fits = self._compile().match(path)
        return fits.end() if fits and path[fits.end() : fits.end() + 1] in ("/", "") else None


def plain(target: str) -> str:
    """Return a target's path as the most lenient server reads it: no escapes, parameters, doubled slashes.

    >>> plain("/v1//Chat%2fcompletions;x=1/?a=b")
    '/v1/Chat/completions'
    """
    path = target.partition("?")[0]
    if "%" in path:
        path = unquote(path)
    if ";" in path:
        path = _PARAMETERS.sub("", path)
    path = _SLASHES.sub("/", path.replace("\\", "/"))
    if "./" in path or "%" in target:
        path = _ENDS.sub("", path)
    bare = path.rstrip("/ \t\r\n\0")
    return bare if bare.endswith(("/..", "/.")) else bare.rstrip(". ")


def wrong_path(path: str) -> str | None:
    """Return what is wrong with a template, or None."""
    bare = path.removeprefix("**")
    if not bare.startswith("/") or bare == "/" or bare != plain(bare) or "?" in bare or "#" in bare:
        return 'give a path without escapes or query, as in "/v1/audio/{voice}/speech"'
    if not all(_LITERAL.fullmatch(_PART.sub("x", part)) for part in bare[1:].split("/")):
        return "braces hold one name in small letters, as in {model}; {model...} is one or more segments"
    return None


def pattern_of(path: str, named: bool = True) -> str:
    """Return a template as a regular expression. Only model names contain colons; else one starts a verb."""
    pieces, at = [], 0
    if path.startswith("**"):
        at = 2
    for part in _PART.finditer(path):
        pieces.append(re.escape(path[at : part.start()]))
        letters = "[^/]+" if part[1] in ("model", "any") else "[^/:]+"
        group = ".+?" if part[2] else letters
        pieces.append(f"({group})" if named else f"(?:{group})")
        at = part.end()
    return "".join((*pieces, re.escape(path[at:])))


def _tail(path: str) -> str | None:
    """Return the last segment in lower case; None if it is not fixed."""
    last = path[path.rfind("/") + 1 :].lower()
    return None if "{" in last else last


def read(text: str) -> Operations:
    """Parse a table. Raises: ValueError with the line."""
    prefixes: list[str] = []
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if words[0] == "prefix":
            prefixes += [word.rstrip("/") for word in words[1:]]
            continue
        if len(words) not in (4, 5, 6) or words[1] not in METHODS or words[3] not in DOES:
            raise ValueError(f"line {number}: give api, method, path, what it does, operation, object")
        if problem := wrong_path(words[2]):
            raise ValueError(f"line {number}: {words[2]}: {problem}")
        api, method, path, does, *named = words
        name = named[0] if named else "other"
        makes = named[1] if len(named) > 1 else None
        lines.append(Operation(api, method, path, does, name, makes))
    return Operations(lines, prefixes)


def does_of(name: str) -> str:
    """Return what an operation of this name does, if nothing else is known of a request."""
    return _DOES_OF.get(name, "unknown")


OPERATIONS = read(Path(__file__).with_suffix(".txt").read_text(encoding="utf-8"))
_DOES_OF = {line.name: line.does for line in reversed(OPERATIONS.lines) if line.name != "other"}
