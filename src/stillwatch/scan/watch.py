"""Watching a log hour by hour, as it would have been seen live: groups, tests, alarms, names.

Each step uses only what was in the log before it. It does not know how a campaign is told to people.

A group is found by what its members *say* (new shared wording); it is tested by what they *do* (model,
settings, volume), among everyone who carries that wording. Only both together raise an alarm.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numba import njit

from stillwatch.actors.communities import communities, window_graph
from stillwatch.actors.conduct import HotRows, all_rows, hot_rows, posture
from stillwatch.actors.spread import DAY_US, WINDOW_DAYS, Spread, spread
from stillwatch.actors.stock import NEEDED, carried_rows, choices, stock_of
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.stats.groups import combine, concentration_tail, within_correlation

HOUR_US = 3_600_000_000
WINDOW_US = int(WINDOW_DAYS * DAY_US)
RESOLUTIONS = (2.0, 4.0, 8.0)  # from loose to tight communities: a pool may hide in a looser one
LEAST_PARTIES = 5
ATTACHED = 0.25  # of the median member's bits: below it a member hangs on by chance
TIED = 0.5  # of the median member's number of tied members, and of its share of bits inside the group
BASE_EVERY_US = 6 * HOUR_US
SETTINGS = ("model", "max_tokens", "temperature_milli")
# Within-group correlation that honest groups are granted at least: a framework may set a default.
CORRELATION_FLOOR = (0.03, 0.08, 0.08)
ALPHA_CEILING = 5e-4
CARRIED_SHARE = 0.1  # of a party's exchanges since it took the stock up: below it, chance in heavy traffic
DEVOTED_SHARE = 0.6  # a party that does little else is named whatever model it has moved to
CONFIRMED = 0.35  # of the median party's share of looks, since it was named, that name it again
KEPT = 0.1  # of the looks that the most lasting marker had
PART_ALPHA = 1e-2  # of a part, once its whole is past doubt
SIGNATURE_IN, SIGNATURE_OUT = 0.2, 0.02  # a marker that tells two groups apart: share of their exchanges


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


@dataclass(frozen=True)
class Watched:
    alarms: tuple[Alarm, ...]
    spread: Spread
    party: np.ndarray  # (exchanges,) int32
    values: np.ndarray  # (settings, exchanges) int32 codes
    codes: tuple[np.ndarray, ...]  # per setting: code -> value in the log
    base: tuple[np.ndarray, ...]  # per setting: shares of the population at the end
    tests: int
    settings: tuple[str, ...]  # those tested, as in an alarm's p_settings
    untested_settings: tuple[str, ...]


@dataclass(frozen=True)
class _Candidate:
    p_value: float
    carriers: frozenset[int]
    matching: frozenset[int]  # carriers that have the common values
    dominant: tuple[int, ...]
    share: tuple[float, ...]
    p_settings: tuple[float, ...]
    own: np.ndarray  # stock markers' numbers
    resolution: float


def watch(
    log: ExchangeLog,
    party: np.ndarray,
    *,
    false_cases_per_10k_account_days: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> Watched:
    """Watch a log from its first hour to its last.

    party: (exchanges,) int32, who counts as one: an organisation, else an account.
    """
    watcher = _Watcher(log, party, false_cases_per_10k_account_days)
    steps = watcher.steps()
    for k, at in enumerate(steps):
        watcher.look(int(at))
        if progress and k % 8 == 0:
            progress(k, len(steps))
    if progress:
        progress(len(steps), len(steps))
    return Watched(
        tuple(watcher.alarms),
        watcher.spread,
        party,
        watcher.values,
        watcher.codes,
        tuple(watcher.base),
        watcher.tests,
        tuple(n for n in SETTINGS if n not in watcher.untested),
        watcher.untested,
    )


class _Watcher:
    def __init__(self, log: ExchangeLog, party: np.ndarray, dial: float) -> None:
        self.log, self.party, self.dial = log, party, dial
        self.parties = len(log.accounts)
        self.spread = spread(log, party)
        self.hot: HotRows = hot_rows(log, self.spread, party, self.parties)
        self.all: HotRows = all_rows(log, party, self.parties)
        coded = [np.unique(log[name], return_inverse=True) for name in SETTINGS]
        self.codes = tuple(c for c, _ in coded)
        self.values = np.stack([v.astype(np.int32) for _, v in coded])
        self.levels = int(self.values.max()) + 1 if self.values.size else 1
        self.untested = tuple(n for n, c in zip(SETTINGS, self.codes, strict=True) if len(c) < 2)
        self.base: list[np.ndarray] = []
        self.correlation = list(CORRELATION_FLOOR)
        self.base_due = 0
        self.active_per_day = 0.0
        self.alarms: list[Alarm] = []
        self.owner: dict[int, int] = {}
        self.tests = 0
        self.quiet: list[list[tuple[int, int, float]]] = [
            [] for _ in SETTINGS
        ]  # choices of groups that raised no alarm
        self.use_us = log["ts_us"][self.spread.row]

    def steps(self) -> np.ndarray:
        """The hours at which something new could be seen."""
        ts = self.spread.at_us
        if len(ts) == 0:
            return np.zeros(0, np.int64)
        return np.unique((ts // HOUR_US + 1) * HOUR_US)

    def look(self, until: int) -> None:
        since = until - WINDOW_US
        if until >= self.base_due:
            self._population(until, since)
            self.base_due = until + BASE_EVERY_US
        lo, hi = np.searchsorted(self.spread.at_us, [since, until])
        graph = window_graph(self.spread.a, self.spread.b, self.spread.weight, lo, hi, self.parties)
        groups = self._groups(graph, until, since)
        alpha = self._alpha(max(Counter(resolution for _, resolution in groups).values(), default=1))
        seen: set[frozenset[int]] = set()
        candidates = []
        for members, resolution in groups:
            if members in seen:
                continue
            seen.add(members)
            p_members = self._maybe(members, until)
            if p_members < 0.05:
                candidate = self._test(members, p_members, resolution, until, since)
                if candidate is not None and candidate.p_value < PART_ALPHA:
                    candidates.append(candidate)
        for candidate, parts in self._chosen(candidates, alpha, until, since):
            self._name(candidate, until)
            for part in parts[1:]:
                self._split(part)

    def _population(self, until: int, since: int) -> None:
        counted, dominant = posture(
            self.all.begin,
            self.all.row,
            self.all.ts_us,
            self.all.counts_from_us,
            until,
            since,
            self.values,
            self.levels,
            64,
        )
        self.base = []
        for s, codes in enumerate(self.codes):
            tally = np.bincount(dominant[s][counted >= 2], minlength=len(codes)) + 0.5
            self.base.append(tally / tally.sum())
            self.quiet[s] = self.quiet[s][-200:]
            self.correlation[s] = within_correlation(
                self.quiet[s], _tries(self.base[s]), CORRELATION_FLOOR[s]
            )
        day = np.searchsorted(self.log["ts_us"], [until - DAY_US, until])
        self.active_per_day = float(len(np.unique(self.party[day[0] : day[1]])))

    def _alpha(self, groups: int) -> float:
        """What one test may spend: the day's allowance of false cases over the day's independent tests.

        Hourly looks at a group repeat each other; two independent looks a day are counted.
        """
        allowed = self.dial * self.active_per_day / 10_000
        return min(ALPHA_CEILING, allowed / (2 * max(groups, 1)))

    def _groups(self, graph, until: int, since: int) -> list[tuple[frozenset[int], float]]:
        self.counted, self.dominant = posture(
            self.hot.begin,
            self.hot.row,
            self.hot.ts_us,
            self.hot.counts_from_us,
            until,
            since,
            self.values,
            self.levels,
            64,
        )
        found = []
        for resolution in RESOLUTIONS:
            label = communities(*graph, resolution)
            inner, around, degree = _inside(*graph, label)
            index = np.flatnonzero((self.counted >= 2) & (inner > 0))
            index = index[np.argsort(label[index], kind="stable")]
            if len(index) == 0:
                continue
            cut = np.flatnonzero(np.diff(label[index])) + 1
            for members in np.split(index, cut):
                if len(members) < LEAST_PARTIES:
                    continue
                members = self._attached(members, inner, around, degree)
                if len(members) >= LEAST_PARTIES:
                    found.append((frozenset(members.tolist()), resolution))
        return found

    def _attached(self, members: np.ndarray, inner: np.ndarray, around: np.ndarray, degree: np.ndarray):
        """The members that belong: by bits, by how many members they are tied to, and by where their ties go."""
        bits, ties, share = inner[members], around[members], inner[members] / degree[members]
        return members[
            (bits >= ATTACHED * np.median(bits))
            & (ties >= TIED * np.median(ties))
            & (share >= TIED * np.median(share))
        ]

    def _tails(self, dominant: np.ndarray) -> tuple[list[float], list[int], list[float], list[np.ndarray]]:
        n = dominant.shape[1]
        tails, values, shares, tallies = [], [], [], []
        for s, base in enumerate(self.base):
            tally = np.bincount(dominant[s], minlength=len(base))
            value = int(tally.argmax())
            tallies.append(tally)
            values.append(value)
            shares.append(tally[value] / n)
            if len(base) < 2:
                continue
            tail = concentration_tail(int(tally[value]), n, round(float(base[value]), 3), self.correlation[s])
            tails.append(min(1.0, _tries(base) * tail))
        return tails, values, shares, tallies

    def _maybe(self, members: frozenset[int], until: int) -> float:
        """The p-value of the group itself: only what could matter is tested on its stock's carriers."""
        self.tests += 1
        dominant = self.dominant[:, sorted(members)]
        tails, _, _, tallies = self._tails(dominant)
        if not tails:
            return 1.0
        if until % BASE_EVERY_US == 0:
            for s, tally in enumerate(tallies):
                self._remember(s, tally)
        return combine(tails)

    def _remember(self, s: int, tally: np.ndarray) -> None:
        """Keep a group's choices for the within-group correlation, unless they are a campaign's beyond doubt."""
        top, n = int(tally.max()), int(tally.sum())
        share = round(float(self.base[s][tally.argmax()]), 3)
        if concentration_tail(top, n, share, CORRELATION_FLOOR[s]) > 1e-3:
            self.quiet[s].append((top, n, share))

    def _test(
        self, members: frozenset[int], p_members: float, resolution: float, until: int, since: int
    ) -> _Candidate | None:
        inside = np.zeros(self.parties, np.bool_)
        inside[list(members)] = True
        lo, hi = np.searchsorted(self.spread.entry_us, [since, until])
        own, _ = stock_of(
            self.spread.entry_party,
            self.spread.entry_marker,
            lo,
            hi,
            self.spread.hot_from_us,
            until,
            inside,
            len(self.spread.hot_from_us),
        )
        lo, hi = np.searchsorted(self.use_us, [since, until])
        rows = carried_rows(self.spread.row, self.spread.marker, lo, hi, own, NEEDED)
        if len(np.unique(self.party[rows])) < 0.5 * len(members):
            return self._by_members(members, p_members, resolution)
        carriers, counts, dominant = choices(rows, self.party, self.values)
        since_taken_up = self._since_taken_up(rows, carriers, until)
        often = (counts >= 2) & (counts >= CARRIED_SHARE * since_taken_up)
        if often.sum() < LEAST_PARTIES:
            return None
        tails, values, shares, _ = self._tails(dominant[:, often])
        if not tails:
            return None
        devoted = (counts >= 3) & (counts >= DEVOTED_SHARE * since_taken_up)
        matching = dominant[0] == values[0] if shares[0] >= 0.6 else np.ones(len(carriers), bool)
        matching |= devoted
        return _Candidate(
            combine(tails),
            frozenset(carriers[often].tolist()),
            frozenset(carriers[often & matching].tolist()),
            tuple(values),
            tuple(shares),
            tuple(tails),
            np.flatnonzero(own),
            resolution,
        )

    def _by_members(self, members: frozenset[int], p_members: float, resolution: float) -> _Candidate | None:
        """A group whose texts share a manner but no stock: nobody outside it can be counted, nor its exchanges."""
        index = np.array(sorted(members))
        tails, values, shares, _ = self._tails(self.dominant[:, index])
        matching = index[self.dominant[0, index] == values[0]]
        if len(matching) < LEAST_PARTIES:
            return None
        return _Candidate(
            p_members,
            frozenset(matching.tolist()),
            frozenset(matching.tolist()),
            tuple(values),
            tuple(shares),
            tuple(tails),
            np.zeros(0, np.int64),
            resolution,
        )

    def _since_taken_up(self, rows: np.ndarray, carriers: np.ndarray, until: int) -> np.ndarray:
        """(carriers,) exchanges of each carrier from its first carried row on."""
        who = self.party[rows]
        order = np.argsort(who, kind="stable")
        first = rows[order][np.r_[True, who[order][1:] != who[order][:-1]]]
        out = np.empty(len(carriers), np.int64)
        for k, (p, row) in enumerate(zip(carriers, first, strict=True)):
            ts = self.all.ts_us[self.all.begin[p] : self.all.begin[p + 1]]
            out[k] = np.searchsorted(ts, until) - np.searchsorted(ts, self.log["ts_us"][row])
        return out

    def _chosen(
        self, candidates: list[_Candidate], alpha: float, until: int, since: int
    ) -> list[tuple[_Candidate, list[_Candidate]]]:
        """Of overlapping candidates the surest, each with its parts, largest first, where those are told apart."""
        chosen: list[tuple[_Candidate, list[_Candidate]]] = []
        ranked = sorted(candidates, key=lambda c: (c.p_value, -len(c.carriers), sorted(c.carriers)))
        for candidate in ranked:
            size = len(candidate.carriers)
            if candidate.p_value >= alpha:
                break
            if any(len(candidate.carriers & c.carriers) > 0.5 * size for c, _ in chosen):
                continue
            parts: list[_Candidate] = []
            for other in sorted(ranked, key=lambda c: (-len(c.carriers), sorted(c.carriers))):
                inside = len(other.carriers & candidate.carriers) >= 0.7 * len(other.carriers)
                if other is candidate or not inside or not 0.3 * size <= len(other.carriers) <= 0.9 * size:
                    continue
                if not any(len(other.carriers & p.carriers) > 0.1 * len(other.carriers) for p in parts):
                    parts.append(other)
            if len(parts) < 2 or not self._distinct(parts, until, since):
                parts = []
            chosen.append((candidate, parts))
        return chosen

    def _distinct(self, parts: list[_Candidate], until: int, since: int) -> bool:
        """Whether every two parts are told apart by markers in many exchanges of one and hardly any of the other."""
        lo, hi = np.searchsorted(self.use_us, [since, until])
        rows, what = self.spread.row[lo:hi], self.spread.marker[lo:hi]
        who = self.party[rows]
        shares = []
        for part in parts:
            inside = np.zeros(self.parties, np.bool_)
            inside[list(part.carriers)] = True
            mine = inside[who]
            tally = np.bincount(what[mine], minlength=len(self.spread.hot_from_us))
            shares.append(tally / max(len(np.unique(rows[mine])), 1))
        for x in range(len(parts)):
            for y in range(x):
                a, b = shares[x], shares[y]
                marks = ((a >= SIGNATURE_IN) & (b <= SIGNATURE_OUT)) | (
                    (b >= SIGNATURE_IN) & (a <= SIGNATURE_OUT)
                )
                if marks.sum() < 3:
                    return False
        return True

    def _split(self, part: _Candidate) -> None:
        """Give a part that is told apart an alarm of its own; its parties stay named since they were."""
        owners = Counter(self.owner[p] for p in part.matching if p in self.owner)
        if not owners:
            return
        number, shared = min(owners.items(), key=lambda item: (-item[1], item[0]))
        whole = self.alarms[number]
        moved = [p for p in sorted(part.matching) if self.owner.get(p) == number]
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
            self.owner[p] = len(self.alarms)
        self.alarms.append(alarm)

    def _name(self, candidate: _Candidate, until: int) -> None:
        owners = Counter(self.owner[p] for p in candidate.carriers if p in self.owner)
        alarm = None
        if owners:
            number, shared = min(owners.items(), key=lambda item: (-item[1], item[0]))
            if shared >= 0.3 * min(len(candidate.carriers), len(self.alarms[number].named)):
                alarm = self.alarms[number]
        if alarm is None:
            if sum(p not in self.owner for p in candidate.matching) < LEAST_PARTIES:
                return
            number = len(self.alarms)
            alarm = Alarm(until, candidate.p_value, p_settings=candidate.p_settings)
            self.alarms.append(alarm)
        alarm.p_least = min(alarm.p_least, candidate.p_value)
        alarm.dominant, alarm.share = candidate.dominant, candidate.share
        alarm.markers.update(candidate.own.tolist())
        alarm.looked_at_us.append(until)
        for p in sorted(candidate.matching):
            if self.owner.setdefault(p, number) == number:
                alarm.named.setdefault(p, until)
                alarm.looks[p] += 1


def _tries(base: np.ndarray) -> int:
    """How many of a setting's values are common enough to have been a group's commonest."""
    return int(np.clip((base > 0.02).sum(), 1, 8))


@njit(cache=True, nogil=True)
def _inside(begin, neighbour, weight, label):
    """Per node: its weight to its own community, how many of it it is tied to, and its whole weight."""
    n = len(begin) - 1
    inner = np.zeros(n)
    around = np.zeros(n, np.int64)
    degree = np.zeros(n)
    for i in range(n):
        for j in range(begin[i], begin[i + 1]):
            degree[i] += weight[j]
            if label[neighbour[j]] == label[i]:
                inner[i] += weight[j]
                around[i] += 1
    return inner, around, degree
