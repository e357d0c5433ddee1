"""Bounds that spare rows an assignment: no other cluster can have become nearer to them.

From one iteration to the next few rows move. The sum of a cluster of weight ``n`` and mean ``m``
changes by ``D``, the rows that came less those that left. A row ``x`` costs it
``|m|^2 - 2 x.m``, and afterwards, with ``n'`` and ``m'``,

    ``|m'|^2 - (n / n') (|m|^2 - cost) - 2 x.D / n'``,

in which ``x.D`` alone depends on more of the row than its cost. So it is bounded, and with it, for
each row, the cost of its own cluster from above and that of the next best one from below. Where
these bounds do not meet, the row stays; the others are assigned anew, with all clusters. The labels
are, bit for bit, those of a full assignment.

Bounds of this kind are those of G. Hamerly, Making k-means even faster (SDM 2010), with
``|x| |D|`` for ``x.D``. For texts that is many times too much, as they have few of the words that
came or went. Here each feature has the largest rise and the largest fall of ``D / n'`` in any
cluster of a group, and one look at a row's non-zeros bounds its products with all clusters. Those
that changed about as much are a group, or small ones, whose means go far, would speak for large
ones. The few of which least is known, as they lost many of their rows, have their costs computed
in the same look.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from gpu_kmeans.backends.protocol import Assignment, Backend, Clusters, Drift, Matrix, is_sparse

__all__ = [
    "GROUPS",
    "SINGLES",
    "Groups",
    "drifted",
    "few_move",
    "may_pay",
    "nearest_again",
    "rounding_errors",
    "update_bounds_by_products",
    "widened",
]

GROUPS, SINGLES = 3, 2
"""Number of groups of changed clusters, and of single ones, whose costs are computed; also in the
CPU's kernels, which keep twice the former and the latter in a vector of eight numbers."""
SEGMENTS = 64
"""Number of segments of the range of costs, in each of which a line bounds a group from below."""
SMALL, MATTERS = 16, 0.005
"""Largest share of all weight, as 1 / SMALL, that a single cluster may hold, as its rows are summed
anew; and the smallest fall of its costs that is worth it, as a share of the gap to a second one."""
FEW = 16
"""Minimum number of rows for each that moved: where more moved, bounds spare hardly a row."""
WORTH_IT = 0.75
"""Largest share of the rows that is assigned anew: beyond it, all are as quickly assigned."""
FEWEST_CLUSTERS = 64
"""Minimum number of clusters: rows are as quickly assigned to fewer as bounded."""


def may_pay(backend: Backend, matrix: Matrix, k: int) -> bool:
    """Whether bounds can save anything for k clusters: of sparse rows alone."""
    return backend.updates_bounds and k >= FEWEST_CLUSTERS and is_sparse(matrix)


def few_move(moved: int, n: int) -> bool:
    """Whether so few of n rows moved that bounds may pay."""
    return moved * FEW <= n


