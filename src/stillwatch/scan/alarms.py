"""Alarms over time: which candidate becomes an alarm, which tenants it names, when it is split."""

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
NAMED_AFTER = 3  # evaluations that must include a tenant before it is named
SURE = (1e4, 1e3, 1e2)  # factors by which p is below alpha at which one, two or three evaluations suffice
CONFIRMED = 0.35  # of the median tenant's share of evaluations, since it was named, that include it again
KEPT = 0.1  # of the evaluations that the most persistent fingerprint had
NEW = 0.2  # share of a candidate's members new to a raised alarm: then its content is tested again
MORE = 1.1  # growth in exchanges since the last content test at which it is repeated


@dataclass(frozen=True)
class Judgement:
    """Whether a group whose settings are too similar takes its work from one source."""

    content: ContentTest
    explanation: str = ""  # an honest explanation that remains
    part: frozenset[int] | None = None  # the tenants that are of one source, if the whole group is not
    # tenants set aside before: their product, or "" if another raised alarm has them
    aside: Mapping[int, str] = field(default_factory=dict)

    @property
    def one_hand(self) -> bool:
        return self.content.hands is Hands.ONE and not self.explanation


@dataclass(frozen=True)
class Candidate:
    """A group, or the tenants that match its signature, with the evidence that one operator runs them."""

    p_value: float
    matching: frozenset[int]  # tenants that use the signature
    members: frozenset[int]  # of these, the ones with the common values that took the signature up recently
    eligible: frozenset[int]  # who have the common values, whenever they took it up: a named one stays named
    dominant: tuple[int, ...]
    share: tuple[float, ...]
    p_settings: tuple[tuple[str, float], ...]  # tested settings and their p-values
    own: np.ndarray  # signature fingerprints' numbers
    tested: tuple[SettingTest, ...] = ()  # inputs of p_settings
    # its exchanges that show what the group shares
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    settings: tuple[int, int] | None = None  # shared by a group found by settings, see `new_settings`
    aside: Mapping[int, str] = field(default_factory=dict)  # users of a product that are left out, and which


Judge = Callable[[Candidate, frozenset[int]], Judgement]  # a candidate, and other raised alarms' tenants


