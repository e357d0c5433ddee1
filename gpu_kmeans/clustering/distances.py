"""Nearest centroids and distances to them, of any rows and centroids that their dtype holds.

Nearest centroids are first found from products in the rows' own precision, which is fast, with a
bound of what rounding may have done to the difference between the best cluster and the next. Rows
for which it may have changed the order are looked at again from products in float64, and dense rows
that these leave open from the differences themselves. Of rows of text that is a few in a million;
of rows with a far value, or in clusters that are small beside their distance from each other, all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Assignment, Backend, Matrix
from gpu_kmeans.clustering.scaling import (
    COMFORT,
    drowns,
    is_mostly_full,
    is_sparse,
    largest_value,
    power_of_two,
)
from gpu_kmeans.forking import product

__all__ = ["all_distances", "nearest", "squared_distances"]

NUMBERS_AT_ONCE = 1 << 22
"""Maximum number of float64 in an array of differences, or of products, of some rows."""
CLOSE = 1e-8
"""Squared distances below this share of the squared norms they come from are formed anew, from
differences: half of a product's digits, in float64."""


def nearest(backend: Backend, host: Any, centers: NDArray[Any]) -> NDArray[np.int32]:
    """Nearest centroid of each row, the first of equal ones; ``fit`` and ``predict`` use this.

    Parameters
    ----------
    host : CSR or array of shape (n, n_features), float32 or float64
    centers : ndarray of shape (k, n_features), float32 or float64

    Returns
    -------
    ndarray of shape (n,), int32
        As from squared distances in float64, but for ties within their rounding.
    """
    matrix = backend.matrix(host)
    if centers.dtype == np.float64 and matrix.dtype == np.float32:
        matrix = matrix.astype(np.float64)
    same = centers.astype(matrix.dtype, copy=False)
    labels, unsettled, norms = _by_products(backend, matrix, same)
    if len(unsettled) and matrix.dtype == np.float32:
        labels[unsettled], again = _in_float64(backend, matrix, centers, norms, unsettled)
        unsettled = unsettled[again]
    if len(unsettled) and is_mostly_full(matrix):
        labels[unsettled] = _by_differences(backend, matrix, centers, unsettled)
    return labels


