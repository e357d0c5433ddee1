"""What reaches the kernels of texts: counts, vocabularies and texts of any make, set by hand.

Whatever is given, it is either read right or refused in this package's own words.
"""

from __future__ import annotations

import array
import io
import pickle
from collections import UserDict, UserString
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from test_text import FILMS, any_text

from cpu_fallback import compiled
from gpu_kmeans.errors import (
    EmptyVocabulary,
    GpuKMeansError,
    InputError,
    InvalidParam,
    InvalidQuery,
    NotFitted,
    shown,
)
from gpu_kmeans.protocol import TokenRules
from gpu_kmeans.text import TfidfVectorizer
from gpu_kmeans.weighting import Weighting

# -- a vocabulary and idf set by hand ---------------------------------------------------


def fitted(backend: Any, **params: Any) -> TfidfVectorizer:
    return TfidfVectorizer(backend=backend, **params).fit(FILMS)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_a_vocabulary_in_any_order_gives_the_columns_it_names(backend: Any, seed: int) -> None:
    vectorizer = fitted(backend)
    expected = backend.to_host(vectorizer.transform(FILMS)).toarray()
    query = vectorizer.transform_query(FILMS[0])
    items = list(vectorizer.vocabulary_.items())
    np.random.default_rng(seed).shuffle(items)
    vectorizer.vocabulary_ = dict(items)
    rows = backend.to_host(vectorizer.transform(FILMS))
    np.testing.assert_array_equal(rows.toarray(), expected)
    for mine, other in zip(vectorizer.transform_query(FILMS[0]), query, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert vectorizer.get_feature_names_out().tolist() == sorted(dict(items))


def test_columns_that_change_places_take_their_weights_along(backend: Any) -> None:
    vectorizer = fitted(backend)
    before = backend.to_host(vectorizer.transform(FILMS)).toarray()
    last = len(vectorizer.vocabulary_) - 1
    vectorizer.vocabulary_ = {t: last - column for t, column in vectorizer.vocabulary_.items()}
    vectorizer.idf_ = vectorizer.idf_[::-1]  # a view that runs backwards
    rows = backend.to_host(vectorizer.transform(FILMS))
    np.testing.assert_allclose(rows.toarray(), before[:, ::-1], rtol=1e-6)
    columns, values = vectorizer.transform_query(FILMS[0])
    np.testing.assert_array_equal(values, rows[0].data)
    np.testing.assert_array_equal(columns, rows[0].indices)


BAD_VOCABULARIES = {
    "a gap": lambda terms: {t: 2 * column for t, column in terms.items()},
    "a repeat": lambda terms: {**terms, "moon": terms["alien"]},
    "negative": lambda terms: {t: column - 1 for t, column in terms.items()},
    "far out of range": lambda terms: {**terms, "moon": 2**40},
    "not an integer": lambda terms: {**terms, "moon": 1.0},
    "a duration": lambda terms: {**terms, "moon": np.timedelta64(terms["moon"], "s")},
    "a truth": lambda terms: {**terms, "moon": True},
    "no text": lambda terms: {**{t: c for t, c in terms.items() if t != "moon"}, 7: terms["moon"]},
    "one term less": lambda terms: dict(list(terms.items())[:-1]),
    "one term more": lambda terms: {**terms, "another": len(terms)},
    "empty": lambda terms: {},
    "one text": lambda terms: "moon",
    "nothing": lambda terms: None,
}


@pytest.mark.parametrize("made", BAD_VOCABULARIES.values(), ids=BAD_VOCABULARIES)
def test_a_vocabulary_that_is_none_is_refused(backend: Any, made: Any) -> None:
    vectorizer = fitted(backend)
    vectorizer.vocabulary_ = made(vectorizer.vocabulary_)
    for use in (
        lambda: vectorizer.transform(FILMS),
        lambda: vectorizer.transform_query(FILMS[0]),
        vectorizer.get_feature_names_out,
    ):
        with pytest.raises(InvalidParam, match=r"vocabulary_|idf_"):
            use()


@pytest.mark.parametrize(
    "bad",
    [
        [1.0],
        np.ones(10_000),
        np.ones((1, 1)),
        1.0,
        "idf",
        ["a"] * 21,
        None,
        np.full(21, np.nan),
        np.full(21, -1.0),
        np.full(21, 1j),
    ],
    ids=lambda bad: f"{type(bad).__name__}-{np.shape(bad)}",
)
def test_idf_that_does_not_fit_is_refused(backend: Any, bad: Any) -> None:
    vectorizer = fitted(backend)
    assert len(vectorizer.idf_) == 21
    before = backend.to_host(vectorizer.transform(FILMS))
    with pytest.raises(InvalidParam, match="idf_"):
        vectorizer.idf_ = bad
    assert (backend.to_host(vectorizer.transform(FILMS)) != before).nnz == 0


@pytest.mark.parametrize("dtype", [np.float32, np.int64, object])
def test_idf_of_another_type_is_read_for_what_it_says(backend: Any, dtype: Any) -> None:
    vectorizer = fitted(backend)
    vectorizer.idf_ = np.full(21, 2.0)
    expected = backend.to_host(vectorizer.transform(FILMS))
    if dtype is object:
        with pytest.raises(InvalidParam, match="idf_ must hold numbers"):
            vectorizer.idf_ = np.full(21, 2, dtype=dtype)
        return
    vectorizer.idf_ = np.full(21, 2, dtype=dtype)
    assert (backend.to_host(vectorizer.transform(FILMS)) != expected).nnz == 0


def test_what_is_set_by_hand_goes_through_a_pickle(backend: Any) -> None:
    vectorizer = pickle.loads(pickle.dumps(fitted("cpu")))
    expected = vectorizer.transform_query(FILMS[0])
    vectorizer.vocabulary_ = dict(reversed(vectorizer.vocabulary_.items()))
    again = pickle.loads(pickle.dumps(vectorizer)).transform_query(FILMS[0])
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize("vocabulary", [["moon", "moon"], ["moon", 7], ["moon", ["sun"]], [None]])
@pytest.mark.parametrize("ngram_range", [(1, 1), (1, 2)])
def test_a_backend_refuses_a_vocabulary_that_is_none(
    backend: Any, vocabulary: Any, ngram_range: tuple[int, int]
) -> None:
    with pytest.raises(InvalidParam, match="vocabulary"):
        backend.count_terms(FILMS, TokenRules(ngram_range=ngram_range), vocabulary)


@pytest.mark.parametrize(
    "rules",
    [
        {"min_length": 0},
        {"min_length": 2.0},
        {"min_length": 2**70},
        {"ngram_range": (0, 1)},
        {"ngram_range": (2, 1)},
        {"ngram_range": (1, 2, 3)},
        {"ngram_range": (1, None)},
        {"stop_words": frozenset({7})},
    ],
    ids=str,
)
def test_token_rules_are_refused_as_they_are_made(rules: dict[str, Any]) -> None:
    with pytest.raises(InvalidParam, match=r"token rules|stop words"):
        TokenRules(**rules)


# -- counts given by hand ---------------------------------------------------------------


def counts_of(dtype: Any = np.int32, index: Any = np.int32) -> Any:
    counts = sp.csr_matrix(np.array([[1, 0, 2, 0], [0, 0, 0, 0], [3, 1, 0, 4]]), dtype=dtype)
    counts.indices, counts.indptr = counts.indices.astype(index), counts.indptr.astype(index)
    return counts


def definition(counts: Any, idf: Any, sublinear: bool, norm: str | None) -> Any:
    tf = np.asarray(counts.toarray(), dtype=np.float64)
    if sublinear:
        tf[tf > 0] = np.log(tf[tf > 0]) + 1
    weights = tf * (1 if idf is None else idf)
    if norm is None:
        return weights
    mass = np.linalg.norm(weights, ord=int(norm[1]), axis=1, keepdims=True)
    return weights / np.where(mass > 0, mass, 1)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csr_array])
