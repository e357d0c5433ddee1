"""Products of sparse rows with a few columns, and of tall columns with each other, compiled.

A row's products stay in registers until its last non-zero; SciPy reads and writes them for each.
Tall columns are read once, in float64, by the threads of the kernels: BLAS does it as fast on a
machine of one's own, but its threads wait for each other where others work, too, and how many they
are shows in the last bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpu_fallback import threads
from cpu_fallback.compiled.library import addresses, aligned, function, vector_bytes
from gpu_kmeans.backends.protocol import Matrix

__all__ = ["inner_products", "product_rows"]

LEAST_HEIGHT, MOST_BLOCKS = 512, 32
"""Minimum number of rows of a block that is summed apart, and maximum number of blocks."""


def product_rows(rows: Matrix, directions: NDArray[Any]) -> NDArray[Any]:
    """Return the products of sparse rows with columns of their dtype: SciPy's, to the last bit."""
    (n, n_features), k, dtype = rows.shape, directions.shape[1], rows.dtype
    bytes_at_once = vector_bytes(k, dtype)
    lanes = bytes_at_once // dtype.itemsize
    n_vectors = -(-k // lanes)
    columns = directions
    if k % lanes or directions.ctypes.data % bytes_at_once:
        columns = aligned(np.zeros, (n_features, n_vectors * lanes), dtype)
        columns[:, :k] = directions
    out = aligned(np.empty, (n, k), dtype)  # which may be the next directions
    arrays = (rows.indptr, rows.indices, np.ascontiguousarray(rows.data), columns, out)
    function("product_rows", k, dtype)(threads.count(), n, k, n_vectors, *addresses(arrays))
    return out


def inner_products(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.float64]:
    """Return ``left.T @ right`` of contiguous columns of one dtype."""
    n, n_left = left.shape
    n_right = right.shape[1]
    height = max(LEAST_HEIGHT, -(-n // MOST_BLOCKS))
    sums = np.zeros((max(1, -(-n // height)), n_left, n_right))
    kernel = function("inner_products", n_right, left.dtype)
    if left.shape != right.shape and np.may_share_memory(left, right):
        right = right.copy()  # the kernel tells the same columns by where they begin
    arguments = addresses((left, right, sums))
    kernel(threads.count(), n, n_left, n_right, height, *arguments)
    total: NDArray[np.float64] = sums.sum(axis=0)
    # Of columns with themselves the kernel forms one half.
    return np.triu(total) + np.triu(total, 1).T if arguments[0] == arguments[1] else total
