"""A fitted model in a few numbers: what ``fit --json`` prints and ``fit`` shows."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu_kmeans.model import Model

__all__ = ["of_fit"]


def of_fit(model: Model) -> dict[str, Any]:
    """Return what a fit found and what it took, ready for JSON."""
    from gpu_kmeans.evaluate import inertia_of_one_cluster
    from gpu_kmeans.recommend import cluster_views

    info, metrics = model.info, model.metrics()
    alone = inertia_of_one_cluster(model)
    return {
        "backend": info.backend,
        "backend_reason": info.backend_reason,
        **metrics,
        "unclustered": model.unclustered(),
        "n_empty": int((model.sizes == 0).sum()),
        "inertia_one_cluster": alone,
        "explained": 1 - info.inertia / alone if alone else 0.0,
        "seed": info.seed,
        "seconds": info.seconds,
        "catalogue": info.catalogue,
        "warnings": info.warnings,
        "reduced": 0 if model.reduction is None else len(model.reduction.components),
        "clusters": [asdict(cluster) for cluster in cluster_views(model)],
    }
