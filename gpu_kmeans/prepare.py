"""Rows and centroids brought to a place where their precision serves.

Squared distances are formed from products, so an offset common to all rows, or values near
the ends of float32's range, would drown what tells the rows apart. Before any product

- dense rows are taken around their mean;
- sparse float32 rows whose mean outweighs their spread are computed in float64 (taking the mean
  out would make them dense; rows of text are never of that kind);
- rows far from 1 in size are scaled by a power of two, which changes no digit, and so are weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.forking import product
from gpu_kmeans.lloyd import Rows
from gpu_kmeans.protocol import Backend, Matrix

__all__ = ["Prepared", "all_distances", "nearest", "prepare", "squared_distances"]

COMFORT = 2.0**20
"""Largest value within [1 / COMFORT, COMFORT] is left as it is."""
DOMINANT = 1e4
"""A squared mean so many times the variance leaves float32 too few digits for the rest."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows of a fit as the stages see them, and the way back."""

    rows: Rows
    mean_variance: float
    """Of the features over the rows, unweighted, as scikit-learn scales ``tol``."""
    offset: NDArray[Any] | float
    scale: float
    weight_scale: float

    def inertia(self, prepared: float) -> float:
        """An inertia of the prepared rows in the units of the given ones."""
        return prepared / self.scale / self.scale / self.weight_scale

    def into(self, centers: NDArray[Any]) -> NDArray[Any]:
        """Centroids of the given rows as centroids of the prepared ones, copied only at need."""
        around = centers if isinstance(self.offset, float) else centers - self.offset
        return around if self.scale == 1 else around * self.scale

    def back(self, centers: NDArray[Any]) -> NDArray[Any]:
        """Centroids of the prepared rows as centroids of the given ones, copied only at need."""
        given = centers if self.scale == 1 else centers / self.scale
        return given if isinstance(self.offset, float) else given + self.offset


def prepare(backend: Backend, matrix: Matrix, weight: NDArray[np.float64] | None) -> Prepared:
    """Bring the backend's rows into the place described above."""
    n, n_features = matrix.shape
    offset: Any = 0.0
    if not _is_sparse(matrix):
        offset = backend.centroids(_as_one(backend, matrix))[0]
        matrix = matrix - backend.matrix(offset[None, :])
    scale = _power_of_two(_largest(matrix))
    if scale != 1:
        matrix = matrix * matrix.dtype.type(scale)
    weight_scale = 1.0 if weight is None else _power_of_two(float(weight.max()), comfort=1)
    norms = backend.squared_norms(matrix)
    mean_square = norms.sum() / n
    squared_mean = _as_one(backend, matrix).squared_norms[0] / n**2
    variance = max(float(mean_square - squared_mean), 0.0)
    if _is_sparse(matrix) and _drowns(squared_mean, variance, matrix.dtype):
        matrix = matrix.astype(np.float64)
    rows = Rows(matrix, norms, None if weight is None else weight * weight_scale)
    return Prepared(rows, variance / n_features, offset, scale, weight_scale)


def nearest(backend: Backend, host: Any, centers: NDArray[Any]) -> NDArray[np.int32]:
    """Nearest centroid of each row, the first of equal ones; ``fit`` and ``predict`` use this."""
    matrix, around, _ = _together(backend, host, centers)
    found = backend.assign(matrix, backend.clusters_from(around, matrix.dtype)).nearest
    if _is_sparse(matrix):
        return found
    # BLAS may round the products with two equal centroids differently at a block's edge.
    first: dict[bytes, int] = {}
    same = [first.setdefault(center.tobytes(), label) for label, center in enumerate(centers)]
    return np.array(same, dtype=np.int32)[found]


def squared_distances(
    backend: Backend, host: Any, centers: NDArray[Any], labels: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Squared distance of each row to the centroid of its label, in float64."""
    return backend.distances(backend.matrix(host), centers, labels)


def all_distances(backend: Backend, host: Any, centers: NDArray[Any]) -> NDArray[np.float64]:
    """Distance of each row to each centroid, shape (n, k), computed in float64."""
    matrix, around, scale = _together(backend, host, centers)
    around = around.astype(np.float64)
    products = backend.to_host(backend.project(matrix, around.T))
    squared: NDArray[np.float64] = backend.squared_norms(matrix)[:, None] - 2 * products
    squared += np.square(around).sum(axis=1)
    return np.sqrt(np.maximum(squared, 0)) / scale


def _together(
    backend: Backend, host: Any, centers: NDArray[Any]
) -> tuple[Matrix, NDArray[Any], float]:
    """Rows and centroids around the centroids' mean, and scaled: by the centroids alone."""
    matrix = backend.matrix(host)
    mean, mean_square = np.zeros(centers.shape[1]), 0.0
    # One by one: a float64 copy of wide centroids would outweigh everything else.
    for center in centers:
        wide = center.astype(np.float64)
        mean += wide
        mean_square += float(product(wide, wide)) / len(centers)
    mean /= len(centers)
    if _is_sparse(matrix):
        squared_mean = float(product(mean, mean))
        spread = max(mean_square - squared_mean, 0.0)
        if len(centers) > 1 and _drowns(squared_mean, spread, matrix.dtype):
            matrix, centers = matrix.astype(np.float64), centers.astype(np.float64)
    else:
        offset = mean.astype(centers.dtype)
        matrix, centers = matrix - backend.matrix(offset[None, :]), centers - offset
    scale = _power_of_two(_largest(centers))
    if scale != 1:
        matrix = matrix * matrix.dtype.type(scale)
        centers = centers * centers.dtype.type(scale)
    return matrix, centers, scale


def _is_sparse(matrix: Matrix) -> bool:
    return hasattr(matrix, "indptr")


def _as_one(backend: Backend, matrix: Matrix) -> Any:
    return backend.cluster_sums(matrix, np.zeros(matrix.shape[0], dtype=np.int32), 1)


def _drowns(squared_mean: float, variance: float, dtype: Any) -> bool:
    return dtype == np.float32 and squared_mean > DOMINANT * variance


def _largest(matrix: Matrix) -> float:
    values = matrix.data if _is_sparse(matrix) else matrix
    return float(max(values.max(), -values.min())) if values.size else 0.0


def _power_of_two(largest: float, comfort: float = COMFORT) -> float:
    """What to multiply by so that ``largest`` is about 1; 1 where it is within comfort."""
    if largest == 0 or 1 / comfort <= largest <= comfort:
        return 1.0
    return 2.0 ** -math.frexp(largest)[1]
