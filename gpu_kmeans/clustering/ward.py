"""Ward's method on means that stand for many rows: the cheapest pair is merged, again and again.

Merging clusters ``a`` and ``b`` of sizes ``n`` raises the inertia by
``n_a n_b / (n_a + n_b) |mean_a - mean_b|^2`` (Ward 1963). Pairs are found by chains of nearest
neighbours (Murtagh 1983), which need the square of the number of means in time and memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.forking import product

__all__ = ["Tree", "ward"]


@dataclass(frozen=True, eq=False)
class Tree:
    """Merges of ``k`` clusters into one, the cheapest first.

    Attributes
    ----------
    children : ndarray of shape (k - 1, 2), int64
        What each merge joins: numbers below ``k`` are clusters, ``k + i`` is merge ``i``.
    costs : ndarray of shape (k - 1,), float64
        How much each raises the inertia; never falling.
    sizes : ndarray of shape (k - 1,), int64
        Items of each merge.
    """

    children: NDArray[np.int64]
    costs: NDArray[np.float64]
    sizes: NDArray[np.int64]

    @property
    def n_clusters(self) -> int:
        """Number of clusters at the bottom."""
        return len(self.children) + 1

    def cut(self, n_groups: int) -> NDArray[np.int32]:
        """Return the group of each cluster where the tree has ``n_groups``, shape (k,).

        Groups are numbered by their first clusters.

        Raises
        ------
        InvalidParam
            There are not so many.
        """
        k = self.n_clusters
        if not 1 <= n_groups <= k:
            raise InvalidParam(
                f"a tree of {k} clusters is cut into 1 to {k} groups, not {n_groups}"
            )
        group = np.arange(2 * k - 1)
        for merge in range(k - n_groups):
            group[group == self.children[merge, 0]] = k + merge
            group[group == self.children[merge, 1]] = k + merge
        _, first, positions = np.unique(group[:k], return_index=True, return_inverse=True)
        order = np.empty(len(first), dtype=np.int32)
        order[np.argsort(first, kind="stable")] = np.arange(len(first))
        groups: NDArray[np.int32] = order[positions]
        return groups

    def order(self) -> NDArray[np.int64]:
        """Return the clusters as they stand side by side in the tree, shape (k,)."""
        k = self.n_clusters
        stack, leaves = [2 * k - 2], []
        while stack:
            node = stack.pop()
            if node < k:
                leaves.append(node)
            else:
                stack.extend(self.children[node - k, ::-1].tolist())
        return np.array(leaves, dtype=np.int64)


def ward(means: NDArray[np.floating], sizes: NDArray[np.int64]) -> Tree:
    """Merge clusters by Ward's method.

    Parameters
    ----------
    means : ndarray of shape (k, n_features)
    sizes : ndarray of shape (k,), int64
        Items of each; a cluster without items merges at no cost.
    """
    k = len(means)
    weights = sizes.astype(np.float64)
    costs = _costs(means.astype(np.float64), weights)
    active = np.ones(k, dtype=np.bool_)
    merges: list[tuple[int, int, float, float]] = []
    chain: list[int] = []
    while len(merges) < k - 1:
        if not chain:
            chain.append(int(np.argmax(active)))
        while True:
            last = chain[-1]
            row = np.where(active, costs[last], np.inf)
            row[last] = np.inf
            nearest = int(np.argmin(row))
            # Of equal ones the last of the chain, or the chain would never end.
            if len(chain) > 1 and row[chain[-2]] <= row[nearest]:
                nearest = chain[-2]
                break
            chain.append(nearest)
        one, other = sorted((chain.pop(), chain.pop()))
        cost = float(costs[one, other])
        both = weights[one] + weights[other]
        merges.append((one, other, cost, both))
        _update(costs, weights, active, one, other)
        active[other] = False
        weights[one] = both
    return _sorted(merges, k)


def _costs(means: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what every merge of two would cost, shape (k, k)."""
    centered = means - means.mean(axis=0)
    squares = np.einsum("ij,ij->i", centered, centered)
    squared = squares[:, None] + squares - 2 * product(centered, centered.T)
    total = weights[:, None] + weights
    shares = np.outer(weights, weights) / np.where(total > 0, total, 1.0)
    costs: NDArray[np.float64] = shares * np.maximum(squared, 0.0)
    np.fill_diagonal(costs, np.inf)
    return costs


def _update(
    costs: NDArray[np.float64],
    weights: NDArray[np.float64],
    active: NDArray[np.bool_],
    one: int,
    other: int,
) -> None:
    """Write what merges with the pair cost in the place of the first (Lance and Williams 1967)."""
    rest = np.flatnonzero(active)
    rest = rest[(rest != one) & (rest != other)]
    a, b, c = weights[one], weights[other], weights[rest]
    total = a + b + c
    merged = (a + c) * costs[one, rest] + (b + c) * costs[other, rest] - c * costs[one, other]
    costs[one, rest] = np.maximum(merged / np.where(total > 0, total, 1.0), 0.0)
    costs[rest, one] = costs[one, rest]


def _sorted(merges: list[tuple[int, int, float, float]], k: int) -> Tree:
    """Number the merges by rising cost; what each joins stands before it."""
    order = sorted(range(len(merges)), key=lambda merge: (merges[merge][2], merge))
    node = np.arange(k)  # node that each first cluster belongs to
    children = np.empty((k - 1, 2), dtype=np.int64)
    costs, sizes = np.empty(k - 1), np.empty(k - 1, dtype=np.int64)
    parent = list(range(k))

    def root(cluster: int) -> int:
        while parent[cluster] != cluster:
            parent[cluster] = parent[parent[cluster]]
            cluster = parent[cluster]
        return cluster

    for number, merge in enumerate(order):
        one, other, cost, size = merges[merge]
        left, right = root(one), root(other)
        children[number] = sorted((node[left], node[right]))
        costs[number], sizes[number] = cost, round(size)
        parent[right] = left
        node[left] = k + number
    return Tree(children, costs, sizes)
