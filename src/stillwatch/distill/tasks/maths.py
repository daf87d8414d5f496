"""A number or a short formula as the answer: the boxed one, the one after "####", or the last.

Numbers are compared as exact fractions, so 0.5, 1/2 and \\frac{1}{2} are one. It does not do algebra: x+1 and
1+x are two texts.
"""

import re
from fractions import Fraction
from typing import Any

from stillwatch.distill import AnswerVerdict, DistillError, Prompt

NAME = "maths"
EXPECTS = "a number, or a text with one (a whole solution that ends in #### 42 will do)"
NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d{1,3})?(?:\s*/\s*\d+)?\s*%?")
MARKED = (
    re.compile(r"####\s{0,9}([^\n]+)"),
    re.compile(r"answer(?:\s{1,9}is\s{0,9}:?|\s{0,9}[:=])\s{0,9}([^\n]+)", re.IGNORECASE),
)
WORD, COMMAND = re.compile(r"[A-Za-z]{2}"), re.compile(r"\\[A-Za-z]+")
SHORT = 40  # characters of a text that is an answer as a whole
LONGEST = 200  # characters of an answer; and digits of a number


def make(n: int, seed: int, held_out: bool) -> list[Prompt]:
    raise DistillError("the task maths makes no prompts; give a file, or use the task arithmetic")


def check(expected: Any) -> str | None:
    if isinstance(expected, bool) or not isinstance(expected, str | int | float):
        return "is neither a number nor a text"
    return None if find_answer(str(expected)) else "holds no answer"


def judge(expected: Any, text: str) -> AnswerVerdict:
    r"""
    >>> judge("1/2", r"so it is \boxed{\frac{1}{2}}").right
    True
    >>> judge("#### 1,200", "That makes 12 a month, 1200 in all.").right
    True
    >>> judge(7, "The answer is 8.").why
    'is 8, not 7'
    """
    said, wanted = find_answer(text), find_answer(str(expected))
    if said is None:
        return AnswerVerdict(False, None, "no answer was found in it")
    if wanted is None:
        return AnswerVerdict(None, said, "the expected answer holds none")
    right = same(said, wanted)
    return AnswerVerdict(right, said, "" if right else f"is {said}, not {wanted}")


def find_answer(text: str) -> str | None:
    """The answer that a text gives: boxed, else marked, else its last number."""
    boxed = _last_box(text)
    if boxed is not None:
        return boxed.strip()[:LONGEST] or None
    for pattern in MARKED:
        marked = pattern.findall(text)
        if marked:
            last = marked[-1].rpartition("=")[2].strip(" .*$")
            if last and not WORD.search(COMMAND.sub("", last)):
                return last[:LONGEST]
            if number := _numbers(last):
                return number[0][:LONGEST]
    short = text.strip(" .$\n")
    if 0 < len(short) <= SHORT and "\n" not in short and not WORD.search(COMMAND.sub("", short)):
        return short.rpartition("=")[2].strip()  # a formula, or a number alone
    numbers = _numbers(text)
    if numbers:
        return numbers[-1]
    return short if 0 < len(short) <= SHORT and "\n" not in short else None


def same(one: str, other: str) -> bool:
    """Whether two answers are one number, or one text apart from how it is set."""
    left, right = value(one), value(other)
    if left is not None and right is not None:
        return left == right
    return _plain(one) == _plain(other)


def value(text: str) -> Fraction | None:
    r"""
    >>> value(r"\frac{3}{4}"), value("75%"), value("$1,000"), value("x")
    (Fraction(3, 4), Fraction(3, 4), Fraction(1000, 1), None)
    """
    text = re.sub(r"\\[dt]?frac\{(-?\d+)\}\{(\d+)\}", r"\1/\2", text[:LONGEST])
    text = re.sub(r"\\(?:text|mathrm)\{[^}]*\}|\\[,;! ]|[$\s]|\\(?=%)", "", text).rstrip(".")
    if not (match := NUMBER.fullmatch(text)) or not any(c.isdigit() for c in match[0]):
        return None
    share, text = text.endswith("%"), text.rstrip("%").replace(",", "")
    top, slash, bottom = text.partition("/")
    try:
        number = Fraction(top) / (Fraction(bottom) if slash else 1)
    except (ValueError, ZeroDivisionError):
        return None
    return number / 100 if share else number


def _numbers(text: str) -> list[str]:
    every = (match[0].strip() for match in NUMBER.finditer(text))
    return [one for one in every if any(c.isdigit() for c in one)]


def _last_box(text: str) -> str | None:
    """What stands in the last box, its braces balanced."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    begin = at = start + len("\\boxed{")
    depth = 1
    while at < len(text) and depth:
        depth += (text[at] == "{") - (text[at] == "}")
        at += 1
    return None if depth else text[begin : at - 1]


def _plain(text: str) -> str:
    return re.sub(r"\\(?:left|right|text|mathrm|displaystyle)|[\s${}]|\\[,;! ]", "", text).rstrip(".").lower()
