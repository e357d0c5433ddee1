"""The verbs on rows that are worth a compiler: assigning them, summing and moving sparse ones.

``kernels/rows.c`` is compiled when the package is installed, where there is a C compiler; where
there is none, :mod:`cpu_fallback.rows` does the same with SciPy. Both are exact, and tests hold
them equal. What the compiler buys, in turns on two cores with AVX-512, for 63,956 package
descriptions of 79,522 terms and 1.9 million non-zeros, and for a synthetic corpus of that shape
with more rare terms, as the share of SciPy's time (medians of seven):

==================  ======  =======  ========
..                  k = 10  k = 100  k = 1000
==================  ======  =======  ========
assign              0.48    0.43     0.25
assign, synthetic   0.56    0.33     0.12
sums                0.12    0.10     0.07
sums, synthetic     0.08    0.08     0.07
==================  ======  =======  ========

SciPy writes all scores and reads them three times again, and reads a number of each cluster for
each term. Compiled, a row's products with frequent features stay in registers, and those with
rare ones are read from lists (see :mod:`cpu_fallback.sums`): at k = 1000 that takes 0.5 of the time
with runs for all, and 0.2 on the synthetic corpus. Frequent features come first, so that what is
read most lies together. Tried without gain: rows in the order of their clusters. Marking in each
run the vectors that hold anything gained far less than lists. Numba would compile in the
first run, and a library of sparse products such as MKL would still write the scores.

Dense rows are multiplied by BLAS; compiled, its scores are read once instead of four times, which
at 63,000 x 256 takes an assignment from 2.6 to 1.3 times BLAS's own time at k = 100, from 2.9 to
1.4 at k = 1000, and with labels from 5.3 to 1.5.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpu_fallback import threads
from cpu_fallback.sums import VECTOR_BYTES, Layout, Sums, aligned, pointer, rare_at_most
from gpu_kmeans.protocol import Clusters, IntArray, Matrix

__all__ = [
    "can_take",
    "is_there",
    "move",
    "nearest",
    "nearest_dense",
    "shift",
    "sum_dense",
    "sum_rows",
]

LIBRARY = "librows.so"
PRODUCTS_PER_CALL = 1 << 23
LEAST_PRODUCTS = 1 << 19
FEW_CALLS = 8
"""Enough products to outweigh a call, few enough for a core's cache and, where there are fewer,
for threads to share them out."""
SCORES_AT_ONCE = 1 << 21
"""Of dense rows: enough for BLAS to share out, few enough to be in the cache when read again."""
FEATURES_AT_ONCE = 64
BANDS, SUMS_PER_BAND = 64, 1 << 19
"""Bands of features whose squares are added up apart, whatever the number of threads."""


@cache
def _library() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(str(Path(__file__).parent / "kernels" / LIBRARY))
    except OSError:  # there was no compiler, or another machine's built it
        return None


def is_there() -> bool:
    """Whether there is a library."""
    return _library() is not None


def can_take(rows: Matrix) -> bool:
    """Whether there is a library, and it is made for such rows."""
    if hasattr(rows, "indptr") and not rows.indices.dtype == rows.indptr.dtype == np.int32:
        return False
    return is_there()


def nearest(
    rows: Matrix,
    sums: Sums,
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
    n, k, dtype = rows.shape[0], sums.k, sums.dtype
    width, indptr = sums.runs.shape[1], rows.indptr
    values = np.ascontiguousarray(rows.data, dtype=dtype)
    numbers = _bounds(q, size, k, width, dtype)
    mine = _own(labels, weight, squared_norms, n, dtype)
    found, cost = np.empty(n, dtype=np.int32), np.empty(n, dtype=dtype)
    own = None if labels is None else np.zeros(n, dtype=dtype)
    function, of_c = _function("nearest", dtype), ctypes.byref(sums.of_c())
    whole = [pointer(array) for array in (rows.indices, values)]
    bounds = [pointer(array) for array in numbers]

    places = None if sums.layout.room else _places(rows, sums.layout)

    def work(start: int) -> None:
        stop = min(start + step, n)
        scores = aligned(np.empty, (stop - start, width), dtype)
        if places is None:
            entries = int(indptr[stop] - indptr[start])
            room = (np.empty(stop - start + 1, np.int32), np.empty(entries, np.int32))
            listed = (*room, np.empty(entries, dtype))
        else:
            listed = (indptr[start:], places, values)
        given: list[Any] = [one[start:] for one in mine] or [None] * 3
        out = (found[start:], cost[start:], None if own is None else own[start:])
        function(
            *(ctypes.c_int64(stop - start), pointer(indptr[start:]), *whole, of_c, *bounds),
            *map(pointer, (*given, scores, *listed, *out)),
        )

    products = rows.nnz * k
    calls = max(products // PRODUCTS_PER_CALL, min(FEW_CALLS, products // LEAST_PRODUCTS), 1)
    step = max(1, -(-n // calls))
    threads.each(work, range(0, n, step))
    return found, cost, own


def nearest_dense(
    rows: Matrix,
    sums: NDArray[Any],
    q: NDArray[Any],
    size: NDArray[Any],
    labels: NDArray[np.int32] | None,
    weight: NDArray[Any] | None,
    squared_norms: NDArray[Any] | None,
) -> tuple[NDArray[np.int32], NDArray[Any], NDArray[Any] | None]:
    """The same of dense rows: BLAS multiplies, and what it wrote is read only once."""
    n, (n_features, k), dtype = rows.shape[0], sums.shape, sums.dtype
    lanes = VECTOR_BYTES // dtype.itemsize
    width = -(-k // lanes) * lanes
    wide = aligned(np.zeros, (n_features, width), dtype)
    wide[:, :k] = sums
    numbers, mine = _bounds(q, size, k, width, dtype), _own(labels, weight, squared_norms, n, dtype)
    found, cost = np.empty(n, dtype=np.int32), np.empty(n, dtype=dtype)
    own = None if labels is None else np.zeros(n, dtype=dtype)
    function, bounds = _function("least", dtype), [pointer(array) for array in numbers]
    step = max(1, min(n, SCORES_AT_ONCE // width))
    part = -(-step // FEW_CALLS)
    room = aligned(np.empty, (step, width), dtype)
    for start in range(0, n, step):
        stop = min(start + step, n)
        scores = room[: stop - start]
        np.matmul(rows[start:stop], wide, out=scores)

        def work(at: int, start: int = start, stop: int = stop) -> None:
            first, last = start + at, min(start + at + part, stop)
            given: list[Any] = [one[first:] for one in mine] or [None] * 3
            out = (found[first:], cost[first:], None if own is None else own[first:])
            function(
                *map(ctypes.c_int64, (last - first, width // lanes)),
                *(pointer(room[at:]), *bounds, *map(pointer, (*given, *out))),
            )

        threads.each(work, range(0, stop - start, part))
    return found, cost, own


def sum_dense(
    rows: Matrix, labels: NDArray[np.int32], k: int, weight: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Sums of dense rows by cluster, of shape (k, n_features), float64."""
    n, n_features = rows.shape
    sums = np.zeros((k, n_features))
    keep = [
        *(rows, np.ascontiguousarray(labels, dtype=np.int32)),
        *(None if weight is None else np.ascontiguousarray(weight), sums),
    ]
    arrays, function = [pointer(array) for array in keep], _function("sum_dense", rows.dtype)

    def work(start: int) -> None:
        numbers = (n, n_features, start, min(start + FEATURES_AT_ONCE, n_features))
        function(*map(ctypes.c_int64, numbers), *arrays)

    threads.each(work, range(0, n_features, FEATURES_AT_ONCE))
    return sums


