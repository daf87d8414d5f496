"""The signature of a group: the fingerprints that are mostly its own, and the accounts that match it.

A group's members are selected by its links, so they are no fair sample. The matching accounts are one: every
account that uses the signature counts, in the group or not.
"""

from copy import copy
from functools import cached_property

import numpy as np

from stillwatch.actors.behaviour import EmergingRows, SettingCodes, most_used
from stillwatch.actors.spread import Spread
from stillwatch.compiled_code.library import kernels
from stillwatch.stats.dealing import deal, deal_rows

LEAST_IN = 3  # members that must have entered a fingerprint
PURITY = 0.6  # share of a fingerprint's entrants that must be members
# a fingerprint is typical of a group if half of it took it up, ten times as large a share as of all others
TYPICAL, TIMES_OTHERS = 0.5, 10.0
NEEDED = 2  # signature fingerprints in one exchange


class Signature:
    """A log's fingerprints, indexed by entrants and by the exchanges that carry them."""

    def __init__(self, spread: Spread, tenants: int) -> None:
        fingerprints = len(spread.emerging_from_us)
        self.spread = spread
        self._emerging_from_us = spread.emerging_from_us
        self._ts_us = spread.ts_us
        self._entry_row, self._entry_fingerprint = spread.entry_row, spread.entry_fingerprint
        self._by_tenant = deal(spread.entry_tenant, tenants)
        begin, order = deal(spread.entry_fingerprint, fingerprints)
        self._entered = (begin, spread.entry_row[order])
        self._use_row, self._use_fingerprint = spread.row, spread.fingerprint
        self._latest = 0, 0, (0, 0, 0, 0)  # arguments and result of the last call of `_window`
        self.renew_scratch()

    @cached_property
    def _rows_carrying(self) -> tuple[np.ndarray, np.ndarray]:
        """Return where each fingerprint's rows begin, and the rows. Needed only for finding exchanges."""
        begin, order = deal(self._use_fingerprint, len(self._emerging_from_us))
        return begin, self._use_row[order]

    @cached_property
    def _times(self) -> tuple[np.ndarray, np.ndarray]:
        """(exchanges,) scratch, zero between calls, and as much for rows."""
        exchanges = int(self._use_row[-1]) + 1 if len(self._use_row) else 0
        return np.zeros(exchanges, np.uint8), np.empty(exchanges, np.int32)

    def for_thread(self) -> "Signature":
        """Return the same signature for another thread: it shares the indexes and has its own scratch."""
        begin, _ = self._rows_carrying  # built now, for both
        assert len(begin) == len(self._emerging_from_us) + 1
        other = copy(self)
        other.renew_scratch()
        return other

    def renew_scratch(self) -> None:
        """Allocate new scratch, which no other thread writes."""
        fingerprints = len(self._emerging_from_us)
        self._inside = np.zeros(fingerprints, np.int32)  # zero between calls
        self._found = np.empty(fingerprints, np.int32), np.empty(fingerprints, np.int64)
        self.__dict__.pop("_times", None)

    def _window(self, since_us: int, until_us: int) -> tuple[int, int, int, int]:
        """Return the ranges of rows and entries in [since, until). Cached: an hour's groups ask the same."""
        if self._latest[:2] != (since_us, until_us):
            rows = np.searchsorted(self._ts_us, [since_us, until_us])
            # of the entries' type, to avoid a copy of the entries
            entries = np.searchsorted(self._entry_row, rows.astype(np.int32))
            self._latest = since_us, until_us, (*rows.tolist(), *entries.tolist())
        return self._latest[2]

    def own(self, members: np.ndarray, since_us: int, until_us: int) -> np.ndarray:
        """Return the fingerprints that are mostly the members' own, by entries in [since, until), sorted."""
        begin, order = self._by_tenant
        entered, entered_row = self._entered
        row_lo, row_hi, lo, hi = self._window(since_us, until_us)
        touched, own = self._found
        n = kernels.own_fingerprints(
            *(members.astype(np.int32, copy=False), len(members), begin, order, lo, hi),
            *(self._entry_fingerprint, entered, entered_row, self._emerging_from_us, self._inside),
            *(row_lo, row_hi, until_us, LEAST_IN, PURITY, touched, own),
        )
        return np.sort(own[:n])

    def entries(self, own: np.ndarray, tenants: np.ndarray, since_us: int, until_us: int) -> np.ndarray:
        """(tenants,) number of the own fingerprints that each first took up in [since, until)."""
        begin, order = self._by_tenant
        self._inside[own] = 1
        _, _, lo, hi = self._window(since_us, until_us)
        counts = np.zeros(len(tenants), np.int32)
        tenants = tenants.astype(np.int32, copy=False)
        kernels.entries_into(
            tenants, len(tenants), begin, order, lo, hi, self._entry_fingerprint, self._inside, counts
        )
        self._inside[own] = 0
        return counts

    def typical(self, members: np.ndarray) -> np.ndarray:
        """Return the fingerprints that are typical of the members, by all entries of the log, sorted.

        TYPICAL of them took each up, TIMES_OTHERS as large a share as of all other tenants. A part of a pool
        has them, whether or not the other parts are visible. members: (n,) int32, each once.
        """
        return self.rare(members, int(np.count_nonzero(np.diff(self._by_tenant[0]))), TYPICAL)

    def rare(self, members: np.ndarray, tenants: int, often: float = 0.0) -> np.ndarray:
        """Return the fingerprints that members carry TIMES_OTHERS as often as all others, sorted.

        members: (n,) int32, each once; tenants: of the log, members included; often: the least share.
        """
        begin, order = self._by_tenant
        entered, _ = self._entered
        entries = np.concatenate([order[begin[p] : begin[p + 1]] for p in members])
        inside = np.bincount(self._entry_fingerprint[entries], minlength=len(entered) - 1)
        others = max(tenants - len(members), 1)
        enough = (inside >= LEAST_IN) & (inside >= often * len(members))
        rare = inside / len(members) >= TIMES_OTHERS * (np.diff(entered) - inside) / others
        return np.flatnonzero(enough & rare)

    def matching_rows(self, own: np.ndarray, row_lo: int, row_hi: int, needed: int = NEEDED) -> np.ndarray:
        """Return exchanges in [row_lo, row_hi) with at least `needed` of the own fingerprints, in order."""
        begin, row = self._rows_carrying
        own = own.astype(np.int64, copy=False)
        times, out = self._times
        n = kernels.carrying_rows(own, len(own), begin, row, row_lo, row_hi, needed, times, out)
        return np.sort(out[:n])

    def shares(self, tenants: np.ndarray, rows: EmergingRows, row_lo: int, row_hi: int) -> np.ndarray:
        """(fingerprints,) share of the tenants' marked exchanges of [row_lo, row_hi) that have each."""
        tally = np.zeros(len(self._emerging_from_us), np.int64)
        marked = kernels.tally(
            *(tenants.astype(np.int32, copy=False), len(tenants), rows.begin, rows.row, row_lo, row_hi),
            *(self._use_row, self._use_fingerprint, len(self._use_row), tally),
        )
        return tally / max(marked, 1)


def choices(
    rows: np.ndarray, tenant: np.ndarray, settings: SettingCodes, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the tenants of some rows, with number of rows, first row and most used value of each setting.

    rows: (rows,) of exchanges, ascending; settings, weight: as for `most_used`. Returns tenants, counts,
    first rows (n,) and dominant (settings, n) int32.
    """
    matching, begin, rows = deal_rows(rows, tenant)
    dominant, _ = most_used(begin, rows, settings, weight)
    return matching, np.diff(begin), rows[begin[:-1]].astype(np.int64), dominant
