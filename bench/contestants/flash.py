"""flash-kmeans: dense k-means by Triton kernels; not yet run on a GPU from here."""

from __future__ import annotations

from typing import Any

from bench.contestants.base import GIVEN_ITERATIONS, CannotRun, Contestant, Fit

__all__ = ["FlashKMeans"]


class FlashKMeans(Contestant):
    name = "flash-kmeans"
    title = "flash-kmeans"
    needs = ("flash_kmeans", "torch")
    device = "gpu"
    rows = "dense"
    stops = f"its default tolerance is 0: told to do at most {GIVEN_ITERATIONS} iterations"
    remark = "the rows are on the device before the clock starts; starts from random rows"

    def prepare(self, rows: Any) -> Any:
        import torch

        if not torch.cuda.is_available():
            raise CannotRun("torch finds no CUDA device")
        return torch.from_numpy(rows).cuda()[None]

    def iterate(self, rows: Any, k: int, start: Any, iterations: int) -> Fit:
        import torch

        init = torch.from_numpy(start).cuda()[None]
        # One more, as it ends with an update and the others end with an assignment.
        fit = _fit(rows, k, max_iters=iterations + 1, tol=-1.0, init_centroids=init)
        return Fit(fit.labels, iterations)

    def converge(
        self,
        rows: Any,
        k: int,
        seed: int,
        *,
        limit: int | None = None,
        stop_at: float | None = None,
    ) -> Fit:
        import torch

        torch.manual_seed(seed)
        return _fit(rows, k, max_iters=GIVEN_ITERATIONS if limit is None else limit)


def _fit(rows: Any, k: int, **arguments: Any) -> Fit:
    from flash_kmeans import batch_kmeans_Euclid

    labels, _, n_iter = batch_kmeans_Euclid(rows, k, **arguments)
    return Fit(labels[0].cpu().numpy(), n_iter)