def test_counts_of_any_type_weigh_the_same(dtype: Any, index: Any, kind: Any) -> None:
    from cpu_fallback.text import weigh_terms

    idf = np.array([1.0, 2.0, 3.0, 4.0])
    rows = weigh_terms(kind(counts_of(dtype, index)), idf, Weighting(sublinear=True))
    expected = definition(counts_of(), idf, True, "l2")
    np.testing.assert_allclose(rows.toarray(), expected, rtol=1e-6)


def test_columns_in_any_order_and_twice_are_put_in_order(backend: Any) -> None:
    from cpu_fallback.text import weigh_terms

    counts = sp.csr_matrix(
        (np.array([4, 1, 1, 2], np.int32), np.array([3, 0, 0, 2], np.int32), np.array([0, 4])),
        shape=(1, 4),
    )
    rows = weigh_terms(counts, None, Weighting(sublinear=True, norm="l1"))
    np.testing.assert_allclose(rows.toarray(), definition(counts, None, True, "l1"), rtol=1e-6)
    assert counts.nnz == 4, "what was given stays as it was"


def with_array(name: str, change: Any) -> Any:
    """Counts of which one array is another, without SciPy looking at it."""
    counts = counts_of()
    setattr(counts, name, change(getattr(counts, name)))
    return counts


