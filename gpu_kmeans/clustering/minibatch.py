"""K-means by batches of rows that grow: for many rows, sooner done and at a higher inertia.

The first batch is a drawn sample, and is brought to rest there, exchanges of clusters and
single-row moves included. Then each batch is twice as large as the last and holds it, and a few of
Lloyd's iterations follow; the last one holds all rows. What a row said of a centroid is replaced
when the row is looked at again, so that labels of the first, bad centroids leave no trace, as they
do where each row drags the centroid a step and is forgotten. All batches together have twice as
many rows as there are.

Rows that come one batch after the other, and are not there to be looked at again, are those of
:meth:`gpu_kmeans.clustering.kmeans.KMeans.partial_fit`.

Source: J. Newling and F. Fleuret, Nested mini-batch k-means, NIPS 2016; for batches that are
forgotten, D. Sculley, Web-scale k-means clustering, WWW 2010.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Clusters
from gpu_kmeans.clustering import init as seeding
from gpu_kmeans.clustering.breathing import breathe
from gpu_kmeans.clustering.lloyd import Report, Rows, StageResult, lloyd

__all__ = ["minibatch"]

FIRST_BATCH, ROWS_A_CLUSTER = 4096, 20
"""Minimum number of rows of the first batch, and of its rows for each cluster."""
GROWTH = 2
"""Number of times that a batch has the rows of the one before it."""
SETTLING = 3
"""Number of Lloyd's iterations on the first batch, before clusters are exchanged."""
PASSES = 30
"""Maximum number of passes of single-row moves over the first batch, exchanges included."""
ITERATIONS = 2
"""Number of Lloyd's iterations on each batch after the first."""
LAST_ITERATIONS = 5
"""Maximum number of those on all rows: each of them costs more than all batches before."""


def minibatch(
    backend: Backend,
    rows: Rows,
    k: int,
    start: str | NDArray[Any],
    *,
    max_iter: int,
    rng: np.random.Generator,
    report: Report,
) -> StageResult:
    """Settle a sample of the rows, and let it grow until it holds all of them.

    Parameters
    ----------
    start : str or ndarray of shape (k, n_features)
        See :func:`gpu_kmeans.clustering.init.start`; rows are drawn from the sample.
    max_iter : int
        Iterations at most, whatever the size of their batch; at least 1.
    report : callable
        Told the inertia of the batch, times as much as all rows outweigh it.

    Returns
    -------
    StageResult
        Labels of all rows, and their means.
    """
    n = rows.matrix.shape[0]
    order = rng.permutation(n)
    if rows.weight is not None:  # rows that count for nothing would make means of nothing
        order = order[np.argsort(rows.weight[order] == 0, kind="stable")]
    size = min(n, max(FIRST_BATCH, ROWS_A_CLUSTER * k))
    batch = _Batch(rows, order[:size], report)
    clusters = seeding.start(backend, batch.rows, k, start, rng, batch.report_start)
    used, stopped = 0, batch.stopped
    if not stopped:
        done = _settled(backend, batch, k, clusters, max_iter=max_iter, rng=rng)
        clusters, used, stopped = done.clusters, done.n_iter, done.stopped
        labels = done.labels
    while size < n and used < max_iter and not stopped:
        size = min(n, GROWTH * size)
        batch = _Batch(rows, order[:size], report)
        most = min(LAST_ITERATIONS if size == n else ITERATIONS, max_iter - used)
        done = lloyd(backend, batch.rows, clusters, max_iter=most, tol=0, report=batch.report)
        clusters, used, stopped = done.clusters, used + done.n_iter, done.stopped
        labels = done.labels
    if size < n or used == 0:
        labels = backend.assign(rows.matrix, clusters).nearest
        clusters = backend.cluster_sums(rows.matrix, labels, k, rows.weight)
    return StageResult(labels, clusters, used, stopped)


def _settled(
    backend: Backend,
    batch: _Batch,
    k: int,
    clusters: Clusters,
    *,
    max_iter: int,
    rng: np.random.Generator,
) -> StageResult:
    """Bring the first batch to rest."""
    few = min(SETTLING, max_iter)
    done = lloyd(backend, batch.rows, clusters, max_iter=few, tol=0, report=batch.report)
    remaining = min(PASSES, max_iter - done.n_iter)
    if remaining == 0 or done.stopped:
        return done
    rest = breathe(
        *(backend, batch.rows, done.labels, k), max_iter=remaining, rng=rng, report=batch.report
    )
    return replace(rest, n_iter=done.n_iter + rest.n_iter)


class _Batch:
    """Some of the rows in their order, or all of them, and what is reported of them."""

    def __init__(self, rows: Rows, which: NDArray[np.intp], report: Report) -> None:
        self._report = report
        self.stopped = False
        """Whether a report asked to stop."""
        if len(which) == len(rows.squared_norms):
            self.rows, self._scale = rows, 1.0
            return
        which = np.sort(which)
        weight = None if rows.weight is None else rows.weight[which]
        self.rows = Rows(rows.matrix[which], rows.squared_norms[which], weight, rows.wide)
        self._scale = rows.weighted(np.ones(len(rows.squared_norms)))
        self._scale /= max(self.rows.weighted(np.ones(len(which))), np.finfo(float).tiny)

    def report_start(self, stage: str, inertia: float, moved: int) -> bool:
        """Report the start, under its own name."""
        self.stopped = self._report(stage, inertia * self._scale, moved)
        return self.stopped

    def report(self, stage: str, inertia: float, moved: int) -> bool:
        """Report an iteration of any kind."""
        return self.report_start("minibatch", inertia, moved)
