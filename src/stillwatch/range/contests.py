"""Contests of a run as a table: the cost to an attacker that reacts, relative to the undefended cost.

A contest that does not reach its goal gives a lower bound.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stillwatch.range.clusters import clusters, means
from stillwatch.range.contest import Contest
from stillwatch.range.interval import Interval, of_multiples, over_seeds
from stillwatch.range.outcome import ScoredPeople

NONE, LOUD = "none", "loud"  # the defence and the attacker used as references
HISTORY = 200  # points of a history that are stored, enough for a picture
MEANS = ("accounts", "days", "usd")


@dataclass(frozen=True)
class ContestSummary:
    """One attacker against one defence, over seeds. Multiples are of its undefended cost."""

    scene: str
    attacker: str
    defence: str
    seeds: int  # in which the defence could fire
    goal: int
    reached: int  # seeds in which the goal was reached
    out: Interval | None
    accounts: Interval | None
    days: Interval | None
    usd: Interval | None
    times_itself: dict[str, Interval | None]  # by accounts, days, usd: the same attacker against none
    times_loud: dict[str, Interval | None]  # relative to one account at full speed against none
    honest_stopped: Interval | None
    logs: int  # including those on which the defence could not fire
    cannot_fire: int  # of these, not counted
    why: str  # the first reason

    @property
    def silent(self) -> bool:
        """Return whether the defence could fire on none of the logs."""
        return self.cannot_fire == self.logs


def thin_history(contest: Contest) -> dict[str, Any]:
    """Return a contest for storage: at most `HISTORY` points of its history, including the last one."""
    document = asdict(contest)
    step = -(-len(contest.history) // HISTORY) if contest.history else 1
    points = [h for i, h in enumerate(document["history"]) if i % step == 0 or i == len(contest.history) - 1]
    return {**document, "history": points}


def sum_up_contests(scene: str, contests: Sequence[Contest]) -> tuple[ContestSummary, ...]:
    """Summarise one scene's contests, in their order."""
    by: dict[tuple[str, str], dict[int, Contest]] = {}
    for c in contests:
        by.setdefault((c.attacker, c.defence), {})[c.seed] = c
    return tuple(
        _sum_up_one(scene, each, by.get((attacker, NONE), {}), by.get((LOUD, NONE), {}))
        for (attacker, _), each in by.items()
    )


def _sum_up_one(
    scene: str, each: dict[int, Contest], itself: dict[int, Contest], loud: dict[int, Contest]
) -> ContestSummary:
    first = next(iter(each.values()))
    silent = [c.cannot_fire for c in each.values() if c.cannot_fire]
    logs = len(each)
    each = {seed: c for seed, c in each.items() if not c.cannot_fire}
    some = list(each.values())
    of = clusters([[_people(c)] for c in some])

    def over(figure: Callable[[Contest], float]) -> Interval | None:
        return over_seeds(means([figure(c) for c in some], of), 0)

    return ContestSummary(
        scene,
        first.attacker,
        first.defence,
        len(some),
        first.goal,
        sum(c.reached for c in some),
        over(lambda c: c.out),
        over(lambda c: c.accounts),
        over(lambda c: c.days),
        over(lambda c: c.usd),
        _times(each, itself),
        _times(each, loud),
        over(lambda c: c.honest_stopped),
        logs,
        len(silent),
        silent[0] if silent else "",
    )


def _times(each: dict[int, Contest], other: dict[int, Contest]) -> dict[str, Interval | None]:
    """Return this cost as multiples of another's, seed by seed; a lower bound if the goal was not reached.

    If the other did not reach its goal either, nothing can be compared.
    """
    base = {seed: c for seed, c in other.items() if c.reached}
    pairs = [(c, c.cost.times(base[seed].cost)) for seed, c in each.items() if seed in base]
    at_least = any(not c.reached for c, _ in pairs)
    of = clusters([[_people(c)] for c, _ in pairs])
    found: dict[str, Interval | None] = {}
    for name in MEANS:
        values = [getattr(times, name) for _, times in pairs]
        found[name] = of_multiples(means([m if m > 0 else None for m in values], of), at_least)
    return found


def _people(c: Contest) -> ScoredPeople:
    """Return whose traffic a contest was held among; if not stated, no other contest's."""
    return c.people or ScoredPeople(f"seed {c.seed}")
