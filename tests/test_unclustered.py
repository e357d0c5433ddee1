"""An item in no cluster: one label, with a reason, in no cluster's figures, wherever one looks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from toy import ITEMS, TERMS, toy_model, toy_rows

from gpu_kmeans import Recommender
from gpu_kmeans.cli import show, summary
from gpu_kmeans.evaluate import evaluate, inertia_of_one_cluster
from gpu_kmeans.model import NO_KNOWN_TERM, NO_TEXT, SET_APART, UNCLUSTERED, Model
from gpu_kmeans.model.cluster_map import cluster_map
from gpu_kmeans.model.rows import own_products

APART = [0, 7]
"""Rows with known terms that are in no cluster."""


def model_with_rows_apart(**changes: Any) -> Model:
    """The toy model, two of its items set apart, and one more whose text has no known term."""
    labels = toy_model().labels.copy()
    labels[APART] = UNCLUSTERED
    texts = toy_model().items["text"].to_pylist()
    assert texts[-1] == ""
    texts[-1] = "zebra"
    items = toy_model().items.set_column(2, "text", pa.array(texts))
    rows = toy_rows()
    centroids = np.array([rows[labels == k].mean(axis=0) for k in range(3)], dtype=np.float32)
    return toy_model(**{"labels": labels, "centroids": centroids, "items": items, **changes})


MODEL = model_with_rows_apart()
INSIDE = np.array([label != -1 for label in MODEL.labels])


def inertia_by_hand(rows: Any) -> float:
    return float(sum(np.sum((row - rows.mean(axis=0)) ** 2) for row in rows))


def test_each_item_in_no_cluster_has_a_reason() -> None:
    reasons = [MODEL.why_unclustered(row) for row in range(len(ITEMS))]
    expected: list[str | None] = [None] * len(ITEMS)
    expected[0] = expected[7] = SET_APART
    expected[-1] = NO_KNOWN_TERM
    assert reasons == expected
    assert MODEL.unclustered() == {SET_APART: 2, NO_KNOWN_TERM: 1}
    assert toy_model().unclustered() == {NO_TEXT: 1}
    assert toy_model(labels=np.zeros(len(ITEMS), dtype=np.int32)).unclustered() == {}


def test_the_inertia_of_one_cluster_is_that_of_the_clustered_items_everywhere() -> None:
    by_hand = inertia_by_hand(toy_rows()[INSIDE])
    assert by_hand != pytest.approx(inertia_by_hand(toy_rows()[:-1]), rel=0.01)
    assert inertia_of_one_cluster(MODEL) == pytest.approx(by_hand, rel=1e-6)
    judged = evaluate(MODEL, n_queries=10)
    assert judged.inertia_one_cluster == pytest.approx(by_hand, rel=1e-6)
    told = summary.of_fit(MODEL)
    assert told["inertia_one_cluster"] == judged.inertia_one_cluster


def test_the_inertia_of_the_clusters_is_that_of_the_clustered_items() -> None:
    rows = toy_rows()
    by_hand = sum(inertia_by_hand(rows[MODEL.labels == k]) for k in range(3))
    assert evaluate(MODEL, n_queries=10).inertia == pytest.approx(by_hand, rel=1e-6)


def test_counts_agree_wherever_they_stand() -> None:
    judged, told = evaluate(MODEL, n_queries=10), summary.of_fit(MODEL)
    reasons = {SET_APART: 2, NO_KNOWN_TERM: 1}
    assert (judged.n_items, judged.n_clustered, judged.n_unclustered) == (13, 10, 3)
    assert (told["n_items"], told["n_clustered"]) == (13, 10)
    assert MODEL.metrics()["n_clustered"] == MODEL.n_clustered == int(MODEL.sizes.sum()) == 10
    assert judged.unclustered == told["unclustered"] == reasons
    assert judged.largest_share == MODEL.sizes.max() / 10
    assert [view.size for view in judged.clusters] == MODEL.sizes.tolist()
    text = " ".join(show.evaluation(judged).split())
    assert "13; 10 in a cluster, 3 in none (2 set apart, 1 without a known term)" in text


def test_items_in_no_cluster_are_on_no_map_and_no_cluster_s_candidates() -> None:
    drawn = cluster_map(MODEL)
    assert sorted(drawn.rows.tolist()) == np.flatnonzero(INSIDE).tolist()
    products = own_products(MODEL.postings, MODEL.centroids, MODEL.labels)
    assert products[~INSIDE].tolist() == [0, 0, 0]
    expected = [float(toy_rows()[row] @ MODEL.centroids[MODEL.labels[row]]) for row in range(13)]
    np.testing.assert_allclose(products[INSIDE], np.array(expected)[INSIDE], rtol=1e-5)
    found = Recommender(MODEL).recommend("alien planet", limit=100, clusters=3)
    assert {item.id for item in found.items} == {
        item[0] for item, inside in zip(ITEMS, INSIDE, strict=True) if inside
    }


def test_similar_items_may_be_in_no_cluster() -> None:
    similar = Recommender(MODEL).similar(11)
    labels = {item.id: item.label for item in similar}
    assert labels[10] == UNCLUSTERED


def test_a_text_without_a_known_term_is_in_no_cluster_either() -> None:
    labels, distances = Recommender(MODEL).predict(["zebra", "", "alien"])
    assert labels.tolist()[:2] == [UNCLUSTERED] * 2
    assert labels[2] >= 0
    assert np.isnan(distances).tolist() == [True, True, False]


def test_queries_that_measure_the_reach_are_drawn_from_clustered_items() -> None:
    only = np.full(len(ITEMS), UNCLUSTERED, dtype=np.int32)
    only[[8, 9, 10, 11]] = 2
    rows = toy_rows()
    centroids = np.zeros((3, len(TERMS)), dtype=np.float32)
    centroids[2] = rows[only == 2].mean(axis=0)
    judged = evaluate(model_with_rows_apart(labels=only, centroids=centroids), n_queries=200)
    assert judged.n_clustered == 4
    assert set(judged.reach.nearest_cluster.values()) == {4}


def test_a_model_with_items_set_apart_comes_back_as_it_was(tmp_path: Any) -> None:
    MODEL.save(tmp_path / "model")
    back = Model.load(tmp_path / "model")
    assert back.labels.tolist() == MODEL.labels.tolist()
    assert back.unclustered() == MODEL.unclustered()
    assert Counter(back.labels.tolist())[UNCLUSTERED] == 3
