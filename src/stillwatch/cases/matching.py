"""Which case a campaign belongs to: accounts they have in common. It changes nothing.

A campaign's id changes with its accounts, an actor's accounts change with time. What ties them is overlap:
the accounts that campaign and case share, beside the smaller of the two. Victims tell nothing about the
thief and do not count; accounts that were cleared count half, so that what was dismissed is known again.

Blind to: an actor that comes back with wholly new accounts in a log that holds none of the old ones.
Fooled by: a pool that uses many accounts of another pool: the two become one case, until a person splits it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from stillwatch.cases import MACHINE, Verdict
from stillwatch.cases.joining import merge_act
from stillwatch.cases.tables import among, cases, members

LEAST_SHARE = 0.1  # of the smaller one: below, they are two actors who share a bystander or a reseller
SURE_SHARE = 0.5  # from here on a single account in common is enough
LEAST_SHARED = 3.0
HALF = 0.5


@dataclass(frozen=True)
class Overlap:
    """What a campaign has in common with one case."""

    case: str
    at_home: int  # shared accounts that are the actor's there
    weight: float  # shared accounts, those cleared counting half
    share: float  # of the smaller of the two
    whole: bool  # the campaign holds at least half of the accounts that are the actor's there
    opened_us: int
    merged_into: str | None = None
    by_person: bool = False  # who merged it

    @property
    def enough(self) -> bool:
        return self.share >= SURE_SHARE or (self.share >= LEAST_SHARE and self.weight >= LEAST_SHARED)


@dataclass
class MatchPlan:
    """Where campaigns go. `place[i]` is the case of campaign i; None stands for a new one."""

    place: dict[int, str | None] = field(default_factory=dict)
    split_from: dict[int, str] = field(default_factory=dict)  # campaign -> the case it was part of
    revive: dict[int, str] = field(default_factory=dict)  # campaign -> the merged case it is again
    joins: list[tuple[str, str]] = field(default_factory=list)  # (case, the case that goes on with it)


def overlaps(db: Connection, keys: Sequence[str]) -> list[Overlap]:
    """Give the cases that share accounts with a campaign, most in common first, merged ones too."""
    m, c = members.c, cases.c
    not_victims = m.verdict.is_(None) | (m.verdict != str(Verdict.VICTIM))
    shared = select(m.case_id, m.home, m.verdict, m.moved_to).where(among(db, m.key, keys), not_victims)
    rows = db.execute(shared).all()
    found = sorted({row.case_id for row in rows})
    if not found:
        return []
    shape = select(c.id, c.opened_us, c.merged_into).where(c.id.in_(found))
    shapes = {row.id: row for row in db.execute(shape)}
    sizes = select(m.case_id, func.count(), func.count(m.home)).where(m.case_id.in_(found))
    size = {case_id: (rows, homes) for case_id, rows, homes in db.execute(sizes.group_by(m.case_id))}
    weight, at_home = dict.fromkeys(found, 0.0), dict.fromkeys(found, 0)
    for row in rows:
        at_home[row.case_id] += row.home is not None
        gone = shapes[row.case_id].merged_into is not None and row.verdict is None  # with its whole case
        if row.home is not None or gone:
            weight[row.case_id] += 1.0
        elif row.moved_to is None:
            weight[row.case_id] += HALF
    pairs = []
    for case_id in found:
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
    """Say where campaigns go, from what each has in common with which cases.

    returning: campaigns that something else than accounts ties to a case, for where no account does; apart:
    whether a person has said that two cases are two actors.
    """
    made = MatchPlan()
    wanted = [
        (-o.weight, o.opened_us, o.case, i)
        for i, found in enumerate(of_each)
        for o in found
        if o.enough and o.merged_into is None
    ]
    taken: set[str] = set()
    best: dict[int, str] = {}
    for _, _, case_id, i in sorted(wanted):
        best.setdefault(i, case_id)
        if case_id not in taken and i not in made.place:
            made.place[i] = case_id
            taken.add(case_id)
    for i, found in enumerate(of_each):
        if i in made.place:
            _join(made, i, found, taken, apart)
        elif i in best:
            _split(made, i, found, best[i], taken)
        else:
            again = returning.get(i)
            made.place[i] = again if again is not None and again not in taken else None
            taken |= {again} if again is not None else set()
    return made


def _join(
    made: MatchPlan, i: int, found: Sequence[Overlap], taken: set[str], apart: Callable[[str, str], bool]
) -> None:
    """One actor who has several cases: all of which the campaign holds the half become the oldest one's."""
    mine = next(o for o in found if o.case == made.place[i])
    others = [
        o for o in found if o.whole and o.enough and o.case not in taken and not apart(o.case, mine.case)
    ]
    if not others:
        return
    whole = [mine, *others] if mine.whole else [mine]
    kept = min(whole, key=lambda o: (o.opened_us, o.case))
    made.place[i] = kept.case
    for o in (mine, *others):
        taken.add(o.case)
        if o.case != kept.case:
            made.joins.append((o.case, kept.case))


def _split(made: MatchPlan, i: int, found: Sequence[Overlap], best: str, taken: set[str]) -> None:
    """Its case went to another campaign of the same scan: one actor has become two.

    What a person has merged stays one case; what findings had merged comes back as it was.
    """
    merged = [o for o in found if o.enough and o.merged_into == best and o.case not in taken]
    if any(o.by_person for o in merged):
        made.place[i] = best
        return
    made.place[i] = None
    made.split_from[i] = best
    if merged:
        made.place[i] = made.revive[i] = merged[0].case
        taken.add(merged[0].case)
