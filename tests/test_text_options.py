"""Every way to find terms, against scikit-learn's vectorizer of the same arguments.

The default way is the subject of :mod:`test_text`.
"""

from __future__ import annotations

import io
import pickle
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction import text as peers
from sklearn.feature_extraction.text import TfidfVectorizer as Peer
from test_text import FILMS, any_text, assert_is_row, assert_same_rows
from toy import TERMS, text_features, toy_idf, toy_model

from gpu_kmeans.errors import (
    EmptyVocabulary,
    FeatureMismatch,
    FileProblem,
    GpuKMeansError,
    InputError,
    InvalidEncoding,
    InvalidParam,
    NotFitted,
)
from gpu_kmeans.features import analysis
from gpu_kmeans.features.tfidf import TfidfVectorizer
from gpu_kmeans.model import Model

SPACED = "aAbBé \t\n\u3000_-'.1ßİΣ字\u0301\ufb01\u33ce\x00\x1c"
spaced_text = st.one_of(any_text, st.text(SPACED, max_size=20), st.sampled_from(FILMS))
corpus = st.lists(spaced_text, min_size=1, max_size=4)
ranges = st.sampled_from([(1, 1), (1, 2), (2, 3), (3, 5), (4, 4)])


def shout(text: str) -> str:
    return text.upper()


def halves(text: str) -> list[str]:
    return [text[: len(text) // 2], text[len(text) // 2 :]]


def assert_equals_peer(backend: Any, texts: Any, **params: Any) -> None:
    """Same terms, idf, rows and queries as scikit-learn, or an error where it has one."""
    params = {"stop_words": None, **params}
    peer = Peer(**params)
    ours = TfidfVectorizer(backend=backend, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            theirs = peer.fit_transform(texts)
        except ValueError:
            with pytest.raises((EmptyVocabulary, InvalidParam)):
                ours.fit(texts)
            return
        rows = backend.to_host(ours.fit_transform(texts))
    assert_same_rows(rows, theirs)
    assert ours.vocabulary_ == peer.vocabulary_
    if params.get("use_idf", True):
        np.testing.assert_allclose(ours.idf_, peer.idf_, rtol=1e-14)
    assert (backend.to_host(ours.transform(texts)) != rows).nnz == 0
    if params.get("input", "content") == "content" and all(isinstance(t, str) for t in texts):
        for text, row in zip(texts, rows, strict=True):
            assert_is_row(ours.transform_query(text), row)


@given(texts=corpus, analyzer=st.sampled_from(["char", "char_wb"]), ngram_range=ranges)
def test_ngrams_of_characters_are_scikit_learns(backend: Any, texts: Any, **params: Any) -> None:
    assert_equals_peer(backend, texts, **params)


@given(
    texts=corpus,
    strip_accents=st.sampled_from([None, "ascii", "unicode", shout]),
    lowercase=st.booleans(),
    preprocessor=st.sampled_from([None, None, shout]),
    tokenizer=st.sampled_from([None, None, str.split, halves]),
    token_pattern=st.sampled_from(
        [r"(?u)\b\w\w+\b", r"(?u)\b\w+\b", r"\w+", r"[a-zé]+", r"\w(\w)\w?", r"(?a)\w+", r"\w*"]
    ),
    ngram_range=ranges,
    stop_words=st.sampled_from([None, "english", ["aa", "moon", "É"]]),
    binary=st.booleans(),
)
@settings(max_examples=150)
def test_words_found_in_any_way_are_scikit_learns(backend: Any, texts: Any, **params: Any) -> None:
    assert_equals_peer(backend, texts, **params)


@given(
    texts=corpus,
    analyzer=st.sampled_from([str.split, halves, lambda text: text, lambda text: []]),
    norm=st.sampled_from(["l2", "l1", None]),
    use_idf=st.booleans(),
    smooth_idf=st.booleans(),
    sublinear_tf=st.booleans(),
    max_df=st.sampled_from([1.0, 0.5, 2]),
    max_features=st.none() | st.just(10_000),
)
def test_an_analyzer_of_ones_own_is_weighed_as_in_scikit_learn(
    backend: Any, texts: Any, **params: Any
) -> None:
    assert_equals_peer(backend, texts, **params)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, "float64", np.dtype(">f8")])
@pytest.mark.parametrize("params", [{}, {"analyzer": "char"}, {"norm": None, "use_idf": False}])
def test_rows_are_of_the_type_that_is_asked_for(backend: Any, dtype: Any, params: Any) -> None:
    peer = Peer(dtype=np.float64, **params).fit_transform(FILMS)
    vectorizer = TfidfVectorizer(dtype=dtype, stop_words=None, backend=backend, **params)
    rows = backend.to_host(vectorizer.fit_transform(FILMS))
    assert rows.dtype == np.dtype(dtype).newbyteorder("=")
    rtol = 1e-6 if rows.dtype == np.float32 else 1e-14
    np.testing.assert_allclose(rows.toarray(), peer.toarray(), rtol=rtol)
    _, values = vectorizer.transform_query(FILMS[0])
    assert values.dtype == rows.dtype
    np.testing.assert_array_equal(values, rows[0].data)


def test_whole_numbers_as_type_become_float64_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="'dtype' should be used: int64 cannot hold"):
        rows = TfidfVectorizer(dtype=np.int64, backend="cpu").fit_transform(FILMS)
    assert rows.dtype == np.float64


