"""Items with their clusters, row by row: what is written as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from gpu_kmeans.errors import UnknownItem
from gpu_kmeans.model.model import Model
from gpu_kmeans.model.naming import cluster_names

__all__ = ["chosen_rows", "csv_lines", "label_rows", "named_columns"]

ROWS_AT_ONCE = 1_000
"""Number of rows that are written as one piece of text."""
CELLS_AT_ONCE = 4_096
"""Number of cells that are taken out of a column at once."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def label_rows(
    model: Model, *, columns: bool = False, cluster: int | None = None
) -> Iterator[list[Any]]:
    """Yield a header, then the id, title, cluster and distance of each item.

    Parameters
    ----------
    model : Model
    columns : bool
        Whether the cluster's name and all columns of the items follow: those of the catalogue's
        roles by their roles, lists of names as JSON, then the others by their own names.
    cluster : int, optional
        Its items alone; -1 for those in none.

    Yields
    ------
    list
        The distance is that to the cluster's mean; it and the title are empty where there is none.

    Raises
    ------
    UnknownItem
        There is no such cluster.
    """
    rows = chosen_rows(model, cluster)
    items, others = model.items, model.others
    head, more, own = named_columns(model, columns)
    called = cluster_names(model) if columns else []
    named = ["cluster name"] if columns else []
    yield [*head, "cluster", "distance", *named, *more, *own.values()]
    labels, distances = model.labels[rows].tolist(), model.distances[rows].tolist()
    if cluster is not None:
        items = items.select([*head, *more]).take(rows)
        others = None if others is None else others.select(list(own)).take(rows)
    cells = [
        *(_cells(items[name]) for name in head),
        iter(labels),
        map(_distance, distances),
        *((called[label] if label >= 0 else "" for label in labels) for _ in named),
        *(_cells(items[name]) for name in more),
        *(_cells(others[name]) for name in own if others is not None),
    ]
    yield from map(list, zip(*cells, strict=True))


def chosen_rows(model: Model, cluster: int | None) -> NDArray[np.intp]:
    """Return the rows of a cluster's items, of those in none for -1, or of all for None.

    Raises
    ------
    UnknownItem
        There is no such cluster.
    """
    if cluster is None:
        return np.arange(len(model.labels))
    if not -1 <= cluster < model.n_clusters:
        raise UnknownItem(f"the model has clusters 0 to {model.n_clusters - 1}, and none {cluster}")
    return np.flatnonzero(model.labels == cluster)


def named_columns(model: Model, all_of_them: bool) -> tuple[list[str], list[str], dict[str, str]]:
    """Return the columns of an export: those before the cluster, those of roles, and the others.

    The others are by their own names; what they are called instead where a column of the export
    has that name stands beside.
    """
    names = model.items.column_names
    head = ["id", *(["title"] if "title" in names else [])]
    if not all_of_them:
        return head, [], {}
    own = [] if model.others is None else list(model.others.column_names)
    more = [name for name in names if name not in head]
    return head, more, dict(zip(own, _unlike(own, names), strict=True))


def csv_lines(rows: Iterable[list[Any]]) -> Iterator[str]:
    """Write rows as CSV, many at a time; what looks like a spreadsheet's formula gets a quote."""
    rows = iter(rows)
    while part := list(islice(rows, ROWS_AT_ONCE)):
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(
            [_harmless(cell) for cell in row] for row in part
        )
        yield out.getvalue()


def _unlike(names: list[str], taken: Iterable[str]) -> list[str]:
    """Return names that none of ``taken``, nor a column of the export, has."""
    used = {*taken, "cluster", "cluster name", "distance"}
    return [f"{name} (column)" if name in used else name for name in names]


def _cells(column: Any) -> Iterator[Any]:
    """Cells of an Arrow column, so that other threads have their turn between."""
    for start in range(0, len(column), CELLS_AT_ONCE):
        for cell in column.slice(start, CELLS_AT_ONCE).to_pylist():
            if isinstance(cell, list):
                yield orjson.dumps(cell).decode()
            else:
                yield "" if cell is None else cell


def _distance(distance: float) -> Any:
    return "" if distance != distance else round(distance, 6)


def _harmless(cell: Any) -> Any:
    formula = isinstance(cell, str) and cell.startswith(_FORMULA)
    return f"'{cell}" if formula and not _NUMBER.fullmatch(cell) else cell
