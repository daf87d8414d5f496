"""Rewords a question: by a grammar, by swaps of everyday words, by a local model's sentences.

The first two are rules; the third was written once by a small language model and stored in local_model.txt,
so that no model runs here. A question keeps its content words.
"""

import re
from functools import cache
from pathlib import Path

import numpy as np

from stillwatch.range.texts import read_texts
from stillwatch.range.wording import CLOSINGS, OPENINGS, TEMPLATES

Form = tuple[str, str]  # text before the question, and after

_TEXTS = read_texts("attackers/rewording.toml")
_BEFORE: tuple[tuple[str, ...], ...] = _TEXTS["before"]
_AFTER: tuple[tuple[str, ...], ...] = _TEXTS["after"]
_SWAPS: dict[str, tuple[str, ...]] = _TEXTS["swaps"]


@cache
def _pattern() -> re.Pattern[str]:
    words = sorted(_SWAPS, key=len, reverse=True)
    return re.compile(r"\b(" + "|".join(re.escape(w) for w in words) + r")\b", re.IGNORECASE)


@cache
def sentences() -> tuple[str, ...]:
    """Return a local model's requests for reasoning; lines that begin with # say which model and how."""
    lines = Path(__file__).with_name("local_model.txt").read_text("utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def draw_model_form(rng: np.random.Generator) -> Form:
    """Draw a wrapper that a local model wrote: one sentence after the question."""
    wordings = sentences()
    return "", "\n\n" + wordings[rng.integers(len(wordings))]


def wrapper(rng: np.random.Generator) -> Form:
    """Draw a wrapper from the grammar."""
    before, after = ("".join(slot[rng.integers(len(slot))] for slot in part) for part in (_BEFORE, _AFTER))
    return before, after


def swap_words(question: str, rng: np.random.Generator, share: float = 0.7) -> str:
    """Replace everyday words of a question; names, numbers and words not in the list stay."""

    def swap(match: re.Match[str]) -> str:
        if rng.random() >= share:
            return match[0]
        others = _SWAPS[match[0].lower()]
        other = others[rng.integers(len(others))]
        return other[0].upper() + other[1:] if match[0][0].isupper() else other

    return _pattern().sub(swap, question)


def word_request(question: str, words: str, form: Form, template: int, rng: np.random.Generator) -> str:
    """Return the question as sent by a group with this way of wording.

    own: the wrapper of the account or its group; template: which of the fixed templates is used.
    """
    if words == "bare":
        return question
    if words == "template":
        return TEMPLATES["en"][template % len(TEMPLATES["en"])].replace("{q}", question)
    if words == "wrapped":
        openings, closings = OPENINGS["en"], CLOSINGS["en"]
        return openings[rng.integers(len(openings))] + question + closings[rng.integers(len(closings))]
    if words in ("own", "group", "model"):
        return form[0] + question + form[1]
    before, after = wrapper(rng)
    return before + swap_words(question, rng) + after
