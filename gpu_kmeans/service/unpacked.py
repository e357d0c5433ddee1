"""Bytes that an upload holds once it is unpacked, counted before it is built.

A few hundred kilobytes can stand for gigabytes: files are packed, pages of Parquet are compressed,
a text that repeats is kept once, and what a file says of its own size is only what its writer
wrote. So each format is gone through a piece at a time, and its cells are added up without ever
being made; the first limit that is passed ends it.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from gpu_kmeans.errors import InputError
from gpu_kmeans.service.formats import GZIP, HDF5, MTX, NPY, PARQUET, ZIP, beginning
from gpu_kmeans.service.limits import (
    CELL_BYTES,
    ID_CHARACTERS,
    Gauge,
    TableLimits,
    allowance,
    check_cells,
    check_columns,
    check_rows,
    check_shape,
    too_many_rows,
    too_much,
)
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.unpacked_matrices import check_h5ad, check_mtx, check_npy
from gpu_kmeans.service.unpacked_parquet import check_parquet
from gpu_kmeans.service.unpacked_zip import check_zip
from gpu_kmeans.tables.table_file import TableFile, open_table

__all__ = ["check_catalogue", "check_upload"]

AT_ONCE = 1 << 20


def check_upload(
    file: Path, limits: TableLimits, encoding: str | None = None, delimiter: str | None = None
) -> None:
    """Hold a file of a table, or of a matrix, to the limits; nothing else is checked.

    What cannot be read at all is left to the readers, which say why.

    Parameters
    ----------
    file : Path
    limits : TableLimits
    encoding, delimiter : str or None
        Of a file of texts, as they were named.

    Raises
    ------
    Problem
        413 ``too_many_rows`` or ``too_large``, 422 ``too_many_columns``; for a workbook that
        cannot be counted 415 or 422.
    """
    head = beginning(file)
    if head.startswith(PARQUET):
        check_parquet(file, limits)
    elif head.startswith(NPY):
        check_npy(file, limits)
    elif head.startswith(HDF5):
        check_h5ad(file, limits)
    elif head.startswith(ZIP):
        check_zip(file, limits)
    elif head.startswith(GZIP):
        size = _check_gzip(file, limits)
        if size is not None:
            with gzip.open(file) as content:
                packed_head = content.read(len(MTX))
            _check_text(file, packed_head, size, limits, encoding, delimiter)
    else:
        _check_text(file, head, file.stat().st_size, limits, encoding, delimiter)


def check_catalogue(catalogue: Any, names: Mapping[str, str | None], limits: TableLimits) -> None:
    """Hold what was read to the limits on rows, columns, ids and different names.

    Parameters
    ----------
    catalogue : Catalogue
    names : mapping
        The column of each role, for messages.

    Raises
    ------
    Problem
        413 ``too_many_rows`` or ``too_large``, 422 ``too_many_columns`` or ``too_many_values``.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table = catalogue.to_arrow()
    if table.num_rows > limits.max_rows:
        raise too_many_rows(f"{table.num_rows} rows", limits)
    ids = table["id"]
    if pa.types.is_string(ids.type):
        lengths = pc.utf8_length(ids)
        longest = pc.max(lengths).as_py()
        if longest > ID_CHARACTERS:
            row = pc.index(lengths, longest).as_py() + 2
            column = names.get("id", "id")
            raise Problem(
                413,
                "too_large",
                f"row {row}, column {column!r:.80}: the id has {longest} characters, more than the "
                f"{ID_CHARACTERS} allowed: shorten it",
            )
    matrix = catalogue.features.get("matrix")
    if matrix is not None:
        check_shape("the matrix", matrix.shape, limits)
    check_columns("the table", catalogue.others.num_columns, limits)
    for field in table.schema:
        if not pa.types.is_list(field.type):
            continue
        different = pc.count_distinct(pc.list_flatten(table[field.name])).as_py()
        if different > limits.max_distinct:
            raise Problem(
                422,
                "too_many_values",
                f"column {names[field.name]!r:.80} holds {different} different names, more than "
                f"the {limits.max_distinct} allowed (max_distinct): leave it out, or shorten it",
            )


# -- gzip --------------------------------------------------------------------------------------


def _check_gzip(file: Path, limits: TableLimits) -> int | None:
    """Count the bytes that a gzip file holds; None for one that is damaged."""
    most = allowance(file, limits.max_table_bytes, limits.max_expansion)
    size = 0
    with suppress(EOFError, zlib.error, gzip.BadGzipFile), gzip.open(file) as content:
        while part := content.read(AT_ONCE):
            size += len(part)
            if size > most:
                raise too_much(file.name, most, limits)
        return size
    return None


