"""Words with the compiled library and without it: the same terms, counts and weights, all bits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import test_text
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from test_text import FILMS, any_text

from cpu_fallback import CpuBackend, compiled, threads
from cpu_fallback import text as counting
from cpu_fallback.compiled import library
from cpu_fallback.compiled import words as compiled_words
from gpu_kmeans.backends.protocol import Backend, TokenRules
from gpu_kmeans.features.stop_words import ENGLISH
from gpu_kmeans.features.tfidf import TfidfVectorizer
from gpu_kmeans.features.weighting import NORMS, SCHEMES, Weighting

# What a token is and what it weighs holds without the library, too.
globals().update({n: test for n, test in vars(test_text).items() if n.startswith("test_")})

needs_library = pytest.mark.skipif(
    library.kernels() is None, reason="the kernels were not compiled: there was no C compiler"
)


@pytest.fixture(scope="module", autouse=True)
def no_library() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "is_there", lambda: False)
        yield


@pytest.fixture(scope="module")
def backend() -> Backend:
    return CpuBackend()


@contextmanager
def the_library(chunk: int | None = None) -> Iterator[pytest.MonkeyPatch]:
    """With it, and with chunks of at most so many characters."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "is_there", lambda: True)
        if chunk is not None:
            patch.setattr(counting, "_CHUNK", chunk)
        yield patch


def assert_same_bits(one: Any, two: Any) -> None:
    assert one.shape == two.shape
    for name in ("indptr", "indices", "data"):
        mine, other = getattr(one, name), getattr(two, name)
        assert mine.dtype == other.dtype
        assert mine.tobytes() == other.tobytes()


# Words that are hard to tell apart: of eight bytes and about, alike in all of the first eight, of
# letters of one to four bytes, and such that are no longer than they look.
alike = st.one_of(
    st.text("ab", min_size=1, max_size=3),
    st.text("aB_", min_size=7, max_size=26),
    st.text("aé字𐐀", min_size=1, max_size=9),
    st.sampled_from(["abcdefgh", "abcdefghi", "abcdefghij", "abcdefgh" * 4, "zz\x00zz", "a\xffb"]),
)
hard_text = st.one_of(any_text, st.lists(alike, max_size=12).map(" ".join))


@pytest.mark.slow
@needs_library
@settings(max_examples=400)
@given(
    texts=st.lists(hard_text, max_size=8),
    vocabulary=st.none() | st.lists(st.one_of(hard_text, alike), unique=True, max_size=12),
    stop_words=st.frozensets(st.one_of(any_text, alike, st.sampled_from(["the", "ÉÉ", "éé"]))),
    min_length=st.sampled_from([2, 1, 3]),
    chunk=st.integers(1, 60),
)
def test_any_texts_are_counted_with_the_library_as_without(
    texts: list[str], vocabulary: list[str] | None, chunk: int, **rules: Any
) -> None:
    terms, counts = counting.count_terms(texts, TokenRules(**rules), vocabulary)
    with the_library(chunk) as patch:
        patch.setattr(counting, "_LEAST_CHUNK", 1)
        found_terms, found = counting.count_terms(texts, TokenRules(**rules), vocabulary)
    assert found_terms == terms
    assert_same_bits(found, counts)
    assert found.has_canonical_format


@needs_library
@settings(max_examples=300)
@given(
    texts=st.lists(hard_text, max_size=6),
    stop_words=st.frozensets(alike),
    min_length=st.integers(1, 9),
)
def test_words_are_those_that_a_regular_expression_finds(texts: list[str], **rules: Any) -> None:
    pattern = re.compile(rf"\w{{{rules['min_length']},}}")
    expected = [
        Counter(word for word in pattern.findall(text.lower()) if word not in rules["stop_words"])
        for text in texts
    ]
    with the_library():
        terms, counts = counting.count_terms(texts, TokenRules(**rules), None)
    assert terms == sorted(set().union(*expected))
    for (first, last), words in zip(pairwise(counts.indptr), expected, strict=True):
        found = zip(counts.indices[first:last], counts.data[first:last], strict=True)
        assert {terms[column]: times for column, times in found} == words


@needs_library
@pytest.mark.filterwarnings("ignore:Your stop_words", "ignore:Upper case characters")
@given(
    texts=st.lists(hard_text, min_size=1, max_size=8),
    norm=st.sampled_from(["l2", "l1", None]),
    sublinear_tf=st.booleans(),
    stop_words=st.sampled_from([None, "english", ["ab", "字字"]]),
    vocabulary=st.none() | st.lists(alike, unique=True, min_size=1, max_size=12),
)
def test_weights_are_the_same_to_the_last_bit(texts: list[str], **params: Any) -> None:
    texts = [*texts, "abc abc moon"]
    plain = TfidfVectorizer(backend="cpu", **params)
    expected = plain.fit_transform(texts)
    with the_library():
        vectorizer = TfidfVectorizer(backend="cpu", **params)
        assert_same_bits(vectorizer.fit_transform(texts), expected)
        assert_same_bits(vectorizer.transform(texts), expected)
    assert [*vectorizer.vocabulary_.items()] == [*plain.vocabulary_.items()]
    assert vectorizer.idf_.tobytes() == plain.idf_.tobytes()


any_weighting = st.one_of(
    st.builds(Weighting, sublinear=st.booleans(), norm=st.sampled_from(NORMS)),
    st.builds(
        Weighting,
        scheme=st.sampled_from(SCHEMES),
        norm=st.sampled_from(NORMS),
        average_length=st.floats(0.1, 1000),
        dtype=st.sampled_from(["float32", "float64"]),
    ),
)


