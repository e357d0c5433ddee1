"""Searching: what an item has in its title, text, lists or columns is found, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from toy import ITEMS, KITCHEN, NONE, SPACE, TERMS, WAR, text_features, toy_model, toy_rows

from gpu_kmeans import Searcher, SearchResult
from gpu_kmeans.errors import GpuKMeansError, InvalidParam, InvalidQuery, UnknownItem
from gpu_kmeans.features.combine import Features, Part
from gpu_kmeans.features.numbers import NumbersEncoder
from gpu_kmeans.features.tfidf import TfidfVectorizer
from gpu_kmeans.index.filters import parse_condition
from gpu_kmeans.index.matching import COMPLETION, PAIR, SATURATION, TYPING
from gpu_kmeans.index.postings import LENGTH_SHARE
from gpu_kmeans.index.query import MAX_WORDS, parse
from gpu_kmeans.index.vocabulary import MAX_VARIANTS, Vocabulary, edits
from gpu_kmeans.index.words import fold, words_of
from gpu_kmeans.model import Model, Postings
from gpu_kmeans.recommend import Recommender
from gpu_kmeans.search import FIRST, SEARCH_RANKS, SearchRank

TOY = toy_model()
SEARCHER = Searcher(TOY)


def ids(found: SearchResult) -> list[int | str]:
    return [item.id for item in found.items]


def model_of(
    texts: Sequence[str], others: dict[str, Any] | None = None, **columns: Sequence[Any]
) -> Model:
    """A model of texts in two clusters, with more columns of roles and without."""
    n = len(texts)
    vectorizer = TfidfVectorizer(backend="cpu", stop_words=None, token_pattern=r"(?u)\b\w+\b")
    rows = vectorizer.fit_transform([*texts, "unlike anything"])[:n]
    items = {"id": pa.array(range(n), pa.int64()), "text": pa.array(texts, pa.string())}
    items |= {name: pa.array(cells) for name, cells in columns.items()}
    return dataclasses.replace(
        TOY,
        items=pa.table(items),
        features=text_features(vectorizer),
        rows=Postings.from_csr(csr_matrix(rows)),
        labels=np.arange(n, dtype=np.int32) % 2,
        centroids=np.zeros((2, rows.shape[1]), dtype=np.float32),
        others=None if others is None else pa.table(others),
    )


def search(texts: Sequence[str], query: str, **columns: Sequence[Any]) -> list[int | str]:
    return ids(Searcher(model_of(texts, **columns)).search(query))


# -- what is found --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("ladle", {20, 23}),  # titles
        ("recipe", {21, 22, 23}),  # texts
        ("drama", {10}),  # lists
        ("RÉCIPE!", {21, 22, 23}),  # case, accents and signs do not count
        ("東京", {13}),
        ("京の", {13}),
        ("007", {33}),
        ("invasion chef", {10, 13, 31, 20, 21, 22}),  # any of the words
        ("rest", {20, 22, 23}),  # the beginning of a word, as one types
        ("spacehsip", {11, 12, 13}),  # two letters exchanged
        ("spaceshp", {11, 12, 13}),  # a letter less
        ("spacesship", {11, 12, 13}),  # a letter more
        ("spacexhip", {11, 12, 13}),  # another letter
        ("lasttrench", {31}),  # a space less
        ('"kitchen recipe"', {21, 23}),
        ('"recipe kitchen"', set()),
        ('"alien invasion" rescue', {10}),  # a phrase must be there
        ("«kitchen recipe»", {21, 23}),
        ("script", {21}),
    ],
)
def test_items_that_have_a_word_are_found(query: str, expected: set[int]) -> None:
    found = SEARCHER.search(query, limit=100)
    assert set(ids(found)) == expected
    assert found.total == len(expected)


def test_the_item_that_has_the_query_for_a_title_comes_first() -> None:
    assert ids(SEARCHER.search("salt"))[0] == 22
    texts = ["jaws jaws jaws", "a fish", "jaws of steel jaws", "the jaws"]
    assert search(texts, "jaws", title=["Teeth", "Jaws", "Jaws and Paws", "Night"])[0] == 1
    titles = ["New York York Cop", "York", "New York, New York"]
    assert search(["x"] * 3, "new york", title=titles)[0] == 2
    # One typing error in one of several words; "dart" is a word of another film.
    titles = ["The Dart", "The Dark Knight", "Knight Rider", "First Knight"]
    assert search(["x"] * 4, "the dart knight", title=titles)[0] == 1


def test_a_title_counts_more_than_a_text_and_a_short_text_more_than_a_long_one() -> None:
    texts = ["shark " + "water " * 30, "shark fish", "nothing", "other"]
    searcher = Searcher(model_of(texts, title=["A", "B", "Shark Lake", "D"]))
    assert ids(searcher.search("shark ", rank="relevance")) == [2, 1, 0]


def test_no_item_without_a_match_is_shown() -> None:
    for query in ("alien", "alien chef", "zebra", "rest", "alien zebra"):
        for rank in SEARCH_RANKS:
            found = SEARCHER.search(query, limit=100, rank=rank)
            assert all(item.reasons for item in found.items)
            assert len(found.items) == found.total < len(ITEMS)


@pytest.mark.parametrize("rank", SEARCH_RANKS)
def test_words_that_begin_with_the_last_one_come_after_the_word_itself(rank: SearchRank) -> None:
    texts = ["wars warm wardrobe", "a long text of peace and of war " * 5, "wars", "peace"]
    searcher = Searcher(model_of(texts, title=["Wars", "x", "Warm", "y"], popularity=[9, 1, 5, 3]))
    found = searcher.search("war", rank=rank)
    assert ids(found)[0] == 1
    assert set(ids(found)) == {0, 1, 2}
    assert ids(searcher.search("war ", rank=rank)) == [1]  # the word is done
    assert ids(searcher.search('"war"', rank=rank)) == [1]


def test_stop_words_and_common_words_select_nothing_beside_others() -> None:
    texts = ["the shining hotel", "the end", "the hill", "a shining light", "of mice"]
    assert set(search(texts, "the shining")) == {0, 3}
    assert set(search(texts, "the ")) == {0, 1, 2}  # alone it is what was asked for
    with_stop_words = dataclasses.replace(
        TOY, features=text_features(TfidfVectorizer.from_fitted(TERMS, np.ones(len(TERMS)), {}))
    )
    assert ids(Searcher(with_stop_words).search("the salt")) == [22]


def test_the_reasons_are_the_fields_and_the_words_that_match() -> None:
    [item] = SEARCHER.search("kitchen recpie", limit=1).items
    assert item.reasons == {"text": ["kitchen", "recipe"]}
    [item] = SEARCHER.search('"red planet" alie', limit=1).items
    assert item.reasons == {"title": ['"red planet"'], "text": ["alien"]}
    assert SEARCHER.search("東京").items[0].reasons == {"title": ["東京"]}
    assert SEARCHER.search("dra").items[0].reasons == {"genres": ["drama"]}
    assert SEARCHER.search("lasttrench").items[0].reasons == {"title": ['"last trench"']}


def test_items_carry_what_the_catalogue_says_of_them() -> None:
    [item] = SEARCHER.search("spaceship", limit=1, rank="popularity").items
    assert (item.rank, item.id, item.title, item.label) == (1, 11, "NA", SPACE)
    assert (item.popularity, item.vote_average) == (80.0, 7.5)
    bare = Searcher(toy_model(without=("title", "popularity", "rating", "genres")))
    [item] = bare.search("army", limit=1).items
    assert (item.title, item.popularity, item.vote_average) == (None, None, None)


# -- the rankings ---------------------------------------------------------------------------


def naive_scores(
    corpus: list[list[list[str]]], weights: list[float], query: str
) -> dict[int, float]:
    """Scores by the rule's words, item by item: ``corpus[item][field]`` are words."""
    n = len(corpus)
    vocabulary = {word for item in corpus for words in item for word in words}
    lengths = [[len(item[f]) for item in corpus if item[f]] for f in range(len(weights))]
    means = [max(1.0, sum(own) / len(own)) if own else 1.0 for own in lengths]

    def frequency(item: list[list[str]], count: Any) -> float:
        return sum(
            w * count(words) / (1 - LENGTH_SHARE + LENGTH_SHARE * len(words) / mean)
            for words, w, mean in zip(item, weights, means, strict=True)
        )

    def weigh(count: Any) -> dict[int, float]:
        tf = {i: f for i, item in enumerate(corpus) if (f := frequency(item, count)) > 0}
        idf = math.log(1 + (n - len(tf) + 0.5) / (len(tf) + 0.5))
        return {i: idf * f / (SATURATION + f) for i, f in tf.items()}

    def of(words: set[str]) -> dict[int, float]:
        return weigh(lambda own: sum(word in words for word in own))

    def of_pair(one: str, other: str) -> dict[int, float]:
        return weigh(lambda own: sum(pair == (one, other) for pair in pairwise(own)))

    def variants(word: str) -> set[str]:
        near = [w for w in vocabulary if len(word) >= 4 and edits(word, w) == 1]
        near.sort(key=lambda w: (-sum(any(w in own for own in item) for item in corpus), w))
        return set(near[:MAX_VARIANTS])

    words = list(dict.fromkeys(query.split()))
    scores: dict[int, float] = dict.fromkeys(range(n), 0.0)

    def add(own: dict[int, float], share: float = 1.0, but: Sequence[int] = ()) -> None:
        for i, score in own.items():
            scores[i] += share * score if i not in but else 0.0

    known = []
    for at, word in enumerate(words):
        is_last = query.split()[-1] == word
        completions = {w for w in vocabulary if w.startswith(word)} if is_last else set()
        main = of({word} & vocabulary or completions or variants(word))
        add(main)
        if word in vocabulary:
            add(of(completions - {word}), COMPLETION, list(main))
        if len(words) > 1 and (word in vocabulary or completions):
            add(of(variants(word)), TYPING, list(main))
        known.append(word in vocabulary)
        if at and known[at - 1] and known[at]:
            add(of_pair(words[at - 1], word), PAIR)
    return scores


