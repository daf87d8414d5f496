"""Communities of a weighted graph: Louvain's local moving with a resolution, level by level.

Source: Blondel et al. 2008 (J. Stat. Mech. P10008); resolution as in Reichardt and Bornholdt 2006. Nodes are
visited in index order and ties go to the lower label, and weights are whole numbers, so the same graph always
gives the same communities. A node is weighed again only when a community around it has changed since.
It does not know what the nodes are.
"""

# mypy: allow-untyped-defs

import numpy as np
from numba import njit

LEVELS = 6
PASSES = 12


def communities(
    begin: np.ndarray, neighbour: np.ndarray, weight: np.ndarray, resolution: float
) -> np.ndarray:
    """(nodes,) int64 label of each node, from a symmetric graph in compressed rows.

    begin: (nodes + 1,) int64; neighbour, weight: (edges,) int32 and int64, each edge in both directions.
    A larger `resolution` gives smaller communities. Isolated nodes stay alone.
    """
    return _louvain(begin, neighbour, weight, resolution)


@njit(cache=True, nogil=True)
def _louvain(begin, neighbour, weight, resolution):
    n = len(begin) - 1
    final = np.arange(n)
    for _ in range(LEVELS):
        label = _move(begin, neighbour, weight, resolution)
        names = np.full(len(label), -1, np.int64)
        k = 0
        for i in range(len(label)):
            if names[label[i]] < 0:
                names[label[i]] = k
                k += 1
        for i in range(len(label)):
            label[i] = names[label[i]]
        for i in range(n):
            final[i] = label[final[i]]
        if k == len(label):
            break
        begin, neighbour, weight = _fold(begin, neighbour, weight, label, k)
    return final


@njit(cache=True, nogil=True)
def _move(begin, neighbour, weight, resolution):
    n = len(begin) - 1
    degree = np.zeros(n, np.int64)
    total = np.int64(0)
    for i in range(n):
        for j in range(begin[i], begin[i + 1]):
            degree[i] += weight[j]
        total += degree[i]
    label = np.arange(n)
    mass = degree.copy()
    pull = np.zeros(n, np.int64)
    around = np.empty(
        len(neighbour), np.int32
    )  # by node, in its own slots: communities around it when weighed
    count = np.zeros(n, np.int64)
    weighed = np.full(n, -1, np.int64)  # the moves made when a node was last weighed
    changed = np.zeros(n, np.int64)  # the moves made when a community last changed
    moves = 0
    for _ in range(PASSES):
        before = moves
        for i in range(n):
            if degree[i] == 0:
                continue
            own = label[i]
            if weighed[i] >= 0:
                same = changed[own] <= weighed[i]
                for q in range(begin[i], begin[i] + count[i]):
                    if changed[around[q]] > weighed[i]:
                        same = False
                        break
                if same:
                    continue
            k = begin[i]
            for j in range(begin[i], begin[i + 1]):
                if neighbour[j] == i:
                    continue
                c = label[neighbour[j]]
                if pull[c] == 0:
                    around[k] = c
                    k += 1
                pull[c] += weight[j]
            count[i] = k - begin[i]
            mass[own] -= degree[i]
            scale = resolution * degree[i] / total
            best = own
            gain = pull[own] - scale * mass[own]
            for q in range(begin[i], k):
                c = np.int64(around[q])
                g = pull[c] - scale * mass[c]
                if g > gain + 1e-9 * total or (g >= gain and c < best):
                    gain = g
                    best = c
            mass[best] += degree[i]
            for q in range(begin[i], k):
                pull[around[q]] = 0
            if best != own:
                label[i] = best
                moves += 1
                changed[own] = moves
                changed[best] = moves
            weighed[i] = moves
        if moves == before:
            break
    return label


@njit(cache=True, nogil=True)
def _fold(begin, neighbour, weight, label, k):
    """The graph of the communities: weights between them summed, those inside as a loop."""
    n = len(begin) - 1
    order = np.argsort(label, kind="mergesort")
    start = np.zeros(k + 1, np.int64)
    edges = len(neighbour)
    out = np.empty(edges, np.int32)
    w = np.empty(edges, np.int64)
    pull = np.zeros(k, np.int64)
    touched = np.empty(k, np.int64)
    at = 0
    p = 0
    for c in range(k):
        m = 0
        while p < n and label[order[p]] == c:
            i = order[p]
            for j in range(begin[i], begin[i + 1]):
                d = label[neighbour[j]]
                if pull[d] == 0:
                    touched[m] = d
                    m += 1
                pull[d] += weight[j]
            p += 1
        for q in range(m):
            out[at] = touched[q]
            w[at] = pull[touched[q]]
            pull[touched[q]] = 0
            at += 1
        start[c + 1] = at
    return start, out[:at].copy(), w[:at].copy()
