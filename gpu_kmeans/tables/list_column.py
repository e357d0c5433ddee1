"""Columns whose cells are lists of numbers, such as embeddings, as rows of a matrix."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpu_kmeans.errors import EmptyDataset, InputError, NonFinite, NotNumeric, OutOfRange
from gpu_kmeans.tables.cell_texts import plain

__all__ = ["read_list_column"]


def read_list_column(column: pa.ChunkedArray, source: str) -> NDArray[np.float32]:
    """Return the cells of a column, lists of one length, as rows.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Lists of numbers: ``list``, ``large_list`` or ``fixed_size_list``.
    place : str
        What messages call the column: ``"films.parquet, column 'embedding'"``. Rows are counted
        as in all tables: the first after the header is row 2.

    Returns
    -------
    ndarray of shape (n, d), float32

    Raises
    ------
    NotNumeric
        The cells are no lists, or hold something else than numbers.
    InputError
        A cell is missing, empty, holds a missing value, or has another length than the first.
    NonFinite, OutOfRange
        A number is NaN or infinite, or beyond float32.
    EmptyDataset
        There are no rows.
    """
    if not len(column):
        raise EmptyDataset(f"{source} has no rows; give a table with data")
    lists = _checked(column, source)
    missing = pc.is_null(lists)
    if missing.true_count:
        _refuse(source, _first(missing), "is empty; every row needs a list")
    lengths = np.asarray(pc.list_value_length(lists))
    width = int(lengths[0])
    if width < 1:
        _refuse(source, 0, "is a list without numbers; every row needs as many as the others")
    if (lengths != width).any():
        row = int(np.argmax(lengths != width))
        _refuse(
            source,
            row,
            f"is a list of {lengths[row]}, and the first has {width}; all must have one length",
        )
    members = lists.flatten()
    if members.null_count:
        row = _first(pc.is_null(members)) // width
        _refuse(source, row, "holds a missing value; fill it or drop the row")
    kind = members.type
    if pa.types.is_decimal(kind):
        members = members.cast(pa.float64(), safe=False)
    wide = np.asarray(members).reshape(len(lists), width)
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(wide, np.float32)
    infinite = ~np.isfinite(values)
    if infinite.any():
        row, index = map(int, np.argwhere(infinite)[0])
        number, where = float(wide[row, index]), f"number {index + 1} of its list"
        if np.isfinite(number):
            raise OutOfRange(
                f"{_at(source, row)}: {where}, {number:g}, is beyond float32 (about 3.4e38); "
                "scale the data"
            )
        raise NonFinite(
            f"{_at(source, row)}: {where} is {number}, which is not finite; drop or fill such rows"
        )
    return values


def _checked(column: pa.ChunkedArray, source: str) -> Any:
    """Return the cells as one array of lists of numbers, whose offsets can be believed."""
    try:
        cells = plain(column)
    except pa.ArrowException as error:
        raise NotNumeric(_kind(source, column.type)) from error
    kind = cells.type
    types = pa.types
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if not is_list or not _is_number(kind.value_type):
        raise NotNumeric(_kind(source, kind))
    try:
        cells.validate(full=True)
    except pa.ArrowException as error:
        raise InputError(f"{source} holds cells that are damaged; write the file again") from error
    return pa.concat_arrays(cells.chunks)


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _kind(source: str, kind: pa.DataType) -> str:
    return (
        f"{source} holds {str(kind)[:200]}; it must hold lists of numbers, all of one length, such "
        "as list<float>"
    )


def _refuse(source: str, row: int, what: str) -> NoReturn:
    raise InputError(f"{_at(source, row)} {what}")


def _at(source: str, row: int) -> str:
    return f"{source}, row {row + 2}"


def _first(mask: Any) -> int:
    return int(pc.index(mask, True).as_py())
