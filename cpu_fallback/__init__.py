"""The CPU backend: pandas, Arrow, SciPy and FAISS behind the protocol's verbs.

Each verb lives in the module named for its subject; a module, and with it the library that
it wraps, is imported when its first verb is used, so that a program pays for what it uses.
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
from gpu_kmeans.features.weighting import Weighting

__all__ = ["CpuBackend"]


class CpuBackend:
    """Implements :class:`gpu_kmeans.backends.protocol.Backend`; see there for each verb."""

    name = "cpu"
    updates_bounds = True

    def read_table(
        self,
        path: Path,
        columns: Sequence[str],
        optional: Sequence[str],
        encoding: str | None = None,
    ) -> Frame:
        from cpu_fallback import frames

        return frames.read_table(path, columns, optional, encoding)

    def join(self, left: Frame, right: Frame, key: str) -> tuple[Frame, JoinCounts]:
        from cpu_fallback import frames

        return frames.join(left, right, key)

    def names_in_lists(self, frame: Frame, column: str, job: str | None) -> NamesRead | None:
        return None  # the cells are on the host already

    def count_terms(
        self, texts: Any, rules: TokenRules, vocabulary: Sequence[str] | None
    ) -> tuple[list[str], Matrix]:
        from cpu_fallback import text

        return text.count_terms(texts, rules, vocabulary)

    def tfidf_transform(
        self, counts: Matrix, idf: FloatArray | None, weighting: Weighting
    ) -> Matrix:
        from cpu_fallback import text

        return text.tfidf_transform(counts, idf, weighting)

    def matrix(self, rows: Any) -> Matrix:
        from cpu_fallback import rows as verbs

        return verbs.matrix(rows)

    def squared_norms(self, rows: Matrix) -> NDArray[np.float64]:
        from cpu_fallback import rows as verbs

        return verbs.squared_norms(rows)

    def project(self, rows: Matrix, directions: NDArray[Any]) -> Matrix:
        from cpu_fallback import rows as verbs

        return verbs.project(rows, directions)

    def transpose(self, rows: Matrix) -> Matrix:
        from cpu_fallback import rows as verbs

        return verbs.transpose(rows)

    def inner_products(self, left: Matrix, right: Matrix) -> NDArray[np.float64]:
        from cpu_fallback import rows as verbs

        return verbs.inner_products(left, right)

    def dense_kmeans(
        self,
        rows: Matrix,
        init: NDArray[Any],
        max_iter: int,
        weight: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.int32], float]:
        from cpu_fallback import dense

        return dense.dense_kmeans(rows, init, max_iter, weight)

    def clusters_from(self, centroids: NDArray[Any], dtype: Any) -> Clusters:
        from cpu_fallback import rows as verbs

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
        from cpu_fallback import rows as verbs

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
        from cpu_fallback import rows as verbs

        return verbs.assign(rows, clusters, labels, weight, squared_norms, second, which)

    def update_bounds(
        self, rows: Matrix, found: Assignment, drift: Drift, rounding_error: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
        from cpu_fallback import rows as verbs

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
        from cpu_fallback import rows as verbs

        verbs.move(clusters, rows, which, source, target, weight)

    def distances(
        self, rows: Matrix, centroids: NDArray[Any], labels: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        from cpu_fallback import rows as verbs

        return verbs.distances(rows, centroids, labels)

    def centroids(self, clusters: Clusters) -> NDArray[Any]:
        from cpu_fallback import rows as verbs

        return verbs.centroids(clusters)

    def centroid_shift(self, old: Clusters, new: Clusters) -> float:
        from cpu_fallback import rows as verbs

        return verbs.centroid_shift(old, new)

    def to_host(self, value: Any) -> Any:
        if hasattr(value, "columns") and hasattr(value, "dtypes"):
            from cpu_fallback import frames

            return frames.to_arrow(value)
        if hasattr(value, "dense"):
            return value.dense()
        return value
