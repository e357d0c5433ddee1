"""Rows brought to where their precision serves a fit.

Squared distances are formed from products, so an offset common to all rows, or values near
the ends of float32's range, would drown what tells the rows apart. Before any product

- dense rows are taken around their mean;
- sparse float32 rows whose mean outweighs their spread are computed in float64 (taking the mean
  out would make them dense; rows of text are never of that kind);
- rows far from 1 in size are scaled by a power of two, which changes no digit, and so are weights.

That serves while clusters are not too small beside their distances from each other. Where a fit
ends with clusters so small that the digits of the rows' own precision were too few to tell their
members apart (:func:`is_drowned`), it is made again with *wide* rows: in float64, and dense ones,
or sparse ones that would take no more memory so, around a median of each column, which one far
value does not drag away as it does the mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Matrix, is_sparse
from gpu_kmeans.clustering.lloyd import Rows
from gpu_kmeans.forking import product

__all__ = [
    "ScaledRows",
    "drowns",
    "is_drowned",
    "is_mostly_full",
    "is_sparse",
    "largest_value",
    "power_of_two",
    "scale_rows",
]

COMFORT = 2.0**20
"""Largest factor between 1 and the rows' largest value at which they are left as they are."""
DOMINANT = 1e4
"""Largest ratio, in float32, of what the rows are far from the origin (squared) to what they are
far from each other. Beyond it rounding is a part in a thousand of a squared distance; in float64
the ratio may be larger by as much as its digits are more."""
DROWNED = 1e3
"""Largest ratio, in float32, of the rows' squared norms to a fit's inertia at which the fit holds:
single-row moves that gain less than NOISE units of rounding are not made, which is then up to a
part in two hundred of a row's squared distance."""
ROUNDING = 1e-5
"""Largest share of the inertia that rounded centroids may add to it."""
MEDIAN_SAMPLE = 1001
"""Number of rows, evenly spread and odd, of which the medians of wide rows are taken: each is a
value of its column, and the differences from it are exact or nearly so."""


@dataclass(frozen=True, slots=True)
class ScaledRows:
    """Rows of a fit as its stages see them, and the way back to those that were passed in.

    Attributes
    ----------
    rows : Rows
    mean_variance : float
        Mean of the features' variances over the rows, unweighted: the unit of ``tol``.
    offset : ndarray of shape (n_features,), or 0.0
    scale, weight_scale : float
        Powers of two.
    """

    rows: Rows
    mean_variance: float
    offset: NDArray[Any] | float
    scale: float
    weight_scale: float

    def inertia(self, scaled: float) -> float:
        """An inertia of the scaled rows in the units of those that were passed in."""
        return scaled / self.scale / self.scale / self.weight_scale

    def to_scaled(self, centers: NDArray[Any]) -> NDArray[Any]:
        """Centroids of the rows as centroids of the scaled ones, copied only at need."""
        dtype = self.rows.matrix.dtype
        around = centers if isinstance(self.offset, float) else centers - self.offset
        around = around if self.scale == 1 else around * self.scale
        return around.astype(dtype, copy=False)

    def from_scaled(
        self, centers: NDArray[Any], weight: NDArray[np.float64], inertia: float, dtype: Any
    ) -> NDArray[Any]:
        """Centroids of the scaled rows as centroids of those that were passed in.

        They are of the given dtype, unless rounding them to it would raise the (scaled) inertia
        by more than :data:`ROUNDING`: then float64. ``weight`` is that of each cluster.
        """
        if isinstance(self.offset, float) and centers.dtype == dtype:
            return centers if self.scale == 1 else centers / dtype.type(self.scale)
        exact = centers.astype(np.float64) / self.scale + self.offset
        rounded = exact.astype(dtype)
        moved = (exact - rounded) * self.scale
        raised = float(product(np.einsum("ij,ij->i", moved, moved), weight))
        return rounded if raised <= ROUNDING * inertia else exact


