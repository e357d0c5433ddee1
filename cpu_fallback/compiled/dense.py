"""Assigning dense rows and summing them, compiled.

A product of rows with all sums, as BLAS makes it, would be written and read again. Here some rows'
products with a few vectors of clusters stay in registers until each row's least cost is known.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpu_fallback import threads
from cpu_fallback.compiled.assign_args import AssignArgs
from cpu_fallback.compiled.library import addresses, aligned, function, vector_bytes
from gpu_kmeans.backends.protocol import Assignment, Matrix

__all__ = ["measure_dense", "nearest_dense", "sum_dense"]

TASKS, PRODUCTS_PER_TASK = 64, 1 << 24
"""Maximum number of tasks, and minimum number of products of one."""
NUMBERS_IN_CACHE = 1 << 15
"""Number of values of rows that stay in a core's cache while all clusters go by."""
ROWS_AT_ONCE, MOST_ROWS = 6, 192
"""Numbers of rows that are assigned at once, and that are kept in cache; also in kernels/rows.c."""
PARTS = 4
"""Maximum number of parts whose rows are summed apart: two threads read more than one, and more
parts leave more to add up."""
SUMS_APART = 1 << 22
"""Maximum number of sums of all parts together."""


def nearest_dense(
    rows: Matrix, sums: NDArray[Any], q: NDArray[Any], size: NDArray[Any], *of_rows: Any
) -> Assignment:
    """See :class:`~cpu_fallback.compiled.assign_args.AssignArgs`."""
    n, (n_features, k), dtype = rows.shape[0], sums.shape, sums.dtype
    lanes = vector_bytes(k, dtype) // dtype.itemsize
    n_vectors = -(-k // lanes)
    columns = aligned(np.zeros, (n_vectors, n_features, lanes), dtype)
    for vector in range(n_vectors):
        some = sums[:, vector * lanes : (vector + 1) * lanes]
        columns[vector, :, : some.shape[1]] = some
    arguments = AssignArgs.build(n, n_vectors * lanes, dtype, q, size, *of_rows)
    kernel = function("nearest_dense", k, dtype)
    height = max(1, min(MOST_ROWS, NUMBERS_IN_CACHE // n_features) // ROWS_AT_ONCE) * ROWS_AT_ONCE
    tasks = max(1, min(TASKS, n * n_features * k // PRODUCTS_PER_TASK))
    step = height * max(1, -(-n // (height * tasks)))
    kernel(
        *(threads.count(), n, step, n_features, n_vectors, height, *addresses((rows, columns))),
        *(*arguments.inputs(), *arguments.outputs()),
    )
    return arguments.result


def sum_dense(
    rows: Matrix, labels: NDArray[np.int32], k: int, weight: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Sums of dense rows by cluster, of shape (k, n_features), float64."""
    n, n_features = rows.shape
    parts = max(1, min(PARTS, n // (8 * k), SUMS_APART // (k * n_features)))
    height = max(1, -(-n // parts))
    parts = max(1, -(-n // height))
    sums = np.zeros((parts, k, n_features))
    w = None if weight is None else np.ascontiguousarray(weight)
    arrays = (rows, np.ascontiguousarray(labels, np.int32), w, sums)
    kernel = function("sum_dense", k, rows.dtype)
    kernel(threads.count(), n, n_features, height, k, *addresses(arrays))
    total: NDArray[np.float64] = sums.sum(axis=0) if parts > 1 else sums[0]
    return total


def measure_dense(
    rows: Matrix, centroids: NDArray[Any] | None = None, labels: NDArray[np.int32] | None = None
) -> NDArray[np.float64]:
    """Squared distance of each dense row to the centroid of its label, or its squared norm."""
    n, n_features = rows.shape
    centers = np.zeros((1, n_features)) if centroids is None else centroids
    out = np.empty(n)
    arrays = (rows, np.ascontiguousarray(centers, np.float64), labels, out)
    kernel = function("measure_dense", 1, rows.dtype)
    kernel(threads.count(), n, n_features, *addresses(arrays))
    return out
