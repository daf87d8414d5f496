"""The table of a run: one line per defence, each figure over seeds with its interval.

A campaign's figures are averaged over the campaigns of one seed first, then over the seeds with the same
honest people. The interval is over such populations, and an account-day counts once. The effect of a harvest
on a student is read from the measured curve, unless students were trained for it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from stillwatch.range.clusters import clusters, means
from stillwatch.range.interval import Interval, half_width, of_multiples, of_rate, of_share, over_seeds
from stillwatch.range.outcome import Collateral, Fate, SceneOutcome
from stillwatch.scan.curve import curve

ALL = "all scenes"
PER_DAYS = 10_000

Group = Sequence[SceneOutcome]  # the outcomes of one defence with one seed, one per scene
Shares = Callable[[int, int], float]  # (examples, seed of the run) -> share right of a student


@dataclass(frozen=True)
class KindLine:
    """The effect of one defence on one kind of honest use."""

    kind: str
    accounts: int  # over all populations
    named: Interval  # share of accounts named
    refused_tokens: int
    false_cases: int  # over all logs: cases whose honest accounts are mostly of this kind


@dataclass(frozen=True)
class ResultRow:
    """One defence on one scene. Exchanges and tokens are means over campaigns; None: no data."""

    scene: str
    defence: str
    seeds: int  # in which the defence could fire
    populations: int  # of these seeds: those with people in common count as one
    campaigns: int  # over all these seeds
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
    honest_share: Interval | None  # of all honest accounts
    honest_accounts: int  # over all populations
    honest_refused_tokens: Interval | None  # share of all honest tokens
    honest_per_denied: Interval | None  # honest tokens refused for each attacker token denied
    cost_multiple: Interval | None  # dollars per example that got out, against none
    kinds: tuple[KindLine, ...]
    logs: int  # including those on which the defence could not fire
    cannot_fire: int  # of these, not counted
    why: str  # the first reason

    @property
    def silent(self) -> bool:
        """Return whether the defence could fire on none of the logs."""
        return self.cannot_fire == self.logs


def lines(outcomes: Iterable[SceneOutcome], shares: Shares | None = None) -> tuple[ResultRow, ...]:
    """Return the lines, scene by scene in the order of the outcomes, then all scenes together if several."""
    by: dict[tuple[str, str], list[SceneOutcome]] = {}
    for o in outcomes:
        by.setdefault((o.scene, o.defence), []).append(o)
    rows = [line(scene, name, [(o,) for o in found], shares) for (scene, name), found in by.items()]
    scenes = list(dict.fromkeys(scene for scene, _ in by))
    if len(scenes) > 1:
        for name in dict.fromkeys(name for _, name in by):
            each = [by.get((scene, name), []) for scene in scenes]
            pooled = list(zip(*each, strict=False))  # as many seeds as every scene has
            if pooled:
                rows.append(line(ALL, name, pooled, shares))
    return tuple(rows)


def line(scene: str, defence: str, groups: Sequence[Group], shares: Shares | None = None) -> ResultRow:
    """Summarise one defence; each group is one seed. Logs on which it could not fire are not counted."""
    logs = sum(map(len, groups))
    silent = [o.cannot_fire for group in groups for o in group if o.cannot_fire]
    groups = [able for group in groups if (able := [o for o in group if not o.cannot_fire])]
    of = clusters([[o.people for o in group] for group in groups])
    fates = [[f for o in group for f in o.campaigns] for group in groups]
    trained = shares is not None
    return ResultRow(
        scene,
        defence,
        len(groups),
        len(set(of)),
        sum(map(len, fates)),
        sum(f.is_exposed for group in fates for f in group),
        of_share(
            means([sum(f.is_exposed for f in group) for group in fates], of), means([*map(len, fates)], of)
        ),
        _rate(groups, of),
        _mean(fates, of, lambda f: f.before_alarm),
        _mean(fates, of, lambda f: f.before_alarm_tokens),
        _mean(fates, of, lambda f: f.out),
        _mean(fates, of, lambda f: f.out_tokens),
        over_seeds(means([_out_share(group) for group in fates], of), 0, 1),
        _student(groups, of, lambda f: f.examples, shares),
        _student(groups, of, lambda f: f.examples_undefended, shares if trained else None),
        _mean_linkage(groups, of, "bcubed_f1"),
        _mean_linkage(groups, of, "bcubed_precision"),
        _mean_linkage(groups, of, "bcubed_recall"),
        _mean_linkage(groups, of, "pair_precision"),
        _mean_linkage(groups, of, "pair_recall"),
        over_seeds(means([sum(k.named for o in group for k in o.kinds) for group in groups], of), 0),
        *_named_share(groups, of, lambda k: True),
        _refused_share(groups, of),
        _per_denied(groups, of),
        _cost(fates, of),
        _kinds(groups, of),
        logs,
        len(silent),
        silent[0] if silent else "",
    )


def _rate(groups: Sequence[Group], of: Sequence[int]) -> Interval | None:
    """Return false cases per account-day: exact bounds over distinct days, Student's over populations."""
    outcomes = [o for group in groups for o in group]
    people = clusters([[o.people] for o in outcomes])
    days = [sum(o.account_days for o in group) for group in groups]
    each = [
        PER_DAYS * sum(o.false_cases for o in group) / n if n else None
        for group, n in zip(groups, days, strict=True)
    ]
    return of_rate(
        means([o.false_cases for o in outcomes], people),
        means([o.account_days for o in outcomes], people),
        PER_DAYS,
        means(each, of),
    )


