"""Columns of numbers, brought to one scale: the encoder of measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Matrix
from gpu_kmeans.errors import InputError, InvalidParam, shown
from gpu_kmeans.features.base import Columns, Encoder, Reason, State, group_means

__all__ = ["MISSING", "SCALES", "NumbersEncoder", "is_skewed"]

Scale = Literal["standard", "robust", "none"]
Missing = Literal["fill", "flag", "refuse"]
SCALES: tuple[Scale, ...] = get_args(Scale)
MISSING: tuple[Missing, ...] = get_args(Missing)

NORMAL_QUARTILES = 1.3489795003921634
"""Distance of a normal distribution's quartiles, in its standard deviations."""
FAR = 1_000.0
"""Distance from the median, in robust standard deviations, beyond which a number is told of: it
alone decides the scale of its column."""
SKEWED = 3.0
"""Skewness from which on the logarithm of a column is proposed."""
FLOAT32_SAFE = 1e15
"""Largest scaled number that rows of float32 may hold; rows with larger ones are float64."""


class NumbersEncoder(Encoder):
    """Columns of float64 to dense rows, one feature a column.

    Cells are float64 arrays of shape (n,), NaN where a number is missing.

    Parameters
    ----------
    columns : sequence of str
    scale : {"standard", "robust", "none"}
        Subtract the mean and divide by the standard deviation; or the median, and the distance of
        the quartiles as that of a normal distribution; or neither.
    missing : {"fill", "flag", "refuse"}
        Fill missing numbers with the column's median; fill, and add a feature that tells where,
        to each column that lacks some; or refuse them.
    log : sequence of str
        Columns of which ``log(1 + x)`` is taken first.
    """

    kind = "numbers"

    def __init__(
        self,
        columns: Sequence[str],
        scale: Scale = "standard",
        missing: Missing = "fill",
        log: Sequence[str] = (),
    ) -> None:
        _check_choice("scale", scale, SCALES)
        _check_choice("missing", missing, MISSING)
        unknown = [name for name in log if name not in columns]
        if unknown:
            raise InvalidParam(
                f"log names the column {unknown[0]!r:.60}, which is not among the numbers: "
                f"{', '.join(map(repr, columns))[:300] or 'none'}"
            )
        self.columns = tuple(columns)
        self.scale: Scale = scale
        self.missing: Missing = missing
        self.log = tuple(log)
        self.notes = []
        empty = np.empty(0)
        self.fill_, self.center_, self.spread_, self.missing_share_ = empty, empty, empty, empty

    def fit_transform(self, columns: Columns, backend: Backend) -> Matrix:
        values = self._logged(columns)
        absent = np.isnan(values)
        self._check_missing(absent)
        self.fill_ = np.array([np.median(column[~np.isnan(column)]) for column in values.T])
        scales = [self._scale_of(column[~np.isnan(column)]) for column in values.T]
        self.center_, self.spread_ = np.array(scales).reshape(-1, 2).T.copy()
        share = absent.mean(axis=0)
        self.missing_share_ = share if self.missing == "flag" else np.zeros(len(share))
        self.notes = self._notes(values, absent)
        return self._rows(values)

    def transform(self, columns: Columns, backend: Backend) -> Matrix:
        values = self._logged(columns)
        if self.missing == "refuse":
            self._check_missing(np.isnan(values))
        return self._rows(values)

    @property
    def feature_names(self) -> list[str]:
        names = [f"log {name}" if name in self.log else name for name in self.columns]
        flagged = [self.columns[column] for column in np.flatnonzero(self.missing_share_)]
        return names + [f"{name} is missing" for name in flagged]

    def reasons(
        self, columns: Columns, rows: Any, labels: NDArray[np.int32], k: int, limit: int
    ) -> list[list[Reason]]:
        """The columns whose mean lies farthest from that of all items, in either direction."""
        values = self._logged(columns)
        deviations = group_means(self._deviations(values), labels, k)
        raw = np.column_stack([columns[name] for name in self.columns])
        overall = _finite_means(raw)
        clusters = []
        for label in range(k):
            members = raw[labels == label]
            deviation = deviations[label]
            farthest = np.argsort(-np.abs(deviation), kind="stable")[:limit]
            means = _finite_means(members)
            clusters.append(
                [
                    Reason(
                        "number",
                        self.columns[column],
                        self.columns[column],
                        float(means[column]),
                        float(overall[column]),
                        float(deviation[column]),
                        _median(members[:, column]),
                    )
                    for column in farthest.tolist()
                    if len(members)
                ]
            )
        return clusters

    def state(self) -> State:
        params = {
            "columns": list(self.columns),
            "scale": self.scale,
            "missing": self.missing,
            "log": list(self.log),
        }
        arrays = {
            "fill": self.fill_,
            "center": self.center_,
            "spread": self.spread_,
            "missing_share": self.missing_share_,
        }
        return params, arrays

    @classmethod
    def from_state(cls, params: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        encoder = cls(params["columns"], params["scale"], params["missing"], params["log"])
        for name in ("fill", "center", "spread", "missing_share"):
            array = arrays[name]
            if array.shape != (len(encoder.columns),) or not np.isfinite(array).all():
                raise ValueError(f"{name} is not one finite number for each column")
            setattr(encoder, f"{name}_", array)
        if not (encoder.spread_ > 0).all():
            raise ValueError("spread has a number that is not positive")
        return encoder

    # -- steps ----------------------------------------------------------------------------

    def _logged(self, columns: Columns) -> NDArray[np.float64]:
        """Return the columns side by side, shape (n, p), their logarithms taken."""
        values = np.column_stack([np.asarray(columns[name], np.float64) for name in self.columns])
        for name in self.log:
            column = values[:, self.columns.index(name)]
            low = np.flatnonzero(column <= -1)
            if len(low):
                raise InputError(
                    f"row {low[0] + 2}, column {name!r}: {column[low[0]]:g} has no logarithm, "
                    "which is that of 1 + x: leave the column out of log (--log)"
                )
            column[:] = np.log1p(column)
        return values

    def _check_missing(self, absent: NDArray[np.bool_]) -> None:
        for name, cells in zip(self.columns, absent.T, strict=True):
            if self.missing == "refuse" and cells.any():
                raise InputError(
                    f"row {int(cells.argmax()) + 2}, column {name!r}: the number is missing, as in "
                    f"{int(cells.sum())} of {len(cells)} rows; fill them (missing='fill'), or flag "
                    "them (missing='flag'), on the command line --missing"
                )
            if len(cells) and cells.all():
                raise InputError(
                    f"column {name!r} holds no numbers, all its cells are empty: leave it out"
                )

    def _scale_of(self, values: NDArray[np.float64]) -> tuple[float, float]:
        """Return what to subtract from the numbers of a column and what to divide them by."""
        if self.scale == "none":
            return 0.0, 1.0
        center, spread = _standard_scale(values)
        if self.scale == "robust":
            median, robust = _robust_scale(values)
            return median, robust or spread or 1.0
        return center, spread or 1.0

    def _scaled(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        whole = np.where(np.isnan(values), self.fill_, values)
        scaled: NDArray[np.float64] = (whole - self.center_) / self.spread_
        return scaled

    def _deviations(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far each number lies from the center of its column, in its spreads."""
        if self.scale != "none":
            return self._scaled(values)
        whole = np.where(np.isnan(values), self.fill_, values)
        scales = np.array([_standard_scale(column) for column in whole.T])
        deviations: NDArray[np.float64] = (whole - scales[:, 0]) / np.where(
            scales[:, 1] > 0, scales[:, 1], 1.0
        )
        return deviations

    def _rows(self, values: NDArray[np.float64]) -> NDArray[Any]:
        share = self.missing_share_
        flagged = np.flatnonzero(share)
        flags = (np.isnan(values)[:, flagged] - share[flagged]) / np.sqrt(
            share[flagged] * (1 - share[flagged])
        )
        rows = np.ascontiguousarray(np.hstack([self._scaled(values), flags]))
        small = np.abs(rows).max(initial=0.0) <= FLOAT32_SAFE
        return rows.astype(np.float32) if small else rows

    def _notes(self, values: NDArray[np.float64], absent: NDArray[np.bool_]) -> list[str]:
        notes = []
        for name, column, cells in zip(self.columns, values.T, absent.T, strict=True):
            present = column[~cells]
            if cells.any():
                how = "filled with the median" + (" and flagged" if self.missing == "flag" else "")
                notes.append(
                    f"column {name!r}: numbers are missing in {int(cells.sum())} of {len(cells)} "
                    f"rows, {how}"
                )
            if np.ptp(present) == 0:
                notes.append(f"column {name!r} has one value on every row: it tells no rows apart")
            far = _far(present)
            if far and self.scale == "standard":
                notes.append(
                    f"column {name!r}: {far} of {len(present)} numbers lie more than {FAR:g} "
                    "robust standard deviations from the median, and decide the scale of all; "
                    "scale='robust' (--scale robust) does without them"
                )
            elif self.scale != "none" and name not in self.log and is_skewed(present):
                notes.append(
                    f"column {name!r} is skewed: its logarithm may tell rows apart better "
                    f"(log=[{name!r}], on the command line --log {name!r})"
                )
        return notes


def is_skewed(values: NDArray[np.float64]) -> bool:
    """Tell whether numbers that are not negative have a long tail that their logarithm has not."""
    if len(values) < 3 or values.min() < 0 or np.ptp(values) == 0:
        return False
    skewness = _skewness(values)
    return skewness > SKEWED and abs(_skewness(np.log1p(values))) < skewness / 2


def _skewness(values: NDArray[np.float64]) -> float:
    center, spread = _standard_scale(values)
    return float(np.mean(((values - center) / spread) ** 3)) if spread else 0.0


def _standard_scale(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return mean and standard deviation; of numbers of any magnitude, without overflow."""
    unit = float(np.abs(values).max(initial=0.0)) or 1.0
    scaled = values / unit
    spread = float(scaled.std()) * unit
    # What rounding leaves of equal numbers is no spread.
    return float(scaled.mean()) * unit, spread if np.ptp(values) > 0 else 0.0


def _robust_scale(values: NDArray[np.float64]) -> tuple[float, float]:
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
    return float(median), float(high - low) / NORMAL_QUARTILES


def _far(values: NDArray[np.float64]) -> int:
    """Count the numbers that are too far from the median for a scale that includes them."""
    median, spread = _robust_scale(values)
    if not spread:
        return 0
    return int((np.abs(values - median) > FAR * spread).sum())


def _finite_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means of columns over the numbers that are there; NaN where none is."""
    present = ~np.isnan(values)
    counts = present.sum(axis=0)
    sums = np.where(present, values, 0.0).sum(axis=0)
    means: NDArray[np.float64] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return means


def _median(values: NDArray[np.float64]) -> float | None:
    present = values[~np.isnan(values)]
    return float(np.median(present)) if len(present) else None


def _check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise InvalidParam(f"{name} must be one of {', '.join(choices)}, got {shown(value)}")
