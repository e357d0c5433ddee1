"""Judging: every number against an independent way to it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from shapes import inertia_of
from sklearn.metrics import silhouette_samples, silhouette_score
from toy import ITEMS, TERMS, toy_info, toy_model, toy_rows

from gpu_kmeans.clustering.kmeans import KMeans
from gpu_kmeans.errors import InputError, InvalidParam
from gpu_kmeans.evaluate import _queries, _silhouette, agreement_with, evaluate
from gpu_kmeans.model import Model, Postings
from gpu_kmeans.recommend import RANKS, Recommender

TOY = toy_model()
CLUSTERED = TOY.labels >= 0


def judged(model: Model = TOY, n_queries: int = 50, **options: Any) -> Any:
    return evaluate(model, n_queries=n_queries, **options)


def with_rows(rows: NDArray[Any], labels: list[int], k: int = 3) -> Model:
    """The toy with other rows and labels for its 13 items."""
    label = np.array(labels, dtype=np.int32)
    return toy_model(
        rows=Postings.from_csr(csr_matrix(rows.astype(np.float32))),
        labels=label,
        centroids=np.zeros((k, len(TERMS)), dtype=np.float32),
    )


# -- inertia ----------------------------------------------------------------------------


def test_inertia_is_the_squared_distance_to_the_means_of_the_labels() -> None:
    rows, labels = toy_rows()[CLUSTERED], TOY.labels[CLUSTERED]
    found = judged()
    assert found.inertia == pytest.approx(inertia_of(rows, labels), rel=1e-6)
    one = inertia_of(rows, np.zeros_like(labels))
    assert found.inertia_one_cluster == pytest.approx(one, rel=1e-6)
    assert found.explained == pytest.approx(1 - found.inertia / found.inertia_one_cluster)
    assert 0.2 < found.explained < 1


def test_neither_the_fits_word_nor_its_centroids_are_trusted() -> None:
    liar = toy_model(info=toy_info(inertia=0.001), centroids=TOY.centroids * 2)
    assert judged(liar).inertia == judged().inertia


def test_rows_that_are_all_the_same_leave_nothing_to_explain() -> None:
    same = np.tile(toy_rows()[0], (len(ITEMS), 1))
    found = judged(with_rows(same, [0, 1] * 6 + [2]))
    assert (found.inertia, found.inertia_one_cluster, found.explained) == (0, 0, 0)
    assert found.silhouette is not None
    assert found.silhouette.value == 0


def test_one_item_a_cluster_explains_everything() -> None:
    model = with_rows(toy_rows(), [*range(12), -1], k=12)
    found = judged(model)
    assert found.inertia == 0
    assert found.explained == 1


# -- sizes and terms --------------------------------------------------------------------


def test_sizes_count_clustered_items_alone() -> None:
    found = judged(toy_model(labels=np.array([0] * 6 + [2] * 3 + [-1] * 4, dtype=np.int32)))
    assert (found.n_items, found.n_clustered, found.n_unclustered) == (13, 9, 4)
    assert (found.n_clusters, found.n_empty) == (3, 1)
    assert [(view.label, view.size) for view in found.clusters] == [(0, 6), (1, 0), (2, 3)]
    assert found.largest_share == pytest.approx(6 / 9)


def test_clusters_are_named_by_their_heaviest_terms() -> None:
    heaviest = [TERMS[at] for at in TOY.centroids.argmax(axis=1)]
    assert [view.top_terms[0] for view in judged().clusters] == heaviest
    assert "restaurant" in judged().clusters[1].top_terms


def test_a_cluster_without_items_has_no_terms() -> None:
    views = judged(toy_model(labels=np.array([0] * 6 + [2] * 7, dtype=np.int32))).clusters
    assert [bool(view.top_terms) for view in views] == [True, False, True]


# -- silhouette -------------------------------------------------------------------------


def test_the_silhouette_is_scikit_learns() -> None:
    expected = silhouette_score(toy_rows()[CLUSTERED], TOY.labels[CLUSTERED], metric="cosine")
    found = judged().silhouette
    assert found.value == pytest.approx(expected, abs=1e-6)
    assert found.n_sampled == 12


@st.composite
def clusterings(draw: st.DrawFn) -> tuple[NDArray[Any], NDArray[Any], int]:
    """Small rows of whole numbers with repeats and empty rows; singletons, empty clusters."""
    n, k = draw(st.integers(4, 12)), draw(st.integers(2, 5))
    values = st.lists(st.integers(0, 2), min_size=4, max_size=4)
    rows = draw(st.lists(values, min_size=n, max_size=n))
    labels = draw(st.lists(st.integers(0, k - 1), min_size=n, max_size=n))
    return np.array(rows, dtype=np.float64), np.array(labels, dtype=np.int32), k


@settings(deadline=None, max_examples=200)
@given(clusterings(), st.sampled_from([np.asarray, csr_matrix]))
def test_the_silhouette_is_scikit_learns_on_any_rows(
    case: tuple[NDArray[Any], NDArray[Any], int], kind: Any
) -> None:
    rows, labels, k = case
    sizes = np.bincount(labels, minlength=k)
    found = _silhouette(kind(rows), labels, sizes, np.random.default_rng(0), 1000)
    if (sizes > 0).sum() < 2:
        assert found is None
    elif (sizes > 0).sum() < len(rows):  # scikit-learn refuses singletons alone
        assert found is not None
        distances = 1 - unit(rows) @ unit(rows).T
        np.fill_diagonal(distances, 0)
        distances[distances < 1e-12] = 0  # so that rounding does not decide between equals
        expected = silhouette_score(distances, labels, metric="precomputed")
        assert found.value == pytest.approx(expected, abs=1e-9)


@settings(deadline=None, max_examples=100)
@given(clusterings(), st.sampled_from([np.asarray, csr_matrix]))
def test_the_euclidean_silhouette_is_scikit_learns_of_squared_distances(
    case: tuple[NDArray[Any], NDArray[Any], int], kind: Any
) -> None:
    rows, labels, k = case
    sizes = np.bincount(labels, minlength=k)
    found = _silhouette(kind(rows), labels, sizes, np.random.default_rng(0), 1000, "euclidean")
    if 2 <= (sizes > 0).sum() < len(rows):
        assert found is not None
        expected = silhouette_score(rows, labels, metric="sqeuclidean")
        assert found.value == pytest.approx(expected, abs=1e-9)


def unit(rows: NDArray[Any]) -> NDArray[Any]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1)


def test_a_sampled_row_is_compared_with_all_rows() -> None:
    random = np.random.default_rng(5)
    rows = random.random((300, 8)) * (random.random((300, 8)) < 0.5) + 0.01
    labels = random.integers(0, 4, 300).astype(np.int32)
    found = _silhouette(csr_matrix(rows), labels, np.bincount(labels), np.random.default_rng(1), 40)
    drawn = np.random.default_rng(1).choice(300, 40, replace=False)
    expected = silhouette_samples(rows, labels, metric="cosine")[drawn].mean()
    assert found is not None
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert found.n_sampled == 40


def test_one_cluster_has_no_silhouette() -> None:
    found = judged(toy_model(labels=np.zeros(len(ITEMS), dtype=np.int32)))
    assert found.silhouette is None
    assert found.explained == 0


# -- stability, junk and labels -----------------------------------------------------------


def dense_model(labels: NDArray[Any], rows: NDArray[Any]) -> Model:
    """The toy's story around other rows; its clusters are those of the labels."""
    import pyarrow as pa

    k, n = int(labels.max()) + 1, len(labels)
    return toy_model(
        items=pa.table({"id": pa.array(range(n), pa.int64()), "text": ["alien"] * n}),
        rows=Postings.from_csr(csr_matrix(rows.astype(np.float32))),
        labels=labels.astype(np.int32),
        centroids=np.zeros((k, len(TERMS)), dtype=np.float32),
    )


