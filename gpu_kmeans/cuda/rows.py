"""Verbs on rows: CSR through the project's own kernels, dense through cuBLAS.

``kernels/rows.cu`` says how CSR rows are assigned and summed, how accurate that is and what
bounds it. Nothing here adds floating-point numbers with atomics: sums by cluster are formed in
64-bit fixed point (each addend is off by at most 2^-63 of the cluster's weight times the largest
value), everything else in a fixed order, and the same rows and labels give the same bits every
time.

Memory beside the rows themselves: ``n_features * k`` numbers for each ``Clusters``; while sums
are formed, up to twice that in fixed point (in bands of clusters where memory is short); for
``assign``, 8 to 12 bytes for each row and 256 clusters, or one block of scores for dense rows.

Not yet run on a GPU: the kernels' arithmetic is tested on a CPU, with CuPy's part on NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cupy as cp
import numpy as np
from cupyx.scipy import sparse
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Assignment, Clusters, Drift, IntArray, Matrix, is_sparse
from gpu_kmeans.clustering.bounds import update_bounds_by_products
from gpu_kmeans.cuda import kernels
from gpu_kmeans.cuda.device_memory import each_block
from gpu_kmeans.errors import UnsupportedOnBackend

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

WARP = 32
ROWS = 4
"""Number of rows of a block of threads: one warp each."""
TILE = 256
"""Number of clusters that a warp takes at a time; the kernels' own TILE."""
COLUMNS = 128
"""Number of threads of a block that goes down columns of the sums."""
BANDS = 1024
"""Maximum number of bands of features that columns are cut into: enough to fill a GPU."""
HEIGHT = 64
"""Minimum number of features of a band."""
C_NAMES = {"float32": "float", "float64": "double", "int32": "int", "int64": "long long"}
FIXED_POINT_BITS = 62
MOVED_NON_ZEROS = 1 << 22
"""Number of non-zeros that are moved at once. Results depend on it: sums are rounded after each."""
MOST_NON_ZEROS = 2**31 - 1 - WARP
"""Maximum number of non-zeros of CSR rows: cupyx numbers them in 32 bits, and the kernels step over
them a warp at a time."""


def matrix(rows: Any) -> Matrix:
    """Return CSR with sorted, unrepeated column indices, or a C-contiguous array, of floats."""
    if not is_sparse(rows):
        return cp.ascontiguousarray(cp.asarray(rows))
    if rows.nnz > MOST_NON_ZEROS:
        raise UnsupportedOnBackend(
            f"{rows.nnz} non-zeros are more than cupyx numbers ({MOST_NON_ZEROS}): use fewer rows "
            "or terms (max_features), or backend='cpu'"
        )
    csr = rows if isinstance(rows, sparse.csr_matrix) else sparse.csr_matrix(rows)
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


def to_host(value: Any) -> Any:
    """SciPy CSR or NumPy of the same content; what is on the host already stays as it is."""
    return value.get() if hasattr(value, "get") else value


def squared_norms(rows: Matrix) -> NDArray[np.float64]:
    n = rows.shape[0]
    out = cp.empty(n)
    if is_sparse(rows):
        _per_row(rows, "square_rows", n)(_i(n), rows.indptr, rows.data, out)
        return _host(out)

    def work(start: int, stop: int) -> None:
        out[start:stop] = cp.square(rows[start:stop].astype(np.float64)).sum(axis=1)

    each_block(n, 16 * rows.shape[1], work)
    return _host(out)


