"""TOML text -> `Terms`, or every problem in it with its line. It reads no clock and remembers no version."""

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path as FilePath

from stillwatch.terms import Terms, TermsError
from stillwatch.terms import entries as entry
from stillwatch.terms import sections as section
from stillwatch.terms.contradictions import contradictions, doubts
from stillwatch.toml.places import places
from stillwatch.toml.reading import Mistakes, TableReader

LARGEST_BYTES = 1 << 20  # the owner's rules, not a database: 10,000 exceptions fit
LONGEST_LINE = 20_000
MOST_SQUARED_DOTS = 50_000_000  # tomllib's time grows with the square of a dotted key: half a second here
LARGEST_VERSION = (1 << 53) - 1  # what JSON readers keep exactly

DEFAULT = FilePath(__file__).with_name("default.toml")  # bans and limits nothing: only the owner knows what


@dataclass(frozen=True)
class TermsCheck:
    """What became of a text. `terms` is None where there are problems."""

    terms: Terms | None
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def load(path: str | FilePath) -> Terms:
    """Read a file. Raises: TermsError with every problem."""
    return loads(read(path), str(path))


def loads(text: str, name: str = "terms.toml") -> Terms:
    """Read a text; `name` stands in the messages. Raises: TermsError with every problem."""
    checked = check(text, name)
    if checked.terms is None:
        raise TermsError(list(checked.problems))
    return checked.terms


def default_text(owner: str = "") -> str:
    """The terms that an owner begins with: they load as they are, and show what can be written."""
    text = DEFAULT.read_text(encoding="utf-8")
    return text.replace('owner = ""', f"owner = {json.dumps(owner, ensure_ascii=False)}", 1)


def read(path: str | FilePath) -> str:
    """The text of a terms file. Raises: TermsError."""
    file = FilePath(path)
    try:
        if not file.is_file():
            what = "is no file" if file.exists() else "no such file"
            raise TermsError([f"{path}: {what}; `stillwatch terms init {path}` makes one"])
        with file.open("rb") as opened:
            content = opened.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise TermsError([f"{path}: cannot be read: {error.strerror}"]) from error
    return decode(content, str(path))


def decode(content: bytes, name: str) -> str:
    """Bytes as text. Raises: TermsError."""
    if len(content) > LARGEST_BYTES:
        raise TermsError([f"{name}: larger than {LARGEST_BYTES:,} bytes; terms are a page or two"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TermsError([f"{name}:{line}: is not UTF-8 text; save it as UTF-8"]) from error


def check(text: str, name: str = "terms.toml", now_us: int | None = None) -> TermsCheck:
    """Read a text and say all that is wrong with it, and with a time also what is doubtful."""
    text = text.replace("\r\n", "\n")
    try:
        content = _parse(text, name)
    except TermsError as error:
        return TermsCheck(None, tuple(error.problems), ())
    notes = Mistakes(name, places(text))
    terms = _terms(TableReader(content, (), notes))
    if not notes.problems:
        contradictions(terms, notes)
    if not notes.problems and now_us is not None:
        doubts(terms, notes, now_us)
    problems, warnings = (
        tuple(dict.fromkeys(sentence for _, sentence in sorted(found)))
        for found in (notes.problems, notes.warnings)
    )
    return TermsCheck(None if problems else terms, problems, warnings)


def _parse(text: str, name: str) -> dict[str, object]:
    squared_dots = 0
    for number, line in enumerate(text.split("\n"), 1):
        squared_dots += line.count(".") ** 2
        if squared_dots > MOST_SQUARED_DOTS:
            raise TermsError([f"{name}:{number}: too many dots; terms need keys of four parts"])
        if len(line) > LONGEST_LINE:
            raise TermsError(
                [f"{name}:{number}: a line of {len(line):,} characters; break it at {LONGEST_LINE:,}"]
            )
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise TermsError([f"{name}:1: nested too deeply; terms need three levels"]) from error
    except ValueError as error:  # TOMLDecodeError, and int() on more than 4,300 digits
        found = re.search(r"\(at (?:line (\d+), column (\d+)|end of document)\)$", str(error))
        if found is None:
            raise TermsError([f"{name}:1: a number that is too long; {error}"]) from error
        line, column = found.groups()
        what = str(error)[: found.start()].strip()
        what = what[0].lower() + what[1:] + (f" (column {column})" if column else "")
        at = line or str(text.count("\n") + 1)
        raise TermsError([f"{name}:{at}: not TOML: {what}; see https://toml.io"]) from error


def _terms(top: TableReader) -> Terms:
    top.need("version", "begin with version = 1 and raise it with every change")
    terms = Terms(
        version=top.whole("version", 1, 1, LARGEST_VERSION),
        owner=top.text("owner", ""),
        identity=section.identity(top.table("identity")),
        capture=section.capture(top.table("capture")),
        retention=section.retention(top.table("retention")),
        coin=section.coin(top.table("coin")),
        limits=section.limits(top.table("limits")),
        ladder=section.ladder(top.table("ladder")),
        holds=section.holds(top.table("holds")),
        models=entry.models(top.table("models")),
        bans=tuple(entry.ban(table) for table in top.tables("ban")),
        exceptions=tuple(entry.exception(table) for table in top.tables("exception")),
        permissions=tuple(entry.permission(table) for table in top.tables("permission")),
        operations=tuple(entry.operation(table) for table in top.tables("operation")),
        tests=tuple(entry.test(table) for table in top.tables("test")),
    )
    top.check_unknown_keys()
    return terms
