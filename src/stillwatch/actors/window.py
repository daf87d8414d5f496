"""The links of the last few days as a graph, hour after hour: sums are kept up, never begun anew.

It does not know what a link stands for, nor how long a window is.
"""

# mypy: allow-untyped-defs

from dataclasses import dataclass

import numpy as np
from numba import njit

from stillwatch.actors.spread import Spread


@dataclass(frozen=True)
class Graph:
    """A symmetric graph in compressed rows; weights are whole thousandths of a bit: sums are exact."""

    begin: np.ndarray  # (nodes + 1,) int64
    neighbour: np.ndarray  # (edges,) int32, each edge in both directions, ascending within a node
    weight: np.ndarray  # (edges,) int64


class LinkWindow:
    """A window that moves forward over links in time order."""

    def __init__(self, spread: Spread, parties: int) -> None:
        self._at_us, self._weight = spread.at_us, spread.weight
        self._begin, self._neighbour, self._pair_at, self._pair = _pairs(spread.a, spread.b, parties)
        self._sum = np.zeros(int(self._pair.max()) + 1 if len(self._pair) else 0, np.int64)
        self._lo = self._hi = 0

    def moved(self, since_us: int, until_us: int) -> Graph:
        """The links that arose in [since, until), parallel ones summed. Neither end may move back."""
        lo, hi = (int(k) for k in np.searchsorted(self._at_us, [since_us, until_us]))
        _add(self._sum, self._pair, self._weight, self._hi, hi, 1)
        _add(self._sum, self._pair, self._weight, self._lo, lo, -1)
        self._lo, self._hi = lo, hi
        return Graph(*_compact(self._begin, self._neighbour, self._pair_at, self._sum))


@njit(cache=True, nogil=True)
def _add(total, pair, weight, lo, hi, sign):
    for k in range(lo, hi):
        total[pair[k]] += sign * weight[k]


@njit(cache=True, nogil=True)
def _pairs(a, b, n):
    """Every two parties that were ever linked: compressed rows of both directions, and each link's pair.

    Linear: links are dealt to the lower party, whose partners are then told apart with one array.
    """
    links = len(a)
    start = np.zeros(n + 1, np.int64)
    for k in range(links):
        start[min(a[k], b[k]) + 1] += 1
    for i in range(n):
        start[i + 1] += start[i]
    fill = start[:-1].copy()
    dealt = np.empty(links, np.int64)
    for k in range(links):
        i = min(a[k], b[k])
        dealt[fill[i]] = k
        fill[i] += 1
    pair = np.empty(links, np.int32)
    number = np.full(n, -1, np.int32)
    room = 1024
    low = np.empty(room, np.int32)
    high = np.empty(room, np.int32)
    pairs = 0
    for i in range(n):
        first = pairs
        for q in range(start[i], start[i + 1]):
            j = max(a[dealt[q]], b[dealt[q]])
            if number[j] < 0:
                if pairs == room:
                    room *= 2
                    low = np.concatenate((low, low))
                    high = np.concatenate((high, high))
                low[pairs] = i
                high[pairs] = j
                number[j] = pairs
                pairs += 1
            pair[dealt[q]] = number[j]
        for q in range(first, pairs):
            number[high[q]] = -1
    # rows in ascending order of neighbour: deal the pairs out by their higher end, then by their lower one
    begin = np.zeros(n + 1, np.int64)
    for q in range(pairs):
        if low[q] != high[q]:
            begin[low[q] + 1] += 1
            begin[high[q] + 1] += 1
    for i in range(n):
        begin[i + 1] += begin[i]
    neighbour = np.empty(begin[n], np.int32)
    pair_at = np.empty(begin[n], np.int32)
    fill = begin[:-1].copy()
    for q in range(pairs):  # lower neighbours first: pairs are sorted by their lower end
        if low[q] != high[q]:
            neighbour[fill[high[q]]] = low[q]
            pair_at[fill[high[q]]] = q
            fill[high[q]] += 1
    by_high = np.argsort(high[:pairs], kind="mergesort")
    for q in by_high:
        if low[q] != high[q]:
            neighbour[fill[low[q]]] = high[q]
            pair_at[fill[low[q]]] = q
            fill[low[q]] += 1
    return begin, neighbour, pair_at, pair


@njit(cache=True, nogil=True)
def _compact(begin, neighbour, pair_at, total):
    """The rows without pairs whose sum is nought."""
    n = len(begin) - 1
    start = np.zeros(n + 1, np.int64)
    kept = 0
    for j in range(len(neighbour)):
        kept += total[pair_at[j]] != 0
    to = np.empty(kept, np.int32)
    weight = np.empty(kept, np.int64)
    at = 0
    for i in range(n):
        for j in range(begin[i], begin[i + 1]):
            w = total[pair_at[j]]
            if w != 0:
                to[at] = neighbour[j]
                weight[at] = w
                at += 1
        start[i + 1] = at
    return start, to, weight
