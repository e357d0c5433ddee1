"""Recommending: the nearest cluster's items, ranked by a rule that can be checked by hand."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from toy import ITEMS, KITCHEN, NONE, SPACE, TERMS, WAR, toy_idf, toy_model, toy_rows

from gpu_kmeans.errors import InvalidParam, InvalidQuery, UnknownItem
from gpu_kmeans.model import Postings
from gpu_kmeans.recommend import (
    FAME_WEIGHT,
    RANKS,
    Rank,
    Recommendation,
    Recommender,
    cluster_views,
    top_terms,
)

TOY = toy_model()
RECOMMENDER = Recommender(TOY)


def ids(found: Recommendation) -> list[int | str]:
    return [item.id for item in found.items]


# -- an independent answer --------------------------------------------------------------


def query_row(words: list[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    weights = np.array([words.count(term) for term in TERMS]) * toy_idf()
    return weights / np.linalg.norm(weights)


def expected_scores(words: list[str], rank: Rank, clusters: int) -> dict[int, float]:
    """Score of every candidate by id, from the dense rows and the rule's words."""
    query, rows = query_row(words), toy_rows()
    distance = ((TOY.centroids - query) ** 2).sum(axis=1)
    chosen = set(np.argsort(distance, kind="stable")[:clusters].tolist())
    popularity = [item[2] for item in ITEMS]
    cosine, prior = {}, {}
    for row, item in enumerate(ITEMS):
        if item[4] in chosen:
            less = sum(other < item[2] for other in popularity)
            equal = sum(other == item[2] for other in popularity)
            prior[item[0]] = (less + equal / 2) / len(ITEMS)
            cosine[item[0]] = float(rows[row] @ query)
    if rank == "relevance":
        return cosine
    if rank == "popularity":
        return prior
    best, w = max(cosine.values()), FAME_WEIGHT
    if best == 0:
        return {id: w * prior[id] for id in cosine}
    return {id: (1 - w) * cosine[id] / best + (w * prior[id] if cosine[id] else 0) for id in cosine}


@given(
    words=st.lists(st.sampled_from(TERMS), min_size=1, max_size=6),
    rank=st.sampled_from(RANKS),
    limit=st.integers(1, 15),
    clusters=st.integers(1, 3),
)
def test_items_and_scores_are_those_of_the_written_rule(
    words: list[str], rank: Rank, limit: int, clusters: int
) -> None:
    expected = expected_scores(words, rank, clusters)
    found = RECOMMENDER.recommend(" ".join(words), limit, rank, clusters)
    scores = [item.score for item in found.items]
    assert scores == pytest.approx(sorted(expected.values(), reverse=True)[:limit], abs=1e-6)
    for item in found.items:
        assert item.score == pytest.approx(expected[item.id], abs=1e-6)  # type: ignore[index]
        parts = item.parts
        assert item.score == pytest.approx(
            parts["relevance_weight"] * parts["relevance"] + parts["fame_weight"] * parts["fame"]
        )
        assert 0 <= parts["relevance"] <= 1 + 1e-6
        assert 0 <= parts["fame"] <= 1
    assert len(set(ids(found))) == len(found.items)


# -- the rankings -----------------------------------------------------------------------


def test_a_query_falls_into_the_obvious_cluster() -> None:
    found = RECOMMENDER.recommend("Alien SPACESHIP, unheard-of alien!")
    assert found.terms == ("alien", "spaceship")
    assert found.cluster is not None
    assert (found.cluster.label, found.cluster.size) == (SPACE, 4)
    assert set(found.cluster.top_terms[:4]) == {"alien", "spaceship", "planet", "crew"}
    assert sorted(ids(found)) == [10, 11, 12, 13]
    assert {item.label for item in found.items} == {SPACE}
    assert found.message is None


def test_popularity_is_the_plain_order_of_popularity() -> None:
    found = RECOMMENDER.recommend("alien", rank="popularity")
    assert ids(found) == [11, 10, 12, 13]  # 80, 50, then 20 twice in the order of rows
    assert [item.popularity for item in found.items] == [80, 50, 20, 20]


