"""Communities of a weighted graph: Louvain's local moving with a resolution, level by level.

Source: Blondel et al. 2008 (J. Stat. Mech. P10008); resolution as in Reichardt and Bornholdt 2006. Nodes are
visited in index order and ties go to the lower label, and weights are whole numbers, so the same graph always
gives the same communities. What draws a node to each community around it is summed over its edges while many
nodes move; after that it is kept up as neighbours move, since communities around are far fewer than edges.
It does not know what the nodes are.
"""

# mypy: allow-untyped-defs

import numpy as np
from numba import njit

from stillwatch.stats.arrays import twice
from stillwatch.stats.dealing import deal

LEVELS = 6
PASSES = 12
RESTLESS = 2  # passes in which so many nodes move that sums are made anew rather than kept up
SPARE = 4  # communities that may come up around a node before its sums are made anew
UNKNOWN, KNOWN, ORDERED = 0, 1, 2  # sums: to be made anew; kept up; and in the order of the neighbours


def communities(
    begin: np.ndarray, neighbour: np.ndarray, weight: np.ndarray, resolution: float
) -> np.ndarray:
    """(nodes,) int32 label of each node, from a symmetric graph in compressed rows.

    begin: (nodes + 1,) int64; neighbour: (edges,) int32; weight: (edges,) above 0, each edge in both
    directions. A larger `resolution` gives smaller communities. Isolated nodes stay alone.
    """
    weight = weight.astype(np.int64)  # as the folded ones are: each kernel is compiled once
    final = np.arange(len(begin) - 1, dtype=np.int32)
    for _ in range(LEVELS):
        label, sums = _move(begin, neighbour, weight, resolution)
        names, k = _number_labels(label)
        member = names[label]
        final = member[final]
        if k == len(label):
            break
        order = deal(member, k)[1]
        begin, neighbour, weight = _fold(begin, neighbour, weight, sums, order, member, names, k)
    return final


@njit(cache=True, nogil=True)
def _number_labels(label):
    """Each label's number, in the order in which nodes have them, and how many there are."""
    names = np.full(len(label), -1, np.int32)
    k = 0
    for c in label:
        if names[c] < 0:
            names[c] = k
            k += 1
    return names, k


@njit(cache=True, nogil=True)
def _move(begin, neighbour, weight, resolution):
    """Move nodes one by one until none gains by it.

    Returns each node's label, and sums: where a node's begin (nodes,), how many (nodes,), in what state
    (nodes,), and then the communities around it and what draws it to each.
    """
    n = len(begin) - 1
    degree = np.zeros(n, np.int64)
    label = np.empty(n, np.int32)
    total = np.int64(0)
    for i in range(n):
        for j in range(begin[i], begin[i + 1]):
            degree[i] += weight[j]
        total += degree[i]
        label[i] = i
    least = 1e-9 * total
    mass = degree.copy()
    pull = np.zeros(n, np.int64)
    touched = np.empty(n, np.int32)
    at = np.zeros(n, np.int64)
    count = np.zeros(n, np.int32)
    room = np.zeros(n, np.int32)
    state = np.zeros(n, np.int8)  # UNKNOWN
    around = np.empty(8 * n, np.int32)
    drawn = np.empty(8 * n, np.int64)
    filled = 0
    for turn in range(PASSES):
        moved = False
        for i in range(n):
            if degree[i] == 0:
                continue
            own = label[i]
            scale = resolution * degree[i] / total
            mass[own] -= degree[i]
            best = np.int32(-1)
            if state[i] != UNKNOWN:
                best = _clear(around, drawn, at[i], at[i] + count[i], own, mass, scale, least)
            if best < 0:
                k = 0
                looped = False
                for j in range(begin[i], begin[i + 1]):
                    if neighbour[j] == i:
                        looped = True
                        continue
                    c = label[neighbour[j]]
                    if pull[c] == 0:
                        touched[k] = c
                        k += 1
                    pull[c] += weight[j]
                best = own
                gain = pull[own] - scale * mass[own]
                for q in range(k):
                    c = touched[q]
                    g = pull[c] - scale * mass[c]
                    if g > gain + least or (g >= gain and c < best):
                        gain = g
                        best = c
                if turn >= RESTLESS:
                    if k > room[i]:
                        room[i] = k + SPARE
                        at[i] = filled
                        filled += room[i]
                        while filled > len(around):
                            around, drawn = twice(around), twice(drawn)
                    for q in range(k):
                        around[at[i] + q] = touched[q]
                        drawn[at[i] + q] = pull[touched[q]]
                    count[i] = k
                    state[i] = KNOWN if looped else ORDERED
                for q in range(k):
                    pull[touched[q]] = 0
            mass[best] += degree[i]
            if best == own:
                continue
            moved = True
            label[i] = best
            if turn >= RESTLESS:
                for j in range(begin[i], begin[i + 1]):
                    u = neighbour[j]
                    if state[u] != UNKNOWN and u != i:
                        kept = _kept_up(around, drawn, count, at[u], room[u], u, own, best, weight[j])
                        state[u] = KNOWN if kept else UNKNOWN
        if not moved:
            break
    return label, (at, count, state, around, drawn)


