"""An isolation forest: how few random cuts isolate a point.

Source: Liu, Ting, Zhou, "Isolation Forest", ICDM 2008: algorithms 1 to 3, equations 1 and 2; 100 trees of 256
points each.
"""

from dataclasses import dataclass

import numpy as np

from stillwatch.compiled_code.library import kernels

TREES, SAMPLE = 100, 256
EULER = 0.5772156649015329


@dataclass(frozen=True)
class Forest:
    """Trees as arrays of nodes: a node's right child follows its left one; a leaf has feature -1."""

    feature: np.ndarray  # (trees, nodes) int32
    cut: np.ndarray  # (trees, nodes) float64: left if the value is below
    left: np.ndarray  # (trees, nodes) int32
    size: np.ndarray  # (trees, nodes) int32: sample points in a leaf
    sample: int

    def depths(self, points: np.ndarray) -> np.ndarray:
        """(points,) mean path length; a leaf of many points adds the depth that its tree would have had."""
        points = np.ascontiguousarray(points, np.float64)
        depths = np.zeros(len(points))
        trees = (self.feature, self.cut, self.left, self.size, *self.feature.shape)
        kernels.tree_depths(points, *points.shape, *trees, depths)
        return depths / max(len(self.feature), 1)

    def scores(self, points: np.ndarray) -> np.ndarray:
        """(points,) anomaly score in (0, 1]: above one half, easier to isolate than usual."""
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
        tree = (feature[t], cut[t], left[t], size[t])
        kernels.grow_tree(points[rows], sample, points.shape[1], deepest, rng.random((nodes, 2)), *tree)
    return Forest(feature, cut, left, size, sample)
