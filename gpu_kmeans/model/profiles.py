"""Profiles: what sets each cluster of a model apart, and its most typical items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.features.base import Reason
from gpu_kmeans.model.cluster_map import typical_first
from gpu_kmeans.model.model import Model
from gpu_kmeans.model.rows import Postings
from gpu_kmeans.validation import check_integer

__all__ = ["Profile", "profiles", "short_reasons"]

REASONS = 8
"""Number of reasons of each kind in a profile."""
TYPICAL = 3
"""Number of typical items in a profile."""
SHOWN_DEVIATION = 0.1
"""Deviation of a number or a share, in standard deviations, from which on it names a cluster."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a cluster holds.

    Attributes
    ----------
    label, size : int
    share : float
        Of all items in clusters.
    reasons : tuple of Reason
        What sets it apart: distinctive terms, numbers that lie far from those of all, values that
        are over-represented, features of a matrix that mark it; each kind strongest first.
    typical : tuple of (id, title or None)
        The items nearest to its mean, nearest first.
    """

    label: int
    size: int
    share: float
    reasons: tuple[Reason, ...]
    typical: tuple[tuple[int | str, str | None], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, text and numbers."""
        return {
            "label": self.label,
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
    reasons = _reasons(model, n_reasons)
    typical: dict[int, list[int]] = {label: [] for label in range(model.n_clusters)}
    rows = typical_first(model)
    for row, label in zip(rows.tolist(), model.labels[rows].tolist(), strict=True):
        if len(typical[label]) < n_typical:
            typical[label].append(row)
    ids = model.items["id"]
    titles = model.items["title"] if "title" in model.items.column_names else None

    def item(row: int) -> tuple[int | str, str | None]:
        return ids[row].as_py(), None if titles is None else titles[row].as_py()

    return [
        Profile(
            label=label,
            size=size,
            share=size / model.n_clustered,
            reasons=tuple(reasons[label]) if size else (),
            typical=tuple(item(row) for row in typical[label]),
        )
        for label, size in enumerate(model.sizes.tolist())
    ]


def short_reasons(model: Model, count: int = 8) -> list[list[str]]:
    """Name each cluster in a few words: what it has more or less of than all items."""
    return [
        [words for reason in cluster if (words := _in_words(reason)) is not None][:count]
        for cluster in _ranked(_reasons(model, count))
    ]


def _ranked(clusters: list[list[Reason]]) -> list[list[Reason]]:
    """Order the reasons of each cluster by how far they deviate, whatever their kind."""
    return [sorted(cluster, key=lambda reason: -abs(reason.deviation)) for cluster in clusters]


def _in_words(reason: Reason) -> str | None:
    if abs(reason.deviation) < SHOWN_DEVIATION:
        return None
    if reason.kind == "number":
        return f"{'high' if reason.deviation > 0 else 'low'} {reason.name}"
    if reason.kind == "category":
        return f"{reason.column} {reason.name}"
    return reason.name


def _reasons(model: Model, limit: int) -> list[list[Reason]]:
    rows = model.rows.to_csr() if isinstance(model.rows, Postings) else model.rows
    inside = np.flatnonzero(model.clustered)
    cells = _Cells(model, inside)
    return model.features.reasons(
        cells, rows[inside], model.labels[inside], model.n_clusters, limit
    )


class _Cells(Mapping[str, Any]):
    """Cells of the items in clusters by their columns' names, converted on first use."""

    def __init__(self, model: Model, rows: NDArray[np.intp]) -> None:
        self._model = model
        self._rows = rows

    def __getitem__(self, name: str) -> Any:
        others = self._model.others
        if others is None or name not in others.column_names:
            raise KeyError(name)
        # By way of Python's numbers, because pyarrow's conversion to NumPy imports pandas.
        cells = others[name].to_pylist()
        if str(others[name].type) == "double":
            numbers = np.array([np.nan if cell is None else cell for cell in cells])
            return numbers[self._rows]
        return [cells[row] for row in self._rows.tolist()]

    def __iter__(self) -> Any:
        return iter(() if self._model.others is None else self._model.others.column_names)

    def __len__(self) -> int:
        return 0 if self._model.others is None else self._model.others.num_columns
