"""The CPU backend: pandas, Arrow, SciPy and FAISS behind the protocol's verbs.

Each verb lives in the module named for its subject; see
:mod:`gpu_kmeans.backends.delegation` for which, and for when it is imported.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.delegation import DelegatingBackend
from gpu_kmeans.backends.protocol import Frame, Iterations, Matrix, NamesRead

__all__ = ["CpuBackend"]


class CpuBackend(DelegatingBackend):
    """Implements :class:`gpu_kmeans.backends.protocol.Backend`; see there for each verb."""

    package = __name__
    name = "cpu"
    updates_bounds = True

    @staticmethod
    def instructions() -> str:
        """Name of the instructions that the compiled kernels use; ``"none"`` without kernels."""
        from cpu_fallback.compiled.library import instructions_in_use

        return instructions_in_use()

    def names_in_lists(self, frame: Frame, column: str, job: str | None) -> NamesRead | None:
        """None: the cells are on the host already."""
        return None

    def iterations(
        self, rows: Matrix, squared_norms: NDArray[np.float64], k: int
    ) -> Iterations | None:
        """None: labels are on the host already."""
        return None

    def dense_regions(
        self, rows: Matrix, least: int, samples: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]] | None:
        """None: scikit-learn does it, which the base has no need of."""
        return None