def _mean(
    fates: Sequence[Sequence[Fate]], of: Sequence[int], figure: Callable[[Fate], int]
) -> Interval | None:
    return over_seeds(means([sum(map(figure, g)) / len(g) if g else None for g in fates], of), 0)


def _out_share(fates: Sequence[Fate]) -> float | None:
    return sum(f.out for f in fates) / sum(f.exchanges for f in fates) if fates else None


def _student(
    groups: Sequence[Group], of: Sequence[int], figure: Callable[[Fate], int], shares: Shares | None
) -> Interval | None:
    """Return the mean share right over campaigns, with the curve's own spread added in quadrature."""
    sizes = [[(figure(f), o.seed) for o in group for f in o.campaigns] for group in groups]
    if shares is not None:
        right = [float(np.mean([shares(*size) for size in some])) if some else None for some in sizes]
        return over_seeds(means(right, of), 0, 1)
    learned = curve()
    means_of = [np.mean([learned.each(n) for n, _ in some], axis=0) if some else None for some in sizes]
    each = np.array([x for x in means_of if x is not None])
    right = [float(x.mean()) if x is not None else None for x in means_of]
    over = over_seeds(means(right, of), 0, 1) if len(each) else None
    own = half_width(each.mean(axis=0).tolist()) if len(each) else None
    if over is None or own is None or over.low is None:  # one seed carries no information about another
        return over
    return over.widen_share(own)


def _mean_linkage(groups: Sequence[Group], of: Sequence[int], name: str) -> Interval | None:
    values = [[getattr(o.linked, name) for o in group if o.campaigns] for group in groups]
    known = [[v for v in group if v is not None] for group in values]
    return over_seeds(means([float(np.mean(some)) if some else None for some in known], of), 0, 1)


def _denied_tokens(group: Group) -> int:
    return sum(f.tokens - f.out_tokens for o in group for f in o.campaigns)


def _lost(group: Group) -> int:
    return sum(k.refused_tokens for o in group for k in o.kinds)


def _refused_share(groups: Sequence[Group], of: Sequence[int]) -> Interval | None:
    sent = [sum(k.tokens for o in group for k in o.kinds) for group in groups]
    share = [_lost(g) / n if n else None for g, n in zip(groups, sent, strict=True)]
    return over_seeds(means(share, of), 0, 1)


def _per_denied(groups: Sequence[Group], of: Sequence[int]) -> Interval | None:
    return over_seeds(
        means([_lost(g) / _denied_tokens(g) if _denied_tokens(g) else None for g in groups], of), 0
    )


def _cost(fates: Sequence[Sequence[Fate]], of: Sequence[int]) -> Interval | None:
    multiples: list[float | None] = []
    at_least = False
    for group in fates:
        undefended = sum(f.usd_undefended for f in group) / max(1, sum(f.examples_undefended for f in group))
        examples = sum(f.examples for f in group)
        at_least |= bool(group) and not examples
        usd = sum(f.usd for f in group)
        multiples.append(usd / max(1, examples) / undefended if usd and undefended else None)
    return of_multiples(means(multiples, of), at_least)


def _named_share(
    groups: Sequence[Group], of: Sequence[int], counts: Callable[[Collateral], bool]
) -> tuple[Interval | None, int]:
    """Return the share of honest accounts named, and the number of distinct ones."""
    outcomes = [o for group in groups for o in group]
    people = clusters([[o.people] for o in outcomes])
    named = means([sum(k.named for k in o.kinds if counts(k)) for o in outcomes], people)
    accounts = means([sum(k.accounts for k in o.kinds if counts(k)) for o in outcomes], people)
    each = []
    for group in groups:
        kinds = [k for o in group for k in o.kinds if counts(k)]
        size = sum(k.accounts for k in kinds)
        each.append(sum(k.named for k in kinds) / size if size else None)
    return of_share(named, accounts, means(each, of)), round(sum(accounts))


def _kinds(groups: Sequence[Group], of: Sequence[int]) -> tuple[KindLine, ...]:
    every = [k for group in groups for o in group for k in o.kinds]
    lines_of = []
    for name in sorted({k.kind for k in every}):
        share, accounts = _named_share(groups, of, lambda k, name=name: k.kind == name)  # type: ignore[misc]
        if share is not None:
            rows = [k for k in every if k.kind == name]
            refused, false = sum(k.refused_tokens for k in rows), sum(k.false_cases for k in rows)
            lines_of.append(KindLine(name, accounts, share, refused, false))
    return tuple(lines_of)
