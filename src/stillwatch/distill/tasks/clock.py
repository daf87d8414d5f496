"""Arithmetic on a dial of ten: the task that the embedded teacher can do. It makes its own problems."""

import re
from typing import Any

from stillwatch.distill import AnswerVerdict, Prompt
from stillwatch.distill.embedded.clock import problems

NAME = "clock"
EXPECTS = "one digit, as text"


def make(n: int, seed: int, held_out: bool) -> list[Prompt]:
    """Draw n different problems of two to five steps; held-out ones are never among the others."""
    return [
        Prompt(p.id, ({"role": "user", "content": p.prompt},), NAME, p.answer, f"{p.steps} steps")
        for p in problems(n, seed, held_out)
    ]


def check(expected: Any) -> str | None:
    return None if isinstance(expected, str) and re.fullmatch("[0-9]", expected) else "is no digit in quotes"


def judge(expected: Any, text: str) -> AnswerVerdict:
    """Judge by the only digit of the text, or by the one after the last "#".

    >>> judge("8", "8").right, judge("8", "first 9 + 9 = 8 # 8").right, judge("8", "7").right
    (True, True, False)
    """
    found = re.search(r"#\s*([0-9])\s*$", text) or re.fullmatch(r"\s*([0-9])\s*", text)
    if found is None:
        return AnswerVerdict(False, None, "no digit stands alone")
    answer = found[1]
    return AnswerVerdict(
        answer == expected, answer, "" if answer == expected else f"is {answer}, not {expected}"
    )
