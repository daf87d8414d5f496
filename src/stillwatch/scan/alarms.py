"""Alarms while a log is watched: which candidate becomes one, whom it names, when it is divided in two."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from stillwatch.actors.groups import LEAST_TENANTS
from stillwatch.scan import SettingTest
from stillwatch.stats.exchangeability import ContentTest, Hands
from stillwatch.units import DAY_US

NEVER = np.iinfo(np.int64).max
PERSISTENT = 4  # evaluations within a day that must agree before an alarm is raised
NAMED_AFTER = 3  # evaluations that must name a tenant before it is named
SURE = (1e4, 1e3, 1e2)  # times that p lies below alpha: then one evaluation is enough, two are, three are
CONFIRMED = 0.35  # of the median tenant's share of evaluations, since it was named, that name it again
KEPT = 0.1  # of the evaluations that the most lasting fingerprint had
NEW = 0.2  # of a candidate's members, in no evaluation of a raised alarm: then its content is judged again
MORE = 1.1  # times as many exchanges as at the last content test, before it is made again


@dataclass(frozen=True)
class Judgement:
    """Whether a group whose settings are too alike is one hand."""

    content: ContentTest
    explanation: str = ""  # what would make it honest all the same
    part: frozenset[int] | None = None  # the tenants that are of one source, where the whole group is not
    # tenants that were set aside before: their product, or "" where another raised alarm has them
    aside: Mapping[int, str] = field(default_factory=dict)

    @property
    def one_hand(self) -> bool:
        return self.content.hands is Hands.ONE and not self.explanation


@dataclass(frozen=True)
class Candidate:
    """A group, or the tenants that match its signature, and how sure it is that one operator runs them."""

    p_value: float
    matching: frozenset[int]  # tenants that use the signature
    members: frozenset[int]  # of these, who have the common values and took the signature up lately
    eligible: frozenset[int]  # who have the common values, whenever they took it up: a named one stays named
    dominant: tuple[int, ...]
    share: tuple[float, ...]
    p_settings: tuple[tuple[str, float], ...]  # tested settings and their p-values
    own: np.ndarray  # signature fingerprints' numbers
    tested: tuple[SettingTest, ...] = ()  # what p_settings are computed from
    # its exchanges that show what it shares
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    settings: tuple[int, int] | None = None  # what a group by settings shares, see `new_settings`
    aside: Mapping[int, str] = field(default_factory=dict)  # users of a product that it leaves out, and which


Judge = Callable[[Candidate, frozenset[int]], Judgement]  # a candidate, and whom other raised alarms have


@dataclass
class Alarm:
    """One campaign, or what may become one, while the log is watched."""

    # when it was raised; NEVER while too few evaluations agree or its content may be of many hands
    at_us: int
    p_value: float  # at that moment, or when it became a lead
    named: dict[int, int] = field(default_factory=dict)  # tenant -> when it was named
    p_least: float = 1.0
    dominant: tuple[int, ...] = ()  # the settings' common values at the last evaluation
    share: tuple[float, ...] = ()  # and the share of matching tenants that have them
    p_settings: tuple[tuple[str, float], ...] = ()  # at the alarm
    # signature fingerprints and how many evaluations held them; below 0: one that the log lacks now
    fingerprints: Counter[int] = field(default_factory=Counter)
    # tenant -> evaluations that had it, those before it was named not counted once it is
    evaluations: Counter[int] = field(default_factory=Counter)
    evaluated_at_us: list[int] = field(default_factory=list)
    devoted: set[int] = field(default_factory=set)  # tenants that did little else than use the signature
    tested: tuple[SettingTest, ...] = ()  # what p_settings were computed from
    lead_us: int = NEVER  # since when enough evaluations agree that its settings are too alike
    judgement: Judgement | None = None  # the latest, while it is a lead, or the one that raised it
    exchanges: int = 0  # that the content test was asked of, and more
    first_account: str = ""  # of those counted at its first evaluation: it stays when others come and go
    settings: tuple[int, int] | None = None  # what a group by settings shares; None of a group by wording
    # evaluations, result
    _own: tuple[int, np.ndarray] | None = field(default=None, repr=False, compare=False)

    def own_fingerprints(self) -> np.ndarray:
        """The fingerprints that evaluations kept finding to be the group's own, sorted."""
        # asked every hour; another answer only after another evaluation
        evaluated = len(self.evaluated_at_us)
        if self._own is None or self._own[0] != evaluated:
            self._own = evaluated, np.array([m for m in lasting(self.fingerprints) if m >= 0], np.int64)
        return self._own[1]

    def renumber(self, number: np.ndarray) -> "Alarm":
        """Return it with other numbers of its fingerprints. number: (fingerprints,) the new one of each."""
        fingerprints = Counter({int(number[m]): count for m, count in self.fingerprints.items()})
        return replace(self, fingerprints=fingerprints, _own=None)

    def name(self, tenant: int, at_us: int) -> None:
        """Name a tenant, unless it is named. Whether later evaluations confirm it is counted from here on."""
        if tenant not in self.named:
            self.named[tenant], self.evaluations[tenant] = at_us, 1

    def confirmed(self, last_us: np.ndarray) -> dict[int, int]:
        """The named tenants that later evaluations kept naming; a tenant named in passing is let go.

        last_us: (tenants,) when each sent its last exchange. What was evaluated more than a day after it does
        not count: who was banned, or moved on to other accounts, is in no group any more.
        """
        evaluated_at_us = np.array(self.evaluated_at_us)
        shares = {}
        for p, at_us in self.named.items():
            until_us = max(at_us, int(last_us[p])) + DAY_US
            evaluated = int(((evaluated_at_us >= at_us) & (evaluated_at_us <= until_us)).sum())
            shares[p] = min(self.evaluations[p] / max(evaluated, 1), 1.0)
        least = CONFIRMED * float(np.median(list(shares.values()))) if shares else 0.0
        return {p: at for p, at in self.named.items() if p in self.devoted or shares[p] >= least}


