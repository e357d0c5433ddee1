"""superkmeans 0.2: dense k-means with pruning by random rotation."""

from __future__ import annotations

from typing import Any

from bench.contestants.base import GIVEN_ITERATIONS, Contestant, Fit, threads

__all__ = ["SuperKMeans"]

ALL_ROWS = 2**31 - 1


class SuperKMeans(Contestant):
    name = "superkmeans"
    title = "superkmeans"
    needs = ("superkmeans",)
    # Dense rows only: it rotates them by a features x features matrix, which nobody would do
    # with the tens of thousands of features of texts.
    rows = "dense"
    stops = f"stops when its centroids rest, at most {GIVEN_ITERATIONS} iterations"
    remark = (
        "takes no start, so its iterations begin elsewhere; its pruning is not exact; "
        "sampling and the hierarchical mode are switched off, so that it sees all rows"
    )

    def prepare(self, rows: Any) -> Any:
        return rows

    def iterate(self, rows: Any, k: int, start: Any, iterations: int) -> Fit:
        return _fit(rows, k, seed=0, iters=iterations, early_termination=False)

    def converge(
        self,
        rows: Any,
        k: int,
        seed: int,
        *,
        limit: int | None = None,
        stop_at: float | None = None,
    ) -> Fit:
        return _fit(rows, k, seed=seed, iters=GIVEN_ITERATIONS if limit is None else limit)


def _fit(rows: Any, k: int, **arguments: Any) -> Fit:
    import superkmeans

    kmeans = superkmeans.SuperKMeans(
        k,
        rows.shape[1],
        hierarchical=False,
        sampling_fraction=1.0,
        max_points_per_cluster=ALL_ROWS,
        n_threads=threads(),
        **arguments,
    )
    centroids = kmeans.train(rows)
    return Fit(kmeans.assign(rows, centroids), len(kmeans.iteration_stats))
