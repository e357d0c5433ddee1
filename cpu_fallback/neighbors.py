"""The verb that compares rows with each other: compiled, or SciPy's and NumPy's products.

What is near is told by numbers in float64, summed in the order of the features: identical rows are
equally near, and ties go to the lower number, on both paths. Products in the rows' own precision,
by the kernels or by BLAS, only rule out what is certainly farther than the nearest so far.

Memory beside the rows: a float64 copy of their values and two numbers for each neighbour; compiled,
one block of rows by feature, and for each thread a number for each feature; with
SciPy, a few blocks of about :data:`SCORES` float64 scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cpu_fallback import compiled
from cpu_fallback.arguments import own_rows
from gpu_kmeans.backends.protocol import Matrix, is_sparse
from gpu_kmeans.clustering.nearness import check_count, scaled_values, unit_values
from gpu_kmeans.forking import product

__all__ = ["neighbors"]

SCORES = 4_000_000
"""Number of scores that are formed at once without a compiler."""


def neighbors(
    rows: Matrix, count: int, metric: Literal["cosine", "euclidean"] = "cosine"
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    rows = own_rows(rows)
    check_count(rows, count, metric)
    n = rows.shape[0]
    nearest = np.full((n, count), -1, np.int32)
    nearness = np.full((n, count), -np.inf)
    if is_sparse(rows):
        _of_sparse(rows, nearest, nearness)
        return nearest, nearness
    if metric == "cosine":
        _of_dense(unit_values(rows), rows.dtype, False, nearest, nearness)
        return nearest, nearness
    values, scale = scaled_values(rows)
    _of_dense(values, rows.dtype, True, nearest, nearness)
    return nearest, np.sqrt(-nearness) * scale


def _of_sparse(rows: Matrix, nearest: NDArray[np.int32], nearness: NDArray[np.float64]) -> None:
    values = unit_values(rows)
    if compiled.can_take(rows):
        return compiled.nearest_rows(rows, values, nearest, nearness)
    unit = sparse.csr_array((values, rows.indices, rows.indptr), shape=rows.shape)
    turned = unit.T.tocsr()
    for part in _blocks(len(nearest), len(nearest)):
        scores = (unit[part] @ turned).toarray().clip(-1, 1)
        for row, of_row in zip(range(part.start, part.stop), scores, strict=True):
            of_row[row] = -np.inf
            _keep(_reaching(of_row, nearest.shape[1]), of_row, nearest[row], nearness[row])


def _of_dense(
    values: NDArray[np.float64],
    dtype: Any,
    by_distance: bool,
    nearest: NDArray[np.int32],
    nearness: NDArray[np.float64],
) -> None:
    """Compare rows of length 1 by their products, or any by minus their squared distances."""
    n, width = values.shape
    # Distances are the same from any origin, and products near the mean lose the least.
    near = (values - values.mean(axis=0) if by_distance else values).astype(dtype)
    squares = np.square(near.astype(np.float64)).sum(axis=1)
    # What rounding takes from a sum of products: no more than of the lengths of both rows.
    slack = float(np.finfo(dtype).eps) * (width + 16.0)
    if by_distance:
        offset, slacks = squares, slack * (np.sqrt(squares) + np.sqrt(squares.max())) ** 2
    else:
        offset, slacks = np.zeros(n), np.full(n, slack)

    if compiled.can_take(values):
        bias = (-squares if by_distance else np.zeros(n)).astype(dtype)
        return compiled.nearest_dense_rows(
            values, near, bias, offset, slacks, by_distance, nearest, nearness
        )
    compare = _minus_squares if by_distance else _products
    for part in _blocks(n, n):
        scores: NDArray[Any] = product(near[part], near.T)
        if by_distance:
            scores *= 2
            scores -= squares.astype(dtype)
        for row, of_row in zip(range(part.start, part.stop), scores, strict=True):
            of_row[row] = -np.inf
            chosen = _reaching(of_row, nearest.shape[1], 2 * float(slacks[row]))
            exact = np.full(n, -np.inf)
            exact[chosen] = compare(values[row], values[chosen])
            _keep(chosen, exact, nearest[row], nearness[row])


def _products(row: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    total: NDArray[np.float64] = np.einsum("j,ij->i", row, others)
    return total.clip(-1, 1)


def _minus_squares(row: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    difference = others - row
    total: NDArray[np.float64] = np.einsum("ij,ij->i", difference, difference)
    return -total


def _reaching(scores: NDArray[Any], count: int, slack: float = 0.0) -> NDArray[np.intp]:
    """Return the rows whose score is no less than the ``count``-th largest, but for ``slack``."""
    least = np.partition(scores, len(scores) - count)[len(scores) - count]
    return np.flatnonzero(scores >= least - slack)


def _keep(
    rows: NDArray[np.intp],
    nearness: NDArray[np.float64],
    nearest: NDArray[np.int32],
    best: NDArray[np.float64],
) -> None:
    """Keep the nearest of some rows, in order; of those as near, the first."""
    order = np.argsort(-nearness[rows], kind="stable")[: len(best)]
    nearest[:] = rows[order]
    best[:] = nearness[rows[order]]


def _blocks(n: int, width: int) -> Iterator[slice]:
    return _slices(n, max(1, SCORES // width))


def _slices(n: int, step: int) -> Iterator[slice]:
    return (slice(start, min(n, start + step)) for start in range(0, n, step))
