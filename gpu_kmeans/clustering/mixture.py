"""Gaussian mixtures, from scikit-learn: clusters of different spread, and of any shape."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Matrix, is_sparse
from gpu_kmeans.clustering.base import (
    Clusterer,
    Clustering,
    check_rows_suit,
    inertia_of,
    learned,
    means_of,
)
from gpu_kmeans.clustering.partition import Hartigan

__all__ = ["DiagonalMixture", "FullMixture"]


class DiagonalMixture(Clusterer):
    """A mixture of Gaussians whose features vary each for itself; it starts from k-means."""

    covariance: ClassVar[str] = "diag"

    def fit(self, rows: Matrix, backend: Backend) -> Clustering:
        mixture: Any = learned("sklearn.mixture", "mixture")
        name = "mixture" if self.covariance == "diag" else "mixture-full"
        check_rows_suit(name, rows.shape[0], is_sparse(rows), rows.shape[1])
        dense: NDArray[Any] = backend.to_host(rows)
        start = Hartigan(
            n_clusters=self.n_clusters,
            max_iter=self.max_iter,
            seed=self.seed,
            callback=self.callback,
        ).fit(dense, backend)
        model = mixture.GaussianMixture(
            self.n_clusters,
            covariance_type=self.covariance,
            means_init=start.means.astype(np.float64),
            max_iter=self.max_iter,
            random_state=self.seed % 2**32,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one that stops at max_iter is as good as it got
            components = model.fit_predict(dense.astype(np.float64))
        present, positions = np.unique(components, return_inverse=True)
        labels, k = np.asarray(positions, dtype=np.int32), len(present)
        matrix = backend.matrix(dense)
        inertia = inertia_of(backend, matrix, labels, k)
        scores = -model.score_samples(dense.astype(np.float64))
        return Clustering(
            labels=labels,
            means=means_of(backend, matrix, labels, k),
            inertia=inertia,
            n_iter=start.n_iter + int(model.n_iter_),
            history=[*start.history, ("mixture", start.n_iter + int(model.n_iter_), inertia)],
            outlier_scores=scores,
        )


class FullMixture(DiagonalMixture):
    """A mixture of Gaussians of any shape."""

    covariance: ClassVar[str] = "full"
