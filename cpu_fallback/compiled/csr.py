"""Assigning sparse rows, bounding their costs, summing and moving them, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpu_fallback import threads
from cpu_fallback.compiled.assign_args import AssignArgs
from cpu_fallback.compiled.library import addresses, aligned, function, plain_function, vector_bytes
from cpu_fallback.compiled.sums import Layout, Sums, rare_at_most
from gpu_kmeans.backends.protocol import Assignment, Clusters, Drift, IntArray, Matrix
from gpu_kmeans.clustering.bounds import GROUPS, SINGLES, Groups
from gpu_kmeans.forking import product

__all__ = ["move", "multiply", "nearest", "shift", "square", "sum_rows", "update_bounds"]

PRODUCTS_PER_TASK = 1 << 23
LEAST_PRODUCTS = 1 << 16
FEW_TASKS = 8
"""Maximum number of products of a task, which fit a core's cache; minimum number, which outweighs
sharing tasks out; and number of tasks where there are fewer products."""
MOST_VECTORS = 12
"""Maximum number of vectors of clusters whose scores stay in registers, as in kernels/rows.c."""
ROWS_OF_A_TASK = 2048
"""Number of rows of a task that reads their non-zeros, as in kernels/rows.c."""
WAYS = 4
"""Number of sums of one feature that are formed in turns, as in kernels/rows.c."""
EFFORT = 4
"""Fixed cost of a column, as a number of non-zeros."""
MOVE_BANDS, FEW_MOVES, FEW_SUMS = 8, 128, 1 << 20
"""Number of bands of features of rows that move; minimum number of such rows, and of sums in runs,
which outweighs going through the rows once for each band."""
MOST_BLOCKS, LEAST_OF_BLOCK = 16, 1 << 15
"""Maximum number of blocks of rows that are read at a time, each with counts of its own for all
features; and minimum number of non-zeros of a block."""
BANDS, SUMS_PER_BAND, SHIFTS_PER_BAND = 64, 1 << 18, 1 << 19
"""Maximum number of bands of features whose squares are added up apart, whatever the number of
threads; and minimum number of sums of a band, which outweighs waking a thread."""


def nearest(
    rows: Matrix,
    sums: Sums,
    q: NDArray[Any],
    size: NDArray[Any],
    *of_rows: Any,
    which: NDArray[np.int64] | None = None,
) -> Assignment:
    """Find the nearest clusters; see :class:`~cpu_fallback.compiled.assign_args.AssignArgs`."""
    k, dtype, width = sums.k, sums.dtype, sums.runs.shape[1]
    n = rows.shape[0] if which is None else len(which)
    arguments = AssignArgs.build(n, width, dtype, q, size, *of_rows)
    kernel, of_c = function("nearest", sums.k, dtype), sums.of_c
    parts, _arrays = _parts(rows, sums.layout, dtype)  # which another thread may replace
    which = None if which is None else np.ascontiguousarray(which, np.int64)
    products = rows.nnz * k * n // max(1, rows.shape[0])
    tasks = max(products // PRODUCTS_PER_TASK, min(FEW_TASKS, products // LEAST_PRODUCTS), 1)
    step = max(1, -(-n // tasks))
    crew = threads.count()
    lanes = vector_bytes(sums.k, dtype) // dtype.itemsize
    room = None
    if k > MOST_VECTORS * lanes:
        room = aligned(np.empty, (crew * -(-step // lanes) * lanes, width + 3 * lanes), dtype)
    kernel(
        *(crew, rows.shape[0], n, step, *addresses((which,)), *parts, of_c, *arguments.inputs()),
        *(*addresses((room,)), *arguments.outputs()),
    )
    return arguments.result


def sum_rows(
    rows: Matrix,
    labels: NDArray[np.int32],
    k: int,
    weight: NDArray[np.float64] | None,
    into: Any,
    exact: bool,
) -> tuple[Sums, NDArray[np.float64]]:
    """Sums by cluster, over those of ``into`` where they are alike, and their squared norms."""
    if k == 1:
        return _sum_all(rows, weight)
    columns, dtype = _by_column(rows, k), rows.dtype
    sums = Sums.over(into, columns.layout, k, dtype, exact)
    arrays = (
        np.ascontiguousarray(labels, dtype=np.int32),
        None if weight is None else np.ascontiguousarray(weight),
    )
    kernel, crew = function("sum_features", k, dtype), threads.count()
    size = len(columns.layout.frequent) * k + 8 * rows.nnz
    bands, cuts = columns.bands(min(BANDS, 1 + size // SUMS_PER_BAND))
    width = sums.filled
    squares = np.zeros((bands, width))
    room = (np.zeros(crew * WAYS * width), np.zeros(crew * width, np.int32), squares)
    arguments = (*cuts, *columns.addresses, *addresses(arrays), sums.of_c)
    kernel(crew, bands, *arguments, *addresses(room))
    return sums, squares[:, :k].sum(axis=0)


def _sum_all(rows: Matrix, weight: NDArray[np.float64] | None) -> tuple[Sums, NDArray[np.float64]]:
    """One cluster of all rows: not worth turning them into columns."""
    exact = rows.T @ (np.ones(rows.shape[0]) if weight is None else weight)
    sums = Sums.empty(Layout.plainly(len(exact)), 1, rows.dtype)
    sums.runs[:-1, 0] = exact
    return sums, np.array([product(exact, exact)])


def move(
    clusters: Clusters,
    rows: Matrix,
    which: IntArray,
    source: NDArray[np.int32],
    target: NDArray[np.int32],
    weight: NDArray[np.float64],
) -> None:
    """Take rows out of their clusters' sums and put them into others'."""
    sums, dtype = clusters.sums, clusters.sums.dtype
    arrays = (
        np.ascontiguousarray(which, np.int64),
        *(np.ascontiguousarray(labels, np.int32) for labels in (source, target)),
        *(np.ascontiguousarray(weight, np.float64), rows.indptr, rows.indices),
        np.ascontiguousarray(rows.data, dtype=dtype),
    )
    many = len(which) >= FEW_MOVES and sums.runs.size >= FEW_SUMS
    bands = MOVE_BANDS if many else 1
    squares, height = np.zeros((bands, sums.k)), -(-rows.shape[1] // bands)
    function("move", sums.k, dtype)(
        *(threads.count(), bands, len(which), height),
        *(*addresses(arrays), sums.of_c, *addresses((squares,))),
    )
    clusters.squared_norms += squares.sum(axis=0)


def update_bounds(
    rows: Matrix, assignment: Assignment, drift: Drift, rounding_error: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """See :mod:`gpu_kmeans.clustering.bounds`."""
    (n, n_features), dtype, crew = rows.shape, rows.dtype, threads.count()
    csr = (rows.indptr, rows.indices, np.ascontiguousarray(rows.data))
    n_changed, n_single, width = len(drift.changed), len(drift.singles), 2 * GROUPS + SINGLES
    # Kept with the rows between two calls, and no other thread's meanwhile.
    sums, table = rows.__dict__.pop("_drift_room", (None, None))
    if sums is None or len(sums) < crew:
        sums = np.zeros((crew, n_features))
        lanes = vector_bytes(width, dtype) // dtype.itemsize
        table = aligned(np.zeros, (n_features, -(-width // lanes) * lanes), dtype)
    begins, which, weight = _changes(drift, assignment)
    ends = np.zeros(len(which) + 1, np.int64)
    np.cumsum(rows.indptr[which + 1] - rows.indptr[which], out=ends[1:])
    room = ends[begins]
    squares = np.empty(n_changed + n_single)
    scale = drift.inverse_weight[np.concatenate((drift.changed, drift.singles))]
    changes = (
        *(np.empty(len(squares), np.int64), np.empty(ends[-1], np.int32)),
        np.empty(ends[-1], dtype),
    )
    function("sum_changes", width, dtype)(
        *(crew, len(squares), n_features),
        *addresses((begins, which, room, weight, scale, *csr, sums, *changes, squares)),
    )
    groups = Groups.from_drift(drift, assignment, squares[:n_changed])
    of_changed = groups.group[drift.changed]
    spread = function("spread_changes", width, dtype)
    spread(len(squares), n_single, *addresses((room, *changes, of_changed, table)))
    single, single_cost = np.full(SINGLES, -1, np.int32), np.full(SINGLES, np.inf)
    single[:n_single], single_cost[:n_single] = drift.singles, drift.single_cost
    range_ = np.array([groups.lowest, groups.segments, groups.rest])
    most, least, meets = np.empty(n), np.empty(n), np.empty(n, bool)
    function("update_bounds", width, dtype)(
        *(crew, n, len(groups.offset), _is_signed(rows)),
        *addresses((*csr, table, assignment.nearest, groups.group, drift.offset, drift.factor)),
        *addresses((range_, groups.offset, groups.factor, single, single_cost)),
        *addresses((rounding_error, assignment.cost, assignment.second, most, least, meets)),
    )
    clear = function("clear_changes", width, dtype)
    clear(len(squares), *addresses((room, *changes[:2], table)))
    rows._drift_room = sums, table
    return most, least, np.flatnonzero(meets)


def _changes(
    drift: Drift, assignment: Assignment
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Rows to be added up, by cluster: where each cluster's begin, their numbers and weights.

    For clusters that changed these are the rows that came, and those that left with a negative
    weight; for single ones all members.
    """
    n_changed, n_single, n_moved = len(drift.changed), len(drift.singles), len(drift.which)
    members = [np.flatnonzero(assignment.nearest == single) for single in drift.singles]
    which = np.concatenate((drift.which, drift.which, *members), dtype=np.int64)
    weight = np.ones(len(which)) if drift.weight is None else drift.weight[which]
    weight[n_moved : 2 * n_moved] *= -1
    # What moved single clusters comes last, and is left out.
    rank = np.full(len(drift.offset), n_changed + n_single, np.int32)
    rank[drift.changed] = np.arange(n_changed, dtype=np.int32)
    rank = np.concatenate(
        (
            rank[drift.target],
            rank[drift.source],
            *(np.full(len(rows), n_changed + i, np.int32) for i, rows in enumerate(members)),
        )
    )
    order = np.argsort(rank, kind="stable")
    begins = np.searchsorted(rank[order], np.arange(n_changed + n_single + 1))
    return begins.astype(np.int64), which[order], weight[order]