def with_value(name: str, position: int, value: Any) -> Any:
    def change(array: Any) -> Any:
        changed = array.astype(np.float64) if isinstance(value, float) else array.copy()
        changed[position] = value
        return changed

    return with_array(name, change)


BAD_COUNTS = {
    "a column too far": lambda: with_value("indices", 1, 4),
    "a column far too far": lambda: with_value("indices", 1, 2**31 - 1),
    "a negative column": lambda: with_value("indices", 0, -1),
    "a most negative column": lambda: with_value("indices", 0, -(2**31)),
    "columns of floats": lambda: with_array("indices", lambda a: a.astype(np.float64)),
    "columns of 16 bits": lambda: with_array("indices", lambda a: a.astype(np.int16)),
    "too few columns": lambda: with_array("indices", lambda a: a[:-1]),
    "columns in two dimensions": lambda: with_array("indices", lambda a: a.reshape(1, -1)),
    "too few counts": lambda: with_array("data", lambda a: a[:-1]),
    "rows that end too late": lambda: with_value("indptr", 3, 6),
    "rows that end far too late": lambda: with_value("indptr", 3, 2**31 - 1),
    "rows that fall": lambda: with_value("indptr", 1, 3),
    "a negative end": lambda: with_value("indptr", 1, -1),
    "a start that is not 0": lambda: with_value("indptr", 0, 1),
    "too few ends": lambda: with_array("indptr", lambda a: a[:-1]),
    "too many ends": lambda: with_array("indptr", lambda a: np.append(a, a[-1])),
    "no ends": lambda: with_array("indptr", lambda a: a[:0]),
    "a count of nothing": lambda: with_value("data", 0, 0),
    "a negative count": lambda: with_value("data", 0, -1),
    "half a count": lambda: with_value("data", 0, 1.5),
    "no number": lambda: with_value("data", 0, float("nan")),
    "infinity": lambda: with_value("data", 0, float("inf")),
    "too many": lambda: with_value("data", 0, 1e300),
    "complex counts": lambda: with_array("data", lambda a: a.astype(complex)),
    "counts of objects": lambda: with_array("data", lambda a: a.astype(object)),
    "columns first": lambda: counts_of().tocsc(),
    "coordinates": lambda: counts_of().tocoo(),
    "dense": lambda: counts_of().toarray(),
    "a list": lambda: [[1, 2]],
    "nothing": lambda: None,
}


