"""Spherical k-means: rows by the angle to their cluster's direction, for texts and embeddings.

K-means on rows of length 1 maximises ``sum |s_c|^2 / n_c`` over the clusters' sums of rows ``s_c``.
Where most rows share nothing, as those of short texts do, that gains most by setting the largest
groups of near-duplicates apart, one a cluster, and leaves all others in one big remainder, whose
mean is near the origin and so near to everything. Here ``sum |s_c|`` is maximised: of ``j``
unlike groups of one size in a cluster it counts the root of ``j``, so that they are spread over the
clusters evenly; and a row goes where its cosine is largest, however short the mean is.

Several starts are settled by Lloyd's iterations and then by moves of single rows, as a row draws
the direction of a small cluster to itself: a row of squared norm ``w`` whose product with a sum is
``p`` changes the length of this by exactly ``sqrt(|s|^2 + 2 p + w) - |s|`` where it enters. Where
no move gains, every row is at the direction of its largest cosine. The start of the largest sum is
kept.

Sources: I. S. Dhillon and D. S. Modha, Concept decompositions for large sparse text data using
clustering, Machine Learning 42, 2001; the moves are the first variation of I. S. Dhillon, Y. Guan
and J. Kogan, Iterative clustering of high dimensional text data augmented by local search, ICDM
2002.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Clusters, Matrix, Progress, is_sparse
from gpu_kmeans.clustering import init as seeding
from gpu_kmeans.clustering.base import Callback, Clusterer, Clustering
from gpu_kmeans.clustering.distances import nearest
from gpu_kmeans.clustering.lloyd import Rows
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.validation import check_named_rows, generator

__all__ = ["Spherical"]

STARTS = 8
"""Maximum number of starts,"""
PAIRS = 1 << 25
"""and of pairs of a row and a cluster in all starts together: beyond it there are fewer starts,
down to one, as each pair is looked at in every iteration and by the draws of a start."""
SETTLED = 1e-6
"""Share of the sum of cosines that an iteration must gain for another one to follow."""
SETTLING = 10
"""Maximum number of Lloyd's iterations before moves of single rows."""
WIDEST = 1 << 17
"""Maximum number of numbers in all sums at which single rows are moved: their sums are dense, in
float64 and on the host. Beyond it Lloyd's iterations go on to the end."""
BLOCKS = 8
SMALLEST_BLOCK = 256
"""Rows of a block, at least: those of it that gain move at once, before the next is looked at."""
HALVINGS = 6
"""Maximum number of times that a block's moves are tried, each time the better half of them."""
NOISE = 1e-5
"""Smallest gain, in cosines, that is not rounding of products in float32."""
SAME = 1e-6
"""Smallest distance of a cosine from 1 at which a row differs from its cluster's direction."""


