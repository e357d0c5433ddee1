"""Rows of a model on the host: sparse ones by feature, dense ones as they are, and reduced ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.forking import product

if TYPE_CHECKING:
    from gpu_kmeans.features.svd import RandomizedSVD

__all__ = ["Postings", "Reduction", "Rows", "as_matrix", "distances_to", "group_sums"]

POSTINGS_AT_ONCE = 1 << 20
"""Number of non-zeros that are summed up at once: ``bincount`` lets no other thread run."""
NUMBERS_AT_ONCE = 1 << 22
"""Number of numbers of dense rows that are computed with at once, likewise."""


@dataclass(frozen=True, eq=False)
class Postings:
    """Sparse rows by feature (CSC), so that a query touches only the features it has.

    Attributes
    ----------
    indptr : ndarray of shape (n_features + 1,), int64
        The postings of feature ``j`` stand at ``indptr[j]:indptr[j + 1]``.
    rows : ndarray of shape (nnz,), int32
        Rows that have the feature, rising within a feature.
    values : ndarray of shape (nnz,), float32
    n_rows : int
    """

    indptr: NDArray[np.int64]
    rows: NDArray[np.int32]
    values: NDArray[np.float32]
    n_rows: int

    @classmethod
    def from_csr(cls, csr: Any) -> Self:
        """Reorder SciPy CSR rows of shape (n_rows, n_features)."""
        csc = csr.tocsc()
        csc.sum_duplicates()
        return cls(
            indptr=csc.indptr.astype(np.int64, copy=False),
            rows=csc.indices.astype(np.int32, copy=False),
            values=csc.data.astype(np.float32, copy=False),
            n_rows=int(csr.shape[0]),
        )

    @classmethod
    def from_dense(cls, rows: NDArray[Any]) -> Self:
        """Keep the numbers that are not 0 of dense rows, shape (n_rows, n_features)."""
        features, positions = np.nonzero(rows.T)
        counts = np.bincount(features, minlength=rows.shape[1])
        return cls(
            indptr=np.concatenate([[0], np.cumsum(counts)]),
            rows=positions.astype(np.int32),
            values=rows[positions, features].astype(np.float32),
            n_rows=len(rows),
        )

    @classmethod
    def empty(cls, n_rows: int) -> Self:
        """Return rows of no features."""
        nothing = np.empty(0, dtype=np.int32)
        return cls(np.zeros(1, dtype=np.int64), nothing, nothing.astype(np.float32), n_rows)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of features."""
        return self.n_rows, len(self.indptr) - 1

    @property
    def features(self) -> NDArray[np.intp]:
        """Feature of each posting, shape (nnz,)."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    def between(self, start: int, end: int) -> Postings:
        """Return the postings of the features from ``start`` to before ``end``, as their own."""
        if (start, end) == (0, len(self.indptr) - 1):
            return self
        first, last = int(self.indptr[start]), int(self.indptr[end])
        return Postings(
            self.indptr[start : end + 1] - first,
            self.rows[first:last],
            self.values[first:last],
            self.n_rows,
        )

    def row_sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Sum one value for each posting over the rows: shape (n_rows,).

        Some at a time: ``bincount`` lets no other thread run, and there may be millions.
        """
        sums = np.zeros(self.n_rows)
        for start in range(0, len(values), POSTINGS_AT_ONCE):
            part = slice(start, start + POSTINGS_AT_ONCE)
            sums += np.bincount(self.rows[part], weights=values[part], minlength=self.n_rows)
        return sums

    def to_csr(self) -> Any:
        """Return the rows as a SciPy ``csr_matrix`` of float32."""
        from scipy.sparse import csc_matrix

        return csc_matrix((self.values, self.rows, self.indptr), shape=self.shape).tocsr()


Rows: TypeAlias = Postings | NDArray[Any]