@pytest.mark.parametrize("library", [True, False], ids=["compiled", "plain"])
@pytest.mark.parametrize("made", BAD_COUNTS.values(), ids=BAD_COUNTS)
def test_counts_that_are_none_are_refused(
    monkeypatch: pytest.MonkeyPatch, made: Any, library: bool
) -> None:
    from cpu_fallback.text import weigh_terms

    if not library:
        monkeypatch.setattr(compiled, "is_there", lambda: False)
    with pytest.raises(InputError, match="counts"):
        weigh_terms(made(), np.ones(4), Weighting())


@pytest.mark.parametrize("idf", [np.ones(3), np.ones(5), np.ones((4, 1)), "ones", [1, 1, 1, 0]])
def test_weights_of_other_terms_are_refused(idf: Any) -> None:
    from cpu_fallback.text import weigh_terms

    with pytest.raises(InvalidParam, match="idf"):
        weigh_terms(counts_of(), idf, Weighting())


@pytest.mark.parametrize("norm", ["max", 2, np.array(["l2"]), pd.NA, [], float("nan")], ids=repr)
def test_a_norm_that_is_none_is_refused(norm: Any) -> None:
    with pytest.raises(InvalidParam, match="norm must be"):
        Weighting(norm=norm)
    with pytest.raises(InvalidParam, match="norm must be"):
        TfidfVectorizer(norm=norm).fit(FILMS)


@settings(max_examples=100)
@given(
    data=st.data(),
    shape=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    nnz=st.integers(0, 8),
    index=st.sampled_from([np.int32, np.int64, np.uint8, np.float32]),
)
def test_counts_of_any_arrays_are_weighed_right_or_refused(
    data: st.DataObject, shape: tuple[int, int], nnz: int, index: Any
) -> None:
    from cpu_fallback.text import weigh_terms

    n, n_terms = shape
    few = st.integers(0, 6) | st.sampled_from([255, 2**31 - 1]) | st.integers(-2, 0)
    as_index = np.int64 if index == np.int64 else np.int32
    numbers = {
        "indptr": data.draw(st.lists(few, min_size=n + 1, max_size=n + 1), "indptr"),
        "indices": data.draw(st.lists(few, min_size=nnz, max_size=nnz), "indices"),
        "data": data.draw(st.lists(few, min_size=nnz, max_size=nnz), "data"),
    }
    if data.draw(st.booleans(), "rises from 0"):
        numbers["indptr"] = sorted(min(abs(end), nnz) for end in numbers["indptr"])
        numbers["indptr"][0], numbers["indptr"][-1] = 0, nnz if n else 0
    counts = sp.csr_matrix(shape, dtype=np.int32)
    for name, values in numbers.items():
        raw = np.array(values, dtype=np.int64).astype(as_index).astype(index)
        setattr(counts, name, raw)
    try:
        rows = weigh_terms(counts, np.ones(n_terms), Weighting(norm=None))
    except InputError:
        return
    expected = np.zeros(shape)
    for row in range(n):
        for at in range(numbers["indptr"][row], numbers["indptr"][row + 1]):
            expected[row, numbers["indices"][at]] += numbers["data"][at]
    np.testing.assert_allclose(rows.toarray(), expected, rtol=1e-6)


# -- texts in any container -------------------------------------------------------------

