"""The nearest rows of each row, compiled.

Sparse rows are compared with a block of them at a time, which stands by feature: a row's scores
with the block stay in a core's cache while its features go by. Frequent features, which make most
of the work, are whole columns that are multiplied as vectors while the scores are looked at; rare
ones are lists. Scores have the rows' own precision; what they do not rule out for certain is
compared in double.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cpu_fallback import threads
from cpu_fallback.compiled.library import LINE_BYTES, addresses, aligned, function, vector_bytes
from gpu_kmeans.backends.protocol import Matrix

__all__ = ["nearest_dense_rows", "nearest_rows"]

BLOCK = 16_384
"""Maximum number of rows that the others are compared with at a time."""
ROWS_OF_A_TASK = 64
"""Number of rows that a thread compares at a time."""
AT_A_LOOK = 4
"""Number of vectors of scores that are looked at together, as in kernels/rows.c."""
LEAST_HEIGHT, BYTES_IN_CACHE = 256, 1 << 19
"""Minimum number of dense rows that the others are compared with at a time, and bytes of them that
stay in a core's cache."""
FREQUENT, MOST_FREQUENT = 8, 512
"""A feature is frequent that more than one in so many rows of a block has; and maximum number of
such features."""


def nearest_rows(
    rows: Matrix, values: NDArray[np.float64], nearest: NDArray[np.int32], similarity: Any
) -> None:
    """Fill in the nearest of all rows, which have length 1 or 0 with these values.

    ``nearest`` and ``similarity``, shape (n, count), are -1 and minus infinity before.
    """
    (n, n_features), count, crew = rows.shape, nearest.shape[1], threads.count()
    kernel = function("nearest_rows", LINE_BYTES, rows.dtype)
    lanes = vector_bytes(LINE_BYTES, rows.dtype) // rows.dtype.itemsize
    look = AT_A_LOOK * lanes
    scores = aligned(np.zeros, (crew, -(-min(BLOCK, n) // look) * look), rows.dtype)
    scores[:] = -0.0
    scattered = np.zeros((crew, n_features))
    for first in range(0, n, BLOCK):
        height = min(BLOCK, n - first)
        room = -(-height // look) * look
        block = _Block(rows, values, first, height, room)
        kernel(
            *(crew, n, n_features, first, height, room, count, ROWS_OF_A_TASK),
            *addresses((rows.indptr, rows.indices, values, *block.arrays)),
            *addresses((scores, scattered, nearest, similarity)),
        )


class _Block:
    """Some rows by feature: postings of most, whole columns of frequent ones."""

    def __init__(
        self, rows: Matrix, values: NDArray[np.float64], first: int, height: int, room: int
    ) -> None:
        begin, end = rows.indptr[first], rows.indptr[first + height]
        part = sparse.csr_array(
            (
                values[begin:end].astype(rows.dtype),
                rows.indices[begin:end],
                rows.indptr[first : first + height + 1] - begin,
            ),
            shape=(height, rows.shape[1]),
        ).tocsc()
        length = np.diff(part.indptr)
        frequent = np.flatnonzero(length * FREQUENT > height)
        if len(frequent) > MOST_FREQUENT:
            frequent = np.sort(np.argpartition(-length, MOST_FREQUENT)[:MOST_FREQUENT])
        place = np.full(rows.shape[1], -1, np.int32)
        place[frequent] = np.arange(len(frequent), dtype=np.int32)
        columns = aligned(np.zeros, (max(1, len(frequent)), room), rows.dtype)
        is_rare = np.ones(part.nnz, bool)
        for column, feature in zip(columns, frequent, strict=False):
            span = slice(part.indptr[feature], part.indptr[feature + 1])
            column[part.indices[span]] = part.data[span]
            is_rare[span] = False
        length[frequent] = 0
        colptr = np.concatenate(([0], np.cumsum(length))).astype(np.int32)
        postings = part.indices[is_rare].astype(np.int32), part.data[is_rare]
        self.arrays = (place, colptr, *postings, columns)


def nearest_dense_rows(
    rows: NDArray[np.float64],
    near: NDArray[Any],
    bias: NDArray[Any],
    offset: NDArray[np.float64],
    slack: NDArray[np.float64],
    by_distance: bool,
    nearest: NDArray[np.int32],
    nearness: NDArray[np.float64],
) -> None:
    """Fill in the nearest of all dense rows, by minus squared distances or by products.

    The product of two rows of ``near``, twice where distances count, and the ``bias`` of the second
    are their nearness and the ``offset`` of the first, off by its ``slack`` at most.
    """
    (n, n_features), dtype = rows.shape, near.dtype
    kernel = function("nearest_dense_rows", LINE_BYTES, dtype)
    look = AT_A_LOOK * vector_bytes(LINE_BYTES, dtype) // dtype.itemsize
    fitting = BYTES_IN_CACHE // (n_features * dtype.itemsize)
    most = max(LEAST_HEIGHT, min(BLOCK, fitting // look * look))
    factors = np.ascontiguousarray(2 * near if by_distance else near)
    for first in range(0, n, most):
        height = min(most, n - first)
        room = -(-height // look) * look
        columns = aligned(np.zeros, (n_features, room), dtype)
        columns[:, :height] = near[first : first + height].T
        biases = aligned(np.zeros, (room,), dtype)
        biases[:height] = bias[first : first + height]
        kernel(
            *(threads.count(), n, n_features, first, height, room, nearest.shape[1]),
            *(ROWS_OF_A_TASK, by_distance),
            *addresses((rows, factors, columns, biases, offset, slack, nearest, nearness)),
        )
