"""TOML text -> `Terms`, or every problem in it with its line. No clock is read."""

import json
from dataclasses import dataclass
from pathlib import Path as FilePath

from stillwatch.errors import InputError
from stillwatch.terms import Terms, TermsError
from stillwatch.terms import entries as entry
from stillwatch.terms import sections as section
from stillwatch.terms.contradictions import contradictions, doubts
from stillwatch.toml import document
from stillwatch.toml.reading import TableReader

LARGEST_BYTES = 1 << 20  # room for 10,000 exceptions
SIZE_HINT = "a terms file is one or two pages long"
LARGEST_VERSION = (1 << 53) - 1  # JSON readers keep larger numbers only approximately

DEFAULT = FilePath(__file__).with_name("default.toml")  # bans and limits nothing: the owner decides


@dataclass(frozen=True)
class TermsCheck:
    """The result of checking a text. `terms` is None if there are problems."""

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
    """Return the initial policy for an owner: it loads as it is, and shows what can be written."""
    text = DEFAULT.read_text(encoding="utf-8")
    return text.replace('owner = ""', f"owner = {json.dumps(owner, ensure_ascii=False)}", 1)


def read(path: str | FilePath) -> str:
    """Return the text of a policy file. Raises: TermsError."""
    file = FilePath(path)
    try:
        if not file.is_file():
            problem = "is not a file" if file.exists() else "does not exist"
            raise TermsError([f"{path}: {problem}; `stillwatch terms init {path}` creates it"])
        return document.read_text(file, LARGEST_BYTES, SIZE_HINT)
    except OSError as error:
        raise TermsError([f"{path}: cannot be read: {error.strerror}"]) from error
    except InputError as error:
        raise TermsError([str(error)]) from error


def decode(content: bytes, name: str) -> str:
    """Decode bytes to text. Raises: TermsError."""
    try:
        return document.decode(content, name, LARGEST_BYTES, SIZE_HINT)
    except InputError as error:
        raise TermsError([str(error)]) from error


def check(text: str, name: str = "terms.toml", now_us: int | None = None) -> TermsCheck:
    """Read a text and report all problems in it; with a time, also warnings."""
    try:
        table = document.parse(text, name, "terms")
    except InputError as error:
        return TermsCheck(None, (str(error),), ())
    terms, notes = _terms(table), table.notes
    if not notes.problems:
        contradictions(terms, notes)
    if not notes.problems and now_us is not None:
        doubts(terms, notes, now_us)
    warnings = tuple(dict.fromkeys(sentence for _, sentence in sorted(notes.warnings)))
    return TermsCheck(None if notes.problems else terms, tuple(notes.sentences()), warnings)


def _terms(top: TableReader) -> Terms:
    top.need("version", "start with version = 1 and raise it with every change")
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
    return top.checked(terms)
