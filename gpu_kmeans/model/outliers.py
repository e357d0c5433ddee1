"""Items that fit nowhere: farther from the nearest cluster than its own items are.

A cluster of a few items is no place to belong to: one far row makes a cluster of its own, at
distance 0. So distances are those to *established* clusters, which hold a share of the items, and
each counts in units of that cluster's own spread, the median distance of its items.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.select import BackendSpec, resolve
from gpu_kmeans.clustering.distances import all_distances
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.model import UNCLUSTERED, Model, Postings
from gpu_kmeans.model.naming import distinctive_terms

__all__ = ["Outliers", "established", "junk_clusters", "outliers"]

ESTABLISHED_SHARE = 0.05
"""Size of an established cluster, as a share of the mean size of the clusters."""
ESTABLISHED_ROWS = 3
"""Number of items that an established cluster has in any case."""
ROWS_AT_ONCE = 4_096
"""Number of rows whose distances to all clusters are in memory at once."""
JUNK_SHARE = 0.1
"""Share of a cluster's texts that its most frequent own term has at least, if it is no junk."""


@dataclass(frozen=True, eq=False)
class Outliers:
    """How badly each item fits, shape (n,) each; NaN for an item that could not be clustered.

    Attributes
    ----------
    scores : ndarray of float64
        Distance to the nearest established cluster, in units of that cluster's median distance:
        about 1 for an ordinary item, and the higher the worse.
    margins : ndarray of float64
        Distance to the nearest established cluster divided by that to the next: near 1, an item
        lies between two; 0 where there is one cluster alone.
    nearest : ndarray of int32
        The nearest established cluster; -1 where there is no distance.
    """

    scores: NDArray[np.float64]
    margins: NDArray[np.float64]
    nearest: NDArray[np.int32]

    def first(self, count: int) -> NDArray[np.intp]:
        """Return rows of the ``count`` highest scores, highest first."""
        known = np.flatnonzero(~np.isnan(self.scores))
        return known[np.argsort(-self.scores[known], kind="stable")[:count]]


def established(model: Model) -> NDArray[np.int32]:
    """Return the labels of clusters large enough to belong to; the largest at least."""
    occupied = max(1, int((model.sizes > 0).sum()))
    least = max(ESTABLISHED_ROWS, ESTABLISHED_SHARE * model.n_clustered / occupied)
    large = np.flatnonzero(model.sizes >= least)
    return (large if len(large) else np.array([model.sizes.argmax()])).astype(np.int32)


def outliers(model: Model, *, backend: BackendSpec = "cpu") -> Outliers:
    """Score every item of a model by how badly it fits.

    Items that an algorithm or a trimmed fit has set apart are scored like all others.

    Parameters
    ----------
    model : Model
    backend : {"auto", "cpu", "gpu"} or Backend
    """
    if not isinstance(model, Model):
        raise InvalidParam(f"model must be a Model, got {type(model).__name__}")
    device = resolve(backend)
    space = model.space
    rows = space.to_csr() if isinstance(space, Postings) else space
    labels = established(model)
    centers = np.ascontiguousarray(model.centroids[labels])
    n = len(model.labels)
    nearest, first, second = np.empty(n, np.int32), np.empty(n), np.zeros(n)
    for start in range(0, n, ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        distances = all_distances(device, rows[part], centers)
        nearest[part] = distances.argmin(axis=1)
        if len(labels) > 1:
            two = np.partition(distances, 1, axis=1)
            first[part], second[part] = two[:, 0], two[:, 1]
        else:
            first[part] = distances[:, 0]
    spreads = _spreads(nearest, first, model.labels, labels)
    known = _known(model)
    scores = np.where(known, first / spreads[nearest], np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        margins = np.where(known, np.where(second > 0, first / second, 0.0), np.nan)
    return Outliers(scores, margins, np.where(known, labels[nearest], UNCLUSTERED).astype(np.int32))


def junk_clusters(model: Model) -> list[int]:
    """Return the labels of clusters that hold together badly.

    Those with items that are not established, and of texts those in which no term of their own is
    in a tenth of the texts: the remainder that fits nowhere else.
    """
    large = set(established(model).tolist())
    junk = [label for label in np.flatnonzero(model.sizes).tolist() if label not in large]
    text = model.features.text
    if text is None:
        return sorted(junk)
    column = text.vectorizer.vocabulary_
    present = np.diff(model.postings.indptr)
    for label, terms in enumerate(distinctive_terms(model)):
        if label not in large:
            continue
        most = 0
        for term in terms:
            if present[column[term]] * 1.0 >= most:
                start, end = model.postings.indptr[column[term] : column[term] + 2]
                most = max(most, int((model.labels[model.postings.rows[start:end]] == label).sum()))
        if most < JUNK_SHARE * model.sizes[label]:
            junk.append(label)
    return sorted(junk)


def _spreads(
    nearest: NDArray[np.int32],
    distances: NDArray[np.float64],
    own: NDArray[np.int32],
    labels: NDArray[np.int32],
) -> NDArray[np.float64]:
    """Return the median distance of each established cluster's own items; shape (len(labels),)."""
    spreads = np.empty(len(labels))
    for position, label in enumerate(labels):
        members = distances[(own == label) & (nearest == position)]
        spreads[position] = np.median(members) if len(members) else np.nan
    known = spreads[np.isfinite(spreads) & (spreads > 0)]
    # A cluster of equal rows has no spread of its own: that of all takes its place.
    typical = float(np.median(known)) if len(known) else 1.0
    return np.where(np.isfinite(spreads) & (spreads > 0), spreads, typical)


def _known(model: Model) -> NDArray[np.bool_]:
    """Tell which items have features at all: of texts, those with a known term."""
    if not model.is_text:
        return np.ones(len(model.labels), dtype=np.bool_)
    known = np.zeros(len(model.labels), dtype=np.bool_)
    known[model.postings.rows] = True
    return known
