"""Clusters split in two, all of them as one problem: each row is held to its own cluster's halves.

The sums are those of :mod:`gpu_kmeans.cuda.iterations`, two columns a cluster, and so are the
moves; whether these are taken is decided pair by pair. Where those of a pair do not lower its
inertia, the rows that gain more than the average are tried, a few times.

Not yet run on a GPU.
"""

from __future__ import annotations

from typing import Any

import cupy as cp
import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Matrix, is_sparse
from gpu_kmeans.cuda.device_memory import fits
from gpu_kmeans.cuda.iterations import DeviceIterations

__all__ = ["halve"]

TRIES = 4
"""Maximum number of times that the moves of a block are thinned out."""


def halve(
    rows: Matrix,
    squared_norms: NDArray[np.float64],
    clusters: list[NDArray[np.intp]],
    pairs: NDArray[np.intp],
    coins: list[NDArray[np.bool_]],
    blocks: int,
    passes: int,
    noise: float,
) -> tuple[list[NDArray[np.int32]], NDArray[np.float64]] | None:
    k = 2 * len(clusters)
    if not is_sparse(rows) or rows.dtype != np.float32:
        return None
    if not fits((8 + 2 * rows.dtype.itemsize) * rows.shape[1] * k):
        return None
    try:
        halves = _Halves(rows, squared_norms, k)
        halves.begin(clusters, pairs, coins, noise)
        halves.settle(clusters, blocks, passes)
    except MemoryError:
        return None
    return halves.sides(clusters)


class _Halves(DeviceIterations):
    """Steps over pairs of halves, whose labels are 2 c and 2 c + 1."""

    def begin(
        self,
        clusters: list[NDArray[np.intp]],
        pairs: NDArray[np.intp],
        coins: list[NDArray[np.bool_]],
        noise: float,
    ) -> None:
        """Label each row with the nearer of its cluster's pair, and form the sums."""
        self._noise, self._sums = np.float64(noise), self._room()
        self._verdict = cp.zeros(len(clusters), dtype=np.int32)
        labels = np.zeros(self.n, np.int32)
        labels[pairs.ravel()] = np.arange(self.k)
        self._labels = cp.asarray(labels)
        self._members.fill(1)
        self._sum(self.block(pairs.ravel()), clear=True)
        which = self.block(np.concatenate(clusters))
        number = np.repeat(np.arange(len(clusters)), [len(one) for one in clusters])
        given = (cp.asarray(one, np.int32) for one in (number, np.concatenate(coins)))
        self._per_row("choose_halves", len(which))(
            *(np.int32(len(which)), np.int32(self.k), which, *given, *self._parts()),
            *(self._sums, self._state, self._labels, self._members),
        )
        self._sum(which, clear=False)

    def _sum(self, which: Any, clear: bool) -> None:
        """Form the sums of the rows of a list."""
        k = np.int32(self.k)
        self._per_row("add_listed", len(which))(
            *(np.int32(len(which)), k, which, *self._parts(), self._labels, self._unit),
            self._exact.view(np.uint64),
        )
        self._describe(clear)

    def settle(self, clusters: list[NDArray[np.intp]], blocks: int, passes: int) -> None:
        """Move rows between the halves, a part of every cluster's at a time."""
        parts = []
        for part in range(blocks):
            cut = [
                rows[len(rows) * part // blocks : len(rows) * (part + 1) // blocks]
                for rows in clusters
            ]
            first = np.cumsum([0, *map(len, cut)])
            if first[-1]:
                parts.append((self.block(np.concatenate(cut)), cp.asarray(first, np.int32)))
        for block, first in parts * passes:
            self._improve(block, first)

    def _improve(self, block: Any, first: Any) -> None:
        n = np.int32(len(block))
        self._per_row("weigh_halves", len(block))(
            *(n, np.int32(self.k), block, *self._parts(), self._sums, self._labels),
            *(self._norms, self._members, self._state, self._noise, self._mean_norm),
            *(self._target, self._gains, self._moving),
            *(self._change, self._changed, self._counters),
        )
        for _ in range(TRIES):
            self._move(block)
            refused = int(cp.asnumpy(self._counters)[2])
            self._counters.fill(0)
            if not refused:
                return
            pairs = self.k // 2
            self._per_row("thin_moves", pairs)(
                *(np.int32(pairs), first, block, self._verdict, self._gains, self._moving)
            )
            self._per_thread("announce_moves", len(block))(
                *(n, block, self._labels, self._target, self._moving),
                *(self._change, self._changed, self._counters),
            )
        self._move(block)
        self._counters.fill(0)

    def _judge(self) -> None:
        self._per_thread("judge_halves", self.k // 2)(
            *(np.int32(self.k), self._state, self._after, self._members, self._change),
            *(self._changed, self._counters, self._taken, self._verdict),
        )

    def sides(
        self, clusters: list[NDArray[np.intp]]
    ) -> tuple[list[NDArray[np.int32]], NDArray[np.float64]]:
        """The half of each row, cluster by cluster, and what both halves of each explain."""
        labels, explained = self.labels(), cp.asnumpy(self._state[2])
        return [labels[rows] % 2 for rows in clusters], explained.reshape(-1, 2).sum(axis=1)
