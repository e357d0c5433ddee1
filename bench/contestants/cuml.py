"""cuML's dense k-means; not yet run on a GPU from here."""

from __future__ import annotations

from typing import Any

from bench.contestants.base import Contestant, Fit, dense

__all__ = ["Cuml"]


class Cuml(Contestant):
    name = "cuml"
    title = "cuML, dense"
    needs = ("cuml", "cupy")
    device = "gpu"
    rows = "densified"
    remark = "the rows are on the device before the clock starts"

    def obstacle(self) -> str | None:
        from gpu_kmeans import why_not_gpu

        return super().obstacle() or why_not_gpu()

    def prepare(self, rows: Any) -> Any:
        import cupy

        return cupy.asarray(dense(rows))

    def iterate(self, rows: Any, k: int, start: Any, iterations: int) -> Fit:
        import numpy as np

        # It refuses a tolerance of 0.
        tiny = float(np.finfo(np.float32).tiny)
        return _fit(rows, k, init=start, n_init=1, max_iter=iterations, tol=tiny)

    def converge(
        self,
        rows: Any,
        k: int,
        seed: int,
        *,
        limit: int | None = None,
        stop_at: float | None = None,
    ) -> Fit:
        return _fit(rows, k, n_init=1, random_state=seed, max_iter=300 if limit is None else limit)


def _fit(rows: Any, k: int, **arguments: Any) -> Fit:
    import cupy
    from cuml.cluster import KMeans

    fit = KMeans(n_clusters=k, output_type="cupy", **arguments).fit(rows)
    return Fit(cupy.asnumpy(fit.labels_), int(fit.n_iter_))
