"""Why clusters are what they are: the encoders' reasons, and the same in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.features.base import Reason
from gpu_kmeans.model.model import Model
from gpu_kmeans.model.rows import Postings

__all__ = ["reasons_of", "short_reasons"]

SHOWN_DEVIATION = 0.1
"""Deviation of a number or a share, in standard deviations, from which on it names a cluster."""


def short_reasons(model: Model, count: int = 8) -> list[list[str]]:
    """Name each cluster in a few words: what it has more or less of than all items."""
    return [
        [words for reason in cluster if (words := _in_words(reason)) is not None][:count]
        for cluster in _ranked(reasons_of(model, count))
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


def reasons_of(model: Model, limit: int) -> list[list[Reason]]:
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
