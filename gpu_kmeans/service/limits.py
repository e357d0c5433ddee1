"""Maxima of what is uploaded, and what is said of a file that passes one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.service.problems import Problem

__all__ = [
    "CELL_BYTES",
    "FREE_BYTES",
    "ID_CHARACTERS",
    "Gauge",
    "TableLimits",
    "allowance",
    "check_cells",
    "check_columns",
    "check_rows",
    "check_shape",
    "damaged",
    "table_limits",
    "too_many_rows",
    "too_much",
]

FREE_BYTES = 64 << 20
"""Number of bytes that any upload may hold, however small it was packed."""
ID_CHARACTERS = 500
"""Maximum number of characters of an id: one that is longer could not be asked for."""
CELL_BYTES = 8
"""Number of bytes that a cell takes beside its content, empty ones too: its place in a column."""


@dataclass(frozen=True, slots=True)
class TableLimits:
    """Maxima of one table, called as in the service's settings; bytes are those of its cells."""

    max_rows: int
    max_columns: int
    max_cell_bytes: int
    max_row_bytes: int
    max_table_bytes: int
    max_expansion: int
    max_distinct: int
    max_matrix_columns: int


def table_limits(settings: Any) -> dict[str, int]:
    """Return the settings of these names."""
    return {field.name: getattr(settings, field.name) for field in fields(TableLimits)}


def allowance(file: Path, most: int, max_expansion: int) -> int:
    """Bytes that the content of a file may take: ``most``, or fewer where the file is small."""
    return min(most, max(FREE_BYTES, max_expansion * file.stat().st_size))


class Gauge:
    """Bytes of a table's cells so far: the first limit that is passed ends it.

    Parameters
    ----------
    name : str
        What messages call the file.
    limits : TableLimits
    most : int
        Bytes that the content of its cells may have: see :func:`allowance`.
    """

    def __init__(self, name: str, limits: TableLimits, most: int) -> None:
        self.name = name
        self.limits = limits
        self.most = min(most, limits.max_table_bytes)
        self.content = 0
        self.total = 0

    def add(self, content: int, cells: int = 0) -> None:
        """Count the bytes of some cells, and the places that so many cells take.

        Raises
        ------
        Problem
            413 ``too_large``.
        """
        self.content += content
        self.total += content + CELL_BYTES * cells
        if self.content > self.most:
            raise too_much(self.name, self.most, self.limits)
        if self.total > self.limits.max_table_bytes:
            raise too_much(self.name, self.limits.max_table_bytes, self.limits)


def check_columns(name: str, count: int, limits: TableLimits) -> None:
    """Refuse a table of too many columns: 422 ``too_many_columns``."""
    if count > limits.max_columns:
        raise Problem(
            422,
            "too_many_columns",
            f"{name} has {count} columns, more than the {limits.max_columns} allowed "
            "(max_columns): leave out those that are not needed",
        )


def check_cells(
    name: str, column: str | None, sizes: NDArray[np.int64], start: int, limits: TableLimits
) -> None:
    """Refuse a cell that is too large: 413 ``too_large``, with its row."""
    at = int(sizes.argmax()) if len(sizes) else 0
    if len(sizes) and sizes[at] > limits.max_cell_bytes:
        where = "" if column is None else f", column {column!r:.80}"
        raise Problem(
            413,
            "too_large",
            f"{name}, row {start + at + 2}{where}: the cell holds {sizes[at]} bytes, more than the "
            f"{limits.max_cell_bytes} allowed (max_cell_bytes): shorten it",
        )


def check_rows(name: str, sizes: NDArray[np.int64], start: int, limits: TableLimits) -> None:
    """Refuse a row that is too large: 413 ``too_large``, with its number."""
    at = int(sizes.argmax()) if len(sizes) else 0
    if len(sizes) and sizes[at] > limits.max_row_bytes:
        raise Problem(
            413,
            "too_large",
            f"{name}, row {start + at + 2} holds {sizes[at]} bytes, more than the "
            f"{limits.max_row_bytes} allowed (max_row_bytes): shorten its cells",
        )


def check_shape(name: str, shape: Sequence[int], limits: TableLimits) -> None:
    """Refuse a matrix of too many rows or columns."""
    n_rows, n_columns = shape
    if n_rows > limits.max_rows:
        raise too_many_rows(f"{n_rows} rows", limits)
    if n_columns > limits.max_matrix_columns:
        raise Problem(
            422,
            "too_many_columns",
            f"{name} has {n_columns} columns of numbers, more than the "
            f"{limits.max_matrix_columns} allowed (max_matrix_columns): leave out those that are "
            "not needed, or reduce them first",
        )


def too_many_rows(count: str, limits: TableLimits) -> Problem:
    """Return the problem of a table of too many rows."""
    return Problem(
        413, "too_many_rows", f"{count} are more than the {limits.max_rows} allowed (max_rows)"
    )


def damaged(name: str, what: str, reason: str) -> Problem:
    """Return the problem of a file whose content cannot be counted, so that it is not read."""
    return Problem(422, "file_problem", f"{name} is not a whole {what}: {reason}; write it again")


def too_much(name: str, most: int, limits: TableLimits) -> Problem:
    """Return the problem of a table that holds too much."""
    why = (
        "max_table_bytes"
        if most == limits.max_table_bytes
        else f"{FREE_BYTES}, or {limits.max_expansion} times the file's size: max_expansion"
    )
    return Problem(
        413,
        "too_large",
        f"{name} holds more than the {most} bytes allowed ({why}) once it is unpacked: "
        "send fewer rows, or shorter cells",
    )
