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
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cpu_fallback import threads
from cpu_fallback.sums import (
    Layout,
    Sums,
    aligned,
    library,
    pointer,
    rare_at_most,
    vector_bytes,
)
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

PRODUCTS_PER_CALL = 1 << 23
LEAST_PRODUCTS = 1 << 19
FEW_CALLS = 8
"""Enough products to outweigh a call, few enough for a core's cache and, where there are fewer,
for threads to share them out."""
CALLS = 64
NUMBERS_IN_CACHE = 1 << 15
DENSE_ROWS = 12
"""Dense rows are multiplied so many at once, or half as many, and as often as the cache keeps
them."""
PARTS = 4
"""Of dense rows that are summed apart: two threads read more than one, and many add up more."""
FEATURES_AT_ONCE = 256
WAYS = 4
"""Sums of one feature that are formed in turns, as in kernels/rows.c."""
EFFORT = 4
"""Of a column beside its non-zeros, in non-zeros."""
BANDS, SUMS_PER_BAND = 64, 1 << 19
"""Bands of features whose squares are added up apart, whatever the number of threads."""


def is_there() -> bool:
    """Whether there is a library."""
    return library() is not None


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
    numbers = _of_clusters(q, size, labels, weight, width, dtype)
    mine = _of_rows(labels, weight, squared_norms, dtype)
    found, cost = np.empty(n, dtype=np.int32), np.empty(n, dtype=dtype)
    own = None if labels is None else np.zeros(n, dtype=dtype)
    function, of_c = _function("nearest", k, dtype), ctypes.byref(sums.of_c())
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
        given, out = _from(start, mine), _from(start, [found, cost, own])
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
    """The same of dense rows."""
    n, (n_features, k), dtype = rows.shape[0], sums.shape, sums.dtype
    lanes = vector_bytes(k, dtype) // dtype.itemsize
    n_vectors = -(-k // lanes)
    columns = aligned(np.zeros, (n_vectors * n_features, lanes), dtype)
    columns = columns.reshape(n_vectors, n_features, lanes)
    for vector in range(n_vectors):
        some = sums[:, vector * lanes : (vector + 1) * lanes]
        columns[vector, :, : some.shape[1]] = some
    numbers = _of_clusters(q, size, labels, weight, n_vectors * lanes, dtype)
    mine = _of_rows(labels, weight, squared_norms, dtype)
    found, cost = np.empty(n, dtype=np.int32), np.empty(n, dtype=dtype)
    own = None if labels is None else np.zeros(n, dtype=dtype)
    function = _function("nearest_dense", k, dtype)
    given = [pointer(array) for array in (columns, *numbers)]

    def work(start: int) -> None:
        stop = min(start + step, n)
        rest, out = _from(start, mine), _from(start, [found, cost, own])
        function(
            *map(ctypes.c_int64, (stop - start, n_features, n_vectors, height)),
            *(pointer(rows[start:]), *given, *map(pointer, (*rest, *out))),
        )

    height = DENSE_ROWS * max(1, NUMBERS_IN_CACHE // (DENSE_ROWS * n_features))
    step = height * max(1, n // (height * CALLS))
    threads.each(work, range(0, n, step))
    return found, cost, own


def sum_dense(
    rows: Matrix, labels: NDArray[np.int32], k: int, weight: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Sums of dense rows by cluster, of shape (k, n_features), float64."""
    n, n_features = rows.shape
    parts = max(1, min(PARTS, n // (8 * k)))
    height, bands = -(-n // parts), range(0, n_features, FEATURES_AT_ONCE)
    sums = np.zeros((parts, k, n_features))
    given = [rows, np.ascontiguousarray(labels, dtype=np.int32), weight]
    if weight is not None:
        given[2] = np.ascontiguousarray(weight)
    function = _function("sum_dense", k, rows.dtype)

    def work(task: int) -> None:
        part, first = task // len(bands), bands[task % len(bands)]
        start, stop = part * height, min((part + 1) * height, n)
        numbers = (stop - start, n_features, first, min(first + FEATURES_AT_ONCE, n_features))
        arrays = _from(start, given)
        function(*map(ctypes.c_int64, numbers), *map(pointer, (*arrays, sums[part])))

    threads.each(work, range(parts * len(bands)))
    return sums.sum(axis=0) if parts > 1 else sums[0]


def sum_rows(
    rows: Matrix,
    labels: NDArray[np.int32],
    k: int,
    weight: NDArray[np.float64] | None,
    into: Any,
) -> tuple[Sums, NDArray[np.float64]]:
    """Sums by cluster, over those of ``into`` where they are alike, and their squared norms."""
    columns, dtype = _by_column(rows, k), rows.dtype
    layout = columns.layout
    if isinstance(into, Sums) and into.layout is layout and (into.k, into.dtype) == (k, dtype):
        sums = into
    else:
        sums = Sums.empty(layout, k, dtype)
    keep = [
        np.ascontiguousarray(labels, dtype=np.int32),
        None if weight is None else np.ascontiguousarray(weight),
    ]
    arrays = [pointer(array) for array in (*columns.arrays, *keep)]
    of_c, function = ctypes.byref(sums.of_c()), _function("sum_features", k, dtype)
    bands = columns.bands(min(BANDS, 1 + (sums.runs.size + 8 * rows.nnz) // SUMS_PER_BAND))
    width = sums.runs.shape[1]
    squares = np.zeros((len(bands), width))

    def work(band: int) -> None:
        room = (np.zeros(WAYS * width), np.zeros(k, np.int32), squares[band])
        function(*map(ctypes.c_int64, bands[band]), *arrays, of_c, *map(pointer, room))

    threads.each(work, range(len(bands)))
    return sums, squares[:, :k].sum(axis=0)


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
    _function("move", clusters.sums.k, dtype)(
        ctypes.c_int64(len(which)),
        *map(pointer, keep),
        ctypes.byref(clusters.sums.of_c()),
        pointer(clusters.squared_norms),
    )


def shift(old: Clusters, new: Clusters) -> float:
    """Sum of the squared distances between old and new means."""
    function = _function("shift", old.sums.k, old.sums.dtype)
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


def _of_clusters(
    q: NDArray[Any],
    size: NDArray[Any],
    labels: NDArray[np.int32] | None,
    weight: NDArray[Any] | None,
    width: int,
    dtype: Any,
) -> NDArray[Any]:
    """``q``, filled up so that no cluster beyond k is ever chosen, and what scales the costs.

    Where rows enter with a weight each, that is the size; otherwise it is what to multiply by.
    """
    numbers = aligned(np.empty, (2, width), dtype)
    numbers[0], numbers[1] = np.inf, 1
    k = len(q)
    numbers[0, :k] = q
    if labels is None:
        numbers[1, :k] = 1 / size
    else:
        numbers[1, :k] = 1 / (size + 1) if weight is None else size
    return numbers


def _of_rows(
    labels: NDArray[np.int32] | None,
    weight: NDArray[Any] | None,
    squared_norms: Any,
    dtype: Any,
) -> list[NDArray[Any] | None]:
    """Labels, weights and weighted squared norms of the rows; nothing without labels."""
    if labels is None:
        return [None] * 3
    mine = np.ascontiguousarray(labels, dtype=np.int32)
    if weight is None:
        return [mine, None, np.asarray(squared_norms, dtype=dtype)]
    return [mine, weight.astype(dtype), (weight * squared_norms).astype(dtype)]


def _from(start: int, arrays: list[NDArray[Any] | None]) -> list[NDArray[Any] | None]:
    return [None if array is None else array[start:] for array in arrays]


def _places(rows: Matrix, layout: Layout) -> NDArray[np.int32]:
    """Where the run of each non-zero's feature is, kept with the rows."""
    kept = getattr(rows, "_places", None)
    if kept is None or kept[0] is not layout:
        kept = rows._places = (layout, layout.place[rows.indices])
    places: NDArray[np.int32] = kept[1]
    return places


class _Columns:
    """The same rows as CSC, the columns as the layout of their sums has them.

    Features of which as many rows have each come together: what is done for each is then as long
    as for the one before, and a processor guesses it.
    """

    def __init__(self, rows: Matrix, layout: Layout, counts: IntArray) -> None:
        rare = np.flatnonzero((layout.place < 0) & (counts > 0))
        feature = np.concatenate((layout.frequent, rare[np.argsort(-counts[rare], kind="stable")]))
        column = np.zeros(len(counts), np.int32)
        column[feature] = np.arange(len(feature), dtype=np.int32)
        shape = (rows.shape[0], max(1, len(feature)))
        columns = sparse.csr_array((rows.data, column[rows.indices], rows.indptr), shape=shape)
        columns = columns.tocsc()
        self.layout = layout
        self.arrays = (feature.astype(np.int32), columns.indptr, columns.indices, columns.data)
        self.effort = columns.indptr[: len(feature) + 1] + EFFORT * np.arange(len(feature) + 1)
        self.cut: dict[int, list[tuple[int, int]]] = {}

    def bands(self, count: int) -> list[tuple[int, int]]:
        """The columns cut into at most so many bands of about equal effort."""
        if count not in self.cut:
            ends = np.linspace(0, self.effort[-1], count + 1)
            cuts = np.unique(np.searchsorted(self.effort, ends)).tolist()
            self.cut[count] = list(zip(cuts[:-1], cuts[1:], strict=True)) or [(0, 0)]
        return self.cut[count]


def _by_column(rows: Matrix, k: int) -> _Columns:
    """Kept with the rows: sums are formed of the same rows again and again."""
    kept: tuple[int, _Columns] | None = getattr(rows, "_columns", None)
    most = rare_at_most(k)
    if kept is None or kept[0] != most:
        counts = np.bincount(rows.indices, minlength=rows.shape[1])
        kept = rows._columns = (most, _Columns(rows, Layout.of(counts, k), counts))
    return kept[1]


def _function(name: str, k: int, dtype: Any) -> Any:
    return getattr(library(), f"{name}_{np.dtype(dtype).name}_{vector_bytes(k, dtype)}")
