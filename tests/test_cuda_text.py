"""The GPU's verbs on texts, with models of cuDF and cuML, and the kernel run on the CPU.

The contract is that of every backend, :mod:`test_text`. This is not a run on a GPU: it proves
which words reach cuML, how its columns are numbered, and the arithmetic of the kernel. Of cuDF
it takes for granted what its documentation says of each method, and that it reads plain
characters as Python does, which the first test below compares with cuDF's own tables.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cache
from itertools import pairwise
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from cuda_on_cpu import cupy_on_numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from test_text import (  # noqa: F401 - the contract, on the backend of this module
    FILMS,
    any_corpus,
    any_text,
    assert_terms_are_found,
    test_a_long_query_has_the_same_bits_too,
    test_a_missing_text_of_a_series_is_named_by_position,
    test_a_query_is_read_and_weighed_as_the_texts_were,
    test_a_stop_word_is_dropped_whole,
    test_a_text_without_a_known_term_is_an_empty_row,
    test_any_column_of_texts_will_do,
    test_any_text_is_vectorized_as_scikit_learn_does,
    test_any_vocabulary_is_counted_in_its_own_order,
    test_document_frequency_limits_are_scikit_learns,
    test_each_option_means_what_it_means_in_scikit_learn,
    test_every_code_point_is_read_the_same_in_a_corpus_and_in_a_query,
    test_max_features_keeps_the_most_frequent_terms_and_of_equals_the_first,
    test_nothing_usable_says_how_many_texts_and_why,
    test_rows_without_terms_weigh_nothing,
    test_terms_are_those_of_a_query_for_any_text_and_rules,
    test_tokens_are_runs_of_two_or_more_word_characters_lower_cased,
    test_what_is_not_a_text_is_refused_with_its_position,
    test_without_idf_and_norm_weights_are_counts,
)
from test_text_border import (  # noqa: F401 - likewise
    BAD_COUNTS,
    test_a_backend_refuses_a_vocabulary_that_is_none,
    test_a_range_of_runs_longer_than_any_text_ends,
    test_a_vocabulary_in_any_order_gives_the_columns_it_names,
    test_a_vocabulary_that_is_none_is_refused,
    test_columns_that_change_places_take_their_weights_along,
    test_idf_that_does_not_fit_is_refused,
    test_runs_longer_than_any_text_are_none,
)
from test_text_options import (  # noqa: F401 - likewise
    test_a_fixed_vocabulary_with_idf_of_another_fit_needs_none_of_its_own,
    test_bytes_are_read_by_their_encoding,
    test_ngrams_of_characters_are_scikit_learns,
    test_rows_are_of_the_type_that_is_asked_for,
    test_without_idf_a_fixed_vocabulary_is_enough,
    test_words_found_in_any_way_are_scikit_learns,
)
from test_weighting import (  # noqa: F401 - likewise
    test_a_long_text_weighs_a_term_less_by_bm25,
    test_a_query_has_the_bits_of_the_row,
    test_a_term_spread_evenly_weighs_nothing_by_log_entropy,
    test_texts_without_any_known_term_weigh_nothing,
    test_weights_are_those_of_the_definition,
)

from cpu_fallback import text as on_cpu
from gpu_kmeans.cuda.plain import PLAIN, is_plain, words_of
from gpu_kmeans.errors import InputError, OutOfDeviceMemory
from gpu_kmeans.protocol import TokenRules
from gpu_kmeans.text import find_terms
from gpu_kmeans.weighting import NORMS, SCHEMES, Weighting

PLAIN_POINTS = [point for first, last in PLAIN.items() for point in range(first, last + 1)]

# SHA-256 of what cuDF 26.10 makes of the plain characters, in the form of the first test: from
# libcudf's char_types/char_flags.h and char_cases.h, and no bit set beyond the first 65,536.
CUDF_READS = "fc82d5c7b94635deff52c1bba566ecd949b7271b3ed564db5282bcae8c54c489"


# -- plain characters -------------------------------------------------------------------


def test_plain_characters_are_read_by_this_python_as_by_cudf() -> None:
    digest = hashlib.sha256()
    for point in PLAIN_POINTS:
        for lower in chr(point).lower():
            kind = "w" if re.match(r"\w", lower) else "-"
            digest.update(f"{ord(lower)}{kind}".encode())
        digest.update(b"\n")
    assert digest.hexdigest() == CUDF_READS, "take what has changed out of PLAIN"


@given(st.text(st.sampled_from([chr(point) for point in PLAIN_POINTS])))
def test_plain_characters_are_lower_cased_whatever_stands_beside_them(text: str) -> None:
    assert is_plain(text)
    assert text.lower() == "".join(map(str.lower, text))


def test_what_plain_characters_are_lower_cased_to_is_plain() -> None:
    assert is_plain("".join(map(chr, PLAIN_POINTS)).lower())


def test_what_cudf_reads_otherwise_is_not_plain() -> None:
    for text in ("Σ", "𐐀", "\U0001d400", "Ꙁ\ua7af", "\ud800", "\u0560", "\U0001f100", "ⱥ\u2c2f"):
        assert not is_plain(f"a {text} b")


@given(any_text, st.integers(1, 3))
def test_words_found_here_are_the_tokens(text: str, min_length: int) -> None:
    words = words_of(text, min_length)
    assert words.split(" ") == (find_terms(text, TokenRules(min_length=min_length)) or [""])
    words.encode()


# -- models of cuDF and cuML ------------------------------------------------------------


class Column:
    """A cuDF text column: a list of texts that UTF-8 can hold."""

    def __init__(self, texts: list[str | None], dtype: str = "str") -> None:
        assert dtype == "str"
        self.texts, self.dtype = list(texts), dtype
        for text in self.texts:
            (text or "").encode()

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def null_count(self) -> int:
        return self.texts.count(None)

    @property
    def iloc(self) -> Any:
        return _Rows(self)

    def take(self, rows: Any) -> Column:
        return Column([self.texts[row] for row in rows])

    def to_arrow(self) -> Any:
        return SimpleNamespace(to_pylist=lambda: list(self.texts))

    @property
    def str(self) -> _Strings:
        return _Strings(self.texts)


class _Rows:
    def __init__(self, column: Column) -> None:
        self._column = column

    def __getitem__(self, rows: slice) -> Column:
        return Column(self._column.texts[rows])


@cache
def _lower(character: str) -> str:
    """As in cuDF's tables for a plain character; left as it is otherwise, as a worst case."""
    return character.lower() if is_plain(character) else character


