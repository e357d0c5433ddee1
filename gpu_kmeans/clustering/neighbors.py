"""The nearest rows of each row, exact: what a neighbour graph is made of.

Sparse rows are compared through an inverted index, as in Bayardo, Ma and Srikant, Scaling up all
pairs similarity search, 2007; dense ones by products in blocks. Scores in the rows' own precision
rule out what is certainly too far, and what is left is compared in float64: no neighbour is missed,
unlike in approximate graphs (NN-descent, HNSW).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.select import BackendSpec, resolve
from gpu_kmeans.clustering.nearness import check_count
from gpu_kmeans.validation import check_rows

if TYPE_CHECKING:
    from scipy import sparse

__all__ = ["Neighbors", "neighbors"]


@dataclass(frozen=True, slots=True, eq=False)
class Neighbors:
    """The nearest other rows of each row, the nearest first; arrays are on the host.

    Attributes
    ----------
    indices : ndarray of shape (n, n_neighbors), int32
        Numbers of rows. Equally near ones come in rising order.
    values : ndarray of shape (n, n_neighbors), float64
        Their cosine similarities, or Euclidean distances.
    metric : "cosine" or "euclidean"
    """

    indices: NDArray[np.int32]
    values: NDArray[np.float64]
    metric: str

    def graph(self) -> sparse.csr_array[Any]:
        """Return the graph from each row to its neighbours, shape (n, n), with ``values``.

        Zeros are stored, too: they are neighbours.
        """
        from scipy import sparse

        n, count = self.indices.shape
        order = np.argsort(self.indices, axis=1)
        columns = np.take_along_axis(self.indices, order, axis=1)
        values = np.take_along_axis(self.values, order, axis=1)
        ends = np.arange(n + 1) * count
        return sparse.csr_array((values.ravel(), columns.ravel(), ends), shape=(n, n))


def neighbors(
    rows: Any,
    n_neighbors: int = 15,
    *,
    metric: Literal["cosine", "euclidean"] = "cosine",
    backend: BackendSpec = "auto",
) -> Neighbors:
    """Find the nearest other rows of each row, exactly, without an array of n times n numbers.

    Parameters
    ----------
    rows : CSR, array or data frame of shape (n, n_features)
        What :class:`gpu_kmeans.KMeans` takes. A row without any value but 0 has similarity 0 to
        all others.
    n_neighbors : int
        Less than the number of rows.
    metric : "cosine" or "euclidean"
        Sparse rows are compared by their cosines alone.
    backend : "auto", "gpu", "cpu" or a backend

    Raises
    ------
    InputError
        The rows, or a parameter, cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> neighbors(np.array([[1, 0], [1, 1], [0, 3]]), 1, backend="cpu").indices.ravel().tolist()
    [1, 0, 1]
    """
    checked = check_rows(rows)
    check_count(checked, n_neighbors, metric)
    device = resolve(backend)
    return Neighbors(*device.neighbors(device.matrix(checked), n_neighbors, metric), metric)