@given(st.text())
def test_accents_are_stripped_as_in_scikit_learn(text: str) -> None:
    assert analysis.strip_accents_ascii(text) == peers.strip_accents_ascii(text)
    assert analysis.strip_accents_unicode(text) == peers.strip_accents_unicode(text)


# -- what may be given as texts ---------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
@pytest.mark.parametrize("params", [{}, {"analyzer": "char_wb", "ngram_range": (2, 3)}])
def test_bytes_are_read_by_their_encoding(backend: Any, encoding: str, params: Any) -> None:
    given_bytes = [text.encode(encoding) for text in FILMS]
    assert_equals_peer(backend, given_bytes, encoding=encoding, **params)
    expected = backend.to_host(TfidfVectorizer(backend=backend, **params).fit_transform(FILMS))
    vectorizer = TfidfVectorizer(backend=backend, encoding=encoding, **params)
    assert (backend.to_host(vectorizer.fit_transform(given_bytes)) != expected).nnz == 0


@pytest.mark.parametrize("decode_error", ["ignore", "replace"])
def test_bytes_of_another_encoding_are_left_out_as_asked(backend: Any, decode_error: str) -> None:
    assert_equals_peer(backend, [b"m\xffoon sun", b"moon"], decode_error=decode_error)


@pytest.mark.parametrize("params", [{}, {"analyzer": "char"}, {"preprocessor": str.lower}])
def test_bytes_that_are_not_of_the_encoding_are_named(params: Any) -> None:
    with pytest.raises(InvalidEncoding, match=r"texts\[1\] is not utf-8: .* position 1.*encoding"):
        TfidfVectorizer(backend="cpu", **params).fit([b"moon", b"m\xffoon"])


@pytest.mark.parametrize("params", [{}, {"analyzer": "char"}, {"analyzer": str.split}])
def test_files_are_read_by_name_or_opened(backend: Any, tmp_path: Path, params: Any) -> None:
    paths = []
    for at, text in enumerate(FILMS):
        paths.append(tmp_path / f"{at}.txt")
        paths[-1].write_bytes(text.encode())
    expected = TfidfVectorizer(backend=backend, **params).fit_transform(FILMS)
    expected = backend.to_host(expected)
    for texts, how in (
        (paths, "filename"),
        ([str(path) for path in paths], "filename"),
        ([io.StringIO(text) for text in FILMS], "file"),
        ([io.BytesIO(text.encode()) for text in FILMS], "file"),
    ):
        vectorizer = TfidfVectorizer(input=how, backend=backend, **params)
        assert (backend.to_host(vectorizer.fit_transform(texts)) != expected).nnz == 0
    assert_is_row(vectorizer.transform_query(FILMS[0]), expected[0])


