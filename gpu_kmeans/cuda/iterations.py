"""Lloyd's and Hartigan's steps over sparse rows, with all that they change kept on the device.

Labels, costs, gains, sizes and sums stay there; after an iteration, or a block of single-row moves,
one small array of answers comes to the host, and nothing goes up. The sums are kept in fixed point
beside the rounded ones: moves that are taken back leave no trace, and sums that were followed are,
bit for bit, those that would be formed anew.

Kernels launched: 6 for an iteration, 7 with the shift of the means; 8 for a block of moves. Memory:
12 bytes for each feature and cluster (24 with shifts) and about 40 for each row.

Not yet run on a GPU: the kernels' arithmetic is tested on a CPU, with CuPy's part on NumPy.
"""

from __future__ import annotations

import math
from typing import Any

import cupy as cp
import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import (
    Assignment,
    Clusters,
    Iteration,
    Iterations,
    Matrix,
    Moves,
    is_sparse,
)
from gpu_kmeans.cuda.device_memory import fits
from gpu_kmeans.cuda.error_translation import telling
from gpu_kmeans.cuda.rows import COLUMNS, FIXED_POINT_BITS, ROWS, TILE, WARP, _bands, _kernel

__all__ = ["DeviceIterations", "iterations"]

THREADS = 128
"""Number of threads of a block where each has a row or a cluster of its own."""


def iterations(rows: Matrix, squared_norms: NDArray[np.float64], k: int) -> Iterations | None:
    if not is_sparse(rows) or rows.dtype != np.float32:  # in float64, digits would be lost
        return None
    n_features, item = rows.shape[1], rows.dtype.itemsize
    if not fits((8 + 2 * item) * n_features * k + 40 * rows.shape[0]):
        return None
    try:
        return DeviceIterations(rows, squared_norms, k)
    except MemoryError:
        return None  # the other verbs work in blocks


