"""Items with their clusters as files of other kinds than CSV: Parquet, and workbooks of Excel."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpu_kmeans.errors import InvalidParam, UnsupportedFileType
from gpu_kmeans.model.export import chosen_rows, label_rows, named_columns
from gpu_kmeans.model.model import Model
from gpu_kmeans.model.naming import cluster_names

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["label_table", "write_labels"]

SHEET = "items"
SHEET_ROWS, SHEET_COLUMNS = 1_048_576, 16_384
"""Maximum numbers of rows and columns of a sheet of Excel."""
CELL_CHARACTERS = 32_767
"""Maximum number of characters of a cell of Excel; longer texts are cut, and end in an ellipsis."""
EXACT = 2**53
"""Magnitude from which on Excel, which has only float64, would round a whole number."""


def write_labels(
    model: Model, path: Path, format: str, *, columns: bool = False, cluster: int | None = None
) -> None:
    """Write items with their clusters to a file.

    Parameters
    ----------
    model : Model
    path : Path
    format : {"parquet", "xlsx"}
        A workbook has one sheet of texts and numbers, never a formula or a link: what looks like
        one is a text there.
    columns, cluster
        As for :func:`gpu_kmeans.model.export.label_rows`.

    Raises
    ------
    InvalidParam
        A workbook cannot have so many rows or columns, or there is no such cluster.
    """
    if format == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(label_table(model, columns=columns, cluster=cluster), path)
    else:
        n_rows = len(chosen_rows(model, cluster))
        _write_sheet(label_rows(model, columns=columns, cluster=cluster), n_rows, path)


def label_table(model: Model, *, columns: bool = False, cluster: int | None = None) -> pa.Table:
    """Return what :func:`gpu_kmeans.model.export.label_rows` yields as a table of typed columns."""
    import pyarrow as pa

    rows = chosen_rows(model, cluster)

    def some(column: pa.ChunkedArray) -> pa.ChunkedArray:
        return column if cluster is None else column.take(pa.array(rows))

    labels = model.labels[rows]
    distances = model.distances[rows]
    items, others = model.items, model.others
    head, more, own = named_columns(model, columns)
    cells: dict[str, Any] = {name: some(items[name]) for name in head}
    cells["cluster"] = pa.array(labels, pa.int32())
    cells["distance"] = pa.array(distances, pa.float64(), mask=np.isnan(distances))
    if columns:
        called = cluster_names(model)
        cells["cluster name"] = pa.array(
            [called[label] if label >= 0 else None for label in labels.tolist()], pa.string()
        )
    cells |= {name: some(items[name]) for name in more}
    if others is not None:
        cells |= {shown: some(others[name]) for name, shown in own.items()}
    return pa.table(cells)


def _write_sheet(rows: Iterable[list[Any]], n_rows: int, path: Path) -> None:
    try:
        from xlsxwriter import Workbook
    except ImportError as error:
        raise UnsupportedFileType(
            'what writes workbooks of Excel is not installed: pip install ".[excel]", or take csv '
            "or parquet"
        ) from error
    rows = iter(rows)
    header = next(rows)
    if n_rows + 1 > SHEET_ROWS or len(header) > SHEET_COLUMNS:
        raise InvalidParam(
            f"a sheet of Excel has at most {SHEET_ROWS} rows and {SHEET_COLUMNS} columns, and this "
            f"one would have {n_rows + 1} and {len(header)}: take csv or parquet, or one cluster"
        )
    # Each row is written to the disk before the next; its files are beside the workbook.
    with Workbook(str(path), {"constant_memory": True, "tmpdir": str(path.parent)}) as book:
        sheet = book.add_worksheet(SHEET)
        sheet.freeze_panes(1, 0)
        for y, row in enumerate(chain([header], rows)):
            _write_row(sheet, y, row)


def _write_row(sheet: Any, y: int, row: list[Any]) -> None:
    for x, cell in enumerate(row):
        if isinstance(cell, str):
            if cell:
                sheet.write_string(y, x, _fitting(cell))
        elif isinstance(cell, bool) or cell is None or cell != cell:
            continue
        elif isinstance(cell, int) and abs(cell) > EXACT:
            sheet.write_string(y, x, str(cell))
        else:
            sheet.write_number(y, x, cell)


def _fitting(text: str) -> str:
    """Return a text that a cell can hold; Excel counts characters beyond the first plane twice."""
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) <= 2 * CELL_CHARACTERS:
        return text
    return units[: 2 * (CELL_CHARACTERS - 1)].decode("utf-16-le", "ignore") + "…"
