"""A matrix that is there already: embeddings, counts of genes, features of a program's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Matrix
from gpu_kmeans.errors import FeatureMismatch, InputError, InvalidParam, shown
from gpu_kmeans.features.base import Columns, Encoder, Reason, State, group_means, largest_first

__all__ = ["MATRIX", "NORMALISATIONS", "MatrixEncoder"]

MATRIX = "matrix"
"""Name of the column that holds the matrix."""
Normalisation = Literal["none", "rows", "length"]
NORMALISATIONS: tuple[Normalisation, ...] = get_args(Normalisation)


class MatrixEncoder(Encoder):
    """Rows of numbers as they are, or normalised.

    Its column is ``matrix``: CSR of SciPy or an array, of shape (n, n_features), finite.

    Parameters
    ----------
    names : sequence of str or None
        Names of the features; None for ``"feature 1"``, ``"feature 2"``, ...
    normalise : {"none", "rows", "length"}
        Bring every row to the median of all rows' sums, for counts of different depth; or to
        length 1, so that distances are those of the cosine, for embeddings.
    log1p : bool
        Take ``log(1 + x)`` of every number, after that.
    """

    kind = "matrix"

    def __init__(
        self,
        names: Sequence[str] | None = None,
        normalise: Normalisation = "none",
        log1p: bool = False,
    ) -> None:
        if normalise not in NORMALISATIONS:
            raise InvalidParam(
                f"normalise must be one of {', '.join(NORMALISATIONS)}, got {shown(normalise)}"
            )
        self.columns = (MATRIX,)
        self.names = None if names is None else list(names)
        self.normalise: Normalisation = normalise
        self.log1p = bool(log1p)
        self.notes = []
        self.n_features_ = 0
        self.total_ = 1.0

    def fit_transform(self, columns: Columns, backend: Backend) -> Matrix:
        values = columns[MATRIX]
        self.n_features_ = int(values.shape[1])
        if self.names is not None and len(self.names) != self.n_features_:
            raise InvalidParam(
                f"there are {len(self.names)} names for {self.n_features_} columns of the matrix"
            )
        if self.normalise == "rows":
            sums = _row_sums(values)
            self.total_ = float(np.median(sums[sums > 0])) if (sums > 0).any() else 1.0
        self.notes = []
        return self._rows(values)

    def transform(self, columns: Columns, backend: Backend) -> Matrix:
        values = columns[MATRIX]
        if values.shape[1] != self.n_features_:
            raise FeatureMismatch(
                f"the matrix has {values.shape[1]} columns, but the model was fitted on "
                f"{self.n_features_}"
            )
        return self._rows(values)

    @property
    def feature_names(self) -> list[str]:
        if self.names is not None:
            return list(self.names)
        return [f"feature {number}" for number in range(1, self.n_features_ + 1)]

    def reasons(
        self, columns: Columns, rows: Any, labels: NDArray[np.int32], k: int, limit: int
    ) -> list[list[Reason]]:
        """The features that lie farthest above all items' mean, in standard deviations: markers."""
        names = self.feature_names
        squares = rows.multiply(rows) if hasattr(rows, "multiply") else np.square(rows, dtype=float)
        overall = np.asarray(rows.mean(axis=0, dtype=np.float64)).ravel()
        variance = np.asarray(squares.mean(axis=0, dtype=np.float64)).ravel() - overall**2
        spread = np.sqrt(np.maximum(variance, 0.0))
        means = group_means(rows, labels, k)
        deviation = np.divide(means - overall, spread, out=np.zeros_like(means), where=spread > 0)
        return [
            [
                Reason(
                    "feature",
                    "",
                    names[feature],
                    float(means[label, feature]),
                    float(overall[feature]),
                    float(deviation[label, feature]),
                )
                for feature in largest_first(deviation[label], limit)
            ]
            for label in range(k)
        ]

    def state(self) -> State:
        params = {
            "names": self.names,
            "normalise": self.normalise,
            "log1p": self.log1p,
            "n_features": self.n_features_,
            "total": self.total_,
        }
        return params, {}

    @classmethod
    def from_state(cls, params: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        encoder = cls(params["names"], params["normalise"], params["log1p"])
        encoder.n_features_, encoder.total_ = int(params["n_features"]), float(params["total"])
        if encoder.names is not None and not all(isinstance(n, str) for n in encoder.names):
            raise ValueError("a name of a feature is no text")
        if len(encoder.feature_names) != encoder.n_features_ or not np.isfinite(encoder.total_):
            raise ValueError("its features are not as many as it says")
        return encoder

    def _rows(self, values: Any) -> Any:
        if self.normalise == "rows":
            sums = _row_sums(values)
            values = _scale_rows(values, self.total_ / np.where(sums > 0, sums, self.total_))
        elif self.normalise == "length":
            lengths = _lengths(values)
            values = _scale_rows(values, 1.0 / np.where(lengths > 0, lengths, 1.0))
        if not self.log1p:
            return values
        data = values.data if hasattr(values, "indptr") else values
        if len(data) and data.min() <= -1:
            raise InputError(
                f"the matrix holds {data.min():g}, which has no log(1 + x): leave log1p out"
            )
        if not hasattr(values, "indptr"):
            return np.log1p(values)
        logged = values.copy()
        np.log1p(logged.data, out=logged.data)
        return logged


def _row_sums(values: Any) -> NDArray[np.float64]:
    data = values.data if hasattr(values, "indptr") else values
    if data.size and data.min() < 0:
        raise InputError(
            "rows with negative numbers have no sum to be brought to: normalise='length' "
            "(--normalise length) brings them to length 1"
        )
    return np.asarray(values.sum(axis=1, dtype=np.float64)).ravel()


def _lengths(values: Any) -> NDArray[np.float64]:
    if hasattr(values, "indptr"):
        squares = values.astype(np.float64).multiply(values)
        return np.asarray(np.sqrt(squares.sum(axis=1))).ravel()
    lengths: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", values, values, dtype=np.float64))
    return lengths


def _scale_rows(values: Any, factors: NDArray[np.float64]) -> Any:
    if not hasattr(values, "indptr"):
        return (values * factors[:, None]).astype(values.dtype)
    scaled = values.copy()
    scaled.data = (scaled.data * np.repeat(factors, np.diff(scaled.indptr))).astype(values.dtype)
    return scaled
