"""The nearest rows of each row, compiled: sparse ones by cosine, dense ones by their scores.

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

__all__ = ["nearest_rows", "nearest_scored"]

BLOCK = 16_384
"""Maximum number of rows that the others are compared with at a time."""
ROWS_OF_A_TASK = 64
"""Number of rows that a thread compares at a time."""
AT_A_LOOK = 4
"""Number of vectors of scores that are looked at together, as in kernels/rows.c."""
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


def nearest_scored(
    rows: NDArray[np.float64],
    scores: NDArray[Any],
    start: int,
    first: int,
    offset: NDArray[np.float64],
    slack: NDArray[np.float64],
    by_distance: bool,
    nearest: NDArray[np.int32],
    nearness: NDArray[np.float64],
) -> None:
    """Keep the nearest of the rows from ``start`` on among those from ``first`` on.

    ``scores`` say how near they are: the product of rows of length 1, or minus the squared
    distance of rows, plus the ``offset`` of a row, off by its ``slack`` at most.
    """
    n, height = scores.shape
    kernel = function("nearest_scored", LINE_BYTES, scores.dtype)
    kernel(
        *(threads.count(), n, start, first, height, rows.shape[1], nearest.shape[1], by_distance),
        *addresses((rows, offset, slack, scores, nearest, nearness)),
    )
