"""The table of a run: one line a defence, each figure over seeds with its interval. It judges nothing.

A campaign's figures are averaged over the campaigns of one seed first; the interval is over seeds. What a
harvest bought a student is read from the measured curve, unless students were trained for it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stillwatch.range.interval import Interval, half_width, of_multiples, of_rate, of_share, over_seeds
from stillwatch.range.outcome import Fate, Outcome
from stillwatch.scan.curve import curve

ALL = "all scenes"
PER_DAYS = 10_000

Group = Sequence[Outcome]  # what one defence came to with one seed: one outcome a scene
Shares = Callable[[int, int], float]  # (examples, seed of the run) -> share right of a student


@dataclass(frozen=True)
class KindLine:
    """What one kind of honest use suffered from one defence."""

    kind: str
    accounts: int  # over all seeds
    named: Interval  # share of accounts named
    refused_tokens: int


@dataclass(frozen=True)
class Line:
    """One defence on one scene. Exchanges and tokens are means over campaigns; None: nothing to tell."""

    scene: str
    defence: str
    seeds: int  # in which the defence could fire
    campaigns: int  # over all these
    exposed: int
    caught: Interval | None  # share of campaigns exposed
    false_cases: Interval | None  # per 10,000 honest account-days after the clean days
    before_alarm: Interval | None
    before_alarm_tokens: Interval | None
    out: Interval | None
    out_tokens: Interval | None
    out_share: Interval | None  # of all that the campaigns would have taken
    student: Interval | None  # share of held-out problems right
    student_undefended: Interval | None
    bcubed_f1: Interval | None
    bcubed_precision: Interval | None
    bcubed_recall: Interval | None
    pair_precision: Interval | None
    pair_recall: Interval | None
    honest_named: Interval | None  # accounts
    honest_refused_tokens: Interval | None  # share of all honest tokens
    honest_per_denied: Interval | None  # honest tokens refused for each attacker token denied
    cost_multiple: Interval | None  # dollars per example that got out, against none
    kinds: tuple[KindLine, ...]
    logs: int  # with those on which the defence could not fire
    cannot_fire: int  # of them: they count for nothing
    why: str  # the first reason

    @property
    def silent(self) -> bool:
        """Whether the defence could fire on none of the logs."""
        return self.cannot_fire == self.logs

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def lines(outcomes: Iterable[Outcome], shares: Shares | None = None) -> tuple[Line, ...]:
    """Give the lines, scene by scene in the order of the outcomes, then all scenes together if several."""
    by: dict[tuple[str, str], list[Outcome]] = {}
    for o in outcomes:
        by.setdefault((o.scene, o.defence), []).append(o)
    told = [line(scene, name, [(o,) for o in found], shares) for (scene, name), found in by.items()]
    scenes = list(dict.fromkeys(scene for scene, _ in by))
    if len(scenes) > 1:
        for name in dict.fromkeys(name for _, name in by):
            each = [by.get((scene, name), []) for scene in scenes]
            pooled = list(zip(*each, strict=False))  # as many seeds as every scene has
            if pooled:
                told.append(line(ALL, name, pooled, shares))
    return tuple(told)


def line(scene: str, defence: str, groups: Sequence[Group], shares: Shares | None = None) -> Line:
    """Sum up one defence; each group is one seed. Logs on which it could not fire count for nothing."""
    logs = sum(map(len, groups))
    silent = [o.cannot_fire for group in groups for o in group if o.cannot_fire]
    groups = [able for group in groups if (able := [o for o in group if not o.cannot_fire])]
    fates = [[f for o in group for f in o.campaigns] for group in groups]
    trained = shares is not None
    return Line(
        scene,
        defence,
        len(groups),
        sum(map(len, fates)),
        sum(f.exposed for group in fates for f in group),
        of_share([sum(f.exposed for f in group) for group in fates], [len(group) for group in fates]),
        of_rate(
            [sum(o.false_cases for o in group) for group in groups],
            [sum(o.account_days for o in group) for group in groups],
            PER_DAYS,
        ),
        _mean(fates, lambda f: f.before_alarm),
        _mean(fates, lambda f: f.before_alarm_tokens),
        _mean(fates, lambda f: f.out),
        _mean(fates, lambda f: f.out_tokens),
        over_seeds([sum(f.out for f in g) / sum(f.exchanges for f in g) for g in fates if g], 0, 1),
        _student(groups, lambda f: f.examples, shares),
        _student(groups, lambda f: f.examples_undefended, shares if trained else None),
        _linked(groups, "bcubed_f1"),
        _linked(groups, "bcubed_precision"),
        _linked(groups, "bcubed_recall"),
        _linked(groups, "pair_precision"),
        _linked(groups, "pair_recall"),
        over_seeds([sum(k.named for o in group for k in o.kinds) for group in groups], 0),
        _refused(groups),
        _per_denied(groups),
        _cost(fates),
        _kinds(groups),
        logs,
        len(silent),
        silent[0] if silent else "",
    )


def _mean(fates: Sequence[Sequence[Fate]], of: Callable[[Fate], int]) -> Interval | None:
    return over_seeds([sum(map(of, group)) / len(group) for group in fates if group], 0)


def _student(groups: Sequence[Group], of: Callable[[Fate], int], shares: Shares | None) -> Interval | None:
    """Give the mean share right over campaigns; the curve's own spread over seeds is added in quadrature."""
    sizes = [[(of(f), o.seed) for o in group for f in o.campaigns] for group in groups]
    sizes = [group for group in sizes if group]
    if shares is not None:
        return over_seeds([float(np.mean([shares(*size) for size in group])) for group in sizes], 0, 1)
    told = curve()
    each = np.array([np.mean([told.each(n) for n, _ in group], axis=0) for group in sizes])
    over = over_seeds(each.mean(axis=1).tolist(), 0, 1) if len(each) else None
    own = half_width(each.mean(axis=0).tolist()) if len(each) else None
    if over is None or own is None or over.low is None:  # one seed says nothing of another
        return over
    return over.widened(own, 0, 1)


