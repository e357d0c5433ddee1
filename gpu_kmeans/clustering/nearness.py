"""What both backends reckon with when they compare rows: arguments, and rows of length 1.

Host arithmetic on NumPy arrays, in float64; nothing here compares rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import InvalidParam, shown

__all__ = ["METRICS", "check_count", "scaled_values", "unit_values"]

METRICS = ("cosine", "euclidean")
"""Names of the ways to compare rows."""


def check_count(rows: Any, count: Any, metric: Any) -> None:
    """Refuse a number of neighbours, or a metric, that these rows do not have.

    Raises
    ------
    InvalidParam
        The message has both numbers and the way out.
    """
    n = rows.shape[0]
    if metric not in METRICS:
        raise InvalidParam(f"metric must be one of {', '.join(METRICS)}, got {shown(metric)}")
    if hasattr(rows, "indptr") and metric != "cosine":
        raise InvalidParam(
            "sparse rows are compared by metric='cosine' alone: use it, or reduce the rows "
            "(RandomizedSVD)"
        )
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise InvalidParam(f"the number of neighbours must be an integer >= 1, got {shown(count)}")
    if count >= n:
        way_out = f"ask for at most {n - 1}" if n > 1 else "use more rows"
        raise InvalidParam(
            f"{count} neighbours of each row need at least {count + 1} rows, and there are {n}: "
            f"{way_out}"
        )


def unit_values(rows: Any) -> NDArray[np.float64]:
    """Return the values of rows on the host, each row divided by its length: in float64.

    Of CSR rows the non-zeros, of dense ones an array of their shape. Rows of length 0 stay zeros.
    Rows are divided by their largest value first, so that no square over- or underflows.
    """
    values: NDArray[np.float64]
    if not hasattr(rows, "indptr"):
        values = rows.astype(np.float64)
        values /= _or_one(np.abs(values).max(axis=1))[:, None]
        values /= _or_one(np.sqrt(np.square(values).sum(axis=1)))[:, None]
        return values
    values = rows.data.astype(np.float64)
    lengths = np.diff(rows.indptr)
    lengths = lengths[lengths > 0]
    starts = np.cumsum(lengths) - lengths
    if len(starts):
        values /= np.repeat(_or_one(np.maximum.reduceat(np.abs(values), starts)), lengths)
        squares = np.add.reduceat(np.square(values), starts)
        values /= np.repeat(_or_one(np.sqrt(squares)), lengths)
    return values


def scaled_values(rows: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """Return dense rows in float64 within [-1, 1], and the power of two that they were divided by.

    Neither squares nor their sums over- or underflow then, and no digit is lost.
    """
    _, exponent = np.frexp(np.abs(rows).max())
    values: NDArray[np.float64] = np.ldexp(rows.astype(np.float64), -exponent)
    return values, float(np.ldexp(1.0, exponent))


def _or_one(divisors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(divisors > 0, divisors, 1.0)
