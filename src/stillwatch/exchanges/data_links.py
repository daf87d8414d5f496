"""Links that contain their target (`data:`), and base64, decoded as leniently as common readers do.

    >>> data_link("DATA:text/plain; Base64,aGVsbG8%3D")
    DataLink(head='DATA:text/plain; Base64', data='aGVsbG8=', is_base64=True)
    >>> data_link("data: three rivers, and a bridge") is None
    True

Source: fetch.spec.whatwg.org, "data: URLs"; infra.spec.whatwg.org, "forgiving-base64".
"""

import base64
import binascii
import re
from typing import NamedTuple
from urllib.parse import unquote

LONGEST_HEAD = 4096  # characters before the comma of a data link
MOST_WORDS = 10  # in a media type: that of a Word document has five
_START = re.compile(r"\s*data:", re.IGNORECASE)
# A media type and its parameters; with blanks elsewhere it is a sentence that begins the same way. The
# pattern never backtracks: a head of blanks would be read a thousand times.
_KIND = r"\s*+data:\s*+(?:[\w.+-]++/[\w.+*-]++)?\s*+"
_HEAD = re.compile(_KIND + r"(?:;\s*+[^\s;,=]*+\s*+(?:=[^;,]*+)?)*+", re.IGNORECASE)
_USUAL = re.compile(rf"\A{_KIND}|;\s*+(?:charset\s*+=\s*+[\w-]++|base64)\s*+", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2,}")
_IS_BASE64 = re.compile(r";\s*base64\s*(?:;|$)", re.IGNORECASE)
_RUN = re.compile(r"[a-z]{3,}|[A-Z][a-z]{2,}|[A-Z]{5,}")
LOOKED_AT = 4096  # characters
WORDS_SHARE = 0.75  # of them in words; of random base64 a third is
LEAST = 24  # characters: fewer may be words by chance
_SPACE = re.compile(r"\s+")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_URLSAFE = str.maketrans("-_", "+/")


class DataLink(NamedTuple):
    """The parts of a data link."""

    head: str
    data: str
    is_base64: bool


def data_link(value: str) -> DataLink | None:
    """Parse a link that contains its data; None for any other text."""
    if not _START.match(value):
        return None
    head, comma, rest = value[: LONGEST_HEAD + 1].partition(",")
    if not comma or not _HEAD.fullmatch(head):
        return None
    rest = value[len(head) + 1 :]
    return DataLink(head.strip(), unquote(rest) if "%" in rest else rest, bool(_IS_BASE64.search(head)))


def says_something(link: DataLink) -> bool:
    """Return whether a link's head holds more than a media type and its encoding."""
    beside = _USUAL.sub("", link.head)
    return len(_WORD.findall(beside)) > 2 or len(_WORD.findall(link.head)) > MOST_WORDS


def bytes_of(value: str) -> bytes | None:
    """Decode base64 of either alphabet; None if it cannot be decoded."""
    try:
        return base64.b64decode(value.translate(_URLSAFE) + "==", validate=False)
    except (binascii.Error, ValueError):
        return None


def joined_base64(value: str) -> str | None:
    """Return base64 without blanks and line ends, or None if the text is not base64."""
    joined = _SPACE.sub("", value)
    return joined if len(joined) < len(value) and _BASE64.fullmatch(joined) else None


def has_even_lines(value: str) -> bool:
    """Return whether a text has lines of equal length, like base64 in mails and key files."""
    lines = value.split()
    return bool(lines) and len(lines[0]) >= 40 and len({len(line) for line in lines[:-1]}) == 1


def are_words(value: str) -> bool:
    """Return whether what could be base64 is a run of words without blanks."""
    head = value[:LOOKED_AT]
    return len(head) >= LEAST and sum(map(len, _RUN.findall(head))) > WORDS_SHARE * len(head)
