"""The leading eigenvector of a symmetric matrix, in fixed steps: the same on any number of threads.

NumPy's `eigh` hands a matrix of 240 rows to a BLAS that shares it among threads: they wait for each other in
a loop, and may round differently. It does not know what the matrix says.
"""

# mypy: allow-untyped-defs

import numpy as np
from numba import njit
from scipy.linalg import eigh_tridiagonal


def leading_eigenvector(matrix: np.ndarray) -> np.ndarray:
    """(n,) of unit length. matrix: (n, n) symmetric, n at least 2. Its sign is the one that `eigh` gives.

    The steps of LAPACK's dsyevd: Householder's reduction to three diagonals, their eigenvectors by division,
    and the way back, here of one vector alone.
    Source: Golub and Van Loan 2013, *Matrix Computations*, 8.3.1 and 8.4.

    >>> abs(leading_eigenvector(np.array([[2.0, 1.0], [1.0, 2.0]]))).round(3)
    array([0.707, 0.707])
    """
    rows = matrix.astype(np.float64)
    diagonal, beside, scale = _tridiagonal(rows)
    _, vectors = eigh_tridiagonal(diagonal, beside)
    vector: np.ndarray = _reflect(rows, scale, vectors[:, -1].copy())
    return vector


@njit(cache=True, nogil=True)
def _tridiagonal(rows):
    """Reduce in place: the diagonal, the one beside it, and each reflection's scale; its vector is left below
    the diagonal of its column."""
    n = len(rows)
    scale = np.zeros(n)
    beside = np.zeros(n - 1)
    drawn = np.empty(n)
    vector = np.empty(n)
    for k in range(n - 1):
        rest = 0.0
        for i in range(k + 1, n):
            vector[i] = rows[i, k]
            if i > k + 1:
                rest += vector[i] * vector[i]
        beside[k] = vector[k + 1]
        if rest == 0.0:  # three diagonals already
            continue
        size = np.sqrt(rest + vector[k + 1] * vector[k + 1])
        beside[k] = -size if vector[k + 1] >= 0 else size
        vector[k + 1] -= beside[k]
        length = 0.0
        for i in range(k + 1, n):
            length += vector[i] * vector[i]
        scale[k] = 2.0 / length
        drawn[:] = 0.0
        for i in range(k + 1, n):
            pull = scale[k] * vector[i]
            for j in range(k + 1, n):
                drawn[j] += pull * rows[i, j]
        along = 0.0
        for i in range(k + 1, n):
            along += drawn[i] * vector[i]
        along *= 0.5 * scale[k]
        for i in range(k + 1, n):
            drawn[i] -= along * vector[i]
        for i in range(k + 1, n):
            one, other = vector[i], drawn[i]
            for j in range(k + 1, n):
                rows[i, j] -= one * drawn[j] + other * vector[j]
        for i in range(k + 1, n):
            rows[i, k] = vector[i]
    return np.diag(rows).copy(), beside, scale


@njit(cache=True, nogil=True)
def _reflect(rows, scale, vector):
    """The vector in the coordinates of before the reduction."""
    n = len(rows)
    for k in range(n - 3, -1, -1):
        along = 0.0
        for i in range(k + 1, n):
            along += rows[i, k] * vector[i]
        along *= scale[k]
        for i in range(k + 1, n):
            vector[i] -= along * rows[i, k]
    return vector
