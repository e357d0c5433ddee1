"""What the registry says of a version: how good it is, and what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu_kmeans.model import Model

__all__ = ["REPORT_QUERIES", "describe", "judge"]

REPORT_QUERIES = 2_000
"""Number of random queries that measure what recommendations reach: enough to compare versions."""


def describe(model: Model) -> dict[str, Any]:
    """Return what the registry says of a model."""
    from gpu_kmeans.service.model_size import memory_of

    info = model.info
    return {
        "backend": info.backend,
        "memory": memory_of(model),
        "parameters": {**info.parameters, "seed": info.seed},
        "metrics": model.metrics(),
    }


def judge(model: Model) -> dict[str, Any]:
    """Return the report; of its clusters the model says it all, which may be megabytes."""
    from gpu_kmeans.evaluate import evaluate

    report = evaluate(model, n_queries=REPORT_QUERIES).to_dict()
    return {name: value for name, value in report.items() if name != "clusters"}