def test_relevance_is_the_cosine_and_ties_go_to_the_more_popular() -> None:
    found = RECOMMENDER.recommend("alien", rank="relevance")
    assert ids(found)[:2] == [10, 12]
    assert ids(found)[2:] == [11, 13]  # neither has the term
    row = toy_rows()[0]
    assert found.items[0].score == pytest.approx(row[TERMS.index("alien")], abs=1e-6)


def test_the_blend_lets_fame_decide_between_matches_of_the_same_kind() -> None:
    relevance = RECOMMENDER.recommend("kitchen", rank="relevance")
    blend = RECOMMENDER.recommend("kitchen")
    assert ids(relevance)[:2] == [20, 21]
    assert ids(blend)[:2] == [21, 20]  # 21 is almost as close and far better known


def test_fame_alone_never_beats_a_match() -> None:
    found = RECOMMENDER.recommend("army", rank="blend")
    without_a_match = [item.parts["relevance"] == 0 for item in found.items]
    assert without_a_match == [False, False, True, True]
    assert ids(found)[1] == 32  # the least popular of all items, but it has the term
    assert [item.parts["fame_weight"] for item in found.items[2:]] == [0, 0]


def test_when_nothing_matches_popularity_ranks_and_a_message_says_so() -> None:
    misled = toy_model(centroids=np.roll(TOY.centroids, 1, axis=0))  # SPACE's now leads to KITCHEN
    found = Recommender(misled).recommend("alien")
    assert ids(found) == [21, 22, 20, 23]
    assert found.message == "no candidate has a term of the query"
    assert {item.parts["fame_weight"] for item in found.items} == {FAME_WEIGHT}


@pytest.mark.parametrize("rank", RANKS)
def test_equal_items_come_in_the_order_of_rows(rank: Rank) -> None:
    twins = toy_model()
    rows = toy_rows()
    rows[:4] = rows[0]
    items = twins.items.set_column(3, "popularity", pa.array([1.0] * len(ITEMS)))
    same = dataclasses.replace(
        twins, items=items, rows=Postings.from_csr(csr_matrix(rows.astype(np.float32)))
    )
    assert ids(Recommender(same).recommend("alien planet", rank=rank)) == [10, 11, 12, 13]


@pytest.mark.parametrize("rank", RANKS)
def test_only_the_order_of_popularity_matters(rank: Rank) -> None:
    stretched = pa.array([item[2] ** 5 for item in ITEMS])
    other = toy_model(items=TOY.items.set_column(3, "popularity", stretched))
    one = RECOMMENDER.recommend("chef soldier recipe", rank=rank, clusters=3)
    two = Recommender(other).recommend("chef soldier recipe", rank=rank, clusters=3)
    assert [(item.id, item.score) for item in one.items] == [
        (item.id, item.score) for item in two.items
    ]


def test_rows_of_any_length_give_the_same_cosine() -> None:
    lengths = np.linspace(0.5, 9, len(ITEMS))[:, None]
    longer = Postings.from_csr(csr_matrix((toy_rows() * lengths).astype(np.float32)))
    one = RECOMMENDER.recommend("alien crew")
    two = Recommender(toy_model(rows=longer)).recommend("alien crew")
    assert ids(one) == ids(two)
    for left, right in zip(one.items, two.items, strict=True):
        assert left.parts == pytest.approx(right.parts, abs=1e-6)


# -- clusters ---------------------------------------------------------------------------


def test_more_clusters_bring_more_candidates() -> None:
    query = "alien chef"
    one, two, all_three = (RECOMMENDER.recommend(query, clusters=count) for count in (1, 2, 3))
    assert one.cluster == two.cluster == all_three.cluster  # the nearest one
    assert {item.label for item in two.items} == {SPACE, KITCHEN}
    assert len(two.items) == 8
    assert {item.label for item in RECOMMENDER.recommend(query, 20, clusters=3).items} == {
        SPACE,
        KITCHEN,
        WAR,
    }