WORDS = st.sampled_from(["alien", "aliens", "ailen", "alie", "moon", "mono", "sea", "seal", "war"])


@given(
    corpus=st.lists(
        st.tuples(st.lists(WORDS, max_size=3), st.lists(WORDS, max_size=8)), min_size=2, max_size=9
    ),
    query=st.lists(WORDS, min_size=1, max_size=4),
)
def test_scores_are_those_of_the_written_rule(
    corpus: list[tuple[list[str], list[str]]], query: list[str]
) -> None:
    titles, texts = [" ".join(t) for t, _ in corpus], [" ".join(t) for _, t in corpus]
    searcher = Searcher(model_of(texts, title=titles))
    weights = list(searcher.fields.values())
    expected = naive_scores([list(item) for item in corpus], weights, " ".join(query))
    found = searcher.search(" ".join(query), limit=100, rank="relevance")
    for item in found.items:
        assert item.score == pytest.approx(expected[item.id], rel=1e-5)  # type: ignore[index]
    has = [any(w in query for w in words_of(f"{titles[i]} {texts[i]}")) for i in ids(found)]  # type: ignore[index]
    if len(set(query)) == 1:  # items that have the word itself come first
        assert has == sorted(has, reverse=True)
    if len(set(query)) == 1 or all(has):
        for kind in (True, False):
            scores = [i.score for i, own in zip(found.items, has, strict=True) if own is kind]
            assert scores == sorted(scores, reverse=True)


