"""scikit-learn: Lloyd, Elkan and mini-batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from bench.contestants.base import Contestant, Fit

__all__ = ["Elkan", "Lloyd", "MiniBatch"]


class Lloyd(Contestant):
    name = "scikit-learn"
    title = "scikit-learn Lloyd"
    needs = ("sklearn",)
    questions: ClassVar[tuple[str, ...]] = (
        *("iteration", "convergence", "target"),
        *("text", "article", "queries"),
    )
    algorithm: ClassVar[Any] = "lloyd"

    def iterate(self, rows: Any, k: int, start: Any, iterations: int) -> Fit:
        from sklearn.cluster import KMeans

        fit = KMeans(
            k, init=start, n_init=1, max_iter=iterations, tol=0, algorithm=self.algorithm
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
        from sklearn.cluster import KMeans

        fit = KMeans(
            k,
            n_init=1,
            random_state=seed,
            max_iter=300 if limit is None else limit,
            algorithm=self.algorithm,
        ).fit(rows)
        return Fit(fit.labels_, fit.n_iter_)

    def vectorize(self, texts: list[str]) -> Any:
        import numpy as np
        from sklearn.feature_extraction.text import TfidfVectorizer

        return TfidfVectorizer(stop_words="english", dtype=np.float32).fit_transform(texts)

    def ranker(self, movies: str, credits: str, k: int) -> Callable[[str], list[str]]:
        import pandas as pd
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.metrics.pairwise import linear_kernel

        films = pd.read_csv(movies)
        titles = films["title"].astype(str).tolist()
        vectorizer = TfidfVectorizer(stop_words="english")
        rows = vectorizer.fit_transform(films["overview"].fillna(""))

        def answer(query: str) -> list[str]:
            cosines = linear_kernel(vectorizer.transform([query]), rows).ravel()
            return [titles[row] for row in (-cosines).argsort()[:10]]

        return answer

    def script(self) -> str:
        from bench.article import THEIRS

        return THEIRS + "labels = kmeans.labels_\n"


class Elkan(Lloyd):
    name = "scikit-learn-elkan"
    title = "scikit-learn Elkan"
    algorithm = "elkan"
    questions = ("iteration", "convergence", "target")


class MiniBatch(Contestant):
    name = "scikit-learn-minibatch"
    title = "scikit-learn MiniBatch"
    needs = ("sklearn",)
    # Its iterations see a batch and not the rows: nobody else's are like them.
    questions = ("convergence", "target")
    subsamples = "moves its centroids by batches of 1,024 rows"
    stops = "ends when a smoothed inertia of the batches no longer falls"

    def converge(
        self,
        rows: Any,
        k: int,
        seed: int,
        *,
        limit: int | None = None,
        stop_at: float | None = None,
    ) -> Fit:
        from sklearn.cluster import MiniBatchKMeans

        fit = MiniBatchKMeans(
            k, n_init=1, random_state=seed, max_iter=100 if limit is None else limit
        ).fit(rows)
        return Fit(fit.labels_, fit.n_iter_)
