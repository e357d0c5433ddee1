"""Lloyd's iterations, exact, written once over the backend's verbs.

Lloyd 1957/1982; the stopping rules and the relocation of empty clusters are those of
scikit-learn, so that from the same start the labels are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import (
    Assignment,
    Backend,
    Clusters,
    DenseFit,
    Drift,
    Iterations,
    Matrix,
)
from gpu_kmeans.clustering.bounds import (
    drifted,
    few_move,
    may_pay,
    nearest_again,
    rounding_errors,
    widened,
)
from gpu_kmeans.errors import UnsupportedOnBackend
from gpu_kmeans.forking import product

__all__ = ["Report", "Rows", "StageResult", "library_kmeans", "lloyd"]

SOON = 2
"""Largest number of moves, as a multiple of those that exact sums can follow, at which sums are
formed exact: fewer rows move next time."""

Report = Callable[..., bool]
"""Called with the stage, the labels' inertia, the number of rows that moved, and that of iterations
since the last call, if it is not one; true means stop."""


@dataclass(frozen=True)
class Rows:
    """The rows of a fit and what every stage needs of them.

    ``weight`` is None when every row counts once. ``wide`` rows have squared norms beside which
    squared distances may be too small for the difference of their sums: what a cluster holds is
    then reckoned cluster by cluster.
    """

    matrix: Matrix
    squared_norms: NDArray[np.float64]
    weight: NDArray[np.float64] | None
    wide: bool = False
    _iterations: dict[int, Iterations | None] = field(default_factory=dict, init=False, repr=False)
    """Those of the last number of clusters: buffers are made once for all stages of a fit."""

    def iterations(self, backend: Backend, k: int) -> Iterations | None:
        """Return the backend's own steps over the rows, where it has any."""
        if self.weight is not None or self.wide:
            return None
        if k not in self._iterations:
            self._iterations.clear()
            self._iterations[k] = backend.iterations(self.matrix, self.squared_norms, k)
        return self._iterations[k]

    @cached_property
    def total(self) -> float:
        """Weighted sum of the squared norms."""
        return self.weighted(self.squared_norms)

    def weighted(self, values: NDArray[np.float64]) -> float:
        """Sum of a value for each row, each times its weight."""
        return float(values.sum() if self.weight is None else product(values, self.weight))

    def inertia(self, clusters: Clusters, labels: NDArray[np.int32]) -> float:
        """Sum of squared distances of the rows to the means of their clusters."""
        if not self.wide:
            return self.total - clusters.explained()
        return float(self.cluster_inertia(clusters, labels).sum())

    def cluster_inertia(self, clusters: Clusters, labels: NDArray[np.int32]) -> NDArray[np.float64]:
        """Share of each cluster, shape (k,); exactly 0 where it has one row, or none."""
        k = len(clusters.weight)
        norms = self.squared_norms
        norms = norms if self.weight is None else norms * self.weight
        held = np.bincount(labels, norms, k).astype(np.float64, copy=False)
        several = (np.bincount(labels, minlength=k) > 1) & (clusters.weight > 0)
        return np.where(several, np.maximum(held - clusters.spreads(), 0), 0.0)


