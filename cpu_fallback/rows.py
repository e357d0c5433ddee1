"""Verbs on rows: compiled, or CSR through SciPy and dense through NumPy.

Sums are stored feature by cluster: a non-zero of a CSR row then reads one contiguous run of k
numbers. Where the package was installed with a C compiler, :mod:`cpu_fallback.compiled` assigns
and sums rows and moves sparse ones, and the sums of rare features are lists. Everywhere else the
hot line is SciPy's or NumPy's ``rows @ sums``, in chunks of about :data:`SCORES_PER_CHUNK` scores,
which fit a core's cache: chunks of sparse rows on a pool of threads (SciPy releases the GIL), those
of dense rows one after the other, as BLAS has threads of its own.

Memory beside the rows themselves: ``n_features * k`` numbers for each ``Clusters``; compiled, one
copy of the rows by column and one with the places of their features, and for each ``Clusters`` no
more than one copy for the rare features, and three times that where sums are kept in float64, too;
with SciPy one chunk of scores for each thread, and a float64 copy of the non-zeros while sums are
formed. Where bounds are kept, three numbers for each row, and compiled eight for each feature and
one for each feature and thread.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cpu_fallback import compiled, threads
from cpu_fallback.arguments import (
    check_clusters,
    check_width,
    labels_of,
    own_rows,
    row_numbers_of,
    values_of,
)
from cpu_fallback.compiled import Sums
from gpu_kmeans.backends.protocol import Assignment, Clusters, Drift, IntArray, Matrix
from gpu_kmeans.clustering.bounds import update_bounds_by_products
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.forking import product

__all__ = [
    "assign",
    "centroid_shift",
    "centroids",
    "cluster_sums",
    "clusters_from",
    "distances",
    "inner_products",
    "matrix",
    "move",
    "project",
    "squared_norms",
    "to_host",
    "transpose",
    "update_bounds",
]

SCORES_PER_CHUNK = 200_000
ELEMENTS_PER_CHUNK = 4_000_000
"""Number of values of dense rows that are turned into float64 at once."""
SMALL_SUMS = 1 << 19
"""Maximum number of sums that non-zeros are added to directly: beyond it, SciPy is faster."""
FOLLOWS, FOLLOWS_IN_CACHE, NONZEROS_IN_CACHE = 32, 8, 1 << 18
"""Minimum number of rows for each that moves: where more move, sums are formed anew in less time
(from one in 4 to one in 35, for 2 to 1,000 clusters of 5,000 and 63,000 texts). For rows of at most
NONZEROS_IN_CACHE non-zeros it is FOLLOWS_IN_CACHE: they stay in a core's cache for the next
assignment, where sums by column would displace them."""
FEW_LABELS = 4
"""Maximum number of labels that are counted one by one sooner than all at once."""


def matrix(rows: Any) -> Matrix:
    """CSR with sorted, unrepeated column indices, or a C-contiguous array; float32 or float64."""
    if type(rows).__module__.partition(".")[0] in {"cupy", "cupyx"}:
        raise InvalidParam("the rows are on a GPU: use backend='gpu', or bring them by rows.get()")
    return own_rows(rows)


def to_host(value: Any) -> Any:
    """Return sums as an array; anything else is on the host already."""
    return value.dense() if hasattr(value, "dense") else value


def squared_norms(rows: Matrix) -> NDArray[np.float64]:
    rows = own_rows(rows)
    if _is_csr(rows) and compiled.can_take(rows):
        return compiled.square(rows)
    if not _is_csr(rows) and compiled.can_take(rows):
        return compiled.measure_dense(rows)
    out = np.zeros(rows.shape[0])
    if _is_csr(rows):
        filled = np.diff(rows.indptr) > 0
        if filled.any():
            squares = np.square(rows.data, dtype=np.float64)
            out[filled] = np.add.reduceat(squares, rows.indptr[:-1][filled])
        return out
    step = max(1, ELEMENTS_PER_CHUNK // rows.shape[1])
    for start in range(0, rows.shape[0], step):
        chunk = rows[start : start + step].astype(np.float64)
        out[start : start + step] = np.einsum("ij,ij->i", chunk, chunk)
    return out


def project(rows: Matrix, directions: NDArray[Any]) -> NDArray[Any]:
    rows, dtype = own_rows(rows), np.result_type(rows.dtype, directions.dtype)
    check_width("directions", len(directions), rows)
    directions = np.ascontiguousarray(directions, dtype=dtype)
    if _is_csr(rows) and compiled.can_take(rows) and rows.dtype == dtype and directions.size:
        return compiled.product_rows(rows, directions)
    out = np.empty((rows.shape[0], directions.shape[1]), dtype=dtype)

    def work(start: int) -> None:
        chunk = rows[start : start + step].astype(dtype, copy=False)
        out[start : start + step] = multiply(chunk, directions)

    multiply = operator.matmul if _is_csr(rows) else product  # SciPy uses no BLAS here
    step = max(256, SCORES_PER_CHUNK // directions.shape[1])
    _for_each_chunk(rows, step, work)
    return out


def transpose(rows: Matrix) -> Matrix:
    rows = own_rows(rows)
    return own_rows(rows.T.tocsr() if _is_csr(rows) else rows.T)


def inner_products(left: Matrix, right: Matrix) -> NDArray[np.float64]:
    left, right = own_rows(left), own_rows(right)
    if len(left) != len(right):
        raise InvalidParam(f"columns of {len(left)} numbers cannot meet columns of {len(right)}")
    if compiled.can_take(left) and left.dtype == right.dtype:
        return compiled.inner_products(left, right)
    total = np.zeros((left.shape[1], right.shape[1]))
    step = max(1, ELEMENTS_PER_CHUNK // max(left.shape[1], right.shape[1]))
    for start in range(0, len(left), step):
        chunks = (one[start : start + step].astype(np.float64) for one in (left, right))
        total += product(next(chunks).T, next(chunks))
    return total


def clusters_from(centroids: NDArray[Any], dtype: Any) -> Clusters:
    rows = own_rows(np.asarray(centroids, dtype))
    if compiled.is_there():
        counts, norms = compiled.nonzeros(rows)
        # Means of sparse rows are sparse: as such they are read faster.
        if counts.sum() < rows.size // 2:
            return Clusters(Sums.from_centroids(rows, dtype), np.ones(len(rows)), norms)
    else:
        norms = np.array([np.square(c, dtype=np.float64).sum() for c in rows])
    return Clusters(np.ascontiguousarray(rows.T), np.ones(len(rows)), norms)


def cluster_sums(
    rows: Matrix,
    labels: NDArray[np.int32],
    k: int,
    weight: NDArray[np.float64] | None = None,
    into: Clusters | None = None,
    exact: bool = False,
) -> Clusters:
    rows, n = own_rows(rows), rows.shape[0]
    labels = labels_of(labels, n, k)
    weight = None if weight is None else values_of(weight, n, "weight")
    totals = _totals(labels, weight, k)
    if _is_csr(rows) and compiled.can_take(rows):
        spare = None if into is None else into.sums
        # In float64 the last bits of what comes and goes would remain.
        can_be = k > 1 and rows.dtype == np.float32
        sums, squares = compiled.sum_rows(rows, labels, k, weight, spare, exact and can_be)
        follows = FOLLOWS_IN_CACHE if rows.nnz <= NONZEROS_IN_CACHE else FOLLOWS
        return Clusters(sums, totals, squares, exact and can_be, follows if can_be else 0)
    if _is_csr(rows) and rows.shape[1] * k <= SMALL_SUMS:
        return _small_cluster_sums(rows, labels, k, weight, totals)
    if not _is_csr(rows) and compiled.can_take(rows):
        return _clusters_of_dense(compiled.sum_dense(rows, labels, k, weight), totals, rows.dtype)
    ones = np.ones(n) if weight is None else weight
    members = sparse.csc_array((ones, labels, np.arange(n + 1)), shape=(k, n)).tocsr()
    if _is_csr(rows):
        by_cluster = members @ rows
        dense_sums = np.zeros((rows.shape[1], k), dtype=rows.dtype)
        cluster = np.repeat(np.arange(k), np.diff(by_cluster.indptr))
        dense_sums[by_cluster.indices, cluster] = by_cluster.data
        norms = _totals(cluster, np.square(by_cluster.data), k)
        return Clusters(dense_sums, totals, norms)
    wide = np.zeros((k, rows.shape[1]))
    step = max(1, ELEMENTS_PER_CHUNK // rows.shape[1])
    for start in range(0, n, step):
        wide += members[:, start : start + step] @ rows[start : start + step].astype(np.float64)
    return _clusters_of_dense(wide, totals, rows.dtype)


def _clusters_of_dense(
    exact: NDArray[np.float64], totals: NDArray[np.float64], dtype: Any
) -> Clusters:
    norms = np.einsum("ij,ij->i", exact, exact)
    return Clusters(np.ascontiguousarray(exact.T, dtype=dtype), totals, norms)


def _small_cluster_sums(
    rows: Matrix,
    labels: NDArray[np.int32],
    k: int,
    weight: NDArray[np.float64] | None,
    totals: NDArray[np.float64],
) -> Clusters:
    """Add every non-zero to its sum at once: faster while the sums fit in a cache."""
    n_features = rows.shape[1]
    length = np.diff(rows.indptr)
    position = np.repeat(labels.astype(np.intp) * n_features, length)
    position += rows.indices
    values = rows.data if weight is None else rows.data * np.repeat(weight, length)
    exact = _totals(position, values, k * n_features).reshape(k, n_features)
    sums = np.ascontiguousarray(exact.T, dtype=rows.dtype)
    return Clusters(sums, totals, np.einsum("ij,ij->i", exact, exact))


def assign(
    rows: Matrix,
    clusters: Clusters,
    labels: NDArray[np.int32] | None = None,
    weight: NDArray[np.float64] | None = None,
    squared_norms: NDArray[np.float64] | None = None,
    second: bool = False,
    which: NDArray[np.int64] | None = None,
) -> Assignment:
    rows, n = own_rows(rows), rows.shape[0]
    dtype, k = clusters.sums.dtype, clusters.sums.shape[1]
    check_clusters(clusters, rows)
    if labels is not None:
        labels = labels_of(labels, n, k)
        squared_norms = values_of(squared_norms, n, "squared_norms")
        weight = None if weight is None else values_of(weight, n, "weight")
    which = None if which is None else row_numbers_of(which, n)
    size, q = clusters.sizes_and_spreads()
    if _is_csr(rows) and compiled.can_take(rows):
        sums = clusters.sums
        sums = sums if isinstance(sums, Sums) else Sums.from_centroids(sums.T, dtype)
        arguments = (q, size, labels, weight, squared_norms, second)
        return compiled.nearest(rows, sums, *arguments, which=which)
    rows = rows if which is None else rows[which]
    n = rows.shape[0]
    dense = _dense(clusters.sums)
    if not _is_csr(rows) and compiled.can_take(rows) and rows.dtype == dtype:
        return compiled.nearest_dense(rows, dense, q, size, labels, weight, squared_norms, second)
    nearest = np.empty(n, dtype=np.int32)
    cost = np.empty(n)
    next_best = np.empty(n) if second else None
    own = None if labels is None else np.zeros(n)

    def work(start: int) -> None:
        chunk = slice(start, start + step)
        scores = multiply(rows if step >= n else rows[chunk], dense)
        position = np.arange(scores.shape[0])
        if labels is None or own is None or squared_norms is None:
            scores *= (-2 / size).astype(dtype)
            scores += (q / size).astype(dtype)
        else:
            mine = (position, labels[chunk])
            own[chunk] = scores[mine]
            if weight is None:
                enter = 1 / (size + 1)
                wx2 = squared_norms[chunk, None].astype(dtype) * enter.astype(dtype)
            else:
                w = weight[chunk, None]
                enter = 1 / (size + w)
                wx2 = (w * squared_norms[chunk, None] * enter).astype(dtype)
            scores *= (-2 * enter).astype(dtype)
            scores += (q * enter).astype(dtype)
            scores -= wx2
            scores[mine] = np.inf
        best = scores.argmin(axis=1)
        nearest[chunk] = best
        cost[chunk] = scores[position, best]
        if next_best is not None:
            scores[position, best] = np.inf
            next_best[chunk] = scores.min(axis=1)

    multiply = operator.matmul if _is_csr(rows) else product
    step = max(64, SCORES_PER_CHUNK // k)
    _for_each_chunk(rows, step, work)
    return Assignment(nearest, cost, next_best, own)


def update_bounds(
    rows: Matrix, assignment: Assignment, drift: Drift, rounding_error: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    rows, n, k = own_rows(rows), rows.shape[0], len(drift.offset)
    assignment = Assignment(
        labels_of(assignment.nearest, n, k),
        values_of(assignment.cost, n, "costs"),
        values_of(assignment.second, n, "second costs"),
        None,
    )
    rounding_error = values_of(rounding_error, n, "rounding_error")
    if compiled.can_take(rows):
        return compiled.update_bounds(rows, assignment, drift, rounding_error)
    return update_bounds_by_products(
        assignment, drift, rounding_error, rows, lambda which: rows[which], operator.matmul
    )


def distances(
    rows: Matrix, centroids: NDArray[Any], labels: NDArray[np.int32]
) -> NDArray[np.float64]:
    rows, out = own_rows(rows), np.empty(rows.shape[0])
    check_width("centroids", centroids.shape[1], rows)
    labels = labels_of(labels, rows.shape[0], len(centroids))
    if _is_csr(rows):
        if compiled.can_take(rows):
            same = np.ascontiguousarray(centroids, np.result_type(rows.dtype, centroids.dtype))
            _, norms = compiled.nonzeros(same)
            products = compiled.multiply(rows, same, labels)
            out = squared_norms(rows) - 2 * products + norms[labels]
            return np.maximum(out, 0, out=out)
        norms = np.array([np.square(c, dtype=np.float64).sum() for c in centroids])
        row_norms = squared_norms(rows)
        step = 65_536
        for start in range(0, rows.shape[0], step):
            part = rows[start : start + step]
            mine = labels[start : start + step]
            label = np.repeat(mine, np.diff(part.indptr))
            products = part.data.astype(np.float64) * centroids[label, part.indices]
            row = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
            dots = np.bincount(row, weights=products, minlength=part.shape[0])
            out[start : start + step] = row_norms[start : start + step] - 2 * dots + norms[mine]
        return np.maximum(out, 0)
    if compiled.can_take(rows):
        return compiled.measure_dense(rows, centroids, labels)
    step = max(1, ELEMENTS_PER_CHUNK // rows.shape[1])
    for start in range(0, rows.shape[0], step):
        part = rows[start : start + step].astype(np.float64)
        part -= centroids[labels[start : start + step]]
        out[start : start + step] = np.einsum("ij,ij->i", part, part)
    return out


def move(
    clusters: Clusters,
    rows: Matrix,
    which: IntArray,
    source: NDArray[np.int32],
    target: NDArray[np.int32],
    weight: NDArray[np.float64] | None = None,
) -> None:
    rows, k = own_rows(rows), clusters.sums.shape[1]
    check_clusters(clusters, rows)
    which = row_numbers_of(which, rows.shape[0])
    source, target = (labels_of(labels, len(which), k) for labels in (source, target))
    w = np.ones(len(which))
    if weight is not None:
        w = values_of(weight, rows.shape[0], "weight")[which]
    clusters.weight += _totals(target, w, k) - _totals(source, w, k)
    if isinstance(clusters.sums, Sums):
        compiled.move(clusters, rows, which, source, target, w)
        return
    if _is_csr(rows):
        _move_sparse(clusters, rows, which, source, target, w)
        return
    touched, column = np.unique(np.concatenate((source, target)), return_inverse=True)
    position = np.arange(len(which))
    signed = sparse.csr_array(
        (np.concatenate((-w, w)), (column, np.concatenate((position, position)))),
        shape=(len(touched), len(which)),
    )
    sums = clusters.sums[:, touched] + (signed @ rows[which]).T
    clusters.sums[:, touched] = sums
    clusters.squared_norms[touched] = np.einsum("ij,ij->j", sums, sums)


def _move_sparse(
    clusters: Clusters,
    rows: Matrix,
    which: IntArray,
    source: NDArray[np.int32],
    target: NDArray[np.int32],
    weight: NDArray[np.float64],
) -> None:
    """Add the moved non-zeros to their new sums, and subtract them from the old.

    For a change ``d`` of a sum ``s``, ``|s + d|^2 - |s|^2 = d . (s + (s + d))``: linear in the
    single non-zeros of ``d``, so rows that touch the same sum need not be brought together.
    """
    k = clusters.sums.shape[1]
    first = rows.indptr[which].astype(np.int64)
    length = rows.indptr[which + 1] - first
    offset = np.cumsum(length) - length
    position = np.repeat(first - offset, length) + np.arange(length.sum())
    values = rows.data[position] * np.repeat(weight, length)
    values = np.concatenate((-values, values)).astype(clusters.sums.dtype)
    cluster = np.concatenate((np.repeat(source, length), np.repeat(target, length)))
    cell = np.tile(rows.indices[position].astype(np.int64) * k, 2) + cluster
    flat = clusters.sums.reshape(-1)
    before = flat[cell].astype(np.float64)
    np.add.at(flat, cell, values)
    clusters.squared_norms += _totals(cluster, (before + flat[cell]) * values, k)


def centroids(clusters: Clusters) -> NDArray[Any]:
    check_clusters(clusters)
    source = clusters.mean_sources()
    scale = (1 / clusters.weight[source]).astype(clusters.sums.dtype)
    sums = clusters.sums
    if isinstance(sums, Sums):
        filled = sums.scaled(clusters.inverse_weight().astype(sums.dtype))
        empty = clusters.weight == 0
        filled[empty] = filled[source[empty]]
        return filled
    sums = sums if (clusters.weight > 0).all() else sums[:, source]
    means: NDArray[Any] = np.multiply(sums.T, scale[:, None], order="C")
    return means


def centroid_shift(old: Clusters, new: Clusters) -> float:
    for clusters in (old, new):
        check_clusters(clusters)
    if old.sums.shape != new.sums.shape:
        raise InvalidParam(f"sums of shape {old.sums.shape} cannot meet {new.sums.shape}")
    if isinstance(old.sums, Sums) and isinstance(new.sums, Sums):
        return compiled.shift(old, new)
    before, after = (one.inverse_weight().astype(one.sums.dtype) for one in (old, new))
    step = max(1, SCORES_PER_CHUNK // old.sums.shape[1])
    starts = range(0, old.sums.shape[0], step)
    squares = np.zeros(len(starts))

    def work(start: int) -> None:
        shift = (_dense(old.sums, start, start + step) * before).ravel()
        shift -= (_dense(new.sums, start, start + step) * after).ravel()
        squares[start // step] = product(shift, shift)

    threads.parallel_for(work, starts)
    return float(squares.sum())


def _dense(sums: Any, first: int = 0, last: int | None = None) -> NDArray[Any]:
    """Some features' sums as an array, one column a cluster."""
    return sums.dense(first, last) if isinstance(sums, Sums) else sums[first:last]


def _is_csr(rows: Matrix) -> bool:
    return bool(sparse.issparse(rows))


def _totals(labels: Any, values: NDArray[Any] | None, k: int) -> NDArray[np.float64]:
    """Sum of the values of each label, or how often it is there."""
    if values is None and 1 < k <= FEW_LABELS:
        others = [np.count_nonzero(labels == label) for label in range(1, k)]
        return np.array([len(labels) - sum(others), *others], np.float64)
    return np.bincount(labels, weights=values, minlength=k).astype(np.float64, copy=False)


def _for_each_chunk(rows: Matrix, step: int, work: Any) -> None:
    starts = range(0, rows.shape[0], step)
    if _is_csr(rows):
        threads.parallel_for(work, starts)
    else:
        for start in starts:
            work(start)
