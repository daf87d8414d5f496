"""The leading eigenvector of a symmetric matrix, in a fixed order: the same on any number of threads.

NumPy's `eigh` passes a matrix of 240 rows to a BLAS that distributes it over threads, which busy-wait for
each other and may round differently.
"""

import numpy as np

from stillwatch.compiled_code.library import kernels


def leading_eigenvector(matrix: np.ndarray) -> np.ndarray:
    """(n,) of unit length. matrix: (n, n) symmetric, n at least 2. Its largest part is above 0.

    Householder tridiagonalisation, the largest eigenvalue by bisection and its vector by twisted
    factorisation, and back-transformation.
    Source: Golub and Van Loan 2013, *Matrix Computations*, 8.3.1 and 8.4.1; Parlett and Dhillon 1997, Linear
    Algebra Appl. 267:247.

    >>> leading_eigenvector(np.array([[2.0, 1.0], [1.0, 2.0]])).round(3)
    array([0.707, 0.707])
    """
    rows = np.array(matrix, np.float64, order="C")
    n = len(rows)
    # in place: the vector of each reflection stays below the diagonal of its column
    beside, scale, vector = np.zeros(n - 1), np.zeros(n), np.empty(n)
    kernels.tridiagonal(rows, n, beside, scale, np.empty(n), np.empty(n))
    kernels.largest_vector(np.diag(rows).copy(), beside, n, np.empty(n), np.empty(n), vector)
    kernels.reflect(rows, n, scale, vector)
    return vector if vector[np.abs(vector).argmax()] > 0 else -vector
