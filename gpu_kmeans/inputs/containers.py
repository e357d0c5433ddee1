"""Containers of rows: recognised by their types, and read without being walked cell by cell.

NumPy reads anything with a length and an index as a sequence of sequences, value by value, which of
a large annotated matrix takes minutes and ends in nonsense. So only arrays, sequences of Python's
own kind, sparse matrices and data frames are read; everything else is refused at once, and the
message says what to pass in its place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from io import IOBase
from numbers import Number
from os import PathLike
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import InputError, NotNumeric
from gpu_kmeans.inputs.cells import Columns, a, missing, to_numbers
from gpu_kmeans.inputs.sparse_rows import as_csr

__all__ = ["CheckNames", "Container", "read", "read_values"]

CheckNames: TypeAlias = Callable[[Sequence[Any]], None]

MOST_NESTED = 8
"""Maximum depth of sequences in sequences that are checked: rows are two deep."""
CHANNELS = (3, 4)
"""Sizes of the last axis of an image: three colours, without or with alpha."""


class Container(NamedTuple):
    """Rows, as CSR or an array, and the names of their columns, if they have any."""

    rows: Any
    names: Sequence[Any] | None


def read(rows: Any, check_names: CheckNames | None = None) -> Container:
    """Read rows of any container as CSR (sparse ones, never made dense) or a 2-d array of floats.

    The names of a data frame's columns are passed to ``check_names`` before its values are read:
    where columns are not those expected, that says more than any of their values.

    Raises
    ------
    InputError
        No container of rows, not 2-d, or with cells that are no numbers.
    """
    if isinstance(rows, np.ndarray):
        return Container(_read_array(rows), None)
    if isinstance(rows, type):
        raise _unknown(rows)
    if (pandas := sys.modules.get("pandas")) and isinstance(rows, pandas.DataFrame):
        from gpu_kmeans.inputs.data_frames import read_pandas

        names = list(rows.columns)
        if check_names is not None:
            check_names(names)
        return Container(read_pandas(rows), names)
    if (arrow := sys.modules.get("pyarrow")) and type(rows).__module__.startswith("pyarrow"):
        return _read_of_arrow(arrow, rows, check_names)
    if _has(rows, "tocsr"):
        return Container(as_csr(_in_scipy(rows)), None)
    _refuse_what_is_none(rows)
    # A labelled array offers itself as a table of its entries, too, one a line: not its rows.
    is_array = _has(rows, "__array__") and not _has(rows, "columns")
    if not is_array and (_has(rows, "__arrow_c_stream__") or _has(rows, "__dataframe__")):
        return _read_by_arrow(rows, check_names)
    if isinstance(rows, memoryview | bytearray) or _has(rows, "__array__"):
        return Container(_read_array(_as_array(rows)), None)
    if isinstance(rows, Sequence):
        return Container(_read_sequence(rows), None)
    raise _unknown(rows)


def read_values(values: Any) -> NDArray[Any]:
    """Read numbers of any dimension, one for each row as a rule, as an array of floats.

    Raises
    ------
    InputError
        No container of numbers, or values that are none.
    """
    if isinstance(values, Sequence):
        values = list(values)
        _check_nested(values)
    elif not _has(values, "__array__"):
        raise InputError(f"they are {a(values)}: pass an array, a list or a column of numbers")
    if not isinstance(values, np.ndarray):
        values = _as_array(values)
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise missing("masked", f"entry {int(np.argmax(np.ma.getmaskarray(values)))}")
    return to_numbers(np.asarray(values), "entry {}".format)


# -- arrays and sequences -----------------------------------------------------------------


def _read_array(array: NDArray[Any]) -> NDArray[Any]:
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        location = Columns().in_rows(array.shape[-1]) if array.ndim == 2 else "entry {}".format
        raise missing("masked", location(int(np.argmax(np.ma.getmaskarray(array)))))
    array = np.asarray(array)
    if array.ndim != 2:
        raise _not_rows(array)
    return to_numbers(array, Columns().in_rows(array.shape[1]))


def _not_rows(array: NDArray[Any]) -> InputError:
    start = f"Expected 2D array, got {array.ndim}D array instead"
    if array.dtype.kind in "US":
        return NotNumeric(f"rows must hold numbers, not text. {start}")
    if array.dtype.names is not None:
        return NotNumeric(
            f"{start}, of structures: numpy.lib.recfunctions.structured_to_unstructured(X) makes "
            "rows of them"
        )
    first = array.reshape(-1)[0] if array.dtype == object and array.size else None
    if _has(first, "tocsr"):
        way_out = "pass the sparse matrix itself, or scipy.sparse.vstack of several"
    elif isinstance(first, Mapping):
        way_out = "pandas.DataFrame(X) makes rows of dictionaries"
    elif array.ndim == 0:
        way_out = "X.reshape(1, 1) makes one row of one feature"
    elif array.ndim == 1:
        way_out = "X.reshape(-1, 1) for one feature, X.reshape(1, -1) for one row"
    elif array.shape[-1] in CHANNELS:
        channels = array.shape[-1]
        way_out = (
            f"X.reshape(-1, {channels}) makes each pixel of an image a row; for images as rows, "
            "X.reshape(len(X), -1)"
        )
    else:
        way_out = "X.reshape(len(X), -1) makes one row of each entry of the first axis"
    return InputError(f"{start} (shape={array.shape}). Reshape your data: {way_out}")


def _as_array(rows: Any) -> NDArray[Any]:
    try:
        return np.asarray(rows)
    except Exception as error:  # whatever a foreign __array__ raises
        raise InputError(
            f"X is {a(rows)}, which cannot be read as an array: {_first_line(error)}"
        ) from None


def _read_sequence(rows: Sequence[Any]) -> NDArray[Any]:
    rows = rows if isinstance(rows, list | tuple) else list(rows)
    _check_nested(rows)
    try:
        array = np.asarray(rows)
    except OverflowError:
        array = np.array(rows, dtype=object)
    except ValueError as error:
        raise InputError(
            f"rows must all have the same number of features: {_first_line(error)}"
        ) from None
    except Exception as error:
        raise InputError(f"X cannot be read as rows: {_first_line(error)}") from None
    if array.ndim == 2 and array.dtype.kind in "USMm":
        # NumPy turned all cells into texts or dates because of one: objects keep them apart.
        array = np.array(rows, dtype=object)
    return _read_array(array)


def _check_nested(rows: Sequence[Any], depth: int = 1) -> None:
    """Refuse entries that NumPy would walk: objects with a length and an index."""
    nested = False
    for kind in set(map(type, rows)):
        if issubclass(kind, list | tuple):
            nested = True
        elif issubclass(kind, np.ma.MaskedArray) or _is_walked(kind):
            position = next(position for position, entry in enumerate(rows) if type(entry) is kind)
            entry = rows[position]
            if hasattr(entry, "tocsr"):
                raise InputError(
                    f"X is a list with {a(entry)} at {position}: pass scipy.sparse.vstack(X)"
                )
            raise InputError(f"X is a list with {a(entry)} at {position}: {_way_out(entry)}")
    if nested and depth < MOST_NESTED:
        for entry in rows:
            if isinstance(entry, list | tuple):
                _check_nested(entry, depth + 1)


def _is_walked(kind: type) -> bool:
    if hasattr(kind, "tocsr"):
        return True
    if issubclass(kind, Sequence | str | bytes) or hasattr(kind, "__array__"):
        return False
    return hasattr(kind, "__getitem__") and hasattr(kind, "__len__") and not issubclass(kind, dict)


# -- sparse and Arrow ---------------------------------------------------------------------


def _in_scipy(rows: Any) -> Any:
    from scipy import sparse

    if sparse.issparse(rows):
        return rows
    try:
        out = rows.tocsr()
    except Exception as error:
        raise InputError(f"X is {a(rows)}, which does not become CSR: {error}") from None
    if not sparse.issparse(out):
        raise InputError(f"X is {a(rows)}, and no sparse matrix: pass one of scipy.sparse")
    return out


def _read_of_arrow(arrow: Any, rows: Any, check_names: CheckNames | None) -> Container:
    from gpu_kmeans.inputs.data_frames import read_arrow

    if hasattr(rows, "to_scipy"):  # sparse tensors
        return Container(as_csr(rows.to_scipy()), None)
    if isinstance(rows, arrow.Tensor):
        return Container(_read_array(rows.to_numpy()), None)
    if isinstance(rows, arrow.RecordBatch):
        rows = arrow.Table.from_batches([rows])
    if isinstance(rows, arrow.RecordBatchReader):
        rows = rows.read_all()
    if not isinstance(rows, arrow.Table):
        if isinstance(rows, arrow.Array | arrow.ChunkedArray):
            way_out = (
                "one column is no table of rows: pyarrow.table({'x': X}), or of lists "
                "numpy.stack(X.to_pylist())"
            )
            raise InputError(f"Expected 2D array, got {a(rows)}. Reshape your data: {way_out}")
        raise _unknown(rows)
    if check_names is not None:
        check_names(rows.column_names)
    return Container(read_arrow(rows), rows.column_names)


def _read_by_arrow(rows: Any, check_names: CheckNames | None) -> Container:
    """Read another library's data frame through Arrow, whose interfaces it offers."""
    import pyarrow as pa

    try:
        if hasattr(rows, "__arrow_c_stream__"):
            table = pa.table(rows)
        else:
            from pyarrow.interchange import from_dataframe

            table = from_dataframe(rows)
    except Exception as error:
        raise InputError(
            f"X is {a(rows)}, which cannot be read as a table: {_first_line(error)}"
        ) from None
    return _read_of_arrow(pa, table, check_names)


