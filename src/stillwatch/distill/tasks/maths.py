"""A number or a formula as the answer: the boxed one, the one after "####" or "answer", or the last number.

Numbers are compared as exact fractions, in any notation: 0.5, 1/2, \\frac{1}{2} and 50 % are equal. Anything
other than a plain number is compared by Math-Verify (`formulas.py`). An unmarked number counts only if the
text ends with it: "there are 3 ways... I do not know" gives no answer.

Blind to: a marked answer that is withdrawn later ("the answer is 5. No, I was wrong").
Fooled by: a last sentence with a number that is no answer ("I checked this 2 times").
"""

import re
import unicodedata
from fractions import Fraction
from typing import Any

from stillwatch.distill import AnswerVerdict, DistillError, Prompt
from stillwatch.distill.formulas import same_formula

NAME = "maths"
EXPECTS = "a number, or a text with one (a whole solution that ends in #### 42 will do)"


def _digits(separators: str) -> str:
    """Return a pattern for an unsigned number whose groups of three digits `separators` may separate."""
    return (
        r"\d{1,3}(?:\.\d{3})+,\d+"  # 1.234,5
        r"|\d{1,3}(?:\.\d{3}){2,}(?![\d.])"  # 1.234.567
        r"|\d{1,3}(?:(?:\{,\}|[" + separators + r"])\d{3})+(?!\d)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?"
        r"|(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3})?"
    )


# a plain space parts numbers in prose, and groups of digits in a number that is alone
GROUPS = ",'’_\u00a0\u202f"
MIXED = r"\d{1,6} {1,3}\d{1,6}/\d{1,6}"  # 2 1/3
NUMBER = re.compile(r"[-+]?(?:" + MIXED + r"|(?:" + _digits(GROUPS) + r")(?: ?/ ?\d+)?)\s?(?:\\?%)?")
VALUE = re.compile(
    r"([-+]?)\s*(?:(\d+)\s+(?=\d+\s*/))?(" + _digits(f" {GROUPS}") + r")(?:\s*/\s*(\d+))?\s*(%?)"
)
MARKED = (
    re.compile(r"####\s{0,9}([^\n]+)"),
    re.compile(r"answer(?:\s{1,9}is\s{0,9}:?|\s{0,9}[:=])\s{0,9}([^\n]+)", re.IGNORECASE),
)
# a word of a language: letters apart from digits and operators, or two of a script other than Latin and Greek
WORD = re.compile(
    r"(?<![\w\\])(?!(?:ln|log|exp|sqrt|pi|sin|cos|tan)\b)[A-Za-z]{2,}(?![\w(]|\s{0,3}[-+*/^=])"
    r"|[^\W\d_\x00-\x7f\u0370-\u03ff]{2}"
)
COMMAND = re.compile(r"\\(?:begin|end)\{[A-Za-z]*\*?\}|\\[A-Za-z]+")
DENIED = re.compile(r"answer\s{1,9}is(?:\s{1,9}not|n['’]t)\b", re.IGNORECASE)
SENTENCE_END = re.compile(r"\.{2,}|[.!?](?=\s|$)|[。！？…؟।]|\n")
FRACTION = re.compile(r"\\[dtc]?frac(?:\{(-?\d+)\}|(\d))(?:\{(\d+)\}|(\d))")
SETTING = re.compile(  # formatting of a number, and its unit
    r"\\(?:text|mathrm|mbox)\{[^{}]*\}\s*$|\^?\{?\\(?:circ|degree)\}?|\\[,;!]|\\(?=[%$ ])|[$€£¥°]"
)
SHORT = 40  # characters of a text that is an answer as a whole
FEW = 3  # words of a text that is an answer without a number: "North East"
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
    answer, wanted = find_answer(text), find_answer(str(expected))
    if answer is None:
        return AnswerVerdict(False, None, "no answer was found in it")
    if wanted is None:
        return AnswerVerdict(None, answer, "the expected answer holds none")
    right = same(wanted, answer)
    if right is None:
        return AnswerVerdict(False, answer, f"could not be compared with {wanted}")
    return AnswerVerdict(right, answer, "" if right else f"is {answer}, not {wanted}")


