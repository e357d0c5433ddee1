"""Clusters split in two, all of them in one call where the kernels are compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cpu_fallback import compiled
from cpu_fallback.arguments import own_rows, values_of
from gpu_kmeans.backends.protocol import Matrix

__all__ = ["halve"]


def halve(
    rows: Matrix,
    squared_norms: NDArray[np.float64],
    clusters: list[NDArray[np.intp]],
    pairs: NDArray[np.intp],
    coins: list[NDArray[np.bool_]],
    blocks: int,
    passes: int,
    noise: float,
) -> tuple[list[NDArray[np.int32]], NDArray[np.float64]] | None:
    rows = own_rows(rows)
    if not compiled.can_take(rows):
        return None
    norms = values_of(squared_norms, rows.shape[0], "squared_norms")
    return compiled.split_in_two(rows, norms, clusters, pairs, coins, passes, noise)
