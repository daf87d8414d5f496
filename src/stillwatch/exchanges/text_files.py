r"""What text files say that write their text in codes of their own: RTF, mails, web pages, JSON.

Converters hand a model what they decode, so that is read here too. What is no such file stays as it is; what
codes nothing of its own stays as it is as well.

    >>> decoded(r"{\rtf1\ansi\'57hy {\b three} rivers\u63 ?}", lambda raw: None)
    'Why three rivers?'
    >>> decoded("<p>&#87;hy th<b>r</b>ee</p>", lambda raw: None)
    '<p>&#87;hy th<b>r</b>ee</p>\nWhy three'
"""

import binascii
import html
import quopri
import re
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from itertools import islice

from stillwatch.exchanges.data_links import bytes_of

_RTF = "{\\rtf"
_RTF_CODE = re.compile(
    r"\\'([0-9a-fA-F]{2})|\\u(-?\d{1,6}) ?(?:\\'[0-9a-fA-F]{2}|[^\\{}\r\n])?|\\([a-z]+)(-?\d+)? ?|\\([^a-z])|"
    r"[{}]|[\r\n]+|[0-9a-fA-F]{64,}"
)
_RTF_BREAKS = frozenset(("par", "line", "tab", "cell", "row", "page", "sect", "emdash", "endash"))
_MAIL_PART = re.compile(r"^content-transfer-encoding:[ \t]*(base64|quoted-printable)[ \t\r]*$", re.I | re.M)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_BORDER = re.compile(r"^--.*$", re.M)
_ENTITY = re.compile(r"&#(?:x0*[2-7][0-9a-f]|0*(?:[3-9]\d|1[01]\d|12[0-6]));?", re.I)  # of a plain letter
_IN_WORD = re.compile(r"[^\W\d_]<(?:!--|/?[a-z])", re.I)
_TAG = re.compile(r"</?[a-z][^<>]{0,4096}>", re.I)
_BLOCK = re.compile(
    r"</?(?:p|div|br|li|ul|ol|tr|td|th|h\d|table|section|article|hr|pre)\b[^<>]{0,4096}>", re.I
)
_ESCAPE = re.compile(r"\\u00([2-7][0-9a-fA-F])")
FEW = 3  # codes of plain letters: beyond, they are no accident


def decoded(text: str, read: Callable[[bytes], str | None]) -> str:
    """A text file as its readers hand it on. read: gives the text in a file within, as in a mail."""
    if text.startswith(_RTF):
        return _rtf(text)
    found = [text]
    if _MAIL_PART.search(text):
        found += _mail_parts(text, read)
    if "<" in text and (_IN_WORD.search(text) or _has_more_than_a_few(_ENTITY, text)):
        found.append(html.unescape(_TAG.sub("", _BLOCK.sub("\n", _without_comments(text)))).strip())
    elif text[:1] in "{[" and _has_more_than_a_few(_ESCAPE, text):
        found.append(_ESCAPE.sub(lambda code: chr(int(code[1], 16)), text))
    return "\n".join(filter(None, found))


def _has_more_than_a_few(code: re.Pattern[str], text: str) -> bool:
    return len(list(islice(code.finditer(text), FEW + 1))) > FEW


def _without_comments(page: str) -> str:
    first, *rest = page.split("<!--")
    return "".join((first, *(piece.partition("-->")[2] for piece in rest)))


def _rtf(text: str) -> str:
    def said(code: re.Match[str]) -> str:
        letter, number, word, _, sign = code.groups()
        if letter is not None:
            return bytes.fromhex(letter).decode("cp1252", "replace")
        if number is not None:
            return chr(int(number) % 0x10000)
        if word is not None:
            return "\n" if word in _RTF_BREAKS else ""
        return sign if sign in ("\\", "{", "}") else " " if sign == "~" else ""

    plain = _RTF_CODE.sub(said, text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()


def _mail_parts(text: str, read: Callable[[bytes], str | None]) -> list[str]:
    """The texts of a mail's parts that are coded, whatever they are nested in."""
    plain = text.replace("\r\n", "\n")
    heads = list(_MAIL_PART.finditer(plain))
    ends = sorted([*(found.start() for found in (*_BORDER.finditer(plain), *heads)), len(plain)])
    texts: list[str] = []
    begin = 0
    for head in heads:
        if head.end() < begin:  # the same part says twice how it is coded
            continue
        blank = _BLANK_LINE.search(plain, head.end())
        if blank is None:
            break
        begin = blank.end()
        body = plain[begin : ends[bisect_left(ends, begin)]]
        raw: bytes | None = None
        if head[1].lower() == "base64":
            raw = bytes_of(body)
        else:
            with suppress(binascii.Error, ValueError):
                raw = quopri.decodestring(body.encode("utf-8", "replace"))
        if raw and (said := read(raw)):
            texts.append(said)
    return texts
