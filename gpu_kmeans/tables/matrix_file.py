"""What a file of a matrix holds once it is read, and the checks that all formats share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import (
    EmptyDataset,
    FileProblem,
    InputError,
    NonFinite,
    NotNumeric,
    OutOfRange,
    shown,
)
from gpu_kmeans.inputs.sparse_rows import as_csr

if TYPE_CHECKING:
    import pyarrow as pa
    from scipy import sparse

__all__ = [
    "PACKED",
    "MatrixFile",
    "check_dtype",
    "check_shape",
    "damaged",
    "for_scipy",
    "make_matrix",
]

PACKED = 1032
"""Maximum number of bytes that one byte of deflate (gzip, zip, HDF5) unpacks to."""
EXACT = 2**24
"""Largest number up to which float32 holds every integer; beyond it they become float64."""
ROWS_PER_VALUE = 1_000
"""Maximum number of rows for each stored value of a sparse file, beyond FREE_ROWS: a few bytes
may claim any number of empty rows, and each takes memory."""
FREE_ROWS = 10_000_000
"""Number of rows that a sparse file may have, however few values it stores."""


@dataclass(frozen=True, slots=True, eq=False)
class MatrixFile:
    """A matrix as it was read: samples are its rows.

    Attributes
    ----------
    values : csr_array or ndarray of shape (n, n_features), float32 or float64
        Finite. Integers and truth values are float32 where that holds all of them, else float64.
    row_names, feature_names : list of str or None
        As they stand in the file, where it has any; they may repeat.
    columns : pyarrow.Table or None
        What a file says of its rows, such as ``.obs`` of an AnnData.
    format : {"npy", "npz", "mtx", "10x", "h5ad"}
    """

    values: sparse.csr_array[Any] | NDArray[Any]
    row_names: list[str] | None
    feature_names: list[str] | None
    columns: pa.Table | None
    format: str


def make_matrix(
    values: Any,
    name: str,
    format: str,
    *,
    row_names: list[str] | None = None,
    feature_names: list[str] | None = None,
    columns: pa.Table | None = None,
) -> MatrixFile:
    """Check what a reader has read, and bring it to the types of a :class:`MatrixFile`.

    Parameters
    ----------
    values : ndarray or sparse matrix of any format
        Sparse ones have been held to nothing yet, and are not used by anyone else.
    name : str
        What messages call the file.

    Raises
    ------
    InputError
        Not 2-d, no numbers, complex, empty, not finite, or a malformed sparse matrix.
    """
    check_dtype(values.dtype, name)
    check_shape(values.shape, name)
    whole = values.dtype.kind in "biu"
    if isinstance(values, np.ndarray):
        floats: Any = _floats(values, whole)
        data, original = floats, values
    else:
        floats, original = _csr(values, name, whole), None
        data = floats.data
    bad = _first_infinite(data)
    if bad is not None:
        at, number = bad
        row, column = divmod(at, floats.shape[1]) if original is not None else _cell(floats, at)
        position = (
            f"{name}, row {row + 1}{_named(row_names, row)}, "
            f"column {column + 1}{_named(feature_names, column)}"
        )
        if original is not None and np.isfinite(original[row, column]):
            raise OutOfRange(f"{position}: a number beyond float64 (about 1.8e308); scale the data")
        what = "NaN" if np.isnan(number) else "infinity"
        raise NonFinite(f"{position}: {what} is not a finite number; drop or fill such rows first")
    return MatrixFile(floats, row_names, feature_names, columns, format)


def check_dtype(dtype: np.dtype[Any], name: str) -> None:
    """Refuse what holds no real numbers.

    Raises
    ------
    NotNumeric
        Python objects, texts, dates or structures.
    InputError
        Complex numbers.
    """
    kind = dtype.kind
    if kind in "biuf" and dtype.subdtype is None:
        return
    if kind == "c":
        raise InputError(f"{name} holds complex numbers: split them into real features")
    if dtype.hasobject:
        raise NotNumeric(
            f"{name} holds Python objects, which are never unpickled: "
            "save the array as numbers, with x.astype(float)"
        )
    if kind in "SUT":
        what, way_out = "texts", "turn them into numbers first, or write a table of texts"
    elif kind in "mM":
        what, way_out = "dates or durations", "turn them into numbers first, such as days"
    else:
        what = "structures"
        way_out = "save numpy.lib.recfunctions.structured_to_unstructured(x)"
    raise NotNumeric(f"{name} must hold numbers, not {what}: {way_out}")


def check_shape(shape: Sequence[int], name: str) -> None:
    """Refuse what is not 2-d, or empty.

    Raises
    ------
    InputError, EmptyDataset
    """
    if len(shape) < 2:
        raise InputError(
            f"{name} has {len(shape)} dimensions, not 2, of shape {tuple(shape)}: save "
            "x.reshape(-1, 1) where each number is a row, x.reshape(1, -1) where all are one"
        )
    if len(shape) > 2:
        raise InputError(
            f"{name} has {len(shape)} dimensions, not 2, of shape {shown(tuple(shape))}: save "
            "x.reshape(len(x), -1), one row for each sample"
        )
    n, width = shape
    if n < 1 or width < 1:
        raise EmptyDataset(
            f"{name} has {max(n, 0)} rows and {max(width, 0)} columns; give a matrix with data"
        )


def for_scipy(values: NDArray[Any]) -> NDArray[Any]:
    """Return real numbers in a dtype and byte order that SciPy's sparse matrices work with."""
    if values.dtype.kind == "f":
        return _floats(values, whole=False)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def damaged(name: str, what: str, reason: object) -> FileProblem:
    """Return the error about a file that is not what it begins as."""
    message = " ".join(str(reason).split())[:300] or type(reason).__name__
    return FileProblem(f"{name} is not a whole {what}: {message}; write it again")


