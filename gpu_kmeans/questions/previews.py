"""What clusters of several numbers would look like, before one of them is fitted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gpu_kmeans.backends.select import BackendSpec, resolve
from gpu_kmeans.clustering.base import clusterer
from gpu_kmeans.clustering.choose import Candidate, Choice
from gpu_kmeans.model import UNCLUSTERED, Model, Postings
from gpu_kmeans.model.profiles import profiles
from gpu_kmeans.recommend import cluster_views

__all__ = ["preview", "previewed_counts", "with_clusters"]

PREVIEWS = 3
"""Number of k that are shown side by side."""


def previewed_counts(choice: Choice, count: int = PREVIEWS) -> list[int]:
    """Return the k to show: those recommended, then the others of the highest silhouettes."""

    def separation(candidate: Candidate) -> tuple[float, int]:
        return -candidate.silhouette, candidate.k

    others = sorted((c for c in choice.candidates if c.k not in choice.recommended), key=separation)
    return [*choice.recommended, *(c.k for c in others)][:count]


def with_clusters(
    model: Model,
    n_clusters: int,
    *,
    seed: int = 42,
    max_iter: int = 300,
    backend: BackendSpec = "auto",
) -> Model:
    """Cluster the rows of a model anew: what a fit of so many clusters would give.

    Parameters
    ----------
    model : Model
        Fitted with the same options and seed as that fit would be.
    n_clusters : int
    seed, max_iter : int
    backend : {"auto", "cpu", "gpu"} or Backend
    """
    device = resolve(backend)
    space = model.space
    rows = (space.to_csr() if isinstance(space, Postings) else space)[model.clustered]
    algorithm = model.info.parameters["algorithm"]
    method = clusterer(algorithm, n_clusters=n_clusters, max_iter=max_iter, seed=seed)
    clustering = method.fit(rows, device)
    labels = np.full(len(model.labels), UNCLUSTERED, dtype=np.int32)
    labels[model.clustered] = clustering.labels
    centroids = np.asarray(clustering.means, dtype=model.centroids.dtype)
    return replace(model, labels=labels, centroids=centroids, names={})


def preview(model: Model) -> dict[str, Any]:
    """Return the clusters of a model at a glance: names, sizes, words and typical items."""
    words = [list(view.top_terms) for view in cluster_views(model)]
    return {
        "k": model.n_clusters,
        "n_unclustered": len(model.labels) - model.n_clustered,
        "clusters": [
            {
                "label": profile.label,
                "name": profile.name,
                "size": profile.size,
                "share": profile.share,
                "top_terms": words[profile.label],
                "typical": [{"id": item, "title": title} for item, title in profile.typical],
            }
            for profile in profiles(model, n_reasons=1)
        ],
    }
