"""Links between the parties that entered a hot marker, in time order without sorting the links themselves.

The entries that link are put in order (they are fewer), each knows how many links it makes, and threads write
them where they belong. What a hot entry is, `spread` says. It does not know what the links add up to.
"""

# mypy: allow-untyped-defs

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from stillwatch.actors.markers import HotMarkers, is_hot


def links(
    hot: HotMarkers,
    party: np.ndarray,
    ts: np.ndarray,
    known: np.ndarray,
    window: int,
    least: int,
    novelty: float,
    neighbours: int,
    pool: ThreadPoolExecutor,
    threads: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(a, b, at_us, weight, kind) of every link, by time, marker, a and b.

    known: sorted times at which each party was first seen; window in µs; neighbours: how many of the latest
    entrants an entrant is linked to.
    """
    entry, old, which = _linking(hot.begin, hot.entry_row, ts, known, window, least, novelty)
    ends = _link_ends(hot.begin, entry, old, which, neighbours)
    total = int(ends[-1])
    a, b = np.empty(total, np.int32), np.empty(total, np.int32)
    at, weight, kind = np.empty(total, np.int64), np.empty(total, np.int32), np.empty(total, np.int8)
    even = np.searchsorted(ends, np.linspace(0, total, 4 * threads + 1))
    cuts = _between_moments(even, entry, which, hot.entry_row, ts)

    def fill(k: int) -> None:
        _fill_links(
            hot.entry_row, hot.kind, entry, old, which, ends, cuts[k], cuts[k + 1],
            party, ts, known, neighbours, a, b, at, weight, kind,
        )  # fmt: skip

    list(pool.map(fill, range(len(cuts) - 1)))
    return a, b, at, weight, kind


@njit(cache=True, nogil=True)
def _linking(begin, entry_row, ts, known, window, least, novelty):
    """The hot entries that link, by time and marker: their number, the oldest entry in their window (as
    -1 - it where the marker was not hot at the entry before), and their marker."""
    n = len(ts)
    moment = np.empty(n, np.int32)  # the first row of the same time
    for i in range(n):
        moment[i] = moment[i - 1] if i > 0 and ts[i] == ts[i - 1] else i
    fill = np.zeros(n + 1, np.int64)
    entry = np.empty(0, np.int32)
    oldest = np.empty(0, np.int32)
    which = np.empty(0, np.int32)
    for placing in (False, True):
        if placing:
            total = 0
            for i in range(n):
                here = fill[i]
                fill[i] = total
                total += here
            entry = np.empty(total, np.int32)
            oldest = np.empty(total, np.int32)
            which = np.empty(total, np.int32)
        for m in range(len(begin) - 1):
            old = begin[m]
            was_hot = False
            for j in range(begin[m], begin[m + 1]):
                now = ts[entry_row[j]]
                while ts[entry_row[old]] < now - window:
                    old += 1
                hot = is_hot(j - old + 1, old - begin[m], least, novelty)
                if hot and _share(j - old + 1, now, known, 1) >= 0:
                    at = moment[entry_row[j]]
                    if placing:
                        entry[fill[at]] = j
                        oldest[fill[at]] = old if was_hot else -1 - old
                        which[fill[at]] = m
                    fill[at] += 1
                was_hot = hot
    return entry, oldest, which


@njit(cache=True, nogil=True, inline="always")
def _share(recent, now, known, neighbours):
    """Thousandths of a bit for each of an entry's links, or -1: what few of the active use is worth more."""
    bits = np.log2(np.searchsorted(known, now, side="right") / recent)
    return np.int64(1000 * bits / min(recent, neighbours)) if bits > 0 else np.int64(-1)


@njit(cache=True, nogil=True)
def _link_ends(begin, entry, oldest, which, neighbours):
    """(entries + 1,) where each entry's links begin."""
    ends = np.zeros(len(entry) + 1, np.int64)
    for k in range(len(entry)):
        j = np.int64(entry[k])
        old = np.int64(oldest[k])
        many = 0
        if old >= 0:
            many = min(neighbours, j - old)
        else:
            old = -1 - old
            for x in range(old + 1, j + 1):
                many += min(neighbours, x - old)
        ends[k + 1] = ends[k] + many
    return ends


def _between_moments(
    cuts: np.ndarray, entry: np.ndarray, which: np.ndarray, entry_row: np.ndarray, ts: np.ndarray
) -> list[int]:
    """Cuts moved up to where no moment of a marker is cut through."""
    out = []
    for cut in np.minimum(cuts, len(entry)).tolist():
        while 0 < cut < len(entry) and which[cut] == which[cut - 1]:
            if ts[entry_row[entry[cut]]] != ts[entry_row[entry[cut - 1]]]:
                break
            cut += 1
        out.append(cut)
    return out


@njit(cache=True, nogil=True)
def _fill_links(
    entry_row,
    kinds,
    entry,
    oldest,
    which,
    ends,
    low,
    high,
    party,
    ts,
    known,
    neighbours,
    a,
    b,
    at,
    weight,
    kind,
):
    """Write the links of the entries [low, high) where they belong."""
    pairs = np.empty(1024, np.int64)
    shares = np.empty(1024, np.int32)
    k = low
    while k < high:
        now = ts[entry_row[entry[k]]]
        m = which[k]
        first = ends[k]
        last = k
        while last < high and which[last] == m and ts[entry_row[entry[last]]] == now:
            last += 1
        many = ends[last] - first
        if many > len(pairs):
            pairs = np.empty(2 * many, np.int64)
            shares = np.empty(2 * many, np.int32)
        at_link = 0
        while k < last:
            j = np.int64(entry[k])
            old = np.int64(oldest[k])
            from_ = j
            if old < 0:
                old = -1 - old
                from_ = old + 1
            share = _share(j - old + 1, now, known, neighbours)
            for x in range(from_, j + 1):
                for y in range(max(old, x - neighbours), x):
                    pairs[at_link] = np.int64(party[entry_row[x]]) << 32 | np.int64(party[entry_row[y]])
                    shares[at_link] = share
                    at_link += 1
            k += 1
        _sort(pairs[:many], shares[:many])
        for q in range(many):
            a[first + q] = pairs[q] >> 32
            b[first + q] = pairs[q] & 0xFFFFFFFF
            at[first + q] = now
            weight[first + q] = shares[q]
            kind[first + q] = kinds[m]


@njit(cache=True, nogil=True)
def _sort(keys, values):
    """Sort keys, and values with them; mostly they are few."""
    if len(keys) > 48:
        order = np.argsort(keys, kind="mergesort")
        keys[:] = keys[order]
        values[:] = values[order]
        return
    for k in range(1, len(keys)):
        key, value = keys[k], values[k]
        j = k - 1
        while j >= 0 and keys[j] > key:
            keys[j + 1], values[j + 1] = keys[j], values[j]
            j -= 1
        keys[j + 1], values[j + 1] = key, value
