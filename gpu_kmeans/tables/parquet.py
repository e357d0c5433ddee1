"""Parquet with Arrow, its columns checked as those of a CSV file are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader

import pyarrow as pa

from gpu_kmeans.errors import EmptyDataset, FileProblem
from gpu_kmeans.tables.files import check_header, choose_columns

__all__ = ["parquet_schema", "read_parquet"]


def parquet_schema(
    file: BufferedReader, name: str, columns: Sequence[str], optional: Sequence[str]
) -> pa.Schema:
    """Names and Arrow types of the wanted columns, in the order to keep them in.

    Raises
    ------
    FileProblem
        The file is damaged, as far as its description shows.
    InvalidHeader, MissingColumn
    """
    import pyarrow.parquet as pq

    with _whole(name):
        schema = pq.ParquetFile(file).schema_arrow
    check_header(schema.names, name)
    wanted = choose_columns(schema.names, name, columns, optional)
    return pa.schema([schema.field(column) for column in wanted])


def read_parquet(
    file: BufferedReader, name: str, columns: Sequence[str], optional: Sequence[str]
) -> pa.Table:
    """Read the wanted columns, in their Arrow types.

    Raises
    ------
    FileProblem
        The file is damaged.
    InvalidHeader, MissingColumn, EmptyDataset
    """
    import pyarrow.parquet as pq

    wanted = parquet_schema(file, name, columns, optional).names
    with _whole(name):
        table = pq.ParquetFile(file).read(columns=wanted).select(wanted)
    if not table.num_rows:
        raise EmptyDataset(f"{name} has columns and no rows; give a file with data")
    return table


@contextmanager
def _whole(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise FileProblem(f"{name} is not a whole Parquet file: {error}") from error
