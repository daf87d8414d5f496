"""Unlimited stocks: their items are generated. The dictionary at the end names them.

They are generated from a few hundred words of ours (endless.toml), so they share more wording than real ones.
"""

from collections.abc import Callable

import numpy as np

from stillwatch.distill.embedded.clock import problems
from stillwatch.range.texts import read_texts

MOST_TRIES = 10  # draws for one new item
WORDS: dict[str, tuple[str, ...]] = read_texts("endless.toml")


def _draw(kind: str, rng: np.random.Generator) -> str:
    return WORDS[kind][rng.integers(len(WORDS[kind]))]


def _draw_two(kind: str, rng: np.random.Generator) -> tuple[str, str]:
    first, second = rng.permutation(len(WORDS[kind]))[:2]
    return WORDS[kind][first], WORDS[kind][second]


def _word_problem(rng: np.random.Generator) -> str:
    one, two = _draw_two("names", rng)
    thing, a, b, c = _draw("things", rng), *(int(x) for x in rng.integers(3, 120, 3))
    forms = (
        f"{one} buys {a * c} {thing} and packs them in {c} equal boxes. {two} takes {1 + b % c} of the "
        f"boxes. How many {thing} does {one} keep?",
        f"A cart holds {a} {thing}. {one} and {two} make {b} trips each, and on the last one the cart is "
        f"half full. How many {thing} did they move?",
        f"{one} had {a + b + c} {thing}, gave {a} to {two}, lost {b}, and then doubled what was left. How "
        "many are there now?",
        f"{two} sells {thing} at {a} cents each and {one} at {b} cents for two. For {c * 2} {thing}, who is "
        "cheaper and by how much?",
        f"Of {a * 10} {thing}, {one} finds {b % 10} in every ten damaged. {two} mends {c} of those. How many "
        "stay damaged, if that is possible at all?",
        f"In week one {one} makes {a} {thing}, and each week {b % 9 + 1} more than the week before. After "
        f"how many weeks have {a * c} been made at least?",
        f"{one} is {a % 40 + 8} and {two} is {b % 40 + 8}. In how many years will their ages add up to "
        f"{c + 120}?",
    )
    return forms[rng.integers(len(forms))]


def _persona(rng: np.random.Generator) -> str:
    job, place = _draw("jobs", rng), _draw("places", rng)
    trait, wish = _draw("traits", rng), _draw("wishes", rng)
    return f"a {rng.integers(19, 80)}-year-old {job} from {place} who {trait} and {wish}"


def _environment(rng: np.random.Generator) -> str:
    first, second = _draw_two("limits", rng)
    stage, goal = _draw("stages", rng), _draw("goals", rng)
    size = f"{rng.integers(3, 60)} steps, {rng.integers(2, 40)} rooms, {rng.integers(20, 500)} points to win"
    return f"{stage}, {size}; goal: {goal}; {first}, and {second}"


def _distinct(make: Callable[[np.random.Generator], str]) -> Callable[[int, np.random.Generator], list[str]]:
    def several(count: int, rng: np.random.Generator) -> list[str]:
        found: dict[str, None] = {}
        for _ in range(MOST_TRIES * count):  # a stock of words can give only so many
            found[make(rng)] = None
            if len(found) == count:
                break
        return list(found)

    return several


def _clock(count: int, rng: np.random.Generator) -> list[str]:
    return [p.prompt for p in problems(count, int(rng.integers(1 << 31)))]


# name -> `count` different items, or fewer if the words give no more
ENDLESS: dict[str, Callable[[int, np.random.Generator], list[str]]] = {
    "clock": _clock,  # what the embedded teacher can do: dial arithmetic, never a held-out problem
    "word_problems": _distinct(_word_problem),
    "personas": _distinct(_persona),
    "environments": _distinct(_environment),
}
