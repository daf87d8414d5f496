"""Communities of a weighted graph: Louvain's local moving with a resolution, level by level.

Source: Blondel et al. 2008 (J. Stat. Mech. P10008); resolution as in Reichardt and Bornholdt 2006. Nodes are
visited in index order and ties go to the lower label, and weights are whole numbers, so the same graph always
gives the same communities. While many nodes move, a node's attraction to each neighbouring community is
summed over its edges. After that the sums are updated as neighbours move, since there are far fewer
communities than edges.
"""

import numpy as np

from stillwatch.compiled_code.library import kernels


def communities(
    begin: np.ndarray, neighbour: np.ndarray, weight: np.ndarray, resolution: float
) -> np.ndarray:
    """(nodes,) int32 label of each node, from a symmetric graph in compressed rows.

    begin: (nodes + 1,) int64; neighbour: (edges,) int32; weight: (edges,) above 0, each edge in both
    directions. A larger `resolution` gives smaller communities. Isolated nodes stay alone.
    """
    label = np.empty(len(begin) - 1, np.int32)
    weight = weight.astype(np.int64, copy=False)
    kernels.communities(begin, neighbour, weight, len(label), resolution, label)
    return label