def test_popularity_orders_the_items_that_match() -> None:
    found = SEARCHER.search("rescue planet ", rank="popularity")
    assert ids(found) == [21, 11, 10, 12, 13]  # 95, 80, 50, then 20 twice in the order of rows


def test_the_default_is_the_written_blend_of_match_cosine_and_fame() -> None:
    found = SEARCHER.search("planet rescue ", limit=100)
    scores = {i.id: i.score for i in SEARCHER.search("planet rescue ", rank="relevance").items}
    fame = {i.id: i.score for i in SEARCHER.search("planet rescue ", rank="popularity").items}
    blend = {i.id: i.score for i in SEARCHER.search("planet rescue ", rank="blend").items}
    query = np.array([term in ("planet", "rescue") for term in TERMS]) * 1.0
    idf = TOY.vectorizer.idf_
    query = query * idf / np.linalg.norm(query * idf)
    cosines = dict(zip([item[0] for item in ITEMS], toy_rows() @ query, strict=True))
    best, nearest = max(scores.values()), max(cosines.values())
    for item in found.items:
        expected = 0.75 * scores[item.id] / best + 0.2 * cosines[item.id] / nearest  # type: ignore[index]
        assert item.score == pytest.approx(expected + 0.05 * fame[item.id], abs=1e-5)
        expected = 0.75 * scores[item.id] / best + 0.25 * fame[item.id]
        assert blend[item.id] == pytest.approx(expected, abs=1e-6)


def test_a_catalogue_without_popularity_is_said_to_have_none() -> None:
    searcher = Searcher(toy_model(without=("popularity",)))
    for rank in ("blend", "popularity"):
        assert "no popularity" in (searcher.search("alien", rank=rank).message or "")  # type: ignore[arg-type]
    assert searcher.search("alien").message is None


def test_lists_are_no_title_where_there_is_none() -> None:
    columns = {"keywords": [["war"], ["war", "peace"]], "popularity": [1.0, 2.0]}
    searcher = Searcher(model_of(["a war of war", "a war"], **columns))
    assert searcher._index[0].title_lengths.tolist() == [0, 0]
    searcher = Searcher(model_of(["a war of war", "a war"], title=["War", "Peace"]))
    assert searcher._index[0].title_lengths.tolist() == [1, 1]


