"""Agglomerative clustering of any number of rows by Ward's method.

Ward's method needs the square of the number of rows in memory. Few dense rows are merged one by
one. Of more rows, and of sparse ones, k-means first makes many times as many clusters as are
wanted, and Ward's method merges these, each weighing as many rows as it has. scikit-learn's way to
more rows, to merge neighbours in a graph alone, was measured beside it (``bench/results/tried.md``)
and takes dense rows only. cuML's agglomerative clustering has no linkage but the single one, so a
GPU makes the fine clusters and the host merges them.
"""

from __future__ import annotations

import numpy as np

from gpu_kmeans.backends.protocol import Backend, Matrix, is_sparse
from gpu_kmeans.clustering.base import Clusterer, Clustering, inertia_of, means_of
from gpu_kmeans.clustering.partition import Hartigan
from gpu_kmeans.clustering.ward import ward

__all__ = ["Agglomerative"]

FEW_ROWS = 5_000
"""Number of dense rows up to which they are merged one by one, in some 400 MB."""
FINE = 20
"""Number of fine clusters for each that is wanted, of more rows."""
MOST_FINE = 2_000
"""Maximum number of fine clusters: Ward's method takes their square in memory."""


class Agglomerative(Clusterer):
    """Ward's method over rows, or over fine clusters of them."""

    def fit(self, rows: Matrix, backend: Backend) -> Clustering:
        matrix = backend.matrix(rows)
        if is_sparse(matrix) or matrix.shape[0] > FEW_ROWS:
            fine = self._fine(matrix, backend)
        else:
            fine = _each_row(backend.to_host(matrix))
        sizes = np.bincount(fine.labels, minlength=len(fine.means))
        occupied = np.flatnonzero(sizes)
        tree = ward(fine.means[occupied], sizes[occupied])
        groups = np.zeros(len(fine.means), dtype=np.int32)
        groups[occupied] = tree.cut(min(self.n_clusters, len(occupied)))
        labels = groups[fine.labels]
        k = int(labels.max()) + 1
        inertia = inertia_of(backend, matrix, labels, k)
        history = [*fine.history, ("ward", fine.n_iter, inertia)]
        return Clustering(
            labels, means_of(backend, matrix, labels, k), inertia, fine.n_iter, history
        )

    def _fine(self, rows: Matrix, backend: Backend) -> Clustering:
        """Make many times as many clusters as are wanted."""
        n_fine = min(rows.shape[0], max(self.n_clusters, min(MOST_FINE, FINE * self.n_clusters)))
        fine = Hartigan(
            n_clusters=n_fine, max_iter=self.max_iter, seed=self.seed, callback=self.callback
        )
        return fine.fit(rows, backend)


def _each_row(rows: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> Clustering:
    """Return a cluster for each distinct row."""
    distinct, labels = np.unique(rows, axis=0, return_inverse=True)
    return Clustering(labels.reshape(-1).astype(np.int32), distinct, 0.0, 1)