def squared_distances(
    backend: Backend, host: Any, centers: NDArray[Any], labels: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Squared distance of each row to the centroid of its label, in float64."""
    matrix = backend.matrix(host)
    if not (is_sparse(matrix) and is_mostly_full(matrix)):
        return backend.distances(matrix, centers, labels)
    squared = np.empty(matrix.shape[0])
    step = max(1, NUMBERS_AT_ONCE // matrix.shape[1])
    for start in range(0, len(squared), step):
        part = slice(start, start + step)
        differences = _rows_on_host(backend, matrix, part) - centers[labels[part]]
        squared[part] = np.einsum("ij,ij->i", differences, differences)
    return squared


def all_distances(backend: Backend, host: Any, centers: NDArray[Any]) -> NDArray[np.float64]:
    """Distance of each row to each centroid, shape (n, k), computed in float64."""
    matrix = backend.matrix(host)
    wide = centers.astype(np.float64)
    around, centred, scale = _together(backend, matrix.astype(np.float64), wide, np.median)
    products = backend.to_host(backend.project(around, centred.T))
    norms = backend.squared_norms(around)[:, None] + np.square(centred).sum(axis=1)
    squared: NDArray[np.float64] = norms - 2 * products
    close = np.nonzero(squared <= CLOSE * norms)
    distance = np.sqrt(np.maximum(squared, 0)) / scale
    if is_mostly_full(matrix):
        step = max(1, NUMBERS_AT_ONCE // matrix.shape[1])
        for start in range(0, len(close[0]), step):
            row, cluster = (index[start : start + step] for index in close)
            distance[row, cluster] = _lengths(_rows_on_host(backend, matrix, row) - wide[cluster])
    return distance


def _rows_on_host(backend: Backend, matrix: Matrix, rows: Any) -> NDArray[np.float64]:
    """Some rows as a dense float64 array on the host."""
    part = backend.to_host(matrix[rows])
    dense: NDArray[np.float64] = (part.toarray() if is_sparse(part) else part).astype(np.float64)
    return dense


def _lengths(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean norms along the last axis, of numbers of any size."""
    largest = np.abs(differences).max(axis=-1, keepdims=True)
    scaled = np.divide(differences, largest, out=np.zeros_like(differences), where=largest > 0)
    lengths: NDArray[np.float64] = np.sqrt(np.square(scaled).sum(axis=-1)) * largest[..., 0]
    return lengths


def _distinct(centers: NDArray[Any], norms: NDArray[np.float64]) -> NDArray[np.int32]:
    """Indices of the centroids that equal none before them; those of equal norm are compared."""
    keep = np.ones(len(centers), bool)
    _, group, count = np.unique(norms, return_inverse=True, return_counts=True)
    seen: set[bytes] = set()
    for label in np.flatnonzero(count[group] > 1):
        key = (centers[label] + 0.0).tobytes()  # one zero, whatever its sign
        keep[label] = key not in seen
        seen.add(key)
    return np.flatnonzero(keep).astype(np.int32)


def _by_products(
    backend: Backend, matrix: Matrix, centers: NDArray[Any]
) -> tuple[NDArray[np.int32], NDArray[np.intp], NDArray[np.float64]]:
    """Find nearest centroids from products, in one precision.

    Returns labels, the rows that these may be wrong for, and the centroids' squared norms where
    the rows are sparse.
    """
    middle = np.mean if matrix.dtype == np.float32 else np.median
    around, centred, scale = _together(backend, matrix, centers, middle)
    clusters = backend.clusters_from(centred, around.dtype)
    distinct = _distinct(centers, clusters.squared_norms)
    if len(distinct) < len(centers):
        # Equal ones would be each other's next best, and leave all their rows open.
        labels, unsettled, _ = _by_products(backend, matrix, centers[distinct])
        return distinct[labels], unsettled, clusters.squared_norms / scale / scale
    assignment = backend.assign(around, clusters, second=True)
    unsettled = _unsettled(assignment, backend.squared_norms(around), _rounding_of(around))
    return assignment.nearest, unsettled, clusters.squared_norms / scale / scale


def _rounding_of(matrix: Matrix) -> float:
    """Rounding of a squared distance as a share of (|row| + distance)^2."""
    n, n_features = matrix.shape
    terms = matrix.nnz / n if is_sparse(matrix) else n_features
    return float((4 + np.sqrt(terms) / 2) * np.finfo(matrix.dtype).eps)


def _unsettled(
    assignment: Assignment, norms: NDArray[np.float64], rounding: float
) -> NDArray[np.intp]:
    """Rows whose two nearest centroids may be the other way round but for rounding."""
    second = assignment.second
    assert second is not None
    best = np.sqrt(np.maximum(assignment.cost + norms, 0))
    bound = rounding * np.square(np.sqrt(norms) + best)
    return np.flatnonzero(~(second - assignment.cost > 2 * bound))


def _in_float64(
    backend: Backend,
    matrix: Matrix,
    centers: NDArray[Any],
    norms: NDArray[np.float64],
    rows: NDArray[np.intp],
) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Find nearest centroids of some float32 rows from products in float64.

    ``norms`` are the centroids' squared norms. Returns labels, and which of
    these may be wrong, counted from 0 among the rows asked for.
    """
    if not is_sparse(matrix):
        part = matrix[rows].astype(np.float64)
        return _by_products(backend, part, centers.astype(np.float64))[:2]
    labels = np.empty(len(rows), np.int32)
    unsettled = []
    # Few rows at a time, and of the centroids only what these rows have: they may be very wide.
    length = max(1, matrix.nnz // matrix.shape[0])
    step = max(64, NUMBERS_AT_ONCE // (len(centers) * length))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        part = backend.to_host(matrix[some]).astype(np.float64)
        used = np.unique(part.indices)
        part = backend.matrix(part[:, used])
        clusters = backend.clusters_from(centers[:, used].astype(np.float64), np.float64)
        assignment = backend.assign(part, replace(clusters, squared_norms=norms), second=True)
        labels[start : start + step] = assignment.nearest
        rounding = _rounding_of(part)
        unsettled.append(start + _unsettled(assignment, backend.squared_norms(part), rounding))
    return labels, np.concatenate(unsettled)


def _by_differences(
    backend: Backend, matrix: Matrix, centers: NDArray[Any], rows: NDArray[np.intp]
) -> NDArray[np.int32]:
    """Nearest centroids of some rows, dense or nearly so, from the differences, in float64."""
    wide = centers.astype(np.float64)
    labels = np.empty(len(rows), np.int32)
    step = max(1, NUMBERS_AT_ONCE // wide.size)
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        part = _rows_on_host(backend, matrix, some)
        labels[start : start + step] = _lengths(part[:, None] - wide).argmin(axis=1)
    return labels


def _together(
    backend: Backend, matrix: Matrix, centers: NDArray[Any], middle: Any
) -> tuple[Matrix, NDArray[Any], float]:
    """Rows and centroids around a middle of the centroids, and scaled: by the centroids alone.

    Sparse rows are left where they are; if the centroids' mean outweighs their spread, they are
    computed in float64.
    """
    if is_sparse(matrix):
        if len(centers) > 1 and matrix.dtype == np.float32:
            mean, mean_square = _mean_of(centers)
            squared_mean = float(product(mean, mean))
            if drowns(squared_mean, max(mean_square - squared_mean, 0.0), matrix.dtype):
                matrix, centers = matrix.astype(np.float64), centers.astype(np.float64)
    else:
        mean = _mean_of(centers)[0] if middle is np.mean else middle(centers, axis=0)
        offset = mean.astype(centers.dtype)
        matrix, centers = matrix - backend.matrix(offset[None, :]), centers - offset
    scale = power_of_two(largest_value(centers), dtype=matrix.dtype)
    if scale > 1:  # of rows far larger than the centroids, no value may overflow
        scale = min(scale, max(1.0, power_of_two(largest_value(matrix) / COMFORT)))
    if scale != 1:
        matrix = matrix * matrix.dtype.type(scale)
        centers = centers * centers.dtype.type(scale)
    return matrix, centers, scale


def _mean_of(centers: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """Mean of the centroids and of their squared norms, in float64."""
    mean, mean_square = np.zeros(centers.shape[1]), 0.0
    # One by one: a float64 copy of wide centroids would outweigh everything else.
    for center in centers:
        wide = center.astype(np.float64)
        mean += wide
        mean_square += float(product(wide, wide)) / len(centers)
    return mean / len(centers), mean_square
