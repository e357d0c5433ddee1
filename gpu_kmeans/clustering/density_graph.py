"""Distances of rows to their nearest ones as a connected graph, for clusterings by density.

The nearest rows are exact (:mod:`gpu_kmeans.clustering.neighbors`), and so are the distances by
which density is told. What is approximated: a minimum spanning tree of this graph stands for that
of all pairs. It is the same wherever the tree's edges lead to one of a row's nearest; a longer edge
may be replaced by a way round over others, and parts of the graph that no edge joins are joined by
the distances between their densest rows, of which other rows may be nearer to each other. So dense
regions are told as they are, and how far apart distant ones are is overestimated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Matrix, is_sparse
from gpu_kmeans.clustering.nearness import unit_values

if TYPE_CHECKING:
    from scipy import sparse

__all__ = ["distance_graph"]

FLOOR = 1e-6
"""Least distance as a share of the largest: a tree of SciPy's has no edges of length 0."""
MOST_REPRESENTATIVES = 2_000
"""Maximum number of parts between which all distances are formed; beyond it, those to the largest
part alone."""


def distance_graph(
    rows: Matrix, count: int, samples: int, backend: Backend
) -> sparse.csr_array[Any]:
    """Return a symmetric, connected graph of each row and its nearest ones, shape (n, n).

    Dense rows have Euclidean distances. Sparse rows are brought to length 1 first: the distance of
    two is then ``sqrt(2 - 2 cosine)``, which is a metric and orders pairs as their angles do.

    Parameters
    ----------
    rows : CSR or ndarray on the host, shape (n, n_features)
    count : int
        Number of nearest rows; less than n.
    samples : int
        Number of nearest rows, at most ``count``, of which the farthest tells how dense it is.
    """
    from scipy import sparse

    n, by_cosine = rows.shape[0], is_sparse(rows)
    nearest, values = backend.neighbors(
        backend.matrix(rows), count, "cosine" if by_cosine else "euclidean"
    )
    distances = np.sqrt(np.maximum(2 - 2 * values, 0)) if by_cosine else values
    floor = FLOOR * (float(distances.max()) or 1.0)
    sources = np.repeat(np.arange(n), count)
    graph = sparse.csr_array(
        (np.maximum(distances, floor).ravel(), (sources, nearest.ravel())), shape=(n, n)
    )
    graph = graph.maximum(graph.T)
    joints = _joints(graph, distances[:, samples - 1], rows, floor)
    return graph if joints is None else graph + joints


def _joints(
    graph: sparse.csr_array[Any], radius: NDArray[np.float64], rows: Any, floor: float
) -> sparse.csr_array[Any] | None:
    """Return edges that join the parts of a graph by their densest rows, symmetric."""
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

    n_parts, part = connected_components(graph, directed=False)
    if n_parts == 1:
        return None
    by_part = np.lexsort((radius, part))
    densest = by_part[np.searchsorted(part[by_part], np.arange(n_parts))]
    if n_parts <= MOST_REPRESENTATIVES:
        lengths = np.maximum(_distances(rows, densest, densest), floor)
        np.fill_diagonal(lengths, 0)
        tree = minimum_spanning_tree(sparse.csr_array(lengths)).tocoo()
        one, other, length = densest[tree.row], densest[tree.col], tree.data
    else:
        center = np.array([densest[np.argmax(np.bincount(part))]])
        other = densest[densest != center[0]]
        one = np.broadcast_to(center, other.shape)
        length = np.maximum(_distances(rows, other, center)[:, 0], floor)
    joints = sparse.csr_array((length, (one, other)), shape=graph.shape)
    both: sparse.csr_array[Any] = joints + joints.T
    return both


def _distances(rows: Any, some: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """Distances of some rows to others, shape (len(some), len(others)), as those of the graph."""
    from scipy.spatial.distance import cdist

    if not is_sparse(rows):
        dense = rows.astype(np.float64)
        return np.asarray(cdist(dense[some], dense[others]))
    left, right = rows[some], rows[others]
    for part in (left, right):
        part.sort_indices()
    left, right = (
        type(part)((unit_values(part), part.indices, part.indptr), shape=part.shape)
        for part in (left, right)
    )
    cosines: NDArray[np.float64] = (left @ right.T).toarray()
    return np.sqrt(np.maximum(2 - 2 * cosines, 0))
