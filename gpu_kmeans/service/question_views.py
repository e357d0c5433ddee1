"""Pages of answers about many items, as the API shows them."""

from __future__ import annotations

import numpy as np

from gpu_kmeans.errors import UnknownItem
from gpu_kmeans.service.models import Loaded
from gpu_kmeans.service.questions import Answer
from gpu_kmeans.service.registry import Row

__all__ = ["moved_page", "outliers_page"]


def outliers_page(
    loaded: Loaded, answer: Answer, cluster: int | None, start: int, limit: int
) -> Row:
    """Return a page of items by how badly they fit, of one cluster or of all."""
    columns = answer.columns
    chosen = np.arange(len(columns["rows"]))
    if cluster is not None:
        if cluster >= loaded.model.n_clusters:
            raise UnknownItem(
                f"the model has clusters 0 to {loaded.model.n_clusters - 1}, and none {cluster}"
            )
        chosen = np.flatnonzero(loaded.model.labels[columns["rows"]] == cluster)
    end = start + limit
    items = []
    for at in chosen[start:end].tolist():
        row = int(columns["rows"][at])
        items.append(
            {
                **loaded.named_item(row),
                "score": float(columns["scores"][at]),
                "margin": float(columns["margins"][at]),
                "cluster": int(loaded.model.labels[row]),
                "nearest": int(columns["nearest"][at]),
                "why": loaded.model.why_unclustered(row),
            }
        )
    return {
        **loaded.head(),
        "n": len(chosen),
        "items": items,
        "next_cursor": f"{loaded.version}-{end}" if end < len(chosen) else None,
        **answer.data,
    }


def moved_page(
    loaded: Loaded,
    answer: Answer,
    between: tuple[int | None, int | None],
    start: int,
    limit: int,
    prefix: str,
) -> Row:
    """Return a page of items that moved, of all or between two clusters, and its cursor."""
    rows, before, after = (answer.columns[name] for name in ("rows", "before", "after"))
    wanted = np.ones(len(rows), dtype=np.bool_)
    for labels, label in zip((before, after), between, strict=True):
        if label is not None:
            wanted &= labels == label
    chosen = np.flatnonzero(wanted)
    end = start + limit
    moved = [
        {
            **loaded.named_item(int(rows[at])),
            "before": int(before[at]),
            "after": int(after[at]),
        }
        for at in chosen[start:end].tolist()
    ]
    following = f"{prefix}-{end}" if limit and end < len(chosen) else None
    return {"moved": moved, "next_cursor": following}
