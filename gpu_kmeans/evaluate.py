"""How good a model is, recomputed from its rows and labels: no printing, no plotting.

Nothing here trusts what the fit reported. The inertia is that of the labels around the
means of their rows, in float64, and beside it stands the inertia of one single cluster, since
on TF-IDF rows the bare number says little. The silhouette is exact for every sampled row,
against all rows. The reach of a ranking is how many different items it shows to ten thousand
queries: one that always shows the same ten serves nobody, however good they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.select import resolve
from gpu_kmeans.clustering.indices import (
    adjusted_rand,
    contingency,
    silhouettes,
    squared_norms,
    sums_of,
    v_measure,
)
from gpu_kmeans.clustering.resampling import RESAMPLED_ROWS, Parts
from gpu_kmeans.errors import InputError, InvalidParam, shown
from gpu_kmeans.inputs.cells import a
from gpu_kmeans.model import UNCLUSTERED, Model
from gpu_kmeans.model.naming import cluster_names
from gpu_kmeans.model.outliers import junk_clusters
from gpu_kmeans.model.rows import as_matrix
from gpu_kmeans.recommend import RANKS, ClusterView, Rank, Recommender, cluster_views
from gpu_kmeans.validation import check_integer

__all__ = [
    "Agreement",
    "Evaluation",
    "Reach",
    "Silhouette",
    "Stability",
    "agreement_with",
    "evaluate",
    "inertia_of_one_cluster",
]

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
class Stability:
    """Whether the clusters come back in k-means fits of other draws of the rows.

    Attributes
    ----------
    value : float
        Adjusted Rand index of the fits, at most 1: 1 for the same clusters in every draw, 0 for
        clusters that are those of the draw.
    n_sampled : int
        Rows that were drawn from.
    clusters : tuple of float
        Mean overlap (Jaccard) of each cluster with its like in the fits, by label; 0 for a cluster
        without items.
    """

    value: float
    n_sampled: int
    clusters: tuple[float, ...]


@dataclass(frozen=True)
class Agreement:
    """How far the clusters agree with labels that a person gave.

    Attributes
    ----------
    n_compared : int
        Items that are in a cluster and have a label.
    n_labels : int
        Different labels.
    v_measure, adjusted_rand : float
        See :func:`gpu_kmeans.clustering.indices.v_measure` and ``adjusted_rand``.
    purity : float
        Share of the items that have the most frequent label of their cluster.
    """

    n_compared: int
    n_labels: int
    v_measure: float
    adjusted_rand: float
    purity: float


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
    stability : Stability or None
        Likewise.
    names : tuple of str
        Of the clusters, by label.
    junk_clusters : tuple of int
        Labels of clusters that hold together badly: see
        :func:`gpu_kmeans.model.outliers.junk_clusters`.
    agreement : Agreement or None
        None where no labels were given.
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
    stability: Stability | None = None
    names: tuple[str, ...] = ()
    junk_clusters: tuple[int, ...] = ()
    agreement: Agreement | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, text and numbers."""
        view = asdict(self)
        view["clusters"] = [
            {**cluster, "top_terms": list(cluster["top_terms"])} for cluster in view["clusters"]
        ]
        for name in ("names", "junk_clusters"):
            view[name] = list(view[name])
        if view["stability"] is not None:
            view["stability"]["clusters"] = list(view["stability"]["clusters"])
        return view


