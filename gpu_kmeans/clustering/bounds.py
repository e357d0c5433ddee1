"""What need not be looked at again: rows to which no other cluster can have become nearer.

From one iteration to the next few rows move. The sum of a cluster of weight ``n`` and mean ``m``
changes by ``D``, the rows that came less those that left. A row ``x`` costs it
``|m|^2 - 2 x.m``, and afterwards, with ``n'`` and ``m'``,

    ``|m'|^2 - (n / n') (|m|^2 - cost) - 2 x.D / n'``,

in which ``x.D`` alone depends on more of the row than its cost. So it is bounded, and with it, for
each row, the cost of its own cluster from above and that of the next best one from below. Where
these bounds do not meet, the row stays; the others are assigned anew, with all clusters. The labels
are, bit for bit, those of a full assignment.

Bounds of this kind are those of G. Hamerly, Making k-means even faster (SDM 2010), with
``|x| |D|`` for ``x.D``. Of texts that is many times too much, as they have few of the words that
came or went. Here each feature has the largest rise and the largest fall of ``D / n'`` in any
cluster of a group, and one look at a row's non-zeros bounds its products with all clusters. Those
that changed about as much are a group, or small ones, whose means go far, would speak for large
ones. The few of which least is known, as they lost many of their rows, are met by themselves in the
same look.
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
"""Number of groups of changed clusters, and of changed clusters that are met by themselves; also in
the CPU's kernels, which keep twice the ones and the others in a vector of eight numbers."""
SEGMENTS = 64
"""Number of segments of the range of costs, in each of which a line bounds a group from below."""
SMALL, MATTERS = 16, 0.005
"""Share, as 1 / SMALL, of the weight that a cluster met by itself may hold, as its rows are added
up anew; and the least share of the gap to a second cluster by which its costs went down."""
FEW = 16
"""Number of rows of which at most one may have moved: with more, hardly a row would be left out."""
WORTH_IT = 0.75
"""Largest share of the rows that is looked at again: beyond it, all are as quickly assigned."""
FEWEST_CLUSTERS = 64
"""Minimum number of clusters: fewer are as quickly looked at as their bounds."""


def may_pay(backend: Backend, matrix: Matrix, k: int) -> bool:
    """Whether bounds can save anything for k clusters: of sparse rows alone."""
    return backend.updates_bounds and k >= FEWEST_CLUSTERS and is_sparse(matrix)


def few_move(moved: int, n: int) -> bool:
    """Whether so few of n rows moved that bounds may pay."""
    return moved * FEW <= n


def rounding_errors(
    backend: Backend, matrix: Matrix, squared_norms: NDArray[np.float64]
) -> NDArray[np.float64]:
    """By how much costs of each row may be rounded off, shape (n,).

    A sum of products has a relative error of at most a unit roundoff for each of them, and no mean
    of rows is longer than the longest row. Sums of rows and squared norms are formed in float64.
    """
    (n, n_features), eps = matrix.shape, float(np.finfo(matrix.dtype).eps)
    terms = (np.diff(backend.to_host(matrix.indptr)) + 16) * eps
    terms += 4 * (n + n_features) * float(np.finfo(np.float64).eps)
    longest = np.sqrt(squared_norms.max(initial=0))
    rounding_error: NDArray[np.float64] = terms * longest * (np.sqrt(squared_norms) + longest)
    return rounding_error


def widened(found: Assignment, rounding_error: NDArray[np.float64]) -> Assignment:
    """Make bounds of costs: what is found is off by ``rounding_error`` at most."""
    return replace(found, cost=found.cost + rounding_error, second=_second(found) - rounding_error)


