"""Agglomerative clustering of any number of rows: many fine clusters, merged by Ward's method.

Ward's method on all rows needs their square in memory. Here k-means first makes many times as many
clusters as are wanted, and Ward's method merges these, each weighing as many rows as it has.
"""

from __future__ import annotations

import numpy as np

from gpu_kmeans.backends.protocol import Backend, Matrix
from gpu_kmeans.clustering.base import Clusterer, Clustering, inertia_of, means_of
from gpu_kmeans.clustering.partition import Hartigan
from gpu_kmeans.clustering.ward import ward

__all__ = ["Agglomerative"]

FINE = 20
"""Number of fine clusters for each that is wanted."""
MOST_FINE = 2_000
"""Maximum number of fine clusters: Ward's method takes their square in memory."""


class Agglomerative(Clusterer):
    """Ward's method over fine clusters."""

    def fit(self, rows: Matrix, backend: Backend) -> Clustering:
        n = rows.shape[0]
        n_fine = min(n, max(self.n_clusters, min(MOST_FINE, FINE * self.n_clusters)))
        fine = Hartigan(
            n_clusters=n_fine, max_iter=self.max_iter, seed=self.seed, callback=self.callback
        ).fit(rows, backend)
        sizes = np.bincount(fine.labels, minlength=n_fine)
        occupied = np.flatnonzero(sizes)
        tree = ward(fine.means[occupied], sizes[occupied])
        groups = np.zeros(n_fine, dtype=np.int32)
        groups[occupied] = tree.cut(min(self.n_clusters, len(occupied)))
        labels = groups[fine.labels]
        k = int(labels.max()) + 1
        matrix = backend.matrix(rows)
        inertia = inertia_of(backend, matrix, labels, k)
        history = [*fine.history, ("ward", fine.n_iter, inertia)]
        return Clustering(
            labels, means_of(backend, matrix, labels, k), inertia, fine.n_iter, history
        )
