"""One right text, or any of a list: compared without case, white space and closing punctuation."""

import re
import unicodedata
from typing import Any

from stillwatch.distill import AnswerVerdict, DistillError, Prompt

NAME = "exact"
EXPECTS = "a text, or a list of texts of which any is right"
LEAD = re.compile(
    r"^\W{0,9}(?:the\s{1,9})?(?:final\s{1,9})?answer(?:\s{1,9}is)?\s{0,9}[:=]?\s{0,9}", re.IGNORECASE
)


def make(n: int, seed: int, held_out: bool) -> list[Prompt]:
    raise DistillError("the task exact makes no prompts; give a file")


def check(expected: Any) -> str | None:
    if isinstance(expected, list):
        return None if expected and all(isinstance(text, str) for text in expected) else "is no list of texts"
    return None if isinstance(expected, str) else "is no text"


def judge(expected: Any, text: str) -> AnswerVerdict:
    """An answer is right if it matches as a whole, or in its last line, with or without "Answer:".

    >>> judge("Paris", "It lies on the Seine.\\nAnswer: **paris**.").right
    True
    >>> judge(["a", "b"], "c").right
    False
    """
    wanted = {_fold(text) for text in (expected if isinstance(expected, list) else [expected])}
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return AnswerVerdict(False, None, "there is no answer")
    for candidate in (text, lines[-1], LEAD.sub("", lines[-1])):
        if _fold(candidate) in wanted:
            return AnswerVerdict(True, candidate.strip())
    return AnswerVerdict(False, lines[-1].strip()[:200], "is another text")


def _fold(text: str) -> str:
    """Normalise a text for comparison: compatibility forms, lower case, single spaces, punctuation cut."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.strip(" .,;:!?\"'`*_()[]") or folded