def test_an_item_without_a_known_term_is_never_recommended() -> None:
    for rank in RANKS:
        found = RECOMMENDER.recommend("alien chef soldier", 1000, rank, clusters=3)
        assert len(found.items) == sum(item[4] != NONE for item in ITEMS)
        assert 40 not in ids(found)


def test_a_cluster_without_items_is_never_the_nearest() -> None:
    centroids = np.vstack([TOY.centroids, np.float32([query_row(["alien"])])])
    found = Recommender(toy_model(centroids=centroids)).recommend("alien", clusters=4)
    assert found.cluster is not None
    assert found.cluster.label == SPACE


def test_the_limit_is_kept() -> None:
    assert len(RECOMMENDER.recommend("alien", limit=3).items) == 3
    assert len(RECOMMENDER.recommend("alien", limit=np.int64(1)).items) == 1
    assert len(RECOMMENDER.recommend("alien", limit=1000).items) == 4


# -- catalogues that lack a column ------------------------------------------------------


@pytest.mark.parametrize("rank", ["blend", "popularity"])
def test_without_popularity_the_answer_says_that_it_counts_for_nothing(rank: Rank) -> None:
    found = Recommender(toy_model(without=("popularity",))).recommend("alien", rank=rank)
    assert found.message is not None
    assert "no popularity" in found.message
    assert {item.popularity for item in found.items} == {None}
    assert {item.parts["fame"] for item in found.items} == {0}
    assert ids(found) == ([10, 12, 11, 13] if rank == "blend" else [10, 11, 12, 13])


def test_without_titles_and_ratings_they_are_none() -> None:
    found = Recommender(toy_model(without=("title", "rating"))).recommend("alien")
    assert {(item.title, item.vote_average) for item in found.items} == {(None, None)}


def test_ids_may_be_text() -> None:
    names = pa.array([f"00{item[0]}" for item in ITEMS])
    model = toy_model(items=TOY.items.set_column(0, "id", names))
    assert ids(Recommender(model).recommend("alien"))[0] == "0010"


# -- queries ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query", ["", "   ", "zebra", "a", "🚀🛸", "(.*)+[a-z]{1,9}", "مرحبا", "\0\n\t", "al ien"]
)
def test_a_query_without_a_known_term_says_so_and_finds_nothing(query: str) -> None:
    found = RECOMMENDER.recommend(query)
    assert (found.query, found.terms, found.cluster, found.items) == (query, (), None, ())
    assert found.message == "no term of the query is known to the model"


@pytest.mark.parametrize(
    "query",
    [
        "<script>alien</script>",
        "^.*alien$",
        "مرحبا alien",
        "\u202ealien\u202c",
        "👽alien👽",
        "'; DROP TABLE alien; --",
        "../../alien",
        "ALIEN " + "x" * 9_000,
    ],
)
def test_markup_scripts_emoji_and_patterns_are_just_text(query: str) -> None:
    found = RECOMMENDER.recommend(query)
    assert found.terms == ("alien",)
    assert ids(found) == ids(RECOMMENDER.recommend("alien"))
    assert found.query == query


@given(st.text(max_size=50))
def test_any_text_is_a_query(query: str) -> None:
    found = RECOMMENDER.recommend(query)
    assert bool(found.items) == bool(found.terms)
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("query", [None, 3, b"alien", ["alien"], "a" * 10_001, "a" * 100_000])
def test_what_is_no_query_is_refused(query: Any) -> None:
    with pytest.raises(InvalidQuery, match="give keywords"):
        RECOMMENDER.recommend(query)


def test_half_a_character_is_refused() -> None:
    with pytest.raises(InvalidQuery, match="surrogate"):
        RECOMMENDER.recommend("alien \udcff")


def test_the_longest_query_is_read() -> None:
    assert RECOMMENDER.recommend("alien" + " " * 9_995).terms == ("alien",)


@pytest.mark.parametrize("limit", [0, -1, 1001, 10**9, True, 1.0, "3", None, float("nan")])
def test_a_limit_outside_1_to_1000_is_refused(limit: Any) -> None:
    with pytest.raises(InvalidQuery, match=r"limit.*1 to 1000"):
        RECOMMENDER.recommend("alien", limit=limit)


