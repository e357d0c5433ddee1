"""FAISS: dense k-means on all rows and as it comes, and the Python one for sparse rows."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from bench.contestants.base import GIVEN_ITERATIONS, Contestant, Fit, dense

__all__ = ["FaissDefault", "FaissDense", "FaissSparse"]

ALL_ROWS = 2**31 - 1


def _kernels() -> dict[str, str]:
    """The fastest of its BLAS's kernels that this processor can run.

    FAISS's wheel carries an OpenBLAS of 2021. Processors that it does not know it takes for such of
    2007, whose kernels are five times slower.
    """
    cpuinfo = Path("/proc/cpuinfo")
    flags = set(cpuinfo.read_text(encoding="utf-8").split()) if cpuinfo.exists() else set()
    known = {"avx512vl": "SkylakeX", "avx2": "Haswell"}
    return next(({"OPENBLAS_CORETYPE": name} for flag, name in known.items() if flag in flags), {})


class FaissDense(Contestant):
    name = "faiss-dense"
    title = "FAISS, all rows"
    needs = ("faiss",)
    rows = "densified"
    environment = _kernels()
    stops = f"has no stopping rule: told to do {GIVEN_ITERATIONS} iterations"
    remark = (
        "starts from random rows; max_points_per_centroid raised, so that it sees all rows; its "
        "OpenBLAS is told (OPENBLAS_CORETYPE) which kernels this processor can run, as it does not "
        "know processors that are younger than it is"
    )
    settings: ClassVar[dict[str, int]] = {"max_points_per_centroid": ALL_ROWS}
    default_iterations: ClassVar[int] = GIVEN_ITERATIONS

    def prepare(self, rows: Any) -> Any:
        return dense(rows)

    def iterate(self, rows: Any, k: int, start: Any, iterations: int) -> Fit:
        return self._fit(rows, k, iterations, seed=0, start=start)

    def converge(
        self,
        rows: Any,
        k: int,
        seed: int,
        *,
        limit: int | None = None,
        stop_at: float | None = None,
    ) -> Fit:
        return self._fit(rows, k, self.default_iterations if limit is None else limit, seed=seed)

    def _fit(self, rows: Any, k: int, niter: int, *, seed: int, start: Any = None) -> Fit:
        import faiss

        kmeans = faiss.Kmeans(
            rows.shape[1], k, niter=niter, seed=seed, min_points_per_centroid=1, **self.settings
        )
        kmeans.train(rows, init_centroids=start)
        _, labels = kmeans.assign(rows)
        return Fit(labels, niter)


class FaissDefault(FaissDense):
    name = "faiss-default"
    title = "FAISS, as it comes"
    questions = ("convergence", "target")
    subsamples = "trains on at most 256 rows a cluster, its default"
    stops = "does 25 iterations, its default"
    remark = ""
    settings: ClassVar[dict[str, int]] = {}
    default_iterations = 25


class FaissSparse(Contestant):
    """``faiss.contrib.clustering.kmeans`` with ``DatasetAssignSparse``."""

    name = "faiss-sparse"
    title = "faiss.contrib, sparse"
    needs = ("faiss",)
    stops = f"has no stopping rule: told to do {GIVEN_ITERATIONS} iterations"
    remark = "starts from random rows"

    def too_much(self, sparse: bool, shape: tuple[int, int], memory: float) -> str | None:
        return None if sparse else "takes sparse rows only"

    def prepare(self, rows: Any) -> Any:
        from scipy import sparse

        return sparse.csr_matrix(rows)  # its own check refuses the newer csr_array

    def iterate(self, rows: Any, k: int, start: Any, iterations: int) -> Fit:
        return self._fit(rows, k, iterations, seed=0, start=start)

    def converge(
        self,
        rows: Any,
        k: int,
        seed: int,
        *,
        limit: int | None = None,
        stop_at: float | None = None,
    ) -> Fit:
        return self._fit(rows, k, GIVEN_ITERATIONS if limit is None else limit, seed=seed)

    @staticmethod
    def _fit(rows: Any, k: int, niter: int, *, seed: int, start: Any = None) -> Fit:
        clustering: Any = import_module("faiss.contrib.clustering")

        class Rows(clustering.DatasetAssignSparse):  # type: ignore[misc]
            """It draws its start through this method: the way to hand it a given one."""

            def get_subset(self, indices: Any) -> Any:
                return super().get_subset(indices) if start is None else start

        data: Any = Rows(rows)
        centroids = clustering.kmeans(k, data, niter=niter, seed=seed, verbose=False)
        _, labels = data.perform_search(centroids)
        return Fit(labels, niter)
