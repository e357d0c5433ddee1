"""The verbs on sparse rows that are worth a compiler: assigning rows and summing them.

``kernels/rows.c`` is compiled when the package is installed, where there is a C compiler; where
there is none, :mod:`cpu_fallback.rows` does the same with SciPy. Both are exact, and tests hold
them equal. What the compiler buys, in turns on two cores with AVX-512, for 63,956 texts of 79,522
terms and 1.9 million non-zeros, as the share of SciPy's time (medians of seven):

======  ======  =======  ========
..      k = 10  k = 100  k = 1000
======  ======  =======  ========
assign  0.40    0.41     0.47
sums    0.11    0.17     0.24
======  ======  =======  ========

SciPy writes all scores and reads them three times again; compiled, a row's products stay in
registers. At k = 1000 both wait for the sums (316 MB): putting frequent terms first, or rows in
the order of their clusters, gained nothing there, nor did tiles of 32, 64 or 128 clusters.
Numba would compile in the first run, and a library of sparse products such as MKL would still
write the scores.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpu_fallback import threads
from gpu_kmeans.protocol import Matrix

__all__ = ["can_take", "nearest", "sum_rows"]

LIBRARY = "librows.so"
PRODUCTS_PER_CALL = 1 << 21
"""Enough to outweigh a call, few enough for threads to share out a small block of rows."""
BANDS, SUMS_PER_BAND = 64, 1 << 21
"""Bands of features whose squares are added up apart, whatever the number of threads."""
VECTOR_BYTES, MOST_VECTORS = 64, 16  # as in kernels/rows.c


@cache
def _library() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(str(Path(__file__).parent / "kernels" / LIBRARY))
    except OSError:  # there was no compiler, or another machine's built it
        return None


def can_take(rows: Matrix) -> bool:
    """Whether there is a library, and it is made for such rows."""
    return rows.indices.dtype == np.int32 and rows.indptr.dtype == np.int32 and bool(_library())


def nearest(
    rows: Matrix,
    sums: NDArray[Any],
    q: NDArray[Any],
    size: NDArray[Any],
    labels: NDArray[np.int32] | None,
    weight: NDArray[Any] | None,
    squared_norms: NDArray[Any] | None,
) -> tuple[NDArray[np.int32], NDArray[Any], NDArray[Any] | None]:
    """Cheapest cluster of each row, its cost, and with labels the product with the own sum.

    Costs are ``(q - 2 P - w x2) / (size + w)``, in the dtype of the sums; ``w`` is 0 without
    labels. See :meth:`gpu_kmeans.protocol.Backend.assign`.
    """
    n, k, dtype = rows.shape[0], sums.shape[1], sums.dtype
    lanes = VECTOR_BYTES // dtype.itemsize
    # What a tile may reach beyond the last cluster, and beyond the last feature's sums.
    reach = MOST_VECTORS * lanes
    last = max(0, sums.shape[0] - (-(-reach // k)))
    tail = np.concatenate((sums[last:].ravel(), np.zeros(reach, dtype=dtype)))
    keep = [
        *(rows.indptr, rows.indices, np.ascontiguousarray(rows.data, dtype=dtype)),
        *(np.ascontiguousarray(sums), tail),
        np.concatenate((q, np.full(reach, np.inf))).astype(dtype),
        np.concatenate((size, np.ones(reach))).astype(dtype),
    ]
    if labels is not None:
        w = np.ones(n, dtype=dtype) if weight is None else weight.astype(dtype)
        wx2 = squared_norms if weight is None else weight * squared_norms
        keep += [np.ascontiguousarray(labels, dtype=np.int32), w, np.asarray(wx2, dtype=dtype)]
    found, cost = np.empty(n, dtype=np.int32), np.empty(n, dtype=dtype)
    own = None if labels is None else np.empty(n, dtype=dtype)
    keep += [found, cost] if own is None else [found, cost, own]
    function = _function("nearest" if labels is None else "nearest_other", dtype)
    arrays = [_pointer(array) for array in keep]

    step = max(64, PRODUCTS_PER_CALL * n // max(1, rows.nnz * k))

    def work(start: int) -> None:
        numbers = (start, min(start + step, n), k, last)
        function(*map(ctypes.c_int64, numbers), *arrays)

    threads.each(work, range(0, n, step))
    return found, cost, own


def sum_rows(
    rows: Matrix,
    labels: NDArray[np.int32],
    k: int,
    weight: NDArray[np.float64],
    sums: NDArray[Any],
) -> NDArray[np.float64]:
    """Fill ``sums``, shape (n_features, k), and return the squared norm of each column."""
    columns = _by_column(rows)
    n_features, dtype = rows.shape[1], rows.dtype
    keep = [
        *(columns.indptr, columns.indices, columns.data),
        *(np.ascontiguousarray(labels, dtype=np.int32), np.ascontiguousarray(weight)),
    ]
    arrays = [_pointer(array) for array in keep]
    function = _function("sum_features", dtype)
    bands = min(BANDS, 1 + (n_features * k + 8 * rows.nnz) // SUMS_PER_BAND)
    height = -(-n_features // bands)
    squares = np.zeros((-(-n_features // height), k))

    def work(band: int) -> None:
        numbers = (band * height, min((band + 1) * height, n_features), k)
        exact = np.zeros(k)
        function(
            *map(ctypes.c_int64, numbers),
            *(*arrays, _pointer(exact), _pointer(sums), _pointer(squares[band])),
        )

    threads.each(work, range(len(squares)))
    total: NDArray[np.float64] = squares.sum(axis=0)
    return total


def _by_column(rows: Matrix) -> Matrix:
    """The same rows as CSC, kept with them: sums are formed of the same rows again and again."""
    columns = getattr(rows, "_by_column", None)
    if columns is None:
        columns = rows.tocsc()
        rows._by_column = columns
    return columns


def _function(name: str, dtype: Any) -> Any:
    return getattr(_library(), f"{name}_{np.dtype(dtype).name}")


def _pointer(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.__array_interface__["data"][0])  # `.ctypes` takes longer
