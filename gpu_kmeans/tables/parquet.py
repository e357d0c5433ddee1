"""Parquet with Arrow, its columns checked as those of a CSV file are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader

import pyarrow as pa

from gpu_kmeans.errors import EmptyDataset, FileProblem, InputError
from gpu_kmeans.tables.files import choose_columns

__all__ = ["parquet_names", "parquet_schema", "read_parquet"]


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
    schema = _schema(file, name)
    wanted = choose_columns(schema.names, name, columns, optional)
    return pa.schema([schema.field(column) for column in wanted])


def parquet_names(file: BufferedReader, name: str) -> list[str]:
    """Names of all columns, as they stand."""
    names: list[str] = _schema(file, name).names
    return names


def _schema(file: BufferedReader, name: str) -> pa.Schema:
    import pyarrow.parquet as pq

    with _whole(name):
        return pq.ParquetFile(file).schema_arrow


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
    except InputError:
        raise
    # A damaged description may also name a type, a length or a text that makes no sense.
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        TypeError,
        KeyError,
        OverflowError,
        NotImplementedError,
    ) as error:
        raise FileProblem(
            f"{name} is not a whole Parquet file: {' '.join(str(error).split())[:300]}; "
            "write it again"
        ) from error
