"""Fits of dense rows from a drawn start: the basin on a sample, the last iterations on all rows.

Lloyd's iterations on dense rows are cheap beside exchanges of clusters and moves of single rows,
and with many rows a cluster both end nearly alike. So centroids are drawn by distance from a
sample, clusters of the sample are exchanged between few of the library's iterations, and all rows
take these until the centroids rest, by scikit-learn's measure. Where clusters are small, single
rows are moved at last, as long as a pass of such moves is worth its time.

Sources: Arthur & Vassilvitskii, k-means++ (SODA 2007), here with as many rows drawn at once as
there are already, as in Bahmani et al., Scalable k-means++ (VLDB 2012); B. Fritzke, see
:mod:`gpu_kmeans.clustering.breathing`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.clustering.breathing import breathe
from gpu_kmeans.clustering.hartigan import hartigan
from gpu_kmeans.clustering.init import is_skewed
from gpu_kmeans.clustering.lloyd import Report, Rows, StageResult, library_kmeans

__all__ = ["draw_by_distance", "settle_by_library", "settle_dense"]

ROWS_PER_CLUSTER, ROWS_PER_FEATURE, FEWEST_ROWS = 64, 32, 4096
"""Minimum number of rows of a sample for each cluster, for each feature, and in all."""
WORTH_SAMPLING = 2
"""Minimum number of rows for each of a sample: fewer are all taken."""
FIRST_ITERATIONS, ITERATIONS = 10, 6
"""Maximum number of iterations after the draw, and after an exchange."""
EXPLORED, EXPLORED_OF_ALL = 5, 2
"""Maximum number of exchanges that cost, see :data:`gpu_kmeans.clustering.breathing.EXPLORED`; and
where many rows are no sample."""
STARTS, STARTS_OF_SMALL, FEW_CLUSTERS = 4, 6, 8
"""Number of draws, of which the best is kept, for few clusters: exchanges find little there."""
TINY, STARTS_OF_TINY = 1 << 14, 10
"""Number of distances of rows to centroids below which a draw and its iterations take less than a
millisecond, and number of draws then: a far row is drawn by some of them."""
SMALL, FEWEST_EXCHANGED = 1 << 16, 4
"""Number of distances of rows to centroids below which looking for exchanges that cost takes longer
than all iterations; and minimum number of clusters of which those that pay are looked for then."""
TIE = 1e-12
"""Share of what clusters explain by which another draw must explain more, beyond all rounding."""
REST = 0.1
"""Shift at which centroids rest, as a share of scikit-learn's: the last iterations look at few
rows."""
ROWS_THAT_MOVE = 100
"""Number of rows for each cluster beyond which single ones are not moved: by Hartigan's rule a row
weighs no more than a hundredth more in its own cluster than by Lloyd's."""
WORTH_MOVING = 1e-4
"""Smallest share of the inertia that a pass of single-row moves must save for another one."""


def settle_dense(
    backend: Backend,
    rows: Rows,
    k: int,
    *,
    max_iter: int,
    tol: float,
    rng: np.random.Generator,
    report: Report,
) -> StageResult:
    """Start, settle, and move single rows while it pays.

    Parameters
    ----------
    rows : Rows
        Dense.
    tol : float
        Summed squared shift of the centroids at which they rest.

    Returns
    -------
    StageResult
    """
    sample = _sample(rows, k, rng)
    run = _Run(backend, k, tol * REST, rng, report)
    done, used = _find_basin(run, rows if sample is None else sample, max_iter, sample is not None)
    if sample is not None:
        used = 0
        labels = backend.assign(rows.matrix, done.clusters).nearest
        done = replace(done, labels=labels, clusters=backend.cluster_sums(rows.matrix, labels, k))
    if used < max_iter and not done.stopped:
        done = run.settle(backend, rows, done.labels, k, max_iter=max_iter - used, report=report)
        used += done.n_iter
    may_move = len(done.labels) < max(ROWS_THAT_MOVE * k, TINY / k)
    if used < max_iter and not done.stopped and may_move:
        done = hartigan(
            *(backend, rows, done.labels, k),
            max_iter=max_iter - used,
            report=report,
            least=WORTH_MOVING,
        )
    return done


@dataclass
class _Run:
    """What all stages of a fit have in common."""

    backend: Backend
    k: int
    tol: float
    rng: np.random.Generator
    report: Report

    def settle(self, *arguments: Any, **limits: Any) -> StageResult:
        return settle_by_library(*arguments, tol=self.tol, **limits)


