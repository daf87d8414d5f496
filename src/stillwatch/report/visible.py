"""Shows attacker-controlled text so that nothing in it can act, hide or reorder.

Account names, user agents and reasons quote what clients sent. A terminal obeys ESC, a browser obeys
bidirectional overrides, and a reader is fooled by zero-width letters; each becomes a visible escape.
"""

import unicodedata

# control, format, surrogate, private, unassigned, breaks
_ESCAPED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_BLANK = {0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0}  # letters and symbols without visible shape
_MARKS_IN_A_ROW = 2  # more combining marks would pile up over neighbouring lines
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}


def _must_escape(char: str, marks: int, ascii_only: bool) -> bool:
    if char in _SHORT:
        return True
    if char < "\x7f" and char >= " ":
        return False
    kind = unicodedata.category(char)
    if ascii_only or kind in _ESCAPED or ord(char) in _BLANK or 0xFE00 <= ord(char) <= 0xFE0F:
        return True
    return kind == "Zs" or (kind.startswith("M") and marks >= _MARKS_IN_A_ROW)


def _escape(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def pieces(text: str, limit: int = 160, ascii_only: bool = False) -> list[tuple[str, bool]]:
    """Split a text into (shown, is_escape) runs; beyond `limit` characters the rest is counted, not shown.

    >>> pieces("a\\x1b[1mb")
    [('a', False), ('\\\\x1b', True), ('[1mb', False)]
    """
    runs: list[tuple[str, bool]] = []
    marks = 0
    for char in text[:limit]:
        escape = _must_escape(char, marks, ascii_only)
        marks = marks + 1 if unicodedata.category(char).startswith("M") else 0
        shown = _escape(char) if escape else char
        if runs and runs[-1][1] == escape:
            runs[-1] = (runs[-1][0] + shown, escape)
        else:
            runs.append((shown, escape))
    if len(text) > limit:
        runs.append((f"... (+{len(text) - limit:,} characters)", True))
    return runs


def visible(text: str, limit: int = 160, ascii_only: bool = False) -> str:
    """Return a text on one line with every control, format and invisible character escaped.

    Different texts within the limit never look the same: the backslash is doubled.

    >>> visible("pay\\u202eload\\n")
    'pay\\\\u202eload\\\\n'
    """
    return "".join(shown for shown, _ in pieces(text, limit, ascii_only))
