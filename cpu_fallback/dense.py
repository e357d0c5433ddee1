"""Dense k-means by FAISS, on every row (its default of 256 rows a centroid is a silent sample)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from cpu_fallback.threads import can_be_had
from gpu_kmeans.backends.protocol import Matrix
from gpu_kmeans.forking import SharedSetting, openmp_is_lost, product

__all__ = ["dense_kmeans"]

ALL_ROWS = 2**31 - 1
WORTH_THREADS = 100_000_000
"""Minimum number of products of an iteration that are shared out among threads."""
FEW_CLUSTERS, FEW_FEATURES = 48, 64
"""Maximum number of clusters, and of features, at which FAISS uses its own loops: they take a
quarter (10 clusters) to two thirds (30) of the time of BLAS, which it prefers. Beyond, BLAS is
faster (32 features, 4,803 and 63,000 rows)."""
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
    with _tuned_for(points.size * k, init.shape):
        kmeans.train(
            points,
            weights=None if weight is None else weight.astype(np.float32),
            init_centroids=np.ascontiguousarray(init, dtype=np.float32),
        )
        distances, labels = kmeans.index.search(points, 1)
    inertia = product(np.ones(len(points)) if weight is None else weight, distances[:, 0])
    return labels[:, 0].astype(np.int32), float(inertia)


_blas_threshold = SharedSetting[int](
    lambda: faiss.cvar.distance_compute_blas_threshold,
    lambda value: setattr(faiss.cvar, "distance_compute_blas_threshold", value),
)


@contextmanager
def _tuned_for(work: int, shape: tuple[int, ...]) -> Iterator[None]:
    """Keep little work on one thread, and few clusters from BLAS.

    On a busy machine FAISS's threads wait for each other by spinning, a hundred times longer than
    the work itself takes. In a forked process, and where the system grants no threads, all work is
    on one: labels are the same.
    """
    k, n_features = shape
    own_loops = k <= FEW_CLUSTERS and n_features <= FEW_FEATURES
    with _blas_threshold.changed_to(ALL_ROWS if own_loops else None):
        threads = faiss.omp_get_max_threads()  # of this thread's regions
        if work < WORTH_THREADS or openmp_is_lost() or not can_be_had(threads - 1):
            faiss.omp_set_num_threads(1)
        try:
            yield
        finally:
            faiss.omp_set_num_threads(threads)