def _sample_size(rows: Rows, k: int) -> int:
    n_features: int = rows.matrix.shape[1]
    return max(FEWEST_ROWS, ROWS_PER_CLUSTER * k, ROWS_PER_FEATURE * n_features)


def _sample(rows: Rows, k: int, rng: np.random.Generator) -> Rows | None:
    """Draw rows to look for a basin in; None where there are hardly more of them than it takes."""
    n, size = len(rows.squared_norms), _sample_size(rows, k)
    if rows.weight is not None or n < WORTH_SAMPLING * size or is_skewed(rows):
        return None  # of a heavy tail, a sample would have too little
    which = np.sort(rng.choice(n, size, replace=False, shuffle=False))
    return Rows(rows.matrix[which], rows.squared_norms[which], None)


def _find_basin(run: _Run, rows: Rows, max_iter: int, sampled: bool) -> tuple[StageResult, int]:
    """The best of some draws, with clusters exchanged; and how many iterations that took."""

    def before_all_rows(_: str, *progress: Any) -> bool:
        return run.report("sketch", *progress)

    n = len(rows.squared_norms)
    is_small, is_large = (
        n * run.k < SMALL and rows.weight is None,
        n >= WORTH_SAMPLING * _sample_size(rows, run.k),
    )
    starts = STARTS_OF_SMALL if is_small else STARTS
    starts = starts if run.k <= FEW_CLUSTERS else 1
    if n * run.k < TINY:
        starts = STARTS_OF_TINY
    best, used = None, 0
    for _ in range(starts):
        centers = draw_by_distance(run.backend, rows, run.k, run.rng)
        few = min(FIRST_ITERATIONS, max_iter)
        done = _settle_centers(run.backend, rows, centers, few, run.tol, before_all_rows)
        if best is None or done.clusters.explained() > best.clusters.explained() * (1 + TIE):
            best = replace(done, stopped=False)
        if done.stopped:
            return replace(best, stopped=True), few
    assert best is not None
    used = best.n_iter
    if used == max_iter or run.k < (FEWEST_EXCHANGED if is_small else 2):
        return best, used
    best = breathe(
        *(run.backend, rows, best.labels, run.k),
        max_iter=max_iter - used,
        rng=run.rng,
        report=before_all_rows if sampled else run.report,
        settle=run.settle,
        passes=ITERATIONS,
        passes_of_paying=ITERATIONS,
        explored=0 if is_small else EXPLORED_OF_ALL if is_large else EXPLORED,
    )
    return best, used + best.n_iter


def settle_by_library(
    backend: Backend,
    rows: Rows,
    labels: NDArray[np.int32],
    k: int,
    *,
    max_iter: int,
    report: Report,
    tol: float = 0.0,
) -> StageResult:
    """The library's iterations from the means of labels; reported once, as it is silent."""
    start = backend.centroids(backend.cluster_sums(rows.matrix, labels, k, rows.weight))
    return _settle_centers(backend, rows, start, max_iter, tol, report)


def _settle_centers(
    backend: Backend,
    rows: Rows,
    centers: NDArray[Any],
    max_iter: int,
    tol: float,
    report: Report,
) -> StageResult:
    labels, n_iter = library_kmeans(backend, rows.matrix, centers, max_iter, rows.weight, tol)
    clusters = backend.cluster_sums(rows.matrix, labels, len(centers), rows.weight)
    stopped = report("lloyd", rows.inertia(clusters, labels), len(labels), n_iter)
    return StageResult(labels, clusters, n_iter, stopped)


def draw_by_distance(
    backend: Backend, rows: Rows, k: int, rng: np.random.Generator
) -> NDArray[Any]:
    """Draw k rows by their squared distance to those drawn before; shape (k, n_features)."""
    n = len(rows.squared_norms)
    closest = mass = np.ones(n) if rows.weight is None else rows.weight
    drawn: list[NDArray[np.intp]] = []
    count = 0
    while count < k:
        more = min(max(1, count), k - count)
        total = np.cumsum(mass)
        places = np.searchsorted(total, rng.random(more) * total[-1], side="right")
        chosen = np.minimum(places, n - 1)
        drawn.append(chosen)
        count += more
        if count == k:
            break
        clusters = backend.clusters_from(backend.to_host(rows.matrix[chosen]), rows.matrix.dtype)
        squared = np.maximum(backend.assign(rows.matrix, clusters).cost + rows.squared_norms, 0)
        closest = squared if len(drawn) == 1 else np.minimum(closest, squared)
        mass = closest if rows.weight is None else closest * rows.weight
    centers: NDArray[Any] = backend.to_host(rows.matrix[np.concatenate(drawn)])
    return centers