def find_answer(text: str) -> str | None:
    """Return a text's answer: boxed, else marked, else the last number of its last sentence."""
    boxed = _last_box(text)
    if boxed is not None:
        return boxed.strip()[:LONGEST] or None
    sentences = [sentence for sentence in SENTENCE_END.split(text) if any(c.isalnum() for c in sentence)]
    last_sentence = sentences[-1] if sentences else ""
    if DENIED.search(last_sentence):
        return None
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
    if numbers := _numbers(last_sentence):
        return numbers[-1][:LONGEST]
    words = len(short.split()) if len(short) <= SHORT and not any(c.isdigit() for c in short) else 0
    return short if 0 < words <= FEW and "\n" not in short else None


def same(wanted: str, answer: str) -> bool | None:
    """Return whether two answers are the same number, text apart from formatting, or formula.

    None if that could not be decided within the time. Raises: DistillError if it takes algebra and
    Math-Verify is not installed.
    """
    left, right = value(wanted), value(answer)
    if left is not None and right is not None:
        shares = [t.rstrip().endswith("%") for t in (wanted, answer)]
        if shares[0] != shares[1] and (left * 100 if shares[0] else left) == (
            right * 100 if shares[1] else right
        ):
            return True  # 50 for 50 %, as graders of MATH-500 accept
        return left == right
    plain = [_plain(t) for t in (wanted, answer)]
    if plain[0] == plain[1]:
        return True
    if (left is None) != (right is None) and not any(
        c.isdigit() for c in (wanted if left is None else answer)
    ):
        return False  # a number against words or a symbol
    return same_formula(_latin_digits(wanted), _latin_digits(answer))


def value(text: str) -> Fraction | None:
    r"""
    >>> value(r"\frac{3}{4}"), value("75%"), value("$1,000"), value("x")
    (Fraction(3, 4), Fraction(3, 4), Fraction(1000, 1), None)
    >>> value("2 1/3"), value("1.234,5"), value("٧"), value("1 2")
    (Fraction(7, 3), Fraction(2469, 2), Fraction(7, 1), None)
    """
    text = FRACTION.sub(
        lambda m: f" {m[1] or m[2]}/{m[3] or m[4]}", SETTING.sub("", _latin_digits(text[:LONGEST]))
    )
    if not (match := VALUE.fullmatch(text.strip().rstrip("."))):
        return None
    sign, integer, top, bottom, percent = match.groups()
    if re.fullmatch(r"[\d.]+,\d+", top) and "." in top and top.index(".") < top.index(","):
        top = top.replace(".", "").replace(",", ".")
    elif top.count(".") > 1:
        top = top.replace(".", "")
    try:
        number = Fraction(re.sub(rf"\{{,\}}|[ {GROUPS}]", "", top)) / Fraction(bottom or 1)
    except (ValueError, ZeroDivisionError):
        return None
    number = (number + Fraction(integer or 0)) * (-1 if sign == "-" else 1)
    return number / 100 if percent else number


def _latin_digits(text: str) -> str:
    """Return the text with every script's digits as 0 to 9, and one minus sign."""
    marks = {"−": "-", "٫": ".", "٬": ",", "％": "%", "．": ".", "，": ","}
    return "".join(marks.get(c) or str(unicodedata.decimal(c, c)) for c in text)


def _numbers(text: str) -> list[str]:
    return [match[0].strip() for match in NUMBER.finditer(_latin_digits(text))]


def _last_box(text: str) -> str | None:
    """Return the content of the last box, with balanced braces."""
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
    return (
        re.sub(r"\\(?:left|right|text|mathrm|displaystyle)|[${}]|\\[,;! ]|(?<!\d)\s+|\s+(?!\d)", "", text)
        .rstrip(".")
        .lower()
    )