# -- what holds no rows -------------------------------------------------------------------


def _refuse_what_is_none(rows: Any) -> None:
    """Refuse what is known to hold no rows, whatever methods it has."""
    if isinstance(rows, str | bytes | PathLike):
        raise NotNumeric(
            f"X is {a(rows)}, not rows of numbers: read a file first, such as by "
            "pandas.read_csv; texts become rows by TfidfVectorizer().fit_transform(texts)"
        )
    way_out = None
    if all(_has(rows, name) for name in ("X", "obs", "var")):
        way_out = "pass adata.X, or the embedding to cluster, such as adata.obsm['X_pca']"
    elif isinstance(rows, IOBase):
        way_out = "an open file is read first, such as by pandas.read_csv"
    elif _has(rows, "to_frame") and not _has(rows, "columns"):
        way_out = "X.to_frame() makes rows of one feature"
    elif _has(rows, "predict") and _has(rows, "fit"):
        way_out = "an estimator is fitted to rows, and is none itself"
    elif rows is None or (
        isinstance(rows, Number | Mapping | Set | Iterator) and not _has(rows, "__arrow_c_stream__")
    ):
        way_out = _way_out(rows)
    if way_out is not None:
        start = "Expected 2D array, got" if isinstance(rows, Number) else "X is"
        raise InputError(f"{start} {a(rows)}, not rows of numbers: {way_out}")


