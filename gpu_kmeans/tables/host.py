"""The readers that run on the host, chosen by the format of a file."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from gpu_kmeans.tables.excel import read_excel, sheet_names
from gpu_kmeans.tables.json_lines import json_names, read_json_lines
from gpu_kmeans.tables.parquet import parquet_names, read_parquet
from gpu_kmeans.tables.strict_csv import read_csv, read_header
from gpu_kmeans.tables.table_file import TableFile

__all__ = ["read_host", "table_names"]


def read_host(source: TableFile, columns: Sequence[str], optional: Sequence[str]) -> pa.Table:
    """Read the wanted columns of a file of any format.

    Parameters
    ----------
    columns, optional : sequence of str
        Columns that must be there, and columns kept when they are.

    Returns
    -------
    Table
        Columns of type ``string``, except those of Parquet, which keep their types.

    Raises
    ------
    InputError
        The content is not a table with these columns.
    """
    if source.format == "parquet":
        return read_parquet(source.file, source.name, columns, optional)
    if source.format == "jsonl":
        return read_json_lines(source.file, source.name, columns, optional)
    if source.format == "xlsx":
        return read_excel(source.file, source.name, columns, optional)
    return read_csv(source.file, source.name, columns, optional, source.delimiter)


def table_names(source: TableFile) -> list[str]:
    """Return the names of all columns as they stand; none of an empty file."""
    if source.format == "parquet":
        return parquet_names(source.file, source.name)
    if source.format == "jsonl":
        return json_names(source.file, source.name)
    if source.format == "xlsx":
        return sheet_names(source.file, source.name)
    return read_header(source.file, source.name, source.delimiter)
