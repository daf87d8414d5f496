"""Contests of a run as a table: what an attacker that reacts pays, beside what it pays undefended.

A contest that does not come to its goal gives a lower bound.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stillwatch.range.clusters import clusters, means
from stillwatch.range.contest import Contest
from stillwatch.range.interval import Interval, of_multiples, over_seeds
from stillwatch.range.outcome import ScoredPeople

NONE, LOUD = "none", "loud"  # the defence and the attacker that others are measured against
HISTORY = 200  # points of a history that are kept: a picture has no more
MEANS = ("accounts", "days", "usd")


@dataclass(frozen=True)
class ContestSummary:
    """One attacker against one defence, over seeds. Multiples are of what it takes undefended."""

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
    times_loud: dict[str, Interval | None]  # one account at full speed against none
    honest_stopped: Interval | None
    logs: int  # with those on which the defence could not fire
    cannot_fire: int  # of them: they count for nothing
    why: str  # the first reason

    @property
    def silent(self) -> bool:
        """Return whether the defence could fire on none of the logs."""
        return self.cannot_fire == self.logs


def thin_history(contest: Contest) -> dict[str, Any]:
    """Return a contest as it is kept: its history at most `HISTORY` points, the last one among them."""
    document = asdict(contest)
    step = -(-len(contest.history) // HISTORY) if contest.history else 1
    points = [h for i, h in enumerate(document["history"]) if i % step == 0 or i == len(contest.history) - 1]
    return {**document, "history": points}


def sum_up_contests(scene: str, contests: Sequence[Contest]) -> tuple[ContestSummary, ...]:
    """Sum up one scene's contests, in the order in which they came."""
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
    """Return this cost as multiples of another's, seed by seed; at least that where no goal was reached.

    Where the other did not reach its goal either there is nothing to compare with.
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
    """Whose traffic a contest was fought among; where it is not said, nobody else's."""
    return c.people or ScoredPeople(f"seed {c.seed}")