class DeviceIterations:
    """See :class:`gpu_kmeans.backends.protocol.Iterations`."""

    def __init__(self, rows: Matrix, squared_norms: NDArray[np.float64], k: int) -> None:
        (n, n_features), dtype = rows.shape, rows.dtype
        self.rows, self.k, self.n = rows, k, n
        _, above = math.frexp(float(abs(rows.data).max()) if rows.nnz else 1.0)
        # No sum has more than n addends: so many bits of 62 are left to the largest value.
        self._unit = np.float64(math.ldexp(1.0, above + n.bit_length() - FIXED_POINT_BITS))
        self._norms = cp.asarray(squared_norms)
        self._mean_norm, self._noise = np.float64(squared_norms.mean()), np.float64(0)
        self._height, self._n_bands = _bands(n_features)
        self._tiles = -(-k // TILE)
        self._exact = cp.zeros((n_features, k), dtype=np.int64)
        self._used = False
        """Whether there may be sums in fixed point."""
        self._sums: Any = None
        self._spare: Any = None
        self._squares = cp.empty((self._n_bands, k))
        self._shifts: Any = None
        self._labels = cp.empty(n, dtype=np.int32)
        self._cost = cp.empty(n, dtype=dtype)
        self._gains = cp.empty(n)
        self._everything = cp.arange(n, dtype=np.int32)
        self._clusters = cp.empty((self._tiles, n), dtype=np.int32)
        self._costs, self._seconds = (cp.empty((self._tiles, n), dtype=dtype) for _ in range(2))
        self._own = cp.empty(n, dtype=dtype)
        self._target, self._moving = (cp.empty(n, dtype=np.int32) for _ in range(2))
        self._members, self._change, self._changed = (cp.zeros(k, dtype=np.int32) for _ in range(3))
        self._counters = cp.zeros(3, dtype=np.int32)
        self._taken = cp.zeros(k, dtype=np.int32)
        self._state, self._after = cp.zeros((4, k)), cp.empty((2, k))
        self._q, self._size = cp.empty(k, dtype=dtype), cp.empty(k, dtype=dtype)
        self._answers = cp.empty(4)

    # -- Lloyd --------------------------------------------------------------------------

    @telling
    def start(self, clusters: Clusters) -> None:
        size, q = clusters.sizes_and_spreads()
        self._sums = clusters.sums
        self._q, self._size = (cp.asarray(one, self.rows.dtype) for one in (q, size))
        spreads = clusters.spreads()
        state = np.stack((clusters.weight, clusters.squared_norms, spreads, np.zeros(self.k)))
        self._state = cp.asarray(state)
        self._labels.fill(-1)
        self._clear()

    @telling
    def iterate(self, shifted: bool) -> Iteration:
        n, k = np.int32(self.n), np.int32(self.k)
        self._per_row("nearest", self.n, self._tiles)(
            *(n, k, *self._parts(), self._sums, self._q, self._size),
            *(self._clusters, self._costs, self._seconds),
        )
        self._per_thread("take_nearest", self.n)(
            *(n, np.int32(self._tiles), self._clusters, self._costs),
            *(self._labels, self._cost, self._members, self._counters),
        )
        before = self._sums
        if shifted:
            self._sums = self._room() if self._spare is None else self._spare
            self._spare = before
        self._form(clear=True, shifted=shifted)
        return self._iteration()

    def _form(self, clear: bool, shifted: bool = False) -> None:
        """Form all sums, and what is asked of clusters; ``clear`` leaves no fixed point behind."""
        n, k, unit = np.int32(self.n), np.int32(self.k), self._unit
        self._per_row("add_all", self.n)(
            *(n, k, *self._parts(), self._labels, unit, self._exact.view(np.uint64))
        )
        self._describe(clear, shifted)

    def _describe(self, clear: bool, shifted: bool = False) -> None:
        """Round the sums that were formed, and say what is asked of clusters."""
        k, unit = np.int32(self.k), self._unit
        shape = (np.int32(self.rows.shape[1]), k, np.int32(self._height))
        self._per_column("round_all")(
            *(*shape, unit, np.int32(clear), self._exact, self._sums, self._squares)
        )
        if shifted:
            if self._shifts is None:
                self._shifts = cp.empty((self._n_bands, self.k))
            self._per_column("square_steps")(
                *(*shape, self._spare, self._state, self._sums, self._members, self._shifts)
            )
        shifts = self._shifts if shifted else self._squares
        self._per_row("describe_all", self.k)(
            *(k, np.int32(self._n_bands), self._squares, shifts, np.int32(shifted)),
            *(np.int32(clear), self._members, self._state, self._q, self._size),
        )

    def _iteration(self) -> Iteration:
        self._kernel("report_iteration")(
            (1,), (WARP,), (np.int32(self.k), self._state, self._counters, self._answers)
        )
        moved, empty, explained, shift = cp.asnumpy(self._answers).tolist()
        return Iteration(int(moved), int(empty), explained, shift)

    # -- Hartigan -----------------------------------------------------------------------

    @telling
    def place(self, labels: NDArray[np.int32], noise: float) -> Iteration:
        self._labels[:] = cp.asarray(labels)
        self._noise = np.float64(noise)
        self._sums = self._room() if self._sums is None else self._sums
        self._clear()
        self._members.fill(0)
        self._per_thread("count_members", self.n)(np.int32(self.n), self._labels, self._members)
        self._used = True
        self._form(clear=False)
        return self._iteration()

    @telling
    def block(self, which: slice | NDArray[np.intp]) -> Any:
        if isinstance(which, slice):
            return self._everything[which]
        return cp.asarray(np.asarray(which, np.int32))

    @telling
    def improve(self, block: Any) -> Moves:
        n, k, tiles = len(block), np.int32(self.k), np.int32(self._tiles)
        room = self._tiles * n
        clusters, costs = (one.reshape(-1)[:room] for one in (self._clusters, self._costs))
        self._per_row("nearest_other_of", n, self._tiles)(
            *(np.int32(n), k, block, *self._parts(), self._sums, self._q, self._size),
            *(self._labels, self._norms, clusters, costs, self._own),
        )
        self._per_thread("weigh_moves", n)(
            *(np.int32(n), k, tiles, block, clusters, costs, self._own, self._labels),
            *(self._norms, self._members, self._state),
            *(self._noise, self._mean_norm, self._target, self._gains, self._moving),
            *(self._change, self._changed, self._counters),
        )
        self._move(block)
        return self._moves()

    @telling
    def move(self, block: Any, moving: NDArray[np.bool_]) -> Moves:
        self._moving[: len(block)] = cp.asarray(moving, np.int32)
        self._per_thread("announce_moves", len(block))(
            *(np.int32(len(block)), block, self._labels, self._target, self._moving),
            *(self._change, self._changed, self._counters),
        )
        self._move(block)
        return self._moves()

    def _move(self, block: Any) -> None:
        """Carry the rows that are to move, and leave them where that lowers the inertia."""
        n, k, unit = np.int32(len(block)), np.int32(self.k), self._unit
        exact = self._exact.view(np.uint64)
        targets = (self._target, self._moving, unit)
        self._per_row("carry_moves", len(block))(
            n, k, block, *self._parts(), self._labels, *targets, exact
        )
        self._per_column("square_changed")(
            *(np.int32(self.rows.shape[1]), k, np.int32(self._height), unit),
            *(self._changed, self._exact, self._squares),
        )
        self._per_row("describe_changed", self.k)(
            *(k, np.int32(self._n_bands), self._squares, self._changed, self._members),
            *(self._change, self._state, self._after, self._counters),
        )
        self._judge()
        self._per_row("settle_moves", len(block))(
            *(n, k, block, *self._parts(), *targets, self._taken, self._labels),
            *(exact, self._sums),
        )
        self._per_thread("settle_clusters", self.k)(
            *(k, self._after, self._taken, self._members, self._change, self._changed),
            *(self._state, self._q, self._size),
        )

    def _judge(self) -> None:
        """Decide which moves are taken."""
        self._kernel("report_moves")(
            *((1,), (WARP,)),
            (
                np.int32(self.k),
                self._state,
                self._after,
                self._counters,
                self._taken,
                self._answers,
            ),
        )

    def _moves(self) -> Moves:
        moving, taken, explained, _ = cp.asnumpy(self._answers).tolist()
        return Moves(int(moving), bool(taken), explained)

    @telling
    def candidates(self, block: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        gains = cp.asnumpy(self._gains[block])
        return gains, cp.asnumpy(self._moving[: len(block)]).astype(bool)

    @telling
    def gains(self) -> NDArray[np.float64]:
        gains: NDArray[np.float64] = cp.asnumpy(self._gains)
        return gains

    # -- what is brought back -----------------------------------------------------------

    @telling
    def labels(self) -> NDArray[np.int32]:
        labels: NDArray[np.int32] = cp.asnumpy(self._labels)
        return labels

    @telling
    def assignment(self) -> Assignment:
        return Assignment(self.labels(), cp.asnumpy(self._cost).astype(np.float64), None, None)

    @telling
    def clusters(self) -> Clusters:
        weight, norms = cp.asnumpy(self._state[:2])
        sums, self._sums = self._sums, None
        return Clusters(sums, weight, norms)

    # -- the kernels --------------------------------------------------------------------

    def _room(self) -> Any:
        return cp.empty((self.rows.shape[1], self.k), dtype=self.rows.dtype)

    def _clear(self) -> None:
        if self._used:
            self._exact.fill(0)
            self._members.fill(0)
        self._used = False

    def _parts(self) -> tuple[Any, Any, Any]:
        return self.rows.indptr, self.rows.indices, self.rows.data

    def _kernel(self, name: str) -> Any:
        return _kernel(self.rows, name)

    def _per_row(self, name: str, n: int, tiles: int = 1) -> Any:
        """A kernel that gives each row, or cluster, a warp."""
        kernel = self._kernel(name)
        return lambda *arguments: kernel((-(-n // ROWS), tiles), (WARP, ROWS), arguments)

    def _per_thread(self, name: str, n: int) -> Any:
        kernel = self._kernel(name)
        return lambda *arguments: kernel((-(-n // THREADS),), (THREADS,), arguments)

    def _per_column(self, name: str) -> Any:
        kernel, grid = self._kernel(name), (-(-self.k // COLUMNS), self._n_bands)
        return lambda *arguments: kernel(grid, (COLUMNS,), arguments)