def _linked(groups: Sequence[Group], name: str) -> Interval | None:
    values = [[getattr(o.linked, name) for o in group if o.campaigns] for group in groups]
    known = [[v for v in group if v is not None] for group in values]
    return over_seeds([float(np.mean(group)) for group in known if group], 0, 1)


def _denied(group: Group) -> int:
    return sum(f.tokens - f.out_tokens for o in group for f in o.campaigns)


def _lost(group: Group) -> int:
    return sum(k.refused_tokens for o in group for k in o.kinds)


def _refused(groups: Sequence[Group]) -> Interval | None:
    sent = [sum(k.tokens for o in group for k in o.kinds) for group in groups]
    return over_seeds([_lost(g) / n for g, n in zip(groups, sent, strict=True) if n], 0, 1)


def _per_denied(groups: Sequence[Group]) -> Interval | None:
    return over_seeds([_lost(group) / _denied(group) for group in groups if _denied(group)], 0)


def _cost(fates: Sequence[Sequence[Fate]]) -> Interval | None:
    multiples, at_least = [], False
    for group in fates:
        undefended = sum(f.usd_undefended for f in group) / max(1, sum(f.examples_undefended for f in group))
        got = sum(f.examples for f in group)
        at_least |= bool(group) and not got
        if undefended:
            multiples.append(sum(f.usd for f in group) / max(1, got) / undefended)
    return of_multiples([m for m in multiples if m > 0], at_least)


def _kinds(groups: Sequence[Group]) -> tuple[KindLine, ...]:
    names = sorted({k.kind for group in groups for o in group for k in o.kinds})
    told = []
    for name in names:
        each = [[k for o in group for k in o.kinds if k.kind == name] for group in groups]
        named, accounts = [sum(k.named for k in g) for g in each], [sum(k.accounts for k in g) for g in each]
        share = of_share(named, accounts)
        if share is not None:
            told.append(KindLine(name, sum(accounts), share, sum(k.refused_tokens for g in each for k in g)))
    return tuple(told)


def by_defence(told: Sequence[Line], scene: str) -> Mapping[str, Line]:
    """Give a scene's lines by defence."""
    return {x.defence: x for x in told if x.scene == scene}
