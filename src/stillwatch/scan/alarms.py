"""Alarms while a log is watched: which candidate becomes one, whom it names, when it falls apart into two.

It does not know how a candidate was tested.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from stillwatch.actors.groups import LEAST_PARTIES

CONFIRMED = 0.35  # of the median party's share of looks, since it was named, that name it again
KEPT = 0.1  # of the looks that the most lasting marker had


@dataclass(frozen=True)
class Candidate:
    """A group, or the carriers of its stock, and how sure it is that they are one hand."""

    p_value: float
    carriers: frozenset[int]
    matching: frozenset[int]  # carriers that have the common values
    dominant: tuple[int, ...]
    share: tuple[float, ...]
    p_settings: tuple[float, ...]
    own: np.ndarray  # stock markers' numbers


@dataclass
class Alarm:
    """One campaign while the log is watched."""

    at_us: int
    p_value: float
    named: dict[int, int] = field(default_factory=dict)  # party -> when it was named
    p_least: float = 1.0
    dominant: tuple[int, ...] = ()  # the settings' common values at the last look
    share: tuple[float, ...] = ()  # and the share of carriers that has them
    p_settings: tuple[float, ...] = ()  # at the alarm
    markers: Counter = field(default_factory=Counter)  # stock markers and how many looks held them
    looks: Counter = field(default_factory=Counter)  # party -> looks that named it
    looked_at_us: list[int] = field(default_factory=list)

    def own_markers(self) -> np.ndarray:
        """The markers that looks kept finding to be the group's own, sorted."""
        most = max(self.markers.values(), default=0)
        return np.array(sorted(m for m, n in self.markers.items() if n >= KEPT * most), np.int64)

    def confirmed(self) -> dict[int, int]:
        """The named parties that later looks kept naming; a party named in passing is let go."""
        looked = np.array(self.looked_at_us)
        kept = {p: self.looks[p] / max(int((looked >= at).sum()), 1) for p, at in self.named.items()}
        least = CONFIRMED * float(np.median(list(kept.values()))) if kept else 0.0
        return {p: at for p, at in self.named.items() if kept[p] >= least}


def chosen(
    candidates: list[Candidate], alpha: float, distinct: Callable[[list[Candidate]], bool]
) -> list[tuple[Candidate, list[Candidate]]]:
    """Of overlapping candidates the surest, each with its parts, largest first, where they are told apart."""
    kept: list[tuple[Candidate, list[Candidate]]] = []
    ranked = sorted(candidates, key=lambda c: (c.p_value, -len(c.carriers), sorted(c.carriers)))
    by_size = sorted(ranked, key=lambda c: (-len(c.carriers), sorted(c.carriers)))
    for candidate in ranked:
        size = len(candidate.carriers)
        if candidate.p_value >= alpha:
            break
        if any(len(candidate.carriers & c.carriers) > 0.5 * size for c, _ in kept):
            continue
        parts: list[Candidate] = []
        for other in by_size:
            if other is candidate or not 0.3 * size <= len(other.carriers) <= 0.9 * size:
                continue
            if len(other.carriers & candidate.carriers) < 0.7 * len(other.carriers):
                continue
            if not any(len(other.carriers & p.carriers) > 0.1 * len(other.carriers) for p in parts):
                parts.append(other)
        if len(parts) < 2 or not distinct(parts):
            parts = []
        kept.append((candidate, parts))
    return kept


class Alarms:
    """The alarms raised so far, and which of them each named party belongs to."""

    def __init__(self) -> None:
        self.raised: list[Alarm] = []
        self._owner: dict[int, int] = {}

    def name(self, candidate: Candidate, until_us: int) -> None:
        """Name a candidate's matching parties, in the alarm that has most of its carriers or in a new one."""
        alarm, number = None, len(self.raised)
        owners = Counter(self._owner[p] for p in candidate.carriers if p in self._owner)
        if owners:
            most, shared = min(owners.items(), key=lambda item: (-item[1], item[0]))
            if shared >= 0.3 * min(len(candidate.carriers), len(self.raised[most].named)):
                alarm, number = self.raised[most], most
        if alarm is None:
            if sum(p not in self._owner for p in candidate.matching) < LEAST_PARTIES:
                return
            alarm = Alarm(until_us, candidate.p_value, p_settings=candidate.p_settings)
            self.raised.append(alarm)
        alarm.p_least = min(alarm.p_least, candidate.p_value)
        alarm.dominant, alarm.share = candidate.dominant, candidate.share
        alarm.markers.update(candidate.own.tolist())
        alarm.looked_at_us.append(until_us)
        for p in sorted(candidate.matching):
            if self._owner.setdefault(p, number) == number:
                alarm.named.setdefault(p, until_us)
                alarm.looks[p] += 1

    def split(self, part: Candidate) -> None:
        """Give a part that is told apart an alarm of its own; its parties stay named since they were."""
        owners = Counter(self._owner[p] for p in part.matching if p in self._owner)
        if not owners:
            return
        number, shared = min(owners.items(), key=lambda item: (-item[1], item[0]))
        whole = self.raised[number]
        moved = [p for p in sorted(part.matching) if self._owner.get(p) == number]
        if len(moved) < LEAST_PARTIES or len(whole.named) - len(moved) < LEAST_PARTIES:
            return
        if shared < 0.5 * len(part.matching):
            return
        alarm = Alarm(min(whole.named[p] for p in moved), part.p_value, p_settings=part.p_settings)
        alarm.p_least, alarm.dominant, alarm.share = part.p_value, part.dominant, part.share
        alarm.markers.update(part.own.tolist())
        alarm.looked_at_us = list(whole.looked_at_us)
        for p in moved:
            alarm.named[p] = whole.named.pop(p)
            alarm.looks[p] = whole.looks.pop(p)
            self._owner[p] = len(self.raised)
        self.raised.append(alarm)