def lasting(fingerprints: Mapping[int, int]) -> list[int]:
    """Of fingerprints and how many evaluations held each, those that were not there in passing, sorted."""
    most = max(fingerprints.values(), default=0)
    return sorted(m for m, evaluations in fingerprints.items() if evaluations >= KEPT * most)


def choose_alarms(
    candidates: list[Candidate], alpha: float, distinct: Callable[[list[Candidate]], bool]
) -> list[tuple[Candidate, list[Candidate]]]:
    """Of overlapping candidates the surest, each with its parts, largest first, where they are told apart."""
    ranked = sorted(candidates, key=lambda c: (c.p_value, -len(c.matching), sorted(c.matching)))
    of_tenant: dict[int, list[int]] = {}
    for rank, candidate in enumerate(ranked):
        for tenant in candidate.matching:
            of_tenant.setdefault(tenant, []).append(rank)
    chosen: dict[int, tuple[Candidate, list[Candidate]]] = {}
    for rank, candidate in enumerate(ranked):
        if candidate.p_value >= alpha:
            break
        size = len(candidate.matching)
        common = Counter(r for tenant in candidate.matching for r in of_tenant[tenant])
        if any(r in chosen and n > 0.5 * size for r, n in common.items()):
            continue
        inside = [ranked[r] for r, n in common.items() if r != rank and n >= 0.7 * len(ranked[r].matching)]
        parts: list[Candidate] = []
        for other in sorted(inside, key=lambda c: (-len(c.matching), sorted(c.matching))):
            if 0.3 * size <= len(other.matching) <= 0.9 * size and not any(
                len(other.matching & p.matching) > 0.1 * len(other.matching) for p in parts
            ):
                parts.append(other)
        chosen[rank] = (candidate, parts if len(parts) >= 2 and distinct(parts) else [])
    return list(chosen.values())


def evaluations_needed(p_value: float, alpha: float, most: int = PERSISTENT) -> int:
    """How many evaluations must agree: the fewer, the further p lies below what one test may spend.

    >>> [evaluations_needed(p, 1e-3) for p in (1e-3, 1e-5, 1e-6, 1e-7)]
    [4, 3, 2, 1]
    """
    below = sum(p_value * times > alpha * (1 + 1e-9) for times in SURE)
    return min(1 + below, most)


