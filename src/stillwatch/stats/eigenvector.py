"""The leading eigenvector of a symmetric matrix, in fixed steps: the same on any number of threads.

NumPy's `eigh` hands a matrix of 240 rows to a BLAS that shares it among threads: they wait for each other in
a loop, and may round differently. It does not know what the matrix says.
"""

import numpy as np
from scipy.linalg import eigh_tridiagonal

from stillwatch.compiled_code.library import kernels


def leading_eigenvector(matrix: np.ndarray) -> np.ndarray:
    """(n,) of unit length. matrix: (n, n) symmetric, n at least 2. Its sign is the one that `eigh` gives.

    The steps of LAPACK's dsyevd: Householder's reduction to three diagonals, their eigenvectors by division,
    and the way back, here of one vector alone.
    Source: Golub and Van Loan 2013, *Matrix Computations*, 8.3.1 and 8.4.

    >>> abs(leading_eigenvector(np.array([[2.0, 1.0], [1.0, 2.0]]))).round(3)
    array([0.707, 0.707])
    """
    rows = np.array(matrix, np.float64, order="C")
    n = len(rows)
    # in place: the vector of each reflection is left below the diagonal of its column
    beside, scale = np.zeros(n - 1), np.zeros(n)
    kernels.tridiagonal(rows, n, beside, scale, np.empty(n), np.empty(n))
    _, vectors = eigh_tridiagonal(np.diag(rows).copy(), beside)
    vector: np.ndarray = vectors[:, -1].copy()
    kernels.reflect(rows, n, scale, vector)
    return vector
