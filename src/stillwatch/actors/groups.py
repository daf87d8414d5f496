"""Groups of tenants by shared wording: communities of the links' graph, without loosely attached members."""

import numpy as np

from stillwatch.actors.behaviour import SettingCodes, most_used
from stillwatch.actors.communities import communities
from stillwatch.actors.window import Graph
from stillwatch.compiled_code.library import kernels

# the fewest that make a fingerprint emerge (`actors.spread.MIN_ENTRANTS`): docs/actors.md, "How a group is
# made"
LEAST_TENANTS = 4
LEAST_COUNTED = 2  # exchanges of a tenant that carry the new wording
ATTACHED = 0.25  # of the median member's bits: a member below it is linked by chance
TIED = 0.5  # of the median member's number of tied members, and of its share of bits inside the group


def groups(graph: Graph, counted: np.ndarray, resolution: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the groups at one resolution: where each begins (groups + 1,), and their tenants, ascending.

    counted: (tenants,) exchanges of each tenant that carry new, shared wording.
    """
    label = communities(graph.begin, graph.neighbour, graph.weight, resolution)
    active = counted[graph.tenant] >= LEAST_COUNTED
    # the members that stay: by bits, by the number of members they are tied to, and by where their ties go
    nodes = len(label)
    start, member, count = np.empty(nodes + 1, np.int64), np.empty(nodes, np.int32), np.empty(1, np.int64)
    kernels.keep_attached(
        *(graph.begin, graph.neighbour, graph.weight, label, active, nodes),
        *(LEAST_TENANTS, ATTACHED, TIED, start, member, count),
    )
    start = start[: count[0] + 1].copy()
    return start, graph.tenant[member[: start[-1]]]


def commonest(dominant: np.ndarray, begin: np.ndarray, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each group's most common value of each setting, and its count; ties go to the smaller.

    dominant: (settings, tenants) int32, at least 0 for every member. Returns two (settings, groups) arrays.
    """
    chosen, everyone = np.asfortranarray(dominant[:, member]), np.arange(len(member), dtype=np.int32)
    return most_used(begin, everyone, SettingCodes(everyone, chosen), np.ones_like(everyone))
