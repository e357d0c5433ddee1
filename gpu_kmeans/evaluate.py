"""How good a model is, recomputed from its rows and labels: no printing, no plotting.

Nothing here trusts what the fit reported. The inertia is that of the labels around the
means of their rows, in float64, and beside it stands the inertia of one single cluster, since
on TF-IDF rows the bare number says little. The silhouette is exact for every sampled row,
against all rows. The reach of a ranking is how many different items it shows to ten thousand
queries: one that always shows the same ten serves nobody, however good they are.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.clustering.indices import silhouettes, squared_norms, sums_of
from gpu_kmeans.errors import InputError
from gpu_kmeans.inputs.cells import a
from gpu_kmeans.model import Model
from gpu_kmeans.model.rows import as_matrix
from gpu_kmeans.recommend import RANKS, ClusterView, Rank, Recommender, cluster_views
from gpu_kmeans.validation import check_integer

__all__ = ["Evaluation", "Reach", "Silhouette", "evaluate", "inertia_of_one_cluster"]

REACH_LIMIT = 10
"""Items that a query is taken to show."""
ROWS_AT_ONCE = 1 << 14
"""Number of dense rows whose distances are summed up at once."""


@dataclass(frozen=True)
class Silhouette:
    """Mean silhouette of ``n_sampled`` rows, each against all clustered rows.

    Attributes
    ----------
    value : float
    n_sampled : int
    metric : {"cosine", "euclidean"}
        Distance of two rows: that of the cosine, for terms of texts; squared Euclidean, for other
        rows, as k-means has it.
    """

    value: float
    n_sampled: int
    metric: str = "cosine"


@dataclass(frozen=True)
class Reach:
    """How many different items the top ten of ``n_queries`` queries show, by ranking.

    Attributes
    ----------
    n_queries, limit : int
        A query is two or three terms of one item's text.
    whole_catalogue : dict
        ``popularity`` and ``relevance`` (plain cosine) without clusters, for comparison.
    nearest_cluster : dict
        ``blend``, ``relevance`` and ``popularity``, as :class:`Recommender` ranks.
    """

    n_queries: int
    limit: int
    whole_catalogue: dict[str, int]
    nearest_cluster: dict[str, int]


@dataclass(frozen=True)
class Evaluation:
    """What :func:`evaluate` found.

    Attributes
    ----------
    n_items, n_clustered, n_unclustered : int
        Items in no cluster are in none of the figures below but ``reach``.
    unclustered : dict
        Number of items in no cluster by reason: ``no_text``, ``no_known_term``, ``set_apart``
        (see :data:`gpu_kmeans.model.UNCLUSTERED`).
    n_clusters, n_empty : int
        Centroids, and those of them without an item.
    inertia, inertia_one_cluster : float
        Sum of squared distances to the clusters' means, and to the mean of all.
    explained : float
        ``1 - inertia / inertia_one_cluster``; 0 where all rows are the same.
    largest_share : float
        Part of the clustered items that the largest cluster holds.
    silhouette : Silhouette or None
        None with fewer than two clusters that have items.
    clusters : tuple of ClusterView
        By label.
    reach : Reach or None
        None where there are no texts to ask for.
    """

    n_items: int
    n_clustered: int
    n_unclustered: int
    unclustered: dict[str, int]
    n_clusters: int
    n_empty: int
    inertia: float
    inertia_one_cluster: float
    explained: float
    largest_share: float
    silhouette: Silhouette | None
    clusters: tuple[ClusterView, ...]
    reach: Reach | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, text and numbers."""
        view = asdict(self)
        view["clusters"] = [
            {**cluster, "top_terms": list(cluster["top_terms"])} for cluster in view["clusters"]
        ]
        return view


def evaluate(
    model: Model, *, seed: int = 0, n_queries: int = 10_000, silhouette_sample: int = 2_000
) -> Evaluation:
    """Judge a model.

    Parameters
    ----------
    model : Model
    seed : int
        Draws the queries and the silhouette's sample.
    n_queries : int
        Queries that measure the reach.
    silhouette_sample : int
        Rows whose silhouette is averaged; all of them, where there are fewer.

    Raises
    ------
    InputError
        ``model`` is no fitted model.
    InvalidParam
        A number is outside its domain.
    """
    if not isinstance(model, Model):
        raise InputError(
            f"evaluate judges a fitted Model, not {a(model)}: pass what gpu_kmeans.fit or "
            "Model.load gives; of a KMeans, inertia_ and score(X) say how good it is"
        )
    check_integer("seed", seed, 0)
    check_integer("n_queries", n_queries, 1)
    check_integer("silhouette_sample", silhouette_sample, 1)
    rows = as_matrix(model.space)
    members, labels = rows[model.clustered], model.labels[model.clustered]
    sizes = model.sizes
    inertia, inertia_one_cluster = _inertia(members, labels, sizes), _inertia_of_one(members)
    return Evaluation(
        n_items=len(model.labels),
        n_clustered=model.n_clustered,
        n_unclustered=len(model.labels) - model.n_clustered,
        unclustered=model.unclustered(),
        n_clusters=model.n_clusters,
        n_empty=int((sizes == 0).sum()),
        inertia=inertia,
        inertia_one_cluster=inertia_one_cluster,
        explained=1 - inertia / inertia_one_cluster if inertia_one_cluster else 0.0,
        largest_share=float(sizes.max() / model.n_clustered),
        silhouette=_silhouette(
            members,
            labels,
            sizes,
            np.random.default_rng([seed, 0]),
            silhouette_sample,
            "cosine" if model.features.text is not None else "euclidean",
        ),
        clusters=tuple(cluster_views(model)),
        reach=_reach(model, np.random.default_rng([seed, 1]), n_queries),
    )


