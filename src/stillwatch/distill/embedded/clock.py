"""Arithmetic on a dial of ten: a task with one digit as answer, whose reasoning teaches more than that.

From the answer alone a small student learns almost nothing about the steps.
"""

import hashlib
import random
from dataclasses import dataclass

STEPS = ("first", "then", "next", "after", "last")  # a step's name lets attention find its operation
WORDS = {"+": ("add", "plus"), "-": ("minus", "take"), "*": ("times", "by")}
DIGITS = tuple("0123456789")
THINK, THOUGHT = "<think>", "</think>"
VOCABULARY = (
    "<pad>", "<bos>", "<eos>", THINK, THOUGHT, "start", "?", "=", *WORDS, *STEPS,
    *(word for pair in WORDS.values() for word in pair), *DIGITS,
)  # fmt: skip
HELD_OUT_OF = 8  # one problem in this many is held out, whoever draws it


@dataclass(frozen=True)
class ClockProblem:
    """One problem: the question, the steps to its answer, and the answer (one digit)."""

    id: str
    prompt: str
    trace: str
    answer: str
    steps: int


def problem(draw: random.Random) -> ClockProblem:
    """Draw a problem of two to five steps.

    >>> p = problem(random.Random(3))
    >>> p.prompt
    'start 3 first minus 8 then by 2 next minus 9 ?'
    >>> p.trace, p.answer
    ('first 3 - 8 = 5 then 5 * 2 = 0 next 0 - 9 = 1', '1')
    """
    at = draw.randrange(10)
    given, worked = [f"start {at}"], []
    steps = draw.randint(2, len(STEPS))
    for name in STEPS[:steps]:
        sign = draw.choice(tuple(WORDS))
        by = draw.choice((2, 3)) if sign == "*" else draw.randint(1, 9)
        to = (at + by if sign == "+" else at - by if sign == "-" else at * by) % 10
        given.append(f"{name} {draw.choice(WORDS[sign])} {by}")
        worked.append(f"{name} {at} {sign} {by} = {to}")
        at = to
    prompt = " ".join([*given, "?"])
    digest = hashlib.sha256(prompt.encode()).hexdigest()
    return ClockProblem(f"clock-{digest[:12]}", prompt, " ".join(worked), str(at), steps)


def is_held_out(drawn: ClockProblem) -> bool:
    """Return whether a problem is held out: by its text, so that no seed can change it."""
    return int(drawn.id.rpartition("-")[2], 16) % HELD_OUT_OF == 0


def problems(count: int, seed: int, held_out: bool = False) -> list[ClockProblem]:
    """Draw `count` different problems, for teaching or for testing. The two sets are disjoint.

    >>> taught, tested = problems(50, 1), problems(50, 1, held_out=True)
    >>> len({p.prompt for p in taught} | {p.prompt for p in tested})
    100
    """
    draw = random.Random(f"clock/{seed}/{held_out}")
    found: dict[str, ClockProblem] = {}
    while len(found) < count:
        drawn = problem(draw)
        if is_held_out(drawn) == held_out:
            found.setdefault(drawn.prompt, drawn)
    return list(found.values())
