"""Clusters split in two, compiled: one task each, with sums that fit a core's cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cpu_fallback import threads
from cpu_fallback.compiled.library import addresses, function
from gpu_kmeans.backends.protocol import Matrix, is_sparse

__all__ = ["split_in_two"]


def split_in_two(
    rows: Matrix,
    norms: NDArray[np.float64],
    clusters: list[NDArray[np.intp]],
    pairs: NDArray[np.intp],
    coins: list[NDArray[np.bool_]],
    passes: int,
    noise: float,
) -> tuple[list[NDArray[np.int32]], NDArray[np.float64]]:
    """See :meth:`gpu_kmeans.backends.protocol.Backend.halve`; rows move one by one."""
    crew, n_features = threads.count(), rows.shape[1]
    csr = (rows.indptr, rows.indices, rows.data) if is_sparse(rows) else (None, None, rows)
    ends = np.cumsum([0, *map(len, clusters)])
    sides, explained = np.empty(ends[-1], np.int32), np.empty(len(clusters))
    arrays = (
        *(*csr, np.ascontiguousarray(norms), ends.astype(np.int64)),
        *(np.concatenate(clusters).astype(np.int64), np.ascontiguousarray(pairs, np.int64)),
        *(np.concatenate(coins).astype(np.uint8), np.array([noise])),
        *(np.zeros((crew, n_features, 2)), sides, explained),
    )
    kernel = function("halve", 1, rows.dtype)
    kernel(crew, len(clusters), n_features, passes, *addresses(arrays))
    return np.split(sides, ends[1:-1]), explained
