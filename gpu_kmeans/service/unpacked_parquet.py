"""Bytes of the cells of a Parquet file, counted without the cells being made.

Columns of text are read as dictionaries, a batch of rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.service.limits import (
    Gauge,
    TableLimits,
    allowance,
    check_cells,
    check_columns,
    check_rows,
    damaged,
    too_many_rows,
)

__all__ = ["cell_bytes", "check_parquet", "unpacked_bytes"]

BATCH_ROWS = 1_024
FEW_ROWS = 32
"""Rows at a time where their texts have to be made to be counted."""
ENTRY_BYTES = 4
"""What an entry of a list takes beside its own bytes, unless all entries have as many."""


def check_parquet(file: Path, limits: TableLimits) -> None:
    """Hold all columns of a Parquet file to the limits: all are kept with the items.

    Raises
    ------
    Problem
        413 ``too_many_rows`` or ``too_large``, 422 ``too_many_columns``.
    """
    import pyarrow as pa

    try:
        columns = _Columns(file)
    except (pa.ArrowException, OSError, ValueError):
        return
    with closing(columns):
        _check_columns(file, columns, limits)


def _check_columns(file: Path, columns: _Columns, limits: TableLimits) -> None:
    names, stated = columns.names, columns.metadata.num_rows
    check_columns(file.name, len(names), limits)
    if stated > limits.max_rows:
        raise too_many_rows(f"{stated} rows", limits)
    most = allowance(file, limits.max_table_bytes, limits.max_expansion)
    gauge, of_rows = Gauge(file.name, limits, most), np.zeros(max(0, stated), dtype=np.int64)
    for name in dict.fromkeys(names):
        rows = 0
        for sizes in _cells(columns, name):
            if rows + len(sizes) > stated:
                raise damaged(file.name, "Parquet file", "it holds more rows than it says")
            check_cells(file.name, name, sizes, rows, limits)
            of_rows[rows : rows + len(sizes)] += sizes
            rows += len(sizes)
            gauge.add(int(sizes.sum()), len(sizes))
    check_rows(file.name, of_rows, 0, limits)


def unpacked_bytes(file: Path, most: int, beside: int = 0) -> int:
    """Bytes of all cells of a Parquet file; counting ends where they are more than ``most``.

    ``beside`` so many more are counted for each cell.
    What cannot be read counts as nothing: the reader of models says why.
    """
    import pyarrow as pa

    try:
        columns = _Columns(file)
    except (pa.ArrowException, OSError, ValueError):
        return 0
    total = 0
    with closing(columns):
        for name in columns.names:
            for sizes in _cells(columns, name):
                total += int(sizes.sum()) + beside * len(sizes)
                if total > most:
                    return total
    return total


class _Columns:
    """Columns of an open Parquet file, a batch of rows at a time."""

    def __init__(self, file: Path) -> None:
        import pyarrow.parquet as pq

        self._file = file
        self._plain = pq.ParquetFile(file)
        self.metadata = self._plain.metadata
        self.names: list[str] = self._plain.schema_arrow.names
        leaves = [self._plain.schema.column(at) for at in range(len(self._plain.schema.names))]
        texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        self._dictionaries = pq.ParquetFile(file, metadata=self.metadata, read_dictionary=texts)

    def batches(self, column: str, as_dictionary: bool, rows: int) -> Iterator[Any]:
        parquet = self._dictionaries if as_dictionary else self._plain
        if parquet.schema_arrow.get_all_field_indices(column):
            yield from parquet.iter_batches(rows, columns=[column], use_threads=False)

    def close(self) -> None:
        self._plain.close()
        self._dictionaries.close()


def _cells(columns: _Columns, column: str) -> Iterator[NDArray[np.int64]]:
    """Bytes of a column's cells, some rows at a time; of as many as can be read."""
    import pyarrow as pa

    known = 0
    try:
        for batch in columns.batches(column, True, BATCH_ROWS):
            sizes = cell_bytes(batch.column(0))
            yield sizes
            known += len(sizes)
        return
    except (pa.ArrowException, OSError, ValueError):
        pass  # not every encoding can be read as a dictionary
    try:
        start = 0
        for batch in columns.batches(column, False, FEW_ROWS):
            sizes = cell_bytes(batch.column(0))
            yield sizes[max(0, known - start) :]
            start += len(sizes)
    except (pa.ArrowException, OSError, ValueError):
        return


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
        more = 0 if pa.types.is_primitive(cells.values.type) else ENTRY_BYTES
        entries = np.append(0, np.cumsum(cell_bytes(cells.values) + more))
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
