"""Encoders: columns of a table become rows of numbers, and clusters of rows become words again.

An encoder learns from columns what it needs to encode new ones the same way, says what each
feature is called, and explains what sets clusters apart in the words of its columns. A new kind
of column is a new encoder, and a line in :data:`ENCODERS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Matrix

__all__ = [
    "DIRECTIONS",
    "ENCODERS",
    "Columns",
    "Encoder",
    "Reason",
    "State",
    "encoder_from_state",
    "group_means",
    "largest_first",
]

Columns: TypeAlias = Mapping[str, Any]
"""Cells of the columns by their names: what they are, each encoder says."""
State: TypeAlias = tuple[dict[str, Any], dict[str, NDArray[Any]]]
"""Parameters that JSON can hold, and arrays by name."""

ENCODERS = {
    "text": "text_encoder:TextEncoder",
    "numbers": "numbers:NumbersEncoder",
    "categories": "categories:CategoriesEncoder",
    "matrix": "matrix:MatrixEncoder",
}
"""Module and class of every kind of encoder."""

DIRECTIONS = 100
"""Number of directions that texts are projected onto where nothing else is asked for; of fewer
rows or terms, as many as these have."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that sets a cluster apart.

    Attributes
    ----------
    kind : {"term", "number", "category", "feature"}
    column : str
        Column of the table that it is about; ``""`` for terms and features of a matrix.
    name : str
        The term, the value of the category, or the name of the feature.
    mean, overall : float
        Of the cluster's items, and of all items in clusters: the mean weight of a term, the mean
        of a number in its column's unit, the share of the items that have a category's value.
    deviation : float
        ``mean - overall`` in standard deviations of all items (of robust ones, where the column is
        scaled so; after the logarithm, where it is taken).
    median : float or None
        Of the cluster's items, for numbers.
    """

    kind: Literal["term", "number", "category", "feature"]
    column: str
    name: str
    mean: float
    overall: float
    deviation: float
    median: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain text and numbers."""
        return asdict(self)


class Encoder(ABC):
    """Turns columns into rows of features.

    Attributes
    ----------
    kind : str
        Its name in :data:`ENCODERS`.
    columns : tuple of str
        Names of the columns that it reads.
    notes : list of str
        What a reader of the results should know about the fitted columns, in sentences.
    """

    kind: ClassVar[str]
    columns: tuple[str, ...]
    notes: list[str]

    @abstractmethod
    def fit_transform(self, columns: Columns, backend: Backend) -> Matrix:
        """Learn from columns of n cells; return their rows, shape (n, n_features).

        The rows are the backend's, or the host's: CSR or dense.

        Raises
        ------
        InputError
            A cell cannot be used; its row and column are named.
        """

    @abstractmethod
    def transform(self, columns: Columns, backend: Backend) -> Matrix:
        """Return rows of new columns, encoded as those of the fit were."""

    @property
    @abstractmethod
    def feature_names(self) -> list[str]:
        """Names of the features, as many as the rows have columns."""

    @abstractmethod
    def reasons(
        self, columns: Columns, rows: Any, labels: NDArray[np.int32], k: int, limit: int
    ) -> list[list[Reason]]:
        """Explain each of ``k`` clusters with at most ``limit`` reasons, the strongest first.

        Parameters
        ----------
        columns : mapping
            Cells of the n items in clusters.
        rows : CSR of SciPy, or ndarray, of shape (n, n_features)
            Their rows of this encoder, on the host.
        labels : ndarray of shape (n,), int32
            From 0 to k - 1; a cluster without items has no reasons.
        """

    @abstractmethod
    def state(self) -> State:
        """Return what :meth:`from_state` needs: JSON's types, and arrays."""

    @classmethod
    @abstractmethod
    def from_state(cls, params: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Restore a fitted encoder.

        Raises
        ------
        KeyError, TypeError, ValueError
            These are not the state of such an encoder.
        """


def encoder_class(kind: str) -> type[Encoder]:
    """Return the class of a kind of encoder; ``KeyError`` for an unknown one."""
    module, _, name = ENCODERS[kind].partition(":")
    encoder: type[Encoder] = getattr(import_module(f"gpu_kmeans.features.{module}"), name)
    return encoder


def encoder_from_state(
    kind: str, params: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> Encoder:
    """Restore a fitted encoder of any kind; errors are those of :meth:`Encoder.from_state`."""
    return encoder_class(kind).from_state(params, arrays)


def group_means(rows: Any, labels: NDArray[np.int32], k: int) -> NDArray[np.float64]:
    """Return the mean row of each label, shape (k, n_features); zeros where there is none.

    Parameters
    ----------
    rows : CSR of SciPy or ndarray of shape (n, n_features)
    labels : ndarray of shape (n,), int32
    """
    from scipy.sparse import csr_matrix

    n = len(labels)
    sizes = np.maximum(np.bincount(labels, minlength=k), 1)
    members = csr_matrix((np.ones(n), (labels, np.arange(n))), shape=(k, n))
    sums = members @ rows
    dense = sums.toarray() if hasattr(sums, "toarray") else np.asarray(sums)
    means: NDArray[np.float64] = dense.astype(np.float64, copy=False) / sizes[:, None]
    return means


def largest_first(scores: NDArray[np.floating[Any]], limit: int) -> list[int]:
    """Return positions of the ``limit`` largest scores above 0, ties in order of position."""
    positive = np.flatnonzero(scores > 0)
    order = np.argsort(-scores[positive], kind="stable")[:limit]
    return [int(position) for position in positive[order]]
