"""Lloyd's iterations, exact, written once over the backend's verbs.

Lloyd 1957/1982; the stopping rules and the relocation of empty clusters are those of
scikit-learn, so that from the same start the labels are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import UnsupportedOnBackend
from gpu_kmeans.protocol import Assignment, Backend, Clusters, Matrix
from gpu_kmeans.unchanged import changed_by, nearest_again

__all__ = ["Report", "Rows", "Settled", "library_kmeans", "lloyd"]

Report = Callable[[str, float, int], bool]
"""Told the stage, the inertia and the number of rows that moved; true means stop."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a fit and what every stage needs of them.

    ``weight`` is None when every row counts once.
    """

    matrix: Matrix
    squared_norms: NDArray[np.float64]
    weight: NDArray[np.float64] | None

    def weighted(self, values: NDArray[np.float64]) -> float:
        """Sum of a value for each row, each times its weight."""
        return float(values.sum() if self.weight is None else values @ self.weight)


@dataclass(frozen=True, slots=True)
class Settled:
    """What a stage ends with."""

    labels: NDArray[np.int32]
    clusters: Clusters
    n_iter: int
    stopped: bool
    """Whether the report asked to stop."""


def lloyd(
    backend: Backend,
    rows: Rows,
    clusters: Clusters,
    *,
    max_iter: int,
    tol: float,
    report: Report,
) -> Settled:
    """Alternate nearest centroids and means until nothing changes.

    Parameters
    ----------
    clusters : Clusters
        The start; its sums may be written over.
    max_iter : int
        At least 1.
    tol : float
        Stop when the summed squared shift of the centroids is at most this; 0 waits until
        no label changes.

    Returns
    -------
    Settled
        Labels of the last assignment, and the means of these labels.
    """
    k = len(clusters.weight)
    found: Assignment | None = None
    changed = np.ones(k, dtype=bool)
    relocated = False
    spare: Clusters | None = None
    for n_iter in range(1, max_iter + 1):  # noqa: B007 - what it ended with is returned
        before, found = found, nearest_again(backend, rows.matrix, clusters, found, changed)
        labels = found.nearest
        squared = np.maximum(found.cost + rows.squared_norms, 0)
        moved = len(labels) if before is None else np.count_nonzero(labels != before.nearest)
        stopped = report("lloyd", rows.weighted(squared), int(moved))
        if moved == 0:
            break
        means = backend.cluster_sums(rows.matrix, labels, k, rows.weight, spare)
        if before is not None:
            changed = changed_by(before.nearest, labels, k)
        # A relocated row is in the sums of one iteration, and out of those of the next.
        before_that = relocated
        relocated = relocate_empty(backend, rows, means, labels, squared)
        changed |= relocated | before_that
        shift = backend.centroid_shift(clusters, means) if tol > 0 else np.inf
        clusters, spare = means, clusters
        if stopped or shift <= tol:
            break
    return Settled(labels, clusters, n_iter, stopped)


def library_kmeans(
    backend: Backend,
    matrix: Matrix,
    init: NDArray[Any],
    max_iter: int,
    weight: NDArray[np.float64] | None,
) -> tuple[NDArray[np.int32], float]:
    """The library's k-means on dense rows; where it cannot take them, as many iterations here.

    Returns labels and inertia, as :meth:`gpu_kmeans.protocol.Backend.dense_kmeans` does.
    """
    try:
        return backend.dense_kmeans(matrix, init, max_iter, weight)
    except UnsupportedOnBackend as reason:
        logging.getLogger(__name__).info("Lloyd's iterations in its place: %s", reason)
    rows = Rows(matrix, backend.squared_norms(matrix), weight)
    start = backend.clusters_from(init, matrix.dtype)
    done = lloyd(backend, rows, start, max_iter=max_iter, tol=0, report=lambda *_: False)
    return done.labels, rows.weighted(rows.squared_norms) - done.clusters.explained()


def relocate_empty(
    backend: Backend,
    rows: Rows,
    clusters: Clusters,
    labels: NDArray[np.int32],
    squared: NDArray[Any],
) -> bool:
    """Give each empty cluster the row farthest from its centroid; labels stay as they are.

    Returns whether any was given. As in scikit-learn: pointless, and left undone, when every row
    sits on its centroid.
    """
    empty = np.flatnonzero(clusters.weight == 0).astype(np.int32)
    if len(empty) == 0 or squared.max() == 0:
        return False
    far = np.argpartition(squared, -len(empty))[: -len(empty) - 1 : -1]
    backend.move(clusters, rows.matrix, far, labels[far], empty, rows.weight)
    return True