@needs_library
@settings(max_examples=80)
@given(seed=st.integers(0, 10_000), weighting=any_weighting, block=st.integers(1, 300))
def test_any_counts_weigh_the_same(seed: int, weighting: Weighting, block: int) -> None:
    rng = np.random.default_rng(seed)
    counts = sparse.random_array((40, 60), density=rng.random(), rng=rng, format="csr")
    counts.data = rng.integers(1, 1000, counts.nnz).astype(np.int32)
    counts = sparse.csr_matrix(counts)
    for idf in (None, 0.01 + rng.random(60), np.repeat(1 + rng.random(60), 2)[::2]):
        expected = counting.tfidf_transform(counts, idf, weighting)
        with the_library() as patch:
            patch.setattr(counting, "_BLOCK", block)
            assert_same_bits(counting.tfidf_transform(counts, idf, weighting), expected)


def many_texts() -> list[str]:
    """Enough words for tables to grow, rows short and long, and words that meet in eight bytes."""
    rng = np.random.default_rng(0)
    words = [f"{'abcdefgh'[: n % 9]}{n}{'xyß'[: n % 4]}" for n in range(30_000)]
    lengths = rng.integers(0, 200, 900)
    return [" ".join(rng.choice(words, length).tolist()) for length in [*lengths, 0, 20_000, 1]]


@pytest.mark.slow
@needs_library
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_neither_threads_nor_chunks_nor_hashes_show(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    texts, rules = many_texts(), TokenRules(stop_words=ENGLISH)
    terms, counts = counting.count_terms(texts, rules, None)
    monkeypatch.setattr(threads, "count", lambda: count)
    for chunk, key in ((10_000, 3), (100_000, compiled_words.KEY), (1 << 30, (1 << 64) - 1)):
        with the_library(chunk) as patch:
            patch.setattr(compiled_words, "KEY", key)
            found_terms, found = counting.count_terms(texts, rules, None)
        assert found_terms == terms
        assert_same_bits(found, counts)


@needs_library
def test_words_that_all_meet_in_one_place_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_words, "KEY", 1)  # the hash of a short word is then nothing
    texts = [" ".join(f"{n:x}" for n in range(start, start + 300)) for start in range(0, 3000, 100)]
    expected = counting.count_terms(texts, TokenRules(), None)
    with the_library():
        found = counting.count_terms(texts, TokenRules(), None)
    assert found[0] == expected[0]
    assert_same_bits(found[1], expected[1])


@needs_library
@pytest.mark.parametrize("length", [1, 8, 1000, 3_000_000])
@pytest.mark.parametrize("letter", ["x", "ß", "字", "𐐨"])
def test_a_word_may_be_of_any_length(letter: str, length: int) -> None:
    word = letter * length
    with the_library():
        terms, counts = counting.count_terms(
            [word, f"{word}a {word}"], TokenRules((), (1, 1), 1), None
        )
    assert terms == sorted([word, f"{word}a"])
    assert counts.toarray().tolist() == [[1, 0], [1, 1]]


@needs_library
def test_stop_words_are_compared_as_they_are() -> None:
    """A capital is of no token, so a stop word that has one drops none."""
    rules = TokenRules(
        stop_words=frozenset({"The", "ÉLAN", "on the", "", "x\x00y", "\ud800", "of"})
    )
    with the_library():
        terms, _ = counting.count_terms(["the élan of THE moon on the sea, ÉLAN"], rules, None)
    assert terms == ["moon", "on", "sea", "the", "élan"]


@needs_library
def test_the_end_of_a_text_joins_and_parts_nothing() -> None:
    """A capital sigma at a word's end is another letter, and \\xff is one that texts may have."""
    texts = ["ΟΔΟΣ", "Σ", "ΟΔΟΣ ", "ÿÿ", "\xffb\xff", "", "\n", "ab", "cd"]
    expected = counting.count_terms(texts, TokenRules(min_length=1), None)
    with the_library():
        found = counting.count_terms(texts, TokenRules(min_length=1), None)
    assert found[0] == expected[0]
    assert_same_bits(found[1], expected[1])


@needs_library
def test_the_library_takes_part_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the other tests do not compare one path with itself."""
    called: list[str] = []
    plain = library.plain_function
    monkeypatch.setattr(
        compiled_words, "plain_function", lambda name: called.append(name) or plain(name)
    )
    TfidfVectorizer(backend="cpu").fit_transform(FILMS)
    assert called == []
    with the_library():
        TfidfVectorizer(backend="cpu").fit_transform(FILMS)
    assert {"find_words", "join_words", "write_rows", "weigh_rows", "free_words"} <= set(called)


@needs_library
@pytest.mark.parametrize("name", ["find_words", "join_words"])
def test_without_memory_there_is_an_error_and_what_was_taken_is_given_back(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    called: list[str] = []
    plain = library.plain_function

    def failing(asked: str) -> Any:
        called.append(asked)
        if asked != name:
            return plain(asked)
        return lambda *given: None

    monkeypatch.setattr(compiled_words, "plain_function", failing)
    monkeypatch.setattr(compiled_words._Words, "failed", 1)
    with the_library(), pytest.raises(MemoryError, match="no room for the words"):
        counting.count_terms(FILMS, TokenRules(), None)
    assert called.count("free_words") == 2