def test_planted_clusters_are_stable_and_those_of_noise_are_not() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(400) % 4
    corners = 20 * np.eye(len(TERMS))[:4]
    planted = corners[labels] + random.random((400, len(TERMS)))
    stable = judged(dense_model(labels, planted)).stability
    assert stable.value == pytest.approx(1)
    assert stable.clusters == pytest.approx([1, 1, 1, 1])
    noise = judged(dense_model(labels, random.random((400, len(TERMS))))).stability
    assert noise.value < 0.75
    assert max(noise.clusters) < 0.5


def test_a_cluster_without_items_has_no_stability() -> None:
    found = judged(toy_model(labels=np.array([0] * 6 + [2] * 7, dtype=np.int32))).stability
    assert found.clusters[1] == 0
    assert min(found.clusters[0], found.clusters[2]) > 0
    assert judged(toy_model(labels=np.zeros(len(ITEMS), dtype=np.int32))).stability is None


def test_junk_clusters_and_names_are_those_of_the_model() -> None:
    found = judged(toy_model(labels=np.array([0] * 6 + [1] * 6 + [2], dtype=np.int32)))
    assert found.junk_clusters == (2,)  # a single item
    assert len(found.names) == 3
    assert judged().junk_clusters == ()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["a", "b", "c", "", None]), min_size=13, max_size=13))
def test_agreement_with_labels_is_scikit_learns(labels: list[str | None]) -> None:
    from sklearn.metrics import adjusted_rand_score, v_measure_score

    pairs = zip(TOY.labels.tolist(), labels, strict=True)
    both = [(own, label) for own, label in pairs if own >= 0 and label]
    if not both:
        with pytest.raises(InvalidParam, match="no item that is in a cluster has a label"):
            agreement_with(TOY, labels)
        return
    found = agreement_with(TOY, labels)
    own, known = zip(*both, strict=True)
    assert found.n_compared == len(both)
    assert found.n_labels == len(set(known))
    assert found.v_measure == pytest.approx(v_measure_score(known, own))
    assert found.adjusted_rand == pytest.approx(adjusted_rand_score(known, own))
    largest = sum(
        max(sum(1 for o, k in both if o == cluster and k == label) for label in set(known))
        for cluster in set(own)
    )
    assert found.purity == pytest.approx(largest / len(both))


