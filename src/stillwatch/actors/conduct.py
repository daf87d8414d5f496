"""Conduct: what a party did with the service in a window, as far as the provider sees it.

Model, settings and volume of the exchanges that carry hot markers. It does not know who belongs together.
"""

# mypy: allow-untyped-defs

from dataclasses import dataclass

import numpy as np
from numba import njit

from stillwatch.actors.spread import Spread
from stillwatch.exchanges.log import ExchangeLog
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


@njit(cache=True, nogil=True)
def posture(begin, row, ts, counts_from, until, since, values, weight, levels, look_back):
    """Each party's most used value of each setting, over its latest counted exchanges in [since, until).

    values: (settings, exchanges) int32 codes from 0; weight: (exchanges,) int64, what an exchange counts for
    the first setting; levels: how many codes there are at most; look_back: how many exchanges are counted at
    most. Returns (counted (parties,) int32, dominant (settings, parties) int32 with -1 where nothing was
    counted).
    """
    parties = len(begin) - 1
    settings = values.shape[0]
    counted = np.zeros(parties, np.int32)
    dominant = np.full((settings, parties), -1, np.int32)
    tally = np.zeros(levels, np.int64)
    picked = np.empty(look_back, np.int32)
    for p in range(parties):
        hi = begin[p] + np.searchsorted(ts[begin[p] : begin[p + 1]], until)
        m = 0
        k = hi - 1
        while m < look_back and k >= begin[p] and ts[k] >= since:
            if counts_from[k] < until:
                picked[m] = row[k]
                m += 1
            k -= 1
        counted[p] = m
        if m == 0:
            continue
        for s in range(settings):
            best = -1
            for q in range(m):
                tally[values[s, picked[q]]] += weight[picked[q]] if s == 0 else 1
            for q in range(m):
                v = values[s, picked[q]]
                if best < 0 or tally[v] > tally[best] or (tally[v] == tally[best] and v < best):
                    best = v
            dominant[s, p] = best
            for q in range(m):
                tally[values[s, picked[q]]] = 0
    return counted, dominant
