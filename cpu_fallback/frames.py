"""Tables with pandas: strict reading of CSV and Parquet, and a checked join.

``pandas.read_csv`` repairs what it cannot read: it renames repeated columns, takes a first
column for an index when rows are one cell too long, and turns the title ``None`` into a
missing value. Here nothing is repaired or guessed: :func:`read_table` gives every cell as it
was written, or raises saying where the file goes wrong. Row numbers in messages are those of
a spreadsheet: the header is row 1.
"""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader, StringIO
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from gpu_kmeans.errors import (
    CsvMalformed,
    DuplicateId,
    EmptyDataset,
    FileProblem,
    InvalidEncoding,
    InvalidHeader,
    InvalidParam,
    MissingColumn,
    UnsupportedFileType,
)
from gpu_kmeans.protocol import JoinCounts

__all__ = ["join", "read_table", "to_arrow"]

CSV_SUFFIXES = ("", ".csv")
PARQUET_SUFFIXES = (".parquet", ".pq")
PARQUET_MAGIC = b"PAR1"
FOREIGN_MAGIC = {
    b"\x1f\x8b": "gzip-compressed",
    b"PK\x03\x04": "a zip archive or an .xlsx workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"BZh": "bzip2-compressed",
    b"\xfd7zXZ": "xz-compressed",
    b"\x28\xb5\x2f\xfd": "zstd-compressed",
}
UTF8_BOM = b"\xef\xbb\xbf"
WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
BATCH_ROWS = 20_000
BLOCK_BYTES = 1 << 20
_NUL = "holds a NUL character"
_CSV_FAULTS = {
    "unexpected end of data": "opens a quote that is never closed",
    "expected after": "has text after a closing quote (a quote inside quotes is written twice)",
    "new-line character": "holds a carriage return outside quotes",
    _NUL: _NUL,
}
_field_limit = threading.Lock()


def read_table(path: Path, columns: Sequence[str], optional: Sequence[str]) -> pd.DataFrame:
    """Read a CSV or Parquet file, strictly.

    Parameters
    ----------
    path : Path
        Parquet is known by its content, CSV by its suffix (``.csv``, or none).
    columns, optional : sequence of str
        Columns that must be there, and columns kept when they are. Others are dropped while
        reading, so that memory holds the wanted cells and one batch of rows.

    Returns
    -------
    DataFrame
        Rows in the file's order. CSV columns hold text exactly as written, an empty cell
        being ``""``; Parquet columns keep their Arrow types, text as ``str``.

    Raises
    ------
    FileProblem, UnsupportedFileType
        The path cannot be read, or its content is neither CSV nor Parquet.
    InvalidEncoding, CsvMalformed, InvalidHeader, MissingColumn, EmptyDataset
        The content is not a table with these columns.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if _holds_parquet(file, path):
                table = _read_parquet(file, path.name, columns, optional)
            else:
                table = _read_csv(file, path.name, columns, optional)
    except FileNotFoundError as error:
        raise FileProblem(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise FileProblem(f"{path} is a directory; give the path of a file in it") from error
    except OSError as error:
        raise FileProblem(f"{path} cannot be read: {error.strerror or error}") from error
    frame: pd.DataFrame = table.to_pandas(types_mapper=_pandas_type, ignore_metadata=True)
    return frame


def join(left: pd.DataFrame, right: pd.DataFrame, key: str) -> tuple[pd.DataFrame, JoinCounts]:
    """Left join, one to one on ``key``, in the order of ``left``.

    Raises
    ------
    DuplicateId
        A key stands twice on either side.
    InvalidParam
        The tables share another column than the key.
    """
    shared = sorted(map(str, (set(left) & set(right)) - {key}))
    if shared:
        raise InvalidParam(f"both tables to join have columns {shared}; only {key!r} may be shared")
    for side, frame in (("left", left), ("right", right)):
        repeats = frame[key].duplicated()
        if repeats.any():
            raise DuplicateId(
                f"join on {key!r}: {frame[key][repeats].iloc[0]!r} stands twice in the {side} "
                "table; each row needs a key of its own"
            )
    joined = left.merge(right, on=key, how="left", indicator=True)
    matched = int((joined.pop("_merge") == "both").sum())
    return joined, JoinCounts(matched, len(left) - matched, len(right) - matched)


def to_arrow(frame: pd.DataFrame) -> pa.Table:
    """The same columns and rows as a ``pyarrow.Table``, without pandas' metadata."""
    return pa.table({name: pa.array(frame[name]) for name in frame})


