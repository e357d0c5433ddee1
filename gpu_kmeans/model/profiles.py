"""Profiles: what sets each cluster of a model apart, and its most typical items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpu_kmeans.features.base import Reason
from gpu_kmeans.model.cluster_map import typical_first
from gpu_kmeans.model.model import Model
from gpu_kmeans.model.naming import cluster_names
from gpu_kmeans.model.reasons import reasons_of
from gpu_kmeans.validation import check_integer

__all__ = ["Profile", "profiles"]

REASONS = 8
"""Number of reasons of each kind in a profile."""
TYPICAL = 3
"""Number of typical items in a profile."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a cluster holds.

    Attributes
    ----------
    label, size : int
    name : str
        See :func:`gpu_kmeans.model.naming.cluster_names`.
    share : float
        Of all items in clusters.
    reasons : tuple of Reason
        What sets it apart: distinctive terms, numbers that lie far from those of all, values that
        are over-represented, features of a matrix that mark it; each kind strongest first.
    typical : tuple of (id, title or None)
        The items nearest to its mean, nearest first.
    """

    label: int
    name: str
    size: int
    share: float
    reasons: tuple[Reason, ...]
    typical: tuple[tuple[int | str, str | None], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, text and numbers."""
        return {
            "label": self.label,
            "name": self.name,
            "size": self.size,
            "share": self.share,
            "reasons": [reason.to_dict() for reason in self.reasons],
            "typical": [{"id": item, "title": title} for item, title in self.typical],
        }


def profiles(model: Model, *, n_reasons: int = REASONS, n_typical: int = TYPICAL) -> list[Profile]:
    """Explain the clusters of a model, in the order of their labels.

    Parameters
    ----------
    model : Model
    n_reasons : int
        Reasons of each kind at most, from 1.
    n_typical : int
        Typical items at most, from 0.
    """
    check_integer("n_reasons", n_reasons, 1)
    check_integer("n_typical", n_typical, 0)
    reasons = reasons_of(model, n_reasons)
    typical: dict[int, list[int]] = {label: [] for label in range(model.n_clusters)}
    rows = typical_first(model)
    for row, label in zip(rows.tolist(), model.labels[rows].tolist(), strict=True):
        if len(typical[label]) < n_typical:
            typical[label].append(row)
    names = cluster_names(model)
    ids = model.items["id"]
    titles = model.items["title"] if "title" in model.items.column_names else None

    def item(row: int) -> tuple[int | str, str | None]:
        return ids[row].as_py(), None if titles is None else titles[row].as_py()

    return [
        Profile(
            label=label,
            name=names[label],
            size=size,
            share=size / model.n_clustered,
            reasons=tuple(reasons[label]) if size else (),
            typical=tuple(item(row) for row in typical[label]),
        )
        for label, size in enumerate(model.sizes.tolist())
    ]
