r"""The text of files that encode it: RTF, mails, web pages, JSON.

Converters give a model the decoded text, so it is decoded here, too. Any other file, and one that encodes
nothing, stays as it is.

Blind to: codes after the first `MOST` characters, which would take time from others.

    >>> decode_text(r"{\rtf1\ansi\'57hy {\b three} rivers\u63 ?}", lambda raw: None)
    'Why three rivers?'
    >>> decode_text("<p>&#87;&#104;&#121; th&#114;&#101;e</p>", lambda raw: None).splitlines()[1]
    'Why three'
    >>> decode_text("<p>It&#39;s <b>so</b></p><p>said</p>", lambda raw: None)
    '<p>It&#39;s <b>so</b></p><p>said</p>'
"""

import binascii
import html
import quopri
import re
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
_BLOCKS = r"(?:p|div|br|li|ul|ol|tr|td|th|h\d|table|section|article|hr|pre|option)\b"
_ENTITY = re.compile(r"&#(?:x0*[4-7][0-9a-f]|0*(?:6[5-9]|[789]\d|1[01]\d|12[0-2]));?", re.I)  # of a letter
_IN_WORD = re.compile(
    rf"[^\W\d_](?:</?(?!{_BLOCKS})[a-z][^<>]{{0,200}}>){{1,8}}[^\W\d_]|[^\W\d_]<!--", re.IGNORECASE
)
_TAG = re.compile(r"</?[a-z][^<>]{0,4096}>", re.I)
_BLOCK = re.compile(rf"</?{_BLOCKS}[^<>]{{0,4096}}>", re.I)
_ESCAPE = re.compile(r"\\u00([2-7][0-9a-fA-F])")
_LETTER_ESCAPE = re.compile(r"\\u00[4-7][0-9a-fA-F]")  # Go's writer escapes only < and &
MOST = 4 << 20  # characters of a file that are decoded
FEW = 3  # codes of plain letters: more are deliberate


def decode_text(text: str, read: Callable[[bytes], str | None]) -> str:
    """Return a text file as converters decode it. read: returns the text of a file inside, as in a mail."""
    if len(text) > MOST:
        head = decode_text(text[:MOST], read)
        return text if head == text[:MOST] else f"{head}\n{text[MOST:]}"
    if text.startswith(_RTF):
        return _rtf(text)
    found = [text]
    if _MAIL_PART.search(text):
        found += _mail_parts(text, read)
    if "<" in text and any(_has_more_than_a_few(code, text) for code in (_ENTITY, _IN_WORD)):
        found.append(html.unescape(_TAG.sub("", _BLOCK.sub("\n", _without_comments(text)))).strip())
    elif text[:1] in "{[" and _has_more_than_a_few(_LETTER_ESCAPE, text):
        found.append(_ESCAPE.sub(lambda code: chr(int(code[1], 16)), text))
    return "\n".join(filter(None, found))


def _has_more_than_a_few(code: re.Pattern[str], text: str) -> bool:
    return len(list(islice(code.finditer(text), FEW + 1))) > FEW


def _without_comments(page: str) -> str:
    first, *rest = page.split("<!--")
    return "".join((first, *(piece.partition("-->")[2] for piece in rest)))


def _rtf(text: str) -> str:
    def character(code: re.Match[str]) -> str:
        letter, number, word, _, sign = code.groups()
        if letter is not None:
            return bytes.fromhex(letter).decode("cp1252", "replace")
        if number is not None:
            return chr(int(number) % 0x10000)
        if word is not None:
            return "\n" if word in _RTF_BREAKS else ""
        return sign if sign in ("\\", "{", "}") else " " if sign == "~" else ""

    plain = _RTF_CODE.sub(character, text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()


def _mail_parts(text: str, read: Callable[[bytes], str | None]) -> list[str]:
    """Return the encoded parts of a mail, at any nesting."""
    plain = text.replace("\r\n", "\n")
    heads = list(_MAIL_PART.finditer(plain))
    texts: list[str] = []
    begin = 0
    for head, after in zip(heads, [*(found.start() for found in heads[1:]), len(plain)], strict=True):
        if head.end() < begin:  # the part states its encoding twice
            continue
        blank = _BLANK_LINE.search(plain, head.end())
        if blank is None:
            break
        begin = blank.end()
        border = _BORDER.search(plain, begin, max(begin, after))
        body = plain[begin : border.start() if border else max(begin, after)]
        raw: bytes | None = None
        if head[1].lower() == "base64":
            raw = bytes_of(body)
        else:
            with suppress(binascii.Error, ValueError):
                raw = quopri.decodestring(body.encode("utf-8", "replace"))
        if raw and (said := read(raw)):
            texts.append(said)
    return texts
