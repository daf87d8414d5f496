"""Splits a text into words for comparison, in any script.

Scripts without spaces (Chinese, Japanese, Thai) give a word for each letter, as the record's sketches do.
Case, width, combining accents and invisible characters make no difference. Numbers count, and so does a sign
between two numbers: 2 + 2 is not 2 - 2. Other punctuation does not.
"""

import re
import unicodedata
from collections.abc import Sequence

from stillwatch.text.kernel import is_own_token

SIGN = re.compile(r"(?:(?<=\d)|(?<=\b[a-z])|(?<=\)))\s?([-+*/^=<>−×÷])\s?(?=\d|[a-z]\b|\()")
SIGNS = dict(zip("-+*/^=<>−×÷", "－＋＊／＾＝＜＞－×÷", strict=True))
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
LETTER = 0.5  # words per letter in scripts without spaces: Chinese words have about two letters


class _Table(dict[int, str]):
    """Maps each character to its folded form; each character is looked up once."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)
        if kind[0] == "M" or kind == "Cf":
            found = ""
        elif character in SIGNS.values():
            found = f" {character} "
        elif kind == "Nd":
            found = str(unicodedata.decimal(character))
        elif character.isalnum():
            found = f" {character} " if is_own_token(code) else character
        else:
            found = " "
        self[code] = found
        return found


_TABLE = _Table()


def words(text: str) -> tuple[str, ...]:
    """
    >>> words("What IS 2+2?"), words("答案是７。")
    (('what', 'is', '2', '＋', '2'), ('答', '案', '是', '7'))
    """
    folded = unicodedata.normalize("NFKC", INVISIBLE.sub("", text)).casefold()
    return tuple(SIGN.sub(lambda sign: f" {SIGNS[sign[1]]} ", folded).translate(_TABLE).split())


def in_words(found: Sequence[str]) -> float:
    """Return the number of words of a spaced script to which they correspond."""
    return sum(LETTER if len(word) == 1 and is_own_token(ord(word)) else 1 for word in found)