@cache
def _alphanumeric(character: str) -> bool:
    """As in cuDF's tables for a plain character; the opposite of Python's, as a worst case."""
    word = re.match(r"[^\W_]", character) is not None
    return word if is_plain(character) else not word


class _Strings:
    """Methods of ``cudf.Series.str``."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts

    def _map(self, function: Callable[[str], str]) -> Column:
        return Column([function(text) for text in self._texts])

    def lower(self) -> Column:
        return self._map(lambda text: "".join(map(_lower, text)))

    def replace(self, old: str, new: str, *, regex: bool) -> Column:
        assert not regex
        return self._map(lambda text: text.replace(old, new))

    def filter_alphanum(self, other: str, keep: bool) -> Column:
        assert keep
        return self._map(lambda text: "".join(c if _alphanumeric(c) else other for c in text))

    def filter_characters(self, table: dict[int, int], keep: bool) -> Column:
        assert not keep
        inside = [(first, last) for first, last in table.items()]
        assert all(one < other for (_, one), (other, _) in pairwise(sorted(inside)))
        return self._map(
            lambda text: "".join(
                c for c in text if not any(first <= ord(c) <= last for first, last in inside)
            )
        )

    def filter_tokens(self, min_length: int, *, delimiter: str) -> Column:
        return self._map(
            lambda text: delimiter.join(
                token if len(token) >= min_length else "" for token in text.split(delimiter)
            )
        )

    def byte_count(self) -> Any:
        sizes = np.array([len(text.encode()) for text in self._texts], dtype=np.int32)
        return SimpleNamespace(to_numpy=lambda: sizes)


class Vectorizer:
    """cuML's TfidfVectorizer where it is given words and asked for counts alone."""

    def __init__(
        self,
        *,
        lowercase: bool,
        delimiter: str,
        stop_words: list[str] | None,
        ngram_range: tuple[int, int],
        use_idf: bool,
        norm: None,
    ) -> None:
        assert not lowercase and not use_idf and norm is None
        assert stop_words is None or Column(stop_words)  # an empty list has no text dtype in cuDF
        self._delimiter, self._stop_words, self._range = delimiter, stop_words or [], ngram_range

    def fit_transform(self, texts: Column) -> Any:
        assert len(texts) > 0
        found = [Counter(self._grams(text.split(self._delimiter))) for text in texts.texts]
        self._terms = sorted(set().union(*found))
        if not self._terms:
            raise ValueError("empty vocabulary; perhaps the documents only contain stop words")
        place = {term: column for column, term in enumerate(self._terms)}
        rows = [sorted((place[term], number) for term, number in one.items()) for one in found]
        columns, numbers = zip(*(entry for row in rows for entry in row), strict=True)
        indptr = np.cumsum([0, *map(len, rows)], dtype=np.int32)
        parts = (np.array(numbers, np.float32), np.array(columns, np.int32), indptr)
        return sp.csr_matrix(parts, shape=(len(texts), len(place)))

    def _grams(self, tokens: list[str]) -> list[str]:
        words = [token for token in tokens if token and token not in self._stop_words]
        shortest, longest = self._range
        return [
            " ".join(words[at : at + length])
            for length in range(shortest, longest + 1)
            for at in range(len(words) - length + 1)
        ]

    def get_feature_names_out(self) -> Any:
        return np.array(self._terms, dtype=object)


