"""An isolation forest: how few random cuts set a point apart. It does not know what the points are.

Source: Liu, Ting, Zhou, "Isolation Forest", ICDM 2008: algorithms 1 to 3, equations 1 and 2; 100 trees of 256
points each.
"""

# mypy: allow-untyped-defs

from dataclasses import dataclass

import numpy as np
from numba import njit

TREES, SAMPLE = 100, 256
EULER = 0.5772156649015329


@dataclass(frozen=True)
class Forest:
    """Trees as arrays of nodes: a node's right child follows its left one; a leaf has feature -1."""

    feature: np.ndarray  # (trees, nodes) int32
    cut: np.ndarray  # (trees, nodes) float64: left where the value is below
    left: np.ndarray  # (trees, nodes) int32
    size: np.ndarray  # (trees, nodes) int32: points of the sample that a leaf holds
    sample: int

    def depths(self, points: np.ndarray) -> np.ndarray:
        """(points,) mean path length, a leaf of many points counted by the tree it would have grown."""
        depths: np.ndarray = _depths(
            np.ascontiguousarray(points, np.float64), self.feature, self.cut, self.left, self.size
        )
        return depths

    def scores(self, points: np.ndarray) -> np.ndarray:
        """(points,) anomaly score in (0, 1]: above one half, easier to set apart than usual."""
        scores: np.ndarray = 2.0 ** (-self.depths(points) / max(usual_depth(self.sample), 1e-12))
        return scores


def usual_depth(n: float) -> float:
    """Mean depth of an unsuccessful search among n points (equation 1)."""
    if n <= 1:
        return 0.0
    if n == 2:
        return 1.0
    return float(2.0 * (np.log(n - 1.0) + EULER) - 2.0 * (n - 1.0) / n)


def grow(points: np.ndarray, seed: int, trees: int = TREES, sample: int = SAMPLE) -> Forest:
    """Grow a forest on (points, features), each tree on its own sample without repetition."""
    points = np.ascontiguousarray(points, np.float64)
    sample = min(sample, len(points))
    deepest = int(np.ceil(np.log2(max(sample, 2))))
    nodes = 2 * sample
    feature = np.full((trees, nodes), -1, np.int32)
    cut, left = np.zeros((trees, nodes)), np.zeros((trees, nodes), np.int32)
    size = np.zeros((trees, nodes), np.int32)
    rng = np.random.default_rng(seed)
    for t in range(trees):
        rows = rng.choice(len(points), sample, replace=False)
        _grow(points[rows], deepest, rng.random((nodes, 2)), feature[t], cut[t], left[t], size[t])
    return Forest(feature, cut, left, size, sample)


@njit(cache=True, nogil=True)
def _grow(points, deepest, chance, feature, cut, left, size):
    n, features = points.shape
    rows = np.arange(n)
    begin, end = np.zeros(2 * n, np.int64), np.zeros(2 * n, np.int64)
    depth = np.zeros(2 * n, np.int64)
    end[0] = n
    made = 1
    node = 0
    can = np.empty(features, np.int64)
    while node < made:
        lo, hi = begin[node], end[node]
        size[node] = hi - lo
        choices = 0
        if hi - lo > 1 and depth[node] < deepest:
            for f in range(features):
                least = points[rows[lo], f]
                most = least
                for k in range(lo + 1, hi):
                    least = min(least, points[rows[k], f])
                    most = max(most, points[rows[k], f])
                if most > least:
                    can[choices] = f
                    choices += 1
        if choices:
            f = can[int(chance[node, 0] * choices)]
            least = points[rows[lo], f]
            most = least
            for k in range(lo + 1, hi):
                least = min(least, points[rows[k], f])
                most = max(most, points[rows[k], f])
            at = least + chance[node, 1] * (most - least)
            if at <= least:
                at = most
            split = lo
            for k in range(lo, hi):
                if points[rows[k], f] < at:
                    rows[k], rows[split] = rows[split], rows[k]
                    split += 1
            feature[node], cut[node], left[node] = f, at, made
            begin[made], end[made], depth[made] = lo, split, depth[node] + 1
            begin[made + 1], end[made + 1], depth[made + 1] = split, hi, depth[node] + 1
            made += 2
        node += 1


@njit(cache=True, nogil=True)
def _depths(points, feature, cut, left, size):
    out = np.zeros(len(points))
    for i in range(len(points)):
        for t in range(len(feature)):
            node = 0
            depth = 0
            while feature[t, node] >= 0:
                node = left[t, node] + (points[i, feature[t, node]] >= cut[t, node])
                depth += 1
            n = size[t, node]
            more = 0.0
            if n == 2:
                more = 1.0
            elif n > 2:
                more = 2.0 * (np.log(n - 1.0) + EULER) - 2.0 * (n - 1.0) / n
            out[i] += depth + more
    return out / max(len(feature), 1)
