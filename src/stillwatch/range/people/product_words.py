"""Wordings of made-up programs. They are in product_words.toml.

All of it was written for the composer; no program's text is copied.
"""

from stillwatch.range.texts import read_texts

_TEXTS = read_texts("people/product_words.toml")
LEADS: dict[str, tuple[str, ...]] = _TEXTS["leads"]
RULES_OF: dict[str, tuple[str, ...]] = _TEXTS["rules_of"]
RULES_SHOWN: dict[str, int] = _TEXTS["rules_shown"]
TOOLS: tuple[tuple[str, str], ...] = _TEXTS["tools"]
SHOTS: str = _TEXTS["shots"]
PATTERNS: tuple[str, ...] = _TEXTS["patterns"]
OPENERS: tuple[str, ...] = _TEXTS["openers"]
FOLDERS: tuple[str, ...] = _TEXTS["folders"]
ENDINGS: tuple[str, ...] = _TEXTS["endings"]
RESULTS: tuple[str, ...] = _TEXTS["results"]
