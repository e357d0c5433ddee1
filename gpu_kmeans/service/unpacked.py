"""Bytes that an uploaded table holds once it is unpacked, counted before it is built.

A few hundred kilobytes of Parquet can stand for gigabytes: pages are compressed, a text that
repeats is kept once, and what the file says of its own size is only what its writer wrote. So
columns of text are read as dictionaries, a batch of rows at a time, and their cells are added up
without ever being made; the first limit that is passed ends it.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import InputError
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.tables.table_file import TableFile, open_table

__all__ = [
    "FREE_BYTES",
    "ID_CHARACTERS",
    "TableLimits",
    "allowance",
    "check_catalogue",
    "check_table",
    "unpacked_bytes",
]

FREE_BYTES = 64 << 20
"""Bytes that any upload may hold, however small it was packed."""
ID_CHARACTERS = 500
"""Characters of an id that can be asked for."""
BATCH_ROWS = 1_024
FEW_ROWS = 32
"""Rows at a time where their texts have to be made to be counted."""
PARQUET_MAGIC = b"PAR1"
_OTHERS = {"jsonl": "JSON lines", "xlsx": "an Excel workbook"}
ENTRY_BYTES = 4
"""What an entry of a list takes beside its own bytes."""


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


def allowance(file: Path, most: int, max_expansion: int) -> int:
    """Bytes that the content of a file may take: ``most``, or fewer where the file is small."""
    return min(most, max(FREE_BYTES, max_expansion * file.stat().st_size))


def check_table(
    file: Path,
    wanted: Collection[str],
    limits: TableLimits,
) -> None:
    """Hold the wanted columns of a CSV or Parquet file to the limits; nothing else is checked.

    What cannot be read at all is left to the reader of tables, which says why.

    Raises
    ------
    Problem
        413 ``too_many_rows`` or ``too_large``, 422 ``too_many_columns``, 415 for a format that
        is no upload.
    """
    with file.open("rb") as opened:
        is_parquet = opened.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
    if is_parquet:
        _check_parquet(file, wanted, limits)
        return
    with suppress(InputError), open_table(file) as source:
        if source.format != "csv" or source.packed:
            raise Problem(
                415,
                "unsupported_file_type",
                f"{file.name} is {_OTHERS.get(source.format, 'packed with gzip')}; "
                "send CSV or Parquet, uncompressed",
            )
        _check_csv(file, source, limits)


def check_catalogue(catalogue: Any, names: Mapping[str, str | None], limits: TableLimits) -> None:
    """Hold what was read to the limits on rows, ids and different names.

    Parameters
    ----------
    catalogue : Catalogue
    names : mapping
        The column of each role, for messages.

    Raises
    ------
    Problem
        413 ``too_many_rows`` or ``too_large``, 422 ``too_many_values``.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table = catalogue.to_arrow()
    if table.num_rows > limits.max_rows:
        raise _too_many_rows(f"{table.num_rows} rows", limits)
    ids = table["id"]
    if pa.types.is_string(ids.type):
        lengths = pc.utf8_length(ids)
        longest = pc.max(lengths).as_py()
        if longest > ID_CHARACTERS:
            row = pc.index(lengths, longest).as_py() + 2
            raise Problem(
                413,
                "too_large",
                f"row {row}, column {names['id']!r:.80}: the id has {longest} characters, more "
                f"than the {ID_CHARACTERS} allowed: shorten it",
            )
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


# -- Parquet -----------------------------------------------------------------------------------


def _check_parquet(file: Path, wanted: Collection[str], limits: TableLimits) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            names, stated = parquet.schema_arrow.names, parquet.metadata.num_rows
    except (pa.ArrowException, OSError, ValueError):
        return
    _check_columns(file.name, len(names), limits)
    if stated > limits.max_rows:
        raise _too_many_rows(f"{stated} rows", limits)
    most = allowance(file, limits.max_table_bytes, limits.max_expansion)
    total, of_rows = 0, np.zeros(max(0, stated), dtype=np.int64)
    for name in filter(wanted.__contains__, names):
        rows = 0
        for sizes in _cells(file, name):
            if rows + len(sizes) > stated:
                raise Problem(
                    422,
                    "file_problem",
                    f"{file.name} is not a whole Parquet file: it holds more rows than it says",
                )
            _check_cells(file.name, name, sizes, rows, limits)
            of_rows[rows : rows + len(sizes)] += sizes
            rows += len(sizes)
            total += int(sizes.sum())
            if total > most:
                raise _too_much(file.name, most, limits)
    _check_rows(file.name, of_rows, 0, limits)


def unpacked_bytes(file: Path, most: int) -> int:
    """Bytes of all cells of a Parquet file; counting ends where they are more than ``most``.

    What cannot be read counts as nothing: the reader of models says why.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            names = parquet.schema_arrow.names
    except (pa.ArrowException, OSError, ValueError):
        return 0
    total = 0
    for name in names:
        for sizes in _cells(file, name):
            total += int(sizes.sum())
            if total > most:
                return total
    return total


def _cells(file: Path, column: str) -> Iterator[NDArray[np.int64]]:
    """Bytes of a column's cells, some rows at a time; of as many as can be read."""
    import pyarrow as pa

    known = 0
    try:
        for batch in _batches(file, column, True, BATCH_ROWS):
            sizes = cell_bytes(batch.column(0))
            yield sizes
            known += len(sizes)
        return
    except (pa.ArrowException, OSError, ValueError):
        pass  # not every encoding can be read as a dictionary
    try:
        start = 0
        for batch in _batches(file, column, False, FEW_ROWS):
            sizes = cell_bytes(batch.column(0))
            yield sizes[max(0, known - start) :]
            start += len(sizes)
    except (pa.ArrowException, OSError, ValueError):
        return