def _pandas_type(kind: pa.DataType) -> Any:
    """Text as pandas' ``str``; the rest as Arrow, where a null stays apart from a NaN."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pd.StringDtype("pyarrow", na_value=float("nan"))
    return pd.ArrowDtype(kind)


def _holds_parquet(file: BufferedReader, path: Path) -> bool:
    """Tell Parquet from CSV by the first bytes, and refuse everything else."""
    head = file.peek(16)[:16]
    suffix = path.suffix.lower()
    if head.startswith(PARQUET_MAGIC):
        return True
    for magic, kind in FOREIGN_MAGIC.items():
        if head.startswith(magic):
            raise UnsupportedFileType(
                f"{path.name} is {kind}, not a CSV or Parquet file; unpack it or export it as CSV"
            )
    if suffix in PARQUET_SUFFIXES:
        raise UnsupportedFileType(
            f"{path.name} is named as Parquet and does not start like it; check the file"
        )
    if suffix not in CSV_SUFFIXES:
        raise UnsupportedFileType(
            f"{path.name}: files of type {suffix!r} are not read; give a .csv or .parquet file"
        )
    # Without its mark, UTF-16 shows as Latin letters with a NUL before or after each.
    if head.startswith(WIDE_BOMS) or head[:4:2] == b"\0\0" or head[1:4:2] == b"\0\0":
        raise InvalidEncoding(f"{path.name} is UTF-16 or UTF-32 text; save it as UTF-8")
    return False


def _read_parquet(
    file: BufferedReader, name: str, columns: Sequence[str], optional: Sequence[str]
) -> pa.Table:
    import pyarrow.parquet as pq

    try:
        content = pq.ParquetFile(file)
        found = content.schema_arrow.names
        _check_header(found, name)
        wanted = _wanted(found, name, columns, optional)
        table = content.read(columns=wanted).select(wanted)
    except (pa.ArrowException, OSError) as error:
        raise FileProblem(f"{name} is not a whole Parquet file: {error}") from error
    if not table.num_rows:
        raise EmptyDataset(f"{name} has columns and no rows; give a file with data")
    return table


def _read_csv(
    file: BufferedReader, name: str, columns: Sequence[str], optional: Sequence[str]
) -> pa.Table:
    row = 0
    with _unlimited_fields():
        lines = _lines(file, name)
        first = ""
        try:
            first = next(lines, "")
            reader = csv.reader(chain([first], lines), strict=True)
            header = next(reader, [])
            row = 1
            if not header and not any(reader):
                raise EmptyDataset(f"{name} is empty; give a file with a header and rows")
            _check_header(header, name)
            wanted = _wanted(header, name, columns, optional)
            pick = itemgetter(*(header.index(column) for column in wanted))
            batches: list[pa.RecordBatch] = []
            rows: list[Any] = []
            for row, cells in enumerate(reader, start=2):
                if len(cells) != len(header):
                    after = enumerate(chain([cells], reader), start=row)
                    row_left, left = next(((at, more) for at, more in after if more), (row, []))
                    if not left:  # blank lines at the end of the file
                        break
                    if len(header) > 1 and len(left) == 1 and not left[0].strip():
                        raise CsvMalformed(
                            f"{name}, row {row_left} holds nothing but spaces; remove the line"
                        )
                    raise CsvMalformed(_misfit(name, row, len(cells), len(header)))
                rows.append(pick(cells))
                if len(rows) == BATCH_ROWS:
                    batches.append(_batch(rows, wanted))
                    rows = []
        except csv.Error as error:
            if row == 0 and "," not in first:  # quoted names between other delimiters
                _wanted([first.strip()], name, columns, optional)
            raise CsvMalformed(_fault(name, row + 1, str(error))) from error
    if rows or not batches:
        batches.append(_batch(rows, wanted))
    if not batches[0].num_rows:
        raise EmptyDataset(f"{name} has a header and no rows; give a file with data")
    return pa.Table.from_batches(batches)


def _lines(file: BufferedReader, name: str) -> Iterator[str]:
    """Decode block by block, and give out lines that end with a line feed alone.

    A block ends with a line: no byte of a UTF-8 character looks like a line feed.
    """
    offset = lines = 0
    while block := file.read(BLOCK_BYTES) + file.readline():
        content = block.removeprefix(UTF8_BOM) if offset == 0 else block
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            line = lines + content.count(b"\n", 0, error.start) + 1
            at = offset + len(block) - len(content) + error.start
            raise InvalidEncoding(
                f"{name}, line {line}: byte {at} of the file "
                f"(0x{content[error.start]:02x}) is not UTF-8; save the file as UTF-8"
            ) from error
        if "\0" in text:
            before, _, _ = text.partition("\0")
            yield from StringIO(before[: before.rfind("\n") + 1], newline="\n")
            raise csv.Error(_NUL)
        offset += len(block)
        lines += content.count(b"\n")
        yield from StringIO(text, newline="\n")


@contextmanager
def _unlimited_fields() -> Iterator[None]:
    """Lift the csv module's limit on a cell's length, which is one for the whole process."""
    with _field_limit:
        before = csv.field_size_limit(2**31 - 1)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _batch(rows: list[Any], names: list[str]) -> pa.RecordBatch:
    """Columns of text from rows: tuples of cells, or the cells themselves of a single column."""
    columns = zip(*rows, strict=True) if len(names) > 1 else [rows]
    # Arrow takes a list in half the time that it takes a tuple.
    cells = [pa.array(list(column), pa.string()) for column in columns]
    cells = cells or [pa.array([], pa.string())] * len(names)
    return pa.RecordBatch.from_arrays(cells, names=names)


def _check_header(header: Sequence[str], name: str) -> None:
    first: dict[str, int] = {}
    for place, column in enumerate(header, start=1):
        if not column.strip():
            raise InvalidHeader(f"{name}, row 1: column {place} has no name; name or remove it")
        if column in first:
            raise InvalidHeader(
                f"{name}, row 1: columns {first[column]} and {place} are both named {column!r}; "
                "rename one"
            )
        first[column] = place
    if not header:
        raise InvalidHeader(f"{name}, row 1 is blank; the first row must name the columns")


def _wanted(
    found: Sequence[str], name: str, columns: Sequence[str], optional: Sequence[str]
) -> list[str]:
    missing = [column for column in columns if column not in found]
    if missing:
        raise MissingColumn(
            f"{name} has no column {', '.join(map(repr, missing))}; "
            f"found {_listing(found)}{_delimiter_hint(found)}"
        )
    return list(dict.fromkeys([*columns, *(column for column in optional if column in found)]))


def _listing(found: Sequence[str], most: int = 30) -> str:
    shown = ", ".join(repr(column[:60]) for column in found[:most])
    return shown if len(found) <= most else f"{shown} and {len(found) - most} more"


def _delimiter_hint(found: Sequence[str]) -> str:
    for delimiter, plural in OTHER_DELIMITERS.items():
        if len(found) == 1 and delimiter in found[0]:
            return f" (the header is separated by {plural}; save the file with commas)"
    return "; rename the column or name the one to use"


def _misfit(name: str, row: int, cells: int, width: int) -> str:
    if not cells:
        return f"{name}, row {row} is blank, and rows follow it; remove the blank line"
    return (
        f"{name}, row {row} has {cells} cells and the header has {width}; "
        "quote cells that hold commas or line breaks"
    )


def _fault(name: str, row: int, message: str) -> str:
    reason = next((said for part, said in _CSV_FAULTS.items() if part in message), message)
    return f"{name}, row {row} {reason}; correct the row"
