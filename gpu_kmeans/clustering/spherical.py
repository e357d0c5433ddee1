"""Spherical k-means: rows belong to the direction that they are most alike by their cosine.

Dhillon and Modha, Concept decompositions for large sparse text data using clustering, Machine
Learning 42, 2001. Means are brought to length 1 in each iteration; those of the start are those
of a fit on rows of length 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Matrix, Progress
from gpu_kmeans.clustering.base import Callback, Clusterer, Clustering, inertia_of
from gpu_kmeans.clustering.distances import nearest
from gpu_kmeans.clustering.partition import Hartigan

__all__ = ["Spherical"]


class Spherical(Clusterer):
    """K-means by cosines."""

    def __init__(
        self, *, n_clusters: int, max_iter: int, seed: int, callback: Callback | None
    ) -> None:
        self.n_clusters = n_clusters
        self.max_iter = max_iter
        self.seed = seed
        self.callback = callback

    def fit(self, rows: Matrix, backend: Backend) -> Clustering:
        host = backend.to_host(rows)
        unit = unit_rows(host)
        start = Hartigan(
            n_clusters=self.n_clusters,
            max_iter=self.max_iter,
            seed=self.seed,
            callback=self.callback,
        ).fit(unit, backend)
        matrix = backend.matrix(unit)
        labels, k = start.labels, self.n_clusters
        centers = _directions(backend, matrix, labels, k)
        history, stopped = list(start.history), False
        n_iter = start.n_iter
        for _ in range(self.max_iter):
            if stopped:
                break
            again = nearest(backend, unit, centers)
            moved = int((again != labels).sum())
            labels, n_iter = again, n_iter + 1
            centers = _directions(backend, matrix, labels, k)
            cost = float(backend.distances(matrix, centers, labels).sum())
            history.append(("spherical", n_iter, cost))
            if self.callback is not None:
                stopped = bool(self.callback(Progress("lloyd", n_iter, cost, moved)))
            if not moved:
                break
        return Clustering(
            labels, centers, inertia_of(backend, backend.matrix(host), labels, k), n_iter, history
        )


def unit_rows(rows: Any) -> Any:
    """Return rows of length 1, CSR or dense as they are; rows of zeros stay so."""
    if hasattr(rows, "indptr"):
        squares = np.asarray(rows.astype(np.float64).multiply(rows).sum(axis=1)).ravel()
        factors = 1 / np.sqrt(np.where(squares > 0, squares, 1.0))
        unit = rows.copy()
        unit.data = (unit.data * np.repeat(factors, np.diff(unit.indptr))).astype(rows.dtype)
        return unit
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    return (rows / np.where(lengths > 0, lengths, 1.0)[:, None]).astype(rows.dtype)


def _directions(backend: Backend, rows: Matrix, labels: NDArray[np.int32], k: int) -> NDArray[Any]:
    """Return the means of the clusters, of length 1."""
    means = backend.centroids(backend.cluster_sums(rows, labels, k))
    lengths = np.sqrt(np.einsum("ij,ij->i", means, means, dtype=np.float64))
    directions: NDArray[Any] = means / np.where(lengths > 0, lengths, 1.0)[:, None].astype(
        means.dtype
    )
    return directions
