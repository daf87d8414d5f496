"""A model name without its disguise: confusable spellings folded, then letters and digits only.

Spellings with a digit for a letter ("d33pseek") are not folded here, because that would change innocent names
("gpt4" is not "gpta"). `resolve` tries them on distinctive words only.
"""

import re
import unicodedata
from functools import lru_cache

# Letters drawn like an ASCII one: the ASCII letter, its look-alikes. Own table, chosen by eye from scripts
# whose letters look Latin (Unicode Technical Standard 39, section 4, says why they matter). Letters that NFKC
# folds (full-width, mathematical, circled, superscript) are not repeated here.
LOOK_ALIKES = {
    "a": "аᴀɑαΑАᎪꓮⲀⲁ⍺ӕ",
    "b": "ьвʙβΒВᏴꓐЬƄ",
    "c": "сϲᴄСϹᏟꓚⲤⲥƈ¢",
    "d": "ԁᴅđɗɖᎠꓓꓒԀĐ",
    "e": "еᴇɛεєΕЕᎬꓰҽ℮ɘǝэⲈⲉ",
    "f": "ꜰƒꓝϝϜ",
    "g": "ɡɢցԍᏀꓖԌǥ",
    "h": "һʜհнħΗНᎻꓧҺⲎћ",
    "i": "іıɪιΙІᎥꓲɩӀ",
    "j": "јᴊϳЈᎫꓙʝ",
    "k": "кᴋκΚКᏦꓗƙқⲔⲕ",
    "l": "ӏʟłƖᏞꓡɭլ",
    "m": "мᴍΜМᎷꓟ",
    "n": "ոɴηΝꓠпռ",
    "o": "оᴏοσΟОօꓳⲟⲞøØ",
    "p": "рᴘρΡРᏢꓑþⲢⲣ",
    "q": "ԛզգɋԚ",
    "r": "гʀᴦᎡꓣɼɽяᖇ",
    "s": "ѕꜱʂЅᏚꓢՏ",
    "t": "тᴛτΤТᎢꓔŧ",
    "u": "սᴜυцՍꓴʋ",
    "v": "ѵᴠνѴᏙꓦ",
    "w": "ԝᴡωшѡᎳꓪԜա",
    "x": "хχΧХꓫ×",
    "y": "уʏγΥУүҮꓬɣ",
    "z": "ᴢΖᏃꓜʐƶ",
}
# Letters to Unicode, but drawn as nothing (Default_Ignorable_Code_Point, Unicode 16.0).
BLANK_LETTERS = "\u115f\u1160\u3164\uffa0"
# Letters in boxes, which NFKC leaves alone: negative circled, negative squared, regional indicators.
BOXED = (0x1F150, 0x1F170, 0x1F1E6)

_FOLD: dict[int, str | None] = {ord(like): letter for letter, likes in LOOK_ALIKES.items() for like in likes}
_FOLD |= {ord(blank): None for blank in BLANK_LETTERS}
_FOLD |= {first + i: chr(ord("a") + i) for first in BOXED for i in range(26)}
# "LATIN SMALL LETTER P WITH STROKE", "LATIN LETTER SMALL CAPITAL K": NFKD removes accents, not strokes.
_LATIN = re.compile(r"LATIN (?:SMALL |CAPITAL )?LETTER (?:SMALL CAPITAL )?([A-Z])(?: WITH .*)?")
_NOT_ALNUM = re.compile(r"[^a-z0-9]+")
_DROPPED = {"Cf", "Mn", "Me", "Cc"}


def fold_name(name: str) -> str:
    r"""Fold confusable spellings and case, and keep separators in place.

    >>> fold_name("ＤｅｅｐＳееk\u200b-R1")
    'deepseek-r1'
    """
    if name.isascii():
        return name.lower()
    # Before NFKC, which turns a lunate sigma (like c) into a plain one (like o), and again on its result.
    text = unicodedata.normalize("NFKC", name.translate(_FOLD)).translate(_FOLD)
    text = unicodedata.normalize("NFKD", text)
    text = "".join(_plain(c) for c in text if unicodedata.category(c) not in _DROPPED)
    # Once more: a letter without its accent may be a look-alike, and casefold may spell one letter as two.
    return text.translate(_FOLD).casefold().translate(_FOLD)


def skeleton(name: str) -> str:
    """Reduce a name to its lower-case letters and digits.

    Letters of scripts without Latin look-alikes are kept, so that two names in them stay different.

    >>> skeleton("DEEPSEEK_R1"), skeleton("d e e p s e e k / r1")
    ('deepseekr1', 'deepseekr1')
    """
    text = fold_name(name)
    if text.isascii():
        return _NOT_ALNUM.sub("", text)
    return "".join(c for c in text if c.isalnum())


@lru_cache(maxsize=4096)
def _plain(c: str) -> str:
    """Return a digit of any script as ASCII, and a Latin letter without the additions in its Unicode name."""
    if c.isascii():
        return c
    digit = unicodedata.decimal(c, None)
    if digit is not None:
        return str(digit)
    letter = _LATIN.fullmatch(unicodedata.name(c, ""))
    return c if letter is None else letter[1].lower()
