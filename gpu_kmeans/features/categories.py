"""Columns of categories, one feature a value: the encoder of what is named and not measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Matrix
from gpu_kmeans.errors import InputError, InvalidParam
from gpu_kmeans.features.base import Columns, Encoder, Reason, State, group_means, largest_first
from gpu_kmeans.validation import check_number

__all__ = ["MISSING_VALUE", "OTHER", "RARE_SHARE", "CategoriesEncoder"]

RARE_SHARE = 0.01
"""Share of the rows below which the values of a column are counted as one."""
LEAST_ROWS = 2
"""Number of rows that a value needs in any case, to be one of its own."""
MOST_VALUES = 100
"""Maximum number of values that a column keeps, the most frequent."""
LEAST_DEVIATION = 0.05
"""Deviation of a share, in standard deviations, from which on it is a reason."""
OTHER, MISSING_VALUE = "(other)", "(missing)"
"""Names of all rare values together, and of empty cells."""


class CategoriesEncoder(Encoder):
    """Columns of texts to rows of one feature for each value (one-hot), CSR float32.

    Cells are sequences of ``str``; an empty one is a value of its own. The features of a column are
    scaled so that their variances add up to 1, as that of a standard-scaled number: its weight does
    not depend on how many values it has.

    Parameters
    ----------
    columns : sequence of str
    rare : float
        Share of the rows, from 0 to below 1: rarer values of a column count as one.
    """

    kind = "categories"

    def __init__(self, columns: Sequence[str], rare: float = RARE_SHARE) -> None:
        self.columns = tuple(columns)
        self.rare = check_number("rare", rare, 0.0)
        if self.rare >= 1:
            raise InvalidParam(f"rare must be a share from 0 to below 1, got {rare!r:.60}")
        self.notes = []
        self.values_: list[list[str]] = []
        self.scales_ = np.empty(0)

    def fit_transform(self, columns: Columns, backend: Backend) -> Matrix:
        self.values_, scales, self.notes = [], [], []
        for name in self.columns:
            cells = _named(columns[name])
            values, counts = np.unique(np.array(cells, dtype=object), return_counts=True)
            frequent = self._frequent(values, counts, len(cells))
            pooled = int(counts.sum()) - sum(
                int(c) for v, c in zip(values, counts, strict=True) if v in frequent
            )
            sizes = [int(counts[values == value][0]) for value in frequent]
            if pooled:
                frequent, sizes = [*frequent, OTHER], [*sizes, pooled]
            shares = np.array(sizes) / len(cells)
            variance = 1.0 - float((shares**2).sum())
            self.values_.append(frequent)
            scales.append(1.0 / math.sqrt(variance) if variance > 0 else 0.0)
            self._note(
                name, len(values) - len(frequent) + bool(pooled), pooled, len(cells), variance
            )
        self.scales_ = np.array(scales)
        return self._rows(columns)

    def transform(self, columns: Columns, backend: Backend) -> Matrix:
        return self._rows(columns)

    @property
    def feature_names(self) -> list[str]:
        return [
            f"{name} = {value}"
            for name, values in zip(self.columns, self.values_, strict=True)
            for value in values
        ]

    def reasons(
        self, columns: Columns, rows: Any, labels: NDArray[np.int32], k: int, limit: int
    ) -> list[list[Reason]]:
        """The values that are over-represented among a cluster's items, farthest first."""
        hot = rows.copy()
        hot.data[:] = 1.0
        shares = group_means(hot, labels, k)
        overall = np.asarray(hot.mean(axis=0)).ravel()
        spread = np.sqrt(overall * (1 - overall))
        deviation = np.divide(shares - overall, spread, out=np.zeros_like(shares), where=spread > 0)
        names = [
            (name, value)
            for name, values in zip(self.columns, self.values_, strict=True)
            for value in values
        ]
        return [
            [
                Reason(
                    "category",
                    *names[feature],
                    float(shares[label, feature]),
                    float(overall[feature]),
                    float(deviation[label, feature]),
                )
                for feature in largest_first(deviation[label] - LEAST_DEVIATION, limit)
            ]
            for label in range(k)
        ]

    def state(self) -> State:
        params = {"columns": list(self.columns), "rare": self.rare, "values": self.values_}
        return params, {"scales": self.scales_}

    @classmethod
    def from_state(cls, params: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        encoder = cls(params["columns"], params["rare"])
        encoder.values_ = [[_text(value) for value in values] for values in params["values"]]
        encoder.scales_ = arrays["scales"]
        if not len(encoder.columns) == len(encoder.values_) == len(encoder.scales_):
            raise ValueError("its columns, values and scales are not as many")
        if not np.isfinite(encoder.scales_).all():
            raise ValueError("scales has a value that is not finite")
        return encoder

    # -- steps ----------------------------------------------------------------------------

    def _frequent(self, values: NDArray[Any], counts: NDArray[np.int64], n: int) -> list[str]:
        """Return the values that are not rare, the most frequent first, ties by their names."""
        floor = max(LEAST_ROWS, math.ceil(self.rare * n)) if len(values) > 2 else 1
        order = np.argsort(-counts, kind="stable")[:MOST_VALUES]
        return [str(values[i]) for i in order if counts[i] >= floor]

    def _note(self, name: str, rare: int, pooled: int, n: int, variance: float) -> None:
        if pooled == n:
            raise InputError(
                f"column {name!r} has another value on almost every row: it names rows and groups "
                "none; leave it out, or cluster it as text"
            )
        if variance <= 0:
            self.notes.append(f"column {name!r} has one value on every row: it tells no rows apart")
        elif pooled:
            self.notes.append(
                f"column {name!r}: {rare} rare values are counted as one, {pooled} of {n} rows"
            )

    def _rows(self, columns: Columns) -> Any:
        from scipy.sparse import csr_matrix

        n = len(columns[self.columns[0]])
        rows, features, data = [], [], []
        start = 0
        for name, values, scale in zip(self.columns, self.values_, self.scales_, strict=True):
            position = {value: start + i for i, value in enumerate(values)}
            other = position.get(OTHER, -1)
            column = np.array([position.get(cell, other) for cell in _named(columns[name])])
            known = np.flatnonzero(column >= 0)
            rows.append(known)
            features.append(column[known])
            data.append(np.full(len(known), scale, dtype=np.float32))
            start += len(values)
        indices = (np.concatenate(rows), np.concatenate(features))
        matrix = csr_matrix((np.concatenate(data), indices), shape=(n, start), dtype=np.float32)
        matrix.sort_indices()
        return matrix


def _named(cells: Any) -> list[str]:
    """Return the cells as a list, white space around them taken away, empty ones by name."""
    texts = cells.to_pylist() if hasattr(cells, "to_pylist") else list(cells)
    return [(text or "").strip() or MISSING_VALUE for text in texts]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a value of a category is no text")
    return value