# -- clusters ---------------------------------------------------------------------------


def inertia_of_one_cluster(model: Model) -> float:
    """Sum of squared distances of the clustered items to the mean of them all."""
    return _inertia_of_one(as_matrix(model.space)[model.clustered])


def _inertia_of_one(rows: Any) -> float:
    n = rows.shape[0]
    return _inertia(rows, np.zeros(n, dtype=np.int32), np.array([n]))


def _inertia(rows: Any, labels: NDArray[np.int32], sizes: NDArray[np.int64]) -> float:
    """Return the inertia of the labels around their means.

    Of sparse rows it is what the means leave of the squared norms: the sum of ``|x|^2`` less
    ``|sum|^2 / size`` of each cluster. Of dense rows, which may lie far from the origin, it is
    summed over the differences.
    """
    sums = sums_of(rows, labels, len(sizes))
    if not hasattr(rows, "indptr"):
        means = np.asarray(sums) / np.maximum(sizes, 1)[:, None]
        total = 0.0
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            total += float(np.square(rows[part] - means[labels[part]]).sum())
        return total
    norms = float(squared_norms(rows).sum())
    explained = squared_norms(sums) / np.maximum(sizes, 1)
    left = norms - float(explained.sum())
    # What rounding leaves of rows that are all the same is not an inertia.
    return left if left > 1e-13 * norms else 0.0


def _silhouette(
    rows: Any,
    labels: NDArray[np.int32],
    sizes: NDArray[np.int64],
    random: np.random.Generator,
    n_sampled: int,
    metric: str = "cosine",
) -> Silhouette | None:
    """Mean silhouette of some rows, drawn without replacement."""
    if (sizes > 0).sum() < 2:
        return None
    sample = random.choice(len(labels), min(n_sampled, len(labels)), replace=False)
    values = silhouettes(rows, labels, sizes, sample, metric)
    return Silhouette(float(values.mean()), len(sample), metric)


# -- recommendations --------------------------------------------------------------------


def _reach(model: Model, random: np.random.Generator, n_queries: int) -> Reach | None:
    """Count the different items that each ranking shows to queries drawn from the texts."""
    if model.features.text is None:
        return None
    rows = model.postings.to_csr()
    recommender = Recommender(model)
    everything = recommender.everything
    by_popularity, by_cosine = set[int](), set[int]()
    nearest = {rank: set[int]() for rank in RANKS}

    def show(shown: set[int], relevance: NDArray[Any], places: NDArray[Any], rank: Rank) -> None:
        shown.update(recommender.rank(relevance, places, rank, REACH_LIMIT).places.tolist())

    # Popularity alone shows everyone the same.
    show(by_popularity, np.zeros(len(everything)), everything, "popularity")
    for query in _queries(model, rows, random, n_queries):
        indices, weights = model.vectorizer.transform_query(query)
        relevance = recommender.relevance(indices, weights)
        show(by_cosine, relevance, everything, "relevance")
        places = recommender.candidates(recommender.nearest(indices, weights, 1))
        for rank in RANKS:
            show(nearest[rank], relevance, places, rank)
    return Reach(
        n_queries,
        REACH_LIMIT,
        {"popularity": len(by_popularity), "relevance": len(by_cosine)},
        {rank: len(shown) for rank, shown in nearest.items()},
    )


def _queries(model: Model, rows: Any, random: np.random.Generator, n_queries: int) -> list[str]:
    """Draw queries: two or three terms of one clustered item, or its only term."""
    terms = model.vectorizer.get_feature_names_out()
    has_terms = np.diff(rows.indptr) > 0
    sources = random.choice(np.flatnonzero(model.clustered & has_terms), n_queries)
    queries = []
    for row, count in zip(sources, random.integers(2, 4, n_queries), strict=True):
        known = rows.indices[rows.indptr[row] : rows.indptr[row + 1]]
        drawn = random.choice(known, min(count, len(known)), replace=False)
        queries.append(" ".join(str(terms[at]) for at in drawn))
    return queries
