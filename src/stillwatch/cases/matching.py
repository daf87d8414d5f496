"""Decides which case a campaign belongs to, by the accounts they share.

A campaign's id changes with its accounts, and an actor's accounts change over time. They are tied by overlap:
the accounts that campaign and case share, relative to the smaller of the two. Victims do not count, as they
reveal nothing about the thief; cleared accounts count half, so that a dismissed campaign is recognised.

Blind to: an actor that returns with entirely new accounts in a log without the old ones.
Fooled by: a pool that uses many accounts of another pool: the two become one case, until a person splits it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from stillwatch.cases import MACHINE, Verdict
from stillwatch.cases.joining import merge_act
from stillwatch.cases.tables import among, cases, members

LEAST_SHARE = 0.1  # of the smaller one; with less, they are two actors who share a bystander or a reseller
SURE_SHARE = 0.5  # from here on one shared account is enough
LEAST_SHARED = 3.0
HALF = 0.5


@dataclass(frozen=True)
class Overlap:
    """What a campaign shares with one case."""

    case: str
    at_home: int  # shared accounts that are the actor's in that case
    weight: float  # shared accounts, cleared ones counting half
    share: float  # of the smaller of the two
    whole: bool  # the campaign includes at least half of the actor's accounts in that case
    opened_us: int
    merged_into: str | None = None
    by_person: bool = False  # who merged it

    @property
    def enough(self) -> bool:
        return self.share >= SURE_SHARE or (self.share >= LEAST_SHARE and self.weight >= LEAST_SHARED)


@dataclass
class MatchPlan:
    """The assignment of campaigns. `place[i]` is the case of campaign i; None is a new one."""

    place: dict[int, str | None] = field(default_factory=dict)
    split_from: dict[int, str] = field(default_factory=dict)  # campaign -> the case it was part of
    revive: dict[int, str] = field(default_factory=dict)  # campaign -> the merged case that it revives
    joins: list[tuple[str, str]] = field(default_factory=list)  # (case, the case that continues with it)


def overlaps(db: Connection, keys: Sequence[str]) -> list[Overlap]:
    """Return the cases that share accounts with a campaign, including merged ones, most shared first."""
    m, c = members.c, cases.c
    not_victims = m.verdict.is_(None) | (m.verdict != str(Verdict.VICTIM))
    shared = select(m.case_id, m.home, m.verdict, m.moved_to).where(among(db, m.key, keys), not_victims)
    rows = db.execute(shared).all()
    case_ids = sorted({row.case_id for row in rows})
    if not case_ids:
        return []
    shape = select(c.id, c.opened_us, c.merged_into).where(c.id.in_(case_ids))
    shapes = {row.id: row for row in db.execute(shape)}
    sizes = select(m.case_id, func.count(), func.count(m.home)).where(m.case_id.in_(case_ids))
    size = {case_id: (rows, homes) for case_id, rows, homes in db.execute(sizes.group_by(m.case_id))}
    weight, at_home = dict.fromkeys(case_ids, 0.0), dict.fromkeys(case_ids, 0)
    for row in rows:
        at_home[row.case_id] += row.home is not None
        is_gone = shapes[row.case_id].merged_into is not None and row.verdict is None  # with its whole case
        if row.home is not None or is_gone:
            weight[row.case_id] += 1.0
        elif row.moved_to is None:
            weight[row.case_id] += HALF
    pairs = []
    for case_id in case_ids:
        into = shapes[case_id].merged_into
        act = None if into is None else merge_act(db, case_id, into)
        pairs.append(
            Overlap(
                case=case_id,
                at_home=at_home[case_id],
                weight=weight[case_id],
                share=weight[case_id] / max(1, min(len(keys), size[case_id][0])),
                whole=0 < size[case_id][1] <= 2 * at_home[case_id],
                opened_us=shapes[case_id].opened_us,
                merged_into=into,
                by_person=act is not None and act.who != MACHINE,
            )
        )
    return sorted(pairs, key=lambda o: (-o.weight, o.opened_us, o.case))


def plan(
    of_each: Sequence[Sequence[Overlap]], returning: Mapping[int, str], apart: Callable[[str, str], bool]
) -> MatchPlan:
    """Assign campaigns to cases, given what they share.

    returning: campaigns that something other than accounts ties to a case, used if no account does; apart:
    whether a person has separated two cases.
    """
    match_plan = MatchPlan()
    wanted_cases = [
        (-o.weight, o.opened_us, o.case, i)
        for i, overlaps_of_one in enumerate(of_each)
        for o in overlaps_of_one
        if o.enough and o.merged_into is None
    ]
    cases_taken: set[str] = set()
    best: dict[int, str] = {}
    for _, _, case_id, i in sorted(wanted_cases):
        best.setdefault(i, case_id)
        if case_id not in cases_taken and i not in match_plan.place:
            match_plan.place[i] = case_id
            cases_taken.add(case_id)
    for i, overlaps_of_one in enumerate(of_each):
        if i in match_plan.place:
            _join_cases(match_plan, i, overlaps_of_one, cases_taken, apart)
        elif i in best:
            _split_case(match_plan, i, overlaps_of_one, best[i], cases_taken)
        else:
            again = returning.get(i)
            match_plan.place[i] = again if again is not None and again not in cases_taken else None
            cases_taken |= {again} if again is not None else set()
    return match_plan


def _join_cases(
    match_plan: MatchPlan,
    i: int,
    overlaps_found: Sequence[Overlap],
    cases_taken: set[str],
    apart: Callable[[str, str], bool],
) -> None:
    """Join the cases of one actor: those with at least half of their accounts in the campaign."""
    own_overlap = next(o for o in overlaps_found if o.case == match_plan.place[i])
    others = [
        o
        for o in overlaps_found
        if o.whole and o.enough and o.case not in cases_taken and not apart(o.case, own_overlap.case)
    ]
    if not others:
        return
    overlaps_joined = [own_overlap, *others] if own_overlap.whole else [own_overlap]
    kept_overlap = min(overlaps_joined, key=lambda o: (o.opened_us, o.case))
    match_plan.place[i] = kept_overlap.case
    for o in (own_overlap, *others):
        cases_taken.add(o.case)
        if o.case != kept_overlap.case:
            match_plan.joins.append((o.case, kept_overlap.case))


def _split_case(
    match_plan: MatchPlan, i: int, overlaps_found: Sequence[Overlap], best: str, cases_taken: set[str]
) -> None:
    """Handle a case that went to another campaign of the same scan: one actor has become two.

    Merges by people stay; merges by findings are undone.
    """
    merged = [o for o in overlaps_found if o.enough and o.merged_into == best and o.case not in cases_taken]
    if any(o.by_person for o in merged):
        match_plan.place[i] = best
        return
    match_plan.place[i] = None
    match_plan.split_from[i] = best
    if merged:
        match_plan.place[i] = match_plan.revive[i] = merged[0].case
        cases_taken.add(merged[0].case)
