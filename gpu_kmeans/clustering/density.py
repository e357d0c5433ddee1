"""Dense regions as clusters, and noise between them: HDBSCAN, from scikit-learn.

Campello, Moulavi and Sander, Density-based clustering based on hierarchical density estimates,
2013. How many clusters there are follows from the rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_kmeans.backends.protocol import Backend, Matrix
from gpu_kmeans.clustering.base import (
    Clusterer,
    Clustering,
    dense_rows,
    inertia_of,
    learned,
    means_of,
)
from gpu_kmeans.errors import InvalidParam

__all__ = ["Hdbscan"]

LEAST_SHARE = 0.01
"""Share of the rows that a cluster has at least."""
LEAST_ROWS = 5
"""Number of rows that a cluster has at least, in any case."""


class Hdbscan(Clusterer):
    """HDBSCAN; ``n_clusters`` says nothing to it."""

    def fit(self, rows: Matrix, backend: Backend) -> Clustering:
        cluster: Any = learned("sklearn.cluster", "hdbscan")
        dense = dense_rows(backend.to_host(rows), "hdbscan")
        least = max(LEAST_ROWS, round(LEAST_SHARE * len(dense)))
        if len(dense) < 2 * least:
            raise InvalidParam(
                f"hdbscan needs at least {2 * least} rows to tell dense regions from others, and "
                f"there are {len(dense)}: use another algorithm"
            )
        model = cluster.HDBSCAN(min_cluster_size=least, copy=True)
        labels = model.fit_predict(dense.astype(np.float64)).astype(np.int32)
        k = int(labels.max()) + 1
        if k == 0:
            raise InvalidParam(
                "hdbscan finds no dense region in these rows, all of them are noise: use another "
                "algorithm, such as hartigan"
            )
        inside = np.flatnonzero(labels >= 0)
        members = backend.matrix(np.ascontiguousarray(dense[inside]))
        inertia = inertia_of(backend, members, labels[inside], k)
        return Clustering(
            labels=labels,
            means=means_of(backend, members, labels[inside], k),
            inertia=inertia,
            n_iter=1,
            history=[("hdbscan", 1, inertia)],
            outlier_scores=1.0 - model.probabilities_,
        )
