"""Counting sort of whole numbers: linear and stable. Also runs of equal values, and connected components."""

import numpy as np

from stillwatch.compiled_code.library import kernels


def deal(keys: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where each key's items begin (groups + 1,) int64, and the items' indices (n,) int32 by key.

    keys: (n,) whole numbers in [0, groups), or -1: such items come before all others. At most 2**31 items.
    """
    begin, fill = np.empty(groups + 1, np.int64), np.empty(groups, np.int64)
    order = np.empty(len(keys), np.int32)
    if keys.dtype == np.int32:
        kernels.deal_short(keys, len(keys), groups, begin, fill, order)
    else:
        kernels.deal(keys.astype(np.int64, copy=False), len(keys), groups, begin, fill, order)
    return begin, order


def begins(counts: np.ndarray) -> np.ndarray:
    """(n + 1,) int64: where each of some consecutive parts begins, and where the last one ends.

    >>> begins(np.array([2, 0, 3]))
    array([0, 2, 2, 5])
    """
    begin = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=begin[1:])
    return begin


def run_starts(values: np.ndarray) -> np.ndarray:
    """(n,) bool: whether a value differs from the one before it; the first does.

    >>> run_starts(np.array([5, 5, 7]))
    array([ True, False,  True])
    """
    starts = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=starts[1:])
    return starts


def deal_rows(rows: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group some rows by label: the labels (n,), where the rows of each begin (n + 1,) int64, and the rows.

    Made for few rows among many labels. rows: (m,) below 2**32, each once; label: (any,) int32 of every row.

    >>> deal_rows(np.array([0, 2, 3]), np.array([7, 0, 5, 7], np.int32))
    (array([5, 7], dtype=int32), array([0, 1, 3]), array([2, 0, 3], dtype=int32))
    """
    packed = np.sort(label[rows].astype(np.int64) << 32 | rows)
    rows, label = (packed & 0xFFFFFFFF).astype(np.int32), (packed >> 32).astype(np.int32)
    begin = np.flatnonzero(run_starts(label))
    return label[begin], np.append(begin, len(rows)), rows


def components(first: np.ndarray, second: np.ndarray, nodes: int) -> np.ndarray:
    """(nodes,) int64: the connected component of each node, numbered by their first nodes.

    first, second: (pairs,) whole numbers in [0, nodes), connected nodes.

    >>> components(np.array([3, 1]), np.array([1, 4]), 5)
    array([0, 1, 2, 1, 1])
    """
    component = np.empty(nodes, np.int64)
    first, second = (ends.astype(np.int64, copy=False) for ends in (first, second))
    kernels.components(first, second, len(first), nodes, component)
    return component


def encode(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values in order, and (n,) int32 index of each value: np.unique without sorting, if
    the values are close together.

    >>> encode(np.array([30, 10, 30]))
    (array([10, 30]), array([1, 0, 1], dtype=int32))
    """
    if len(values) == 0:
        return values[:0].copy(), np.zeros(0, np.int32)
    least, most = int(values.min()), int(values.max())
    if most - least > 10_000_000:
        distinct, code = np.unique(values, return_inverse=True)
        return distinct, code.astype(np.int32)
    seen = np.zeros(most - least + 1, np.bool_)
    seen[values - least] = True
    place = np.cumsum(seen, dtype=np.int32) - np.int32(1)
    return (np.flatnonzero(seen) + least).astype(values.dtype), place[values - least]


def distinct(values: np.ndarray) -> np.ndarray:
    """Return the distinct values in order: np.unique, which since NumPy 2.3 hashes them first and is slower.

    values: (n,) whole numbers.

    >>> distinct(np.array([30, 10, 30]))
    array([10, 30])
    """
    ordered = np.sort(values)
    return ordered[run_starts(ordered)]