def test_a_short_list_is_the_beginning_of_a_long_one() -> None:
    random = np.random.default_rng(3)
    texts = [" ".join(random.choice(TERMS, 4)) for _ in range(300)]
    searcher = Searcher(model_of(texts, popularity=random.integers(0, 5, 300).astype(float)))
    for rank in SEARCH_RANKS:
        whole = ids(searcher.search("alien chef", limit=300, rank=rank))
        for limit in (1, 7, 40):
            assert ids(searcher.search("alien chef", limit=limit, rank=rank)) == whole[:limit]


# -- what is not found ----------------------------------------------------------------------


def test_words_that_nothing_matches_are_said_and_near_ones_offered() -> None:
    found = SEARCHER.search("zspacesip alien")
    assert [c.word for c in found.corrections] == ["zspacesip"]
    assert found.corrections[0].nearest[0] == "spaceship"
    assert not found.corrections[0].used
    assert "nothing matches zspacesip" in (found.message or "")
    assert set(ids(found)) == {10, 12}
    found = SEARCHER.search("keetchin")
    assert (found.total, found.items, found.facets) == (0, (), ())
    assert found.corrections[0].nearest == ("kitchen",)
    found = SEARCHER.search("kitchn")
    assert (found.corrections[0].nearest, found.corrections[0].used) == (("kitchen",), True)
    assert found.message == "nothing matches kitchn: these match kitchen"


def test_short_words_and_numbers_have_no_typing_errors() -> None:
    assert SEARCHER.search("now").total == 1
    assert SEARCHER.search("nov").total == 0
    assert search(["1984", "1985"], "1986") == []


@pytest.mark.parametrize("query", ["", " ", "!?", '""', "\x00", "…", "👽"])
def test_a_query_without_a_word_finds_nothing_and_says_so(query: str) -> None:
    found = SEARCHER.search(query)
    assert (found.total, found.items) == (0, ())
    assert "no word" in (found.message or "")


@given(st.text(max_size=60) | st.text('"«»“” alien京ก\u0301é-*()', max_size=40))
def test_any_text_is_a_query(query: str) -> None:
    for rank in SEARCH_RANKS:
        found = SEARCHER.search(query, rank=rank)
        assert found.query == query
        assert len(found.items) == min(10, found.total)
        assert sum(facet.hits for facet in found.facets) == found.total
        json.dumps(found.to_dict(), allow_nan=False)


@given(st.text())
def test_words_are_folded_once_and_for_all(text: str) -> None:
    words = words_of(text)
    assert [w for word in words for w in words_of(word)] == words
    assert all(len(word) <= 64 for word in words)


@pytest.mark.parametrize("query", [None, 3, b"alien", ["alien"], "a" * 10_001, "\udcff"])
def test_what_is_no_query_is_refused(query: Any) -> None:
    with pytest.raises(InvalidQuery):
        SEARCHER.search(query)


@pytest.mark.parametrize("limit", [0, -1, 1001, True, 1.0, "3", None])
def test_a_limit_outside_1_to_1000_is_refused(limit: Any) -> None:
    with pytest.raises(InvalidQuery, match="limit"):
        SEARCHER.search("alien", limit)
    with pytest.raises(InvalidQuery, match="limit"):
        SEARCHER.like([10], limit=limit)


@pytest.mark.parametrize("rank", ["", "article", None, 1, ["best"]])
def test_an_unknown_ranking_is_refused(rank: Any) -> None:
    with pytest.raises(InvalidParam, match="best, blend, relevance, popularity"):
        SEARCHER.search("alien", rank=rank)


def test_of_a_very_long_query_the_first_words_count() -> None:
    query = " ".join(["zebra", *["alien"] * (MAX_WORDS - 1), "chef"])
    found = SEARCHER.search(query)
    assert set(ids(found)) == {10, 12}
    assert "only the first 100 words count: 1 are left out" in (found.message or "")
    assert SEARCHER.search("a" * 10_000).total == 0
    assert SEARCHER.search('"' + "b " * 4_999 + '"').total == 0
    assert SEARCHER.search("京" * 10_000).total == 0


# -- scripts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("東京タワーの夜", "タワー"),
        ("東京タワーの夜", "京タ"),
        ("我爱北京天安门", "北京"),
        ("서울의 봄", "서울의"),
        ("서울의 봄", "서울"),  # the beginning of a word
        ("ภาพยนตร์ไทย", "ไทย"),
        ("यह एक हिन्दी कहानी है", "हिन्दी"),
        ("Ελληνική ταινία", "ελληνικη"),
        ("Ёлки и ёжики", "елки"),
        ("فِيلْم", "فيلم"),
        ("Amélie à Łódź", "amelie lodz"),
        ("Straße", "STRASSE"),
        ("ﬁlm №1", "film"),
        ("\uff26\uff35\uff2c\uff2c", "full"),
        ("𠮷野家", "𠮷野"),
        ("O'Brien", "brien"),
    ],
)
def test_every_script_is_found(text: str, query: str) -> None:
    assert search(["another text", text, "別の話"], query)[:1] == [1]


