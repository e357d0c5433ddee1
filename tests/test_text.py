"""Tokens, vocabulary and weights: equal to scikit-learn's, for a corpus and for one query.

Tests that take ``backend`` are the contract of every backend; the others concern what is above
the seam, or how the CPU's work is cut.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from sklearn.feature_extraction.text import TfidfVectorizer as Peer

from cpu_fallback import text as counting
from gpu_kmeans.backends.protocol import TokenRules
from gpu_kmeans.errors import EmptyVocabulary, InputError, InvalidParam, InvalidQuery, NotFitted
from gpu_kmeans.features.stop_words import ENGLISH
from gpu_kmeans.features.tfidf import TfidfVectorizer, find_terms
from gpu_kmeans.features.weighting import Weighting

FILMS = [
    "A heist in space: the crew steals a moon, and the moon steals back.",
    "Two detectives chase a jewel thief through Paris.",
    "The crew of a spaceship meets an alien; the alien is hungry.",
    "Über den Dächern: a jewel thief in Nice, naïve and élégant.",
    "",
    "A detective, a moon, a thief. A moon!",
]

# Letters that other tokenisers stumble over: special lower-casing (dotted I, final sigma, sharp
# s, titlecase), marks, digits of other scripts, planes beyond the first, lone surrogates.
AWKWARD = (
    "aAbBñÑßẞ_-' \n\x00字한🎬\u0130\u0131\u03a3\u03c3\u03c2\u01c5\u0301\u2460\u00bd\u2167\u0663"
    "\u00aa\uff46\U0001d400\U00010400\u2019\u00ad\u200d\ud800\udc00"
)
any_text = st.text(
    st.one_of(st.sampled_from(AWKWARD), st.characters(exclude_categories=[])), max_size=30
)
any_corpus = st.lists(any_text, min_size=1, max_size=5)
words = st.sampled_from(["the", "moon", "Moon", "thief", "crew", "jewel", "and", "x"])
word_corpus = st.lists(st.lists(words, max_size=8).map(" ".join), min_size=1, max_size=6)


def assert_same_rows(ours: Any, theirs: Any) -> None:
    """Same places; values within one unit in the last place of float32."""
    theirs = sp.csr_matrix(theirs)
    theirs.sort_indices()
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(ours.indptr, theirs.indptr)
    np.testing.assert_array_equal(ours.indices, theirs.indices)
    np.testing.assert_array_max_ulp(ours.data, theirs.data.astype(np.float32), 1)


def assert_equals_peer(backend: Any, texts: list[str], **params: Any) -> None:
    """Same vocabulary, idf and rows as scikit-learn, or an error where it has one."""
    params.setdefault("stop_words", None)  # the defaults differ in this one
    peer = Peer(**params)
    try:
        theirs = peer.fit_transform(texts)
    except ValueError:
        with pytest.raises((EmptyVocabulary, InvalidParam)):
            TfidfVectorizer(backend=backend, **params).fit(texts)
        return
    vectorizer = TfidfVectorizer(backend=backend, **params)
    assert_same_rows(backend.to_host(vectorizer.fit_transform(texts)), theirs)
    assert vectorizer.get_feature_names_out().tolist() == peer.get_feature_names_out().tolist()
    assert vectorizer.vocabulary_ == peer.vocabulary_
    np.testing.assert_array_equal(vectorizer.idf_, peer.idf_)


# -- what a token is ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The MOON", ["the", "moon"]),
        ("don't x-ray a 3D 42 film_noir", ["don", "ray", "3d", "42", "film_noir"]),
        ("naïve Straße ÉLÉGANT", ["naïve", "straße", "élégant"]),
        ("cafe\u0301s", ["cafe"]),  # the mark separates, and "s" is too short
        ("ΟΔΟΣ", ["οδος"]),
        ("İstanbul", ["stanbul"]),  # lower-cased to i and a mark
        ("𐐀𐐁 字幕", ["𐐨𐐩", "字幕"]),
        ("<script>alert(1)</script>", ["script", "alert", "script"]),
        ("🎬🚀 (.*)+[ \u202e\u05e9\u05dc\u05d5", ["\u05e9\u05dc\u05d5"]),
        ("moon\x00rise\ud800set", ["moon", "rise", "set"]),
        ("a b c !", []),
        ("", []),
    ],
)
def test_tokens_are_runs_of_two_or_more_word_characters_lower_cased(
    backend: Any, text: str, tokens: list[str]
) -> None:
    assert find_terms(text, TokenRules()) == tokens
    terms, counts = backend.count_terms([text], TokenRules(), None)
    assert terms == sorted(set(tokens))
    assert counts.sum() == len(tokens)


def test_stop_words_go_before_neighbours_are_joined() -> None:
    rules = TokenRules(stop_words=frozenset({"and"}), ngram_range=(1, 2))
    assert find_terms("sun and moon", rules) == ["sun", "moon", "sun moon"]


def assert_terms_are_found(
    backend: Any, texts: list[str], rules: TokenRules, vocabulary: list[str] | None = None
) -> None:
    """The terms of ``find_terms`` and their numbers, text by text, in canonical rows."""
    expected = [Counter(find_terms(text, rules)) for text in texts]
    if vocabulary is None:
        known = sorted(set().union(*expected))
    else:
        known = vocabulary
        wanted = set(vocabulary)
        expected = [Counter(t for t in found.elements() if t in wanted) for found in expected]
    terms, counts = backend.count_terms(texts, rules, vocabulary)
    counts = backend.to_host(counts)
    assert terms == known
    assert counts.shape == (len(texts), len(known))
    assert counts.has_canonical_format
    for (first, last), found in zip(pairwise(counts.indptr), expected, strict=True):
        columns, numbers = counts.indices[first:last], counts.data[first:last]
        assert dict(zip((terms[column] for column in columns), numbers, strict=True)) == found


@pytest.mark.slow
@pytest.mark.parametrize("neighbours", ["{0}{0}", "_{0}\u5b57"])
def test_every_code_point_is_read_the_same_in_a_corpus_and_in_a_query(
    backend: Any, neighbours: str
) -> None:
    whole = [neighbours.format(chr(point)) for point in range(sys.maxunicode + 1)]
    # Short texts, as a backend may read a text of common characters in another way.
    texts = [" ".join(whole[start : start + 16]) for start in range(0, len(whole), 16)]
    assert_terms_are_found(backend, texts, TokenRules())


@given(
    texts=st.lists(any_text, max_size=5),
    stop_words=st.frozensets(st.one_of(any_text, words, st.sampled_from(["ab", "bñ", "字"]))),
    ngram_range=st.sampled_from([(1, 1), (1, 2), (2, 3)]),
    min_length=st.sampled_from([2, 2, 1, 3]),
)
def test_terms_are_those_of_a_query_for_any_text_and_rules(
    backend: Any, texts: list[str], **rules: Any
) -> None:
    assert_terms_are_found(backend, texts, TokenRules(**rules))


@given(
    texts=st.lists(st.one_of(any_text, st.sampled_from(["moon thief moon", "字幕 moon"]))),
    vocabulary=st.lists(
        st.one_of(any_text, st.sampled_from(["thief", "moon", "Moon", "moon thief", "字幕"])),
        unique=True,
    ),
)
def test_any_vocabulary_is_counted_in_its_own_order(
    backend: Any, texts: list[str], vocabulary: list[str]
) -> None:
    assert_terms_are_found(backend, texts, TokenRules(ngram_range=(1, 2)), vocabulary)


def test_a_stop_word_is_dropped_whole(backend: Any) -> None:
    rules = TokenRules(stop_words=frozenset({"the", "The", "a", "", "on the", "字幕"}))
    assert_terms_are_found(backend, ["The theme, on the moon: 字幕 字幕組", "the THE"], rules)


def test_the_english_stop_words_are_scikit_learns() -> None:
    assert len(ENGLISH) == 318
    assert ENGLISH == ENGLISH_STOP_WORDS


# -- equal to scikit-learn ------------------------------------------------------------


@given(any_corpus)
def test_any_text_is_vectorized_as_scikit_learn_does(backend: Any, texts: list[str]) -> None:
    assert_equals_peer(backend, texts)


@given(
    texts=word_corpus,
    stop_words=st.sampled_from([None, "english", ["moon", "jewel"]]),
    ngram_range=st.sampled_from([(1, 1), (1, 2), (2, 2), (2, 3), (1, 4)]),
    norm=st.sampled_from(["l2", "l1", None]),
    sublinear_tf=st.booleans(),
    smooth_idf=st.booleans(),
)
def test_each_option_means_what_it_means_in_scikit_learn(
    backend: Any, texts: list[str], **params: Any
) -> None:
    assert_equals_peer(backend, texts, **params)


@given(
    texts=word_corpus,
    min_df=st.one_of(st.integers(1, 4), st.floats(0, 1)),
    max_df=st.one_of(st.integers(1, 4), st.floats(0, 1)),
)
def test_document_frequency_limits_are_scikit_learns(
    backend: Any, texts: list[str], **limits: Any
) -> None:
    assert_equals_peer(backend, texts, **limits)


@pytest.mark.parametrize(
    "vocabulary",
    [
        ["thief", "moon", "dragon", "jewel"],
        ("moon",),
        {"thief": 1, "moon": 0, "jewel thief": 2},
        {"thief", "moon", "dragon"},
    ],
)
def test_a_fixed_vocabulary_gives_scikit_learns_columns(backend: Any, vocabulary: Any) -> None:
    assert_equals_peer(backend, FILMS, vocabulary=vocabulary, ngram_range=(1, 2))


def test_max_features_keeps_the_most_frequent_terms_and_of_equals_the_first(backend: Any) -> None:
    texts = ["bb bb aa cc", "dd cc", "ee"]  # cc and bb twice, the others once
    kept = [
        [*TfidfVectorizer(max_features=limit, backend=backend).fit(texts).vocabulary_]
        for limit in (1, 2, 3, 9)
    ]
    assert kept == [["bb"], ["bb", "cc"], ["aa", "bb", "cc"], ["aa", "bb", "cc", "dd", "ee"]]


def test_max_features_chooses_among_what_the_limits_leave(backend: Any) -> None:
    texts = ["aa aa aa", "bb cc cc", "bb cc"]
    assert_equals_peer(backend, texts, min_df=2, max_features=1)
    vectorizer = TfidfVectorizer(min_df=2, max_features=1, backend=backend)
    assert vectorizer.fit(texts).vocabulary_ == {"cc": 0}


def test_the_tmdb_overviews_give_scikit_learns_matrix(backend: Any, tmdb: Path) -> None:
    overviews = pd.read_csv(tmdb / "tmdb_5000_movies.csv", usecols=["overview"])["overview"]
    texts = overviews.fillna("")
    vectorizer, peer = TfidfVectorizer(backend=backend), Peer(stop_words="english")
    rows = backend.to_host(vectorizer.fit_transform(texts))
    assert rows.shape == (4803, 20978)
    assert rows.nnz == 125_840
    assert_same_rows(rows, peer.fit_transform(texts))
    assert vectorizer.vocabulary_ == peer.vocabulary_
    np.testing.assert_array_equal(vectorizer.idf_, peer.idf_)
    for text, row in zip(texts[:200], rows[:200], strict=True):
        assert_is_row(vectorizer.transform_query(text), row)


# -- one query and many texts ---------------------------------------------------------


def assert_is_row(query: tuple[Any, Any], row: Any) -> None:
    """Equal to the last bit."""
    columns, values = query
    assert (columns.dtype, values.dtype) == (np.int32, np.float32)
    np.testing.assert_array_equal(columns, row.indices)
    np.testing.assert_array_equal(values, row.data)


@given(
    texts=any_corpus,
    query=any_text,
    ngram_range=st.sampled_from([(1, 1), (1, 2), (2, 3)]),
    norm=st.sampled_from(["l2", "l1", None]),
    sublinear_tf=st.booleans(),
)
def test_a_query_is_read_and_weighed_as_the_texts_were(
    backend: Any, texts: list[str], query: str, **params: Any
) -> None:
    vectorizer = TfidfVectorizer(backend=backend, **params)
    fitted = backend.to_host(vectorizer.fit_transform([*texts, "moon moon thief moon"]))
    for text, row in zip(texts, fitted[:-1], strict=True):
        assert_is_row(vectorizer.transform_query(text), row)
    row = backend.to_host(vectorizer.transform([query]))
    assert_is_row(vectorizer.transform_query(query), row)


@settings(max_examples=25)
@given(st.lists(st.sampled_from(" ".join(FILMS).split()), max_size=400).map(" ".join))
def test_a_long_query_has_the_same_bits_too(backend: Any, text: str) -> None:
    vectorizer = TfidfVectorizer(backend=backend).fit(FILMS)
    row = backend.to_host(vectorizer.transform([text]))
    assert_is_row(vectorizer.transform_query(text), row)


def test_transform_repeats_fit_transform(backend: Any) -> None:
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), max_df=2, backend=backend)
    fitted = backend.to_host(vectorizer.fit_transform(FILMS))
    again = backend.to_host(vectorizer.transform(FILMS))
    assert fitted.dtype == again.dtype == np.float32
    assert fitted.has_sorted_indices and again.has_sorted_indices
    assert (fitted != again).nnz == 0
    np.testing.assert_allclose(sp.linalg.norm(fitted, axis=1), [1, 1, 1, 1, 0, 1], rtol=1e-6)


def test_a_text_without_a_known_term_is_an_empty_row(backend: Any) -> None:
    vectorizer = TfidfVectorizer(backend=backend).fit(FILMS)
    rows = backend.to_host(vectorizer.transform(["", "the", "unheard", "moon"]))
    assert np.diff(rows.indptr).tolist() == [0, 0, 0, 1]
    columns, values = vectorizer.transform_query("unheard 🎬")
    assert columns.shape == values.shape == (0,)
    assert vectorizer.transform([]).shape == (0, len(vectorizer.vocabulary_))


def test_weights_are_those_of_the_formula(backend: Any) -> None:
    vectorizer = TfidfVectorizer(norm=None, stop_words=None, backend=backend)
    rows = backend.to_host(vectorizer.fit_transform(["aa aa bb", "bb"]))
    rare = np.log(3 / 2) + 1
    np.testing.assert_allclose(rows.toarray(), [[2 * rare, 1], [0, 1]], rtol=1e-7)


def test_a_query_loads_no_module() -> None:
    program = """