@dataclass
class Alarm:
    """One campaign, or a possible one, over time."""

    # when it was raised; NEVER while too few evaluations agree or its content may be of many sources
    at_us: int
    p_value: float  # then, or when it became a lead
    named: dict[int, int] = field(default_factory=dict)  # tenant -> when it was named
    p_least: float = 1.0
    dominant: tuple[int, ...] = ()  # the most common settings at the last evaluation
    share: tuple[float, ...] = ()  # and the share of matching tenants that have them
    p_settings: tuple[tuple[str, float], ...] = ()  # at the alarm
    # signature fingerprints with the number of evaluations that held them; negative: not in the log now
    fingerprints: Counter[int] = field(default_factory=Counter)
    # tenant -> evaluations that had it; once it is named, only those since
    evaluations: Counter[int] = field(default_factory=Counter)
    evaluated_at_us: list[int] = field(default_factory=list)
    devoted: set[int] = field(default_factory=set)  # tenants that did little other than use the signature
    tested: tuple[SettingTest, ...] = ()  # inputs of p_settings
    lead_us: int = NEVER  # since when enough evaluations agree that its settings are too similar
    judgement: Judgement | None = None  # the latest while it is a lead, later the one that raised it
    exchanges: int = 0  # in its last content test
    first_account: str = ""  # of those at its first evaluation: it stays when others come and go
    settings: tuple[int, int] | None = None  # shared by a group by settings; None for one by wording
    # number of evaluations, result
    _own: tuple[int, np.ndarray] | None = field(default=None, repr=False, compare=False)

    def own_fingerprints(self) -> np.ndarray:
        """Return the fingerprints that evaluations kept finding to be the group's own, sorted."""
        # asked every hour; it changes only with another evaluation
        evaluated = len(self.evaluated_at_us)
        if self._own is None or self._own[0] != evaluated:
            self._own = evaluated, np.array([m for m in lasting(self.fingerprints) if m >= 0], np.int64)
        return self._own[1]

    def renumber(self, number: np.ndarray) -> "Alarm":
        """Return it with new numbers of its fingerprints. number: (fingerprints,) the new one of each."""
        fingerprints = Counter({int(number[m]): count for m, count in self.fingerprints.items()})
        return replace(self, fingerprints=fingerprints, _own=None)

    def name(self, tenant: int, at_us: int) -> None:
        """Name a tenant. From then on it is counted whether evaluations confirm it."""
        if tenant not in self.named:
            self.named[tenant], self.evaluations[tenant] = at_us, 1

    def confirmed(self, last_us: np.ndarray) -> dict[int, int]:
        """Return the named tenants that later evaluations confirmed; one named only in passing is dropped.

        last_us: (tenants,) when each sent its last exchange. Evaluations more than a day after it do not
        count: a banned tenant, or one that moved to other accounts, is in no group any more.
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
    """Return the fingerprints that persisted, sorted, from the number of evaluations that held each."""
    most = max(fingerprints.values(), default=0)
    return sorted(m for m, evaluations in fingerprints.items() if evaluations >= KEPT * most)


def choose_alarms(
    candidates: list[Candidate], alpha: float, distinct: Callable[[list[Candidate]], bool]
) -> list[tuple[Candidate, list[Candidate]]]:
    """Select the most certain of overlapping candidates, largest first, split into parts if these differ."""
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
    """Return how many evaluations must agree: the fewer, the further p is below what one test may spend.

    >>> [evaluations_needed(p, 1e-3) for p in (1e-3, 1e-5, 1e-6, 1e-7)]
    [4, 3, 2, 1]
    """
    below = sum(p_value * times > alpha * (1 + 1e-9) for times in SURE)
    return min(1 + below, most)


class Alarms:
    """The alarms so far, raised or waiting for more evaluations, and the alarm of each tenant."""

    def __init__(
        self,
        alarms: list[Alarm] | None = None,
        owner: dict[int, int] | None = None,
        *,
        looks_before_alarm: int = PERSISTENT,
        looks_before_naming: int = NAMED_AFTER,
    ) -> None:
        """alarms, owner: the alarms so far, and the number of each tenant's alarm, to continue from."""
        self.looks_before_alarm, self.looks_before_naming = looks_before_alarm, looks_before_naming
        self._all: list[Alarm] = alarms or []
        self._owner: dict[int, int] = owner or {}

    @property
    def every(self) -> list[Alarm]:
        """All alarms, raised or not, in the order of their first evaluation."""
        return self._all

    @property
    def owner(self) -> dict[int, int]:
        """Tenant -> number of its alarm."""
        return self._owner

    @property
    def raised(self) -> list[Alarm]:
        """The alarms on which enough evaluations agreed, in the order of their first evaluation."""
        return [alarm for alarm in self._all if alarm.at_us != NEVER]

    @property
    def leads(self) -> list[Alarm]:
        """Groups whose settings are too similar, but whose content may be of many sources."""
        return [alarm for alarm in self._all if alarm.at_us == NEVER != alarm.lead_us]

    def suspected(self) -> frozenset[int]:
        """All tenants of any alarm, raised or not."""
        return frozenset(self._owner)

    def record(self, candidate: Candidate, until_us: int, alpha: float, judge: Judge) -> None:
        """Record a candidate as an evaluation of the alarm that has most of its tenants, or of a new alarm.

        alpha: what one test may spend, or 0 if every candidate has to wait for all evaluations; judge:
        decides whether a candidate is of one source, without the tenants of other alarms. Any other stays a
        lead.
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
            if alarm.at_us == NEVER or judgement.one_hand:  # a later doubt does not add tenants
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
        """Return the members of a candidate that a raised alarm's evidence covers; none of another group.

        A pool may come to be grouped with unrelated accounts whose settings are as similar. If many members
        were in none of the alarm's evaluations, the candidate must therefore be of one source itself.
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
        """Return the tenants of other raised alarms, whose content is no evidence for this one."""
        raised = {k for k, alarm in enumerate(self._all) if alarm.at_us != NEVER and k != number}
        return frozenset(p for p, owner in self._owner.items() if owner in raised)

    def mark_first_accounts(self, account: Callable[[int], str]) -> None:
        """Record one account of each new alarm, which no other alarm of the same first evaluation has.

        account: returns a tenant's account. The alphabetically first is used, since codes differ between
        logs.
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
        """Give a part that differs an alarm of its own; its tenants keep the time when they were named."""
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
