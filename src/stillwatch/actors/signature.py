"""The signature of a group: the fingerprints that are mostly its own, and the accounts that match it.

A group is found by its links, so that its members are no fair sample. The matching accounts are one: whoever
uses the signature counts, in the group or not.
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
# a fingerprint is typical of a group: half of it took it up, ten times as large a share as of all others
TYPICAL, TIMES_OTHERS = 0.5, 10.0
NEEDED = 2  # signature fingerprints in one exchange


class Signature:
    """A log's fingerprints, indexed by who entered them and by the exchanges that carry them."""

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
        self._latest = 0, 0, (0, 0, 0, 0)  # what `_window` was asked of, and what it gave
        self.renew_scratch()

    @cached_property
    def _rows_carrying(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each fingerprint's rows begin, and the rows. Only who looks for exchanges needs them."""
        begin, order = deal(self._use_fingerprint, len(self._emerging_from_us))
        return begin, self._use_row[order]

    @cached_property
    def _times(self) -> tuple[np.ndarray, np.ndarray]:
        """(exchanges,) scratch left at nought, and as much for rows."""
        exchanges = int(self._use_row[-1]) + 1 if len(self._use_row) else 0
        return np.zeros(exchanges, np.uint8), np.empty(exchanges, np.int32)

    def for_thread(self) -> "Signature":
        """The same signature for another thread: it shares the indexes and has scratch of its own."""
        begin, _ = self._rows_carrying  # made now, for both
        assert len(begin) == len(self._emerging_from_us) + 1
        other = copy(self)
        other.renew_scratch()
        return other

    def renew_scratch(self) -> None:
        """Take scratch that no other thread writes."""
        fingerprints = len(self._emerging_from_us)
        self._inside = np.zeros(fingerprints, np.int32)  # left at nought
        self._found = np.empty(fingerprints, np.int32), np.empty(fingerprints, np.int64)
        self.__dict__.pop("_times", None)

    def _window(self, since_us: int, until_us: int) -> tuple[int, int, int, int]:
        """Between which rows and entries those of [since, until) lie. An hour's groups ask the same."""
        if self._latest[:2] != (since_us, until_us):
            rows = np.searchsorted(self._ts_us, [since_us, until_us])
            # of the entries' type, as the entries would be copied to another
            entries = np.searchsorted(self._entry_row, rows.astype(np.int32))
            self._latest = since_us, until_us, (*rows.tolist(), *entries.tolist())
        return self._latest[2]

    def own(self, members: np.ndarray, since_us: int, until_us: int) -> np.ndarray:
        """The fingerprints that are mostly the members' own by the entries in [since, until), sorted."""
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
        """(tenants,) how many of the own fingerprints each took up, for the first time, in [since, until)."""
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
        """The fingerprints that are typical of the members, by all entries of the log, sorted.

        TYPICAL of them took one up, TIMES_OTHERS as large a share as of all other tenants. A part of a pool
        has them, whether its other parts are in sight or not. members: (n,) int32, each once.
        """
        return self.rare(members, int(np.count_nonzero(np.diff(self._by_tenant[0]))), TYPICAL)

    def rare(self, members: np.ndarray, tenants: int, often: float = 0.0) -> np.ndarray:
        """The fingerprints that a share of the members carries TIMES_OTHERS that of all others, sorted.

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
        """Exchanges in [row_lo, row_hi) with at least `needed` of the own fingerprints, in order."""
        begin, row = self._rows_carrying
        own = own.astype(np.int64, copy=False)
        times, out = self._times
        n = kernels.carrying_rows(own, len(own), begin, row, row_lo, row_hi, needed, times, out)
        return np.sort(out[:n])

    def shares(self, tenants: np.ndarray, rows: EmergingRows, row_lo: int, row_hi: int) -> np.ndarray:
        """(fingerprints,) in what share of the tenants' marked exchanges of [row_lo, row_hi) each is."""
        tally = np.zeros(len(self._emerging_from_us), np.int64)
        marked = kernels.tally(
            *(tenants.astype(np.int32, copy=False), len(tenants), rows.begin, rows.row, row_lo, row_hi),
            *(self._use_row, self._use_fingerprint, len(self._use_row), tally),
        )
        return tally / max(marked, 1)


def choices(
    rows: np.ndarray, tenant: np.ndarray, settings: SettingCodes, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The tenants of some rows, each with its number of rows, first row and most used value of each setting.

    rows: (rows,) of exchanges, ascending; settings, weight: as `most_used` takes them. Returns tenants,
    counts, first rows (n,) and dominant (settings, n) int32.
    """
    matching, begin, rows = deal_rows(rows, tenant)
    dominant, _ = most_used(begin, rows, settings, weight)
    return matching, np.diff(begin), rows[begin[:-1]].astype(np.int64), dominant