GOOD_TEXTS = {
    "generator": lambda texts: (text for text in texts),
    "Index": pd.Index,
    "Series of Arrow": lambda texts: pd.Series(texts, dtype=pd.ArrowDtype(pa.string())),
    "Series of string": lambda texts: pd.Series(texts, dtype="string"),
    "string": lambda texts: pa.array(texts, pa.string()),
    "large_string": lambda texts: pa.array(texts, pa.large_string()),
    "string_view": lambda texts: pa.array(texts, pa.string_view()),
    "dictionary": lambda texts: pa.array(texts).dictionary_encode(),
    "chunked": lambda texts: pa.chunked_array([texts[:2], [], texts[2:]]),
    "sliced": lambda texts: pa.array(["x", *texts, "y"])[1:-1],
    "str array": lambda texts: np.array(texts),
    "str array of other byte order": lambda texts: np.array(texts, dtype=">U99"),
    "strided": lambda texts: np.repeat(np.array(texts), 2)[::2],
    "StringDType": lambda texts: np.array(texts, dtype=np.dtypes.StringDType()),
    "np.str_": lambda texts: [np.str_(text) for text in texts],
    "lines": lambda texts: io.StringIO("\n".join(texts)),
    "bytes": lambda texts: [text.encode() for text in texts],
    "Arrow binary": lambda texts: pa.array([text.encode() for text in texts]),
    "lines of bytes": lambda texts: io.BytesIO("\n".join(texts).encode()),
    "values": lambda texts: dict(enumerate(texts)).values(),
    "map": lambda texts: map(str, texts),
}


@pytest.mark.parametrize("made", GOOD_TEXTS.values(), ids=GOOD_TEXTS)
def test_texts_are_read_from_any_container(made: Any) -> None:
    vectorizer = TfidfVectorizer(backend="cpu")
    expected = vectorizer.fit_transform(FILMS)
    assert (vectorizer.fit_transform(made(FILMS)) != expected).nnz == 0
    assert (vectorizer.transform(made(FILMS)) != expected).nnz == 0


class Shouting(str):
    """A text whose methods lie."""

    def lower(self) -> Any:
        return 7

    def isascii(self) -> bool:
        return True

    def __len__(self) -> int:
        return -5

    def __str__(self) -> Any:
        return 7


def test_a_text_that_overrides_its_methods_is_read_as_the_text_it_is() -> None:
    expected = TfidfVectorizer(backend="cpu").fit_transform(["ÉLAN moon", "Moon"])
    rows = TfidfVectorizer(backend="cpu").fit_transform([Shouting("ÉLAN moon"), Shouting("Moon")])
    assert (rows != expected).nnz == 0


class NoRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no words for it")


class Counting:
    """Iterable by name alone."""

    __iter__ = None


class Broken:
    def __iter__(self) -> Any:
        return 7


CELLS = [
    *(
        None,
        float("nan"),
        pd.NA,
        pd.NaT,
        np.nan,
        np.float32(1),
        7,
        True,
        10**5000,
        1j,
        memoryview(b"x"),
    ),
    *(date(2024, 1, 1), pd.Timestamp(0), np.datetime64(0, "s"), np.timedelta64(1, "s")),
    *(["moon"], ("moon",), {"moon": 1}, {"moon"}, np.array(["moon"]), np.array("moon")),
    *(pd.DataFrame({"a": ["moon"]}), pd.Series(["moon"]), pa.scalar("moon"), UserString("moon")),
    *(
        NoRepr(),
        object(),
        str,
        len,
        Path("moon"),
        Fraction(1, 3),
        bytearray(b"moon"),
        memoryview(b"moon"),
    ),
]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: type(cell).__name__)
def test_what_is_not_a_text_is_named_with_its_position(cell: Any) -> None:
    vectorizer = TfidfVectorizer(backend="cpu").fit(FILMS)
    for verb in (vectorizer.fit, vectorizer.transform):
        with pytest.raises(InputError, match=r"texts\[1\] is .*not a text"):
            verb(["moon", cell])
    with pytest.raises(InvalidQuery, match="a query must be a text"):
        vectorizer.transform_query(cell)