def test_labels_may_be_a_column_numbers_or_missing() -> None:
    assert judged(labels="id").agreement.n_labels == 12
    numbers = [1.0, 2.0, float("nan"), *[3.0] * 10]
    assert judged(labels=numbers).agreement.n_compared == 11
    assert judged().agreement is None
    with pytest.raises(InvalidParam, match="no column 'kind' to compare with; they have 'genres'"):
        judged(labels="kind")
    with pytest.raises(InvalidParam, match="one for each of the 13 items, got 2"):
        judged(labels=["a", "b"])


# -- reach ------------------------------------------------------------------------------


def test_popularity_over_the_whole_catalogue_reaches_ten_items() -> None:
    reach = judged().reach
    assert (reach.limit, reach.n_queries) == (10, 50)
    assert reach.whole_catalogue["popularity"] == 10


def test_no_ranking_reaches_more_than_there_is() -> None:
    reach = judged(n_queries=300).reach
    assert list(reach.nearest_cluster) == list(RANKS)
    assert reach.nearest_cluster == dict.fromkeys(RANKS, 12)  # every cluster is smaller than ten
    assert 12 <= reach.whole_catalogue["relevance"] <= 13


@pytest.mark.parametrize("seed", [0, 1])
def test_the_reach_is_that_of_the_recommender_itself(seed: int) -> None:
    """A catalogue of 25 copies of each item, so that ten of a cluster are a choice."""
    model = many(25)
    found = evaluate(model, seed=seed, n_queries=40).reach
    rows = model.postings.to_csr()
    queries = _queries(model, rows, np.random.default_rng([seed, 1]), 40)
    recommender = Recommender(model)
    for rank in RANKS:
        shown = {item.id for q in queries for item in recommender.recommend(q, rank=rank).items}
        assert found.nearest_cluster[rank] == len(shown)
    cosines = model_cosines(model, queries)
    assert found.whole_catalogue["relevance"] == len(
        {int(row) for each in cosines for row in np.argsort(-each.round(9), kind="stable")[:10]}
    )


def many(times: int) -> Model:
    """The toy's items many times over, less popular each time."""
    import pyarrow as pa

    n = len(ITEMS) * times
    rows = np.tile(toy_rows(), (times, 1)).astype(np.float32)
    items = pa.table(
        {
            "id": pa.array(range(n), pa.int64()),
            "text": [""] * n,
            "popularity": np.arange(n, 0, -1.0),
        }
    )
    return dataclasses.replace(
        TOY,
        items=items,
        labels=np.tile(TOY.labels, times),
        rows=Postings.from_csr(csr_matrix(rows)),
    )


def model_cosines(model: Model, queries: list[str]) -> list[NDArray[Any]]:
    """Cosine of each query with every row, rows in the order of popularity."""
    rows = np.asarray(model.postings.to_csr().toarray(), dtype=np.float64)
    found = []
    for query in queries:
        vector = np.zeros(len(TERMS))
        indices, weights = model.vectorizer.transform_query(query)
        vector[indices] = weights
        found.append(unit(rows) @ vector)
    return found


def test_a_query_is_two_or_three_terms_of_one_item() -> None:
    rows = TOY.postings.to_csr()
    texts = [set(item[5].split()) for item in ITEMS]
    queries = _queries(TOY, rows, np.random.default_rng(0), 200)
    assert {len(query.split()) for query in queries} == {2, 3}
    for query in queries:
        words = query.split()
        assert len(set(words)) == len(words)
        assert any(set(words) <= text for text in texts)


# -- the call ---------------------------------------------------------------------------


def test_the_seed_decides() -> None:
    model = many(25)
    one, again, other = (evaluate(model, seed=seed, n_queries=5) for seed in (3, 3, 4))
    assert one == again
    assert one.reach != other.reach


@pytest.mark.parametrize(
    "options",
    [
        {"seed": -1},
        {"seed": 1.5},
        {"seed": None},
        {"n_queries": 0},
        {"n_queries": True},
        {"silhouette_sample": 0},
        {"silhouette_sample": "all"},
    ],
)
def test_numbers_outside_their_domain_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidParam, match=next(iter(options))):
        evaluate(TOY, **options)


@pytest.mark.parametrize("thing", [KMeans(2), None, "model", np.eye(3), TOY.info, Model])
def test_what_is_no_model_is_refused_in_words(thing: Any) -> None:
    with pytest.raises(InputError, match=r"judges a fitted Model, not .*inertia_ and score"):
        evaluate(thing)


def test_the_evaluation_is_one_json_object() -> None:
    view = judged().to_dict()
    assert json.loads(json.dumps(view, allow_nan=False)) == view
    assert view["silhouette"]["n_sampled"] == 12
    assert view["clusters"][2]["size"] == 4
    assert set(view["reach"]) == {"n_queries", "limit", "whole_catalogue", "nearest_cluster"}
