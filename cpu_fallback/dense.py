"""Dense k-means by FAISS, on every row (its default of 256 rows a centroid is a silent sample)."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.protocol import Matrix

__all__ = ["dense_kmeans"]

ALL_ROWS = 2**31 - 1
SEED = 1234  # FAISS draws only to split an empty cluster; the starts are given


def dense_kmeans(
    rows: Matrix,
    init: NDArray[Any],
    max_iter: int,
    weight: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.int32], float]:
    points = np.ascontiguousarray(rows, dtype=np.float32)
    k, n_features = init.shape
    kmeans = faiss.Kmeans(
        n_features,
        k,
        niter=max_iter,
        seed=SEED,
        min_points_per_centroid=1,
        max_points_per_centroid=ALL_ROWS,
    )
    kmeans.train(
        points,
        weights=None if weight is None else weight.astype(np.float32),
        init_centroids=np.ascontiguousarray(init, dtype=np.float32),
    )
    distances, labels = kmeans.index.search(points, 1)
    inertia = np.dot(np.ones(len(points)) if weight is None else weight, distances[:, 0])
    return labels[:, 0].astype(np.int32), float(inertia)
