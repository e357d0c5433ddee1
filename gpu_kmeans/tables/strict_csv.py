"""The reader of record for CSV: every cell as it was written, or where the file goes wrong.

Nothing is repaired or guessed. Row numbers in messages are those of a spreadsheet: the
header is row 1, and a row keeps its number however many line breaks its cells hold.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from io import BufferedReader, StringIO
from itertools import chain
from operator import itemgetter
from typing import Any

import pyarrow as pa

from gpu_kmeans.errors import CsvMalformed, EmptyDataset, InvalidEncoding
from gpu_kmeans.tables.cell_limit import cells_of_any_length
from gpu_kmeans.tables.delimiters import COMMA, DELIMITERS, length_of_marks
from gpu_kmeans.tables.files import choose_columns

__all__ = ["read_csv", "read_header", "utf8_lines"]

BATCH_ROWS = 20_000
"""Number of rows that become columns at once."""
BLOCK_BYTES = 1 << 20
"""Number of bytes that are decoded at once, up to the end of a line."""
_NUL = "holds a NUL character"
_CSV_FAULTS = {
    "unexpected end of data": "opens a quote that is never closed",
    "expected after": "has text after a closing quote (a quote inside quotes is written twice)",
    "new-line character": "holds a carriage return outside quotes",
    _NUL: _NUL,
}


def read_csv(
    file: BufferedReader,
    name: str,
    columns: Sequence[str],
    optional: Sequence[str],
    delimiter: str = COMMA,
) -> pa.Table:
    """Read a CSV file, strictly; memory holds the wanted cells and one batch of rows.

    Parameters
    ----------
    file : BufferedReader
        At its beginning.
    name : str
        Name of the file in messages.
    columns, optional : sequence of str
        Columns that must be there, and columns kept when they are.
    delimiter : str
        The sign between two cells.

    Returns
    -------
    Table
        Columns of type ``string``, rows in the file's order, an empty cell being ``""``.

    Raises
    ------
    InvalidEncoding, CsvMalformed, InvalidHeader, MissingColumn, EmptyDataset
        The content is not a table with these columns.
    """
    row = 0
    with cells_of_any_length():
        lines = utf8_lines(file, name)
        first = ""
        try:
            first = next(lines, "")
            reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
            header = next(reader, [])
            row = 1
            if not header and not any(reader):
                raise EmptyDataset(f"{name} is empty; give a file with a header and rows")
            wanted = choose_columns(header, name, columns, optional)
            pick = itemgetter(*(header.index(column) for column in wanted))
            batches: list[pa.RecordBatch] = []
            rows: list[Any] = []
            for row, cells in enumerate(reader, start=2):
                if len(cells) != len(header):
                    after = enumerate(chain([cells], reader), start=row)
                    filled = ((number, texts) for number, texts in after if texts)
                    next_row, next_cells = next(filled, (row, []))
                    if not next_cells:  # blank lines at the end of the file
                        break
                    if len(header) > 1 and len(next_cells) == 1 and not next_cells[0].strip():
                        raise CsvMalformed(
                            f"{name}, row {next_row} holds nothing but spaces; remove the line"
                        )
                    raise CsvMalformed(_misfit(name, row, len(cells), len(header), delimiter))
                rows.append(pick(cells))
                if len(rows) == BATCH_ROWS:
                    batches.append(_batch(rows, wanted))
                    rows = []
        except csv.Error as error:
            if row == 0 and first and delimiter not in first:  # quoted names between others
                choose_columns([first.strip()], name, columns, optional)
            raise CsvMalformed(_fault(name, row + 1, str(error))) from error
    if rows or not batches:
        batches.append(_batch(rows, wanted))
    if not batches[0].num_rows:
        raise EmptyDataset(f"{name} has a header and no rows; give a file with data")
    return pa.Table.from_batches(batches)


def read_header(file: BufferedReader, name: str, delimiter: str = COMMA) -> list[str]:
    """Return the names of a CSV file's columns, as they stand; none of an empty file."""
    with cells_of_any_length():
        try:
            rows = csv.reader(utf8_lines(file, name), delimiter=delimiter, strict=True)
            return next(rows, [])
        except csv.Error as error:
            raise CsvMalformed(_fault(name, 1, str(error))) from error


def utf8_lines(file: BufferedReader, name: str) -> Iterator[str]:
    """Decode block by block, and give out lines that end with a line feed alone.

    A block ends with a line: no byte of a UTF-8 character looks like a line feed.
    """
    offset = lines = 0
    while block := file.read(BLOCK_BYTES) + file.readline():
        marks = length_of_marks(block) if offset == 0 else 0
        content = block[marks:]
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            line = lines + block.count(b"\n", 0, marks + error.start) + 1
            position = offset + marks + error.start
            raise InvalidEncoding(
                f"{name}, line {line}: byte {position} of the file "
                f"(0x{content[error.start]:02x}) is not UTF-8; name the encoding of the file "
                "(encoding='windows-1252', on the command line --encoding windows-1252), "
                "or save it as UTF-8"
            ) from error
        if "\0" in text:
            before, _, _ = text.partition("\0")
            yield from StringIO(before[: before.rfind("\n") + 1], newline="\n")
            raise csv.Error(_NUL)
        offset += len(block)
        lines += block.count(b"\n")
        yield from StringIO(text, newline="\n")


def _batch(rows: list[Any], names: list[str]) -> pa.RecordBatch:
    """Columns of text from rows: tuples of cells, or the cells themselves of a single column."""
    columns = zip(*rows, strict=True) if len(names) > 1 else [rows]
    # Arrow takes a list in half the time that it takes a tuple.
    cells = [pa.array(list(column), pa.string()) for column in columns]
    cells = cells or [pa.array([], pa.string())] * len(names)
    return pa.RecordBatch.from_arrays(cells, names=names)


def _misfit(name: str, row: int, cells: int, width: int, delimiter: str) -> str:
    if not cells:
        return f"{name}, row {row} is blank, and rows follow it; remove the blank line"
    return (
        f"{name}, row {row} has {cells} cells and the header has {width}; "
        f"quote cells that hold {DELIMITERS.get(delimiter, delimiter)} or line breaks"
    )


def _fault(name: str, row: int, message: str) -> str:
    reason = next((fault for part, fault in _CSV_FAULTS.items() if part in message), message)
    return f"{name}, row {row} {reason}; correct the row"
