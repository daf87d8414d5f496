"""Word problems with whole numbers, made from a seed: a task for a teacher that can read.

A problem is held out by a property of its text, so that no seed changes it.
"""

import hashlib
import random
from collections.abc import Callable

from stillwatch.distill import Prompt
from stillwatch.distill.tasks.maths import EXPECTS, check, judge

__all__ = ["EXPECTS", "NAME", "check", "judge", "make"]

NAME = "arithmetic"
HELD_OUT_OF = 8  # one problem in this many
PEOPLE = ("Ada", "Bo", "Chidi", "Dana", "Emre", "Farah", "Goran", "Hana", "Ines", "Jun", "Kofi", "Lena")
THINGS = ("apples", "stamps", "marbles", "books", "tickets", "shells", "pencils", "cards")
ASK = " Reason step by step and end with a line that says #### and the number alone."


def make(n: int, seed: int, held_out: bool) -> list[Prompt]:
    """Draw n different problems of two to four steps."""
    draw = random.Random(f"arithmetic/{seed}/{held_out}")
    found: dict[str, Prompt] = {}
    while len(found) < n:
        text, answer, kind = draw.choice(KINDS)(draw)
        digest = hashlib.sha256(text.encode()).hexdigest()
        if (int(digest[:8], 16) % HELD_OUT_OF == 0) == held_out:
            message = {"role": "user", "content": text + ASK}
            found.setdefault(text, Prompt(f"arithmetic-{digest[:12]}", (message,), NAME, str(answer), kind))
    return list(found.values())


def _trade(draw: random.Random) -> tuple[str, int, str]:
    who, other = draw.sample(PEOPLE, 2)
    what = draw.choice(THINGS)
    boxes, each, given = draw.randint(2, 19), draw.randint(3, 29), draw.randint(1, 5)
    text = (
        f"{who} buys {boxes} boxes with {each} {what} in each and gives {given} {what} to {other}. "
        f"How many {what} has {who} left?"
    )
    return text, boxes * each - given, "2 steps"


def _share(draw: random.Random) -> tuple[str, int, str]:
    who, what = draw.choice(PEOPLE), draw.choice(THINGS)
    friends = draw.randint(2, 12)
    each = draw.randint(2, 30)
    had = draw.randint(1, 60)
    lost = draw.randint(1, 20)
    more = friends * each - had + lost
    if more <= 0:
        had, more = 1, friends * each - 1 + lost
    text = (
        f"{who} has {had} {what}, gets {more} more and loses {lost}. Shared evenly among {friends} friends, "
        f"how many {what} does each get?"
    )
    return text, each, "3 steps"


def _shop(draw: random.Random) -> tuple[str, int, str]:
    who, what, other = draw.choice(PEOPLE), *draw.sample(THINGS, 2)
    a, b, price_a, price_b = (draw.randint(2, 15) for _ in range(4))
    paid = a * price_a + b * price_b + draw.randint(1, 40)
    text = (
        f"{who} buys {a} {what} at {price_a} coins each and {b} {other} at {price_b} coins each, and pays "
        f"with {paid} coins. How many coins does {who} get back?"
    )
    return text, paid - a * price_a - b * price_b, "4 steps"


KINDS: tuple[Callable[[random.Random], tuple[str, int, str]], ...] = (_trade, _share, _shop)
