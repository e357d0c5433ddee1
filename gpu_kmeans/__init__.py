"""Cluster catalogues of texts and recommend from the clusters, on a GPU or a CPU.

CSV files go in; clusters, explanations and recommendations come out:

>>> import gpu_kmeans
>>> model = gpu_kmeans.fit("movies.csv", "credits.csv", n_clusters=10)  # doctest: +SKIP
>>> gpu_kmeans.Searcher(model).search("space alien invasion")  # doctest: +SKIP

The names below are imported on first use: ``import gpu_kmeans`` itself loads no library.
Judging a model is :func:`gpu_kmeans.evaluate.evaluate`, drawing it is
:mod:`gpu_kmeans.plots`, and every exception stands in :mod:`gpu_kmeans.errors`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gpu_kmeans import forking as forking  # forks are watched from the start

if TYPE_CHECKING:
    from gpu_kmeans.backends.select import resolve, why_not_gpu
    from gpu_kmeans.clustering.kmeans import KMeans
    from gpu_kmeans.data.catalogue import Catalogue, load_catalogue
    from gpu_kmeans.errors import GpuKMeansError
    from gpu_kmeans.features.svd import RandomizedSVD
    from gpu_kmeans.features.tfidf import TfidfVectorizer
    from gpu_kmeans.model import Model
    from gpu_kmeans.pipeline import fit
    from gpu_kmeans.recommend import Recommendation, Recommender
    from gpu_kmeans.search import Searcher, SearchResult

__version__ = "0.2.0"

__all__ = [
    "Catalogue",
    "GpuKMeansError",
    "KMeans",
    "Model",
    "RandomizedSVD",
    "Recommendation",
    "Recommender",
    "SearchResult",
    "Searcher",
    "TfidfVectorizer",
    "__version__",
    "fit",
    "load_catalogue",
    "resolve",
    "why_not_gpu",
]

_HOME = {
    "Catalogue": "data.catalogue",
    "GpuKMeansError": "errors",
    "KMeans": "clustering.kmeans",
    "Model": "model",
    "RandomizedSVD": "features.svd",
    "Recommendation": "recommend",
    "Recommender": "recommend",
    "SearchResult": "search",
    "Searcher": "search",
    "TfidfVectorizer": "features.tfidf",
    "fit": "pipeline",
    "load_catalogue": "data.catalogue",
    "resolve": "backends.select",
    "why_not_gpu": "backends.select",
}


def __getattr__(name: str) -> Any:
    """Import a public name from the module that it lives in (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
