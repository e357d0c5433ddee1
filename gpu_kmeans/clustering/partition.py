"""k-means as a clusterer: the estimator behind the seam of :mod:`gpu_kmeans.clustering.base`."""

from __future__ import annotations

import warnings
from typing import ClassVar, Literal

import numpy as np

from gpu_kmeans.backends.protocol import Backend, Matrix
from gpu_kmeans.clustering.base import Clusterer, Clustering
from gpu_kmeans.clustering.kmeans import FewerClustersWarning, KMeans

__all__ = ["Hartigan", "Lloyd", "MiniBatch"]


class Hartigan(Clusterer):
    """K-means to the end, with moves of single rows."""

    algorithm: ClassVar[Literal["hartigan", "lloyd", "minibatch"]] = "hartigan"

    def fit(self, rows: Matrix, backend: Backend) -> Clustering:
        kmeans = KMeans(
            self.n_clusters,
            algorithm=self.algorithm,
            max_iter=self.max_iter,
            random_state=self.seed,
            backend=backend,
            callback=self.callback,
        )
        with warnings.catch_warnings():
            # The caller counts the clusters that have rows, and says it in its own terms.
            warnings.simplefilter("ignore", FewerClustersWarning)
            kmeans.fit(rows)
        return Clustering(
            labels=kmeans.labels_,
            means=np.asarray(kmeans.cluster_centers_),
            inertia=kmeans.inertia_,
            n_iter=kmeans.n_iter_,
            history=[(step.stage, step.iteration, step.inertia) for step in kmeans.history_],
        )


class Lloyd(Hartigan):
    """K-means with Lloyd's iterations alone."""

    algorithm: ClassVar[Literal["hartigan", "lloyd", "minibatch"]] = "lloyd"


class MiniBatch(Hartigan):
    """K-means of a sample that grows to all rows."""

    algorithm: ClassVar[Literal["hartigan", "lloyd", "minibatch"]] = "minibatch"