def rounding_errors(
    backend: Backend, matrix: Matrix, squared_norms: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Largest rounding error of each row's costs, shape (n,).

    A sum of products has a relative error of at most a unit roundoff for each of them, and no mean
    of rows is longer than the longest row. Sums of rows and squared norms are formed in float64.
    """
    (n, n_features), eps = matrix.shape, float(np.finfo(matrix.dtype).eps)
    terms = (np.diff(backend.to_host(matrix.indptr)) + 16) * eps
    terms += 4 * (n + n_features) * float(np.finfo(np.float64).eps)
    longest = np.sqrt(squared_norms.max(initial=0))
    rounding_error: NDArray[np.float64] = terms * longest * (np.sqrt(squared_norms) + longest)
    return rounding_error


def widened(assignment: Assignment, rounding_error: NDArray[np.float64]) -> Assignment:
    """Turn costs that are off by ``rounding_error`` at most into bounds."""
    cost, second = assignment.cost + rounding_error, _second(assignment) - rounding_error
    return replace(assignment, cost=cost, second=second)


def drifted(
    old: Clusters,
    new: Clusters,
    assignment: Assignment,
    moved: NDArray[np.intp],
    source: NDArray[np.int32],
    weight: NDArray[np.float64] | None,
) -> Drift | None:
    """Return how clusters changed when rows moved; None where no bound would follow from it.

    Parameters
    ----------
    old, new : Clusters
        Before and after; their weights and squared norms alone are read.
    assignment : Assignment
        To the old ones, with the second best.
    moved : ndarray of int
        The rows that moved from ``source`` to the cluster that is nearest.
    """
    target = assignment.nearest[moved]
    k = len(new.weight)
    size = np.bincount(target, minlength=k) + np.bincount(source, minlength=k)
    changed = np.flatnonzero(size)
    second = float(_second(assignment).mean())
    lightest = min(clusters.weight[changed].min(initial=1) for clusters in (old, new))
    if not np.isfinite(second) or lightest <= 0:
        return None
    inverse, offset, factor = np.zeros(k), np.zeros(k), np.ones(k)
    inverse[changed] = 1 / new.weight[changed]
    before, after = (
        clusters.squared_norms[changed] / clusters.weight[changed] / clusters.weight[changed]
        for clusters in (old, new)
    )
    factor[changed] = old.weight[changed] * inverse[changed]
    offset[changed] = after - factor[changed] * before
    if not (np.isfinite(offset).all() and np.isfinite(factor).all()):
        return None
    # Of a cluster that lost many of its rows, all that is known is that it was not nearer than a
    # row's second best; that is too little where its costs go down.
    fell = (1 - factor[changed]) * second - offset[changed]
    fell[new.weight[changed] * SMALL > new.weight.sum()] = 0
    order = np.argsort(-fell, kind="stable")[:SINGLES]
    matters = MATTERS * (second - float(assignment.cost.mean()))
    singles = changed[order[fell[order] > matters]]
    cost = new.squared_norms[singles] * inverse[singles] * inverse[singles]
    in_group = np.ones(k, bool)
    in_group[singles] = False
    changed = changed[in_group[changed]]
    return Drift(moved, source, target, weight, changed, inverse, offset, factor, singles, cost)


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Clusters that changed about as much, and what any of them costs at least.

    Attributes
    ----------
    group : ndarray of shape (k,), int32
        -1 where a cluster did not change.
    lowest, segments : float
        The lowest of the costs, and how many segments there are for a unit of cost.
    rest : float
        To be added to a cost for the clusters that did not change: infinity if there is none.
    offset, factor : ndarray of shape (n_segments, n_groups), float64
        No cost ``c`` in the segment became less than ``offset + factor c``, but for products.
    """

    group: NDArray[np.int32]
    lowest: float
    segments: float
    rest: float
    offset: NDArray[np.float64]
    factor: NDArray[np.float64]

    @classmethod
    def from_drift(
        cls, drift: Drift, assignment: Assignment, squares: NDArray[np.float64]
    ) -> Groups:
        """Group the clusters that changed, given the squared norm of each change of a mean."""
        changed, k = drift.changed, len(drift.offset)
        second = _second(assignment)
        lowest, highest = second.min(), second.max()
        group = np.full(k, -1, np.int32)
        order = changed[np.argsort(squares, kind="stable")]
        # Each is twice as large as the next, as those that changed most differ most.
        ends = (2**GROUPS - 2 ** np.arange(GROUPS - 1, 0, -1)) / (2**GROUPS - 1)
        group[order] = np.searchsorted(ends * len(order), np.arange(len(order)) + 0.5)
        # The least of several rising lines bends down: from one point to another it is not below
        # the line through both.
        knots = np.linspace(lowest, highest, SEGMENTS + 1)
        apart = bool((np.diff(knots) > 0).all())
        costs = drift.offset[order, None] + drift.factor[order, None] * knots
        begins = np.searchsorted(group[order], np.arange(GROUPS + 1))
        offset = np.full((SEGMENTS, GROUPS), np.inf)
        factor = np.zeros((SEGMENTS, GROUPS))
        for index, (begin, end) in enumerate(pairwise(begins)):
            if begin == end:
                continue
            least = costs[begin:end].min(axis=0)
            if apart:
                factor[:, index] = np.diff(least) / np.diff(knots)
            offset[:, index] = least[:-1] - factor[:, index] * knots[:-1] if apart else least.min()
        segments = SEGMENTS / float(highest - lowest) if apart else 0.0
        rest = np.inf if len(changed) + len(drift.singles) == k else 0.0
        return cls(group, float(lowest), segments, rest, offset, factor)

    def update_bounds(
        self,
        drift: Drift,
        assignment: Assignment,
        rounding_error: NDArray[np.float64],
        rise: NDArray[Any],
        fall: NDArray[Any],
        products: NDArray[Any],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
        """See :meth:`gpu_kmeans.backends.protocol.Backend.update_bounds`.

        ``rise`` and ``fall``, shape (n, n_groups), are the most by which a row's product with a
        mean of each group rose or fell; ``products``, shape (n, n_singles), are those with single
        means.
        """
        label, second = assignment.nearest, _second(assignment)
        most = drift.offset[label] + drift.factor[label] * assignment.cost
        mine = np.flatnonzero(self.group[label] >= 0)
        most[mine] += 2 * fall[mine, self.group[label[mine]]]
        segment = ((second - self.lowest) * self.segments).astype(np.intp).clip(0, SEGMENTS - 1)
        lines = self.offset[segment] + self.factor[segment] * second[:, None] - 2 * rise
        least = np.minimum(lines.min(axis=1), self.rest + second)
        for single, cost, product in zip(drift.singles, drift.single_cost, products.T, strict=True):
            np.minimum(least, cost - 2 * product - rounding_error, out=least, where=label != single)
            np.copyto(most, cost - 2 * product + rounding_error, where=label == single)
        return most, least, np.flatnonzero(~(most + 2 * rounding_error < least))


def update_bounds_by_products(
    assignment: Assignment,
    drift: Drift,
    rounding_error: NDArray[np.float64],
    rows: Matrix,
    take: Callable[[NDArray[np.int64]], Any],
    multiply: Callable[[Matrix, NDArray[np.float64]], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """:meth:`~gpu_kmeans.backends.protocol.Backend.update_bounds` by products of sparse and dense
    matrices.

    ``take`` brings some of the rows to the host, as CSR; ``multiply`` is a product in float64,
    brought there, too.
    """
    n, n_features = rows.shape
    weight = np.ones(n) if drift.weight is None else drift.weight
    change = np.concatenate((weight[drift.which], -weight[drift.which]))
    cluster, position = np.concatenate((drift.target, drift.source)), np.arange(len(drift.which))
    moves = sparse.csr_array(
        (change, (cluster, np.tile(position, 2))), shape=(len(drift.offset), len(position))
    )
    scale = sparse.diags_array(drift.inverse_weight)
    mean_changes = sparse.csr_array(scale @ (moves @ take(drift.which)))[drift.changed]
    squares = np.asarray(mean_changes.multiply(mean_changes).sum(axis=1), np.float64)
    groups = Groups.from_drift(drift, assignment, squares)
    rise, fall = (np.zeros((n_features, GROUPS)) for _ in range(2))
    for group in range(GROUPS):
        mine = mean_changes[groups.group[drift.changed] == group]
        if mine.nnz:
            rise[:, group] = mine.max(axis=0).toarray().clip(0)
            fall[:, group] = (-mine).max(axis=0).toarray().clip(0)
    means = np.zeros((n_features, len(drift.singles)))
    for i, single in enumerate(drift.singles):
        mine = np.flatnonzero(assignment.nearest == single)
        means[:, i] = take(mine).T @ (weight[mine] * drift.inverse_weight[single])
    magnitudes = rows
    if rows.nnz and rows.data.min() < 0:
        # From a negative value, what rises takes the cluster away.
        magnitudes, rise, fall = abs(rows), np.maximum(rise, fall), np.maximum(rise, fall)
    bounds = multiply(magnitudes, np.hstack((rise, fall)))
    products = multiply(rows, means) if means.size else np.zeros((n, 0))
    return groups.update_bounds(
        drift, assignment, rounding_error, bounds[:, :GROUPS], bounds[:, GROUPS:], products
    )


def nearest_again(
    backend: Backend,
    matrix: Matrix,
    before: Assignment,
    drift: Drift,
    clusters: Clusters,
    rounding_error: NDArray[np.float64],
) -> Assignment:
    """Assign rows, given bounds of what they were assigned to before clusters drifted.

    Returns
    -------
    Assignment
        ``nearest`` as :meth:`~gpu_kmeans.backends.protocol.Backend.assign` would find it; ``cost``
        is at least, and ``second`` at most what they are.
    """
    cost, second, unsettled = backend.update_bounds(matrix, before, drift, rounding_error)
    if len(unsettled) > WORTH_IT * len(cost):
        return widened(backend.assign(matrix, clusters, second=True), rounding_error)
    nearest = before.nearest.copy()
    if len(unsettled):
        again = backend.assign(matrix, clusters, second=True, which=unsettled)
        again = widened(again, rounding_error[unsettled])
        nearest[unsettled], cost[unsettled] = again.nearest, again.cost
        second[unsettled] = _second(again)
    return replace(before, nearest=nearest, cost=cost, second=second)


def _second(assignment: Assignment) -> NDArray[np.float64]:
    assert assignment.second is not None
    return assignment.second
