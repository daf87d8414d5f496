"""Ranks of values."""

from collections.abc import Sequence

import numpy as np


def mean_ranks(values: Sequence[float]) -> np.ndarray:
    """(values,) ranks from 1; values that are equal share the mean of theirs.

    >>> mean_ranks([3.0, 1.0, 3.0]).tolist()
    [2.5, 1.0, 2.5]
    """
    _, place, times = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(times) - (times - 1) / 2)[place]
    return ranks
