"""Values of any dtype as numbers; errors name the row and column of what is no number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from numbers import Complex, Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import InputError, NonFinite, NotNumeric, OutOfRange, shown

__all__ = ["Columns", "Location", "a", "common_float", "missing", "not_numbers", "to_numbers"]

Location: TypeAlias = Callable[[int], str]
"""Row and column of the i-th of some values, in words."""

MISSING = {"NAType", "NaTType", "NoneType"}
"""Names of the types whose only value means a missing one."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns of rows, for messages; numbers where they have none."""

    names: Sequence[Any] | None = None

    def location(self, row: int, column: int) -> str:
        """Return the row and column of a value, in words."""
        if self.names is None:
            return f"row {row}, column {column} (counted from 0)"
        return f"row {row}, column {shown(self.names[column])} (rows counted from 0)"

    def in_column(self, column: int) -> Location:
        """Return the locations of one column's values, by row."""
        return lambda row: self.location(row, column)

    def in_rows(self, width: int) -> Location:
        """Return the locations of the values of rows, one row after the other."""
        return lambda position: self.location(*divmod(position, width))


def to_numbers(values: NDArray[Any], location: Location) -> NDArray[Any]:
    """Return the values as float32 where they are, else as float64; not checked to be finite.

    Raises
    ------
    NotNumeric
        Text (even of digits), dates, lists or anything else that is no number.
    NonFinite
        None, ``pandas.NA`` or ``NaT``.
    OutOfRange
        A number that float64 cannot hold.
    InputError
        Complex numbers.
    """
    kind = values.dtype.kind
    if kind == "f" and values.dtype.itemsize in (4, 8):
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    if kind in "biuf":
        with np.errstate(over="ignore"):
            return values.astype(np.float64)
    if kind == "O":
        return _from_objects(values, location)
    if kind == "c":
        raise InputError("Complex data not supported: split it into real features")
    if kind == "V" and values.dtype.names is not None:
        raise NotNumeric(
            "rows must hold numbers, not structures: pass "
            "numpy.lib.recfunctions.structured_to_unstructured(X)"
        )
    if values.size == 0:
        return values.astype(np.float64) if kind in "USTMm" else np.zeros(values.shape)
    raise not_numbers(values.reshape(-1)[0], location(0))


def common_float(dtypes: Sequence[Any]) -> np.dtype[Any]:
    """Return float32 where all columns fit into it, else float64."""
    common = np.result_type(*set(dtypes))
    return np.dtype(np.float32 if common == np.float32 else np.float64)


def missing(value: Any, location: str) -> NonFinite:
    """Return the error of a missing value."""
    return NonFinite(
        f"Input X contains a missing value ({value}) at {location}: drop or fill such rows first "
        "(no NaN, no missing values)"
    )


def not_numbers(value: Any, location: str) -> InputError:
    """Return the error of a value that is no number."""
    if isinstance(value, Complex) and not isinstance(value, Real):
        return InputError("Complex data not supported: split it into real features")
    if type(value).__name__ in MISSING:
        return missing(shown(value), location)
    if isinstance(value, str | bytes):
        category, way_out = "text", "convert or encode such columns first"
    elif _is_date(value):
        category, way_out = "dates or durations", "turn them into numbers first, such as days"
    elif isinstance(value, list | tuple | set | frozenset | np.ndarray):
        category, way_out = "lists", "give each entry a column of its own, as numpy.stack does"
    else:
        category = f"objects ({type(value).__name__})"
        way_out = "each value of the argument must be no string or object, but a number"
    return NotNumeric(
        f"rows must hold numbers, not {category}: {shown(value)} stands at {location}; {way_out}"
    )


def _from_objects(values: NDArray[Any], location: Location) -> NDArray[np.float64]:
    flat = values.reshape(-1)
    if all(_is_number(kind) for kind in set(map(type, flat))):
        try:
            return values.astype(np.float64)
        except (ArithmeticError, TypeError, ValueError):
            pass  # looked for below, one by one
    for position, value in enumerate(flat):
        if not _is_number(type(value)):
            raise not_numbers(value, location(position))
        try:
            float(value)
        except OverflowError:
            raise OutOfRange(
                f"a number at {location(position)} is beyond what float64 holds: scale the data"
            ) from None
        except Exception:
            raise not_numbers(value, location(position)) from None
    raise NotNumeric("rows must hold numbers: they cannot be read as float64")


def _is_number(kind: type) -> bool:
    return issubclass(kind, Real | Decimal | np.bool_) and not issubclass(kind, np.timedelta64)


def _is_date(value: Any) -> bool:
    kind = type(value)
    names = {base.__name__ for base in kind.__mro__}
    return isinstance(value, np.datetime64 | np.timedelta64) or bool(
        names & {"date", "time", "timedelta", "BaseOffset", "_Period"}
    )


def a(value: Any) -> str:
    """Name the type of a value, with its article, for messages."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    name = kind.__name__ if package == "builtins" else f"{package}.{kind.__name__}"
    return f"an object of type {name}"