def _concat(columns: list[Column], *, ignore_index: bool) -> Column:
    assert ignore_index
    return Column([text for column in columns for text in column.texts])


def _modules() -> dict[str, ModuleType]:
    contents: dict[str, dict[str, Any]] = {
        "cudf": {"Series": Column, "concat": _concat},
        "cudf.api": {},
        "cudf.api.types": {"is_string_dtype": lambda column: column.dtype == "str"},
        "cuml": {"using_output_type": lambda name: nullcontext()},
        "cuml.feature_extraction": {},
        "cuml.feature_extraction.text": {"TfidfVectorizer": Vectorizer},
    }
    modules = {name: ModuleType(name) for name in contents}
    for name, values in contents.items():
        modules[name].__dict__.update(values)
    return modules


@pytest.fixture(scope="module")
def backend() -> Iterator[Any]:
    with cupy_on_numpy():
        with pytest.MonkeyPatch.context() as patch:
            for name, module in _modules().items():
                patch.setitem(sys.modules, name, module)
            text = importlib.import_module("gpu_kmeans.cuda.text")
        text.kernels.load(
            "weigh.cu", INDEX="int", REAL="float", SATURATED="0"
        )  # compiled here, outside of any test's time
        yield importlib.import_module("gpu_kmeans.cuda").GpuBackend()


@pytest.fixture
def verbs(backend: Any) -> Any:
    """The module under test."""
    return sys.modules["gpu_kmeans.cuda.text"]


# -- texts on the device, and in parts --------------------------------------------------

RULES = TokenRules(stop_words=frozenset({"moon", "字幕"}), ngram_range=(1, 2))


@given(st.lists(st.one_of(any_text, st.sampled_from(FILMS)).filter(lambda t: t.isprintable())))
def test_a_column_on_the_device_has_the_terms_of_its_texts(backend: Any, texts: list[str]) -> None:
    terms, counts = backend.count_terms(Column(texts), RULES, None)
    expected_terms, expected = on_cpu.count_terms(texts, RULES, None)
    assert terms == expected_terms
    assert (counts != expected).nnz == 0


@settings(max_examples=40)
@given(corpus=any_corpus, limit=st.integers(1, 200), on_device=st.booleans())
def test_chunks_do_not_show(backend: Any, corpus: list[str], limit: int, on_device: bool) -> None:
    texts = [*corpus, *FILMS, "", *FILMS]
    if on_device:
        texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["gpu_kmeans.cuda.text"], "_CHUNK", limit)
        if on_device:
            terms, counts = backend.count_terms(Column(texts), RULES, ["moon", "thief", "crew"])
            assert (counts != on_cpu.count_terms(texts, RULES, terms)[1]).nnz == 0
        else:
            assert_terms_are_found(backend, texts, RULES)


