"""Bisecting k-means: the cluster of the largest inertia is split in two, again and again.

Steinbach, Karypis and Kumar, A comparison of document clustering techniques, 2000. Each split is a
k-means of two clusters, to the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Matrix, Progress
from gpu_kmeans.clustering.base import Clusterer, Clustering, inertia_of, means_of
from gpu_kmeans.clustering.partition import Hartigan

__all__ = ["Bisecting"]


class Bisecting(Clusterer):
    """K-means that splits."""

    def fit(self, rows: Matrix, backend: Backend) -> Clustering:
        host = backend.to_host(rows)
        n = host.shape[0]
        labels = np.zeros(n, dtype=np.int32)
        inertias = [inertia_of(backend, backend.matrix(host), labels, 1)]
        history = [("bisecting", 0, inertias[0])]
        for split in range(1, self.n_clusters):
            widest = int(np.argmax(inertias))
            if inertias[widest] <= 0:
                break  # all rows of every cluster are the same
            members = np.flatnonzero(labels == widest)
            halves, parts = self._halves(host[members], backend, split)
            labels[members[halves == 1]] = split
            inertias[widest] = parts[0]
            inertias.append(parts[1])
            total = float(sum(inertias))
            history.append(("bisecting", split, total))
            progress = Progress("hartigan", split, total, int((halves == 1).sum()))
            if self.callback is not None and self.callback(progress):
                break
        k = len(inertias)
        means = means_of(backend, backend.matrix(host), labels, k)
        return Clustering(labels, means, float(sum(inertias)), k - 1, history)

    def _halves(
        self, members: Any, backend: Backend, split: int
    ) -> tuple[NDArray[np.int32], list[float]]:
        """Split rows in two; return the half of each, and the inertia of both."""
        halves = (
            Hartigan(n_clusters=2, max_iter=self.max_iter, seed=self.seed + split, callback=None)
            .fit(members, backend)
            .labels
        )
        parts = []
        for half in (0, 1):
            inside = members[np.flatnonzero(halves == half)]
            count = inside.shape[0]
            alone = np.zeros(count, dtype=np.int32)
            parts.append(inertia_of(backend, backend.matrix(inside), alone, 1) if count else 0.0)
        return halves, parts