def scale_rows(
    backend: Backend, matrix: Matrix, weight: NDArray[np.float64] | None, wide: bool = False
) -> ScaledRows:
    """Bring the backend's rows to where their precision serves; see the module."""
    n, n_features = matrix.shape
    offset: Any = 0.0
    if wide:
        matrix = matrix.astype(np.float64)
        if is_sparse(matrix) and is_mostly_full(matrix):
            matrix = backend.matrix(matrix.toarray())
    if not is_sparse(matrix):
        if wide:
            offset = _medians(backend, matrix)
        else:
            offset = backend.centroids(_as_one(backend, matrix))[0]
        matrix = matrix - backend.matrix(offset[None, :])
    scale = power_of_two(largest_value(matrix), dtype=matrix.dtype)
    if scale != 1:
        matrix = matrix * matrix.dtype.type(scale)
    weight_scale = 1.0 if weight is None else power_of_two(float(weight.max()), comfort=1)
    norms = backend.squared_norms(matrix)
    mean_square = norms.sum() / n
    squared_mean = _as_one(backend, matrix).squared_norms[0] / n**2
    variance = max(float(mean_square - squared_mean), 0.0)
    if (
        is_sparse(matrix)
        and matrix.dtype == np.float32
        and drowns(squared_mean, variance, matrix.dtype)
    ):
        matrix = matrix.astype(np.float64)
    weight = None if weight is None else weight * weight_scale
    rows = Rows(matrix, norms, weight, wide)
    return ScaledRows(rows, variance / n_features, offset, scale, weight_scale)


def is_drowned(scaled: ScaledRows, inertia: float) -> bool:
    """Whether a fit that ended with such an inertia lacked digits that wide rows would have."""
    rows = scaled.rows
    return not rows.wide and drowns(rows.total, inertia, rows.matrix.dtype, DROWNED)


def drowns(large: float, small: float, dtype: Any, ratio: float = DOMINANT) -> bool:
    """Whether differences as ``small`` lose their digits among numbers as ``large``."""
    digits = float(np.finfo(np.float32).eps) / float(np.finfo(dtype).eps)
    return large > ratio * digits * small


def is_mostly_full(matrix: Matrix) -> bool:
    """Whether the rows are dense, or CSR that takes no less memory than dense rows would."""
    n, n_features = matrix.shape
    return not is_sparse(matrix) or 3 * matrix.nnz >= 2 * n * n_features


def largest_value(matrix: Matrix) -> float:
    """Largest absolute value; 0 of no values."""
    values = matrix.data if is_sparse(matrix) else matrix
    return float(max(values.max(), -values.min())) if values.size else 0.0


def power_of_two(largest: float, comfort: float = COMFORT, dtype: Any = np.float64) -> float:
    """Factor, within the range of ``dtype``, that makes ``largest`` about 1; 1 within comfort.

    Numbers so small that their reciprocals overflow are made as large as the factor can.
    """
    if largest == 0 or 1 / comfort <= largest <= comfort:
        return 1.0
    exponent: int = min(-math.frexp(largest)[1], np.finfo(dtype).maxexp - 2)
    return 2.0**exponent


def _as_one(backend: Backend, matrix: Matrix) -> Any:
    return backend.cluster_sums(matrix, np.zeros(matrix.shape[0], dtype=np.int32), 1)


def _medians(backend: Backend, matrix: Matrix) -> NDArray[np.float64]:
    """A middle value of each column, of an odd number of rows evenly spread."""
    n = matrix.shape[0]
    count = min(MEDIAN_SAMPLE, n - 1 + n % 2)
    sample = np.linspace(0, n - 1, max(count, 1)).astype(np.intp)
    host: NDArray[np.float64] = backend.to_host(matrix[sample])
    middle: NDArray[np.float64] = np.partition(host, len(host) // 2, axis=0)[len(host) // 2]
    return middle