def _batches(file: Path, column: str, as_dictionary: bool, rows: int) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:
        leaves = [parquet.schema.column(at) for at in range(len(parquet.schema.names))]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    with pq.ParquetFile(file, read_dictionary=texts if as_dictionary else None) as parquet:
        if parquet.schema_arrow.get_all_field_indices(column):
            yield from parquet.iter_batches(rows, columns=[column], use_threads=False)


def cell_bytes(cells: Any) -> NDArray[np.int64]:
    """Bytes that each cell of an Arrow array takes; shape (n,)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    sizes: NDArray[np.int64]
    kind, n = cells.type, len(cells)
    if isinstance(kind, pa.BaseExtensionType):
        return cell_bytes(cells.storage)
    if pa.types.is_dictionary(kind):
        places = pc.fill_null(cells.indices, len(cells.dictionary)).to_numpy(zero_copy_only=False)
        sizes = np.append(cell_bytes(cells.dictionary), 0)[places]
    elif _is_list(kind):
        entries = np.append(0, np.cumsum(cell_bytes(cells.values) + ENTRY_BYTES))
        sizes = np.diff(entries[cells.offsets.to_numpy(zero_copy_only=False)])
    elif pa.types.is_fixed_size_list(kind):
        width = kind.list_size
        parts = cells.values.slice(cells.offset * width, n * width)
        sizes = cell_bytes(parts).reshape(n, width).sum(axis=1)
    elif pa.types.is_struct(kind):
        sizes = np.zeros(n, dtype=np.int64)
        for part in cells.flatten():
            sizes += cell_bytes(part)
    elif _has_length(kind):
        lengths = pc.fill_null(pc.binary_length(cells), 0)
        sizes = lengths.to_numpy(zero_copy_only=False).astype(np.int64)
    else:
        sizes = np.full(n, max(1, cells.nbytes // max(1, n)), dtype=np.int64)
    return sizes


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_map(kind))


def _has_length(kind: Any) -> bool:
    from pyarrow import types

    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )


# -- CSV ---------------------------------------------------------------------------------------


def _check_csv(file: Path, source: TableFile, limits: TableLimits) -> None:
    """Read it as bytes, of which each is a character of Latin-1; only if it may pass a limit."""
    size = file.stat().st_size
    if source.encoding != "utf-8":  # a byte there may be three here
        size *= 3
    with TextIOWrapper(source.file, encoding="latin-1", newline="") as lines:
        rows = csv.reader(lines, delimiter=source.delimiter)
        try:
            with _cells_of_any_length():
                _check_columns(file.name, len(next(rows, [])), limits)
                if size <= min(limits.max_cell_bytes, limits.max_row_bytes) and (
                    _line_feeds(file) <= limits.max_rows
                ):
                    return
                count = 0
                for count, cells in enumerate(filter(None, rows), start=1):
                    length = sum(map(len, cells))
                    if length > limits.max_cell_bytes:
                        longest = max(map(len, cells))
                        sizes = np.array([longest], dtype=np.int64)
                        _check_cells(file.name, None, sizes, count - 1, limits)
                    if length > limits.max_row_bytes:
                        _check_rows(file.name, np.array([length]), count - 1, limits)
        except csv.Error:
            return
    if count > limits.max_rows:
        raise _too_many_rows(f"{count} rows", limits)
    if size > limits.max_table_bytes:
        raise _too_much(file.name, limits.max_table_bytes, limits)


def _line_feeds(file: Path) -> int:
    count = 0
    with file.open("rb") as opened:
        while part := opened.read(1 << 20):
            count += part.count(b"\n")
    return count


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """Lift the csv module's own limit; this process does nothing else meanwhile."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


# -- what is said ------------------------------------------------------------------------------


def _check_columns(name: str, count: int, limits: TableLimits) -> None:
    if count > limits.max_columns:
        raise Problem(
            422,
            "too_many_columns",
            f"{name} has {count} columns, more than the {limits.max_columns} allowed "
            "(max_columns): leave out those that are not needed",
        )


def _check_cells(
    name: str, column: str | None, sizes: NDArray[np.int64], start: int, limits: TableLimits
) -> None:
    at = int(sizes.argmax()) if len(sizes) else 0
    if len(sizes) and sizes[at] > limits.max_cell_bytes:
        where = "" if column is None else f", column {column!r:.80}"
        raise Problem(
            413,
            "too_large",
            f"{name}, row {start + at + 2}{where}: the cell holds {sizes[at]} bytes, more than the "
            f"{limits.max_cell_bytes} allowed (max_cell_bytes): shorten it",
        )


def _check_rows(name: str, sizes: NDArray[np.int64], start: int, limits: TableLimits) -> None:
    at = int(sizes.argmax()) if len(sizes) else 0
    if len(sizes) and sizes[at] > limits.max_row_bytes:
        raise Problem(
            413,
            "too_large",
            f"{name}, row {start + at + 2} holds {sizes[at]} bytes, more than the "
            f"{limits.max_row_bytes} allowed (max_row_bytes): shorten its cells",
        )


def _too_many_rows(count: str, limits: TableLimits) -> Problem:
    return Problem(
        413, "too_many_rows", f"{count} are more than the {limits.max_rows} allowed (max_rows)"
    )


def _too_much(name: str, most: int, limits: TableLimits) -> Problem:
    why = (
        "max_table_bytes"
        if most == limits.max_table_bytes
        else f"{FREE_BYTES}, or {limits.max_expansion} times the file's size: max_expansion"
    )
    return Problem(
        413,
        "too_large",
        f"the columns that are used of {name} hold more than the {most} bytes allowed ({why}): "
        "send fewer rows, or shorter cells",
    )
