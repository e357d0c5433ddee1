"""Tables with cuDF: files read strictly, and a checked join.

Which files are tables, and what is said of those that are not, :mod:`gpu_kmeans.tables`
decides as it does for the CPU; cuDF reads what it is certain to read alike, and the host the
rest. A CSV is looked at on the device, block by block: that is one more transfer and a few
passes over device memory, where NumPy on the host does about half a gigabyte a second.

Facts about cuDF 26.10, from its sources and tests, that decide what stands here:

- ``read_csv`` refuses nothing: a row too long is cut, one too short is filled with nulls, a
  stray quote swallows rows. The structure is checked before, and the count of rows after.
- A quote that follows a line feed inside quotes ends them for its search for rows, also where
  it is the first of a doubled pair; from there on rows break in the wrong places, and two
  such errors may even leave the count right. A file with such bytes is read on the host.
- The last cell of a file, empty and without a line feed after it, comes out null. Blocks end
  with a line feed.
- Cells keep their spaces, and their doubled quotes become single, in cells that begin with a
  quote. In the header they stay doubled: names are handed over, not read. Without ``na_filter``
  no text is null: not ``""``, not ``NA``, ``null`` or ``None``; a null means an unread cell.
- There is no thousands separator, comment sign or skipped space unless asked for.
- A path is more than a path to it: ``~``, ``*`` and, for Parquet, ``year=2020`` in a folder's
  name have meanings. It is given bytes.
- ``columns=`` of ``read_parquet`` are paths into nested columns, and absent ones are left out
  silently. A dataframe's index becomes one again, even where pandas' metadata is not asked for.
- ``merge`` promises no order. As in pandas, an integer column that gets nulls by it becomes
  float64.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import cudf
import cupy as cp
import pyarrow as pa

from gpu_kmeans.backends.protocol import Frame, JoinCounts
from gpu_kmeans.errors import OutOfDeviceMemory, UnsupportedOnBackend
from gpu_kmeans.tables.fast_csv import Block, Irregular, read_regular
from gpu_kmeans.tables.host import read_host
from gpu_kmeans.tables.joins import check_shared, duplicate
from gpu_kmeans.tables.parquet import parquet_schema, read_parquet
from gpu_kmeans.tables.table_file import open_table

__all__ = ["join", "read_table", "to_arrow"]

UNHELD = (TypeError, ValueError, RuntimeError, OverflowError, NotImplementedError)
"""Exceptions that cuDF raises for a type that it cannot hold."""
BLOCK_BYTES = 1 << 25
"""Number of bytes of a CSV that are read at once: half of what libcudf transfers as one piece."""


def read_table(
    path: Path,
    columns: Sequence[str],
    optional: Sequence[str],
    encoding: str | None = None,
    delimiter: str | None = None,
) -> Frame:
    """Read a file of a table, strictly; see :func:`cpu_fallback.frames.read_table`.

    Days of a Parquet file (``date32``) become timestamps of whole seconds, which are cuDF's
    shortest way to hold them, and a dictionary's entries the texts that they stand for.

    Raises
    ------
    InputError
        The file is refused, in the same words as on the CPU.
    OutOfDeviceMemory
        The columns do not fit on the device.
    UnsupportedOnBackend
        A Parquet column is of a type that cuDF cannot hold.
    """
    path = Path(path)
    with open_table(path, encoding, delimiter) as source:
        try:
            if source.format == "parquet":
                return _read_parquet(source.file, path.name, columns, optional)
            if source.format == "csv":
                parts = read_regular(
                    source.file, columns, optional, BLOCK_BYTES, cp, _parse, source.delimiter
                )
                if parts:
                    return cudf.concat(parts, ignore_index=True)
            return _on_device(read_host(source, columns, optional), path.name)
        except MemoryError as error:  # CuPy's own, and the memory manager's std::bad_alloc
            raise OutOfDeviceMemory(
                f"{path.name}: its columns do not fit into the GPU's memory: close what else "
                "uses the device, leave out columns, or use backend='cpu'"
            ) from error


def join(left: Frame, right: Frame, key: str) -> tuple[Frame, JoinCounts]:
    """Left join, one to one on ``key``, in the order of ``left``.

    Raises
    ------
    DuplicateId
        A key stands twice on either side.
    InvalidParam
        The tables share another column than the key.
    """
    check_shared(set(left), set(right), key)
    for side, frame in (("left", left), ("right", right)):
        repeated = frame[key][frame[key].duplicated()]
        if len(repeated):
            raise duplicate(repeated.iloc[:1].to_arrow()[0].as_py(), key, side)
    names = {*left, *right}
    position, match = _free("place", names), _free("found", names)
    numbered = left.assign(**{position: cp.arange(len(left))})
    marked = right.assign(**{match: True})
    joined = numbered.merge(marked, on=key, how="left").sort_values(position, ignore_index=True)
    matched = int(joined[match].notna().sum())
    counts = JoinCounts(matched, len(left) - matched, len(right) - matched)
    return joined.drop(columns=[position, match]), counts


def to_arrow(frame: Frame) -> pa.Table:
    """The same columns and rows as a ``pyarrow.Table``; text is ``large_string``."""
    table = pa.table({name: frame[name].to_arrow() for name in frame})
    kinds = [pa.large_string() if _is_text(kind) else kind for kind in table.schema.types]
    return table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))


def _parse(block: Block) -> Frame:
    if b'\n""' in block.content:
        raise Irregular
    try:
        frame = cudf.read_csv(
            BytesIO(block.content),
            header=None,
            names=block.header,
            usecols=block.wanted,
            dtype=str,
            na_filter=False,
            compression=None,
            sep=block.delimiter,
        )
    except (RuntimeError, ValueError) as error:  # a broken device fails again, and says so
        raise Irregular from error
    frame = frame[block.wanted]
    if len(frame) != block.rows or any(frame[name].null_count for name in block.wanted):
        raise Irregular
    return frame


def _read_parquet(
    file: BufferedReader, name: str, columns: Sequence[str], optional: Sequence[str]
) -> Frame:
    schema = parquet_schema(file, name, columns, optional)
    if all(map(_is_common, schema.types)):
        file.seek(0)
        try:
            frame = cudf.read_parquet(
                BytesIO(file.read()), columns=schema.names, use_pandas_metadata=False
            )
        except (RuntimeError, ValueError, KeyError):  # damaged, perhaps: Arrow says what it is
            frame = None
        if frame is not None and len(frame) and set(frame) == set(schema.names):
            return frame[schema.names].reset_index(drop=True)
    file.seek(0)
    return _on_device(read_parquet(file, name, columns, optional), name)


def _on_device(table: pa.Table, name: str) -> Frame:
    # `from_arrow` knows no wide lists, and takes the codes of a dictionary as they stand in each
    # chunk, though chunks may have dictionaries of their own.
    plain = pa.schema([field.with_type(_plain_type(field.type)) for field in table.schema])
    try:
        # Without pandas' metadata, which would turn columns into an index.
        return cudf.DataFrame.from_arrow(table.replace_schema_metadata().cast(plain))
    except (*UNHELD, pa.ArrowException) as error:
        kinds = ", ".join(f"{field.name!r} {field.type}" for field in table.schema)
        raise UnsupportedOnBackend(
            f"{name} has a column of a type that the GPU's tables cannot hold ({kinds}): "
            "store it as text or numbers, or use backend='cpu'"
        ) from error


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    return kind


def _is_common(kind: pa.DataType) -> bool:
    """Whether cuDF reads a Parquet column as the same texts, numbers or lists as Arrow does."""
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_text(kind.value_type)
    plain = pa.types.is_integer(kind) or pa.types.is_float32(kind) or pa.types.is_float64(kind)
    return bool(plain or _is_text(kind) or pa.types.is_boolean(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _free(name: str, names: Collection[Any]) -> str:
    """The name, or one like it that no column has."""
    while name in names:
        name += "_"
    return name
