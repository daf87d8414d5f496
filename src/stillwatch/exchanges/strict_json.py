"""Strict JSON for logs: no NaN, no repeated key, valid UTF-8.

msgspec decodes. A repeated key is found by counting: every key is followed by a colon, so if the text holds
no more `":` than the decoded value has keys, no key was lost. Otherwise the slow decoder checks.
"""

import json
import re
from collections import Counter
from typing import Any

import msgspec

from stillwatch.compiled_code.library import kernels
from stillwatch.exchanges.formats import Refused


def decode(raw: bytes) -> object:
    """Decode one JSON value. Raises: Refused with a reason that shows nothing of the text."""
    value, endings = decode_counted(raw)
    flat = isinstance(value, dict) and endings == len(value)  # a flat object is decided by its own length
    if endings and not flat and endings != _keys(value):
        refuse_duplicates(raw)
    return value


def decode_mended(raw: bytes, *, infinite: bool = True) -> tuple[object, str]:
    """Decode one JSON value, and return what had to be repaired. A client must not be able to hide its
    exchange, or others beside it, with half a surrogate pair or an invalid number. Raises: Refused.
    """
    try:
        return decode(raw), ""
    except Refused as why:
        mended = mend(raw, infinite=infinite)
        if mended == raw:
            raise
        return decode(mended), HALVED if "surrogate" in str(why) else ""


def mend(raw: bytes, *, infinite: bool = True) -> bytes:
    r"""Repair invalid JSON: half a surrogate pair becomes U+FFFD; NaN and, if `infinite`, Infinity become
    null.

    >>> mend(rb'{"NaN": [NaN, -Infinity, "\udfff, NaN"]}')
    b'{"NaN": [null, null, "\\ufffd, NaN"]}'
    """
    raw = whole_characters(raw) if _HALVED.search(raw) else raw
    if not _NO_NUMBER.search(raw):
        return raw
    none = (b"NaN", b"-NaN", b"Infinity", b"-Infinity")[: 4 if infinite else 2]
    return _WORD_OR_NO_NUMBER.sub(lambda found: b"null" if found[0] in none else found[0], raw)


def decode_counted(raw: bytes) -> tuple[object, int]:
    """Return the value, and how many keys are written in it: as many as it has, or more if one repeats.

    For callers that count the value's keys themselves: if they are fewer, call `refuse_duplicates`. Raises:
    Refused.
    """
    if b"\x00" in raw:
        raise Refused("holds a NUL byte: not JSON (binary, or a gap in the file)")
    try:
        value = msgspec.json.decode(raw)
    except msgspec.MsgspecError as why:
        raise Refused(_describe_problem(raw, str(why))) from None
    except UnicodeDecodeError as why:
        raise Refused(f"not UTF-8: {why.reason}") from None
    except RecursionError:
        raise Refused("nested too deeply to be a log record") from None
    if type(value) is not dict and type(value) is not list:
        return value, 0
    return value, kernels.key_ends(raw, len(raw))


HALVED = "holds half a surrogate pair (\\ud800...), read as U+FFFD"
_HALVED = re.compile(rb"\\u[dD][89a-fA-F]")
_NO_NUMBER = re.compile(rb"(?<![\w\"])-?(?:NaN|Infinity)(?![\w\"])")
_WORD_OR_NO_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*+"|' + _NO_NUMBER.pattern, re.DOTALL)
_ESCAPE = re.compile(
    rb"\\(?:(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(u[dD][89a-fA-F])..|.)", re.S
)


def whole_characters(raw: bytes) -> bytes:
    r"""Replace half a surrogate pair by U+FFFD in JSON: a client must not hide an exchange with one.

    >>> whole_characters(rb'"\ud800 \ud83d\ude00 \\ud800"')
    b'"\\ufffd \\ud83d\\ude00 \\\\ud800"'
    """
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[2] else found[0], raw)


def _describe_problem(raw: bytes, why: str) -> str:
    if _NO_NUMBER.search(raw):
        return "not JSON: NaN or Infinity is no JSON number; right would be null"
    if _HALVED.search(raw):
        return f"not JSON: half a surrogate pair (\\ud800...), or {why}"
    return f"not JSON: {why}"


def _keys(value: object) -> int:
    count = 0
    pending: list[Any] = [value]
    for inner in pending:  # grows during iteration
        if type(inner) is dict:
            count += len(inner)
            inner = inner.values()
        for element in inner:
            kind = type(element)
            if kind is dict or kind is list:
                pending.append(element)
    return count


def refuse_duplicates(raw: bytes) -> None:
    """Look for a repeated key in one object. Raises: Refused."""
    try:
        json.loads(raw, object_pairs_hook=_unique)
    except RecursionError:
        raise Refused("nested too deeply to be a log record") from None
    except ValueError as why:  # the two decoders disagree: trust neither
        raise Refused(f"not JSON: {type(why).__name__}") from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise Refused(f"key {twice[:40]!r} appears twice in one object; which one holds is anyone's guess")
    return fields
