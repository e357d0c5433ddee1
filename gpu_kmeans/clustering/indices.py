"""Indices of clusterings: how well two agree, and how far clusters lie apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "adjusted_rand",
    "contingency",
    "matched",
    "silhouettes",
    "squared_norms",
    "sums_of",
    "v_measure",
]

LEAST_DISTANCE = 1e-12
"""Distance below which two rows are equal but for rounding, which must not decide."""


def contingency(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many rows each pair of clusters shares.

    Parameters
    ----------
    one, other : ndarray of shape (n,), int
        Labels from 0; rows of a label below 0 in either count for nothing.

    Returns
    -------
    ndarray of shape (largest label of one + 1, of other + 1), int64
    """
    inside = (one >= 0) & (other >= 0)
    one, other = one[inside].astype(np.int64), other[inside].astype(np.int64)
    rows = int(one.max(initial=-1)) + 1
    columns = int(other.max(initial=-1)) + 1
    counts = np.bincount(one * columns + other, minlength=rows * columns)
    return counts.reshape(rows, columns)


def adjusted_rand(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the adjusted Rand index (Hubert and Arabie 1985): 1 for the same, 0 by chance."""
    table = contingency(one, other).astype(np.float64)
    n = table.sum()
    pairs = _pairs(table).sum()
    of_one, of_other = _pairs(table.sum(axis=1)).sum(), _pairs(table.sum(axis=0)).sum()
    total = _pairs(np.array(n))
    expected = of_one * of_other / total if total else 0.0
    most = (of_one + of_other) / 2
    return float((pairs - expected) / (most - expected)) if most != expected else 1.0


def v_measure(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the V-measure (Rosenberg and Hirschberg 2007), from 0 to 1.

    It is the mutual information of two clusterings, divided by their mean entropy.
    """
    table = contingency(one, other).astype(np.float64)
    n = table.sum()
    if not n:
        return 1.0
    shares = table / n
    of_one, of_other = shares.sum(axis=1), shares.sum(axis=0)
    entropies = _entropy(of_one) + _entropy(of_other)
    mutual = entropies - _entropy(shares.ravel())
    return float(np.clip(2 * mutual / entropies, 0.0, 1.0)) if entropies > 0 else 1.0


def matched(one: NDArray[Any], other: NDArray[Any]) -> dict[int, int]:
    """Match the clusters of two clusterings, one to one, so that most rows keep theirs.

    Returns
    -------
    dict of int to int
        Cluster of ``other`` by cluster of ``one``, for pairs that share rows.
    """
    from scipy.optimize import linear_sum_assignment

    table = contingency(one, other)
    rows, columns = linear_sum_assignment(-table)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return {row: column for row, column in pairs if table[row, column]}


def silhouettes(
    rows: Any,
    labels: NDArray[np.int32],
    sizes: NDArray[np.int64],
    sample: NDArray[np.intp],
    metric: str,
) -> NDArray[np.float64]:
    """Return silhouette coefficients (Rousseeuw 1987) of sampled rows, each against all rows.

    A row's mean distance to a cluster needs no other row: it is ``1 - x . sum / size`` for unit
    rows, and ``|x|^2 - 2 x . sum / size`` and the mean squared norm of the cluster's rows for
    squared distances. In its own cluster the row itself is left out, and the only row of a cluster
    has silhouette 0, as in scikit-learn.

    Parameters
    ----------
    rows : CSR of SciPy or ndarray of shape (n, n_features), float64
    labels : ndarray of shape (n,), int32
    sizes : ndarray of shape (k,)
        Rows of each cluster; two of them at least have some.
    sample : ndarray of int
    metric : {"cosine", "euclidean"}
        Distance of the cosine, or squared Euclidean distance.
    """
    offset = None
    if metric == "cosine":
        rows = _unit(rows)
    else:
        rows = rows if hasattr(rows, "indptr") else rows - rows.mean(axis=0)
        offset = np.bincount(labels, weights=squared_norms(rows), minlength=len(sizes))
    sums = sums_of(rows, labels, len(sizes))
    drawn, own = rows[sample], labels[sample]
    at = np.arange(len(sample))
    products = drawn @ sums.T  # sample x k
    products = products.toarray() if hasattr(products, "toarray") else np.asarray(products)
    squares = squared_norms(drawn)
    with np.errstate(divide="ignore", invalid="ignore"):
        if offset is None:
            distances = 1 - products / sizes
            inside = 1 - (products[at, own] - squares) / (sizes[own] - 1)
        else:
            totals = squares[:, None] * sizes - 2 * products + offset
            distances = totals / sizes
            inside = totals[at, own] / (sizes[own] - 1)
        distances[:, sizes == 0] = np.inf
        distances[at, own] = np.inf
        outside = distances.min(axis=1)
        inside, outside = (np.where(d < LEAST_DISTANCE, 0.0, d) for d in (inside, outside))
        values = (outside - inside) / np.maximum(inside, outside)
    values[(sizes[own] == 1) | np.isnan(values)] = 0.0
    return values


def sums_of(rows: Any, labels: NDArray[np.int32], k: int) -> Any:
    """Sum the rows of each cluster: CSR or dense as they are, of shape (k, n_features)."""
    from scipy.sparse import csr_matrix

    n = len(labels)
    return csr_matrix((np.ones(n), (labels, np.arange(n))), shape=(k, n)) @ rows


def squared_norms(rows: Any) -> NDArray[np.float64]:
    """Return the squared norm of each row, CSR or dense, shape (n,)."""
    squares = rows.multiply(rows) if hasattr(rows, "indptr") else np.square(rows)
    return np.asarray(squares.sum(axis=1)).ravel()


def _unit(rows: Any) -> Any:
    """Return the rows scaled to length 1; empty rows stay empty."""
    norms = np.sqrt(squared_norms(rows))
    factors = 1 / np.where(norms > 0, norms, 1.0)
    if not hasattr(rows, "indptr"):
        return rows * factors[:, None]
    from scipy.sparse import diags_array

    return (diags_array(factors) @ rows).tocsr()


def _pairs(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return counts * (counts - 1) / 2


def _entropy(shares: NDArray[np.float64]) -> float:
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum())