def project(rows: Matrix, directions: NDArray[Any]) -> Matrix:
    dtype = np.result_type(rows.dtype, directions.dtype)
    columns = _device(directions, dtype)
    wide = rows if rows.dtype == dtype else rows.astype(dtype)
    if not is_sparse(rows):
        return wide @ columns
    (n, _), k = rows.shape, columns.shape[1]
    out = cp.empty((n, k), dtype=dtype)
    _per_row(wide, "products", n, -(-k // TILE))(_i(n), _i(k), *_parts(wide), columns, out)
    return out


def transpose(rows: Matrix) -> Matrix:
    return matrix(rows.T.tocsr() if is_sparse(rows) else rows.T)


def inner_products(left: Matrix, right: Matrix) -> NDArray[np.float64]:
    one, other = cp.asarray(left), cp.asarray(right)
    total = cp.zeros((one.shape[1], other.shape[1]))

    def work(start: int, stop: int) -> None:
        wide = other[start:stop].astype(np.float64)
        total[:] += one[start:stop].astype(np.float64).T @ wide

    each_block(one.shape[0], 16 * (one.shape[1] + other.shape[1]), work)
    return _host(total)


def clusters_from(centroids: NDArray[Any], dtype: Any) -> Clusters:
    sums = cp.ascontiguousarray(_device(centroids, dtype).T)
    return Clusters(sums, np.ones(sums.shape[1]), _column_norms(sums))


def cluster_sums(
    rows: Matrix,
    labels: NDArray[np.int32],
    k: int,
    weight: NDArray[np.float64] | None = None,
    into: Clusters | None = None,
    exact: bool = False,  # they are always formed anew: in fixed point they are not kept
) -> Clusters:
    totals = np.bincount(labels, weights=weight, minlength=k).astype(np.float64)
    if is_sparse(rows):
        return _sparse_cluster_sums(rows, labels, weight, totals, into)
    n, n_features = rows.shape
    w = np.ones(n) if weight is None else weight
    wide = cp.zeros((k, n_features))

    def work(start: int, stop: int) -> None:
        members = _one_hot(labels[start:stop], w[start:stop], k)
        wide[:] += members @ rows[start:stop].astype(np.float64)

    each_block(n, 8 * (k + n_features), work)
    norms = _host(cp.square(wide).sum(axis=1))
    return Clusters(cp.ascontiguousarray(wide.T.astype(rows.dtype)), totals, norms)


def _sparse_cluster_sums(
    rows: Matrix,
    labels: NDArray[np.int32],
    weight: NDArray[np.float64] | None,
    totals: NDArray[np.float64],
    into: Clusters | None,
) -> Clusters:
    (n, n_features), k = rows.shape, len(totals)
    # No sum can be larger than its cluster's weight times the largest value: powers of two just
    # above both, which change no digit, take the sums to where 62 bits hold them.
    _, exponent = math.frexp(float(abs(rows.data).max()) if rows.nnz else 1.0)
    unit = np.float64(math.ldexp(1.0, exponent - FIXED_POINT_BITS))
    _, above = np.frexp(np.where(totals > 0, totals, 1.0))
    sizes = _device(np.ldexp(1.0, above), np.float64)
    device_labels = _device(labels, np.int32)
    if weight is None:
        w = _device(np.ldexp(1.0, -above), np.float64)[device_labels]
    else:
        w = _device(np.ldexp(weight, -above[labels]), np.float64)
    sums = cp.empty((n_features, k), dtype=rows.dtype) if into is None else into.sums
    height, bands = _bands(n_features)
    squares = cp.empty((bands, k))

    def work(first: int, stop: int) -> None:
        width = stop - first
        exact = cp.zeros((n_features, width), dtype=np.uint64)
        _per_row(rows, "add_rows", n)(
            _i(n), _i(first), _i(width), *_parts(rows), device_labels, w, 1 / unit, exact
        )
        _kernel(rows, "round_sums")(
            (-(-width // COLUMNS), bands),
            (COLUMNS,),
            (
                *map(_i, (n_features, k, first, width, height)),
                *(exact.view(np.int64), unit, sizes, sums, squares),
            ),
        )

    each_block(k, 8 * n_features, work)
    return Clusters(sums, totals, _host(squares.sum(axis=0)))


def assign(
    rows: Matrix,
    clusters: Clusters,
    labels: NDArray[np.int32] | None = None,
    weight: NDArray[np.float64] | None = None,
    squared_norms: NDArray[np.float64] | None = None,
    second: bool = False,
    which: NDArray[np.int64] | None = None,
) -> Assignment:
    if which is not None:
        rows = rows[_device(which, np.int64)]
    n, dtype = rows.shape[0], clusters.sums.dtype
    size, q = clusters.sizes_and_spreads()
    arguments = [_device(q, dtype), _device(size, dtype)]
    if labels is not None:
        w = cp.ones(n, dtype=dtype) if weight is None else _device(weight, dtype)
        arguments += [_device(labels, np.int32), w, _device(squared_norms, dtype)]
    choose = _assign_sparse if is_sparse(rows) else _assign_dense
    # In one piece, so that one copy brings them all: costs, what else is asked (the next best
    # cluster's cost, or with labels the product with the row's own sum), the clusters.
    ends = np.cumsum([n * dtype.itemsize, n * dtype.itemsize, n * 4])
    whole = cp.empty(ends[-1], dtype=np.uint8)
    cost, more = (whole[end - n * dtype.itemsize : end].view(dtype) for end in ends[:2])
    nearest = whole[ends[1] :].view(np.int32)
    choose(rows, clusters.sums, arguments, nearest, cost, more)
    host = np.asarray(to_host(whole))
    costs, others = (
        host[end - n * dtype.itemsize : end].view(dtype).astype(np.float64) for end in ends[:2]
    )
    best = host[ends[1] :].view(np.int32).copy(), costs
    if labels is not None:
        return Assignment(*best, None, others)
    return Assignment(*best, others if second else None, None)


def _assign_sparse(
    rows: Matrix, sums: Matrix, arguments: list[Any], nearest: Any, cost: Any, more: Any
) -> None:
    """One kernel over rows and tiles of clusters, then the best of each row's tiles."""
    k = sums.shape[1]
    tiles = -(-k // TILE)
    labelled = len(arguments) > 2
    name = "nearest_other" if labelled else "nearest"

    def work(start: int, stop: int) -> None:
        n = stop - start
        of_rows = [array[start:stop] for array in arguments[2:]]
        indptr, indices, values = _parts(rows)
        operands = (_i(n), _i(k), indptr[start : stop + 1], indices, values, sums)
        answers = [nearest[start:stop], cost[start:stop], more[start:stop]]
        if tiles == 1:
            _per_row(rows, name, n)(*operands, *arguments[:2], *of_rows, *answers)
            return
        clusters = cp.empty((tiles, n), dtype=np.int32)
        costs = cp.empty((tiles, n), dtype=sums.dtype)
        seconds = cp.empty((1 if labelled else tiles, n), dtype=sums.dtype)
        out = [clusters, costs, more[start:stop] if labelled else seconds]
        _per_row(rows, name, n, tiles)(*operands, *arguments[:2], *of_rows, *out)
        _kernel(rows, "combine_tiles")(
            (-(-n // COLUMNS),),
            (COLUMNS,),
            (_i(n), _i(tiles), _i(not labelled), clusters, costs, seconds, *answers),
        )

    each_block(rows.shape[0], tiles * (4 + 3 * sums.dtype.itemsize) + 24, work)


def _assign_dense(
    rows: Matrix, sums: Matrix, arguments: list[Any], nearest: Any, cost: Any, more: Any
) -> None:
    """Blocks of scores by cuBLAS."""
    q, size = arguments[:2]

    def work(start: int, stop: int) -> None:
        scores = rows[start:stop] @ sums
        position = cp.arange(stop - start)
        if len(arguments) == 2:
            scores = (q - 2 * scores) / size
        else:
            labels, w, norms = (one[start:stop] for one in arguments[2:])
            mine = (position, labels)
            more[start:stop] = scores[mine]
            scores = (q - 2 * scores - (w * norms)[:, None]) / (size + w[:, None])
            scores[mine] = np.inf
        best = scores.argmin(axis=1)
        nearest[start:stop] = best
        cost[start:stop] = scores[position, best]
        if len(arguments) == 2:
            scores[position, best] = np.inf
            more[start:stop] = scores.min(axis=1)

    each_block(rows.shape[0], 4 * sums.shape[1] * sums.dtype.itemsize, work)


def update_bounds(
    rows: Matrix, assignment: Assignment, drift: Drift, rounding_error: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    return update_bounds_by_products(
        *(assignment, drift, rounding_error, rows),
        lambda which: to_host(rows[_device(which, np.int64)]),
        lambda some, columns: _host(project(some, columns)),
    )


def move(
    clusters: Clusters,
    rows: Matrix,
    which: IntArray,
    source: NDArray[np.int32],
    target: NDArray[np.int32],
    weight: NDArray[np.float64] | None = None,
) -> None:
    if len(which) == 0:
        return
    k = len(clusters.weight)
    w = np.ones(len(which)) if weight is None else weight[which]
    clusters.weight += np.bincount(target, w, k) - np.bincount(source, w, k)
    if is_sparse(rows):
        step = max(1, MOVED_NON_ZEROS * rows.shape[0] // max(1, rows.nnz))
        for start in range(0, len(which), step):
            part = slice(start, start + step)
            _move_sparse(clusters.sums, rows, which[part], source[part], target[part], w[part])
    else:
        _move_dense(clusters.sums, rows, which, source, target, w)
    clusters.squared_norms[:] = _column_norms(clusters.sums)


def _move_sparse(
    sums: Matrix,
    rows: Matrix,
    which: IntArray,
    source: NDArray[np.int32],
    target: NDArray[np.int32],
    weight: NDArray[np.float64],
) -> None:
    """List every change of a sum, and add up those of one place in a fixed order."""
    indptr = rows.indptr
    moved = _device(which, np.int64)
    ends = cp.cumsum(indptr[moved + 1] - indptr[moved], dtype=np.int64)
    total = int(ends[-1])
    if total == 0:
        return
    offsets = cp.concatenate((cp.zeros(1, dtype=np.int64), ends[:-1]))
    places, changes = cp.empty(2 * total, dtype=np.int64), cp.empty(2 * total)
    _per_row(rows, "list_moves", len(which))(
        *(_i(len(which)), _i(sums.shape[1]), np.int64(total), *_parts(rows), moved),
        *(
            _device(source, np.int32),
            _device(target, np.int32),
            _device(weight, np.float64),
            offsets,
            places,
            changes,
        ),
    )
    order = cp.argsort(places, kind="stable")
    _kernel(rows, "apply_moves")(
        (-(-2 * total // COLUMNS),), (COLUMNS,), (np.int64(2 * total), places, order, changes, sums)
    )


def _move_dense(
    sums: Matrix,
    rows: Matrix,
    which: IntArray,
    source: NDArray[np.int32],
    target: NDArray[np.int32],
    weight: NDArray[np.float64],
) -> None:
    touched, column = np.unique(np.concatenate((source, target)), return_inverse=True)
    come, go = column[len(which) :], column[: len(which)]

    def work(start: int, stop: int) -> None:
        part = slice(start, stop)
        signed = _one_hot(come[part], weight[part], len(touched))
        signed -= _one_hot(go[part], weight[part], len(touched))
        change[:] += signed @ rows[which[part]].astype(np.float64)

    change = cp.zeros((len(touched), rows.shape[1]))
    each_block(len(which), 8 * (2 * len(touched) + rows.shape[1]), work)
    sums[:, touched] = (sums[:, touched] + change.T).astype(sums.dtype)


def distances(
    rows: Matrix, centroids: NDArray[Any], labels: NDArray[np.int32]
) -> NDArray[np.float64]:
    n, n_features = rows.shape
    means, device_labels = _device(centroids, rows.dtype), _device(labels, np.int32)
    out = cp.empty(n)
    if is_sparse(rows):
        _per_row(rows, "products_with_own", n)(
            *(_i(n), _i(n_features), *_parts(rows), means, device_labels, out)
        )
        squared = squared_norms(rows) - 2 * _host(out) + _row_norms(means)[labels]
        return np.maximum(squared, 0)

    def work(start: int, stop: int) -> None:
        mine = means[device_labels[start:stop]].astype(np.float64)
        out[start:stop] = cp.square(rows[start:stop].astype(np.float64) - mine).sum(axis=1)

    each_block(n, 32 * n_features, work)
    return _host(out)


def centroids(clusters: Clusters) -> NDArray[Any]:
    source = clusters.mean_sources()
    sums = clusters.sums
    scale = cp.asarray(1 / clusters.weight[source], dtype=sums.dtype)
    columns = cp.asarray(source)
    means = np.empty(sums.shape[::-1], dtype=sums.dtype)

    def work(start: int, stop: int) -> None:
        part = cp.ascontiguousarray(sums[:, columns[start:stop]].T)
        part *= scale[start:stop, None]
        means[start:stop] = to_host(part)

    each_block(sums.shape[1], 2 * sums.dtype.itemsize * sums.shape[0], work)
    return means


def centroid_shift(old: Clusters, new: Clusters) -> float:
    before, after = (_device(one.inverse_weight(), np.float64) for one in (old, new))
    return float(_down_columns("square_shifts", old.sums, before, new.sums, after).sum())


def _column_norms(sums: Matrix) -> NDArray[np.float64]:
    return _host(_down_columns("square_columns", sums).sum(axis=0))


def _row_norms(means: Matrix) -> NDArray[np.float64]:
    norms = cp.empty(means.shape[0])

    def work(start: int, stop: int) -> None:
        norms[start:stop] = cp.square(means[start:stop].astype(np.float64)).sum(axis=1)

    each_block(means.shape[0], 16 * means.shape[1], work)
    return _host(norms)


def _one_hot(labels: NDArray[Any], weight: NDArray[np.float64], k: int) -> Any:
    """Weights in the rows of their labels, shape (k, n), float64."""
    out = cp.zeros((k, len(labels)))
    out[cp.asarray(labels), cp.arange(len(labels))] = cp.asarray(weight)
    return out


# -- the kernels ------------------------------------------------------------------------


def _down_columns(name: str, sums: Matrix, *more: Any) -> Any:
    """Squares by band of features and column, shape (bands, k), float64."""
    n_features, k = sums.shape
    height, bands = _bands(n_features)
    squares = cp.empty((bands, k))
    _kernel(sums, name)(
        (-(-k // COLUMNS), bands),
        (COLUMNS,),
        (_i(n_features), _i(k), _i(height), sums, *more, squares),
    )
    return squares


def _bands(n_features: int) -> tuple[int, int]:
    """Features of a band, and how many bands there are."""
    height = max(HEIGHT, -(-n_features // BANDS))
    return height, -(-n_features // height)


def _per_row(rows: Matrix, name: str, n: int, tiles: int = 1) -> Callable[..., None]:
    """A kernel that gives each of ``n`` rows (and tiles of clusters) a warp."""
    kernel = _kernel(rows, name)
    return lambda *arguments: kernel((-(-n // ROWS), tiles), (WARP, ROWS), arguments)


def _kernel(values: Matrix, name: str) -> Any:
    index = values.indices.dtype if is_sparse(values) else np.dtype(np.int32)
    return kernels.load("rows.cu", REAL=C_NAMES[values.dtype.name], INDEX=C_NAMES[index.name])[name]


def _parts(rows: Matrix) -> tuple[Any, Any, Any]:
    return rows.indptr, rows.indices, rows.data


def _device(array: Any, dtype: Any) -> Any:
    """A host array of any strides on the device, contiguous, as kernels read it."""
    return cp.asarray(np.ascontiguousarray(array, dtype=dtype))


def _i(number: int) -> np.int32:
    return np.int32(number)


def _host(array: Any) -> NDArray[np.float64]:
    return np.asarray(to_host(array), dtype=np.float64)
