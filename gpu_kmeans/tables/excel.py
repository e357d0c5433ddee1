"""Excel workbooks: the stored values of the one sheet that holds something.

Calamine reads them: a parser in Rust that runs no formula and no macro and resolves no XML
entity, ten times as fast as openpyxl, released several times a year, and what pandas offers
beside it. Formulas are never computed: the value that the spreadsheet program stored is read,
and a cell without one, or with an error such as ``#N/A``, is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from io import BufferedReader
from types import ModuleType
from typing import Any

import pyarrow as pa

from gpu_kmeans.errors import (
    EmptyDataset,
    FileProblem,
    InvalidHeader,
    UncertainFormat,
    UnsupportedFileType,
)
from gpu_kmeans.tables.files import choose_columns

__all__ = ["read_excel", "sheet_names"]

EXACT = 10**15
"""Number from which on Excel no longer keeps every digit of a whole number."""


def read_excel(
    file: BufferedReader, name: str, columns: Sequence[str], optional: Sequence[str]
) -> pa.Table:
    """Read the wanted columns of a workbook's only sheet.

    Parameters
    ----------
    file : BufferedReader
        At its beginning.
    name : str
        Name of the file in messages.
    columns, optional : sequence of str
        Columns that must be there, and columns kept when they are.

    Returns
    -------
    Table
        Columns of type ``string``: numbers and truth values as Python writes them, days and
        times as ISO 8601 does; ``""`` for an empty cell.

    Raises
    ------
    UnsupportedFileType
        The library that reads workbooks is not installed, or a password protects the file.
    UncertainFormat
        Several sheets hold something.
    FileProblem, InvalidHeader, MissingColumn, EmptyDataset
    """
    rows = _rows(file, name)
    header = _header(rows, name)
    wanted = choose_columns(header, name, columns, optional)
    body = rows[1:]
    while body and all(cell == "" for cell in body[-1]):
        del body[-1]
    if not body:
        raise EmptyDataset(f"{name} has a header and no rows; give a file with data")
    indices = [header.index(column) for column in wanted]
    texts = [_texts([row[index] for row in body]) for index in indices]
    return pa.table([pa.array(column, pa.string()) for column in texts], names=wanted)


def sheet_names(file: BufferedReader, name: str) -> list[str]:
    """Return the names of all columns as they stand."""
    return _header(_rows(file, name), name)


def _rows(file: BufferedReader, name: str) -> list[list[Any]]:
    """Return all cells of the one sheet with a cell in it, none of a workbook without."""
    try:
        import python_calamine as calamine
    except ImportError as error:
        raise UnsupportedFileType(
            f"{name} is an Excel workbook, and what reads them is not installed: "
            'pip install ".[excel]", or save the sheet as CSV'
        ) from error
    try:
        sheets = _sheets(calamine, file)
    except calamine.PasswordError as error:
        raise UnsupportedFileType(
            f"{name} is protected by a password; save it without one, or the sheet as CSV"
        ) from error
    except (calamine.CalamineError, OSError, ValueError) as error:
        raise _damaged(name, error) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of Rust, which Python has no name for
            raise
        raise _damaged(name, error) from error
    if len(sheets) > 1:
        listed = ", ".join(repr(label[:40]) for label in list(sheets)[:10])
        raise UncertainFormat(
            f"{name} has {len(sheets)} sheets that hold something ({listed}); save the one to "
            "read as a workbook of its own, or as CSV"
        )
    return next(iter(sheets.values()), [])


def _sheets(calamine: ModuleType, file: BufferedReader) -> dict[str, list[list[Any]]]:
    """Return the cells of all visible sheets with a cell in them, by the sheets' names."""
    with calamine.CalamineWorkbook.from_filelike(file) as workbook:
        sheets = {
            sheet.name: workbook.get_sheet_by_name(sheet.name)
            for sheet in workbook.sheets_metadata
            if sheet.typ == calamine.SheetTypeEnum.WorkSheet
            and sheet.visible == calamine.SheetVisibleEnum.Visible
        }
        return {
            label: sheet.to_python(skip_empty_area=False)
            for label, sheet in sheets.items()
            if sheet.height
        }


def _damaged(name: str, error: BaseException) -> FileProblem:
    return FileProblem(
        f"{name} is not a whole Excel workbook: {' '.join(str(error).split())[:200]}; "
        "save it again, or the sheet as CSV"
    )


def _header(rows: list[list[Any]], name: str) -> list[str]:
    if not rows:
        raise EmptyDataset(f"{name} is empty; give a file with a header and rows")
    header = _texts(rows[0])
    while header and not header[-1].strip():
        del header[-1]
    if not header:
        raise InvalidHeader(f"{name}, row 1 is blank; the first row must name the columns")
    return header


def _texts(cells: Sequence[Any]) -> list[str]:
    """Write the cells of a column; days have no time where none of the column has one."""
    timed = any(isinstance(cell, datetime) for cell in cells)
    return [_text(cell, timed) for cell in cells]


def _text(cell: Any, timed: bool) -> str:
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < EXACT:
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    if isinstance(cell, date):
        return f"{cell.isoformat()} 00:00:00" if timed else cell.isoformat()
    return str(cell)