CONTAINERS = {
    "one text": "moon",
    "bytes": b"moon",
    "bytearray": bytearray(b"moon"),
    "memoryview": memoryview(b"moon"),
    "number": 7,
    "None": None,
    "dict": {"moon": 1},
    "UserDict": UserDict(moon=1),
    "set": {"moon"},
    "DataFrame": pd.DataFrame({"text": ["moon"]}),
    "Table": pa.table({"text": ["moon"]}),
    "RecordBatch": pa.RecordBatch.from_pydict({"text": ["moon"]}),
    "2-d": np.array([["moon"]]),
    "0-d": np.array("moon"),
    "sparse": sp.csr_matrix(np.eye(2)),
    "scalar": pa.scalar("moon"),
    "path": Path("moon"),
    "class": str,
    "no iterator": Broken(),
    "not iterable": Counting(),
}


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_what_is_no_column_of_texts_is_refused_with_its_kind(container: Any) -> None:
    vectorizer = TfidfVectorizer(backend="cpu").fit(FILMS)
    for verb in (vectorizer.fit, vectorizer.fit_transform, vectorizer.transform):
        with pytest.raises(InvalidParam, match="texts must be"):
            verb(container)


def test_a_table_is_refused_with_the_way_out() -> None:
    with pytest.raises(InvalidParam, match=r"got a DataFrame.*table\['text'\]"):
        TfidfVectorizer().fit(pd.DataFrame({"text": ["moon"]}))


COLUMNS = {
    "numbers": np.arange(3),
    "floats": np.ones(3),
    "dates": np.array(["2024-01-01"], dtype="datetime64[D]"),
    "records": np.zeros(2, dtype=[("a", "i4")]),
    "masked": np.ma.masked_array(["moon", "sun"], mask=[False, True]),
    "array": array.array("i", [1, 2]),
    "range": range(3),
    "Arrow numbers": pa.array([1, 2]),
    "Arrow nulls": pa.nulls(2),
    "Arrow lists": pa.array([["moon"]]),
    "Arrow text with a null": pa.array(["moon", None]),
    "Arrow time": pa.array([1], pa.time32("s")),
    "Series of dates": pd.Series(pd.to_datetime(["2024-01-01"])),
    "Series of text with a gap": pd.Series(["moon", None], dtype="string"),
    "category of numbers": pd.Series([1, 2], dtype="category"),
    "MultiIndex": pd.MultiIndex.from_tuples([("a", "b")]),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_columns_of_other_things_are_refused_at_the_first_of_them(column: Any) -> None:
    with pytest.raises(InputError, match=r"texts\[[01]\] is .*not a text"):
        TfidfVectorizer(backend="cpu").fit(column)


def test_bytes_that_claim_to_be_text_are_named_with_their_row() -> None:
    not_utf8 = pa.array([b"moon", b"s\xffn"]).view(pa.string())
    for column in (not_utf8, pa.chunked_array([not_utf8])):
        with pytest.raises(InputError, match=r"texts\[1\] is not UTF-8: invalid start.* 1"):
            TfidfVectorizer(backend="cpu").fit(column)


def test_a_file_that_is_not_text_or_closed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"moon \xe9lan\n")
    with (
        (tmp_path / "latin").open(encoding="utf-8") as lines,
        pytest.raises(InputError, match="lines of the file"),
    ):
        TfidfVectorizer(backend="cpu").fit(lines)
    with pytest.raises(InputError, match="closed"):
        TfidfVectorizer(backend="cpu").fit(lines)


def test_an_error_of_the_program_that_makes_the_texts_stays_its_own() -> None:
    def texts() -> Any:
        yield "moon"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        TfidfVectorizer(backend="cpu").fit(texts())


@pytest.mark.parametrize("text", ["\ud800", "moon\ud800", "\x00", "moon\x00rise", "\ufffe\uffff"])
def test_surrogates_and_nul_are_separators(text: str) -> None:
    vectorizer = TfidfVectorizer(backend="cpu")
    rows = vectorizer.fit_transform([text, "moon rise"])
    assert set(vectorizer.vocabulary_) == {"moon", "rise"}
    assert rows[0].nnz == ("moon" in text) + ("rise" in text)