@pytest.mark.parametrize(
    ("how", "document", "error", "message"),
    [
        ("filename", "none.txt", FileProblem, r"texts\[1\]: 'none.txt' cannot be read: .*No such"),
        ("filename", ".", FileProblem, r"texts\[1\]: '.' cannot be read: .*directory"),
        ("filename", "\x00", FileProblem, r"texts\[1\]: .*null"),
        ("filename", None, FileProblem, r"texts\[1\]: None cannot be read"),
        ("filename", ["a"], FileProblem, r"texts\[1\]: \['a'\] cannot be read"),
        ("file", "moon", InputError, r"texts\[1\] is 'moon', which has no method 'read'"),
        ("file", None, InputError, r"texts\[1\] is None, which has no method 'read'"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, how: str, document: Any, error: type[Exception], message: str
) -> None:
    (tmp_path / "moon").write_text("moon")
    first = tmp_path / "moon" if how == "filename" else io.StringIO("moon")
    with pytest.raises(error, match=message):
        TfidfVectorizer(input=how, backend="cpu").fit([first, document])


def test_a_function_that_comes_first_may_be_given_anything(backend: Any) -> None:
    texts = [{"title": "Moon thief"}, {"title": "A moon"}]
    for params in (
        {"preprocessor": lambda item: item["title"].lower()},
        {"analyzer": lambda item: item["title"].lower().split()},
    ):
        vectorizer = TfidfVectorizer(backend=backend, **params).fit(texts)
        assert {"moon", "thief"} <= set(vectorizer.vocabulary_)
        with pytest.raises(InputError, match=r"texts\[1\] is None"):
            vectorizer.transform([texts[0], None])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"preprocessor": lambda text: 7}, r"texts\[0\]: the preprocessor must return a text"),
        ({"preprocessor": len, "analyzer": "char"}, "the preprocessor must return a text, got 4"),
        ({"tokenizer": len}, r"texts\[0\]: the tokenizer must return a collection of texts, got 4"),
        ({"tokenizer": lambda text: [text, 7]}, "the tokenizer must return texts alone, got 7"),
        ({"tokenizer": lambda text: [[text]]}, r"must return texts alone, got \['moon'\]"),
        ({"analyzer": lambda text: None}, "the analyzer must return a collection of texts"),
        ({"analyzer": lambda text: [b"x"]}, "the analyzer must return texts alone, got b'x'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_function_that_gives_no_terms_is_named(params: Any, message: str) -> None:
    with pytest.raises(InvalidParam, match=message):
        TfidfVectorizer(backend="cpu", **params).fit(["moon", "sun"])


def test_an_error_of_ones_own_function_stays_ones_own() -> None:
    def fails(text: str) -> list[str]:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        TfidfVectorizer(analyzer=fails, backend="cpu").fit(FILMS)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"input": "url"}, "input must be 'content', 'file' or 'filename', got 'url'"),
        ({"encoding": "utf-7000"}, "encoding must be the name of one.*utf-7000"),
        ({"encoding": "rot13"}, "encoding must be the name of one"),
        ({"encoding": None}, "encoding must be"),
        ({"decode_error": "guess"}, "decode_error must be 'strict', 'ignore' or 'replace'"),
        ({"strip_accents": "all"}, "strip_accents must be 'ascii', 'unicode' or None, got 'all'"),
        ({"lowercase": "yes"}, "lowercase must be True or False"),
        ({"preprocessor": "lower"}, "preprocessor must be a function or None, got 'lower'"),
        ({"tokenizer": 7}, "tokenizer must be a function or None"),
        ({"analyzer": "sentence"}, "analyzer must be 'word', 'char' or 'char_wb', got 'sentence'"),
        ({"token_pattern": "("}, "token_pattern must be a regular expression"),
        ({"token_pattern": None}, "token_pattern must be a regular expression, got None"),
        ({"token_pattern": "(a)(b)"}, "More than 1 capturing group"),
        ({"binary": 1}, "binary must be True or False, got 1"),
        ({"use_idf": None}, "use_idf must be True or False"),
        ({"dtype": "text"}, "dtype must be float32 or float64, got 'text'"),
        ({"dtype": None}, "dtype must be float32 or float64"),
        ({"dtype": complex}, "dtype must be float32 or float64"),
        ({"weighting": "bm26"}, "weighting must be one of 'tfidf', 'bm25', 'log-entropy'"),
        ({"weighting": "bm25", "sublinear_tf": True}, "sublinear_tf=True belongs to"),
        ({"weighting": "log-entropy", "smooth_idf": False}, "smooth_idf=False belongs to"),
    ],
    ids=str,
)
def test_an_option_outside_its_domain_is_refused_by_fit(params: Any, message: str) -> None:
    with pytest.raises(InvalidParam, match=message):
        TfidfVectorizer(**params).fit(FILMS)