import json, sys
from gpu_kmeans.features.tfidf import TfidfVectorizer
vectorizer = TfidfVectorizer.from_fitted(["moon", "thief"], [1.5, 2.0], {"sublinear_tf": True})
before = set(sys.modules)
vectorizer.transform_query("A thief, a moon, a moon")
heavy = {"scipy", "pandas", "polars", "pyarrow", "faiss"} & set(sys.modules)
print(json.dumps(sorted(set(sys.modules) - before) + sorted(heavy)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert json.loads(done.stdout) == []


# -- independence of how the work is cut ----------------------------------------------


@given(texts=any_corpus, size=st.integers(1, 40))
def test_chunks_do_not_show(texts: list[str], size: int) -> None:
    rules = TokenRules(stop_words=ENGLISH, ngram_range=(1, 2))
    corpus = [*texts, *FILMS]
    terms, counts = counting.count_terms(corpus, rules, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_CHUNK", size)
        cut_terms, cut_counts = counting.count_terms(corpus, rules, None)
    assert cut_terms == terms
    assert (cut_counts != counts).nnz == 0
    assert cut_counts.has_canonical_format


@pytest.mark.parametrize("vocabulary", [None, ["thief", "moon", "dragon"]])
def test_threads_do_not_show(monkeypatch: pytest.MonkeyPatch, vocabulary: list[str] | None) -> None:
    monkeypatch.setattr(counting, "_CHUNK", 500)
    results = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        vectorizer = TfidfVectorizer(vocabulary=vocabulary, backend="cpu")
        results.append((vectorizer.fit_transform(FILMS * 50), vectorizer.vocabulary_))
    for rows, columns in results[1:]:
        assert columns == results[0][1]
        assert (rows != results[0][0]).nnz == 0


def test_blocks_of_weighing_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    _, counts = counting.count_terms(FILMS * 3, TokenRules(), None)
    idf = np.linspace(1, 2, counts.shape[1])
    whole = counting.tfidf_transform(counts, idf, Weighting(sublinear=True))
    monkeypatch.setattr(counting, "_BLOCK", 7)
    np.testing.assert_array_equal(
        counting.tfidf_transform(counts, idf, Weighting(sublinear=True)).data, whole.data
    )


def test_without_idf_and_norm_weights_are_counts(backend: Any) -> None:
    _, counts = backend.count_terms(FILMS, TokenRules(), None)
    rows = backend.to_host(backend.tfidf_transform(counts, None, Weighting(norm=None)))
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows.toarray(), backend.to_host(counts).toarray())


@pytest.mark.parametrize("norm", ["l2", "l1", None])
@pytest.mark.parametrize("texts", [[], [""], ["", "moon"]])
def test_rows_without_terms_weigh_nothing(backend: Any, texts: list[str], norm: str | None) -> None:
    terms, counts = backend.count_terms(texts, TokenRules(), None)
    rows = backend.to_host(
        backend.tfidf_transform(counts, np.ones(len(terms)), Weighting(sublinear=True, norm=norm))
    )
    assert rows.shape == (len(texts), len(terms))
    assert rows.data.tolist() == [1.0] * len(terms)


# -- what may be given as texts -------------------------------------------------------


@pytest.mark.parametrize(
    "as_given",
    [
        tuple,
        iter,
        np.array,
        lambda texts: np.array(texts, dtype=object),
        pd.Series,
        lambda texts: pd.Series(texts, index=range(10, 10 + len(texts)), dtype=object),
        lambda texts: pd.Series(texts, dtype="category"),
    ],
    ids=[
        "tuple",
        "iterator",
        "array of str",
        "object array",
        "Series",
        "object Series",
        "category",
    ],
)
def test_any_column_of_texts_will_do(backend: Any, as_given: Any) -> None:
    vectorizer = TfidfVectorizer(backend=backend)
    expected = backend.to_host(vectorizer.fit_transform(FILMS))
    assert (backend.to_host(vectorizer.fit_transform(as_given(FILMS))) != expected).nnz == 0


def test_a_column_of_a_table_will_do(backend: Any, tmp_path: Path) -> None:
    texts = [*FILMS, "ΟΔΟΣ 𐐀𐐁 字幕 ⳬⳬ", "moon 🎬🚀 sun"]
    pd.DataFrame({"text": texts}).to_csv(tmp_path / "films.csv", index=False)
    column = backend.read_table(tmp_path / "films.csv", ["text"], [])["text"].fillna("")
    rules = TokenRules(ngram_range=(1, 2))
    expected_terms, expected = backend.count_terms(texts, rules, None)
    terms, counts = backend.count_terms(column, rules, None)
    assert terms == expected_terms
    assert (backend.to_host(counts) != backend.to_host(expected)).nnz == 0


@pytest.mark.parametrize("bad", [None, float("nan"), pd.NA, 7, ["moon"]])
@pytest.mark.parametrize("verb", ["fit", "fit_transform", "transform"])
def test_what_is_not_a_text_is_refused_with_its_position(backend: Any, bad: Any, verb: str) -> None:
    vectorizer = TfidfVectorizer(backend=backend).fit(FILMS)
    with pytest.raises(InputError, match=r"texts\[2\] is .*not a text.*''"):
        getattr(vectorizer, verb)(["moon", "thief", bad])


def test_a_missing_text_of_a_series_is_named_by_position(backend: Any) -> None:
    with pytest.raises(InputError, match=r"texts\[1\] is nan"):
        TfidfVectorizer(backend=backend).fit(pd.Series(["moon", None], index=[8, 9]))


@pytest.mark.parametrize(
    "bad",
    [
        "moon",
        b"moon",
        {"moon": 1},
        {"moon"},
        np.array([["moon"]]),
        np.array("moon"),
        pd.DataFrame({"text": ["moon"]}),
        7,
        None,
    ],
    ids=repr,
)
def test_what_is_no_column_of_texts_is_refused(bad: Any) -> None:
    vectorizer = TfidfVectorizer().fit(FILMS)
    for verb in (vectorizer.fit, vectorizer.fit_transform, vectorizer.transform):
        with pytest.raises(InvalidParam, match="texts must be"):
            verb(bad)


@pytest.mark.parametrize("bad", [None, 7, b"moon", ["moon"]])
def test_a_query_is_a_text(bad: Any) -> None:
    with pytest.raises(InvalidQuery, match="a query must be a text, got"):
        TfidfVectorizer().fit(FILMS).transform_query(bad)


@pytest.mark.parametrize(
    ("texts", "params", "message"),
    [
        ([], {}, "0 texts"),
        ([], {"vocabulary": ["moon"]}, "0 texts"),
        (
            ["", "a !", "the AND"],
            {},
            "none of the 3 texts holds a usable term.*stop words left out",
        ),
        (["moon", "sun"], {"ngram_range": (2, 2)}, "runs of 2 neighbours"),
        (["moon", "sun"], {"min_df": 2}, r"min_df=2 and max_df=1.0 leave none of the 2 terms"),
        (["moon", "moon"], {"max_df": 0.5}, r"max_df=0.5 leave none of the 1 terms of 2 texts"),
    ],
)
def test_nothing_usable_says_how_many_texts_and_why(
    backend: Any, texts: list[str], params: dict[str, Any], message: str
) -> None:
    with pytest.raises(EmptyVocabulary, match=message):
        TfidfVectorizer(**params, backend=backend).fit(texts)


# -- parameters -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"stop_words": "french"}, "stop_words must be 'english'.*'french'"),
        ({"stop_words": 5}, "stop_words must be a collection of words, got 5"),
        ({"stop_words": ["the", 5]}, "stop_words must hold text alone, but holds 5"),
        ({"ngram_range": 2}, "ngram_range must be two integers, got 2"),
        ({"ngram_range": (1, 2, 3)}, "ngram_range must be two integers"),
        ({"ngram_range": (0, 1)}, r"ngram_range\[0\] must be >= 1"),
        ({"ngram_range": (2, 1)}, r"lower boundary larger than the upper"),
        ({"ngram_range": (1, 1.5)}, r"ngram_range\[1\] must be an integer"),
        ({"min_df": 0}, "min_df.*0"),
        ({"min_df": True}, "min_df must be an integer, got True"),
        ({"min_df": 1.5}, "min_df.*got 1.5"),
        ({"min_df": float("nan")}, "min_df.*got nan"),
        ({"min_df": "1"}, "min_df.*got '1'"),
        ({"max_df": -0.1}, "max_df.*got -0.1"),
        ({"max_df": None}, "max_df.*got None"),
        ({"min_df": 3, "max_df": 2}, "min_df=3 .* max_df=2"),
        ({"min_df": 0.5, "max_df": 1}, "at least 3 of 6 texts and max_df=1 allows at most 1"),
        ({"max_features": 0}, "max_features must be >= 1"),
        ({"max_features": 2.0}, "max_features must be an integer"),
        ({"norm": "max"}, "norm must be 'l2', 'l1' or None, got 'max'"),
        ({"sublinear_tf": "yes"}, "sublinear_tf must be True or False, got 'yes'"),
        ({"smooth_idf": 1}, "smooth_idf must be True or False, got 1"),
        ({"vocabulary": "moon"}, "vocabulary must be a collection of words"),
        ({"vocabulary": []}, "vocabulary must hold at least one term"),
        ({"vocabulary": ["moon", 5]}, "vocabulary must hold text alone"),
        ({"vocabulary": ["moon", "sun", "moon"]}, "vocabulary holds 'moon' 2 times"),
        ({"vocabulary": {"moon": 0, "sun": 2}}, "must be 0 to 1"),
        ({"vocabulary": {"moon": 1, "sun": 1}}, "must be 0 to 1"),
        ({"vocabulary": {"moon": "0"}}, "must be 0 to 0"),
        ({"vocabulary": {"moon": 0, "sun": None}}, "must be 0 to 1"),
        ({"vocabulary": ["moon", "dragon"], "smooth_idf": False}, "'dragon' an infinite idf"),
        ({"backend": "tpu"}, "backend must be one of"),
    ],
)
def test_a_parameter_outside_its_domain_is_refused_by_fit(
    params: dict[str, Any], message: str
) -> None:
    vectorizer = TfidfVectorizer(**params)
    with pytest.raises(InvalidParam, match=message):
        vectorizer.fit(FILMS)
    with pytest.raises(NotFitted):
        vectorizer.transform(FILMS)


