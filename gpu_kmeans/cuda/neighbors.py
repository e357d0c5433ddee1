"""The verb that compares rows with each other: all of them, in float64, by the project's kernels.

Scores are exact to the rounding of float64, and summed in the order of the features, as the CPU's
are: identical rows are equally near. No row is ruled out before, so that cards that are slow in
float64 are slow here. A block of rows is turned into columns, compared with all rows, and the
nearest of each band of rows are put together on the host.

Not yet run on a GPU: the kernels' arithmetic is tested on a CPU, with CuPy's part on NumPy.
"""

from __future__ import annotations

from typing import Any, Literal

import cupy as cp
import numpy as np
from cupyx.scipy import sparse
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Matrix, is_sparse
from gpu_kmeans.clustering.nearness import check_count, scaled_values, unit_values
from gpu_kmeans.cuda import kernels
from gpu_kmeans.cuda.device_memory import each_block
from gpu_kmeans.cuda.rows import COLUMNS, ROWS, TILE, WARP, to_host

__all__ = ["neighbors"]

HEIGHT, BANDS = 1024, 128
"""Minimum number of rows of a band, and maximum number of bands, whose nearest are kept apart."""
GRID = 65_535
"""Maximum height of a grid of blocks."""


def neighbors(
    rows: Matrix, count: int, metric: Literal["cosine", "euclidean"] = "cosine"
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    check_count(rows, count, metric)
    n, n_features = rows.shape
    by_distance = metric == "euclidean"
    host, scale = to_host(rows), 1.0
    if by_distance:
        values, scale = scaled_values(host)
    else:
        values = unit_values(host)
    wide: Any = cp.asarray(values)
    if is_sparse(rows):
        wide = sparse.csr_matrix((wide, rows.indices, rows.indptr), shape=rows.shape)
    height = max(HEIGHT, -(-n // BANDS))
    bands = -(-n // height)
    nearest, nearness = np.empty((n, count), np.int32), np.empty((n, count))

    def work(start: int, stop: int) -> None:
        b = stop - start
        scores = _scores(wide, start, b, by_distance)
        rows_kept = cp.empty((bands, b, count), dtype=np.int32)
        best = cp.empty((bands, b, count))
        kernels.load("neighbors.cu", INDEX="int")["keep_nearest"](
            (-(-b // COLUMNS), bands),
            (COLUMNS,),
            (
                *(np.int32(n), np.int32(b), np.int64(start), np.int32(height), np.int32(count)),
                *(np.int32(by_distance), scores, rows_kept, best),
            ),
        )
        # By band: of equally near rows those of lower numbers come first, and a stable sort leaves
        # them there.
        numbers, near = (
            np.asarray(to_host(array)).transpose(1, 0, 2).reshape(b, -1)
            for array in (rows_kept, best)
        )
        order = np.argsort(-near, axis=1, kind="stable")[:, :count]
        nearest[start:stop] = np.take_along_axis(numbers, order, axis=1)
        nearness[start:stop] = np.take_along_axis(near, order, axis=1)

    each_block(n, 8 * (n + n_features) + 12 * bands * count, work)
    return nearest, np.sqrt(-nearness) * scale if by_distance else nearness


def _scores(rows: Matrix, start: int, b: int, by_distance: bool) -> Any:
    """How near all rows are to those from ``start`` on, shape (n, b)."""
    n, n_features = rows.shape
    scores = cp.empty((n, b))
    if not is_sparse(rows):
        columns = cp.ascontiguousarray(rows[start : start + b].T)
        kernels.load("neighbors.cu", INDEX="int")["compare_dense"](
            (-(-b // COLUMNS), min(n, GRID)),
            (COLUMNS,),
            (
                *(np.int32(n), np.int32(b), np.int32(n_features), np.int32(by_distance)),
                *(rows, columns, scores),
            ),
        )
        return scores
    index = "int" if rows.indices.dtype == np.int32 else "long long"
    columns = cp.zeros((n_features, b))
    csr = rows.indptr, rows.indices, rows.data
    kernels.load("neighbors.cu", INDEX=index)["turn_sparse"](
        (-(-b // ROWS),), (WARP, ROWS), (np.int32(b), np.int64(start), *csr, columns)
    )
    kernels.load("rows.cu", REAL="double", INDEX=index)["products"](
        (-(-n // ROWS), -(-b // TILE)),
        (WARP, ROWS),
        (np.int32(n), np.int32(b), *csr, columns, scores),
    )
    return scores