def test_letters_that_stand_apart_are_no_run() -> None:
    texts = ["東の京", "東京", "京東"]
    assert search(texts, "東京") == [1]
    assert set(search(texts, "東 京")) == {0, 1, 2}
    assert search(texts, '"東京"') == [1]


def test_folding() -> None:
    assert fold("ÀÉÎ Straße İstanbul ﬁ Ⅷ") == "aei strasse istanbul fi viii"
    assert words_of("don't stop-2 me_now") == ["don", "t", "stop", "2", "me", "now"]


# -- fields ---------------------------------------------------------------------------------


def test_columns_that_hold_words_are_searched_and_others_are_not() -> None:
    others = {
        "tagline": ["In space no one hears", "", None, "x"],
        "companies": ['[{"name": "Warner Bros", "id": 3}]', "[]", '[{"name": "Gaumont"}]', ""],
        "homepage": ["http://alpha.com", "https://beta.org", "", "http://alpha.com"],
        "released": ["2001-02-03", "1999-01-01", "", "2003-04-05"],
        "budget": ["100", "2.5e6", "", "-3"],
        "number": pa.array([1.0, 2.0, None, 4.0]),
        "title": ["Own", "Other", "Third", "Fourth"],  # as a role that the model does not have
    }
    searcher = Searcher(model_of(["a", "b", "c", "d"], others))
    assert set(searcher.fields) == {"text", "tagline", "companies"}
    assert ids(searcher.search("gaumont")) == [2]
    assert ids(searcher.search("hears")) == [0]
    assert searcher.search("name").total == searcher.search("alpha").total == 0


def test_weights_change_what_a_field_counts() -> None:
    model = model_of(["shark", "other", "more"], title=["x", "Shark", "y"])
    assert ids(Searcher(model, {"text": 99, "title": 0.01}).search("shark ", rank="relevance")) == [
        0,
        1,
    ]
    assert ids(Searcher(model, {"title": 0}).search("shark ")) == [0]
    for weights in ({"plot": 1.0}, {"title": -1}, {"title": True}, {"title": "2"}):
        with pytest.raises(InvalidParam, match="weights"):
            Searcher(model, weights)  # type: ignore[arg-type]


def test_a_word_in_texts_of_many_fields_is_found_in_each_of_them() -> None:
    columns = {f"c{at}": ["blue whale" if at % 3 else "red fox", "x"] for at in range(70)}
    searcher = Searcher(model_of(["fox", "y"], columns))
    [item] = searcher.search("fox ").items
    assert list(item.reasons) == [name for name in searcher.fields if item.reasons.get(name)]
    assert {"text", "c0", "c3"} <= set(item.reasons)
    assert "c1" not in item.reasons


# -- clusters and filters -------------------------------------------------------------------


def test_facets_count_the_hits_of_each_cluster() -> None:
    found = SEARCHER.search("rescue invasion trench untold", limit=1)
    assert [(f.label, f.hits) for f in found.facets] == [
        (SPACE, 3),
        (NONE, 1),
        (KITCHEN, 1),
        (WAR, 1),
    ]
    assert len({facet.name for facet in found.facets}) == 4
    named = Searcher(dataclasses.replace(TOY, names={SPACE: "In orbit"}))
    assert named.search("planet").facets[0].name == "In orbit"


def test_clusters_restrict_the_items_and_not_the_facets() -> None:
    everything = SEARCHER.search("rescue invasion")
    found = SEARCHER.search("rescue invasion", clusters=[KITCHEN, WAR])
    assert {item.label for item in found.items} == {KITCHEN, WAR}
    assert found.total == 2
    assert found.facets == everything.facets
    scores = {item.id: item.score for item in everything.items}
    assert all(item.score == pytest.approx(scores[item.id]) for item in found.items)
    assert SEARCHER.search("chef", clusters=[SPACE]).message == (
        "nothing that matches passes the filters and is in the clusters"
    )
    assert ids(SEARCHER.search("", clusters=[NONE])) == [40]
    for label in (3, -2, True, 1.0, "0", None):
        with pytest.raises(UnknownItem, match="0 to 2"):
            SEARCHER.search("alien", clusters=[label])  # type: ignore[list-item]
    for clusters in (1, "01"):
        with pytest.raises(InvalidParam, match="clusters"):
            SEARCHER.search("alien", clusters=clusters)  # type: ignore[arg-type]


