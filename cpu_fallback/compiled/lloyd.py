"""Lloyd's iterations over dense rows, compiled: all of them in one call."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpu_fallback import threads
from cpu_fallback.compiled.library import addresses, aligned, function, vector_bytes

__all__ = ["iterate_dense"]

TILE_VECTORS, TILE_CENTERS = {16: 2, 32: 2, 64: 4}, 4
"""Number of vectors of rows in a tile, by their bytes, and of centroids that they meet at once;
also in kernels/rows.c."""
LEAST_HEIGHT, MOST_PARTS = 1024, 32
"""Minimum number of rows of a part, which has sums of its own, and maximum number of parts."""
AS_WIDE_AS_THEY_COME = 64
"""Number of rows that are asked for as clusters, so that vectors are the machine's widest."""


def iterate_dense(
    rows: NDArray[Any],
    norms: NDArray[np.float64],
    centers: NDArray[Any],
    max_iter: int,
    tol: float,
    weight: NDArray[np.float64] | None,
) -> tuple[NDArray[np.int32], int]:
    """Iterate until the summed squared shift of the centroids is at most ``tol``.

    Returns labels of the last assignment, and the number of iterations.
    An empty cluster is given the row that is farthest from its centroid.
    """
    (n, n_features), k, dtype = rows.shape, len(centers), rows.dtype
    crew = threads.count()
    height = max(LEAST_HEIGHT, -(-n // MOST_PARTS))
    parts = -(-n // height)
    width = -(-k // TILE_CENTERS) * TILE_CENTERS
    size = vector_bytes(AS_WIDE_AS_THEY_COME, dtype)
    of_clusters = np.zeros((3, width), dtype)
    of_clusters[0, k:] = np.finfo(dtype).max
    means = np.array(centers, dtype, order="C")
    labels, done = np.empty(n, np.int32), np.zeros(1, np.int64)
    tile_rows = TILE_VECTORS[size] * size // dtype.itemsize
    arrays = (
        *(rows, norms.astype(dtype), None if weight is None else np.ascontiguousarray(weight)),
        *(means, np.zeros(width * n_features, dtype), of_clusters, np.empty((2, n), dtype)),
        *(aligned(np.zeros, (crew, n_features, tile_rows), dtype), labels),
        *(np.zeros((parts, k, n_features)), np.zeros((parts, k)), np.zeros(parts, np.int64)),
        *(np.empty(k + n_features), np.array([tol], np.float64), done),
    )
    function("iterate_dense", AS_WIDE_AS_THEY_COME, dtype)(
        crew, n, n_features, k, height, max_iter, *addresses(arrays)
    )
    return labels, int(done[0])
