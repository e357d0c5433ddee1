"""BM25 and log-entropy against their definitions, written out term by term in float64."""

from __future__ import annotations

import json
from collections import Counter
from math import log, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_text import FILMS, any_corpus, assert_is_row, word_corpus

from gpu_kmeans.analysis import find_terms
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.protocol import TokenRules
from gpu_kmeans.stop_words import ENGLISH
from gpu_kmeans.text import TfidfVectorizer
from gpu_kmeans.weighting import Weighting, global_weights

K1, B = 1.2, 0.75


def bm25(fitted: list[Counter[str]], text: Counter[str]) -> dict[str, float]:
    """Weights of a text's terms, given the counts of the texts of the fit."""
    n = len(fitted)
    average = sum(sum(counts.values()) for counts in fitted) / n
    length = sum(text.values())
    weights = {}
    for term, tf in text.items():
        df = sum(term in counts for counts in fitted)
        idf = log(1 + (n - df + 0.5) / (df + 0.5))
        weights[term] = idf * tf * (K1 + 1) / (tf + K1 * (1 - B + B * length / average))
    return weights


def log_entropy(fitted: list[Counter[str]], text: Counter[str]) -> dict[str, float]:
    n = len(fitted)
    weights = {}
    for term, tf in text.items():
        total = sum(counts[term] for counts in fitted)
        shares = [counts[term] / total for counts in fitted if counts[term]]
        entropy = -sum(share * log(share) for share in shares) / log(n) if n > 1 else 0
        weights[term] = log(1 + tf) * (1 - entropy)
    return weights


DEFINITIONS = {"bm25": bm25, "log-entropy": log_entropy}


def norm_of(weights: dict[str, float], norm: str | None) -> float:
    if norm is None:
        return 1
    values = weights.values()
    mass = sum(values) if norm == "l1" else sqrt(sum(weight * weight for weight in values))
    # A weight that is 0 but for rounding must not be blown up by a norm that is, too.
    return mass if mass > 1e-12 else 1


@settings(max_examples=60)
@given(
    texts=word_corpus,
    queries=word_corpus,
    scheme=st.sampled_from(["bm25", "log-entropy"]),
    norm=st.sampled_from(["l2", "l1", None]),
    binary=st.booleans(),
    ngram_range=st.sampled_from([(1, 1), (1, 2)]),
)
def test_weights_are_those_of_the_definition(
    backend: Any, texts: list[str], queries: list[str], scheme: str, norm: str | None, **params: Any
) -> None:
    texts = [*texts, "moon moon thief", "crew"]
    vectorizer = TfidfVectorizer(
        weighting=scheme,
        norm=norm,
        dtype=np.float64,
        stop_words=None,
        backend=backend,
        **params,
    )
    rules = TokenRules(ngram_range=params["ngram_range"])
    fitted = [Counter(find_terms(text, rules)) for text in texts]
    known = set().union(*fitted)
    asked = [Counter(t for t in find_terms(text, rules) if t in known) for text in queries]
    if params["binary"]:
        fitted, asked = ([Counter(set(counts)) for counts in many] for many in (fitted, asked))
    terms = sorted(known)
    for rows, counted in (
        (vectorizer.fit_transform(texts), fitted),
        (vectorizer.transform(queries), asked),
    ):
        dense = backend.to_host(rows).toarray()
        assert vectorizer.get_feature_names_out().tolist() == terms
        for row, counts in zip(dense, counted, strict=True):
            weights = DEFINITIONS[scheme](fitted, counts)
            expected = [weights.get(term, 0) / norm_of(weights, norm) for term in terms]
            np.testing.assert_allclose(row, expected, rtol=1e-9, atol=1e-9)


@given(
    texts=any_corpus,
    scheme=st.sampled_from(["bm25", "log-entropy"]),
    norm=st.sampled_from(["l2", "l1", None]),
    dtype=st.sampled_from(["float32", "float64"]),
    use_idf=st.booleans(),
)
def test_a_query_has_the_bits_of_the_row(
    backend: Any, texts: list[str], scheme: str, **params: Any
) -> None:
    vectorizer = TfidfVectorizer(weighting=scheme, backend=backend, **params)
    rows = backend.to_host(vectorizer.fit_transform([*texts, *FILMS]))
    assert rows.dtype == np.dtype(params["dtype"])
    again = backend.to_host(vectorizer.transform([*texts, *FILMS]))
    assert (again != rows).nnz == 0
    for text, row in zip([*texts, *FILMS], rows, strict=True):
        columns, values = vectorizer.transform_query(text)
        assert values.dtype == rows.dtype
        np.testing.assert_array_equal(columns, row.indices)
        np.testing.assert_array_equal(values, row.data)


def test_a_long_text_weighs_a_term_less_by_bm25(backend: Any) -> None:
    texts = ["moon", "moon thief crew jewel", "sun"]
    rows = backend.to_host(
        TfidfVectorizer(weighting="bm25", norm=None, backend=backend).fit_transform(texts)
    ).toarray()
    vectorizer = TfidfVectorizer(weighting="bm25", norm=None, backend=backend).fit(texts)
    moon = vectorizer.vocabulary_["moon"]
    assert vectorizer.average_length_ == 2
    assert 0 < rows[1, moon] < rows[0, moon]
    # tf 1 in a text of half the average length: K = 1.2 (0.25 + 0.75 / 2) = 0.75
    assert rows[0, moon] == pytest.approx(log(1 + 1.5 / 2.5) * 2.2 / 1.75, rel=1e-6)


