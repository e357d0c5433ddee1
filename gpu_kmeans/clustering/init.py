"""The first centroids. All draws are made on the host from one seed.

``"auto"``
    Dense rows for which exchanges of clusters follow start as
    :mod:`gpu_kmeans.clustering.dense_start` has it. Else "sketch" where exchanges and single-row
    moves follow, "k-means++" before Lloyd's iterations, for skewed dense rows, and for rows that
    single precision cannot tell apart: see :func:`chosen`.
``"sketch"``
    The rows are projected on a few random directions (signs, Achlioptas 2003) and the library's
    own k-means clusters that small dense sketch from drawn rows; its clusters are the start on
    the full rows. It finds the basin for the price of an iteration or two. (The best of three
    sketches was no better once breaths and moves had done their work.)
``"k-means++"``
    Greedy k-means++ (Arthur & Vassilvitskii 2007) with 2 + ln(k) trials a centroid, as in
    scikit-learn.
``"random"``
    k different rows.
an array
    The centroids themselves, shape (k, n_features).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Clusters, is_sparse
from gpu_kmeans.clustering.lloyd import Report, Rows, library_kmeans
from gpu_kmeans.forking import product

__all__ = ["INITS", "chosen", "is_skewed", "start"]

INITS = ("auto", "sketch", "k-means++", "random")
DIRECTIONS = 32
SKETCH_ITERATIONS = 10
SKEWED = 200.0
"""Largest ratio of the largest squared norm to their mean at which dense rows are not skewed: 10 of
3,000 normal rows in two dimensions, 478 of as many lognormal ones (sigma 2). From the sketch, rows
of that kind ended up to 5 % higher (rows and starts: `python -m bench.starts`)."""


def chosen(init: str, rows: Rows, moves: bool) -> str:
    """Name of the start that "auto" chooses; others are returned as they are.

    Parameters
    ----------
    rows : Rows
        Scaled for the fit.
    moves : bool
        Whether exchanges of clusters and single-row moves follow. These make a start's drawn rows
        good; Lloyd's iterations alone do not, and end up to thousands of times higher on skewed
        rows.
    """
    if init != "auto":
        return init
    return "sketch" if moves and not rows.wide and not is_skewed(rows) else "k-means++"


def is_skewed(rows: Rows) -> bool:
    """Whether dense rows have a heavy tail, in which rows drawn alike seldom lie.

    Sparse rows of that kind end alike from both starts, and are many times dearer to draw by
    distance.
    """
    norms = rows.squared_norms
    return not is_sparse(rows.matrix) and bool(norms.max() > SKEWED * norms.mean())


def start(
    backend: Backend,
    rows: Rows,
    k: int,
    init: str | NDArray[Any],
    rng: np.random.Generator,
    report: Report,
) -> Clusters:
    """Return the clusters that the first iteration starts from."""
    if not isinstance(init, str):
        return backend.clusters_from(init, rows.matrix.dtype)
    if init == "sketch":
        return _sketch(backend, rows, k, rng, report)
    draw = {"k-means++": _plus_plus, "random": _draw_rows}[init]
    chosen = draw(backend, rows, k, rng)
    return backend.cluster_sums(rows.matrix[chosen], np.arange(k, dtype=np.int32), k)


def _draw_rows(backend: Backend, rows: Rows, k: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Different rows, by weight while there are enough that have any."""
    n = len(rows.squared_norms)
    if rows.weight is None or np.count_nonzero(rows.weight) < k:
        return rng.choice(n, k, replace=False)
    return rng.choice(n, k, replace=False, p=rows.weight / rows.weight.sum())


def _sketch(
    backend: Backend, rows: Rows, k: int, rng: np.random.Generator, report: Report
) -> Clusters:
    sketch = backend.project(rows.matrix, _directions(rows.matrix.shape[1], rng))
    init = backend.to_host(sketch[_draw_rows(backend, rows, k, rng)])
    labels, _ = library_kmeans(backend, sketch, init, SKETCH_ITERATIONS, rows.weight)
    clusters = backend.cluster_sums(rows.matrix, labels, k, rows.weight)
    report("sketch", rows.inertia(clusters, labels), 0)
    return clusters


def _directions(n_features: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Random signs, shape (n_features, DIRECTIONS); the axes themselves where these are fewer."""
    if n_features <= DIRECTIONS:
        return np.eye(n_features, dtype=np.float32)
    bits = np.frombuffer(rng.bytes(n_features * DIRECTIONS // 8), np.uint8)
    signs = np.unpackbits(bits).reshape(n_features, DIRECTIONS)
    return 2 * signs.astype(np.float32) - 1


def _plus_plus(backend: Backend, rows: Rows, k: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw rows by their squared distance to the nearest one drawn, best of some trials."""
    norms = rows.squared_norms
    weight = np.ones(len(norms)) if rows.weight is None else rows.weight
    trials = 2 + int(math.log(k))
    chosen = np.empty(k, dtype=np.intp)
    chosen[0] = rng.choice(len(norms), p=weight / weight.sum())
    closest = _squared_distances(backend, rows, chosen[:1])[:, 0]
    for i in range(1, k):
        mass = np.cumsum(closest * weight)
        drawn = np.searchsorted(mass, rng.random(trials) * mass[-1], side="right")
        candidates = np.minimum(drawn, len(norms) - 1)
        reached = np.minimum(closest[:, None], _squared_distances(backend, rows, candidates))
        best = int(np.argmin(product(weight, reached)))
        chosen[i] = candidates[best]
        closest = reached[:, best]
    return chosen


def _squared_distances(
    backend: Backend, rows: Rows, candidates: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Squared distances of all rows to some of them, shape (n, len(candidates))."""
    some = backend.to_host(rows.matrix[candidates])
    directions = (some.toarray() if hasattr(some, "toarray") else some).T
    products = backend.to_host(backend.project(rows.matrix, directions)).astype(np.float64)
    squared = rows.squared_norms[:, None] - 2 * products + rows.squared_norms[candidates]
    noise = 16 * np.finfo(rows.matrix.dtype).eps * rows.squared_norms[:, None]
    return np.where(squared > noise, squared, 0)
