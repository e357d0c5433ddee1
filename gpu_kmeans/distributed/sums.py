"""Sums of clusters that the client and the workers hold alike."""

from __future__ import annotations

import itertools
import math
import weakref

import numpy as np

from gpu_kmeans.backends.protocol import Clusters
from gpu_kmeans.distributed.pool import Pool, SharedSums
from gpu_kmeans.distributed.worker import Base

__all__ = ["DaskSums", "unit_of"]

BITS = 61
"""Number of bits that the largest sum takes as a multiple of the unit."""

_NUMBERS = itertools.count()


class DaskSums:
    """Sums as ``Clusters`` has them, shape (n_features, k), in the client's backend's own layout.

    ``local`` are the client's; its weights and squared norms are nobody's.
    """

    def __init__(self, local: Clusters, base: Base) -> None:
        self.local = local.sums
        self.shared = SharedSums(next(_NUMBERS), base)
        self.shape = local.sums.shape
        self.dtype = local.sums.dtype
        self._pools: list[weakref.ref[Pool]] = []
        weakref.finalize(self, _let_go, self._pools, self.shared.number)

    def used_in(self, pool: Pool) -> SharedSums:
        """Note that workers of a pool hold them, too, to be told when nobody needs them."""
        if all(other() is not pool for other in self._pools):
            self._pools.append(weakref.ref(pool))
        return self.shared


def _let_go(pools: list[weakref.ref[Pool]], number: int) -> None:
    for reference in pools:
        pool = reference()
        if pool is not None:
            pool.let_go(sums=number)


def unit_of(largest: float, total_weight: float) -> float:
    """Power of two of which whole multiples hold all sums of values up to ``largest``.

    Of n rows that count once, a value is rounded to 1 / (2^60 n) of the largest one.
    """
    bound = max(largest, np.finfo(np.float64).tiny) * max(total_weight, 1.0)
    return math.ldexp(1.0, max(math.frexp(bound)[1] - BITS, -1000))