@dataclass(frozen=True, slots=True)
class StageResult:
    """Result of a stage."""

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
) -> StageResult:
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
    StageResult
        Labels of the last assignment, and the means of these labels.
    """
    steps = rows.iterations(backend, len(clusters.weight))
    means: _Means | _Steps = _Means(backend, rows, clusters)
    if steps is not None:
        means = _Steps(backend, rows, clusters, steps)
    for n_iter in range(1, max_iter + 1):  # noqa: B007 - what it ended with is returned
        moved, shift = means.advance(shifted=tol > 0)
        stopped = report("lloyd", means.inertia(), moved)
        if stopped or shift <= tol:
            break
    labels, clusters = means.result()
    return StageResult(labels, clusters, n_iter, stopped)


class _Steps:
    """Means of labels that stay with the backend, until rows must stand for empty clusters."""

    def __init__(
        self, backend: Backend, rows: Rows, start: Clusters, iterations: Iterations
    ) -> None:
        self.backend = backend
        self.rows = rows
        self.iterations = iterations
        self._explained = 0.0
        self._means: _Means | None = None
        """Those that go on by the other verbs."""
        iterations.start(start)

    def advance(self, shifted: bool) -> tuple[int, float]:
        """Assign the rows and form their means; return how many moved, and the means' shift."""
        if self._means is not None:
            return self._means.advance(shifted)
        done = self.iterations.iterate(shifted)
        self._explained = done.explained
        if done.empty:
            assignment, clusters = self.iterations.assignment(), self.iterations.clusters()
            self._means = _Means(self.backend, self.rows, clusters)
            self._means.assignment = assignment
            self._means.update(assignment, shifted=False)
            return done.moved, np.inf  # a mean went to a row far away
        return done.moved, (done.shift if shifted else np.inf) if done.moved else 0.0

    def inertia(self) -> float:
        """Inertia of the last assignment."""
        return self.rows.total - self._explained if self._means is None else self._means.inertia()

    def result(self) -> tuple[NDArray[np.int32], Clusters]:
        """Labels of the last assignment, and their means."""
        if self._means is not None:
            return self._means.result()
        return self.iterations.labels(), self.iterations.clusters()


