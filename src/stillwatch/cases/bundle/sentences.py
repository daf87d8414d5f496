"""Checks that a sentence of a finding is one that its release can write. Standard library only.

This file travels in each bundle, beside `recompute.py`. A release lists the pieces of text in the code of
each signal. Its sentences consist of these pieces, of numbers and times, and of one word where the code
inserts a name. So a sender can change a number or a name in a sentence, but not what it states.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

LONGEST = 4_000  # characters of a sentence
# where the code inserts a number, and where it inserts any value
NUMBER_HERE, VALUE_HERE = "\1", "\0"
NUMBER = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d)?|-?\d[\d,]*(\.\d+)?(e[-+]?\d+)?%?|nan\b|inf\b")
WORD = re.compile(r"[^\s,;:()]{1,60}")


def is_made_of(text: str, pieces: Sequence[str], names: Iterable[str] = ()) -> bool:
    """Return whether a text consists of a release's pieces. names: allowed names of several words."""
    if len(text) > LONGEST or not text.isprintable():
        return False
    plain, slots = set[str](), set[tuple[str, str]]()
    for piece in pieces:
        parts = re.split(f"([{NUMBER_HERE}{VALUE_HERE}])", piece)
        plain |= {part for part in parts[::2] if part}
        slots |= {(parts[k - 1], parts[k + 1]) for k in range(1, len(parts), 2) if parts[k] == VALUE_HERE}
    named = sorted({name for name in names if name}, key=len, reverse=True)
    reached = {0}
    for at in range(len(text)):
        if at not in reached:
            continue
        reached |= {at + len(part) for part in plain if text.startswith(part, at)}
        if found := NUMBER.match(text, at):
            reached |= {found.end(), found.end() - text[at : found.end()].endswith((",", "%"))}
        for left, right in slots:
            if text.endswith(left, 0, at):
                word = WORD.match(text, at)
                ends = [word.end()] if word else []
                ends += [at + len(name) for name in named if text.startswith(name, at)]
                reached |= {end for end in ends if text.startswith(right, end)}
    return len(text) in reached
