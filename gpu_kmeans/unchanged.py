"""What need not be looked at again: clusters whose members are the same cost a row the same.

After an iteration in which few rows moved, most clusters are as they were. A row that stayed in
such a cluster has only the changed ones to meet: no other can have become nearer. A row whose own
cluster changed is as quickly done where one of the changed clusters, its own among them, is nearer
than any other cluster was but its own: that bound, the cost of the next best cluster, is kept for
each row. The few rows that are left meet the other clusters again. The labels are, bit for bit,
those of a full assignment.

Source: T. Kaukoranta, P. Franti & O. Nevalainen, A fast exact GLA based on code vector activity
detection (IEEE Transactions on Image Processing 9, 2000); for text, the invariant centroids of
arXiv 2411.11300 (2024). The bound is that of G. Hamerly, Making k-means even faster (SDM 2010),
of clusters that did not move.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.protocol import Assignment, Backend, Clusters, Matrix

__all__ = ["are_few", "may_pay", "nearest_again"]

WORTH_IT = 0.5
"""Share of the clusters that may have changed. Beyond, all are as quickly looked at."""
FEWEST_CLUSTERS = 64
"""Fewer clusters take little longer than some of them."""


def may_pay(matrix: Matrix, k: int) -> bool:
    """Whether it can pay to look at some of k clusters alone.

    Of sparse rows: the last bits of dense ones' products may depend on which others are asked for.
    """
    return k >= FEWEST_CLUSTERS and hasattr(matrix, "indptr")


def are_few(changed: NDArray[np.bool_]) -> bool:
    """Whether so few clusters changed that it pays to look at them alone."""
    return int(np.count_nonzero(changed)) <= WORTH_IT * len(changed)


def nearest_again(
    backend: Backend,
    matrix: Matrix,
    before: Assignment,
    changed: NDArray[np.bool_],
    some: Clusters,
    every: Clusters,
) -> Assignment:
    """Assign rows, given what they were assigned to before some clusters changed.

    Parameters
    ----------
    before : Assignment
        Of the same rows, when the clusters that have not changed were as they are now.
    changed : ndarray of shape (k,), bool
        Clusters that may be other than they were.
    some, every : Clusters
        These alone, and all k.

    Returns
    -------
    Assignment
        Equal to that of all clusters, but that ``second`` is at most the next best one's cost.
    """
    own_changed = changed[before.nearest]
    found = backend.assign(matrix, some, second=True)
    candidate = np.flatnonzero(changed).astype(np.int32)[found.nearest]
    # Of most rows neither the cluster changed nor is a changed one nearer.
    stays = _is_first(before.cost, before.nearest, found.cost, candidate)
    stays &= ~own_changed
    nearest = np.where(stays, before.nearest, candidate)
    cost = np.where(stays, before.cost, found.cost)
    bound = np.minimum(_second(before), np.where(stays, found.cost, _second(found)))
    leaves = np.flatnonzero(~(own_changed | stays))
    bound[leaves] = np.minimum(bound[leaves], before.cost[leaves])
    left = np.flatnonzero(own_changed & (found.cost >= _second(before)))
    if len(left):
        others = replace(every, weight=np.where(changed, 0.0, every.weight))
        again = backend.assign(matrix[left], others, second=True)
        other = _is_first(again.cost, again.nearest, cost[left], nearest[left])
        bound[left] = np.where(
            other,
            np.minimum(cost[left], _second(again)),
            np.minimum(again.cost, _second(found)[left]),
        )
        nearest[left] = np.where(other, again.nearest, nearest[left])
        cost[left] = np.where(other, again.cost, cost[left])
    return Assignment(nearest, cost, bound, None)


def _is_first(
    cost: NDArray[np.float64],
    cluster: NDArray[np.int32],
    other_cost: NDArray[np.float64],
    other: NDArray[np.int32],
) -> NDArray[np.bool_]:
    """Whether a cluster is nearer than another one, or as near and of a lower number."""
    first: NDArray[np.bool_] = (cost < other_cost) | ((cost == other_cost) & (cluster < other))
    return first


def _second(found: Assignment) -> NDArray[np.float64]:
    assert found.second is not None
    return found.second