class Spherical(Clusterer):
    """Spherical k-means with several starts.

    The means that it returns are the clusters' directions, which have length 1: the nearest one is
    that of the largest cosine, for rows of any length. The inertia is that of the rows around the
    means of their clusters, as of every algorithm; it is not what is minimised.
    """

    def fit(self, rows: Matrix, backend: Backend) -> Clustering:
        checked, _ = check_named_rows(rows)
        n, k = checked.shape[0], self.n_clusters
        if n < k:
            raise InvalidParam(f"n_samples={n} should be >= n_clusters={k}.")
        own = backend.matrix(checked)
        norms = backend.squared_norms(own)
        unit = _of_length_1(backend, own, norms)
        rng = generator(self.seed)
        best: _Run | None = None
        for _ in range(max(1, min(STARTS, PAIRS // (n * k)))):
            run = _Run(backend, unit, k, self.callback)
            run.settle(rng, self.max_iter)
            if best is None or run.cosines > best.cosines:
                best = run
            if run.stopped:
                break
        assert best is not None
        directions = _directions(backend, best.clusters)
        labels = nearest(backend, own, directions)  # as new rows are given theirs
        around = Rows(own, norms, None)
        inertia = around.inertia(backend.cluster_sums(own, labels, k), labels)
        return Clustering(
            labels=labels,
            means=directions,
            inertia=max(inertia, 0.0),
            n_iter=len(best.history),
            history=[(step.stage, step.iteration, step.inertia) for step in best.history],
        )


@dataclass(eq=False)
class _Run:
    """One start, and what it comes to."""

    backend: Backend
    rows: Rows
    k: int
    callback: Callback | None

    def settle(self, rng: np.random.Generator, max_iter: int) -> None:
        """Lloyd's iterations and moves, until the sum of cosines gains no more."""
        self.history: list[Progress] = []
        self.stopped, self.cosines = False, 0.0
        backend, rows, k = self.backend, self.rows, self.k
        self.clusters = seeding.start(backend, rows, k, "k-means++", rng, _unheard)
        self.labels = np.full(rows.matrix.shape[0], -1, dtype=np.int32)
        moves = k * rows.matrix.shape[1] <= WIDEST
        few = min(SETTLING, max_iter) if moves else max_iter
        while len(self.history) < few and self._lloyd():
            pass
        if not moves or self.stopped:
            return
        sums = _Sums(backend, rows, self.labels, k)
        while len(self.history) < max_iter:
            moved = sums.improve_all()
            self.clusters = backend.cluster_sums(rows.matrix, self.labels, k)
            if not self._goes_on(moved):
                break

    def _lloyd(self) -> bool:
        """Make an iteration; tell whether another one is to follow."""
        matrix = self.rows.matrix
        assignment = self.backend.assign(matrix, _as_directions(self.clusters))
        labels = assignment.nearest.copy()
        self._fill_empty_clusters(labels, (1.0 - assignment.cost) / 2)
        moved = int(np.count_nonzero(labels != self.labels))
        self.labels = labels
        self.clusters = self.backend.cluster_sums(matrix, labels, self.k)
        return self._goes_on(moved)

    def _goes_on(self, moved: int) -> bool:
        """Report an iteration; tell whether it gained enough for another one."""
        before, self.cosines = self.cosines, float(np.sqrt(self.clusters.squared_norms).sum())
        inertia = max(self.rows.inertia(self.clusters, self.labels), 0.0)
        self.history.append(Progress("spherical", len(self.history) + 1, inertia, moved))
        if self.callback is not None and self.callback(self.history[-1]):
            self.stopped = True
        return not self.stopped and moved > 0 and self.cosines - before > SETTLED * self.cosines

    def _fill_empty_clusters(self, labels: NDArray[np.int32], cosines: NDArray[np.float64]) -> None:
        """Give each empty cluster the row farthest from its direction, as far as one differs."""
        sizes = np.bincount(labels, minlength=self.k)
        empty = np.flatnonzero(sizes == 0).tolist()
        if not empty:
            return
        for row in np.argsort(cosines, kind="stable").tolist():
            if not empty or cosines[row] > 1.0 - SAME:
                break
            if sizes[labels[row]] > 1:
                sizes[labels[row]] -= 1
                labels[row] = empty.pop(0)
                sizes[labels[row]] = 1


class _Sums:
    """Dense sums of the clusters, and moves of single rows that make them longer."""

    def __init__(self, backend: Backend, rows: Rows, labels: NDArray[np.int32], k: int) -> None:
        self.backend = backend
        self.rows = rows
        self.labels = labels
        """Written to."""
        self.sizes = np.bincount(labels, minlength=k)
        clusters = backend.cluster_sums(rows.matrix, labels, k)
        means = backend.centroids(clusters).astype(np.float64)
        self.sums = means * self.sizes[:, None]
        self.squared = np.einsum("ij,ij->i", self.sums, self.sums)

    def improve_all(self) -> int:
        """Take all rows, block by block; return how many moved."""
        n = len(self.labels)
        size = max(SMALLEST_BLOCK, -(-n // BLOCKS))
        return sum(self._improve(slice(at, min(at + size, n))) for at in range(0, n, size))

    def _improve(self, block: slice) -> int:
        """Move rows that gain, as many at once as lengthen the sums together; return how many."""
        matrix, source = self.rows.matrix[block], self.labels[block].copy()
        target, gain = self._gains(matrix, source, self.rows.squared_norms[block])
        moving = np.flatnonzero((gain > NOISE) & (self.sizes[source] > 1))
        length = np.sqrt(self.squared).sum()
        if not len(moving):
            return 0
        for _ in range(HALVINGS):
            here, there = source[moving], target[moving]
            sizes = self.sizes + np.bincount(there, minlength=len(self.sizes))
            sizes -= np.bincount(here, minlength=len(self.sizes))
            sums = self.sums + self._difference(matrix, moving, here, there)
            squared = np.einsum("ij,ij->i", sums, sums)
            emptied = (self.sizes > 0) & (sizes == 0)
            if np.sqrt(squared).sum() > length and not emptied.any():
                self.sizes, self.sums, self.squared = sizes, sums, squared
                self.labels[block][moving] = there
                return len(moving)
            best = np.argsort(-gain[moving], kind="stable")[: len(moving) // 2]
            moving = np.sort(moving[best])
            if not len(moving):
                break
        return 0

    def _gains(
        self, matrix: Matrix, labels: NDArray[np.int32], squared_norms: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """For each row the best other cluster, and by how much the move lengthens the sums."""
        backend, lengths = self.backend, np.sqrt(self.squared)
        directions = np.ascontiguousarray(self.sums.T, dtype=matrix.dtype)
        products = backend.to_host(backend.project(matrix, directions)).astype(np.float64)
        rows, w = np.arange(len(labels)), squared_norms
        own = products[rows, labels]
        leave = lengths[labels] - np.sqrt(np.maximum(self.squared[labels] - 2 * own + w, 0.0))
        enter = np.sqrt(np.maximum(self.squared + 2 * products + w[:, None], 0.0)) - lengths
        enter[rows, labels] = -np.inf
        target = enter.argmax(axis=1).astype(np.int32)
        return target, enter[rows, target] - leave

    def _difference(
        self,
        matrix: Matrix,
        moving: NDArray[np.intp],
        source: NDArray[np.int32],
        target: NDArray[np.int32],
    ) -> NDArray[np.float64]:
        """What the moves add to the sums, shape (k, n_features)."""
        change = np.zeros_like(self.sums)
        host = self.backend.to_host(matrix[moving])
        for labels, sign in ((target, 1.0), (source, -1.0)):
            if is_sparse(host):
                at = np.repeat(labels, np.diff(host.indptr)), host.indices
                np.add.at(change, at, sign * host.data.astype(np.float64))
            else:
                np.add.at(change, labels, sign * host.astype(np.float64))
        return change


def _unheard(stage: str, inertia: float, moved: int) -> bool:
    return False


def _of_length_1(backend: Backend, rows: Matrix, squared_norms: NDArray[np.float64]) -> Rows:
    """Return rows divided by their lengths; those without one stay zero."""
    full = squared_norms > 0
    if not np.allclose(squared_norms[full], 1.0, rtol=0.0, atol=1e-5):
        host = backend.to_host(rows)
        factors = np.where(full, 1.0 / np.sqrt(np.where(full, squared_norms, 1.0)), 0.0)
        if is_sparse(host):
            scaled = host.copy()
            scaled.data = scaled.data * np.repeat(factors, np.diff(host.indptr))
            scaled.data = scaled.data.astype(host.dtype)
        else:
            scaled = (host * factors[:, None]).astype(host.dtype)
        rows = backend.matrix(scaled)
        squared_norms = backend.squared_norms(rows)
    return Rows(rows, squared_norms, None)


def _as_directions(clusters: Clusters) -> Clusters:
    """Return clusters whose means have length 1: sums that weigh their own length."""
    return replace(clusters, weight=np.sqrt(clusters.squared_norms))


def _directions(backend: Backend, clusters: Clusters) -> NDArray[Any]:
    """Return the directions, shape (k, n_features); an empty cluster has that of the longest."""
    means: NDArray[Any] = backend.centroids(_as_directions(clusters))
    return means