def _has(rows: Any, name: str) -> bool:
    """Whether a type has an attribute, or an instance keeps one; none is computed."""
    return hasattr(type(rows), name) or name in getattr(rows, "__dict__", {})


def _unknown(rows: Any) -> InputError:
    return InputError(f"X is {a(rows)}, not rows of numbers: {_way_out(rows)}")


def _way_out(rows: Any) -> str:
    """What to pass in place of an object, in words."""
    if isinstance(rows, type):
        return "pass an object, not its class"
    if isinstance(rows, Number):
        return "Reshape your data: [[x]] is one row of one feature"
    if _has(rows, "to_dataframe"):
        return "X.to_dataframe() makes a data frame of it"
    if isinstance(rows, Mapping) and _has(rows, "close"):  # archives of arrays: .npz, HDF5
        return "pass one of the arrays in it, as X[name]"
    if isinstance(rows, Mapping):
        return "pandas.DataFrame(X) makes columns of its entries"
    if isinstance(rows, Set | Iterator):
        return "list(X) makes rows that stay and have an order"
    for name in ("compute", "collect", "to_memory", "toPandas", "to_pandas", "to_numpy"):
        if _has(rows, name):
            return f"bring it to memory first, as X.{name}() does"
    if _has(rows, "__array_interface__"):
        return "numpy.asarray(X) makes an array of it"
    if _has(rows, "__dlpack__"):
        return "numpy.from_dlpack(X) makes an array of it"
    return "pass a NumPy array, a sparse matrix of SciPy, a data frame or an Arrow table"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
