"""Clusters as levels: merged into a tree upwards, split downwards, cut at any number.

Upwards Ward's method merges the means, each weighing as many items as it has. Downwards the cluster
of the largest inertia is split in two, again and again. Every level has its names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.select import BackendSpec
from gpu_kmeans.clustering.ward import Tree, ward
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.model.edit import split, with_labels
from gpu_kmeans.model.model import Model
from gpu_kmeans.model.naming import cluster_names
from gpu_kmeans.validation import check_integer

__all__ = ["Level", "hierarchy", "levels", "natural_levels"]


@dataclass(frozen=True, eq=False)
class Level:
    """One level of a hierarchy.

    Attributes
    ----------
    labels : ndarray of shape (n,), int32
        Cluster of each item on this level; -1 for one in none.
    names : list of str
        Of its clusters.
    sizes : ndarray of shape (k,), int64
    parents : ndarray of shape (k,), int32, or None
        Cluster of the level above that each one is in; None on the uppermost.
    """

    labels: NDArray[np.int32]
    names: list[str]
    sizes: NDArray[np.int64]
    parents: NDArray[np.int32] | None


def hierarchy(model: Model) -> Tree:
    """Merge the clusters of a model that have items into a tree, by Ward's method."""
    occupied = np.flatnonzero(model.sizes)
    return ward(model.centroids[occupied], model.sizes[occupied])


def levels(
    model: Model, counts: Sequence[int], *, seed: int = 42, backend: BackendSpec = "cpu"
) -> list[Level]:
    """Return levels of so many clusters each, the coarsest first; each parts the one before.

    Parameters
    ----------
    model : Model
    counts : sequence of int
        Rising. Up to the model's own number the levels are cuts of its tree; beyond it the widest
        clusters are split.
    seed : int
        For the splits.

    Raises
    ------
    InvalidParam
        The numbers do not rise, or there are not so many items.
    """
    counts = [check_integer("levels", count, 1, model.n_clustered) for count in counts]
    if not counts or any(a >= b for a, b in pairwise(counts)):
        raise InvalidParam(f"levels must be rising numbers of clusters, got {list(counts)}")
    fine = _refined(model, counts[-1], seed, backend)
    tree = hierarchy(fine)
    occupied = np.flatnonzero(fine.sizes)
    own = np.zeros(fine.n_clusters, dtype=np.int32)
    made: list[Level] = []
    for count in counts:
        groups = own.copy()
        groups[occupied] = tree.cut(count)
        labels = np.where(fine.labels >= 0, groups[fine.labels], -1).astype(np.int32)
        cut = with_labels(fine, labels, count, {"level": count}, backend=backend)
        cut = replace(cut, names=_kept_names(fine, groups))
        parents = None if not made else _parents(labels, made[-1].labels, count)
        made.append(Level(labels, cluster_names(cut), cut.sizes, parents))
    return made


def natural_levels(model: Model) -> list[int]:
    """Return numbers of clusters for three levels or fewer that end at the model's own."""
    k = int((model.sizes > 0).sum())
    return sorted({k, *(n for n in (round(k**0.4), round(k**0.7)) if n >= 2 and 3 * n <= 2 * k)})


def _refined(model: Model, count: int, seed: int, backend: BackendSpec) -> Model:
    """Split the widest clusters until there are so many that have items."""
    while (missing := count - int((model.sizes > 0).sum())) > 0:
        spread = np.bincount(
            model.labels[model.clustered],
            weights=np.square(model.distances[model.clustered]),
            minlength=model.n_clusters,
        )
        spread[model.sizes < 2] = -1.0
        widest = int(spread.argmax())
        if spread[widest] <= 0:
            raise InvalidParam(
                f"there are only {count - missing} different groups of rows, and not {count}"
            )
        model = split(model, widest, seed=seed, backend=backend)
    return model


def _kept_names(fine: Model, groups: NDArray[np.int32]) -> dict[int, str]:
    """Return the names that people gave to clusters that are whole groups of a level."""
    members = np.bincount(groups[np.flatnonzero(fine.sizes)])
    return {
        int(groups[label]): name
        for label, name in fine.names.items()
        if members[groups[label]] == 1 and fine.sizes[label]
    }


def _parents(labels: NDArray[np.int32], above: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    inside = labels >= 0
    parents = np.zeros(count, dtype=np.int32)
    parents[labels[inside]] = above[inside]
    return parents


def level_rows(model: Model, made: Sequence[Level]) -> Any:
    """Yield a header, then the id of each item, and its cluster and its name on every level."""
    yield ["id", *(f"level {n}{what}" for n in range(1, len(made) + 1) for what in ("", " name"))]
    for row, item in enumerate(model.items["id"].to_pylist()):
        cells: list[Any] = [item]
        for level in made:
            label = int(level.labels[row])
            cells += [label, level.names[label] if label >= 0 else ""]
        yield cells
