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
from gpu_kmeans.unchanged import are_few, changed_by, may_pay, nearest_again, outdated

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
    means = _Means(backend, rows, clusters)
    norms = rows.weighted(rows.squared_norms)
    found: Assignment | None = None
    for n_iter in range(1, max_iter + 1):  # noqa: B007 - what it ended with is returned
        before, found = found, means.nearest(found)
        labels = found.nearest
        moved = len(labels) if before is None else np.count_nonzero(labels != before.nearest)
        stopped = report("lloyd", norms + rows.weighted(found.cost), int(moved))
        if moved == 0:
            break
        shift = means.update(before, found, shifted=tol > 0)
        if stopped or shift <= tol:
            break
    return Settled(labels, means.all(), n_iter, stopped)


class _Means:
    """Clusters that the next assignment meets: all, or those that changed where these are few."""

    def __init__(self, backend: Backend, rows: Rows, start: Clusters) -> None:
        self.backend = backend
        self.rows = rows
        self.k = len(start.weight)
        self._pruned = may_pay(rows.matrix, self.k)
        self._labels = np.empty(0, dtype=np.int32)
        self._all = start
        self._all_of: NDArray[np.int32] | None = None
        """The labels whose sums they are: of clusters that changed since, they are outdated. None
        for the start, and where rows stand for empty clusters, which is so for one iteration."""
        self._changed = np.zeros(self.k, dtype=bool)
        self._some: Clusters | None = None
        """The changed ones, where these are few."""
        self._spare: Clusters | None = None
        self._spare_of: NDArray[np.int32] | None = None

    def all(self) -> Clusters:
        """The means of all clusters, formed where they are not yet."""
        if self._some is not None:
            self._form_all(self._labels)
        return self._all

    def nearest(self, before: Assignment | None) -> Assignment:
        """Assign the rows, given what they were assigned to before the last update."""
        matrix = self.rows.matrix
        if before is None or self._some is None:
            return self.backend.assign(matrix, self._all, second=self._pruned)
        return nearest_again(self.backend, matrix, before, self._changed, self._some, self._all)

    def update(self, before: Assignment | None, found: Assignment, shifted: bool) -> float:
        """Form the means of what was found; return the sum of their squared shifts, if asked."""
        labels = found.nearest
        if before is not None and self._pruned and self._all_of is not None:
            full = np.bincount(labels, self.rows.weight, minlength=self.k) > 0
            now = changed_by(before.nearest, labels, self.k)
            if full.all() and are_few(now):
                self._labels = labels
                self._update_few(now)
                if not shifted:
                    return np.inf
                which = np.flatnonzero(now)
                both = (self._sums(each, only=which) for each in (before.nearest, labels))
                return self.backend.centroid_shift(*both)
        old = self.all() if shifted else None
        self._form_all(labels, keep=shifted)
        if relocate_empty(self.backend, self.rows, self._all, found):
            self._all_of = None
        return np.inf if old is None else self.backend.centroid_shift(old, self._all)

    def _update_few(self, now: NDArray[np.bool_]) -> None:
        """Form the sums of clusters that changed now, and of those that did since all were."""
        changed = self._changed | now
        if not are_few(changed) or outdated(changed, now):
            self._form_all(self._labels)
            changed = now
        self._changed = changed
        self._some = self._sums(self._labels, only=np.flatnonzero(changed))

    def _form_all(self, labels: NDArray[np.int32], keep: bool = False) -> None:
        """Form the sums of labels, over the last ones unless these are to be kept."""
        rows = self.rows
        into, before = (self._spare, self._spare_of) if keep else (self._all, self._all_of)
        if keep:
            self._spare, self._spare_of = self._all, self._all_of
        self._all = self.backend.cluster_sums(
            rows.matrix, labels, self.k, rows.weight, into, before=before
        )
        self._all_of = self._labels = labels
        self._changed[:] = False
        self._some = None

    def _sums(self, labels: NDArray[np.int32], only: NDArray[np.intp]) -> Clusters:
        rows = self.rows
        return self.backend.cluster_sums(rows.matrix, labels, self.k, rows.weight, only=only)


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


def relocate_empty(backend: Backend, rows: Rows, clusters: Clusters, found: Assignment) -> bool:
    """Give each empty cluster the row farthest from its centroid; labels stay as they are.

    Returns whether any was given. As in scikit-learn: pointless, and left undone, when every row
    sits on its centroid.
    """
    empty = np.flatnonzero(clusters.weight == 0).astype(np.int32)
    if len(empty) == 0:
        return False
    squared = np.maximum(found.cost + rows.squared_norms, 0)
    if squared.max() == 0:
        return False
    far = np.argpartition(squared, -len(empty))[: -len(empty) - 1 : -1]
    backend.move(clusters, rows.matrix, far, found.nearest[far], empty, rows.weight)
    return True
