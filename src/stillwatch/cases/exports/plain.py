"""Convert values to JSON that every parser accepts: no null, no NaN, no lone surrogate."""

import json
import math
from typing import Any

from stillwatch.cases.exports import ExportError


def plain(value: Any) -> Any:
    r"""Copy a JSON value without what some parsers refuse: empty members go, lone surrogates become escapes.

    >>> plain({"a": None, "b": float("nan"), "c": ["\ud800"], "d": {"e": None}})
    {'c': ['\\ud800'], 'd': {}}
    """
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, dict):
        members = ((whole(str(name)), plain(item)) for name, item in value.items() if not _nothing(item))
        return dict(members)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value if not _nothing(item)]
    return value


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def whole(text: str) -> str:
    """Return a text with NUL and lone surrogates, invalid in UTF-8, written as escapes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        pass
    else:
        if "\0" not in text:
            return text
    return "".join(ascii(c)[1:-1] if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in text)


def to_bytes(document: Any, indent: int | None = None) -> bytes:
    """Return JSON, ASCII only, the same bytes for the same value. Raises: ExportError if it is not JSON."""
    try:
        return json.dumps(document, ensure_ascii=True, allow_nan=False, sort_keys=True, indent=indent).encode(
            "ascii"
        )
    except (TypeError, ValueError, RecursionError) as why:
        raise ExportError(f"cannot be written as JSON: {why}") from None
