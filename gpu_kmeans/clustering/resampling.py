"""Whether clusters come back in other draws of the rows.

Parts of the rows are fitted, each for itself, and all rows assigned to each fit's clusters: what
the fits agree on is of the rows, and not of the draw. Ben-Hur, Elisseeff and Guyon, A stability
based method for discovering structure in clustered data, 2002; the overlap of single clusters is
that of Hennig, Cluster-wise assessment of cluster stability, 2007.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.clustering.base import Clustering, clusterer
from gpu_kmeans.clustering.distances import nearest
from gpu_kmeans.clustering.indices import adjusted_rand, contingency

__all__ = ["PARTS", "RESAMPLED_ROWS", "Parts", "fit_rows"]

RESAMPLED_ROWS = 2_000
"""Maximum number of rows of which parts are fitted for the stability."""
RESAMPLED_SHARE = 0.8
"""Share of them in each part: any two share at least three fifths."""
PARTS = 3
"""Number of parts, and of pairs of their fits, that the stability is the mean of."""


def fit_rows(rows: Any, backend: Backend, k: int, seed: int) -> Clustering:
    """Fit k-means to rows, fast enough to be done many times."""
    return clusterer("hartigan", n_clusters=k, max_iter=100, seed=seed).fit(rows, backend)


class Parts:
    """Parts of some rows, each fitted for itself: what they agree on is not of the draw."""

    def __init__(self, rows: Any, backend: Backend, draw: np.random.Generator) -> None:
        n = rows.shape[0]
        self._chosen = np.sort(draw.choice(n, min(n, RESAMPLED_ROWS), replace=False))
        self._rows = rows[self._chosen]
        self._backend = backend
        m = len(self._chosen)
        size = max(2, round(RESAMPLED_SHARE * m))
        self._parts = [np.sort(draw.choice(m, size, replace=False)) for _ in range(PARTS)]

    def stability(
        self, clusters: NDArray[np.int32], k: int, seed: int
    ) -> tuple[float, tuple[float, ...]]:
        """Return the agreement of the parts' fits, and of each cluster with its like in them.

        Parameters
        ----------
        clusters : ndarray of shape (n,), int32
            Labels of all rows, from 0 to ``k - 1``.
        k : int
        seed : int
        """
        labels = []
        for number, part in enumerate(self._parts):
            if k > len(part):
                return 0.0, tuple([0.0] * k)
            fit = fit_rows(self._rows[part], self._backend, k, seed + 1 + number)
            labels.append(nearest(self._backend, self._rows, fit.means))
        pairs = [(one, other) for one in range(PARTS) for other in range(one)]
        agreement = float(np.mean([adjusted_rand(labels[a], labels[b]) for a, b in pairs]))
        whole = clusters[self._chosen]
        overlaps = np.mean([_overlap(whole, part, k) for part in labels], axis=0)
        return agreement, tuple(overlaps.tolist())


def _overlap(one: NDArray[np.int32], other: NDArray[np.int32], k: int) -> NDArray[np.float64]:
    """Return the largest Jaccard index of each of ``k`` clusters with any of the other labels'."""
    table = np.zeros((k, k))
    counts = contingency(one, other)
    table[: counts.shape[0], : counts.shape[1]] = counts
    union = table.sum(axis=1)[:, None] + table.sum(axis=0) - table
    shares: NDArray[np.float64] = (table / np.maximum(union, 1)).max(axis=1)
    return shares
