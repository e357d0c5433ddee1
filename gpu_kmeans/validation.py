"""Arguments and rows, checked before any work; messages carry both numbers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import (
    FeatureMismatch,
    InputError,
    InvalidParam,
    NonFinite,
    NotNumeric,
    OutOfRange,
    shown,
)
from gpu_kmeans.inputs.cells import Columns, to_numbers
from gpu_kmeans.inputs.containers import CheckNames, read, read_values

__all__ = [
    "check_centers",
    "check_flag",
    "check_integer",
    "check_named_rows",
    "check_new_rows",
    "check_number",
    "check_rows",
    "check_weight",
    "generator",
]


def check_integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return ``value`` as an int within ``[low, high]``; booleans and 2.0 are not integers."""
    if isinstance(value, bool | np.timedelta64) or not isinstance(value, Integral):
        raise InvalidParam(f"{name} must be an integer, got {shown(value)}")
    number = int(value)
    if number < low or (high is not None and number > high):
        bounds = f">= {low}" if high is None else f"in [{low}, {high}]"
        raise InvalidParam(f"{name} must be {bounds}, got {name}={shown(number)}")
    return number


def check_number(name: str, value: Any, low: float) -> float:
    """Return ``value`` as a finite float of at least ``low``."""
    if isinstance(value, bool | np.timedelta64) or not isinstance(value, Real):
        raise InvalidParam(f"{name} must be a number, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not np.isfinite(number) or number < low:
        raise InvalidParam(f"{name} must be a finite number >= {low:g}, got {name}={shown(value)}")
    return number


def check_flag(name: str, value: Any) -> None:
    """Refuse what is neither a boolean nor an integer of at least 0."""
    if not isinstance(value, bool | np.bool_ | Integral) or value < 0:
        raise InvalidParam(f"{name} must be a boolean or an integer >= 0, got {shown(value)}")


def generator(random_state: Any) -> np.random.Generator:
    """Make the source of all draws from None, a seed, a ``RandomState`` or a ``Generator``.

    None, or the module ``numpy.random``, is NumPy's global state, as for scikit-learn.
    """
    if random_state is None or random_state is np.random:
        return np.random.default_rng(np.random.randint(2**31))
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31))
    return np.random.default_rng(check_integer("random_state", random_state, 0))


def check_rows(rows: Any) -> Any:
    """Return ``rows`` as CSR or a 2-d array of float32 or float64 with finite values.

    See :func:`check_named_rows`.
    """
    return check_named_rows(rows)[0]


def check_named_rows(
    rows: Any, check_names: CheckNames | None = None
) -> tuple[Any, NDArray[Any] | None]:
    """Return ``rows`` as CSR or a 2-d array, and the names of their columns.

    Float32 and float64 stay what they are, other numbers become float64, and so does float32 whose
    squares would overflow. Sparse matrices of any format, and data frames with sparse columns,
    become CSR, never dense: with sorted indices within the shape, and without repeats. Names are
    those of a data frame or an Arrow table, where all of them are text, else None; ``check_names``
    may refuse them before the values are read.

    Raises
    ------
    InputError
        No container of rows, not 2-d, no rows, no columns, complex, or malformed CSR.
    NotNumeric
        Text or dates, even of digits, lists, or other objects.
    NonFinite
        NaN, infinity or a missing value; the message names the first.
    OutOfRange
        A finite number that overflows where float32 was asked for.
    """
    if getattr(type(rows), "is_checked_matrix", False):
        return rows, None
    if _on_device(rows):
        return _check_device_rows(rows), _feature_names(getattr(rows, "columns", None))
    out, names = read(rows, check_names)
    n, width = out.shape
    if n < 1:
        raise InputError(
            f"Found array with 0 sample(s) (shape={out.shape}) while a minimum of 1 is required."
        )
    if width < 1:
        raise InputError(
            f"Found array with 0 feature(s) (shape={out.shape}) while a minimum of 1 is required."
        )
    columns = Columns(names)
    if isinstance(out, np.ndarray):
        return _check_finite(out, out, columns), _feature_names(names)
    values = to_numbers(out.data, lambda position: columns.location(*_cell_in_csr(out, position)))
    if values is not out.data:
        out = type(out)((values, out.indices, out.indptr), shape=out.shape)
    return _check_finite(out, values, columns), _feature_names(names)


