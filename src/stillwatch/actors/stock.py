"""The stock of a group: the markers that are mostly its own, and everyone who carries them.

A group is found by its links, so its members are no fair sample. Its stock's carriers are: whoever uses the
stock is counted, in the group or not. It does not know whether carriers are one hand.
"""

import numpy as np
from numba import njit

LEAST_IN = 3  # members that must have entered a marker
PURITY = 0.6  # share of a marker's entrants that must be members
NEEDED = 2  # stock markers in one exchange


@njit(cache=True, nogil=True)
def stock_of(entry_party, entry_marker, lo, hi, hot_from, until, members, markers):
    """(markers,) bool: which markers are the group's own, by the entries lo..hi; and (markers,) entrants in it."""
    inside = np.zeros(markers, np.int32)
    every = np.zeros(markers, np.int32)
    for k in range(lo, hi):
        m = entry_marker[k]
        every[m] += 1
        if members[entry_party[k]]:
            inside[m] += 1
    own = np.zeros(markers, np.bool_)
    for m in range(markers):
        own[m] = inside[m] >= LEAST_IN and inside[m] >= PURITY * every[m] and hot_from[m] < until
    return own, inside


@njit(cache=True, nogil=True)
def carried_rows(row, marker, lo, hi, own, needed):
    """Exchanges that carry at least `needed` of the own markers, by the uses lo..hi (sorted by row)."""
    out = np.empty(hi - lo, np.int32)
    n = 0
    k = lo
    while k < hi:
        r = row[k]
        found = 0
        while k < hi and row[k] == r:
            if own[marker[k]]:
                found += 1
            k += 1
        if found >= needed:
            out[n] = r
            n += 1
    return out[:n].copy()


def choices(
    rows: np.ndarray, party: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Who carries the rows, how many each, and each carrier's most used value of every setting.

    rows: (rows,) of exchanges; values: (settings, exchanges). Returns carriers (n,), counts (n,) and dominant
    (settings, n); ties go to the smaller code.
    """
    carriers, at, counts = np.unique(party[rows], return_inverse=True, return_counts=True)
    dominant = np.empty((len(values), len(carriers)), np.int32)
    for s, column in enumerate(values):
        picked = column[rows]
        levels = int(picked.max()) + 1
        pairs, n = np.unique(at.astype(np.int64) * levels + picked, return_counts=True)
        who, what = pairs // levels, pairs % levels
        order = np.lexsort((what, -n, who))
        first = np.r_[True, who[order][1:] != who[order][:-1]]
        dominant[s, who[order][first]] = what[order][first]
    return carriers, counts, dominant