def drifted(
    old: Clusters,
    new: Clusters,
    found: Assignment,
    moved: NDArray[np.intp],
    source: NDArray[np.int32],
    weight: NDArray[np.float64] | None,
) -> Drift | None:
    """What became of clusters when rows moved; None where no bound would follow from it.

    Parameters
    ----------
    old, new : Clusters
        Before and after; their weights and squared norms alone are read.
    found : Assignment
        To the old ones, with the second best.
    moved : ndarray of int
        The rows that moved to where they were found to be nearest, from ``source``.
    """
    target = found.nearest[moved]
    k = len(new.weight)
    size = np.bincount(target, minlength=k) + np.bincount(source, minlength=k)
    changed = np.flatnonzero(size)
    second = float(_second(found).mean())
    weights = old.weight[changed], new.weight[changed]
    if not np.isfinite(second) or any((each <= 0).any() for each in weights):
        return None
    inverse, offset, factor = np.zeros(k), np.zeros(k), np.ones(k)
    inverse[changed] = 1 / new.weight[changed]
    before, after = (
        each.squared_norms[changed] / each.weight[changed] / each.weight[changed]
        for each in (old, new)
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
    matters = MATTERS * (second - float(found.cost.mean()))
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
    def of(cls, drift: Drift, found: Assignment, squares: NDArray[np.float64]) -> Groups:
        """Group the clusters that changed, given the squared norm of each change of a mean."""
        changed, k = drift.changed, len(drift.offset)
        second = _second(found)
        lowest, highest = second.min(), second.max()
        group = np.full(k, -1, np.int32)
        order = changed[np.argsort(squares, kind="stable")]
        # Each is twice as large as the next, as those that changed most differ most.
        ends = (2**GROUPS - 2 ** np.arange(GROUPS - 1, 0, -1)) / (2**GROUPS - 1)
        group[order] = np.searchsorted(ends * len(order), np.arange(len(order)) + 0.5)
        # The least of several rising lines bends down: from one point to another it is not below
        # the line through both.
        at = np.linspace(lowest, highest, SEGMENTS + 1)
        apart = bool((np.diff(at) > 0).all())
        costs = drift.offset[order, None] + drift.factor[order, None] * at
        begins = np.searchsorted(group[order], np.arange(GROUPS + 1))
        offset = np.full((SEGMENTS, GROUPS), np.inf)
        factor = np.zeros((SEGMENTS, GROUPS))
        for each, (begin, end) in enumerate(pairwise(begins)):
            if begin == end:
                continue
            least = costs[begin:end].min(axis=0)
            if apart:
                factor[:, each] = np.diff(least) / np.diff(at)
            offset[:, each] = least[:-1] - factor[:, each] * at[:-1] if apart else least.min()
        segments = SEGMENTS / float(highest - lowest) if apart else 0.0
        rest = np.inf if len(changed) + len(drift.singles) == k else 0.0
        return cls(group, float(lowest), segments, rest, offset, factor)

    def update_bounds(
        self,
        drift: Drift,
        found: Assignment,
        rounding_error: NDArray[np.float64],
        rise: NDArray[Any],
        fall: NDArray[Any],
        products: NDArray[Any],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
        """See :meth:`gpu_kmeans.backends.protocol.Backend.update_bounds`.

        Of each row and group, shape (n, n_groups), a mean's product with the row rose by ``rise``
        at most, and fell by ``fall``; ``products``, shape (n, n_singles), are those with single
        means.
        """
        label, second = found.nearest, _second(found)
        most = drift.offset[label] + drift.factor[label] * found.cost
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
    found: Assignment,
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
    cluster, each = np.concatenate((drift.target, drift.source)), np.arange(len(drift.which))
    moves = sparse.csr_array(
        (change, (cluster, np.tile(each, 2))), shape=(len(drift.offset), len(each))
    )
    scale = sparse.diags_array(drift.inverse_weight)
    by = sparse.csr_array(scale @ (moves @ take(drift.which)))[drift.changed]
    groups = Groups.of(drift, found, np.asarray(by.multiply(by).sum(axis=1), np.float64))
    rise, fall = (np.zeros((n_features, GROUPS)) for _ in range(2))
    for group in range(GROUPS):
        mine = by[groups.group[drift.changed] == group]
        if mine.nnz:
            rise[:, group] = mine.max(axis=0).toarray().clip(0)
            fall[:, group] = (-mine).max(axis=0).toarray().clip(0)
    means = np.zeros((n_features, len(drift.singles)))
    for i, single in enumerate(drift.singles):
        mine = np.flatnonzero(found.nearest == single)
        means[:, i] = take(mine).T @ (weight[mine] * drift.inverse_weight[single])
    size = rows
    if rows.nnz and rows.data.min() < 0:
        # From a negative value, what rises takes the cluster away.
        size, rise, fall = abs(rows), np.maximum(rise, fall), np.maximum(rise, fall)
    bounds = multiply(size, np.hstack((rise, fall)))
    products = multiply(rows, means) if means.size else np.zeros((n, 0))
    return groups.update_bounds(
        drift, found, rounding_error, bounds[:, :GROUPS], bounds[:, GROUPS:], products
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
    cost, second, left = backend.update_bounds(matrix, before, drift, rounding_error)
    if len(left) > WORTH_IT * len(cost):
        return widened(backend.assign(matrix, clusters, second=True), rounding_error)
    nearest = before.nearest.copy()
    if len(left):
        again = widened(
            backend.assign(matrix, clusters, second=True, which=left), rounding_error[left]
        )
        nearest[left], cost[left], second[left] = again.nearest, again.cost, again.second
    return replace(before, nearest=nearest, cost=cost, second=second)


def _second(found: Assignment) -> NDArray[np.float64]:
    assert found.second is not None
    return found.second
