"""Hartigan's single-row moves in monotone batches, exact, over the backend's verbs.

Lloyd's rule compares a row with centroids of which one contains the row itself. In a small
cluster of sparse, nearly orthogonal rows that self-attraction (1/size) outweighs everything
else, and Lloyd stops at once. Hartigan's rule takes the row out first: moving ``x`` of weight
``w`` from ``a`` to ``b`` changes the inertia by exactly ::

    w n_b / (n_b + w) |x - c_b|^2  -  w n_a / (n_a - w) |x - c_a|^2

so a row moves when that is negative. Where no row moves, Lloyd would move none either
(both factors favour staying less than Lloyd does), so the labels are those of ``predict``.

Rows are taken in blocks, one after the other. In a block all rows that gain move at once,
and the sums are brought up to date before the next block is looked at; that is nearly as
good as moving one row at a time and costs no more than a Lloyd iteration. Should the moves of
a block together not lower the inertia, the half that gains most is tried, then half of that.
So the inertia never rises.

While few rows move, each pass over all of them is followed by passes over those that are nearest
to moving, until none of these moves. The last pass always looks at all rows, with sums formed
anew, so what it ends with is a fixed point of single-row moves.

Sources: J. A. Hartigan, Clustering Algorithms (1975); Telgarsky & Vattani, Hartigan's Method
(AISTATS 2010); Slonim, Aharoni & Crammer, Hartigan's K-Means versus Lloyd's K-Means (IJCAI
2013); for text, Dhillon, Guan & Kogan, Iterative Clustering of High Dimensional Text Data
Augmented by Local Search (ICDM 2002).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Clusters, Iterations, Matrix
from gpu_kmeans.clustering.lloyd import Report, Rows, StageResult

__all__ = ["NOISE", "hartigan"]

BLOCKS = 8
"""Number of blocks of a pass. On 4,803 films 1 to 20 gave the same inertia within its spread over
seeds, on 64,000 texts 8 to 100 likewise; fewer make larger, faster steps that overshoot more
often."""

SMALLEST_BLOCK = 1024
"""Minimum number of rows of a block."""
FEW = 10
"""Minimum number of rows for each that moved in a pass at which few are said to move."""
NEAREST = 8
"""Number of rows for each that is looked at again while few move: those nearest to moving."""
NOISE = 16
"""Number of units of rounding below which a gain is none: it would move rows back and forth."""


def hartigan(
    backend: Backend,
    rows: Rows,
    labels: NDArray[np.int32],
    k: int,
    *,
    max_iter: int,
    report: Report,
    least: float = 0.0,
) -> StageResult:
    """Move single rows until no move lowers the inertia, or a pass saves too little of it.

    Parameters
    ----------
    labels : ndarray of shape (n,), int32
        The start; empty clusters are given the rows that cost their clusters most.
    max_iter : int
        Passes over all rows, at least 1.
    least : float
        Smallest share of the inertia that a pass must save for another one.

    Returns
    -------
    StageResult
        Labels and their means.
    """
    state = _state(backend, rows, labels, k)
    everything, fresh, before = state.blocks(), True, state.inertia()
    for n_iter in range(1, max_iter + 1):  # noqa: B007 - what it ended with is returned
        moved = sum(map(state.improve, everything))
        if 0 < moved * FEW <= len(labels):
            near = state.blocks(_largest(state.gains(), len(labels) // NEAREST))
            more = moved
            while more * NEAREST >= moved:  # as long as they pay better than a pass over all
                more = sum(map(state.improve, near))
                moved += more
        inertia = state.inertia()
        stopped = report("hartigan", inertia, moved)
        if stopped or (moved == 0 and fresh) or before - inertia < least * inertia:
            break
        before = inertia
        # Sums kept up to date by additions carry rounding: the last word has fresh ones.
        fresh = state.is_exact or moved == 0
        if fresh:
            state.refresh()
    labels, clusters = state.result()
    return StageResult(labels, clusters, n_iter, stopped)


def _state(backend: Backend, rows: Rows, labels: NDArray[np.int32], k: int) -> _State | _Steps:
    """Labels without an empty cluster, where that can be, and the sums that belong to them."""
    iterations = rows.iterations(backend, k)
    if iterations is None:
        return _State(backend, rows, labels.copy(), k)
    if np.bincount(labels, minlength=k).all():
        return _Steps(rows, labels, iterations)
    filled = _State(backend, rows, labels.copy(), k)
    return _Steps(rows, filled.labels, iterations)


def _largest(gains: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """The ``count`` rows with the largest gains, in their order."""
    return np.sort(np.argpartition(-gains, count)[: count + 1])


def _cuts(which: NDArray[np.intp] | None, n: int) -> list[slice | NDArray[np.intp]]:
    """Cut n rows, or some of them, into blocks of neighbours."""
    n = n if which is None else len(which)
    size = max(SMALLEST_BLOCK, -(-n // BLOCKS))
    cuts = [slice(i, min(i + size, n)) for i in range(0, n, size)]
    return [cut if which is None else which[cut] for cut in cuts]


class _Steps:
    """Labels, sums and gains that stay with the backend."""

    is_exact = True
    """Whether sums that follow moves are those that would be formed anew."""

    def __init__(self, rows: Rows, labels: NDArray[np.int32], iterations: Iterations) -> None:
        self.rows = rows
        self.iterations = iterations
        noise = NOISE * float(np.finfo(rows.matrix.dtype).eps)
        self._explained = iterations.place(labels, noise).explained

    def refresh(self) -> None:
        """Nothing: the sums are as good as new."""

    def blocks(self, which: NDArray[np.intp] | None = None) -> list[Any]:
        """Cut all rows, or some of them, into blocks of neighbours."""
        return list(map(self.iterations.block, _cuts(which, len(self.rows.squared_norms))))

    def improve(self, block: Any) -> int:
        """Move rows that gain, as many at once as lower the inertia; return how many."""
        done = self.iterations.improve(block)
        if done.moving and not done.taken:
            gains, moving = self.iterations.candidates(block)
            chosen = np.flatnonzero(moving)
            while not done.taken:
                best = np.argsort(-gains[chosen], kind="stable")[: len(chosen) // 2]
                chosen = np.sort(chosen[best])
                if len(chosen) == 0:
                    return 0
                moving = np.zeros(len(gains), bool)
                moving[chosen] = True
                done = self.iterations.move(block, moving)
        self._explained = done.explained
        return done.moving if done.taken else 0

    def gains(self) -> NDArray[np.float64]:
        """What each row would have gained when it was last looked at."""
        return self.iterations.gains()

    def inertia(self) -> float:
        """Inertia of the labels."""
        return self.rows.total - self._explained

    def result(self) -> tuple[NDArray[np.int32], Clusters]:
        """The labels and their means."""
        return self.iterations.labels(), self.iterations.clusters()


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows that are looked at together."""

    matrix: Matrix
    where: slice | NDArray[np.intp]
    squared_norms: NDArray[np.float64]
    weight: NDArray[np.float64] | None