@pytest.mark.parametrize("clusters", [0, -1, 4, True, 1.5, "all", None])
def test_clusters_outside_1_to_k_are_refused(clusters: Any) -> None:
    with pytest.raises(InvalidQuery, match=r"clusters.*1 to 3"):
        RECOMMENDER.recommend("alien", clusters=clusters)


@pytest.mark.parametrize("rank", ["best", "", None, 1, ["blend"], np.array(["blend", "best"])])
def test_an_unknown_ranking_is_refused(rank: Any) -> None:
    with pytest.raises(InvalidParam, match="blend, relevance, popularity"):
        RECOMMENDER.recommend("alien", rank=rank)


# -- the answer as data -----------------------------------------------------------------


def test_the_answer_is_one_json_object() -> None:
    view = RECOMMENDER.recommend("kitchen", limit=1).to_dict()
    assert json.loads(json.dumps(view, allow_nan=False)) == view
    assert list(view) == ["query", "terms", "cluster", "items", "message"]
    assert list(view["cluster"]) == ["label", "size", "top_terms"]
    [item] = view["items"]
    assert (item["id"], item["title"]) == (21, "<script>alert(1)</script>")
    assert (item["popularity"], item["vote_average"]) == (95.0, 4.0)
    assert set(item) == {
        *("id", "title", "popularity", "vote_average", "score", "parts", "label"),
    }
    assert set(item["parts"]) == {
        *("relevance", "fame", "relevance_weight", "fame_weight"),
    }


def test_nothing_found_is_one_json_object_too() -> None:
    view = RECOMMENDER.recommend("zebra").to_dict()
    assert json.loads(json.dumps(view)) == view
    assert (view["cluster"], view["items"], view["terms"]) == (None, [], [])


# -- similar items, and texts put into clusters ------------------------------------------


@pytest.mark.parametrize("row", range(len(ITEMS)))
def test_similar_items_are_those_of_the_highest_cosine(row: int) -> None:
    cosines = toy_rows() @ toy_rows()[row]
    expected = {
        ITEMS[other][0]: cosine
        for other, cosine in enumerate(cosines)
        if other != row and cosine > 1e-12
    }
    found = RECOMMENDER.similar(ITEMS[row][0], limit=len(ITEMS))
    assert {item.id: item.score for item in found} == pytest.approx(expected, abs=1e-6)
    scores = [item.score for item in found]
    assert scores == sorted(scores, reverse=True)
    assert len(RECOMMENDER.similar(ITEMS[row][0], limit=2)) == min(2, len(expected))


@pytest.mark.parametrize("unknown", [0, "10", 10.5, True, None])
def test_items_like_one_that_is_not_there_are_refused(unknown: Any) -> None:
    with pytest.raises(UnknownItem, match="no item"):
        RECOMMENDER.similar(unknown)


def test_the_limit_of_similar_items_is_checked() -> None:
    with pytest.raises(InvalidQuery, match="limit"):
        RECOMMENDER.similar(10, limit=0)


@given(words=st.lists(st.lists(st.sampled_from([*TERMS, "zebra"]), max_size=5), max_size=6))
def test_texts_go_to_the_nearest_centroid(words: list[list[str]]) -> None:
    labels, distances = RECOMMENDER.predict([" ".join(each) for each in words])
    assert labels.shape == distances.shape == (len(words),)
    for each, label, distance in zip(words, labels, distances, strict=True):
        known = [word for word in each if word != "zebra"]
        if not known:
            assert label == -1
            assert np.isnan(distance)
            continue
        all_distances = np.linalg.norm(TOY.centroids - query_row(known), axis=1)
        assert distance == pytest.approx(all_distances.min(), abs=1e-6)
        assert all_distances[label] == pytest.approx(all_distances.min(), abs=1e-6)