def test_the_constructor_only_stores() -> None:
    params = {"stop_words": ["the"], "ngram_range": (1, 2), "min_df": "never valid"}
    vectorizer = TfidfVectorizer(**params)  # type: ignore[arg-type]  # min_df on purpose
    assert vectorizer.get_params().items() >= params.items()
    assert vectorizer.stop_words is params["stop_words"]
    assert clone(TfidfVectorizer(min_df=2).fit(FILMS)).get_params()["min_df"] == 2


def test_a_failed_fit_leaves_the_fitted_as_it_was() -> None:
    vectorizer = TfidfVectorizer().fit(FILMS)
    before = vectorizer.transform(FILMS)
    with pytest.raises(EmptyVocabulary):
        vectorizer.fit([""])
    vectorizer.set_params(norm=None, ngram_range=(2, 2), sublinear_tf=True)
    assert (vectorizer.transform(FILMS) != before).nnz == 0


def test_before_fit_there_is_nothing_to_use() -> None:
    vectorizer = TfidfVectorizer()
    for use in (
        lambda: vectorizer.transform(FILMS),
        lambda: vectorizer.transform_query("moon"),
        vectorizer.get_feature_names_out,
    ):
        with pytest.raises(NotFitted, match="not fitted yet"):
            use()


# -- restoring ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"ngram_range": (1, 2), "stop_words": ["moon"], "norm": "l1", "sublinear_tf": True},
        {"vocabulary": ["thief", "moon"]},
    ],
)
def test_a_restored_vectorizer_goes_on_as_the_fitted_one(params: dict[str, Any]) -> None:
    fitted = TfidfVectorizer(**params, backend="cpu").fit(FILMS)
    stored = json.loads(json.dumps(fitted.storable_params()))
    restored = TfidfVectorizer.from_fitted(
        fitted.get_feature_names_out().tolist(), fitted.idf_.tolist(), stored
    )
    assert restored.vocabulary_ == fitted.vocabulary_
    np.testing.assert_array_equal(restored.idf_, fitted.idf_)
    assert (restored.transform(FILMS) != fitted.transform(FILMS)).nnz == 0
    assert_is_row(restored.transform_query(FILMS[0]), fitted.transform([FILMS[0]]))


@pytest.mark.parametrize(
    ("terms", "idf", "params", "message"),
    [
        (["moon", "moon"], [1, 1], {}, "holds 'moon' 2 times"),
        ([], [], {}, "at least one term"),
        (["moon", 5], [1, 1], {}, "text alone"),
        (["moon"], [1, 1], {}, r"idf of shape \(2,\) does not fit 1 terms"),
        (["moon"], [[1]], {}, r"idf of shape \(1, 1\)"),
        (["moon"], [float("nan")], {}, "positive finite"),
        (["moon"], [0], {}, "positive finite"),
        (["moon"], [1], {"norm": "max"}, "norm must be"),
        (["moon"], [1], {"pickle": 1}, "no parameter 'pickle'"),
    ],
)
def test_what_cannot_have_been_fitted_is_not_restored(
    terms: list[Any], idf: list[Any], params: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidParam, match=message):
        TfidfVectorizer.from_fitted(terms, idf, params)