def sum_rows(
    rows: Matrix,
    labels: NDArray[np.int32],
    k: int,
    weight: NDArray[np.float64] | None,
    into: Any,
) -> tuple[Sums, NDArray[np.float64]]:
    """Sums by cluster, over those of ``into`` where they are alike, and their squared norms."""
    columns, layout = _by_column(rows, k)
    n_features, dtype = rows.shape[1], rows.dtype
    if isinstance(into, Sums) and into.layout is layout and (into.k, into.dtype) == (k, dtype):
        sums = into
    else:
        sums = Sums.empty(layout, k, dtype)
    keep = [
        *(columns.indptr, columns.indices, columns.data),
        np.ascontiguousarray(labels, dtype=np.int32),
        None if weight is None else np.ascontiguousarray(weight),
    ]
    arrays, of_c = [pointer(array) for array in keep], ctypes.byref(sums.of_c())
    function = _function("sum_features", dtype)
    bands = min(BANDS, 1 + (sums.runs.size + 8 * rows.nnz) // SUMS_PER_BAND)
    height = -(-n_features // bands)
    squares = np.zeros((-(-n_features // height), k))

    def work(band: int) -> None:
        numbers = (band * height, min((band + 1) * height, n_features))
        room = (np.zeros(k), np.zeros(k, np.int32), squares[band])
        function(*map(ctypes.c_int64, numbers), *arrays, of_c, *map(pointer, room))

    threads.each(work, range(len(squares)))
    return sums, squares.sum(axis=0)


def move(
    clusters: Clusters,
    rows: Matrix,
    which: IntArray,
    source: NDArray[np.int32],
    target: NDArray[np.int32],
    weight: NDArray[np.float64],
) -> None:
    """Take rows out of their clusters' sums and put them into others'."""
    dtype = clusters.sums.dtype
    keep = [
        np.ascontiguousarray(which, np.int64),
        *(np.ascontiguousarray(labels, np.int32) for labels in (source, target)),
        *(np.ascontiguousarray(weight, np.float64), rows.indptr, rows.indices),
        np.ascontiguousarray(rows.data, dtype=dtype),
    ]
    _function("move", dtype)(
        ctypes.c_int64(len(which)),
        *map(pointer, keep),
        ctypes.byref(clusters.sums.of_c()),
        pointer(clusters.squared_norms),
    )


def shift(old: Clusters, new: Clusters) -> float:
    """Sum of the squared distances between old and new means."""
    function = _function("shift", old.sums.dtype)
    n_features, k = old.sums.shape
    of_c = [ctypes.byref(one.sums.of_c()) for one in (old, new)]
    scale = [old.inverse_weight(), -new.inverse_weight()]
    bands = min(BANDS, 1 + (old.sums.runs.size + new.sums.runs.size) // SUMS_PER_BAND)
    height = -(-n_features // bands)
    squares = np.zeros((-(-n_features // height), k))

    def work(band: int) -> None:
        numbers, room = (band * height, min((band + 1) * height, n_features)), np.zeros(k)
        function(
            *map(ctypes.c_int64, numbers),
            *(of_c[0], pointer(scale[0]), of_c[1], pointer(scale[1])),
            *map(pointer, (room, squares[band])),
        )

    threads.each(work, range(len(squares)))
    return float(squares.sum())


def _bounds(q: NDArray[Any], size: NDArray[Any], k: int, width: int, dtype: Any) -> NDArray[Any]:
    """``q`` and ``size``, filled up so that no cluster beyond k is ever chosen."""
    numbers = aligned(np.empty, (2, width), dtype)
    numbers[0], numbers[1] = np.inf, 1
    numbers[0, :k], numbers[1, :k] = q, size
    return numbers


def _own(
    labels: NDArray[np.int32] | None,
    weight: NDArray[Any] | None,
    squared_norms: Any,
    n: int,
    dtype: Any,
) -> list[NDArray[Any]]:
    """Labels, weights and weighted squared norms of the rows; nothing without labels."""
    if labels is None:
        return []
    w = np.ones(n, dtype=dtype) if weight is None else weight.astype(dtype)
    wx2 = squared_norms if weight is None else weight * squared_norms
    return [np.ascontiguousarray(labels, dtype=np.int32), w, np.asarray(wx2, dtype=dtype)]


def _places(rows: Matrix, layout: Layout) -> NDArray[np.int32]:
    """Where the run of each non-zero's feature is, kept with the rows."""
    kept = getattr(rows, "_places", None)
    if kept is None or kept[0] is not layout:
        kept = rows._places = (layout, layout.place[rows.indices])
    places: NDArray[np.int32] = kept[1]
    return places


def _by_column(rows: Matrix, k: int) -> tuple[Matrix, Layout]:
    """The same rows as CSC, and the layout of their sums.

    Kept with the rows: sums are formed of the same rows again and again.
    """
    columns = getattr(rows, "_by_column", None)
    if columns is None:
        columns = rows._by_column = rows.tocsc()
    most = rare_at_most(k)
    kept = getattr(rows, "_layout", None)
    if kept is None or kept[0] != most:
        kept = rows._layout = (most, Layout.of(np.diff(columns.indptr), k))
    return columns, kept[1]


def _function(name: str, dtype: Any) -> Any:
    return getattr(_library(), f"{name}_{np.dtype(dtype).name}")
