"""Dense regions as clusters, and noise between them: HDBSCAN, from scikit-learn or cuML.

Campello, Moulavi and Sander, Density-based clustering based on hierarchical density estimates,
2013. How many clusters there are follows from the rows.

scikit-learn compares all pairs of dense rows, which takes the square of their number. Many rows,
and sparse ones, go another way: it is given the graph of the nearest rows. What of its tree is
exact then, and what is not, says :mod:`gpu_kmeans.clustering.density_graph`. On a GPU cuML does it
for dense rows, which has not been run yet.
"""

from __future__ import annotations

from typing import Any

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
from gpu_kmeans.clustering.density_graph import distance_graph
from gpu_kmeans.errors import InvalidParam

__all__ = ["Hdbscan"]

LEAST_SHARE, LEAST_SHARE_SPARSE = 0.01, 0.002
"""Share of the rows that a cluster has at least; of sparse rows, which are dense in few places: of
20 Newsgroups in BM25 19 % are in 25 clusters then, which agree with the labels at V .77, ARI .62,
of Reuters R8 10 % in 22, V .63, ARI .32. With a share of 0.01 it is 5 clusters, and none. Chosen
of seven settings on these labels, which flatters the figures."""
LEAST_ROWS = 5
"""Number of rows that a cluster has at least, in any case."""
NEIGHBORS, NEIGHBORS_SPARSE = 15, 5
"""Number of nearest rows, the row itself included, whose distance tells how dense it is where a row
is, at most: no more than a cluster's rows at least."""
EDGES = 15
"""Number of nearest rows of each row in the graph, at most: as many as its density needs, and more
of sparse rows. With 30 the labels were the same."""
FEW_ROWS = 5_000
"""Number of dense rows up to which all pairs are compared."""


class Hdbscan(Clusterer):
    """HDBSCAN; ``n_clusters`` says nothing to it."""

    def fit(self, rows: Matrix, backend: Backend) -> Clustering:
        check_rows_suit("hdbscan", rows.shape[0], is_sparse(rows), rows.shape[1])
        host = backend.to_host(rows)
        labels, probabilities = _dense_regions(host, backend)
        k = int(labels.max()) + 1
        if k == 0:
            raise InvalidParam(
                "hdbscan finds no dense region in these rows, all of them are noise: use another "
                "algorithm, such as hartigan"
            )
        inside = np.flatnonzero(labels >= 0)
        members = backend.matrix(host[inside])
        inertia = inertia_of(backend, members, labels[inside], k)
        return Clustering(
            labels=labels,
            means=means_of(backend, members, labels[inside], k),
            inertia=inertia,
            n_iter=1,
            history=[("hdbscan", 1, inertia)],
            outlier_scores=1.0 - probabilities,
        )


def _dense_regions(rows: Any, backend: Backend) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Label rows on the host, -1 for noise, and say how firmly each belongs where it is."""
    n = rows.shape[0]
    share, most = LEAST_SHARE, NEIGHBORS
    if is_sparse(rows):
        share, most = LEAST_SHARE_SPARSE, NEIGHBORS_SPARSE
    least = max(LEAST_ROWS, round(share * n))
    samples = min(least, most)
    by_library = backend.dense_regions(backend.matrix(rows), least, samples)
    if by_library is not None:
        return by_library
    cluster: Any = learned("sklearn.cluster", "hdbscan")
    if not is_sparse(rows) and n <= FEW_ROWS:
        model = cluster.HDBSCAN(min_cluster_size=least, min_samples=samples, copy=True)
        model.fit(rows.astype(np.float64))
    else:
        # In a graph a row is not its own neighbour, with its distance of 0.
        model = cluster.HDBSCAN(
            metric="precomputed", min_cluster_size=least, min_samples=samples - 1, copy=False
        )
        model.fit(distance_graph(rows, min(EDGES, n - 1), samples - 1, backend))
    return model.labels_.astype(np.int32), model.probabilities_
