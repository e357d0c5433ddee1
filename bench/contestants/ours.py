"""This package, on either backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from bench.contestants.base import Contestant, Fit

__all__ = ["OursOnCpu", "OursOnGpu"]


class Ours(Contestant):
    """KMeans, TfidfVectorizer and Recommender of gpu_kmeans."""

    backend: ClassVar[Any]
    questions = ("iteration", "convergence", "target", "text", "article", "queries")
    stops_at_target = True
    remark = "iterations are Lloyd's; fits go on with Hartigan's moves (algorithm='hartigan')"

    def iterate(self, rows: Any, k: int, start: Any, iterations: int) -> Fit:
        from gpu_kmeans import KMeans

        fit = KMeans(
            k, init=start, algorithm="lloyd", max_iter=iterations, tol=0, backend=self.backend
        ).fit(rows)
        return Fit(fit.labels_, fit.n_iter_)

    def converge(
        self,
        rows: Any,
        k: int,
        seed: int,
        *,
        limit: int | None = None,
        stop_at: float | None = None,
    ) -> Fit:
        from gpu_kmeans import KMeans

        def reached(progress: Any) -> bool:
            # The sketch's inertia is that of the projected rows.
            return (
                stop_at is not None and progress.stage != "sketch" and progress.inertia <= stop_at
            )

        fit = KMeans(
            k,
            random_state=seed,
            backend=self.backend,
            max_iter=300 if limit is None else limit,
            callback=reached,
        ).fit(rows)
        return Fit(fit.labels_, fit.n_iter_)

    def vectorize(self, texts: list[str]) -> Any:
        from gpu_kmeans import TfidfVectorizer, resolve

        vectorizer = TfidfVectorizer(stop_words="english", backend=self.backend)
        return resolve(self.backend).to_host(vectorizer.fit_transform(texts))

    def ranker(self, movies: str, credits: str, k: int) -> Callable[[str], list[str]]:
        from gpu_kmeans import Recommender, fit

        recommender = Recommender(fit(movies, credits, n_clusters=k, backend=self.backend))
        return lambda query: [str(item.title) for item in recommender.recommend(query).items]

    def script(self) -> str:
        from bench.article import OURS

        code = OURS.replace('backend="cpu"', f'backend="{self.backend}"')
        return code + "labels, rows = model.labels, model.postings.to_csr()\n"


class OursOnCpu(Ours):
    name = "gpu_kmeans-cpu"
    title = "gpu_kmeans (cpu)"
    backend = "cpu"


class OursOnGpu(Ours):
    name = "gpu_kmeans-gpu"
    title = "gpu_kmeans (gpu)"
    device = "gpu"
    backend = "gpu"

    def obstacle(self) -> str | None:
        from gpu_kmeans import why_not_gpu

        return why_not_gpu()
