"""A map of a model for people to look at: every cluster a disc, every item a place in it.

TF-IDF rows lie almost at right angles to each other, and no two directions show more than a few
percent of them: principal components of such rows are a star that hides all but a few clusters.
So this is a drawing and not a projection. The area of a disc is the size of its cluster. Discs
start where classical scaling of the centroids' cosines puts them, so that similar ones begin as
neighbours, and are pushed apart until none overlaps another, or for some hundred rounds. Within
a disc the items spiral outward from the one nearest to the centroid. For viewing only: nothing is
to be measured in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.forking import no_fork, product
from gpu_kmeans.model import Model

__all__ = ["ClusterMap", "cluster_map", "typical_first"]

GAP = 1.08
"""Distance of two discs' centres at least, in sums of their radii."""
ROUNDS = 400
MOST_ARRANGED = 1_000
"""More discs are laid out on a spiral: arranging them takes memory and time by their square."""
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
"""Between one item and the next: no two items of a disc come to lie on one ray."""


@dataclass(frozen=True, eq=False)
class ClusterMap:
    """Places of discs and items, in one unit: the radius of a disc of one item is 1.

    Attributes
    ----------
    labels : ndarray of shape (m,), int32
        Of the clusters that have items.
    x, y, radius : ndarray of shape (m,), float64
        Centres and radii of their discs.
    rows : ndarray of shape (n,), intp
        Of the clustered items.
    item_x, item_y : ndarray of shape (n,), float64
        Their places.
    """

    labels: NDArray[np.int32]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    radius: NDArray[np.float64]
    rows: NDArray[np.intp]
    item_x: NDArray[np.float64]
    item_y: NDArray[np.float64]


def cluster_map(model: Model) -> ClusterMap:
    """Draw a model's clusters as discs of items; the same for the same model."""
    labels = np.flatnonzero(model.sizes).astype(np.int32)
    radius = np.sqrt(model.sizes[labels].astype(np.float64))
    if len(labels) <= MOST_ARRANGED:
        x, y = _apart(_scaled(model.centroids[labels]) * radius.sum() / 2, radius)
    else:
        x, y = _spiral(radius)
    order = typical_first(model)
    sizes = model.sizes[labels]
    nth = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    disc = np.repeat(np.arange(len(labels)), sizes)
    out = np.sqrt(nth + 0.5)
    angle = nth * GOLDEN_ANGLE
    return ClusterMap(
        labels,
        x,
        y,
        radius,
        order,
        x[disc] + out * np.cos(angle),
        y[disc] + out * np.sin(angle),
    )


def typical_first(model: Model) -> NDArray[np.intp]:
    """Rows of the clustered items by cluster, those nearest to its centroid first; shape (n,)."""
    rows = np.flatnonzero(model.clustered)
    return rows[np.lexsort((-model.closeness[rows], model.labels[rows]))]


def _spiral(radius: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Discs on a spiral, one behind the other, each clear of the turn before."""
    widest = 2 * GAP * float(radius.max())
    angle = 4 * np.sqrt(np.pi * (1 + np.arange(len(radius))))  # steps of at least the width
    out = widest * angle / (2 * math.pi)
    return out * np.cos(angle), out * np.sin(angle)


def _scaled(centroids: NDArray[np.float32]) -> NDArray[np.float64]:
    """Classical scaling (Torgerson 1952) of cosine distances to two dimensions, at most 1 each."""
    norms = np.array(
        [max(1e-12, math.sqrt(np.square(c, dtype=np.float64).sum())) for c in centroids]
    )
    cosines = product(centroids, centroids.T).astype(np.float64) / np.outer(norms, norms)
    squared = np.maximum(0, 2 - 2 * cosines)
    centred = squared - squared.mean(axis=0) - squared.mean(axis=1)[:, None] + squared.mean()
    with no_fork():
        values, vectors = np.linalg.eigh(-centred / 2)
    places = np.zeros((len(centroids), 2))
    for axis, at in enumerate(range(len(values) - 1, max(-1, len(values) - 3), -1)):
        vector = vectors[:, at] * math.sqrt(max(0.0, values[at]))
        # An eigenvector's sign is free: the largest part is to be positive.
        places[:, axis] = vector * np.sign(vector[np.abs(vector).argmax()] or 1.0)
    return places / max(1e-12, float(np.abs(places).max()))


def _apart(
    places: NDArray[np.float64], radius: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw discs toward the middle, and push those apart that overlap, until none does."""
    m = len(radius)
    # Discs on one spot would have no direction to go.
    turn = np.arange(m) * GOLDEN_ANGLE
    places = places + 1e-3 * np.column_stack((np.cos(turn), np.sin(turn))) * radius.mean()
    needed = GAP * (radius[:, None] + radius[None, :])
    np.fill_diagonal(needed, 0)
    share = radius[None, :] ** 2 / (radius[:, None] ** 2 + radius[None, :] ** 2)
    rounds = ROUNDS if m <= 300 else max(40, ROUNDS * 300 // m)
    for at in range(2 * rounds):
        if at < rounds:
            places *= 1 - 2 / rounds
        between = places[:, None, :] - places[None, :, :]
        distance = np.sqrt(np.square(between).sum(axis=2))
        np.fill_diagonal(distance, 1)
        overlap = np.maximum(0, needed - distance)
        if at >= rounds and not overlap.any():
            break
        places += (between * (overlap * share / distance)[:, :, None]).sum(axis=1)
    return places[:, 0].copy(), places[:, 1].copy()
