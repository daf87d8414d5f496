"""Putting a question into other words: a grammar, swaps of everyday words, a local model's sentences.

The first two are rules; the third was written by a small language model and is kept in local_model.txt, so
that no model runs here. A question keeps its content words. It does not know whether answers stay the same.
"""

import re
from functools import cache
from pathlib import Path

import numpy as np

from stillwatch.range.wording import CLOSINGS, OPENINGS, TEMPLATES

Form = tuple[str, str]  # what goes before the question, and what after

# One slot after the other; an empty string leaves a slot out.
_BEFORE: tuple[tuple[str, ...], ...] = (
    ("Hello. ", "Hi there, ", "Morning. ", "", "", "", "Ok, ", "So, ", "Right. ", "Thanks for before. "),
    ("I am", "We are", "My sister is", "Our group is", "A friend is", "My team is", "The class is"),
    (" looking at", " working on", " puzzling over", " checking", " revising", " stuck at", " curious about"),
    (" this", " the one below", " something like this", " what follows", " the next thing", " one more"),
    (" today", " tonight", " again", " for fun", " on the train", " between meetings", "", ""),
    (": ", ". ", " - ", ":\n", ".\n\n", ", see here: ", ", namely: "),
)
_AFTER: tuple[tuple[str, ...], ...] = (
    (" Please", " Could you", " Would you", " Try to", " If you can,", "\n\nPlease", "\nKindly"),
    (" go through", " set out", " write up", " lay down", " give", " unfold", " put on paper", " record"),
    (" all of", " the whole of", " every bit of", " the full course of", " each piece of", " the entire"),
    (" your reasoning", " the working", " the thinking", " the argument", " the route", " the derivation"),
    (" before the result", " and then the answer", ", answer last", " ahead of any answer", ", then conclude",
     " and close with the outcome"),
    (".", ", thanks.", ", please and thanks.", "!", ", no rush.", ", I have time.", ""),
)  # fmt: skip

_SWAPS: dict[str, tuple[str, ...]] = {
    "find": ("work out", "determine", "get"),
    "calculate": ("compute", "work out", "reckon"),
    "write": ("compose", "draft", "put together"),
    "explain": ("make clear", "set out", "tell me"),
    "describe": ("depict", "sketch", "outline"),
    "create": ("make", "build", "come up with"),
    "generate": ("produce", "make", "come up with"),
    "provide": ("give", "offer", "supply"),
    "show": ("demonstrate", "make plain", "let me see"),
    "determine": ("find", "settle", "establish"),
    "identify": ("spot", "name", "point out"),
    "list": ("name", "set out", "enumerate"),
    "large": ("big", "sizeable"),
    "small": ("little", "tiny"),
    "many": ("a lot of", "plenty of"),
    "following": ("next", "coming"),
    "given": ("stated", "supplied"),
    "because": ("since", "as"),
    "also": ("too", "as well"),
    "however": ("but", "though"),
    "such that": ("so that", "where"),
    "what is": ("what's", "tell me"),
    "how many": ("what number of", "what count of"),
    "let": ("take", "say that"),
    "suppose": ("imagine", "assume", "say"),
    "answer": ("reply", "solution"),
    "question": ("problem", "query"),
    "sentence": ("line", "statement"),
    "using": ("with", "by means of"),
    "if": ("when", "in case"),
}


@cache
def _pattern() -> re.Pattern[str]:
    words = sorted(_SWAPS, key=len, reverse=True)
    return re.compile(r"\b(" + "|".join(re.escape(w) for w in words) + r")\b", re.IGNORECASE)


@cache
def sentences() -> tuple[str, ...]:
    """What a local model made of requests for reasoning; lines that begin with # say which and how."""
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
    """Swap everyday words of a question for others; names, numbers and what is not in the list stay."""

    def swap(match: re.Match[str]) -> str:
        if rng.random() >= share:
            return match[0]
        others = _SWAPS[match[0].lower()]
        other = others[rng.integers(len(others))]
        return other[0].upper() + other[1:] if match[0][0].isupper() else other

    return _pattern().sub(swap, question)


def word_request(question: str, words: str, form: Form, template: int, rng: np.random.Generator) -> str:
    """The question as a group that words its requests in this way would send it.

    own: the wrapper that belongs to the account or its group; template: which of the fixed templates is used.
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
