"""Antiderivatives of a first calculus course, with SymPy as the teacher.

The steps are those of SymPy's `integral_steps` (BSD-3-Clause). This file draws the integrands and writes out
the steps. Needs the extra `train`, which brings SymPy.
"""

import random
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from stillwatch.distill import DistillError
from stillwatch.distill.train.extra import need

LINEAR = r"(?:x|\d{1,2}x[-+]\d{1,2})"
TERM = re.compile(
    rf"(?P<factor>[-+]?\d{{0,2}})"
    rf"(?:(?P<name>e\^|\\sin|\\cos)(?:\{{|\()(?P<of>{LINEAR})(?:\}}|\))"
    rf"|\((?P<base>{LINEAR})\)\^(?P<power>[1-9])|x(?:\^(?P<degree>[1-9]))?)"
)
LONGEST = 100  # characters of a question
TERMS, INSIDE = "term by term", "linear inside"


def draw_integrand(draw: random.Random) -> tuple[str, str]:
    """Draw an integrand as LaTeX, and its kind: a sum of two terms, or a function of bx + c.

    >>> draw_integrand(random.Random(2)), draw_integrand(random.Random(3))
    (('3(2x-3)^2', 'linear inside'), ('-x^2+8e^{x}', 'term by term'))
    """
    sympy = need("sympy")
    x = sympy.Symbol("x")
    shapes = [*(lambda of, n=n: of**n for n in (1, 2, 3, 4)), sympy.exp, sympy.sin, sympy.cos]
    if draw.random() < 0.5:
        return latex(sum(_factor(draw) * shape(x) for shape in draw.sample(shapes, 2))), TERMS
    shape = draw.choice(shapes[1:])
    inside = draw.randint(2, 5) * x + draw.choice((-1, 1)) * draw.randint(1, 5)
    return latex(draw.randint(1, 9) * shape(inside)), INSIDE


def _factor(draw: random.Random) -> int:
    return draw.choice((-1, 1)) * draw.randint(1, 9)


def latex(expression: Any) -> str:
    """Format an expression as short LaTeX: 3\\cos(4x+1)/4."""
    text = need("sympy").latex(expression, fold_short_frac=True)
    text = re.sub(r"\\left|\\right", "", text)
    text = re.sub(r"\^\{(\d)\}", r"^\1", text).replace("{(", "(").replace(")}", ")")
    return re.sub(r"(?<![a-z]) | (?![a-z])", "", text).replace(r"\cdot", "*")


@lru_cache(maxsize=4096)  # the answer is needed for the prompt, and again when the teacher is asked
def solve(question: str) -> tuple[str, str]:
    """Solve a question: SymPy's steps, and the answer in a box.

    >>> solve("Integrate 6x^2-4x.")
    ('x^2->x^3/3\\ntimes 6->2x^3\\nx->x^2/2\\ntimes -4->-2x^2', '\\\\boxed{2x^3-2x^2}')

    Raises: DistillError if it is not such a question.
    """
    integrand = question.strip().removeprefix("Integrate ").removesuffix(".")
    terms = list(TERM.finditer(integrand))
    if len(integrand) > LONGEST or not terms or "".join(term[0] for term in terms) != integrand:
        raise DistillError(
            f"{question[:80]!r} does not ask to integrate a sum of powers, e^{{ax+b}}, \\sin and \\cos"
        )
    x = need("sympy").Symbol("x")
    rule = need("sympy.integrals.manualintegrate").integral_steps(sum(_term(x, term) for term in terms), x)
    return "\n".join(_lines(rule)), rf"\boxed{{{latex(rule.eval())}}}"


def _term(x: Any, found: re.Match[str]) -> Any:
    """Build a term for SymPy from its numbers; nothing of the text is evaluated."""
    sympy, factor = need("sympy"), found["factor"]
    times = int(factor) if factor[-1:].isdigit() else -1 if factor == "-" else 1
    if name := found["name"]:
        shape = {"e^": sympy.exp, "\\sin": sympy.sin, "\\cos": sympy.cos}[name]
        return times * shape(_linear(x, found["of"]))
    if found["base"]:
        return times * _linear(x, found["base"]) ** int(found["power"])
    return times * x ** int(found["degree"] or 1)


def _linear(x: Any, text: str) -> Any:
    slope, _, shift = text.partition("x")
    return int(slope or 1) * x + int(shift or 0)


def _lines(rule: Any) -> Iterator[str]:
    """Yield the lines of a rule, the inner ones first."""
    match type(rule).__name__:
        case "AlternativeRule":  # equivalent methods: use the first
            yield from _lines(rule.alternatives[0])
        case "AddRule":
            for step in rule.substeps:
                yield from _lines(step)
        case "ConstantTimesRule":
            yield from _lines(rule.substep)
            yield f"times {latex(rule.constant)}->{latex(rule.eval())}"
        case "URule":
            yield f"u = {latex(rule.u_func)}"
            yield from _lines(rule.substep)
            yield f"so {latex(rule.eval())}"
        case _:
            yield f"{latex(rule.integrand)}->{latex(rule.eval())}"