def _floats(values: NDArray[Any], whole: bool) -> NDArray[Any]:
    """Return values as float32 where that is exact or what they are, else as float64."""
    narrow = _largest(values) <= EXACT if whole else values.dtype.itemsize <= 4
    with np.errstate(over="ignore"):
        return values.astype(np.float32 if narrow else np.float64, copy=False)


def _largest(values: NDArray[Any]) -> float:
    """Largest absolute value; NaN where there is one, 0 where there are none."""
    if not values.size:
        return 0.0
    return float(max(float(values.max()), -float(values.min())))


def _csr(values: Any, name: str, whole: bool) -> sparse.csr_array[Any]:
    """Return a sparse matrix, which is changed, as CSR; repeated entries are summed in float64."""
    n = values.shape[0]
    if n > FREE_ROWS + ROWS_PER_VALUE * values.data.size:
        raise FileProblem(
            f"{name} claims {n:,} rows for {values.data.size:,} stored values; check its shape"
        )
    if whole:  # and not by `astype`, which sums before it converts
        values.data = values.data.astype(np.float64)
    try:
        csr = as_csr(values)
    except InputError as error:
        raise damaged(name, "sparse matrix", error) from error
    if whole and _largest(csr.data) <= EXACT:
        csr = csr.astype(np.float32)
    return csr


def _first_infinite(values: NDArray[Any]) -> tuple[int, float] | None:
    """Position, row by row, and value of the first number that is NaN or infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum(dtype=np.float64)):  # allocates nothing
            return None
    bad = np.flatnonzero(~np.isfinite(values))
    return (int(bad[0]), float(values.flat[bad[0]])) if len(bad) else None


def _cell(csr: sparse.csr_array[Any], at: int) -> tuple[int, int]:
    return int(np.searchsorted(csr.indptr, at, side="right")) - 1, int(csr.indices[at])


def _named(names: list[str] | None, index: int) -> str:
    return "" if names is None else f" ({shown(names[index])})"