TABLE = model_of(
    ["a war", "a war", "a war", "peace"],
    {
        "year": pa.array([1977.0, 1999.0, None, 2001.0]),
        "budget": ["100", "2e3", "", "50.5"],
        "country": ["Côte d'Ivoire", "Norway", "", "norway"],
        "tags": ['["x", "y"]', "[]", "", '["Y"]'],
    },
    genres=[["Science Fiction", "War"], ["War"], [], ["Drama"]],
    date=["1977-05-25", "1999-12-31", "", "2001-01-01"],
    rating=[7.5, 8.0, 6.0, 7.0],
    popularity=[1.0, 2.0, 3.0, 4.0],
)
TABLE_SEARCHER = Searcher(TABLE)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, {0, 1, 2, 3}),
        ({"year": {"min": 1990}}, {1, 3}),
        ({"year": {"max": 1999}}, {0, 1}),
        ({"year": {"min": 1977, "max": 1977.0}}, {0}),
        ({"year": "2001"}, {3}),
        ({"budget": {"min": "99"}}, {0, 1}),  # texts that are all numbers are numbers
        ({"budget": 2000}, {1}),
        ({"genres": "war"}, {0, 1}),
        ({"genres": "science"}, set()),  # the whole name
        ({"genres": ["War", "drama"]}, {0, 1, 3}),
        ({"tags": "y"}, {0, 3}),  # a JSON list without a role
        ({"country": "NORWAY"}, {1, 3}),
        ({"country": "cote d'ivoire"}, {0}),
        ({"date": {"min": "1999", "max": "1999"}}, {1}),
        ({"date": {"min": "1977-05-25", "max": "1999-12-30"}}, {0}),
        ({"release_date": {"min": "2000"}}, {3}),  # by the name in the file
        ({"vote_average": {"min": 7.25}}, {0, 1}),
        ({"rating": {"min": 7.25}, "genres": "War", "year": {"min": 1980}}, {1}),
        ({"id": 2}, {2}),
        ({"rating": {"min": None, "max": 6}}, {2}),
    ],
)
def test_filters_keep_what_their_words_say(filters: dict[str, Any], expected: set[int]) -> None:
    assert set(ids(TABLE_SEARCHER.search("", filters=filters))) == expected
    assert set(ids(TABLE_SEARCHER.search("war", filters=filters))) == expected - {3}


def test_without_words_items_that_pass_come_by_popularity() -> None:
    assert ids(TABLE_SEARCHER.search("", filters={})) == [3, 2, 1, 0]


def test_a_year_is_that_of_the_date_where_there_is_no_such_column() -> None:
    model = dataclasses.replace(TABLE, others=None)
    assert ids(Searcher(model).search("", filters={"year": {"min": 1999}})) == [3, 1]


@pytest.mark.parametrize(
    "filters",
    [
        [("year", 1)],
        {"plot": "x"},
        {3: "x"},
        {"year": "soon"},
        {"year": {}},
        {"year": {"least": 3}},
        {"year": True},
        {"year": [float("nan")]},
        {"year": {"min": [3]}},
        {"country": None},
        {"country": {"min": ["a"]}},
        {"country": list("ab" * 501)},
        {"genres": [["War"]]},
    ],
)
def test_filters_that_cannot_be_are_refused(filters: Any) -> None:
    with pytest.raises(InvalidParam):
        TABLE_SEARCHER.search("war", filters=filters)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("year>=1990", ("year", {"min": "1990"})),
        ("year <= 1990", ("year", {"max": "1990"})),
        ("genres=Science Fiction", ("genres", "Science Fiction")),
        ("a=b=c", ("a", "b=c")),
        ("name=", ("name", "")),
    ],
)
def test_conditions_are_read_from_texts(text: str, expected: tuple[str, Any]) -> None:
    assert parse_condition(text) == expected


@pytest.mark.parametrize(
    "text", ["", "year", "=3", ">=3", "year>3", "year!=3", "year=>3x", "year<"]
)
def test_texts_that_are_no_condition_are_refused(text: str) -> None:
    if text == "year=>3x":
        assert parse_condition(text) == ("year", ">3x")
        return
    with pytest.raises(InvalidParam, match="is no condition"):
        parse_condition(text)


