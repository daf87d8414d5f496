"""More room in compiled code, whose arrays do not grow by themselves. It knows nothing of what they hold."""

# mypy: allow-untyped-defs

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def twice(values):
    """Give the values with as much room again behind them."""
    more = np.empty(2 * len(values), values.dtype)
    more[: len(values)] = values
    return more
