"""Groups of parties by what they say: communities of the links' graph, less those who hang on by chance.

It does not know what the members do, nor whether a group is honest.
"""

# mypy: allow-untyped-defs

import numpy as np
from numba import njit

from stillwatch.actors.communities import communities
from stillwatch.actors.conduct import most_used
from stillwatch.actors.window import Graph
from stillwatch.stats.arrays import median

LEAST_PARTIES = 4  # as few as make a marker hot (`actors.spread.MIN_ENTRANTS`): docs/evidence.md, groups
LEAST_COUNTED = 2  # exchanges of a party that carry the new wording
ATTACHED = 0.25  # of the median member's bits: below it a member hangs on by chance
TIED = 0.5  # of the median member's number of tied members, and of its share of bits inside the group


def groups(graph: Graph, counted: np.ndarray, resolution: float) -> tuple[np.ndarray, np.ndarray]:
    """The groups at one resolution: where each begins (groups + 1,), and their parties, ascending in each.

    counted: (parties,) exchanges of each party that carry wording new and shared.
    """
    label = communities(graph.begin, graph.neighbour, graph.weight, resolution)
    active = counted[graph.party] >= LEAST_COUNTED
    begin, member = _keep_attached(graph.begin, graph.neighbour, graph.weight, label, active)
    return begin, graph.party[member]


def commonest(dominant: np.ndarray, begin: np.ndarray, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each group's commonest value of each setting, and how many members have it; ties to the smaller.

    dominant: (settings, parties) int32, at least 0 for every member. Returns two (settings, groups) arrays.
    """
    one = np.ones(dominant.shape[1], np.int64)
    levels = int(dominant.max(initial=0)) + 1
    return most_used(begin, member.astype(np.int32), np.asfortranarray(dominant), one, levels)


@njit(cache=True, nogil=True)
def _keep_attached(begin, neighbour, weight, label, active):
    """The members that belong: by bits, by how many members they are tied to, and by where their ties go."""
    n = len(begin) - 1
    inner = np.zeros(n, np.int64)
    around = np.zeros(n, np.int64)
    degree = np.zeros(n, np.int64)
    crowd = np.zeros(n, np.int32)  # active nodes by label: few of them are no group, whatever ties them
    for i in range(n):
        crowd[label[i]] += active[i]
    first = np.zeros(n + 1, np.int64)  # by label, where its nodes begin
    for i in range(n):
        own = label[i]
        if not active[i] or crowd[own] < LEAST_PARTIES:
            continue
        for j in range(begin[i], begin[i + 1]):
            degree[i] += weight[j]
            same = label[neighbour[j]] == own
            inner[i] += weight[j] * same
            around[i] += same
        first[own + 1] += inner[i] > 0
    for g in range(n):
        first[g + 1] += first[g]
    fill = first[:-1].copy()
    node = np.empty(first[n], np.int32)
    for i in range(n):
        if inner[i] > 0:
            node[fill[label[i]]] = i
            fill[label[i]] += 1
    member = np.empty(len(node), np.int32)
    start = np.zeros(n + 1, np.int64)
    found = 0
    at = 0
    for g in range(n):
        own = node[first[g] : first[g + 1]]
        if len(own) < LEAST_PARTIES:
            continue
        share = inner[own] / degree[own]
        bits = ATTACHED * median(inner[own].astype(np.float64))
        ties = TIED * median(around[own].astype(np.float64))
        inside = TIED * median(share.copy())
        begun = at
        for k in range(len(own)):
            if inner[own[k]] >= bits and around[own[k]] >= ties and share[k] >= inside:
                member[at] = own[k]
                at += 1
        if at - begun < LEAST_PARTIES:
            at = begun
            continue
        found += 1
        start[found] = at
    return start[: found + 1].copy(), member[:at].copy()