def test_diversity_limits_a_cluster_among_the_first_ten() -> None:
    texts = [f"alien {'x ' * at}" for at in range(40)]
    model = dataclasses.replace(
        model_of(texts), labels=np.array([0] * 20 + [1] * 17 + [NONE] * 3, dtype=np.int32)
    )
    searcher = Searcher(model)
    plain = ids(searcher.search("alien ", limit=40))
    assert plain[:10] == list(range(10))
    spread = searcher.search("alien ", limit=40, diversity=3)
    labels = [item.label for item in spread.items[:FIRST]]
    # As no others follow, one more of a cluster has its turn, the best that was left out.
    assert (labels.count(0), labels.count(1), labels.count(NONE)) == (4, 3, 3)
    assert ids(spread)[FIRST - 1] == 3
    assert sorted(ids(spread)) == sorted(plain)  # type: ignore[type-var]
    assert ids(searcher.search("alien ", diversity=10)) == plain[:10]
    labels = [item.label for item in searcher.like([0], diversity=2).items]
    assert (labels.count(0), labels.count(1), labels.count(NONE)) == (5, 2, 3)


# -- items like some, and unlike others -----------------------------------------------------


@pytest.mark.parametrize("row", range(len(ITEMS)))
def test_items_like_one_are_those_of_the_recommender(row: int) -> None:
    similar = Recommender(TOY).similar(ITEMS[row][0], limit=20)
    found = SEARCHER.like([ITEMS[row][0]], limit=20)
    assert ids(found) == [item.id for item in similar]
    assert [i.score for i in found.items] == pytest.approx([i.score for i in similar], abs=1e-6)


def test_what_is_liked_counts_for_and_what_is_not_against() -> None:
    rows = toy_rows()
    target = (rows[0] + rows[2]) / 2 - 0.5 * rows[3]
    cosines = rows @ target / np.linalg.norm(target)
    expected = {
        item[0]: cosine
        for item, cosine in zip(ITEMS, cosines, strict=True)
        if cosine > 1e-9 and item[0] not in (10, 12, 13)
    }
    found = SEARCHER.like([10, 12], [13], limit=20)
    assert {item.id: item.score for item in found.items} == pytest.approx(expected, abs=1e-6)
    assert found.items[0].reasons["text"][0] in ITEMS[0][5] + ITEMS[2][5]
    assert found.total == len(expected)
    assert ids(SEARCHER.like([10], filters={"rating": {"min": 8}})) == [13]
    assert {i.label for i in SEARCHER.like([10], clusters=[WAR]).items} == {WAR}


@pytest.mark.parametrize(
    ("liked", "disliked"), [([], []), ([], [10]), ([10], [10]), ("10", []), (10, []), ([10], "1")]
)
def test_likes_that_cannot_be_are_refused(liked: Any, disliked: Any) -> None:
    with pytest.raises(InvalidParam):
        SEARCHER.like(liked, disliked)


@pytest.mark.parametrize("item", [0, "10", 10.5, True, None, [10]])
def test_items_like_one_that_is_not_there_are_refused(item: Any) -> None:
    with pytest.raises(UnknownItem, match="no item"):
        SEARCHER.like([item])


# -- models without texts -------------------------------------------------------------------


def numbers_model() -> tuple[Model, np.ndarray[Any, Any]]:
    rows = np.array([[0.0, 0], [1, 0], [0, 3], [5, 5], [6, 5]], dtype=np.float32)
    encoder = NumbersEncoder(["height", "width"])
    encoder.fit_transform({"height": rows[:, 0], "width": rows[:, 1]}, None)  # type: ignore[arg-type]
    model = Model(
        items=pa.table({"id": pa.array(range(5), pa.int64())}),
        features=Features([Part(encoder)]),
        rows=rows,
        labels=np.array([0, 0, 0, 1, 1], dtype=np.int32),
        centroids=np.array([[1 / 3, 1], [5.5, 5]], dtype=np.float32),
        info=TOY.info,
        others=pa.table({"height": rows[:, 0].astype(float), "width": rows[:, 1].astype(float)}),
    )
    return model, rows


def test_numbers_are_not_searched_but_filtered_and_liked() -> None:
    model, rows = numbers_model()
    searcher = Searcher(model)
    with pytest.raises(InvalidQuery, match="without texts"):
        searcher.search("tall")
    assert ids(searcher.search("", filters={"height": {"min": 1}})) == [1, 3, 4]
    found = searcher.like([0, 1], [2])
    target = 1.5 * rows[:2].mean(axis=0) - 0.5 * rows[2]
    distances = np.linalg.norm(rows - target, axis=1)
    expected = {row: 1 / (1 + distances[row]) for row in (3, 4)}
    assert {item.id: item.score for item in found.items} == pytest.approx(expected)
    similar = Recommender(model).similar(0)
    assert [item.id for item in similar] == ids(searcher.like([0]))


# -- the searcher itself --------------------------------------------------------------------


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(InvalidParam, match=r"Model\.load"):
        Searcher("model")  # type: ignore[arg-type]