class _Means:
    """Means of the labels, and what is known from them about the next assignment."""

    def __init__(self, backend: Backend, rows: Rows, start: Clusters) -> None:
        self.backend = backend
        self.rows = rows
        self.clusters = start
        self.assignment: Assignment | None = None
        self._labels: NDArray[np.int32] | None = None
        """Whose means they are. None for the start, and where rows stand for empty clusters,
        which is so for one iteration."""
        self._pruned = may_pay(backend, rows.matrix, len(start.weight))
        self._rounding_error: NDArray[np.float64] | None = None
        self._drift: Drift | None = None
        """Changes of the clusters since rows were last assigned, where these bound costs."""
        self._bounded = False
        """Whether the last assignment's costs are bounds."""
        self._spare: Clusters | None = None

    def advance(self, shifted: bool) -> tuple[int, float]:
        """Assign the rows and form their means; return how many moved, and the means' shift."""
        before, self.assignment = self.assignment, self.nearest(self.assignment)
        labels = self.assignment.nearest
        moved = len(labels) if before is None else np.count_nonzero(labels != before.nearest)
        shift = self.update(self.assignment, shifted) if moved else 0.0
        return int(moved), shift

    def inertia(self) -> float:
        """Inertia of the last assignment."""
        return self.rows.inertia(self.clusters, self.result()[0])

    def result(self) -> tuple[NDArray[np.int32], Clusters]:
        """Labels of the last assignment, and their means."""
        assert self.assignment is not None
        return self.assignment.nearest, self.clusters

    def nearest(self, before: Assignment | None) -> Assignment:
        """Assign the rows, given what they were assigned to before the last update."""
        matrix = self.rows.matrix
        if before is None or self._drift is None:
            self._bounded = False
            return self.backend.assign(matrix, self.clusters, second=self._pruned)
        if self._rounding_error is None:
            self._rounding_error = rounding_errors(self.backend, matrix, self.rows.squared_norms)
        if not self._bounded:
            before = widened(before, self._rounding_error)
        self._bounded = True
        return nearest_again(
            self.backend, matrix, before, self._drift, self.clusters, self._rounding_error
        )

    def update(self, assignment: Assignment, shifted: bool) -> float:
        """Form the means of an assignment; return the sum of their squared shifts, if asked."""
        labels, before, shift = assignment.nearest, self._labels, np.inf
        self._drift = None
        if before is None:
            return self._form(assignment, shifted)
        moved = np.flatnonzero(before != labels)
        weight = self._weight(moved, before, labels)
        if self._bounded and (weight == 0).any():
            # What stands for an empty cluster is chosen by costs.
            assignment = self.backend.assign(self.rows.matrix, self.clusters, second=True)
        old = self.clusters
        if bounds := self._pruned and few_move(len(moved), len(labels)):
            old = replace(old, weight=old.weight.copy(), squared_norms=old.squared_norms.copy())
        if shifted or not self._follow(moved, before, labels, weight):
            settles = len(moved) * self.clusters.follows <= SOON * len(labels)
            shift = self._form(assignment, shifted, exact=settles and not shifted)
        if bounds and self._labels is not None:
            source, rows_weight = before[moved], self.rows.weight
            self._drift = drifted(old, self.clusters, assignment, moved, source, rows_weight)
        return shift

    def _weight(
        self, moved: NDArray[np.intp], before: NDArray[np.int32], labels: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        """Return the weight of each cluster once rows have moved."""
        k = len(self.clusters.weight)
        if self.rows.weight is None:
            come, go = (np.bincount(numbers[moved], minlength=k) for numbers in (labels, before))
            return self.clusters.weight + (come - go)
        # Anew, as what comes and goes would leave its rounding.
        return np.bincount(labels, self.rows.weight, minlength=k).astype(np.float64, copy=False)

    def _follow(
        self,
        moved: NDArray[np.intp],
        before: NDArray[np.int32],
        labels: NDArray[np.int32],
        weight: NDArray[np.float64],
    ) -> bool:
        """Bring the sums up to date, where that is as good as to form them anew, and less."""
        clusters, rows = self.clusters, self.rows
        if not clusters.exact or len(moved) * clusters.follows > len(labels):
            return False
        if (weight == 0).any():  # what is left of a cluster without rows would be rounding
            return False
        self.backend.move(clusters, rows.matrix, moved, before[moved], labels[moved], rows.weight)
        clusters.weight[:] = weight
        self._labels = labels
        return True

    def _form(self, assignment: Assignment, shifted: bool, exact: bool = False) -> float:
        """Form the sums anew, over the last ones unless their shift is asked for."""
        rows, labels, old = self.rows, assignment.nearest, self.clusters
        into, self._spare = (self._spare, old) if shifted else (old, None)
        self.clusters = self.backend.cluster_sums(
            rows.matrix, labels, len(self.clusters.weight), rows.weight, into, exact=exact
        )
        relocated = relocate_empty(self.backend, rows, self.clusters, assignment)
        self._labels = None if relocated else labels
        if not shifted:
            return np.inf
        # A cluster that has lost all its rows, and got none in their place, has no new mean.
        still = replace(old, weight=np.where(self.clusters.weight > 0, old.weight, 0.0))
        return self.backend.centroid_shift(still, self.clusters)


def library_kmeans(
    backend: Backend,
    matrix: Matrix,
    init: NDArray[Any],
    max_iter: int,
    weight: NDArray[np.float64] | None,
    tol: float = 0.0,
) -> DenseFit:
    """The library's k-means on dense rows; where it cannot take them, as many iterations here."""
    try:
        return backend.dense_kmeans(matrix, init, max_iter, weight, tol)
    except UnsupportedOnBackend as reason:
        logging.getLogger(__name__).info("Lloyd's iterations in its place: %s", reason)
    rows = Rows(matrix, backend.squared_norms(matrix), weight)
    start = backend.clusters_from(init, matrix.dtype)
    done = lloyd(backend, rows, start, max_iter=max_iter, tol=tol, report=lambda *_: False)
    return DenseFit(done.labels, done.n_iter)


def relocate_empty(
    backend: Backend, rows: Rows, clusters: Clusters, assignment: Assignment
) -> bool:
    """Give each empty cluster the row farthest from its centroid; labels stay as they are.

    Returns whether any was given. As in scikit-learn: pointless, and left undone, when every row
    sits on its centroid.
    """
    empty = np.flatnonzero(clusters.weight == 0).astype(np.int32)
    if len(empty) == 0:
        return False
    squared = np.maximum(assignment.cost + rows.squared_norms, 0)
    if squared.max() == 0:
        return False
    far = np.argpartition(squared, -len(empty))[: -len(empty) - 1 : -1]
    backend.move(clusters, rows.matrix, far, assignment.nearest[far], empty, rows.weight)
    return True