def test_a_text_goes_to_no_empty_cluster() -> None:
    with_empty = toy_model(labels=np.where(TOY.labels == SPACE, NONE, TOY.labels))
    labels, _ = Recommender(with_empty).predict(["alien planet spaceship"])
    assert labels[0] != SPACE


def test_what_is_no_text_is_not_put_into_a_cluster() -> None:
    with pytest.raises(InvalidQuery):
        RECOMMENDER.predict(["alien", 7])  # type: ignore[list-item]


# -- top terms --------------------------------------------------------------------------


def test_top_terms_are_the_heaviest_with_ties_by_column() -> None:
    centroids = np.array([[0.1, 0.5, 0.1, 0.3, 0.1], [0, 0, 0.2, 0, 0], [0, 0, 0, 0, 0]])
    terms = ["a", "b", "c", "d", "e"]
    assert top_terms(centroids, terms, 4) == [["b", "d", "a", "c"], ["c"], []]
    assert top_terms(centroids, terms)[0] == ["b", "d", "a", "c", "e"]


def test_every_cluster_has_a_view_and_an_empty_one_no_terms() -> None:
    with_empty = toy_model(labels=np.where(TOY.labels == KITCHEN, NONE, TOY.labels))
    views = cluster_views(with_empty)
    assert [view.label for view in views] == [SPACE, KITCHEN, WAR]
    assert [view.size for view in views] == [4, 0, 4]
    assert [bool(view.top_terms) for view in views] == [True, False, True]
    assert views[SPACE] == RECOMMENDER.recommend("alien").cluster


@given(
    weights=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=30),
    count=st.integers(1, 35),
)
def test_top_terms_are_what_sorting_finds(weights: list[float], count: int) -> None:
    expected = sorted((at for at, w in enumerate(weights) if w), key=lambda at: (-weights[at], at))
    terms = [str(at) for at in range(len(weights))]
    [found] = top_terms(np.array([weights], dtype=np.float32), terms, count)
    assert found == [str(at) for at in expected[:count]]


# -- one text where many are expected --------------------------------------------------------


@pytest.mark.parametrize("texts", ["ship on mars", b"ship on mars", "", np.str_("ship")])
def test_one_text_is_no_sequence_of_texts(texts: Any) -> None:
    with pytest.raises(InvalidParam, match=r"put a single one in a list"):
        RECOMMENDER.predict(texts)


@pytest.mark.parametrize("texts", [{"alien": 1}, {"alien"}, 5, None, np.array([["alien"]])])
def test_what_is_no_sequence_of_texts_is_refused(texts: Any) -> None:
    with pytest.raises(InvalidParam, match=r"^texts must be"):
        RECOMMENDER.predict(texts)


@pytest.mark.parametrize("text", [b"alien", None, 5, ["alien"], float("nan")])
def test_each_of_the_texts_is_a_text(text: Any) -> None:
    with pytest.raises(InvalidQuery, match="must be text"):
        RECOMMENDER.predict(["planet", text])
    with pytest.raises(InvalidQuery, match="must be text"):
        RECOMMENDER.recommend(text)


def test_texts_of_any_sequence_are_predicted_alike() -> None:
    texts = ["alien planet", "zebra", "chef"]
    expected = RECOMMENDER.predict(texts)[0].tolist()
    assert expected == [0, -1, 1]
    for same in (tuple(texts), np.array(texts), iter(texts), pa.array(texts).to_pylist()):
        assert RECOMMENDER.predict(same)[0].tolist() == expected  # type: ignore[arg-type]
    assert RECOMMENDER.predict([])[0].tolist() == []


@pytest.mark.parametrize("terms", ["x" * 13, b"x" * 13, ["alien"]])
def test_terms_are_one_for_each_column(terms: Any) -> None:
    with pytest.raises(InvalidParam, match=r"^terms must be a sequence of \d+ texts"):
        top_terms(TOY.centroids, terms)


@pytest.mark.parametrize("item", [None, [10], {}, 10.0, True, b"10", float("nan")])
def test_what_is_no_id_is_the_id_of_no_item(item: Any) -> None:
    with pytest.raises(UnknownItem):
        RECOMMENDER.similar(item)