def test_many_threads_get_the_answers_of_one() -> None:
    random = np.random.default_rng(5)
    texts = [" ".join(random.choice(TERMS, 6)) for _ in range(500)]
    queries = [" ".join(random.choice(TERMS, 2)) for _ in range(60)]
    model = model_of(texts)
    expected = [Searcher(model).search(query) for query in queries[:1]]
    alone = Searcher(model)
    expected = [alone.search(query) for query in queries]
    together = Searcher(model)  # which has no index yet
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(together.search, queries)) == expected


def test_a_searcher_goes_to_another_process() -> None:
    SEARCHER.search("spacehsip")
    again = pickle.loads(pickle.dumps(SEARCHER))
    assert again.search("spacehsip") == SEARCHER.search("spacehsip")
    assert "_deletions" not in vars(pickle.loads(pickle.dumps(SEARCHER._index[1])))


def test_the_answer_is_one_json_object() -> None:
    view = SEARCHER.search("kitchn alien", limit=2).to_dict()
    assert json.loads(json.dumps(view)) == view
    assert list(view) == ["query", "total", "items", "facets", "corrections", "message", "words"]
    assert set(view["items"][0]) == {
        *("rank", "id", "title", "popularity", "vote_average", "label", "score", "reasons"),
    }
    assert set(view["facets"][0]) == {"label", "name", "hits"}
    assert set(view["corrections"][0]) == {"word", "nearest", "used"}


# -- its parts ------------------------------------------------------------------------------


@given(st.lists(st.text("abcd", min_size=1, max_size=6), unique=True), st.text("abcd", max_size=7))
def test_words_at_one_typing_error_are_those_that_counting_finds(
    words: list[str], word: str
) -> None:
    vocabulary = Vocabulary(sorted(words), lambda number: 1)
    near = [w for w in sorted(words) if edits(word, w) == 1 and len(word) >= 4]
    assert [vocabulary[at] for at in vocabulary.variants(word)] == near[:MAX_VARIANTS]
    begin = [vocabulary[at] for at in vocabulary.beginning_with(word)]
    assert begin == [w for w in sorted(words) if w.startswith(word)]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("", "", 0), ("a", "", 1), ("ab", "ba", 1), ("kitten", "sitting", 3), ("abc", "ca", 3)],
)
def test_typing_errors_are_counted(one: str, other: str, expected: int) -> None:
    assert edits(one, other) == edits(other, one) == expected


@given(st.text('ab京 "“”', max_size=30))
def test_parsing_takes_every_word_once(query: str) -> None:
    parsed = parse(query)
    assert len(set(parsed.clauses)) == len(parsed.clauses)
    assert {w for clause in parsed.clauses for w in clause.words} == set(words_of(query))
    assert sum(clause.open for clause in parsed.clauses) <= 1


def test_errors_of_queries_are_all_ours() -> None:
    for query in ("\udc80", "x" * 20_000, 5):
        with pytest.raises(GpuKMeansError):
            SEARCHER.search(query)  # type: ignore[arg-type]


# -- the films, where they are --------------------------------------------------------------


@pytest.fixture(scope="module")
def films(tmdb: Path) -> Searcher:
    from gpu_kmeans import fit

    model = fit(tmdb / "tmdb_5000_movies.csv", n_clusters=25, max_iter=5, backend="cpu")
    items = model.items.drop_columns(["keywords"])
    return Searcher(dataclasses.replace(model, items=items))


def test_films_are_found_by_their_titles_even_mistyped(films: Searcher) -> None:
    from bench import search as bench

    titles = films.model.items["title"].to_pylist()[::12]
    assert all(bench._is_first(films, title, title) for title in titles)
    random = np.random.default_rng(0)
    long = [title for title in titles if bench._long_words(title)]
    first = [bench._is_first(films, bench._mistyped(title, random), title) for title in long]
    assert np.mean(first) >= 0.95


def test_the_best_match_of_a_word_is_among_the_first_ten_films(films: Searcher) -> None:
    from bench import search as bench

    figures = bench.words(films, np.random.default_rng(1), 100)
    assert figures["best_match_not_in_first_ten"]["bm25_of_fields"] == 0
    assert figures["best_match_not_in_first_ten"]["cosine"] <= 1
    assert figures["queries_with_an_unmatched_film_before_a_match"] == 0


def test_what_was_wrong_with_films_is_right(films: Searcher) -> None:
    assert films.search("Jaws").items[0].title == "Jaws"
    assert "Jaws" in [item.title for item in films.search("shark").items]
    robots = films.search("robot", limit=20).items
    assert all(any("robot" in w for r in item.reasons.values() for w in r) for item in robots)