class _State:
    """Labels, the sums that belong to them, and what each row would gain by moving."""

    is_exact = False

    def __init__(self, backend: Backend, rows: Rows, labels: NDArray[np.int32], k: int) -> None:
        self.backend = backend
        self.rows = rows
        self.labels = labels
        self.k = k
        self.gain = np.zeros(len(labels))
        counted = labels if rows.weight is None else labels[rows.weight > 0]
        self.members = np.bincount(counted, minlength=k)
        self.clusters = backend.cluster_sums(rows.matrix, labels, k, rows.weight)
        self.fill_empty_clusters()

    def refresh(self) -> None:
        """Form the sums anew from the labels."""
        self.clusters = self.backend.cluster_sums(
            self.rows.matrix, self.labels, self.k, self.rows.weight, into=self.clusters
        )

    def blocks(self, which: NDArray[np.intp] | None = None) -> list[_Block]:
        """Cut all rows, or some of them, into blocks of neighbours."""
        return list(map(self._block, _cuts(which, len(self.labels))))

    def _block(self, where: slice | NDArray[np.intp]) -> _Block:
        weight = None if self.rows.weight is None else self.rows.weight[where]
        return _Block(self.rows.matrix[where], where, self.rows.squared_norms[where], weight)

    def gains(self) -> NDArray[np.float64]:
        """What each row would have gained when it was last looked at."""
        return self.gain

    def inertia(self) -> float:
        """Inertia of the labels."""
        return self.rows.inertia(self.clusters, self.labels)

    def result(self) -> tuple[NDArray[np.int32], Clusters]:
        """The labels and their means."""
        return self.labels, self.clusters

    def improve(self, block: _Block) -> int:
        """Move rows that gain, as many at once as lower the inertia; return how many."""
        labels = self.labels[block.where]
        target, gain, noise = self._gains(block, labels)
        self.gain[block.where] = gain
        moving = np.flatnonzero(gain > noise)
        while len(moving):
            source = labels[moving]
            if self._lowers_inertia(block, moving, source, target[moving]):
                labels[moving] = target[moving]
                self.labels[block.where] = labels
                return len(moving)
            best = np.argsort(-gain[moving], kind="stable")[: len(moving) // 2]
            moving = np.sort(moving[best])
        return 0

    def _gains(
        self, block: _Block, labels: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
        """For each row the best other cluster, what the move gains, and how much is noise."""
        assignment = self.backend.assign(
            block.matrix, self.clusters, labels, block.weight, block.squared_norms
        )
        w: Any = 1.0 if block.weight is None else block.weight
        leave = self._leaving(assignment.own, labels, block.squared_norms, w)
        possible = np.isfinite(assignment.cost)  # not so where no other cluster has rows
        enter = w * (np.where(possible, assignment.cost, 0) + block.squared_norms)
        gain = np.where(possible, leave - enter, -np.inf)
        scale = block.squared_norms + self._typical_norm(labels, assignment.nearest)
        noise = NOISE * np.finfo(self.clusters.sums.dtype).eps * w * scale
        return assignment.nearest, gain, noise

    def _typical_norm(self, labels: NDArray[np.int32], target: NDArray[np.int32]) -> Any:
        """Squared norm beside which a gain is rounded, besides the row's own.

        The mean over all rows; of wide rows, of which few may outweigh all others, that of the
        two means that the row is compared with.
        """
        if not self.rows.wide:
            return self.rows.squared_norms.mean()
        clusters = self.clusters
        means = clusters.squared_norms / np.where(clusters.weight > 0, clusters.weight, np.inf) ** 2
        return means[labels] + means[target]

    def _leaving(
        self, own: Any, labels: NDArray[np.int32], squared_norms: NDArray[np.float64], w: Any
    ) -> NDArray[np.float64]:
        """Fall of the inertia when a row leaves its cluster; 0 for the last member of one."""
        n = self.clusters.weight[labels]
        n = np.where(n > 0, n, 1.0)  # a cluster of rows of weight 0: nothing to divide
        # A row that outweighs its cluster's others beyond float64's digits is as good as alone.
        alone = (self.members[labels] <= 1) | (n - w <= 1e-12 * n)
        rest = np.where(alone, np.inf, n - w)
        squared = squared_norms - 2 * own / n + self.clusters.squared_norms[labels] / n**2
        leave: NDArray[np.float64] = w * n / rest * np.maximum(squared, 0)
        return leave

    def _lowers_inertia(
        self,
        block: _Block,
        moving: NDArray[np.intp],
        source: NDArray[np.int32],
        target: NDArray[np.int32],
    ) -> bool:
        """Move the rows; if the inertia did not fall by it, move them back."""
        k = self.k
        members = self.members + np.bincount(target, minlength=k) - np.bincount(source, minlength=k)
        if (members[self.members > 0] == 0).any():
            return False
        before = self.clusters.spreads()
        self.backend.move(self.clusters, block.matrix, moving, source, target, block.weight)
        # Cluster by cluster, so that one far from all others takes no digits from them.
        if (self.clusters.spreads() - before).sum() > 0:
            self.members = members
            return True
        self.backend.move(self.clusters, block.matrix, moving, target, source, block.weight)
        return False

    def fill_empty_clusters(self) -> None:
        """Give each empty cluster the row that costs its own cluster most."""
        empty = np.flatnonzero(self.members == 0)
        if len(empty) == 0:
            return
        rows = self.rows
        everything = _Block(rows.matrix, slice(None), rows.squared_norms, rows.weight)
        assignment = self.backend.assign(
            rows.matrix, self.clusters, self.labels, rows.weight, rows.squared_norms
        )
        w: Any = 1.0 if rows.weight is None else rows.weight
        leave = self._leaving(assignment.own, self.labels, rows.squared_norms, w)
        for row in np.argsort(-leave, kind="stable"):
            source = self.labels[row]
            if len(empty) == 0 or leave[row] <= 0:
                break
            if self.members[source] > 1:
                single = np.array([row])
                if self._lowers_inertia(
                    everything, single, self.labels[single], empty[:1].astype(np.int32)
                ):
                    self.labels[row] = empty[0]
                    empty = empty[1:]