@njit(cache=True, nogil=True)
def _clear(around, drawn, low, high, own, mass, scale, least):
    """The community that a node belongs to by its sums, or -1 where two are so near that order decides."""
    gain = -scale * mass[own]
    most = second = -np.inf
    best = own
    for q in range(low, high):
        c = around[q]
        g = drawn[q] - scale * mass[c]
        if c == own:
            gain = g
        elif g > most:
            second = most
            most = g
            best = c
        elif g > second:
            second = g
    if most < gain:
        return own
    if second >= gain and second >= most - 2 * least:
        return np.int32(-1)
    return best if most > gain + least or best < own else own


@njit(cache=True, nogil=True)
def _kept_up(around, drawn, count, low, room, u, left, joined, weight):
    """Whether there was room to keep u's sums up: a neighbour by that weight left one for another."""
    was = there = -1
    for q in range(low, low + count[u]):
        if around[q] == left:
            was = q
        elif around[q] == joined:
            there = q
    drawn[was] -= weight
    if there >= 0:
        drawn[there] += weight
        if drawn[was] == 0:
            count[u] -= 1
            around[was], drawn[was] = around[low + count[u]], drawn[low + count[u]]
    elif drawn[was] == 0:
        around[was], drawn[was] = joined, weight
    elif count[u] < room:
        around[low + count[u]], drawn[low + count[u]] = joined, weight
        count[u] += 1
    else:
        return False
    return True


@njit(cache=True, nogil=True)
def _fold(begin, neighbour, weight, sums, order, member, names, k):
    """The graph of the communities: weights between them summed, those inside as a loop.

    order: (nodes,) the nodes by community; member: (nodes,) which of k communities each is in; names: the
    number of each label that the sums speak of. Communities stand in the order in which their nodes'
    neighbours name them.
    """
    at, count, state, around, drawn = sums
    start = np.zeros(k + 1, np.int64)
    to = np.empty(4 * k, np.int32)
    summed = np.empty(4 * k, np.int64)
    pull = np.zeros(k, np.int64)
    touched = np.empty(k, np.int32)
    end = 0
    p = 0
    for c in range(k):
        m = 0
        while p < len(order) and member[order[p]] == c:
            i = order[p]
            p += 1
            if state[i] == ORDERED:
                for q in range(at[i], at[i] + count[i]):
                    d = names[around[q]]
                    if pull[d] == 0:
                        touched[m] = d
                        m += 1
                    pull[d] += drawn[q]
                continue
            for j in range(begin[i], begin[i + 1]):
                d = member[neighbour[j]]
                if pull[d] == 0:
                    touched[m] = d
                    m += 1
                pull[d] += weight[j]
        while end + m > len(to):
            to, summed = twice(to), twice(summed)
        for q in range(m):
            to[end], summed[end] = touched[q], pull[touched[q]]
            pull[touched[q]] = 0
            end += 1
        start[c + 1] = end
    return start, to[:end].copy(), summed[:end].copy()