@dataclass(frozen=True, eq=False)
class Reduction:
    """Rows projected onto a few directions, in which the clusters were found.

    Attributes
    ----------
    components : ndarray of shape (n_components, n_features), float32 or float64
    mean : ndarray of shape (n_features,), float64, or None
        What rows are centered by, before they are projected.
    normalize : bool
        Whether projected rows are brought to length 1.
    rows : ndarray of shape (n, n_components)
        The items' own.
    """

    components: NDArray[Any]
    mean: NDArray[np.float64] | None
    normalize: bool
    rows: NDArray[Any]

    @classmethod
    def of(cls, svd: RandomizedSVD, rows: NDArray[Any]) -> Self:
        """Take over a fitted decomposition, and the rows that it made."""
        return cls(svd.components_, svd.mean_, bool(svd.normalize), rows)

    def project(self, rows: Any) -> NDArray[np.float64]:
        """Return projections of CSR or dense rows, shape (n, n_components)."""
        scores: NDArray[np.float64] = np.asarray(rows @ self.components.T.astype(np.float64))
        if self.mean is not None:
            scores = scores - product(self.components.astype(np.float64), self.mean)
        return self._normalized(scores)

    def project_sparse(
        self, indices: NDArray[np.int32], values: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Return the projection of one row of few features, shape (n_components,)."""
        components = self.components[:, indices].astype(np.float64)
        scores: NDArray[np.float64] = product(components, values.astype(np.float64))
        if self.mean is not None:
            scores = scores - product(self.components.astype(np.float64), self.mean)
        normalized: NDArray[np.float64] = self._normalized(scores[None, :])[0]
        return normalized

    def _normalized(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self.normalize:
            return scores
        lengths = np.sqrt(np.square(scores).sum(axis=1))
        normalized: NDArray[np.float64] = scores / np.where(lengths > 0, lengths, 1.0)[:, None]
        return normalized


def as_matrix(rows: Rows) -> Any:
    """Return rows as float64, CSR of SciPy or an array."""
    matrix = rows.to_csr() if isinstance(rows, Postings) else rows
    return matrix.astype(np.float64)


def distances_to(
    rows: Rows, centers: NDArray[Any], labels: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Return the distance of each row to the center of its label, shape (n,); NaN for a label < 0.

    Parameters
    ----------
    rows : Postings or ndarray of shape (n, n_features)
    centers : ndarray of shape (k, n_features)
    labels : ndarray of shape (n,), int32
    """
    distances = np.full(len(labels), np.nan)
    inside = labels >= 0
    if isinstance(rows, Postings):
        squares = rows.row_sums(np.square(rows.values, dtype=np.float64))
        norms = np.array([float(np.square(c, dtype=np.float64).sum()) for c in centers])
        squared = squares - 2 * own_products(rows, centers, labels) + norms[labels]
        distances[inside] = np.sqrt(np.maximum(0.0, squared[inside]))
        return distances
    step = max(1, NUMBERS_AT_ONCE // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        differences = rows[part].astype(np.float64) - centers[labels[part]]
        distances[part] = np.sqrt(np.einsum("ij,ij->i", differences, differences))
    distances[~inside] = np.nan
    return distances


def own_products(
    postings: Postings, centers: NDArray[Any], labels: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Return the product of each row with its label's center, shape (n,); 0 for a label < 0."""
    inside = labels[postings.rows] >= 0
    rows = postings.rows[inside]
    # `take` lets other threads run, and indexing does not.
    positions = labels.take(rows).astype(np.int64)
    positions *= centers.shape[1]
    positions += postings.features[inside]
    products = postings.values[inside] * centers.ravel().take(positions)
    sums = np.bincount(rows, weights=products, minlength=postings.n_rows)
    return sums.astype(np.float64, copy=False)


def group_sums(postings: Postings, labels: NDArray[np.int32], k: int) -> NDArray[np.float32]:
    """Return the sum of the rows of each label, shape (k, n_features); a label < 0 is left out."""
    n_features = len(postings.indptr) - 1
    sums = np.zeros((k, n_features), dtype=np.float32)
    owners, features = labels.take(postings.rows), postings.features
    for first, last in _blocks(k, n_features):
        mine = (owners >= first) & (owners < last)
        cells = (owners[mine] - first).astype(np.int64) * n_features + features[mine]
        size = (last - first) * n_features
        totals = np.bincount(cells, weights=postings.values[mine], minlength=size)
        sums[first:last] = totals.reshape(last - first, n_features)
    return sums


def _blocks(k: int, n_features: int) -> Iterator[tuple[int, int]]:
    step = max(1, NUMBERS_AT_ONCE // max(1, n_features))
    for first in range(0, k, step):
        yield first, min(k, first + step)
