"""Links between the parties that entered a hot marker, in time order: a pair of parties each.

The entries that link are put in order (they are fewer), each knows how many links it makes and what they
weigh, and a link itself is no more than the number of its pair. What a hot entry is, `spread` says. It does
not know what the links add up to.
"""

# mypy: allow-untyped-defs

from dataclasses import dataclass

import numpy as np
from numba import njit

from stillwatch.actors.markers import HotMarkers, is_hot
from stillwatch.stats.arrays import place_of, twice
from stillwatch.stats.dealing import deal


@dataclass(frozen=True)
class Links:
    """The entries that link, in time order, the links that each makes, and the pairs that were ever linked.

    A link's weight is its entry's. Pairs stand in compressed rows of parties, once in the row of either.
    """

    at_us: np.ndarray  # (entries,) int64 when the entry's links arose
    weight: np.ndarray  # (entries,) int32 of each of its links, in thousandths of a bit
    begin: np.ndarray  # (entries + 1,) int64 where its links begin
    place: np.ndarray  # (links,) int32 its pair's place in the row of the lower party
    row_begin: np.ndarray  # (parties + 1,) int64
    neighbour: np.ndarray  # (places,) int32, ascending within a row
    other: np.ndarray  # (places,) int32 the pair's other place
    heaviest: int  # what all links of one pair weigh together, at most

    def __len__(self) -> int:
        return len(self.place)


def nothing() -> Links:
    """No link."""
    none, few = np.zeros(0, np.int64), np.zeros(0, np.int32)
    return Links(none, few, np.zeros(1, np.int64), few, np.zeros(1, np.int64), few, few, 0)


def links(
    hot: HotMarkers,
    party: np.ndarray,
    ts: np.ndarray,
    known: np.ndarray,
    window: int,
    settled: int,
    least: int,
    novelty: float,
    neighbours: int,
) -> Links:
    """Every link, by time, marker and entry.

    known: sorted times at which each party was first seen; window, settled in µs, as `hot_markers` takes
    them; neighbours: how many of the latest entrants an entrant is linked to.
    """
    entry, old, weight = _linking(
        hot.begin, hot.entry_row, ts, known, window, settled, least, novelty, neighbours
    )
    begin = _begins(entry, old, neighbours)
    pair, low, high, weighs = _pair_links(hot.entry_row, party, entry, old, weight, begin, neighbours)
    parties = int(high.max(initial=-1)) + 1
    by_low, by_high = deal(low, parties)[1], deal(high, parties)[1]
    row_begin, neighbour, place, other = _rows(low, high, by_low, by_high, parties)
    heaviest = int(weighs.max(initial=0))
    pair = place[pair]
    return Links(ts[hot.entry_row[entry]], weight, begin, pair, row_begin, neighbour, other, heaviest)


@njit(cache=True, nogil=True)
def _linking(begin, entry_row, ts, known, window, settled, least, novelty, neighbours):
    """The hot entries that link, by time and marker: their number, the oldest entry in their window (as
    -1 - it where the marker was not hot at the entry before), and what a link of theirs weighs."""
    n = len(ts)
    moment = np.empty(n, np.int32)  # the first row of the same time
    for i in range(n):
        moment[i] = moment[i - 1] if i > 0 and ts[i] == ts[i - 1] else i
    fill = np.zeros(n + 1, np.int64)
    entry = np.empty(0, np.int32)
    oldest = np.empty(0, np.int32)
    weight = np.empty(0, np.int32)
    for placing in (False, True):
        if placing:
            total = 0
            for i in range(n):
                here = fill[i]
                fill[i] = total
                total += here
            entry = np.empty(total, np.int32)
            oldest = np.empty(total, np.int32)
            weight = np.empty(total, np.int32)
        for m in range(len(begin) - 1):
            old = begin[m]
            was_hot = False
            for j in range(begin[m], begin[m + 1]):
                now = ts[entry_row[j]]
                oldest_us = max(now - window, settled)
                while old <= j and ts[entry_row[old]] < oldest_us:
                    old += 1
                hot = is_hot(j - old + 1, old - begin[m], least, novelty)
                share = _share(j - old + 1, now, known, neighbours) if hot else np.int64(-1)
                if share >= 0:
                    at = moment[entry_row[j]]
                    if placing:
                        entry[fill[at]] = j
                        oldest[fill[at]] = old if was_hot else -1 - old
                        weight[fill[at]] = share
                    fill[at] += 1
                was_hot = hot
    return entry, oldest, weight