class Alarms:
    """The alarms so far, raised or waiting for more evaluations, and the one that each tenant belongs to."""

    def __init__(
        self,
        alarms: list[Alarm] | None = None,
        owner: dict[int, int] | None = None,
        *,
        looks_before_alarm: int = PERSISTENT,
        looks_before_naming: int = NAMED_AFTER,
    ) -> None:
        """alarms, owner: the alarms so far, and the number of each tenant's own, to go on from."""
        self.looks_before_alarm, self.looks_before_naming = looks_before_alarm, looks_before_naming
        self._all: list[Alarm] = alarms or []
        self._owner: dict[int, int] = owner or {}

    @property
    def every(self) -> list[Alarm]:
        """All alarms, raised or not, in the order of their first evaluation."""
        return self._all

    @property
    def owner(self) -> dict[int, int]:
        """Tenant -> number of the alarm that it belongs to."""
        return self._owner

    @property
    def raised(self) -> list[Alarm]:
        """The alarms that enough evaluations agreed on, in the order of their first evaluation."""
        return [alarm for alarm in self._all if alarm.at_us != NEVER]

    @property
    def leads(self) -> list[Alarm]:
        """Groups whose settings are too alike, and whose content may be of many hands."""
        return [alarm for alarm in self._all if alarm.at_us == NEVER != alarm.lead_us]

    def suspected(self) -> frozenset[int]:
        """Every tenant that belongs to an alarm, raised or not."""
        return frozenset(self._owner)

    def record(self, candidate: Candidate, until_us: int, alpha: float, judge: Judge) -> None:
        """Record a candidate as an evaluation of the alarm that has most of its tenants, or of a new alarm.

        alpha: what one test may spend; 0 where every candidate has to wait for all evaluations; judge: says
        whether a candidate is one hand, without what other alarms have. Without that it stays a lead.
        """
        alarm, number = None, len(self._all)
        owners = Counter(self._owner[p] for p in candidate.matching if p in self._owner)
        if owners:
            most, shared = min(owners.items(), key=lambda item: (-item[1], item[0]))
            if shared >= 0.3 * min(len(candidate.matching), len(self._all[most].evaluations)):
                alarm, number = self._all[most], most
        if alarm is None:
            if sum(p not in self._owner for p in candidate.members) < LEAST_TENANTS:
                return
            alarm = Alarm(NEVER, candidate.p_value, settings=candidate.settings)
            self._all.append(alarm)
        partly = alarm.judgement is not None and alarm.judgement.part is not None
        members = candidate.members if partly else self._members_of_one_hand(alarm, number, candidate, judge)
        if not members:
            return
        alarm.p_least = min(alarm.p_least, candidate.p_value)
        alarm.dominant, alarm.share = candidate.dominant, candidate.share
        alarm.fingerprints.update(candidate.own.tolist())
        alarm.evaluated_at_us.append(until_us)
        needed = evaluations_needed(candidate.p_value, alpha, self.looks_before_alarm)
        recent = alarm.evaluated_at_us[-needed:]
        agreed = len(recent) == needed and recent[0] > until_us - DAY_US
        grown = alarm.judgement is None or len(candidate.rows) >= MORE * alarm.exchanges
        if agreed and grown and (alarm.at_us == NEVER or partly):
            judgement, alarm.exchanges = judge(candidate, self._of_others(number)), len(candidate.rows)
            if alarm.at_us == NEVER or judgement.one_hand:  # a later doubt does not widen whom it names
                alarm.judgement = judgement
        if alarm.at_us == NEVER and agreed and alarm.judgement is not None:
            if alarm.lead_us == NEVER:
                alarm.lead_us = until_us
            alarm.p_value = candidate.p_value
            alarm.p_settings, alarm.tested = candidate.p_settings, candidate.tested
            if alarm.judgement.one_hand:
                alarm.at_us = until_us
        owned = {p for p in candidate.matching if self._owner.get(p) == number}
        named = members | (owned & candidate.eligible)
        if alarm.judgement is not None and alarm.judgement.part is not None:
            named &= alarm.judgement.part
        for p in sorted(named):
            self._count(p, number, until_us, min(needed, self.looks_before_naming))

    def _members_of_one_hand(
        self, alarm: Alarm, number: int, candidate: Candidate, judge: Judge
    ) -> frozenset[int]:
        """Members of a candidate for whom a raised alarm's evidence speaks; none of another group.

        A pool may come to be grouped with a crowd whose settings are as alike. So where many members were in
        none of the alarm's evaluations, the candidate must be of one hand itself.
        """
        known = alarm.evaluations.keys()
        if alarm.at_us == NEVER or len(candidate.members - known) < max(
            LEAST_TENANTS, NEW * len(candidate.members)
        ):
            return candidate.members
        judgement = judge(candidate, self._of_others(number))
        if not judgement.one_hand:
            return frozenset()
        return candidate.members if judgement.part is None else candidate.members & (judgement.part | known)

    def _of_others(self, number: int) -> frozenset[int]:
        """The tenants of raised alarms but one: what they ask must not speak for whom that one would name."""
        raised = {k for k, alarm in enumerate(self._all) if alarm.at_us != NEVER and k != number}
        return frozenset(p for p, owner in self._owner.items() if owner in raised)

    def mark_first_accounts(self, account: Callable[[int], str]) -> None:
        """Write down one account of each new alarm, which no other alarm of the same first evaluation has.

        account: gives a tenant's account. The least name is taken, as codes differ between logs.
        """
        taken = {
            (alarm.evaluated_at_us[0], alarm.first_account) for alarm in self._all if alarm.first_account
        }
        for alarm in self._all:
            if alarm.first_account:
                continue
            first_evaluation_us = alarm.evaluated_at_us[0]
            free = [
                name for name in map(account, alarm.evaluations) if (first_evaluation_us, name) not in taken
            ]
            if free:
                alarm.first_account = min(free)
                taken.add((first_evaluation_us, alarm.first_account))

    def follow(self, alarm: Alarm, newcomers: list[int], until_us: int) -> None:
        """Name tenants that take up a raised alarm's signature and do little else."""
        number = self._all.index(alarm)
        for p in newcomers:
            if self._owner.setdefault(p, number) == number:
                alarm.evaluations[p] += 1
                alarm.devoted.add(p)
                alarm.name(p, until_us)

    def split(self, part: Candidate) -> None:
        """Give a part that is told apart an alarm of its own; its tenants stay named since they were."""
        owners = Counter(self._owner[p] for p in part.members if p in self._owner)
        if not owners:
            return
        number, shared = min(owners.items(), key=lambda item: (-item[1], item[0]))
        parent = self._all[number]
        moved = [p for p in sorted(part.members) if self._owner.get(p) == number]
        named = [p for p in moved if p in parent.named]
        if len(named) < LEAST_TENANTS or len(parent.named) - len(named) < LEAST_TENANTS:
            return
        if shared < 0.5 * len(part.members):
            return
        at_us = min(parent.named[p] for p in named)
        alarm = Alarm(at_us, part.p_value, p_settings=part.p_settings, tested=part.tested)
        alarm.lead_us, alarm.judgement = parent.lead_us, parent.judgement
        alarm.p_least, alarm.dominant, alarm.share = part.p_value, part.dominant, part.share
        alarm.fingerprints.update(part.own.tolist())
        alarm.evaluated_at_us = list(parent.evaluated_at_us)
        alarm.devoted = parent.devoted & set(moved)
        for p in moved:
            if p in parent.named:
                alarm.named[p] = parent.named.pop(p)
            alarm.evaluations[p] = parent.evaluations.pop(p)
            self._owner[p] = len(self._all)
        self._all.append(alarm)

    def _count(self, p: int, number: int, until_us: int, needed: int) -> None:
        alarm = self._all[number]
        if self._owner.setdefault(p, number) == number:
            alarm.evaluations[p] += 1
            if alarm.evaluations[p] >= needed and alarm.at_us != NEVER:
                alarm.name(p, until_us)
