"""Communities of a weighted graph: Louvain's local moving with a resolution, level by level.

Source: Blondel et al. 2008 (J. Stat. Mech. P10008); resolution as in Reichardt and Bornholdt 2006. Nodes are
visited in index order and ties go to the lower label, so the same graph always gives the same communities.
It does not know what the nodes are.
"""

import numpy as np
from numba import njit

LEVELS = 6
PASSES = 12


def communities(
    begin: np.ndarray, neighbour: np.ndarray, weight: np.ndarray, resolution: float
) -> np.ndarray:
    """(nodes,) int64 label of each node, from a symmetric graph in compressed rows.

    begin: (nodes + 1,) int64; neighbour, weight: (edges,) int32 and float64, each edge in both directions.
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
    degree = np.zeros(n)
    for i in range(n):
        for j in range(begin[i], begin[i + 1]):
            degree[i] += weight[j]
    total = degree.sum()
    label = np.arange(n)
    mass = degree.copy()
    pull = np.zeros(n)
    touched = np.empty(n, np.int64)
    for _ in range(PASSES):
        moved = 0
        for i in range(n):
            if degree[i] == 0:
                continue
            k = 0
            for j in range(begin[i], begin[i + 1]):
                if neighbour[j] == i:
                    continue
                c = label[neighbour[j]]
                if pull[c] == 0:
                    touched[k] = c
                    k += 1
                pull[c] += weight[j]
            own = label[i]
            mass[own] -= degree[i]
            scale = resolution * degree[i] / total
            best = own
            gain = pull[own] - scale * mass[own]
            for q in range(k):
                c = touched[q]
                g = pull[c] - scale * mass[c]
                if g > gain + 1e-9 * total or (g >= gain and c < best):
                    gain = g
                    best = c
            mass[best] += degree[i]
            if best != own:
                label[i] = best
                moved += 1
            for q in range(k):
                pull[touched[q]] = 0
        if moved == 0:
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
    w = np.empty(edges, np.float64)
    pull = np.zeros(k)
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


@njit(cache=True, nogil=True)
def window_graph(a, b, weight, lo, hi, n):
    """The links lo..hi as a symmetric graph over n nodes in compressed rows, parallel links summed.

    weight: thousandths of a bit (int64); the graph's weights are bits (float64).
    """
    degree = np.zeros(n + 1, np.int64)
    for k in range(lo, hi):
        if a[k] != b[k]:
            degree[a[k] + 1] += 1
            degree[b[k] + 1] += 1
    first = np.cumsum(degree)
    fill = first[:-1].copy()
    to = np.empty(first[n], np.int32)
    w = np.empty(first[n], np.int64)
    for k in range(lo, hi):
        if a[k] != b[k]:
            to[fill[a[k]]] = b[k]
            w[fill[a[k]]] = weight[k]
            fill[a[k]] += 1
            to[fill[b[k]]] = a[k]
            w[fill[b[k]]] = weight[k]
            fill[b[k]] += 1
    begin = np.zeros(n + 1, np.int64)
    pull = np.zeros(n, np.int64)
    touched = np.empty(n, np.int32)
    bits = np.empty(len(to), np.float64)
    at = 0
    for i in range(n):
        m = 0
        for j in range(first[i], first[i + 1]):
            if pull[to[j]] == 0:
                touched[m] = to[j]
                m += 1
            pull[to[j]] += w[j]
        around = np.sort(touched[:m])
        for q in range(m):
            to[at] = around[q]
            bits[at] = pull[around[q]] / 1000.0
            pull[around[q]] = 0
            at += 1
        begin[i + 1] = at
    return begin, to[:at].copy(), bits[:at].copy()
