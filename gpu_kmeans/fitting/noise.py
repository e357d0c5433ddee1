"""Rows that an algorithm leaves in no cluster, and clusters that it leaves without rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gpu_kmeans.backends.protocol import Backend, Matrix
from gpu_kmeans.clustering.base import Clustering
from gpu_kmeans.clustering.distances import nearest
from gpu_kmeans.model import UNCLUSTERED

__all__ = ["empty_clusters", "settle_noise"]

MUCH_NOISE = 0.25
"""Share of the rows beyond which noise is a reason to doubt the algorithm."""


def settle_noise(
    clustering: Clustering, rows: Matrix, noise: str, backend: Backend
) -> tuple[Clustering, list[str]]:
    """Leave rows in no cluster there, or put them into the nearest; say how many they are."""
    apart = np.flatnonzero(clustering.labels == UNCLUSTERED)
    if not len(apart):
        return clustering, []
    n = len(clustering.labels)
    counts = f"{len(apart)} of {n} rows are noise, in no dense region"
    if noise == "nearest":
        labels = clustering.labels.copy()
        labels[apart] = nearest(backend, backend.to_host(rows)[apart], clustering.means)
        return replace(clustering, labels=labels), [f"{counts}: they went to the nearest cluster"]
    much = "; another algorithm may suit them better" if len(apart) > MUCH_NOISE * n else ""
    return clustering, [
        f"{counts}, and are in no cluster{much}; noise='nearest' (--noise nearest) puts them into "
        "the nearest"
    ]


def empty_clusters(clustering: Clustering, n_clusters: int | None) -> list[str]:
    """Say it where some clusters have no items, as when there are few distinct texts."""
    occupied = len(np.unique(clustering.labels[clustering.labels != UNCLUSTERED]))
    if n_clusters is None or occupied == n_clusters:
        return []
    has = "has" if occupied == 1 else "have"
    return [f"{occupied} of {n_clusters} clusters {has} items; the others are empty"]