def test_a_count_never_weighs_more_than_k1_plus_1_times_its_idf(backend: Any) -> None:
    texts = ["moon " * 10_000, "sun"]
    vectorizer = TfidfVectorizer(weighting="bm25", norm=None, backend=backend)
    rows = backend.to_host(vectorizer.fit_transform(texts)).toarray()
    assert 0 < rows[0, 0] < (K1 + 1) * vectorizer.idf_[0]


def test_a_term_spread_evenly_weighs_nothing_by_log_entropy(backend: Any) -> None:
    texts = ["moon sun", "moon thief", "moon crew crew"]
    vectorizer = TfidfVectorizer(weighting="log-entropy", backend=backend)
    rows = backend.to_host(vectorizer.fit_transform([*texts, "moon"])).toarray()
    assert vectorizer.idf_.tolist() == [1, 0, 1, 1]
    assert rows[3].tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(np.linalg.norm(rows[:3], axis=1), 1, rtol=1e-6)
    columns, values = vectorizer.transform_query("moon")
    assert (columns.tolist(), values.tolist()) == ([1], [0])


def test_one_text_has_no_entropy(backend: Any) -> None:
    vectorizer = TfidfVectorizer(weighting="log-entropy", backend=backend).fit(["moon sun"])
    assert vectorizer.idf_.tolist() == [1, 1]


@pytest.mark.parametrize("scheme", ["bm25", "log-entropy", "tfidf"])
def test_texts_without_any_known_term_weigh_nothing(backend: Any, scheme: str) -> None:
    vectorizer = TfidfVectorizer(vocabulary=["moon"], weighting=scheme, backend=backend)
    assert vectorizer.fit_transform(["sun", ""]).nnz == 0
    rows = backend.to_host(vectorizer.transform(["moon", "sun"]))
    assert np.isfinite(rows.data).all()


@pytest.mark.parametrize("scheme", ["bm25", "log-entropy"])
@pytest.mark.parametrize("use_idf", [True, False])
def test_a_restored_vectorizer_weighs_as_the_fitted_one(scheme: str, use_idf: bool) -> None:
    fitted = TfidfVectorizer(weighting=scheme, use_idf=use_idf, backend="cpu").fit(FILMS)
    params = json.loads(json.dumps(fitted.storable_params()))
    restored = TfidfVectorizer.from_fitted(
        list(fitted.vocabulary_),
        fitted.idf_ if use_idf else (),
        {name: value for name, value in params.items() if name != "average_length_"},
        params.get("average_length_", 1.0),
    )
    assert (restored.transform(FILMS) != fitted.transform(FILMS)).nnz == 0
    assert_is_row(restored.transform_query(FILMS[0]), fitted.transform(FILMS[:1])[0])
    assert hasattr(fitted, "average_length_") == hasattr(restored, "average_length_")
    assert hasattr(fitted, "average_length_") == (scheme == "bm25")


def test_another_fit_leaves_no_average_behind() -> None:
    vectorizer = TfidfVectorizer(weighting="bm25", backend="cpu").fit(FILMS)
    lengths = [len(find_terms(text, TokenRules(ENGLISH))) for text in FILMS]
    assert vectorizer.average_length_ == pytest.approx(np.mean(lengths))
    vectorizer.set_params(weighting="tfidf").fit(FILMS)
    assert not hasattr(vectorizer, "average_length_")


@pytest.mark.parametrize("average", [0, -1, float("nan"), float("inf"), "moon", None])
def test_an_average_length_set_by_hand_is_checked(average: Any) -> None:
    vectorizer = TfidfVectorizer(weighting="bm25", backend="cpu").fit(FILMS)
    vectorizer.average_length_ = average
    for use in (lambda: vectorizer.transform(FILMS), lambda: vectorizer.transform_query("moon")):
        with pytest.raises(InvalidParam, match="average_length"):
            use()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scheme": "bm26"}, "weighting must be one of 'tfidf', 'bm25', 'log-entropy'"),
        ({"scheme": np.array(["bm25"])}, "weighting must be one of"),
        ({"norm": "max"}, "norm must be"),
        ({"dtype": "float16"}, "dtype must be float32 or float64"),
        ({"average_length": 0.0}, "average_length must be positive"),
        ({"scheme": "bm25", "sublinear": True}, "sublinear_tf=True belongs to weighting='tfidf'"),
    ],
    ids=str,
)
def test_a_weighting_is_checked_as_it_is_made(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidParam, match=message):
        Weighting(**fields)


def test_weights_of_terms_in_no_text_are_told() -> None:
    nothing = np.empty(0, np.int32)
    for scheme, expected in (("bm25", log(1 + 3.5 / 0.5)), ("log-entropy", 1.0)):
        weights = global_weights(Weighting(scheme=scheme), True, nothing, nothing, (3, 1))
        assert weights.tolist() == pytest.approx([expected])
