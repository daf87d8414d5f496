"""Which words of the table a part of a name contains, matched at word boundaries, not as mere substrings.

This module finds words and their disguises; `resolve` decides what they mean together.
"""

import re
from dataclasses import dataclass
from functools import cache

from stillwatch.lineage.parts import NamePart
from stillwatch.lineage.table import LineageEntry, LineageTable

SHORT = 5  # a shorter word matches in one piece or letter by letter, not across other pieces
# Digits and signs that are read as letters; tried only on words that nobody writes by chance.
LEET = {
    "a": "a4@",
    "e": "e3€",
    "i": "i1!|",
    "l": "l1|",
    "o": "o0",
    "s": "s5$",
    "t": "t7+",
    "b": "b8",
    "g": "g9",
}
_LEET_SIGNS = frozenset("".join(LEET.values())) - frozenset("abcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True)
class Hit:
    """An entry of the table and the position of its word."""

    start: int
    end: int
    entry: LineageEntry


def find(piece: NamePart, words: frozenset[str], known: LineageTable) -> list[Hit]:
    """Return every entry that a part names, left to right; the longest word if two begin together.

    `words` are all words of the whole name: some entries count only beside another word.
    """
    hits: list[Hit] = []
    end = 0
    for at in sorted(piece.starts | piece.humps):
        if at >= end and (hit := _at(at, piece, words, known)):
            hits.append(hit)
            end = hit.end
    hits += _hidden_words(piece, hits, known)
    return [hit for hit in sorted(hits, key=lambda hit: hit.start) if hit.entry.family is not None]


def _at(at: int, piece: NamePart, words: frozenset[str], known: LineageTable) -> Hit | None:
    for word, entries in known.starts.get(piece.bones[at : at + 2], ()):
        end = at + len(word)
        if piece.bones.startswith(word, at) and _whole_word(piece, at, end, known):
            for entry in entries:
                if _fits(entry, piece, at, end, words, known):
                    return Hit(at, end, entry)
    return None


def _ends(piece: NamePart, end: int, known: LineageTable) -> bool:
    return piece.is_edge(end) or _are_suffixes(piece.rest_of_run(end), known.suffixes)


def _are_suffixes(rest: str, suffixes: frozenset[str]) -> bool:
    """Return whether the rest consists of words that may follow a family's name: "pro", or "prolatest"."""
    if rest in suffixes:
        return True
    cuts = (cut for cut in range(2, len(rest) - 1) if rest[:cut] in suffixes)
    return any(_are_suffixes(rest[cut:], suffixes) for cut in cuts if len(rest) - cut > 1)


def _whole_word(piece: NamePart, start: int, end: int, known: LineageTable) -> bool:
    if not _ends(piece, end, known):
        return False
    if end - start >= SHORT:
        return True
    inside = sum(at in piece.starts for at in range(start + 1, end))
    return inside in (0, end - start - 1) or any(c.isdigit() for c in piece.bones[start:end])


def _fits(
    entry: LineageEntry, piece: NamePart, start: int, end: int, words: frozenset[str], known: LineageTable
) -> bool:
    before = piece.bones[:start]
    if entry.lead and start and before not in known.hosts and before != "ft":  # "ft:o4-mini:acme::7p4lURel"
        return False
    if entry.joined and (piece.starts & set(range(start + 1, end))) != _changes(piece.bones, start, end):
        return False
    if entry.whole and end != len(piece.bones):
        return False
    return not entry.under or not entry.under.isdisjoint(words)


def _changes(bones: str, start: int, end: int) -> set[int]:
    """Return where letters change to digits or back: the only places to split a joined word."""
    return {at for at in range(start + 1, end) if bones[at].isdigit() != bones[at - 1].isdigit()}


def _hidden_words(piece: NamePart, hits: list[Hit], known: LineageTable) -> list[Hit]:
    """Find distinctive words inside other words ("mydeepseek"), or in leet ("d33ps33k")."""
    leet = not _LEET_SIGNS.isdisjoint(piece.text)
    further = []
    for word, entry in known.distinctive:
        at = piece.bones.find(word)
        if at >= 0:
            if _ends(piece, at + len(word), known) and not any(hit.start <= at < hit.end for hit in hits):
                further.append(Hit(at, at + len(word), entry))
        elif leet and (match := _leet_pattern(word).search(piece.text)):
            before = sum(map(str.isalnum, piece.text[: match.start()]))
            further.append(Hit(before, before + 1, entry))
    return further


@cache
def _leet_pattern(word: str) -> re.Pattern[str]:
    letters = (f"[{re.escape(LEET[c])}]" if c in LEET else re.escape(c) for c in word)
    return re.compile(r"[\W_]?".join(letters) + r"(?![a-z]{2})")