def evaluate(
    model: Model,
    *,
    seed: int = 0,
    n_queries: int = 10_000,
    silhouette_sample: int = 2_000,
    labels: str | Sequence[Any] | None = None,
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
    labels : str, or sequence of n values
        What the items are known to be, to compare the clusters with: the name of a column of the
        model's items, or a label for each of them. Empty ones (None, ``""``, NaN) are left out.

    Raises
    ------
    InputError
        ``model`` is no fitted model.
    InvalidParam
        A number is outside its domain; there is no such column, or not a label for each item.
    """
    if not isinstance(model, Model):
        raise InputError(
            f"evaluate judges a fitted Model, not {a(model)}: pass what gpu_kmeans.fit or "
            "Model.load gives; of a KMeans, inertia_ and score(X) say how good it is"
        )
    check_integer("seed", seed, 0)
    check_integer("n_queries", n_queries, 1)
    check_integer("silhouette_sample", silhouette_sample, 1)
    agreement = None if labels is None else agreement_with(model, labels)
    rows = as_matrix(model.space)
    members, own = rows[model.clustered], model.labels[model.clustered]
    sizes = model.sizes
    inertia, inertia_one_cluster = _inertia(members, own, sizes), _inertia_of_one(members)
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
            own,
            sizes,
            np.random.default_rng([seed, 0]),
            silhouette_sample,
            "cosine" if model.features.text is not None else "euclidean",
        ),
        clusters=tuple(cluster_views(model)),
        reach=_reach(model, np.random.default_rng([seed, 1]), n_queries),
        stability=_stability(members, own, sizes, np.random.default_rng([seed, 2]), seed),
        names=tuple(cluster_names(model)),
        junk_clusters=tuple(junk_clusters(model)),
        agreement=agreement,
    )


def agreement_with(model: Model, labels: str | Sequence[Any]) -> Agreement:
    """Compare the clusters of a model with labels that are known: see :func:`evaluate`."""
    values = _column(model, labels) if isinstance(labels, str) else list(labels)
    if len(values) != len(model.labels):
        raise InvalidParam(
            f"labels must be one for each of the {len(model.labels):,} items, got {len(values):,}"
        )
    texts = ["" if value is None or value != value else str(value) for value in values]
    kinds = {text: number for number, text in enumerate(sorted(set(texts) - {""}))}
    known = np.array([kinds.get(text, UNCLUSTERED) for text in texts], dtype=np.int64)
    table = contingency(model.labels, known)
    if not table.sum():
        raise InvalidParam("no item that is in a cluster has a label to compare it with")
    return Agreement(
        n_compared=int(table.sum()),
        n_labels=int((table.sum(axis=0) > 0).sum()),
        v_measure=v_measure(model.labels, known),
        adjusted_rand=adjusted_rand(model.labels, known),
        purity=float(table.max(axis=1).sum() / table.sum()),
    )


def _column(model: Model, name: str) -> list[Any]:
    """Return a column of the items by its role or by its own name."""
    tables = [model.items] if model.others is None else [model.others, model.items]
    for table in tables:
        if name in table.column_names:
            return list(table[name].to_pylist())
    names = sorted({column for table in tables for column in table.column_names})
    raise InvalidParam(
        f"the model's items have no column {shown(name)} to compare with; they have "
        f"{', '.join(map(shown, names))}"
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


def _stability(
    rows: Any,
    labels: NDArray[np.int32],
    sizes: NDArray[np.int64],
    random: np.random.Generator,
    seed: int,
) -> Stability | None:
    """Compare fits of drawn rows with each other, and with the clusters that have items."""
    occupied = np.flatnonzero(sizes)
    if len(occupied) < 2:
        return None
    position = np.zeros(len(sizes), dtype=np.int32)
    position[occupied] = np.arange(len(occupied))
    n_sampled = min(len(labels), RESAMPLED_ROWS)
    sample = np.sort(random.choice(len(labels), n_sampled, replace=False))
    parts = Parts(rows[sample].astype(np.float32), resolve("cpu"), random)
    value, overlaps = parts.stability(position[labels[sample]], len(occupied), seed)
    clusters = np.zeros(len(sizes))
    clusters[occupied] = overlaps
    return Stability(value, n_sampled, tuple(clusters.tolist()))


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

    def show(seen: set[int], relevance: NDArray[Any], places: NDArray[Any], rank: Rank) -> None:
        seen.update(recommender.rank(relevance, places, rank, REACH_LIMIT).places.tolist())

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
