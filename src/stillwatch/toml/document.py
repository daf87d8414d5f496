"""A TOML file as a table of keys with their lines, or an error that says what is wrong with the file."""

import re
import tomllib
from pathlib import Path

from stillwatch.errors import InputError
from stillwatch.toml.places import places
from stillwatch.toml.reading import Mistakes, TableReader

LONGEST_LINE = 20_000
BROKEN_AT = 1_000  # characters of a written text before it is broken into lines; keeps dots per line few
MOST_SQUARED_DOTS = 50_000_000  # tomllib's time grows with the square of a key's dots: half a second here


def read_text(path: Path, largest_bytes: int, size_hint: str) -> str:
    """Return the text of a file. size_hint: the message for a file that is too large.

    Raises: InputError with the place.
    """
    try:
        with path.open("rb") as opened:
            content = opened.read(largest_bytes + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return decode(content, str(path), largest_bytes, size_hint)


def decode(content: bytes, name: str, largest_bytes: int, size_hint: str) -> str:
    """Decode bytes to text. Raises: InputError with the place."""
    if len(content) > largest_bytes:
        raise InputError(f"{name}: larger than {largest_bytes:,} bytes; {size_hint}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}:{line}: is not UTF-8; save the file as UTF-8") from error


def parse(text: str, name: str, top: str = "") -> TableReader:
    """Return the top-level table of a text. `name` is used in messages, `top` for keys outside any table.

    Raises: InputError with the line of invalid TOML.
    """
    text = text.replace("\r\n", "\n")
    _check_size(text, name)
    try:
        content = tomllib.loads(text)
    except RecursionError as error:
        raise InputError(f"{name}:1: not TOML: nested too deeply; use at most three levels") from error
    except ValueError as error:  # TOMLDecodeError, and int() on more than 4,300 digits
        found = re.search(r"\(at (?:line (\d+), column (\d+)|end of document)\)$", str(error))
        if found is None:
            raise InputError(f"{name}:1: not TOML: a number that is too long; {error}") from error
        line, column = found.groups()
        what = str(error)[: found.start()].strip()
        what = what[:1].lower() + what[1:] + (f" (column {column})" if column else "")
        at = line or str(text.count("\n") + 1)
        raise InputError(f"{name}:{at}: not TOML: {what}; see https://toml.io") from error
    return TableReader(content, (), Mistakes(name, places(text), top))


def _check_size(text: str, name: str) -> None:
    squared_dots = 0
    for number, line in enumerate(text.split("\n"), 1):
        squared_dots += line.count(".") ** 2
        if squared_dots > MOST_SQUARED_DOTS:
            raise InputError(f"{name}:{number}: too many dots in a key; use at most four parts")
        if len(line) > LONGEST_LINE:
            raise InputError(
                f"{name}:{number}: the line has {len(line):,} characters; use at most {LONGEST_LINE:,}"
            )


def quote(text: str) -> str:
    r"""Return a text as a TOML string. JSON differs in characters past U+FFFF and in U+007F.

    A lone surrogate, as in some file names, is not valid in TOML and becomes U+FFFD. A long text is broken
    into lines that `parse` accepts and that read back as one line.

    >>> print(quote('a "b"\n'))
    "a \"b\"\u000a"
    """
    pieces = [text[k : k + BROKEN_AT] for k in range(0, len(text), BROKEN_AT)]
    if len(pieces) < 2:
        return f'"{"".join(map(_escape, text))}"'
    lines = (_escape(piece[0], piece[0].isspace()) + "".join(map(_escape, piece[1:])) for piece in pieces)
    return '"""' + "\\\n".join(lines) + '"""'


def _escape(char: str, always: bool = False) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable() and not always:
        return char
    code = 0xFFFD if "\ud800" <= char <= "\udfff" else ord(char)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
