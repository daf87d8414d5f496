"""Sorting whole numbers by dealing them out: linear, stable, and the same however many there are.

And what pairs of them connect. It does not know what the numbers stand for.
"""

import numpy as np

from stillwatch.compiled_code.library import kernels


def deal(keys: np.ndarray, hands: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each key's items begin (hands + 1,) int64, and the items' indices (n,) int32 by key, in order.

    keys: (n,) whole numbers in [0, hands), or -1: such items stand before all others. At most 2**31 items.
    """
    begin, fill = np.empty(hands + 1, np.int64), np.empty(hands, np.int64)
    order = np.empty(len(keys), np.int32)
    if keys.dtype == np.int32:
        kernels.deal_short(keys, len(keys), hands, begin, fill, order)
    else:
        kernels.deal(keys.astype(np.int64, copy=False), len(keys), hands, begin, fill, order)
    return begin, order


def deal_rows(rows: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some rows by their labels: the labels (n,), where the rows of each begin (n + 1,) int64, and the rows.

    For few rows among many labels. rows: (m,) below 2**32, each once; label: (any,) int32 of every row.

    >>> deal_rows(np.array([0, 2, 3]), np.array([7, 0, 5, 7], np.int32))
    (array([5, 7], dtype=int32), array([0, 1, 3]), array([2, 0, 3], dtype=int32))
    """
    both = np.sort(label[rows].astype(np.int64) << 32 | rows)
    rows, label = (both & 0xFFFFFFFF).astype(np.int32), (both >> 32).astype(np.int32)
    first = np.ones(len(rows), np.bool_)
    np.not_equal(label[1:], label[:-1], out=first[1:])
    begin = np.flatnonzero(first)
    return label[begin], np.append(begin, len(rows)), rows


def components(one: np.ndarray, other: np.ndarray, nodes: int) -> np.ndarray:
    """(nodes,) int64: which connected component each node is in, numbered by their first nodes.

    one, other: (pairs,) whole numbers in [0, nodes), what is connected.

    >>> components(np.array([3, 1]), np.array([1, 4]), 5)
    array([0, 1, 2, 1, 1])
    """
    component = np.empty(nodes, np.int64)
    one, other = (ends.astype(np.int64, copy=False) for ends in (one, other))
    kernels.components(one, other, len(one), nodes, component)
    return component


def encode(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values in order, and (n,) int32 which of them each is: np.unique without sorting, where
    the values lie close together.

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
    """The distinct values in order: np.unique, which since NumPy 2.3 hashes them first and takes longer.

    values: (n,) whole numbers.

    >>> distinct(np.array([30, 10, 30]))
    array([10, 30])
    """
    ordered = np.sort(values)
    first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]