def _on_device(rows: Any) -> bool:
    return type(rows).__module__.partition(".")[0] in {"cupy", "cupyx", "cudf"}


def _check_device_rows(rows: Any) -> Any:
    """The same for rows on a GPU, without moving them: by the methods of its arrays alone."""
    if hasattr(rows, "to_cupy"):  # a cuDF frame
        try:
            rows = rows.to_cupy()
        except (TypeError, ValueError, NotImplementedError) as error:
            raise NotNumeric(f"rows must hold real numbers, all of them there: {error}") from None
    if hasattr(rows, "tocsr"):
        rows = rows.tocsr()
        _check_device_csr(rows)
    if rows.ndim != 2 or 0 in rows.shape:
        raise InputError(f"expected rows in 2 dimensions, at least one by one, got {rows.shape}")
    if rows.dtype.kind not in "biuf":
        raise NotNumeric(f"rows must hold real numbers, not {rows.dtype}")
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    values = rows.data if hasattr(rows, "indptr") else rows
    largest = float(abs(values).max()) if values.size else 0.0
    if not np.isfinite(largest):
        raise NonFinite(
            "Input X contains NaN or infinity: drop or fill such rows first (no NaN, no inf)"
        )
    return _with_finite_squares(rows, largest)


def _check_device_csr(rows: Any) -> None:
    """Check CSR on its device as :func:`gpu_kmeans.inputs.sparse_rows.check_compressed` does."""
    (n, width), indptr, indices = rows.shape, rows.indptr, rows.indices
    fits = len(indptr) == n + 1 and int(indptr[0]) == 0 and bool((indptr[1:] >= indptr[:-1]).all())
    if not fits or int(indptr[-1]) > min(len(indices), len(rows.data)):
        raise InputError("the sparse rows are malformed: indptr does not cut their values in rows")
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < width:
        raise InputError(f"the sparse rows are malformed: an index is not in [0, {width})")


