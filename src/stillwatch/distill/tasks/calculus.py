"""Antiderivatives, made from a seed: a task for SymPy as the teacher, judged by Math-Verify.

A problem is held out by a property of its text, so that no seed changes it. Held-out problems have other
numbers and other sums, but the same kinds: there are few, and a student has seen each. An answer is right if
the formula is equal in any form; an added constant makes it wrong.
"""

import hashlib
import random

from stillwatch.distill import Prompt
from stillwatch.distill.embedded.calculus import draw_integrand, solve
from stillwatch.distill.tasks.maths import EXPECTS, check, judge

__all__ = ["EXPECTS", "NAME", "check", "judge", "make"]

NAME = "calculus"
HELD_OUT_OF = 8  # one problem in this many


def make(n: int, seed: int, held_out: bool) -> list[Prompt]:
    """Draw n different integrands: sums of two terms, and functions of bx + c."""
    draw = random.Random(f"calculus/{seed}/{held_out}")
    found: dict[str, Prompt] = {}
    while len(found) < n:
        integrand, kind = draw_integrand(draw)
        text = f"Integrate {integrand}."
        digest = hashlib.sha256(text.encode()).hexdigest()
        if text not in found and (int(digest[:8], 16) % HELD_OUT_OF == 0) == held_out:
            messages = ({"role": "user", "content": text},)
            found[text] = Prompt(f"calculus-{digest[:12]}", messages, NAME, solve(text)[1], kind)
    return list(found.values())
