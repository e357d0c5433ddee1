"""The GPU backend: cuDF, cuML and CuPy behind the protocol's verbs.

Each verb lives in the module named for its subject, as in :mod:`cpu_fallback`; a module, and
with it the library that it wraps, is imported when its first verb is used. Only the modules of
this package import GPU libraries, and only :mod:`gpu_kmeans.backends.select` imports this package,
once its probe has found a device.

Not yet run on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import (
    Assignment,
    Clusters,
    Drift,
    FloatArray,
    Frame,
    IntArray,
    JoinCounts,
    Matrix,
    NamesRead,
    TokenRules,
)
from gpu_kmeans.cuda.error_translation import telling
from gpu_kmeans.features.weighting import Weighting

__all__ = ["GpuBackend"]


class GpuBackend:
    """Implements :class:`gpu_kmeans.backends.protocol.Backend`; see there for each verb.

    Every verb raises ``OutOfDeviceMemory`` where the device has no room for it.
    """

    name = "gpu"
    updates_bounds = False  # not measured yet, and it works on the host, too

    def __init__(self) -> None:
        from gpu_kmeans.cuda import device_memory as blocks

        blocks.share_pool()

    def read_table(
        self,
        path: Path,
        columns: Sequence[str],
        optional: Sequence[str],
        encoding: str | None = None,
    ) -> Frame:
        from gpu_kmeans.cuda import frames

        return frames.read_table(path, columns, optional, encoding)

    def join(self, left: Frame, right: Frame, key: str) -> tuple[Frame, JoinCounts]:
        from gpu_kmeans.cuda import frames

        return frames.join(left, right, key)

    def names_in_lists(self, frame: Frame, column: str, job: str | None) -> NamesRead | None:
        from gpu_kmeans.cuda import lists

        return lists.names_in_lists(frame, column, job)

    def count_terms(
        self, texts: Any, rules: TokenRules, vocabulary: Sequence[str] | None
    ) -> tuple[list[str], Matrix]:
        from gpu_kmeans.cuda import text

        return text.count_terms(texts, rules, vocabulary)

    def tfidf_transform(
        self, counts: Matrix, idf: FloatArray | None, weighting: Weighting
    ) -> Matrix:
        from gpu_kmeans.cuda import text

        return text.tfidf_transform(counts, idf, weighting)

    def matrix(self, rows: Any) -> Matrix:
        from gpu_kmeans.cuda import rows as verbs

        return verbs.matrix(rows)

    def squared_norms(self, rows: Matrix) -> NDArray[np.float64]:
        from gpu_kmeans.cuda import rows as verbs

        return verbs.squared_norms(rows)

    def project(self, rows: Matrix, directions: NDArray[Any]) -> Matrix:
        from gpu_kmeans.cuda import rows as verbs

        return verbs.project(rows, directions)

    def transpose(self, rows: Matrix) -> Matrix:
        from gpu_kmeans.cuda import rows as verbs

        return verbs.transpose(rows)

    def inner_products(self, left: Matrix, right: Matrix) -> NDArray[np.float64]:
        from gpu_kmeans.cuda import rows as verbs

        return verbs.inner_products(left, right)

    def dense_kmeans(
        self,
        rows: Matrix,
        init: NDArray[Any],
        max_iter: int,
        weight: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.int32], float]:
        from gpu_kmeans.cuda import dense

        return dense.dense_kmeans(rows, init, max_iter, weight)

    def clusters_from(self, centroids: NDArray[Any], dtype: Any) -> Clusters:
        from gpu_kmeans.cuda import rows as verbs

        return verbs.clusters_from(centroids, dtype)

    def cluster_sums(
        self,
        rows: Matrix,
        labels: NDArray[np.int32],
        k: int,
        weight: NDArray[np.float64] | None = None,
        into: Clusters | None = None,
        exact: bool = False,
    ) -> Clusters:
        from gpu_kmeans.cuda import rows as verbs

        return verbs.cluster_sums(rows, labels, k, weight, into, exact)

    def assign(
        self,
        rows: Matrix,
        clusters: Clusters,
        labels: NDArray[np.int32] | None = None,
        weight: NDArray[np.float64] | None = None,
        squared_norms: NDArray[np.float64] | None = None,
        second: bool = False,
        which: NDArray[np.int64] | None = None,
    ) -> Assignment:
        from gpu_kmeans.cuda import rows as verbs

        return verbs.assign(rows, clusters, labels, weight, squared_norms, second, which)

    def update_bounds(
        self, rows: Matrix, found: Assignment, drift: Drift, rounding_error: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
        from gpu_kmeans.cuda import rows as verbs

        return verbs.update_bounds(rows, found, drift, rounding_error)

    def move(
        self,
        clusters: Clusters,
        rows: Matrix,
        which: IntArray,
        source: NDArray[np.int32],
        target: NDArray[np.int32],
        weight: NDArray[np.float64] | None = None,
    ) -> None:
        from gpu_kmeans.cuda import rows as verbs

        verbs.move(clusters, rows, which, source, target, weight)

    def distances(
        self, rows: Matrix, centroids: NDArray[Any], labels: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        from gpu_kmeans.cuda import rows as verbs

        return verbs.distances(rows, centroids, labels)

    def centroids(self, clusters: Clusters) -> NDArray[Any]:
        from gpu_kmeans.cuda import rows as verbs

        return verbs.centroids(clusters)

    def centroid_shift(self, old: Clusters, new: Clusters) -> float:
        from gpu_kmeans.cuda import rows as verbs

        return verbs.centroid_shift(old, new)

    def to_host(self, value: Any) -> Any:
        if hasattr(value, "columns") and hasattr(value, "dtypes"):
            from gpu_kmeans.cuda import frames

            return frames.to_arrow(value)
        from gpu_kmeans.cuda import rows as verbs

        return verbs.to_host(value)


for _name, _verb in [*vars(GpuBackend).items()]:
    if callable(_verb) and not _name.startswith("_"):
        setattr(GpuBackend, _name, telling(_verb))
