"""The stock of a group: the markers that are mostly its own, and everyone who carries them.

A group is found by its links, so its members are no fair sample. Its stock's carriers are: whoever uses the
stock is counted, in the group or not. It does not know whether carriers are one hand.
"""

import numpy as np

from stillwatch.actors.behaviour import HotRows, most_used
from stillwatch.actors.spread import Spread
from stillwatch.compiled_code.library import kernels
from stillwatch.stats.dealing import deal, deal_rows

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
        # scratch, left at nought: of markers, and of exchanges (which stand in the order of the log)
        self._inside = np.zeros(markers, np.int32)
        self._times = np.zeros(int(spread.row[-1]) + 1 if len(spread.row) else 0, np.uint8)

    def own(self, members: np.ndarray, since_us: int, until_us: int) -> np.ndarray:
        """The markers that are mostly the members' own by the entries in [since, until), sorted."""
        mine, order = self._by_party
        entered, entered_us = self._entered
        lo, hi = np.searchsorted(self._entry_us, [since_us, until_us])
        markers = len(self._hot_from_us)
        touched, own = np.empty(markers, np.int32), np.empty(markers, np.int64)
        n = kernels.own_markers(
            *(members.astype(np.int32, copy=False), len(members), mine, order, lo, hi, self._entry_marker),
            *(entered, entered_us, self._hot_from_us, self._inside, since_us, until_us, LEAST_IN, PURITY),
            *(touched, own),
        )
        return np.sort(own[:n])

    def entries(self, own: np.ndarray, parties: np.ndarray, since_us: int, until_us: int) -> np.ndarray:
        """(parties,) how many of the own markers each took up, for the first time, in [since, until)."""
        begin, order = self._by_party
        self._inside[own] = 1
        lo, hi = np.searchsorted(self._entry_us, [since_us, until_us])
        counts = np.zeros(len(parties), np.int32)
        parties = parties.astype(np.int32, copy=False)
        kernels.entries_into(
            parties, len(parties), begin, order, lo, hi, self._entry_marker, self._inside, counts
        )
        self._inside[own] = 0
        return counts

    def carried(self, own: np.ndarray, row_lo: int, row_hi: int, needed: int = NEEDED) -> np.ndarray:
        """Exchanges in [row_lo, row_hi) that carry at least `needed` of the own markers, in order."""
        begin, row = self._carried
        own = own.astype(np.int64, copy=False)
        out = np.empty(int(np.sum(begin[own + 1] - begin[own])), np.int32)
        n = kernels.carrying_rows(own, len(own), begin, row, row_lo, row_hi, needed, self._times, out)
        return np.sort(out[:n])

    def shares(self, parties: np.ndarray, rows: HotRows, row_lo: int, row_hi: int) -> np.ndarray:
        """(markers,) in what share of the parties' marked exchanges of [row_lo, row_hi) each marker is."""
        tally = np.zeros(len(self._hot_from_us), np.int64)
        marked = kernels.tally(
            *(parties.astype(np.int32, copy=False), len(parties), rows.begin, rows.row, row_lo, row_hi),
            *(self._use_row, self._use_marker, len(self._use_row), tally),
        )
        return tally / max(marked, 1)


def choices(
    rows: np.ndarray, party: np.ndarray, values: np.ndarray, weight: np.ndarray, levels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Who carries the rows, how many each, the first row of each, and its most used value of every setting.

    rows: (rows,) of exchanges, ascending; values, weight, levels: as `most_used` takes them. Returns
    carriers, counts, first rows (n,) and dominant (settings, n) int32.
    """
    carriers, begin, rows = deal_rows(rows, party)
    dominant, _ = most_used(begin, rows, values, weight, levels)
    return carriers, np.diff(begin), rows[begin[:-1]].astype(np.int64), dominant
