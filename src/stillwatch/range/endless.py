"""Stocks that never run out, because their items are made:

problems, personas, environments, the clock's task.

They are made from a few hundred words of ours, so that their items share more wording than real ones do.
"""

from collections.abc import Callable

import numpy as np

from stillwatch.distill.embedded.clock import problems

MOST_TRIES = 10  # draws for one new item
NAMES = (
    "Amara", "Bela", "Chidi", "Dana", "Emre", "Farah", "Goran", "Hanne", "Ines", "Jonas", "Keiko", "Lior",
    "Mina", "Noor", "Oskar", "Priya", "Quentin", "Rosa", "Sami", "Tove", "Uma", "Viktor", "Wen", "Ximena",
    "Yusuf", "Zoe",
)  # fmt: skip
THINGS = (
    "crates of plums", "spools of wire", "tickets", "bricks", "seedlings", "jars of honey", "stamps", "bolts",
    "sheets of paper", "tins of paint", "loaves", "bottles", "tiles", "candles", "postcards", "buttons",
)  # fmt: skip
PLACES = (
    "a harbour town", "a mountain village", "the outskirts of a capital", "a border city", "an island",
    "a river port", "a mining town", "a university town", "a suburb", "a desert oasis", "a lakeside resort",
    "a fishing hamlet",
)  # fmt: skip
JOBS = (
    "archivist", "baker", "crane operator", "dentist", "electrician", "ferry captain", "geologist",
    "hospice nurse", "interpreter", "judge", "kindergarten teacher", "locksmith", "mechanic", "notary",
    "optician", "pharmacist", "quarry worker", "radio host", "surveyor", "tax adviser", "umpire", "vet",
    "weaver", "youth worker", "zookeeper", "air traffic controller", "beekeeper", "carpenter", "data clerk",
    "forester",
)  # fmt: skip
TRAITS = (
    "distrusts round numbers", "writes everything down twice", "has just moved back home",
    "never finishes a book", "collects timetables", "is learning a third language", "talks to the cat",
    "cannot bear waste", "remembers every face", "has a fear of lifts", "gives long answers",
    "asks before every step", "plays chess by post", "repairs old radios", "is about to retire",
    "has twins", "keeps a weather diary",
)  # fmt: skip
WISHES = (
    "wants to open a shop", "has to give a speech", "is planning a long walk", "needs to settle a quarrel",
    "is writing to the council", "must pass an exam", "wants to sell a boat", "is looking for a lost sister",
    "has to cut costs by a tenth", "wants to teach a class", "is choosing a school", "hopes to win a bet",
)  # fmt: skip
STAGES = (
    "a warehouse with robots", "a text-only operating system", "a small hospital ward",
    "a hotel's booking desk", "a repository with failing tests", "a card game for three",
    "a railway junction", "a greenhouse", "a bank's hotline", "a spreadsheet of expenses",
    "a museum at night", "a water works", "a parcel depot", "a kitchen before service",
)  # fmt: skip
GOALS = (
    "bring everything to its place before the clock runs out",
    "find the one record that contradicts the others", "serve every guest with what is left",
    "repair the fault without stopping the rest", "persuade a stubborn partner",
    "reach the far side with the least fuel", "explain a decision to an auditor",
    "restore the state of an hour ago", "split the work fairly", "notice the fraud",
)  # fmt: skip
LIMITS = (
    "two tools fail at random", "messages arrive late", "one witness lies",
    "memory is wiped every ten steps", "each look costs money", "the map is out of date",
    "only yes or no may be asked", "another agent competes", "the rules change once", "no undo is possible",
)  # fmt: skip


def _word_problem(rng: np.random.Generator) -> str:
    one, two = (NAMES[i] for i in rng.permutation(len(NAMES))[:2])
    thing, a, b, c = THINGS[rng.integers(len(THINGS))], *(int(x) for x in rng.integers(3, 120, 3))
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
    job, place = JOBS[rng.integers(len(JOBS))], PLACES[rng.integers(len(PLACES))]
    trait, wish = TRAITS[rng.integers(len(TRAITS))], WISHES[rng.integers(len(WISHES))]
    return f"a {rng.integers(19, 80)}-year-old {job} from {place} who {trait} and {wish}"


def _environment(rng: np.random.Generator) -> str:
    first, second = (LIMITS[i] for i in rng.permutation(len(LIMITS))[:2])
    stage, goal = STAGES[rng.integers(len(STAGES))], GOALS[rng.integers(len(GOALS))]
    size = f"{rng.integers(3, 60)} steps, {rng.integers(2, 40)} rooms, {rng.integers(20, 500)} points to win"
    return f"{stage}, {size}; goal: {goal}; {first}, and {second}"


def _distinct(make: Callable[[np.random.Generator], str]) -> Callable[[int, np.random.Generator], list[str]]:
    def several(count: int, rng: np.random.Generator) -> list[str]:
        found: dict[str, None] = {}
        for _ in range(MOST_TRIES * count):  # a stock of words can make only so many
            found[make(rng)] = None
            if len(found) == count:
                break
        return list(found)

    return several


def _clock(count: int, rng: np.random.Generator) -> list[str]:
    return [p.prompt for p in problems(count, int(rng.integers(1 << 31)))]


# name -> `count` different items, or fewer where the words give no more
ENDLESS: dict[str, Callable[[int, np.random.Generator], list[str]]] = {
    "clock": _clock,  # what the embedded teacher can do: dial arithmetic, never a held-out problem
    "word_problems": _distinct(_word_problem),
    "personas": _distinct(_persona),
    "environments": _distinct(_environment),
}
