"""Tables with pandas: files read strictly, and a checked join.

``pandas.read_csv`` repairs what it cannot read: it renames repeated columns, takes a first
column for an index when rows are one cell too long, and turns the title ``None`` into a
missing value. Here nothing is repaired or guessed: :func:`read_table` gives every cell as it
was written, or raises saying where the file goes wrong. Arrow's CSV reader, more than twice as
fast as the strict one, reads what both must read alike (:mod:`gpu_kmeans.tables.fast_csv`);
the strict one reads, or refuses, the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from gpu_kmeans.backends.protocol import JoinCounts
from gpu_kmeans.tables.fast_csv import Block, Irregular, read_regular
from gpu_kmeans.tables.host import read_host
from gpu_kmeans.tables.joins import check_shared, duplicate
from gpu_kmeans.tables.table_file import TableFile, open_table

__all__ = ["join", "read_table", "to_arrow"]

BLOCK_BYTES = 1 << 20


def read_table(
    path: Path,
    columns: Sequence[str],
    optional: Sequence[str],
    encoding: str | None = None,
    delimiter: str | None = None,
) -> pd.DataFrame:
    """Read a file of a table, strictly.

    Parameters
    ----------
    path : Path
        See :mod:`gpu_kmeans.tables.table_file` for what is read.
    columns, optional : sequence of str
        Columns that must be there, and columns kept when they are. Others are dropped while
        reading, so that memory holds the wanted cells and one block of rows.
    encoding : str or None
        Encoding of a file of texts; None means the one whose mark it has, or UTF-8.
    delimiter : str or None
        The sign between two cells of a CSV file; None looks for it.

    Returns
    -------
    DataFrame
        Rows in the file's order. Columns hold text exactly as written, an empty cell being
        ``""``; those of Parquet keep their Arrow types, text as ``str``.

    Raises
    ------
    FileProblem, UnsupportedFileType
        The path cannot be read, or its content is no table.
    InvalidEncoding, UncertainFormat, CsvMalformed, MalformedJson, InvalidHeader, MissingColumn,
    EmptyDataset
        The content is not a table with these columns.
    """
    path = Path(path)
    with open_table(path, encoding, delimiter) as source:
        table = _read(source, columns, optional)
    frame: pd.DataFrame = table.to_pandas(types_mapper=_pandas_type, ignore_metadata=True)
    return frame


def _read(source: TableFile, columns: Sequence[str], optional: Sequence[str]) -> pa.Table:
    if source.format == "csv":
        parts = read_regular(
            source.file, columns, optional, BLOCK_BYTES, np, _parse, source.delimiter
        )
        if parts:
            return pa.concat_tables(parts)
    return read_host(source, columns, optional)


def _parse(block: Block) -> pa.Table:
    from pyarrow import csv as arrow

    text = dict.fromkeys(block.wanted, pa.string())
    try:
        table = arrow.read_csv(
            pa.BufferReader(block.content),
            # One block: a row must not lie across two.
            arrow.ReadOptions(column_names=block.header, block_size=len(block.content)),
            arrow.ParseOptions(
                delimiter=block.delimiter, newlines_in_values=True, ignore_empty_lines=False
            ),
            arrow.ConvertOptions(
                column_types=text, include_columns=block.wanted, strings_can_be_null=False
            ),
        )
    except pa.ArrowException as error:
        raise Irregular from error
    if table.num_rows != block.rows:
        raise Irregular
    return table


def join(left: pd.DataFrame, right: pd.DataFrame, key: str) -> tuple[pd.DataFrame, JoinCounts]:
    """Left join, one to one on ``key``, in the order of ``left``.

    Raises
    ------
    DuplicateId
        A key stands twice on either side.
    InvalidParam
        The tables share another column than the key.
    """
    check_shared(set(left.columns), set(right.columns), key)
    for side, frame in (("left", left), ("right", right)):
        repeated = frame[key][frame[key].duplicated()]
        if len(repeated):
            raise duplicate(repeated.iloc[:1].tolist()[0], key, side)
    joined = left.merge(right, on=key, how="left", indicator=True)
    matched = int((joined.pop("_merge") == "both").sum())
    return joined, JoinCounts(matched, len(left) - matched, len(right) - matched)


def to_arrow(frame: pd.DataFrame) -> pa.Table:
    """Return the same columns and rows as a ``pyarrow.Table``, without pandas' metadata."""
    return pa.table({name: pa.array(frame[name]) for name in frame})


def _pandas_type(kind: pa.DataType) -> Any:
    """Text as pandas' ``str``; the rest as Arrow, where a null stays apart from a NaN."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pd.StringDtype("pyarrow", na_value=float("nan"))
    return pd.ArrowDtype(kind)