@njit(cache=True, nogil=True, inline="always")
def _share(recent, now, known, neighbours):
    """Thousandths of a bit for each of an entry's links, or -1: what few of the active use is worth more."""
    bits = np.log2(place_of(known, now + 1) / recent)
    return np.int64(1000 * bits / min(recent, neighbours)) if bits > 0 else np.int64(-1)


def _begins(entry: np.ndarray, oldest: np.ndarray, neighbours: int) -> np.ndarray:
    """(entries + 1,) where each entry's links begin."""
    newly = oldest < 0
    recent = entry - np.where(newly, -1 - oldest, oldest).astype(np.int64)
    linked = np.minimum(recent, neighbours)
    earlier = linked * (linked - 1) // 2 + (recent - linked) * neighbours  # links of those before it
    begin = np.zeros(len(entry) + 1, np.int64)
    np.cumsum(linked + newly * earlier, out=begin[1:])
    return begin


@njit(cache=True, nogil=True)
def _pair_links(entry_row, party, entry, oldest, weight, begin, neighbours):
    """Each link's pair, numbered as they arise; the pairs' parties; and what each weighs in all."""
    pair = np.empty(begin[-1], np.int32)
    low = np.empty(1024, np.int32)
    high = np.empty(1024, np.int32)
    weighs = np.zeros(1024, np.int64)
    table = np.full(4096, -1, np.int32)  # open addressing, by both parties
    pairs = np.int64(0)
    for k in range(len(entry)):
        j = np.int64(entry[k])
        old = np.int64(oldest[k])
        x = j
        if old < 0:
            old = -1 - old
            x = old + 1
        at = begin[k]
        while x <= j:
            a = party[entry_row[x]]
            for y in range(max(old, x - neighbours), x):
                b = party[entry_row[y]]
                one, other = min(a, b), max(a, b)
                s = _slot(one, other, len(table))
                while table[s] >= 0 and (low[table[s]] != one or high[table[s]] != other):
                    s = (s + 1) & (len(table) - 1)
                if table[s] < 0:
                    if pairs == len(low):
                        low, high, weighs = twice(low), twice(high), twice(weighs)
                        table = _grow_table(low, high, pairs, 4 * len(low))
                        s = _slot(one, other, len(table))
                        while table[s] >= 0:
                            s = (s + 1) & (len(table) - 1)
                    low[pairs], high[pairs], weighs[pairs] = one, other, 0
                    table[s] = pairs
                    pairs += 1
                pair[at] = table[s]
                weighs[table[s]] += weight[k]
                at += 1
            x += 1
    return pair, low[:pairs].copy(), high[:pairs].copy(), weighs[:pairs].copy()


@njit(cache=True, nogil=True)
def _grow_table(low, high, pairs, size):
    """The table over pairs, anew and larger."""
    table = np.full(size, -1, np.int32)
    for q in range(pairs):
        s = _slot(low[q], high[q], size)
        while table[s] >= 0:
            s = (s + 1) & (size - 1)
        table[s] = q
    return table


@njit(cache=True, nogil=True, inline="always")
def _slot(one, other, size):
    mixed = (np.uint64(one) << np.uint64(32) | np.uint64(other)) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64(mixed >> np.uint64(32)) & (size - 1)


@njit(cache=True, nogil=True)
def _rows(low, high, by_low, by_high, n):
    """Rows of both directions, ascending: where each begins, its neighbours, the place of each pair in the
    row of its lower party, and of every place the pair's other one."""
    begin = np.zeros(n + 1, np.int64)
    for q in range(len(low)):
        begin[low[q] + 1] += 1
        begin[high[q] + 1] += 1
    for i in range(n):
        begin[i + 1] += begin[i]
    neighbour = np.empty(begin[n], np.int32)
    other = np.empty(begin[n], np.int32)
    place = np.empty(len(low), np.int32)
    back = np.empty(len(low), np.int32)
    fill = begin[:-1].copy()
    for q in by_low:  # lower neighbours first
        back[q] = fill[high[q]]
        neighbour[back[q]] = low[q]
        fill[high[q]] += 1
    for q in by_high:
        place[q] = fill[low[q]]
        neighbour[place[q]] = high[q]
        other[place[q]] = back[q]
        other[back[q]] = place[q]
        fill[low[q]] += 1
    return begin, neighbour, place, other