any_cell = st.one_of(
    any_text,
    st.sampled_from(CELLS),
    st.none(),
    st.integers(),
    st.floats(),
    st.binary(max_size=4),
    st.lists(st.text(max_size=2), max_size=2),
)
any_column = st.one_of(
    st.lists(any_cell, max_size=4),
    st.lists(any_cell, max_size=4).map(tuple),
    st.lists(any_cell, max_size=4).map(iter),
    st.lists(st.none() | st.text(max_size=9), max_size=4).map(pd.Series),
    st.lists(st.none() | st.text(max_size=9), max_size=4).map(lambda v: pa.array(v, pa.string())),
    st.lists(st.binary(max_size=9), max_size=4).map(
        lambda v: pa.array(v, pa.binary()).view(pa.string())
    ),
    st.lists(any_text, max_size=4).map(lambda v: np.array(v, dtype=object)),
    st.sampled_from(list(CONTAINERS.values())),
    st.sampled_from([made for made in COLUMNS.values() if not hasattr(made, "read")]),
)


@settings(max_examples=100)
@given(column=any_column, verb=st.sampled_from(["fit", "fit_transform", "transform"]))
def test_whatever_is_given_as_texts_no_foreign_error_leaves(column: Any, verb: str) -> None:
    vectorizer = TfidfVectorizer(backend="cpu")
    if verb == "transform":
        vectorizer.fit(FILMS)
    try:
        getattr(vectorizer, verb)(column)
    except GpuKMeansError as problem:
        assert str(problem)
        if verb != "transform":
            with pytest.raises(NotFitted):
                vectorizer.transform(FILMS)


any_value = st.one_of(
    any_cell,
    st.booleans(),
    st.sampled_from([*CONTAINERS.values(), *map(np.array, ([1, 2], [1.5], ["l2"]))]),
    st.sampled_from([-1, 0, 2**63, 10**400, Fraction(1, 2), np.float32(0.5), np.int8(1), 1e300]),
    st.tuples(st.integers(-1, 3), st.integers(-1, 3)),
    st.dictionaries(st.text(max_size=3), st.integers(-1, 3), max_size=3),
    st.sets(st.text(max_size=3), max_size=3),
    st.sampled_from(["english", "l1", "l2", "auto", "cpu"]),
)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=200)
@given(
    name=st.sampled_from([n for n in TfidfVectorizer().get_params() if n != "backend"]),
    value=any_value,
)
def test_whatever_a_parameter_is_no_foreign_error_leaves(name: str, value: Any) -> None:
    params = {"backend": "cpu", name: value}
    try:
        vectorizer = TfidfVectorizer(**params).fit(FILMS)
        rows = vectorizer.transform(FILMS)
    except GpuKMeansError as problem:
        assert str(problem)
        return
    assert rows.shape == (len(FILMS), len(vectorizer.vocabulary_))


@pytest.mark.parametrize("shortest", [1, 3])
def test_a_range_of_runs_longer_than_any_text_ends(backend: Any, shortest: int) -> None:
    vectorizer = TfidfVectorizer(ngram_range=(shortest, 10**9), backend=backend).fit(FILMS)
    expected = TfidfVectorizer(ngram_range=(shortest, 40), backend=backend).fit(FILMS)
    assert vectorizer.vocabulary_ == expected.vocabulary_
    columns, _ = vectorizer.transform_query(FILMS[0])
    assert len(columns) == vectorizer.transform(FILMS[:1]).nnz


def test_runs_longer_than_any_text_are_none(backend: Any) -> None:
    with pytest.raises(EmptyVocabulary, match="in runs of"):
        TfidfVectorizer(ngram_range=(10**9, 10**9), backend=backend).fit(FILMS)


@pytest.mark.parametrize(
    "value",
    [NoRepr(), 10**5000, "x" * 10**6, ["x" * 10**6] * 10**4, {}],
    ids=lambda value: type(value).__name__,
)
def test_any_value_has_a_short_name(value: Any) -> None:
    assert 1 < len(shown(value)) <= 60