def test_a_chunk_holds_whole_texts_up_to_its_limit(verbs: Any) -> None:
    texts = ["aa", "", "bbbb", "c", "dddddd", "e", ""]
    for rows in (texts, Column(texts)):
        cut = [(len(part), size) for part, size in verbs._chunks(rows, verbs._sizes(rows), 5)]
        assert cut == [(2, 2), (2, 5), (1, 6), (2, 1)]


def test_only_texts_that_cudf_reads_otherwise_come_to_the_host(
    verbs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(verbs, "words_of", lambda text, n: seen.append(text) or words_of(text, n))
    texts = ["naïve “moon” 🎬", "ΟΔΟΣ", "字幕 _x_", "𐐀𐐁"]
    for rows in (texts, Column(texts)):
        assert verbs._words(rows, 2).texts[1::2] == ["οδος", "𐐨𐐩"]
    assert seen == ["ΟΔΟΣ", "𐐀𐐁"] * 2


def test_a_null_or_another_type_on_the_device_is_named_by_position(backend: Any) -> None:
    with pytest.raises(InputError, match=r"texts\[1\] is None"):
        backend.count_terms(Column(["moon", None]), RULES, None)
    numbers = Column([])
    numbers.texts, numbers.dtype = [7], "int64"  # type: ignore[list-item]
    with pytest.raises(InputError, match=r"texts\[0\] is 7 \(int\)"):
        backend.count_terms(numbers, RULES, None)


def test_texts_are_counted_in_smaller_parts_where_memory_is_short(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected_terms, expected = on_cpu.count_terms(FILMS, RULES, None)
    whole, room = Vectorizer.fit_transform, 4

    def fit_transform(self: Vectorizer, texts: Column) -> Any:
        if len(texts) > room:
            raise MemoryError
        return whole(self, texts)

    monkeypatch.setattr(Vectorizer, "fit_transform", fit_transform)
    terms, counts = backend.count_terms(FILMS, RULES, None)
    assert terms == expected_terms
    assert (counts != expected).nnz == 0
    room = 0
    with pytest.raises(OutOfDeviceMemory):
        backend.count_terms(FILMS, RULES, None)


def test_an_error_of_cuml_is_not_taken_for_an_empty_vocabulary(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit_transform(self: Vectorizer, texts: Column) -> Any:
        raise ValueError("something else")

    monkeypatch.setattr(Vectorizer, "fit_transform", fit_transform)
    with pytest.raises(ValueError, match="something else"):
        backend.count_terms(FILMS, RULES, None)


# -- weights ----------------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(0, 300), st.integers(1, 60)),
    density=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    largest=st.sampled_from([1, 3, 1000]),
    with_idf=st.booleans(),
    weighting=st.builds(
        Weighting,
        scheme=st.sampled_from(SCHEMES),
        norm=st.sampled_from(NORMS),
        average_length=st.floats(0.1, 1000),
        dtype=st.sampled_from(["float32", "float64"]),
    )
    | st.builds(Weighting, sublinear=st.booleans(), norm=st.sampled_from(NORMS)),
)
def test_weights_have_the_bits_of_the_cpu(
    backend: Any,
    seed: int,
    shape: tuple[int, int],
    density: float,
    largest: int,
    with_idf: bool,
    weighting: Weighting,
) -> None:
    rng = np.random.default_rng(seed)
    numbers = rng.integers(1, largest, shape, endpoint=True) * (rng.random(shape) < density)
    counts = sp.csr_matrix(numbers.astype(np.float32))
    idf = rng.uniform(1, 12, shape[1]) if with_idf else None
    found = backend.weigh_terms(counts, idf, weighting)
    expected = on_cpu.weigh_terms(counts, idf, weighting)
    assert found.dtype == expected.dtype == np.dtype(weighting.dtype)
    assert found.shape == shape
    np.testing.assert_array_equal(found.indptr, expected.indptr)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.data, expected.data)


@pytest.mark.parametrize("made", BAD_COUNTS.values(), ids=BAD_COUNTS)
def test_counts_that_are_none_are_refused(backend: Any, made: Any) -> None:
    with pytest.raises(InputError, match="counts"):
        backend.weigh_terms(made(), np.ones(4), Weighting())
