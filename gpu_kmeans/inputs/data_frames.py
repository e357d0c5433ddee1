"""Data frames as rows: pandas, Arrow tables, and what can be read as one of them.

Columns are read one by one where their dtypes differ, so that what is no number is named with its
column. Frames with sparse columns become CSR without ever being dense.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import InputError, NotNumeric, shown
from gpu_kmeans.inputs.cells import Columns, common_float, missing, not_numbers, to_numbers
from gpu_kmeans.inputs.sparse_rows import as_csr

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["read_arrow", "read_pandas"]


# -- pandas -------------------------------------------------------------------------------


def read_pandas(frame: pd.DataFrame) -> Any:
    """Return a pandas frame as CSR, where a column is sparse, or as an array of its numbers.

    Raises
    ------
    InputError
        A column that holds no numbers, a missing value, or a sparse column around another value
        than 0.
    """
    import pandas as pd

    dtypes, columns = list(frame.dtypes), Columns(list(frame.columns))
    if any(isinstance(dtype, pd.SparseDtype) for dtype in dtypes):
        return _read_sparse(frame, columns)
    if dtypes and all(isinstance(dtype, np.dtype) and dtype.kind in "biuf" for dtype in dtypes):
        values = frame.to_numpy(np.result_type(*set(dtypes)))
        return to_numbers(values, columns.in_rows(len(dtypes)))
    parts = [
        _pandas_column(series, columns, index) for index, (_, series) in enumerate(frame.items())
    ]
    return _side_by_side(parts, len(frame))


def _pandas_column(series: pd.Series[Any], columns: Columns, index: int) -> NDArray[Any]:
    import pandas as pd

    location, dtype = columns.in_column(index), series.dtype
    if not isinstance(dtype, np.dtype):
        absent = series.isna().to_numpy(bool)
        if absent.any():
            row = int(np.argmax(absent))
            raise missing(shown(series.iloc[row]), location(row))
    if isinstance(dtype, pd.CategoricalDtype):
        return to_numbers(np.asarray(series.array), location)
    kind = getattr(dtype, "kind", "O")
    if isinstance(dtype, np.dtype):
        return to_numbers(series.to_numpy(), location)
    if kind in "biuf":
        numpy_dtype = getattr(dtype, "numpy_dtype", np.dtype(np.float64))
        return to_numbers(series.to_numpy(numpy_dtype), location)
    if kind in "mM" and len(series):
        raise not_numbers(series.iloc[0], location(0))
    return to_numbers(series.to_numpy(object), location)


def _read_sparse(frame: pd.DataFrame, columns: Columns) -> Any:
    """CSR of all columns: the stored values of sparse ones, the non-zeros of others."""
    import pandas as pd
    from scipy import sparse

    n, width = frame.shape
    rows: list[NDArray[Any]] = []
    values: list[NDArray[Any]] = []
    for index, (_, series) in enumerate(frame.items()):
        if isinstance(series.dtype, pd.SparseDtype):
            stored_rows, stored = _stored(series, columns, index)
        else:
            dense = _pandas_column(series, columns, index)
            stored_rows = np.flatnonzero(dense)
            stored = dense[stored_rows]
        rows.append(stored_rows.astype(np.int32 if n <= np.iinfo(np.int32).max else np.int64))
        values.append(stored)
    dtype = common_float([part.dtype for part in values])
    indptr = np.zeros(width + 1, np.int64)
    np.cumsum([len(part) for part in values], out=indptr[1:])
    data = np.concatenate([part.astype(dtype, copy=False) for part in values])
    return as_csr(sparse.csc_array((data, np.concatenate(rows), indptr), shape=(n, width)))


def _stored(series: pd.Series[Any], columns: Columns, index: int) -> tuple[Any, NDArray[Any]]:
    """Rows and values that a sparse column stores; all others are 0."""
    array: Any = series.array
    indices, fill = array.sp_index.indices, array.fill_value
    is_zero = isinstance(fill, int | float | np.number | np.bool_) and fill == 0
    if not is_zero and len(indices) < len(array):
        gaps = np.ones(len(array), bool)
        gaps[indices] = False
        location = columns.location(int(np.argmax(gaps)), index)
        if series.isna().any():
            raise missing(shown(fill), location)
        raise InputError(
            f"rows must be sparse around 0, and the value {shown(fill)} at {location} is not "
            "stored: use astype(pandas.SparseDtype(float, 0)), or a dense column"
        )
    location_of = columns.in_column(index)
    stored = np.asarray(array.sp_values)
    return indices, to_numbers(stored, lambda i: location_of(int(indices[i])))


# -- Arrow --------------------------------------------------------------------------------


def read_arrow(table: pa.Table) -> NDArray[Any]:
    """Return an Arrow table's numbers as an array.

    Raises
    ------
    InputError
        A column that holds no numbers, or a missing value.
    """
    columns = Columns(table.column_names)
    parts = [_arrow_column(column, columns, index) for index, column in enumerate(table.columns)]
    return _side_by_side(parts, table.num_rows)


def _arrow_column(column: pa.ChunkedArray, columns: Columns, index: int) -> NDArray[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, location = column.type, columns.in_column(index)
    if column.null_count:
        raise missing("null", location(int(np.argmax(column.is_null().to_numpy()))))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return to_numbers(column.to_numpy(), location)
    if pa.types.is_dictionary(kind):
        try:
            decoded = column.cast(kind.value_type)
        except pa.ArrowNotImplementedError:  # dictionaries of views of texts, or of lists
            return to_numbers(np.fromiter(column.to_pylist(), object, len(column)), location)
        return _arrow_column(decoded, columns, index)
    if pa.types.is_run_end_encoded(kind):
        chunks = [pc.run_end_decode(chunk) for chunk in column.chunks]
        return _arrow_column(pa.chunked_array(chunks, kind.value_type), columns, index)
    if isinstance(kind, pa.BaseExtensionType):
        chunks = [chunk.storage for chunk in column.chunks]
        return _arrow_column(pa.chunked_array(chunks, kind.storage_type), columns, index)
    if pa.types.is_decimal(kind):
        return to_numbers(np.array(column.to_pylist(), dtype=object), location)
    if len(column) == 0:
        return np.zeros(0)
    if pa.types.is_temporal(kind):
        raise NotNumeric(
            f"rows must hold numbers, not dates or durations ({kind}), as from {location(0)}: turn "
            "them into numbers first, such as days"
        )
    first = column[0]
    raise not_numbers(first.as_py(), f"{location(0)}, whose type is {kind}")


def _side_by_side(parts: Sequence[NDArray[Any]], n: int) -> NDArray[Any]:
    """One array of columns."""
    if not parts:
        return np.zeros((n, 0))
    out = np.empty((n, len(parts)), common_float([part.dtype for part in parts]))
    for index, part in enumerate(parts):
        out[:, index] = part
    return out
