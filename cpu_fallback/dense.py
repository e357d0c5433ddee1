"""Dense k-means on every row, in single precision: compiled, or by FAISS.

FAISS's default of 256 rows a centroid would be a silent sample. Its iterations look at every row
and centroid, where the compiled ones look only at rows whose cluster may change; see
:mod:`cpu_fallback.compiled.lloyd`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from cpu_fallback import compiled
from cpu_fallback.arguments import check_width, own_rows, values_of
from cpu_fallback.threads import can_be_had
from gpu_kmeans.backends.protocol import DenseFit, Matrix
from gpu_kmeans.forking import SharedSetting, openmp_is_lost

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
    tol: float = 0.0,
) -> DenseFit:
    points = own_rows(rows).astype(np.float32, copy=False)
    check_width("centroids", init.shape[1], points)
    if weight is not None:
        weight = values_of(weight, len(points), "weight")
    if not compiled.can_take(points):
        return _by_faiss(points, init, max_iter, weight)
    norms = compiled.measure_dense(points)
    labels, n_iter = compiled.iterate_dense(points, norms, init, max_iter, tol, weight)
    return DenseFit(labels, n_iter)


def _by_faiss(
    points: NDArray[np.float32],
    init: NDArray[Any],
    max_iter: int,
    weight: NDArray[np.float64] | None,
) -> DenseFit:
    """FAISS makes all iterations, whatever the centroids still move."""
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
        _, labels = kmeans.index.search(points, 1)
    return DenseFit(labels[:, 0].astype(np.int32), max_iter)


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