# -- warnings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"tokenizer": str.split, "token_pattern": r"\w"}, "'token_pattern' will not be used"),
        ({"analyzer": str.split, "preprocessor": shout}, "'preprocessor' will not be used"),
        ({"analyzer": str.split, "ngram_range": (1, 2)}, "'ngram_range' will not be used"),
        ({"analyzer": "char", "stop_words": ["a"]}, "'stop_words' will not be used"),
        ({"analyzer": "char", "token_pattern": r"\w"}, "'token_pattern' will not be used"),
        ({"analyzer": "char", "tokenizer": str.split}, "'tokenizer' will not be used"),
        ({"stop_words": ["you've", "Moon"]}, r"tokens \['moon', 've', 'you'\] not in stop_words"),
        ({"vocabulary": ["moon", "Sun"]}, "Upper case characters found in vocabulary"),
    ],
    ids=str,
)
def test_what_has_no_effect_is_warned_of_by_fit_alone(params: Any, message: str) -> None:
    vectorizer = TfidfVectorizer(backend="cpu", **params)
    with pytest.warns(UserWarning, match=message):
        vectorizer.fit(FILMS)
    vectorizer.transform(FILMS)  # a second warning would be an error


@pytest.mark.parametrize(
    "params",
    [{"analyzer": "char"}, {"analyzer": str.split}, {"tokenizer": str.split}, {"lowercase": False}],
    ids=str,
)
def test_defaults_are_not_warned_of(params: Any) -> None:
    TfidfVectorizer(backend="cpu", **params).fit(FILMS)


# -- the functions a text goes through --------------------------------------------------


