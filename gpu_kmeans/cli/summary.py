"""A fitted model in a few numbers: what ``fit --json`` prints and ``fit`` shows."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from gpu_kmeans.forking import product

if TYPE_CHECKING:
    from gpu_kmeans.model import Model

__all__ = ["of_fit"]


def of_fit(model: Model) -> dict[str, Any]:
    """Return what a fit found and what it took, ready for JSON."""
    from gpu_kmeans.recommend import cluster_views

    info, metrics = model.info, model.metrics()
    alone = _inertia_of_one_cluster(model)
    return {
        "backend": info.backend,
        "backend_reason": info.backend_reason,
        **metrics,
        "n_empty": int((model.sizes == 0).sum()),
        "inertia_one_cluster": alone,
        "explained": 1 - info.inertia / alone if alone else 0.0,
        "seed": info.seed,
        "seconds": info.seconds,
        "catalogue": info.catalogue,
        "warnings": info.warnings,
        "clusters": [asdict(cluster) for cluster in cluster_views(model)],
    }


def _inertia_of_one_cluster(model: Model) -> float:
    """Inertia of the clustered items around their one mean, from the TF-IDF rows alone.

    Items in no cluster have no non-zeros, so all postings are those of clustered items.
    """
    values = model.postings.values.astype(np.float64)
    sums = np.diff(np.concatenate([[0.0], np.cumsum(values)])[model.postings.indptr])
    n_clustered = int((model.labels >= 0).sum())
    return max(0.0, float(product(values, values) - product(sums, sums) / max(1, n_clustered)))
