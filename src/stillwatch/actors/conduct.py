"""Conduct: what a party did with the service in a window, as far as the provider sees it.

Model, settings and volume of the exchanges that carry hot markers. It does not know who belongs together.
"""

# mypy: allow-untyped-defs

from dataclasses import dataclass

import numpy as np
from numba import njit

from stillwatch.actors.spread import Spread
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.stats.arrays import place_of
from stillwatch.stats.dealing import deal

NEVER = np.iinfo(np.int64).max
NEEDED = 2  # hot markers that an exchange must carry: one may be chance
LOOK_BACK = 64  # exchanges read per party and window: more add no certainty, only cost


@dataclass(frozen=True)
class HotRows:
    """Exchanges that carry at least NEEDED hot markers, by party, each with the moment it counts from."""

    begin: np.ndarray  # (parties + 1,) int64
    row: np.ndarray  # (rows,) int32, in time order within a party
    ts_us: np.ndarray  # (rows,) int64
    counts_from_us: np.ndarray  # (rows,) int64


def tokens_of(log: ExchangeLog) -> np.ndarray:
    """(exchanges,) int64: the output tokens of each, at least 1.

    A party's model is the one that most of its tokens came from: cheap requests to other models then hide
    nothing. Counted by requests, 1.3 short ones for each wanted one were enough.
    """
    return np.maximum(log["output_tokens"], 1).astype(np.int64)


def hot_rows(log: ExchangeLog, spread: Spread, party: np.ndarray, parties: int) -> HotRows:
    """Exchanges whose wording was, from some moment on, new among accounts and shared."""
    counts_from = _counts_from(spread.row, spread.marker, spread.hot_from_us, log["ts_us"], NEEDED)
    rows = np.flatnonzero(counts_from < NEVER).astype(np.int32)
    return _by_party(rows, counts_from[rows], log["ts_us"], party, parties)


def all_rows(log: ExchangeLog, party: np.ndarray, parties: int) -> HotRows:
    """Every exchange, for the population's conduct."""
    rows = np.arange(len(log), dtype=np.int32)
    return _by_party(rows, log["ts_us"], log["ts_us"], party, parties)


def _by_party(
    rows: np.ndarray, counts_from: np.ndarray, ts: np.ndarray, party: np.ndarray, parties: int
) -> HotRows:
    begin, order = deal(party[rows], parties)
    rows = rows[order]
    times = ts[rows]
    return HotRows(begin, rows, times, times if counts_from is ts else counts_from[order])


@njit(cache=True, nogil=True)
def _counts_from(row, marker, hot_from, ts, needed):
    """When each exchange came to carry `needed` hot markers (uses are sorted by row)."""
    out = np.full(len(ts), np.iinfo(np.int64).max, np.int64)
    smallest = np.empty(needed, np.int64)
    k = 0
    while k < len(row):
        r = row[k]
        smallest[:] = np.iinfo(np.int64).max
        while k < len(row) and row[k] == r:
            t = hot_from[marker[k]]
            for j in range(needed):
                if t < smallest[j]:
                    for q in range(needed - 1, j, -1):
                        smallest[q] = smallest[q - 1]
                    smallest[j] = t
                    break
            k += 1
        if smallest[needed - 1] < np.iinfo(np.int64).max:
            out[r] = max(smallest[needed - 1], ts[r])
    return out


def posture(
    rows: HotRows, until: int, since: int, values: np.ndarray, weight: np.ndarray, levels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each party's most used value of each setting, over its latest counted exchanges in [since, until).

    values, weight, levels: as `most_used` takes them. Returns (counted (parties,) int32, dominant (settings,
    parties) int32 with -1 where nothing was counted).
    """
    begin, latest = _latest(rows.begin, rows.row, rows.ts_us, rows.counts_from_us, until, since)
    return np.diff(begin).astype(np.int32), most_used(begin, latest, values, weight, levels)[0]


@njit(cache=True, nogil=True)
def _latest(begin, row, ts, counts_from, until, since):
    """Where each party's exchanges begin (parties + 1,), and they: its last LOOK_BACK that count by then."""
    parties = len(begin) - 1
    start = np.zeros(parties + 1, np.int64)
    latest = np.empty(min(len(row), parties * LOOK_BACK), np.int32)
    n = 0
    for p in range(parties):
        k = begin[p] + place_of(ts[begin[p] : begin[p + 1]], until) - 1
        while n < start[p] + LOOK_BACK and k >= begin[p] and ts[k] >= since:
            if counts_from[k] < until:
                latest[n] = row[k]
                n += 1
            k -= 1
        start[p + 1] = n
    return start, latest[:n]


@njit(cache=True, nogil=True)
def most_used(begin, rows, values, weight, levels):
    """Each group's most used value of each setting, and how often it is used; ties go to the smaller code.

    begin: (groups + 1,) int64 into rows; rows: (rows,) int32 columns of values; values: (settings, n) int32
    codes from 0, fewer than `levels`, in Fortran's order; weight: (n,) int64, what each counts for in the
    first setting. Returns two (settings, groups) arrays, the values with -1 for a group without rows.
    """
    groups = len(begin) - 1
    value = np.full((len(values), groups), -1, np.int32)
    used = np.zeros((len(values), groups), np.int64)
    tally = np.zeros(levels, np.int64)
    for g in range(groups):
        if begin[g] == begin[g + 1]:
            continue
        for s in range(len(values)):
            for k in range(begin[g], begin[g + 1]):
                tally[values[s, rows[k]]] += weight[rows[k]] if s == 0 else 1
            best = values[s, rows[begin[g]]]
            for k in range(begin[g], begin[g + 1]):
                v = values[s, rows[k]]
                if tally[v] > tally[best] or (tally[v] == tally[best] and v < best):
                    best = v
            value[s, g], used[s, g] = best, tally[best]
            for k in range(begin[g], begin[g + 1]):
                tally[values[s, rows[k]]] = 0
    return value, used