# -- texts -------------------------------------------------------------------------------------


def _check_text(
    file: Path,
    head: bytes,
    size: int,
    limits: TableLimits,
    encoding: str | None,
    delimiter: str | None,
) -> None:
    """Check CSV, JSON lines or Matrix Market of so many bytes, whether packed or not."""
    if head.startswith(MTX):
        check_mtx(file, limits)
        return
    with suppress(InputError), open_table(file, encoding, delimiter) as source:
        if source.encoding not in ("utf-8", "utf-8-sig"):  # a byte there may be three here
            size *= 3
        gauge = Gauge(file.name, limits, limits.max_table_bytes)
        if source.format == "csv":
            _check_csv(source, size, gauge)
        elif source.format == "jsonl":
            _check_json_lines(source, gauge)


def _check_csv(source: TableFile, size: int, gauge: Gauge) -> None:
    """Read it as bytes, of which each is a character of Latin-1; only if it may pass a limit."""
    limits, name = gauge.limits, gauge.name
    feeds = _line_feeds(source.file) + 1
    source.file.seek(0)
    with TextIOWrapper(source.file, encoding="latin-1", newline="") as text:
        rows = csv.reader(_lines(text, name, limits), delimiter=source.delimiter)
        try:
            with _cells_up_to(2 * limits.max_cell_bytes):
                width = len(next(rows, []))
                check_columns(name, width, limits)
                if (
                    size <= min(limits.max_cell_bytes, limits.max_row_bytes)
                    and feeds <= limits.max_rows
                    and size + CELL_BYTES * width * feeds <= limits.max_table_bytes
                ):
                    return
                count = 0
                for count, cells in enumerate(filter(None, rows), start=1):
                    length = sum(map(len, cells))
                    if length > limits.max_cell_bytes:
                        longest = max(map(len, cells))
                        sizes = np.array([longest], dtype=np.int64)
                        check_cells(name, None, sizes, count - 1, limits)
                    if length > limits.max_row_bytes:
                        check_rows(name, np.array([length]), count - 1, limits)
                    gauge.add(length, width)
        except csv.Error as error:
            if "field limit" in str(error):
                raise Problem(
                    413,
                    "too_large",
                    f"{name}: a cell holds more than twice the {limits.max_cell_bytes} bytes "
                    "allowed (max_cell_bytes): shorten it; perhaps a quote is not closed",
                ) from None
            return
    if count > limits.max_rows:
        raise too_many_rows(f"{count} rows", limits)


def _lines(text: TextIOWrapper, name: str, limits: TableLimits) -> Iterator[str]:
    """Give out the lines; one that no row within the limits has is refused before it is whole."""
    most = 2 * limits.max_row_bytes + 4 * limits.max_columns  # quotes stand twice
    while line := text.readline(most + 1):
        if len(line) > most:
            raise Problem(
                413,
                "too_large",
                f"{name}: a line holds more than {most} bytes, which is more than a row may hold "
                f"({limits.max_row_bytes}: max_row_bytes): shorten its cells",
            )
        yield line


def _check_json_lines(source: TableFile, gauge: Gauge) -> None:
    """Add up the lines, whose cells are no longer than they; every name is a column."""
    limits, name = gauge.limits, gauge.name
    names: set[str] = set()
    count = 0
    while line := source.file.readline(limits.max_row_bytes + 2):
        if not line.strip():
            continue
        count += 1
        if count > limits.max_rows:
            continue  # to say how many there are
        check_rows(name, np.array([len(line.rstrip())]), count - 2, limits)
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            row = None  # it, or the next line, is refused by the reader
        if not isinstance(row, dict):
            continue
        if not names.issuperset(row):
            names.update(row)
            check_columns(name, len(names), limits)
        if len(line) > limits.max_cell_bytes:
            longest = max((len(orjson.dumps(cell)) for cell in row.values()), default=0)
            check_cells(name, None, np.array([longest]), count - 2, limits)
        gauge.add(len(line))
    if count > limits.max_rows:
        raise too_many_rows(f"{count} rows", limits)
    gauge.add(0, count * len(names))


def _line_feeds(file: BufferedReader) -> int:
    count = 0
    while part := file.read(AT_ONCE):
        count += part.count(b"\n")
    return count


@contextmanager
def _cells_up_to(most: int) -> Iterator[None]:
    """Change the csv module's own limit; this process does nothing else meanwhile."""
    before = csv.field_size_limit(min(most, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)
