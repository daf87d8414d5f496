"""Products of sparse rows with each other."""

import numpy as np

from stillwatch.compiled_code.library import kernels


def lower_products(begin: np.ndarray, term: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(rows, rows) inner products of rows whose terms ascend; 0 above the diagonal, which would mirror it.

    begin: (rows + 1,) where each row begins; term, weight: its content. Only common terms are visited, each
    term's rows in order: a product is summed in the order of terms.
    """
    n = len(begin) - 1
    out = np.zeros((n, n))
    kernels.likeness(begin, term, weight, n, int(term.max(initial=0)) + 1, out)
    return out


def row_products(begin: np.ndarray, term: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(rows, rows) inner products, on both sides of the diagonal; arguments as for `lower_products`."""
    out = lower_products(begin, term, weight)
    out += np.tril(out, -1).T
    return out
