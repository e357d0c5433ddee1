"""sparsekmeans (Dang et al., CIKM 2025): k-means on sparse rows by SuiteSparse:GraphBLAS."""

from __future__ import annotations

from typing import Any, ClassVar

from bench.contestants.base import Contestant, Fit, threads

__all__ = ["SparseElkan", "SparseLloyd"]


class SparseLloyd(Contestant):
    name = "sparsekmeans-lloyd"
    title = "sparsekmeans Lloyd"
    needs = ("sparsekmeans",)
    remark = "takes no start: a given one replaces its private drawing method; float64"
    algorithm: ClassVar[str] = "LloydKmeans"

    def too_much(self, sparse: bool, shape: tuple[int, int], memory: float) -> str | None:
        return None if sparse else "takes sparse rows only"

    def prepare(self, rows: Any) -> Any:
        import graphblas
        from scipy import sparse

        return graphblas.io.from_scipy_sparse(sparse.csr_matrix(rows).astype("float64"))

    def iterate(self, rows: Any, k: int, start: Any, iterations: int) -> Fit:
        # A negative tolerance is never reached: exactly so many iterations.
        return self._fit(rows, k, start=start, max_iter=iterations, tol=-1.0)

    def converge(
        self,
        rows: Any,
        k: int,
        seed: int,
        *,
        limit: int | None = None,
        stop_at: float | None = None,
    ) -> Fit:
        return self._fit(rows, k, random_state=seed, max_iter=300 if limit is None else limit)

    def _fit(self, rows: Any, k: int, *, start: Any = None, **arguments: Any) -> Fit:
        import graphblas
        from sparsekmeans import sparse_kmeans

        theirs = getattr(sparse_kmeans, self.algorithm)
        done = 0

        class Counted(theirs):  # type: ignore[misc, valid-type]
            def _initialize_centroids(self, X: Any) -> Any:
                if start is None:
                    return super()._initialize_centroids(X)
                return graphblas.Matrix.from_dense(start.astype("float64"), missing_value=0.0)

            def _update_centroids(self, X: Any) -> Any:
                nonlocal done
                done += 1
                return super()._update_centroids(X)

        # Left to itself it takes half of the cores.
        fit = Counted(n_clusters=k, n_threads=threads(), **arguments)
        fit.fit(rows)
        # Its labels belong to the centroids before the last; the others end with an assignment.
        return Fit(fit.predict(rows), done)


class SparseElkan(SparseLloyd):
    name = "sparsekmeans-elkan"
    title = "sparsekmeans Elkan"
    algorithm = "ElkanKmeans"
