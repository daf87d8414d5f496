"""The stock of a group: the markers that are mostly its own, and everyone who carries them.

A group is found by its links, so its members are no fair sample. Its stock's carriers are: whoever uses the
stock is counted, in the group or not. It does not know whether carriers are one hand.
"""

# mypy: allow-untyped-defs

import numpy as np
from numba import njit

from stillwatch.actors.conduct import HotRows, most_used
from stillwatch.actors.spread import Spread
from stillwatch.stats.arrays import place_of
from stillwatch.stats.dealing import deal

LEAST_IN = 3  # members that must have entered a marker
PURITY = 0.6  # share of a marker's entrants that must be members
NEEDED = 2  # stock markers in one exchange


class Stock:
    """A log's markers, indexed by who entered them and by the exchanges that carry them."""

    def __init__(self, spread: Spread, parties: int) -> None:
        markers = len(spread.hot_from_us)
        self._hot_from_us = spread.hot_from_us
        self._entry_us, self._entry_marker = spread.entry_us, spread.entry_marker
        self._by_party = deal(spread.entry_party, parties)
        begin, order = deal(spread.entry_marker, markers)
        self._entered = (begin, spread.entry_us[order])
        begin, order = deal(spread.marker, markers)
        self._carried = (begin, spread.row[order])
        self._use_row, self._use_marker = spread.row, spread.marker
        self._inside = np.zeros(markers, np.int32)  # scratch, left at nought

    def own(self, members: np.ndarray, since_us: int, until_us: int) -> np.ndarray:
        """The markers that are mostly the members' own by the entries in [since, until), sorted."""
        mine, order = self._by_party
        entered, entered_us = self._entered
        lo, hi = np.searchsorted(self._entry_us, [since_us, until_us])
        own: np.ndarray = np.sort(
            _own_markers(
                members,
                mine,
                order,
                lo,
                hi,
                self._entry_marker,
                entered,
                entered_us,
                self._hot_from_us,
                self._inside,
                since_us,
                until_us,
            )
        )
        return own

    def entries(self, own: np.ndarray, parties: np.ndarray, since_us: int, until_us: int) -> np.ndarray:
        """(parties,) how many of the own markers each took up, for the first time, in [since, until)."""
        begin, order = self._by_party
        self._inside[own] = 1
        lo, hi = np.searchsorted(self._entry_us, [since_us, until_us])
        counts: np.ndarray = _entries_into(parties, begin, order, lo, hi, self._entry_marker, self._inside)
        self._inside[own] = 0
        return counts

    def carried(self, own: np.ndarray, row_lo: int, row_hi: int, needed: int = NEEDED) -> np.ndarray:
        """Exchanges in [row_lo, row_hi) that carry at least `needed` of the own markers, in order."""
        rows, times = np.unique(_carrying_rows(own, *self._carried, row_lo, row_hi), return_counts=True)
        return rows[times >= needed]

    def shares(self, parties: np.ndarray, rows: HotRows, row_lo: int, row_hi: int) -> np.ndarray:
        """(markers,) in what share of the parties' marked exchanges of [row_lo, row_hi) each marker is."""
        tally, marked = _tally(
            parties,
            rows.begin,
            rows.row,
            row_lo,
            row_hi,
            self._use_row,
            self._use_marker,
            len(self._hot_from_us),
        )
        return tally / max(marked, 1)


@njit(cache=True, nogil=True)
def _tally(parties, begin, row, row_lo, row_hi, use_row, use_marker, markers):
    tally = np.zeros(markers, np.int64)
    marked = 0
    for p in parties:
        rows = row[begin[p] : begin[p + 1]]
        for r in rows[place_of(rows, row_lo) : place_of(rows, row_hi)]:
            k = place_of(use_row, r)
            marked += k < len(use_row) and use_row[k] == r
            while k < len(use_row) and use_row[k] == r:
                tally[use_marker[k]] += 1
                k += 1
    return tally, marked


@njit(cache=True, nogil=True)
def _entries_into(parties, begin, order, lo, hi, entry_marker, wanted):
    out = np.zeros(len(parties), np.int32)
    for k in range(len(parties)):
        own = order[begin[parties[k]] : begin[parties[k] + 1]]  # entries are numbered in time order
        for e in own[place_of(own, lo) : place_of(own, hi)]:
            out[k] += wanted[entry_marker[e]]
    return out


@njit(cache=True, nogil=True)
def _own_markers(
    members, begin, entry, lo, hi, entry_marker, entered_at, entered_us, hot_from_us, inside, since, until
):
    touched = []
    for p in members:
        theirs = entry[begin[p] : begin[p + 1]]  # entries are numbered in time order
        for e in theirs[place_of(theirs, lo) : place_of(theirs, hi)]:
            m = entry_marker[e]
            if inside[m] == 0:
                touched.append(m)
            inside[m] += 1
    own = np.empty(len(touched), np.int64)
    n = 0
    for m in touched:
        if inside[m] >= LEAST_IN and hot_from_us[m] < until:
            times = entered_us[entered_at[m] : entered_at[m + 1]]
            every = place_of(times, until) - place_of(times, since)
            if inside[m] >= PURITY * every:
                own[n] = m
                n += 1
        inside[m] = 0
    return own[:n].copy()


@njit(cache=True, nogil=True)
def _carrying_rows(own, begin, row, row_lo, row_hi):
    """Uses of the own markers: a row once for each that it carries."""
    lo = np.empty(len(own), np.int64)
    hi = np.empty(len(own), np.int64)
    total = 0
    for k in range(len(own)):
        rows = row[begin[own[k]] : begin[own[k] + 1]]
        lo[k] = begin[own[k]] + place_of(rows, row_lo)
        hi[k] = begin[own[k]] + place_of(rows, row_hi)
        total += hi[k] - lo[k]
    out = np.empty(total, np.int32)
    at = 0
    for k in range(len(own)):
        for use in range(lo[k], hi[k]):
            out[at] = row[use]
            at += 1
    return out


def choices(
    rows: np.ndarray, party: np.ndarray, values: np.ndarray, weight: np.ndarray, levels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Who carries the rows, how many each, the first row of each, and its most used value of every setting.

    rows: (rows,) of exchanges, ascending; values, weight, levels: as `most_used` takes them. Returns
    carriers, counts, first rows (n,) and dominant (settings, n) int32.
    """
    order = np.argsort(party[rows], kind="stable")
    rows = rows[order]
    carriers, begin, counts = np.unique(party[rows], return_index=True, return_counts=True)
    ends = np.append(begin, len(rows))
    return carriers, counts, rows[begin].astype(np.int64), most_used(ends, rows, values, weight, levels)[0]
