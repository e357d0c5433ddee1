"""Assigning sparse rows, summing and moving them, compiled."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cpu_fallback import threads
from cpu_fallback.compiled.asked import Asked
from cpu_fallback.compiled.library import addresses, aligned, function
from cpu_fallback.compiled.sums import Layout, Sums, rare_at_most
from gpu_kmeans.protocol import Clusters, IntArray, Matrix

__all__ = ["move", "nearest", "shift", "sum_rows"]

PRODUCTS_PER_CALL = 1 << 23
LEAST_PRODUCTS = 1 << 19
FEW_CALLS = 8
"""Enough products to outweigh a call, few enough for a core's cache and, where there are fewer,
for threads to share them out."""
WAYS = 4
"""Sums of one feature that are formed in turns, as in kernels/rows.c."""
EFFORT = 4
"""Of a column beside its non-zeros, in non-zeros."""
BANDS, SUMS_PER_BAND, SHIFTS_PER_BAND = 64, 1 << 21, 1 << 19
"""Bands of features whose squares are added up apart, whatever the number of threads: few enough
to outweigh waking a thread."""


def nearest(rows: Matrix, sums: Sums, q: NDArray[Any], size: NDArray[Any], *of_rows: Any) -> Asked:
    """See :class:`~cpu_fallback.compiled.asked.Asked`."""
    n, k, dtype = rows.shape[0], sums.k, sums.dtype
    width, indptr = sums.runs.shape[1], rows.indptr
    values = np.ascontiguousarray(rows.data, dtype=dtype)
    asked = Asked.of(n, width, dtype, q, size, *of_rows)
    kernel, of_c = function("nearest", k, dtype), sums.of_c
    whole = addresses((rows.indices, values))
    places = None if sums.layout.room else _places(rows, sums.layout)

    def work(start: int) -> None:
        stop = min(start + step, n)
        room = [aligned(np.empty, (stop - start, width), dtype)]
        if places is None:
            entries = int(indptr[stop] - indptr[start])
            room += [np.empty(stop - start + 1, np.int32), np.empty(entries, np.int32)]
            room += [np.empty(entries, dtype)]
        listed = [] if places is None else addresses((indptr,), start) + addresses((places, values))
        kernel(
            *(stop - start, *addresses((indptr,), start), *whole, of_c),
            *(*asked.questions(start), *addresses(room), *listed, *asked.answers(start)),
        )

    products = rows.nnz * k
    calls = max(products // PRODUCTS_PER_CALL, min(FEW_CALLS, products // LEAST_PRODUCTS), 1)
    step = max(1, -(-n // calls))
    threads.each(work, range(0, n, step))
    return asked


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
    keep = (
        np.ascontiguousarray(labels, dtype=np.int32),
        None if weight is None else np.ascontiguousarray(weight),
    )
    of_c, kernel = sums.of_c, function("sum_features", k, dtype)
    given = (*addresses((*columns.arrays, *keep)), of_c)
    bands = columns.bands(min(BANDS, 1 + (sums.runs.size + 8 * rows.nnz) // SUMS_PER_BAND))
    width = sums.runs.shape[1]
    squares = np.zeros((len(bands), width))

    def work(band: int) -> None:
        room = (np.zeros(WAYS * width), np.zeros(k, np.int32), squares[band])
        kernel(*bands[band], *given, *addresses(room))

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
    of_c = clusters.sums.of_c
    keep = (
        np.ascontiguousarray(which, np.int64),
        *(np.ascontiguousarray(labels, np.int32) for labels in (source, target)),
        *(np.ascontiguousarray(weight, np.float64), rows.indptr, rows.indices),
        np.ascontiguousarray(rows.data, dtype=dtype),
    )
    function("move", clusters.sums.k, dtype)(
        len(which),
        *(*addresses(keep), of_c, *addresses((clusters.squared_norms,))),
    )


def shift(old: Clusters, new: Clusters) -> float:
    """Sum of the squared distances between old and new means."""
    kernel = function("shift", old.sums.k, old.sums.dtype)
    n_features, k = old.sums.shape
    of_c = [old.sums.of_c, new.sums.of_c]
    scales = [old.inverse_weight(), -new.inverse_weight()]
    given = []
    for one, scale in zip(of_c, scales, strict=True):
        given += [one, *addresses((scale,))]
    bands = min(BANDS, 1 + (old.sums.runs.size + new.sums.runs.size) // SHIFTS_PER_BAND)
    height = -(-n_features // bands)
    squares = np.zeros((-(-n_features // height), k))

    def work(band: int) -> None:
        first, room = band * height, np.zeros(k)
        last = min(first + height, n_features)
        kernel(first, last, *given, *addresses((room, squares[band])))

    threads.each(work, range(len(squares)))
    return float(squares.sum())


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
        by_row = sparse.csr_array((rows.data, column[rows.indices], rows.indptr), shape=shape)
        columns = by_row.tocsc()
        self.layout = layout
        self.arrays = (feature.astype(np.int32), columns.indptr, columns.indices, columns.data)
        self.effort = columns.indptr[: len(feature) + 1] + EFFORT * np.arange(len(feature) + 1)
        self.cut: dict[int, list[tuple[int, int]]] = {}

    def bands(self, count: int) -> list[tuple[int, int]]:
        """The columns cut into at most so many bands of about equal effort."""
        if count not in self.cut:
            ends = np.linspace(0, self.effort[-1], count + 1)
            cuts = np.unique(np.searchsorted(self.effort, ends)).tolist()
            self.cut[count] = list(pairwise(cuts)) or [(0, 0)]
        return self.cut[count]


def _by_column(rows: Matrix, k: int) -> _Columns:
    """Kept with the rows: sums are formed of the same rows again and again."""
    kept: tuple[int, _Columns] | None = getattr(rows, "_columns", None)
    most = rare_at_most(k)
    if kept is None or kept[0] != most:
        rows._columns = None  # not two of them at a time
        counts = np.bincount(rows.indices, minlength=rows.shape[1])
        kept = rows._columns = (most, _Columns(rows, Layout.of(counts, k), counts))
    return kept[1]
