"""Items with their clusters, row by row: what is written as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import orjson

from gpu_kmeans.model.model import Model
from gpu_kmeans.model.naming import cluster_names

__all__ = ["csv_lines", "label_rows"]

ROWS_AT_ONCE = 1_000
"""Number of rows that are written as one piece of text."""
CELLS_AT_ONCE = 4_096
"""Number of cells that are taken out of a column at once."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def label_rows(model: Model, *, columns: bool = False) -> Iterator[list[Any]]:
    """Yield a header, then the id, title, cluster and distance of each item.

    Parameters
    ----------
    model : Model
    columns : bool
        Whether the cluster's name and all columns of the items follow: those of the catalogue's
        roles by their roles, lists of names as JSON, then the others by their own names.

    Yields
    ------
    list
        The distance is that to the cluster's mean; it and the title are empty where there is none.
    """
    items, others = model.items, model.others
    names = ["title"] if "title" in items.column_names else []
    more = [name for name in items.column_names if name not in ("id", "title")] if columns else []
    own = list(others.column_names) if columns and others is not None else []
    named = ["cluster name"] if columns else []
    called = cluster_names(model) if columns else []
    header = ["id", *names, "cluster", "distance", *named]
    yield [*header, *more, *_unlike(own, items.column_names)]
    cells = [
        *(_cells(items[name]) for name in ("id", *names)),
        iter(model.labels.tolist()),
        (_distance(distance) for distance in model.distances.tolist()),
        *([called[label] if label >= 0 else "" for label in model.labels.tolist()] for _ in named),
        *(_cells(items[name]) for name in more),
        *(_cells(others[name]) for name in own if others is not None),
    ]
    yield from map(list, zip(*cells, strict=True))


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