def _is_signed(rows: Matrix) -> bool:
    """Whether a value is negative; the answer is kept with the rows."""
    signed: bool | None = getattr(rows, "_signed", None)
    if signed is None:
        signed = rows._signed = bool((rows.data < 0).any())
    return signed


def shift(old: Clusters, new: Clusters) -> float:
    """Sum of the squared distances between old and new means."""
    kernel, crew = function("shift", old.sums.k, old.sums.dtype), threads.count()
    n_features, k = old.sums.shape
    bands = min(BANDS, 1 + (old.sums.runs.size + new.sums.runs.size) // SHIFTS_PER_BAND)
    height = -(-n_features // bands)
    squares, room = np.zeros((-(-n_features // height), k)), np.zeros(crew * k)
    arguments: list[int | None] = []
    scales = (old.inverse_weight(), -new.inverse_weight())
    for sums, scale in zip((old.sums, new.sums), scales, strict=True):
        arguments += [sums.of_c, *addresses((scale,))]
    kernel(crew, n_features, height, *arguments, *addresses((room, squares)))
    return float(squares.sum())


def square(rows: Matrix) -> NDArray[np.float64]:
    """Squared norm of each row."""
    values, out = np.ascontiguousarray(rows.data), np.empty(rows.shape[0])
    arguments = addresses((rows.indptr, values, out))
    function("square", 1, rows.dtype)(threads.count(), rows.shape[0], *arguments)
    return out


def multiply(
    rows: Matrix, centroids: NDArray[Any], labels: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Product of each row with the centroid of its label."""
    dtype = np.result_type(rows.dtype, centroids.dtype)
    out = np.empty(rows.shape[0])
    arrays = (
        *(rows.indptr, rows.indices, np.ascontiguousarray(rows.data, dtype)),
        *(np.ascontiguousarray(centroids, dtype), np.ascontiguousarray(labels, np.int32), out),
    )
    function("multiply", 1, dtype)(threads.count(), *rows.shape, *addresses(arrays))
    return out


def _parts(rows: Matrix, layout: Layout, dtype: Any) -> tuple[list[int | None], Any]:
    """Addresses of the non-zeros of frequent features, by run, and of rare ones, and their arrays.

    They are kept with the rows; the arrays are to be held as long as the addresses are used.
    """
    cached = getattr(rows, "_parts", None)
    if cached is None or cached[0] is not layout or cached[1] != dtype:
        values = np.ascontiguousarray(rows.data, dtype=dtype)
        parts: tuple[NDArray[Any] | None, ...]
        if layout.room:
            n, crew = rows.shape[0], threads.count()
            counts = np.zeros(-(-n // ROWS_OF_A_TASK) + 1, np.int32)
            arguments = addresses((rows.indptr, rows.indices, layout.run, counts[1:]))
            plain_function("count_rare")(crew, n, *arguments)
            begins = np.cumsum(counts, dtype=np.int32)
            rare = int(begins[-1])
            parts = tuple(
                np.empty(*size)
                for room in (rows.nnz - rare, rare)
                for size in ((n + 1, np.int32), (room, np.int32), (room, dtype))
            )
            arguments = addresses((rows.indptr, rows.indices, values, layout.run, begins))
            function("part", 1, dtype)(crew, n, *arguments, *addresses(parts))
        else:
            places = rows.indices if layout.plain else layout.run.take(rows.indices, mode="clip")
            parts = (rows.indptr, places, values, None, None, None)
        cached = rows._parts = (layout, dtype, addresses(parts), parts)
    return cached[2], cached[3]


def _blocks(rows: Matrix) -> tuple[int, int]:
    """Number of blocks of rows to read at a time, and their height."""
    n = rows.shape[0]
    blocks = max(1, min(threads.count(), MOST_BLOCKS, rows.nnz // LEAST_OF_BLOCK))
    height = max(1, -(-n // blocks))
    return max(1, -(-n // height)), height


class _Columns:
    """The same rows as CSC, the columns as the layout of their sums has them.

    Features of which as many rows have each come together: what is done for each is then as long
    as for the one before, and a processor guesses it.
    """

    def __init__(self, rows: Matrix, k: int) -> None:
        (n, n_features), (blocks, height) = rows.shape, _blocks(rows)
        crew = threads.count()
        counts = np.zeros((blocks, n_features), np.int32)
        csr = (rows.indptr, rows.indices)
        count = plain_function("count_features")
        count(crew, n, n_features, height, *addresses((*csr, counts)))
        total = counts.sum(axis=0, dtype=np.int32)
        self.layout = layout = Layout.from_counts(total, k)
        feature = layout.columns.astype(np.int32)
        colptr = np.zeros(len(feature) + 1, np.int32)
        np.cumsum(total[feature], out=colptr[1:])
        begin = np.zeros(n_features, np.int32)
        begin[feature] = colptr[:-1]
        # Where the non-zeros of each block and feature begin.
        begins = begin + np.cumsum(counts, axis=0, dtype=np.int32) - counts
        turned = np.empty(rows.nnz, np.int32), np.empty(rows.nnz, rows.dtype)
        kernel = function("turn", 1, rows.dtype)
        values = np.ascontiguousarray(rows.data)
        kernel(crew, n, n_features, height, *addresses((*csr, values, begins, *turned)))
        self.arrays = (feature, colptr, *turned)
        self.addresses = addresses(self.arrays)
        self.effort = colptr + EFFORT * np.arange(len(colptr))
        self.cut: dict[int, NDArray[np.int64]] = {}

    def bands(self, count: int) -> tuple[int, list[int | None]]:
        """Cut the columns into at most so many bands of about equal effort: how many, and where."""
        if count not in self.cut:
            ends = np.linspace(0, self.effort[-1], count + 1)
            self.cut[count] = np.unique(np.searchsorted(self.effort, ends))
        return len(self.cut[count]) - 1, addresses((self.cut[count],))


def _by_column(rows: Matrix, k: int) -> _Columns:
    """Return the rows by column, kept with them: sums are formed of the same rows again."""
    cached: tuple[int, _Columns] | None = getattr(rows, "_columns", None)
    most = rare_at_most(k)
    if cached is None or cached[0] != most:
        rows._columns = None  # not two of them at a time
        cached = rows._columns = (most, _Columns(rows, k))
    return cached[1]
