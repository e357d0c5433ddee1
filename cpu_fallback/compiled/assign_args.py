"""Arguments of the kernels that assign rows, and arrays for their results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cpu_fallback.compiled.library import addresses, aligned
from gpu_kmeans.backends.protocol import Assignment

__all__ = ["AssignArgs"]


@dataclass(frozen=True, slots=True)
class AssignArgs:
    """The cheapest cluster of each row, its cost, and the next best's or the product with the own.

    Costs are ``(q - 2 P - w x2) / (size + w)``, in the dtype of the sums; ``w`` is 0 without
    labels. See :meth:`gpu_kmeans.backends.protocol.Backend.assign`.
    """

    result: Assignment
    of_clusters: NDArray[Any]
    of_rows: tuple[NDArray[Any] | None, ...]

    @classmethod
    def build(
        cls,
        n: int,
        width: int,
        dtype: Any,
        q: NDArray[Any],
        size: NDArray[Any],
        labels: NDArray[np.int32] | None,
        weight: NDArray[Any] | None,
        squared_norms: NDArray[Any] | None,
        second: bool,
    ) -> AssignArgs:
        """Build them for n rows; ``width`` is k, filled up with clusters that are never chosen."""
        k = len(q)
        # Where rows have weights, the kernel needs the size; otherwise the factor of the costs.
        numbers = aligned(np.empty, (2, width), dtype)
        numbers[0, k:], numbers[1, k:] = np.inf, 1
        numbers[0, :k] = q
        numbers[1, :k] = 1 / size if labels is None else 1 / (size + 1) if weight is None else size
        mine: tuple[NDArray[Any] | None, ...] = (None, None, None)
        if labels is not None and squared_norms is not None:
            w = None if weight is None else weight.astype(dtype)
            wx2 = squared_norms if weight is None else weight * squared_norms
            mine = (np.ascontiguousarray(labels, np.int32), w, wx2.astype(dtype))
        own = None if labels is None else np.zeros(n)
        room = Assignment(np.empty(n, np.int32), np.empty(n), np.empty(n) if second else None, own)
        return cls(room, numbers, mine)

    def inputs(self) -> list[int | None]:
        """Addresses of the arrays of clusters and of rows."""
        return addresses((self.of_clusters[0], self.of_clusters[1], *self.of_rows))

    def outputs(self) -> list[int | None]:
        """Addresses of the arrays that the kernel fills."""
        result = self.result
        return addresses((result.nearest, result.cost, result.second, result.own))
