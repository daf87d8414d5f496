"""Room, order and places in arrays, for compiled code: a first scan waits until every kernel is compiled.

np.sort, np.median, np.searchsorted and assignments of slices bring seconds of compiling with them; these
bring tenths. They know nothing of what the arrays hold.
"""

# mypy: allow-untyped-defs

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def twice(values):
    """Give the values with as much room again behind them."""
    more = np.empty(2 * len(values), values.dtype)
    for k in range(len(values)):
        more[k] = values[k]
    return more


@njit(cache=True, nogil=True)
def place_of(values, least):
    """Where the first of ascending values stands that is not below `least`: np.searchsorted of one."""
    low, high = np.int64(0), np.int64(len(values))
    while low < high:
        middle = (low + high) >> 1
        if values[middle] < least:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def put_in_order(values):
    """Sort in place: Shell's method.

    Source: the gaps are those of Gonnet and Baeza-Yates 1991, *Handbook of Algorithms and Data Structures*.
    """
    gap = len(values) // 2
    while gap > 0:
        for k in range(gap, len(values)):
            value = values[k]
            j = k
            while j >= gap and values[j - gap] > value:
                values[j] = values[j - gap]
                j -= gap
            values[j] = value
        gap = 1 if gap == 2 else gap * 5 // 11


@njit(cache=True, nogil=True)
def median(values):
    """The median of (n,) float64, n at least 1, which are put in order."""
    put_in_order(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