@given(
    text=spaced_text,
    params=st.sampled_from(
        [
            {},
            {"ngram_range": (1, 3), "stop_words": ["moon"]},
            {"strip_accents": "unicode", "lowercase": False},
            {"analyzer": "char", "ngram_range": (2, 4)},
            {"analyzer": "char_wb", "ngram_range": (2, 9)},
            {"tokenizer": str.split},
            {"token_pattern": r"\w(\w)"},
            {"analyzer": str.split},
        ]
    ),
)
def test_the_functions_are_scikit_learns(text: str, params: dict[str, Any]) -> None:
    params = {"stop_words": None, **params}
    ours, peer = TfidfVectorizer(**params), Peer(**params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        expected = peer.build_analyzer()(text)
    assert sorted(ours.build_analyzer()(text)) == sorted(expected)
    assert ours.build_preprocessor()(text) == peer.build_preprocessor()(text)
    assert list(ours.build_tokenizer()(text)) == list(peer.build_tokenizer()(text))
    assert ours.decode(text.encode("utf-8", "ignore")) == text.encode("utf-8", "ignore").decode()


def test_stop_words_are_told() -> None:
    assert TfidfVectorizer().get_stop_words() == peers.ENGLISH_STOP_WORDS
    assert TfidfVectorizer(stop_words=None).get_stop_words() is None
    assert TfidfVectorizer(stop_words=["a", "b"]).get_stop_words() == {"a", "b"}
    with pytest.raises(InvalidParam, match="stop_words"):
        TfidfVectorizer(stop_words="klingon").get_stop_words()


class Stemmer(TfidfVectorizer):
    def build_analyzer(self) -> Callable[[Any], list[str]]:
        analyze = super().build_analyzer()
        return lambda text: [term.rstrip("s") for term in analyze(text)]


class Digits(TfidfVectorizer):
    def build_tokenizer(self) -> Callable[[Any], Any]:
        return re.compile(r"\d").findall


class Titles(TfidfVectorizer):
    def build_preprocessor(self) -> Callable[[Any], Any]:
        return lambda item: item["title"]


def test_a_subclass_may_find_terms_in_its_own_way() -> None:
    assert set(Stemmer(backend="cpu").fit(["moons thief", "moon"]).vocabulary_) == {"moon", "thief"}
    assert set(Digits(backend="cpu").fit(["a1 23"]).vocabulary_) == {"1", "2", "3"}
    assert set(Titles(backend="cpu").fit([{"title": "moon"}]).vocabulary_) == {"moon"}


def test_later_parameters_leave_the_fitted_alone() -> None:
    vectorizer = TfidfVectorizer(analyzer="char", backend="cpu").fit(FILMS)
    before = vectorizer.transform(FILMS)
    vectorizer.set_params(analyzer="word", lowercase=False, weighting="bm25", dtype="float64")
    assert (vectorizer.transform(FILMS) != before).nnz == 0
    assert vectorizer.transform(FILMS).dtype == np.float32


def test_a_vectorizer_goes_through_a_pickle() -> None:
    for params in ({"analyzer": "char"}, {"tokenizer": str.split}, {"weighting": "bm25"}):
        fitted = TfidfVectorizer(backend="cpu", **params).fit(FILMS)
        again = pickle.loads(pickle.dumps(fitted))
        assert (again.transform(FILMS) != fitted.transform(FILMS)).nnz == 0
        analyze = pickle.loads(pickle.dumps(fitted.build_analyzer()))
        assert analyze(FILMS[0]) == fitted.build_analyzer()(FILMS[0])


# -- and back ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [lambda rows: rows, lambda rows: rows.toarray(), sp.coo_matrix])
def test_rows_are_turned_back_into_their_terms(backend: Any, kind: Any) -> None:
    vectorizer, peer = TfidfVectorizer(backend=backend), Peer(stop_words="english")
    rows = backend.to_host(vectorizer.fit_transform(FILMS))
    expected = peer.inverse_transform(peer.fit_transform(FILMS))
    found = vectorizer.inverse_transform(kind(rows))
    assert [sorted(terms) for terms in found] == [sorted(terms) for terms in expected]
    assert len(found[4]) == 0


def test_rows_of_another_vocabulary_are_not_turned_back() -> None:
    vectorizer = TfidfVectorizer(backend="cpu").fit(FILMS)
    with pytest.raises(FeatureMismatch, match="rows have 3 columns, but the vocabulary has 21"):
        vectorizer.inverse_transform(np.ones((2, 3)))
    with pytest.raises(InputError):
        vectorizer.inverse_transform("moon")
    with pytest.raises(NotFitted):
        TfidfVectorizer().inverse_transform(np.ones((2, 3)))


def test_zeros_that_are_stored_are_no_terms() -> None:
    vectorizer = TfidfVectorizer(vocabulary=["moon", "sun"], backend="cpu")
    rows = sp.csr_matrix((np.array([0.0, 1.0]), np.array([1, 0]), np.array([0, 2])), shape=(1, 2))
    assert [terms.tolist() for terms in vectorizer.inverse_transform(rows)] == [["moon"]]
    assert rows.nnz == 2


# -- a fixed vocabulary needs no texts --------------------------------------------------


def test_a_fixed_vocabulary_with_idf_of_another_fit_needs_none_of_its_own(backend: Any) -> None:
    fitted = TfidfVectorizer(backend=backend).fit(FILMS)
    other = TfidfVectorizer(vocabulary=fitted.vocabulary_, backend=backend)
    with pytest.raises(NotFitted):
        other.transform(FILMS)
    other.idf_ = fitted.idf_
    expected = backend.to_host(fitted.transform(FILMS))
    assert (backend.to_host(other.transform(FILMS)) != expected).nnz == 0
    assert_is_row(other.transform_query(FILMS[0]), expected[0])
    assert other.fixed_vocabulary_ and not fitted.fixed_vocabulary_


def test_without_idf_a_fixed_vocabulary_is_enough(backend: Any) -> None:
    params = {"vocabulary": {"thief": 1, "moon": 0}, "use_idf": False, "norm": None}
    rows = TfidfVectorizer(backend=backend, **params).transform(FILMS)
    expected = [[text.lower().count(word) for word in ("moon", "thief")] for text in FILMS]
    np.testing.assert_array_equal(backend.to_host(rows).toarray(), expected)


def test_without_idf_there_is_none() -> None:
    vectorizer = TfidfVectorizer(use_idf=False).fit(FILMS)
    assert not hasattr(vectorizer, "idf_")
    with pytest.raises(InvalidParam, match="idf_"):
        vectorizer.idf_ = np.ones(21)
    vectorizer.set_params(use_idf=True).fit(FILMS)
    assert len(vectorizer.idf_) == 21


# -- languages that put no spaces between words, or marks within them -------------------

TOPICS = {
    "Chinese": (
        ["宇航员在月球上行走", "月球上的宇航员", "宇航员飞向月球"],
        ["侦探追捕珠宝小偷", "珠宝小偷逃走了", "小偷偷走珠宝"],
    ),
    "Thai": (
        ["นักบินอวกาศเดินบนดวงจันทร์", "ดวงจันทร์และนักบินอวกาศ", "นักบินอวกาศไปดวงจันทร์"],
        ["ตำรวจไล่จับขโมย", "ขโมยหนีตำรวจ", "ตำรวจจับขโมยได้"],
    ),
    "Hindi": (
        ["अंतरिक्ष यात्री चंद्रमा पर", "चंद्रमा पर अंतरिक्ष यात्री", "यात्री और चंद्रमा"],
        ["पुलिस चोर को पकड़ती है", "चोर पुलिस से भागा", "चोर और पुलिस"],
    ),
}


PATTERNS = {
    "Chinese": r"[\u4e00-\u9fff]",
    "Thai": r"[\u0e00-\u0e7f]",
    "Hindi": r"[\u0900-\u097f]+",
}
"""A token: a character of the language, or a word with its marks; n-grams join neighbours."""


@pytest.mark.parametrize("language", TOPICS)
@pytest.mark.parametrize("way", ["char", "char_wb", "pattern"])
def test_texts_of_one_topic_are_nearest_to_each_other(
    backend: Any, language: str, way: str
) -> None:
    params: dict[str, Any] = {"analyzer": way, "ngram_range": (2, 3)}
    if way == "pattern":
        params = {"token_pattern": PATTERNS[language], "ngram_range": (1, 2)}
    one, two = TOPICS[language]
    vectorizer = TfidfVectorizer(stop_words=None, backend=backend, **params)
    rows = backend.to_host(vectorizer.fit_transform([*one, *two])).toarray()
    similarity = rows @ rows.T
    np.fill_diagonal(similarity, -1)
    assert [nearest // 3 for nearest in similarity.argmax(axis=1)] == [0, 0, 0, 1, 1, 1]


def test_a_model_cannot_hold_a_function() -> None:
    for name, function in (("tokenizer", str.split), ("preprocessor", shout), ("analyzer", halves)):
        vectorizer = TfidfVectorizer(stop_words=None, backend="cpu", **{name: function})
        vectorizer.fit(FILMS)
        with pytest.raises(InvalidParam, match=f"{name} is a function.*cannot hold"):
            vectorizer.storable_params()


def test_a_model_directory_is_not_begun_for_what_it_cannot_hold(tmp_path: Path) -> None:
    vectorizer = TfidfVectorizer.from_fitted(TERMS, toy_idf(), {"tokenizer": str.split})
    with pytest.raises(InvalidParam, match="tokenizer is a function"):
        toy_model(features=text_features(vectorizer)).save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("params", "average_length"),
    [
        ({"weighting": "bm25"}, 7.5),
        ({"weighting": "log-entropy", "dtype": "float64"}, 1.0),
        ({"use_idf": False, "binary": True, "norm": "l1"}, 1.0),
        ({"analyzer": "char_wb", "ngram_range": (2, 5), "strip_accents": "unicode"}, 1.0),
        ({"token_pattern": r"\w+", "lowercase": False}, 1.0),
    ],
    ids=str,
)
def test_a_model_reads_and_weighs_queries_as_it_did(
    tmp_path: Path, params: dict[str, Any], average_length: float
) -> None:
    params = {"stop_words": None, **params}
    vectorizer = TfidfVectorizer.from_fitted(TERMS, toy_idf(), params, average_length)
    toy_model(features=text_features(vectorizer)).save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model").vectorizer
    assert loaded.get_params() == vectorizer.get_params()
    for query in (" ".join(TERMS), TERMS[0], "alien alien soldier"):
        for mine, other in zip(
            loaded.transform_query(query), vectorizer.transform_query(query), strict=True
        ):
            np.testing.assert_array_equal(mine, other, strict=True)


def test_a_model_states_what_differs_from_the_default() -> None:
    plain = TfidfVectorizer(backend="cpu").fit(FILMS).storable_params()
    assert set(plain) == {
        *("stop_words", "ngram_range", "min_df", "max_df", "max_features"),
        *("sublinear_tf", "norm", "smooth_idf"),
    }
    other = TfidfVectorizer(analyzer="char", dtype=np.float64, backend="cpu").fit(FILMS)
    assert other.storable_params() == {**plain, "analyzer": "char", "dtype": "float64"}
    restored = TfidfVectorizer.from_fitted(
        list(other.vocabulary_), other.idf_, other.storable_params()
    )
    assert (restored.transform(FILMS) != other.transform(FILMS)).nnz == 0


@settings(max_examples=100)
@given(
    texts=st.lists(spaced_text | st.binary(max_size=5) | st.none() | st.integers(), max_size=3),
    params=st.fixed_dictionaries(
        {},
        optional={
            "input": st.sampled_from(["content", "file", "filename"]),
            "decode_error": st.sampled_from(["strict", "ignore", "replace"]),
            "encoding": st.sampled_from(["utf-8", "ascii", "utf-16", "punycode", "idna"]),
            "analyzer": st.sampled_from(["word", "char", "char_wb"]),
            "strip_accents": st.sampled_from(["ascii", "unicode"]),
            "token_pattern": st.text("ab()[]*+?|\\w", max_size=6),
            "weighting": st.sampled_from(["tfidf", "bm25", "log-entropy"]),
            "binary": st.booleans(),
            "use_idf": st.booleans(),
        },
    ),
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_whatever_the_options_no_foreign_error_leaves(texts: Any, params: Any) -> None:
    try:
        vectorizer = TfidfVectorizer(backend="cpu", **params)
        rows = vectorizer.fit_transform(texts)
    except GpuKMeansError as problem:
        assert str(problem)
        return
    assert rows.shape == (len(texts), len(vectorizer.vocabulary_))
    assert np.isfinite(rows.data).all()