def _check_finite(rows: Any, values: NDArray[Any], columns: Columns) -> Any:
    """Return the rows, all of whose values and their squares are finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum(dtype=np.float64)) or np.isfinite(values).all():
            largest = max(values.max(), -values.min()) if values.size else 0.0
            return _with_finite_squares(rows, float(largest))
    bad = int(np.flatnonzero(~np.isfinite(values.ravel()))[0])
    if hasattr(rows, "indptr"):
        row, column = _cell_in_csr(rows, bad)
    else:
        row, column = divmod(bad, rows.shape[1])
    kind = "NaN" if np.isnan(values.ravel()[bad]) else "infinity"
    raise NonFinite(
        f"Input X contains {kind} at {columns.location(row, column)}: "
        "drop or fill such rows first (no NaN, no inf)"
    )


def _cell_in_csr(rows: Any, position: int) -> tuple[int, int]:
    return int(np.searchsorted(rows.indptr, position, side="right")) - 1, int(
        rows.indices[position]
    )


def _with_finite_squares(rows: Any, largest: float) -> Any:
    """Return the rows, float32 in float64 where their sums of squares would overflow float32."""
    if largest <= _largest_of(rows.dtype, rows.shape):
        return rows
    limit = _largest_of(np.float64, rows.shape)
    if largest > limit:
        raise OutOfRange(
            f"input holds values beyond {limit:.1e}, whose squares overflow float64: scale the data"
        )
    return rows.astype(np.float64)


def _largest_of(dtype: Any, shape: tuple[int, ...]) -> float:
    """Largest value whose square, summed over all rows or columns, does not overflow."""
    return float((float(np.finfo(dtype).max) / max(shape)) ** 0.5)


def check_weight(weight: Any, n: int) -> NDArray[np.float64] | None:
    """Return weights as float64 of shape (n,), or None where every row counts the same."""
    if weight is None:
        return None
    if isinstance(weight, Real):
        weight = np.full(n, check_number("sample_weight", weight, 0.0))
    try:
        out = read_values(weight).astype(np.float64, copy=False)
    except InputError as error:
        raise InvalidParam(f"sample_weight must hold real numbers: {error}") from None
    if out.ndim != 1:
        raise InvalidParam(f"Sample weights must be 1D array or scalar, got {out.ndim}D array")
    if len(out) != n:
        raise InvalidParam(f"sample_weight has {len(out)} entries for {n} rows")
    if not np.isfinite(out).all() or (out < 0).any():
        raise InvalidParam("sample_weight must be finite and not negative")
    if not out.any():
        raise InvalidParam(f"all {n} sample weights are zero: nothing to cluster")
    return None if (out == 1).all() else out


def check_input_features(input_features: Any, fitted: Any, width: int) -> None:
    """Compare the names passed to ``get_feature_names_out`` with the fitted features.

    Raises
    ------
    FeatureMismatch
        Another number of names than there are features, or other names.
    """
    if input_features is None:
        return
    names = (
        list(input_features)
        if isinstance(input_features, Sequence | np.ndarray)
        else [input_features]
    )
    if fitted is not None and names != list(fitted):
        raise FeatureMismatch("input_features is not equal to feature_names_in_")
    if len(names) != width:
        raise FeatureMismatch(
            f"input_features should have length equal to number of features ({width}), got "
            f"{len(names)}"
        )


def check_centers(centers: Any, k: int, width: int, dtype: Any) -> NDArray[Any]:
    """Check that fitted centers, which anyone can have changed, are still valid.

    Returned C-contiguous, in the dtype of the rows that they are compared with, or in float64 where
    the fit needed it.

    Raises
    ------
    InvalidParam
        They are no float32 or float64 array of shape (k, width), or not finite.
    """
    if not isinstance(centers, np.ndarray) or centers.dtype not in (np.float32, np.float64):
        kind = centers.dtype if isinstance(centers, np.ndarray) else type(centers).__name__
        raise InvalidParam(
            f"cluster_centers_ is no longer an array of float32 or float64, but {kind}: fit again"
        )
    if centers.shape != (k, width):
        raise InvalidParam(
            f"cluster_centers_ has shape {centers.shape}, but the fit made {(k, width)}: fit again"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(centers.sum(dtype=np.float64)) or np.isfinite(centers).all()
        dtype = np.result_type(centers.dtype, dtype)
        out = np.ascontiguousarray(centers, dtype)
        if out.dtype != centers.dtype:
            finite = finite and bool(np.isfinite(out).all())
    if not finite:
        raise InvalidParam(
            f"cluster_centers_ holds NaN, infinity or a number beyond {np.dtype(dtype)}: fit again"
        )
    return out


def _feature_names(columns: Any) -> NDArray[Any] | None:
    """Return the names of columns where all are text, else None."""
    if columns is None:
        return None
    names = np.empty(len(columns), dtype=object)
    names[:] = list(columns)
    return names if len(names) and all(isinstance(name, str) for name in names) else None


def check_new_rows(rows: Any, width: int, fitted: Any, estimator: str) -> Any:
    """Return rows passed to a fitted estimator, as :func:`check_rows` does, with its features.

    ``fitted`` are the names of its features, or None. Warns where one of both has no names.

    Raises
    ------
    FeatureMismatch
        Another number of features, or columns of other names or in another order.
    InputError
        See :func:`check_named_rows`.
    """

    def check_names(columns: Any) -> None:
        names = _feature_names(columns)
        if names is not None and fitted is not None and list(names) != list(fitted):
            raise FeatureMismatch(_different_names(list(names), list(fitted)))

    out, names = check_named_rows(rows, check_names)
    if out.shape[1] != width:
        raise FeatureMismatch(
            f"X has {out.shape[1]} features, but {estimator} is expecting {width} features as input"
        )
    if names is None and fitted is not None:
        warnings.warn(
            f"X does not have valid feature names, but {estimator} was fitted with feature names",
            stacklevel=4,
        )
    elif names is not None and fitted is None:
        warnings.warn(
            f"X has feature names, but {estimator} was fitted without feature names", stacklevel=4
        )
    return out


def _different_names(new: list[str], fitted: list[str]) -> str:
    lines = ["The feature names should match those that were passed during fit."]
    unseen = sorted(set(new) - set(fitted))
    missing = sorted(set(fitted) - set(new))
    if unseen:
        lines += ["Feature names unseen at fit time:", *(f"- {name}" for name in unseen[:5])]
        lines += ["- ..."] if len(unseen) > 5 else []
    if missing:
        lines += ["Feature names seen at fit time, yet now missing:"]
        lines += [f"- {name}" for name in missing[:5]] + (["- ..."] if len(missing) > 5 else [])
    if not unseen and not missing:
        lines.append("Feature names must be in the same order as they were in fit.")
    return "\n".join(lines) + "\n"
