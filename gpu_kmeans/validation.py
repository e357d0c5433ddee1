"""Arguments and rows, checked before any work; messages carry both numbers."""

from __future__ import annotations

import warnings
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
)

__all__ = [
    "check_features",
    "check_integer",
    "check_number",
    "check_rows",
    "check_weight",
    "feature_names",
    "generator",
]


def check_integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return ``value`` as an int within ``[low, high]``; booleans and 2.0 are not integers."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise InvalidParam(f"{name} must be an integer, got {value!r}")
    number = int(value)
    if number < low or (high is not None and number > high):
        bounds = f">= {low}" if high is None else f"in [{low}, {high}]"
        raise InvalidParam(f"{name} must be {bounds}, got {name}={number}")
    return number


def check_number(name: str, value: Any, low: float) -> float:
    """Return ``value`` as a finite float of at least ``low``."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise InvalidParam(f"{name} must be a number, got {value!r}")
    number = float(value)
    if not np.isfinite(number) or number < low:
        raise InvalidParam(f"{name} must be a finite number >= {low:g}, got {name}={value}")
    return number


def generator(random_state: Any) -> np.random.Generator:
    """Make the source of all draws from None, a seed, a ``RandomState`` or a ``Generator``."""
    if random_state is None:
        return np.random.default_rng()
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31))
    return np.random.default_rng(check_integer("random_state", random_state, 0))


def check_rows(rows: Any) -> Any:
    """Return ``rows`` as CSR or a 2-d array of float32 or float64 with finite values.

    Float32 and float64 stay what they are, other numbers become float64. Sparse matrices of
    any format become CSR, never dense.

    Raises
    ------
    InputError
        Not 2-d, no rows, no columns, or complex.
    NotNumeric
        Text or dates, even of digits.
    NonFinite
        NaN or infinity, named with the first place.
    OutOfRange
        A finite number that overflows where float32 was asked for.
    """
    if _on_device(rows):
        return _check_device_rows(rows)
    if hasattr(rows, "tocsr"):
        if rows.ndim != 2:
            raise InputError(f"expected rows in 2 dimensions, got a sparse array of {rows.ndim}")
        out = rows.tocsr()
        values = _as_float(out.data)
        if values is not out.data:
            out = type(out)((values, out.indices, out.indptr), shape=out.shape)
    else:
        try:
            array = np.asarray(rows)
        except ValueError as error:
            raise InputError(f"rows must all have the same number of features: {error}") from None
        if array.ndim != 2:
            raise InputError(
                f"Expected 2D array, got {array.ndim}D array instead. Reshape your data: "
                "X.reshape(-1, 1) for one feature, X.reshape(1, -1) for one row"
            )
        out = values = _as_float(array)
    n, width = out.shape
    if n < 1:
        raise InputError(
            f"Found array with 0 sample(s) (shape={out.shape}) while a minimum of 1 is required."
        )
    if width < 1:
        raise InputError(
            f"Found array with 0 feature(s) (shape={out.shape}) while a minimum of 1 is required."
        )
    _check_finite(out, values)
    return out


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
    _check_squares(largest, rows)
    return rows


def _as_float(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype in (np.float32, np.float64):
        return values
    if values.dtype.kind == "c":
        raise InputError("Complex data not supported: split it into real features")
    text = values.dtype.kind in "US" or (
        values.dtype.kind == "O" and any(isinstance(value, str | bytes) for value in values.flat)
    )
    if text or values.dtype.kind in "mMV":
        raise NotNumeric(f"rows must hold numbers, not {'text' if text else values.dtype}")
    return values.astype(np.float64)


def _check_finite(rows: Any, values: NDArray[Any]) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum(dtype=np.float64)) or np.isfinite(values).all():
            _check_squares(max(values.max(), -values.min()) if values.size else 0.0, rows)
            return
    bad = int(np.flatnonzero(~np.isfinite(values.ravel()))[0])
    if hasattr(rows, "indptr"):
        row, column = int(np.searchsorted(rows.indptr, bad, side="right")) - 1, rows.indices[bad]
    else:
        row, column = divmod(bad, rows.shape[1])
    kind = "NaN" if np.isnan(values.ravel()[bad]) else "infinity"
    raise NonFinite(
        f"Input X contains {kind} at row {row}, column {column} (counted from 0): "
        "drop or fill such rows first (no NaN, no inf)"
    )


def _check_squares(largest: Any, rows: Any) -> None:
    limit = np.finfo(rows.dtype).max ** 0.5 / max(rows.shape) ** 0.5
    if largest > limit:
        raise OutOfRange(
            f"input holds values beyond {limit:.1e}, whose squares overflow {rows.dtype}: scale "
            "the data"
        )


def check_weight(weight: Any, n: int) -> NDArray[np.float64] | None:
    """Return weights as float64 of shape (n,), or None where every row counts the same."""
    if weight is None:
        return None
    if isinstance(weight, Real):
        weight = np.full(n, weight)
    try:
        given = np.asarray(weight)
        if given.dtype.kind in "cmMUS":
            raise ValueError(f"they are {given.dtype}")
        out = given.astype(np.float64)
    except (TypeError, ValueError) as error:
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


def feature_names(rows: Any) -> NDArray[Any] | None:
    """Return a data frame's column names where all are text, else None."""
    columns = getattr(rows, "columns", None)
    if columns is None:
        return None
    names = np.asarray(list(columns), dtype=object)
    return names if len(names) and all(isinstance(name, str) for name in names) else None


def check_features(
    rows: Any, names: NDArray[Any] | None, width: int, fitted: Any, estimator: str
) -> None:
    """Hold rows given to a fitted estimator to the fitted features.

    Raises
    ------
    FeatureMismatch
        Another number of features, or columns of other names or in another order.
    """
    if rows.shape[1] != width:
        raise FeatureMismatch(
            f"X has {rows.shape[1]} features, but {estimator} is expecting {width} features as "
            "input"
        )
    if names is None and fitted is None:
        return
    if names is None:
        warnings.warn(
            f"X does not have valid feature names, but {estimator} was fitted with feature names",
            stacklevel=3,
        )
    elif fitted is None:
        warnings.warn(
            f"X has feature names, but {estimator} was fitted without feature names", stacklevel=3
        )
    elif list(names) != list(fitted):
        raise FeatureMismatch(_different_names(list(names), list(fitted)))


def _different_names(got: list[str], fitted: list[str]) -> str:
    lines = ["The feature names should match those that were passed during fit."]
    unseen = sorted(set(got) - set(fitted))
    missing = sorted(set(fitted) - set(got))
    if unseen:
        lines += ["Feature names unseen at fit time:", *(f"- {name}" for name in unseen[:5])]
        lines += ["- ..."] if len(unseen) > 5 else []
    if missing:
        lines += ["Feature names seen at fit time, yet now missing:"]
        lines += [f"- {name}" for name in missing[:5]] + (["- ..."] if len(missing) > 5 else [])
    if not unseen and not missing:
        lines.append("Feature names must be in the same order as they were in fit.")
    return "\n".join(lines) + "\n"
