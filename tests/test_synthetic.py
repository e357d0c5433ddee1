"""Made-up corpora: reproducible, Zipf-shaped, with topics that can be found again."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_kmeans import errors
from gpu_kmeans.data.catalogue import load_catalogue
from gpu_kmeans.data.synthetic import corpus


@settings(deadline=None)
@given(
    n_documents=st.integers(1, 50),
    n_terms=st.integers(1, 200),
    n_topics=st.integers(1, 200),
    mean_length=st.floats(1, 20),
    seed=st.integers(0, 2**32),
)
def test_any_size_is_drawn_within_its_vocabulary(n_documents, n_terms, n_topics, mean_length, seed):
    n_topics = min(n_topics, n_terms)
    made = corpus(n_documents, n_terms, n_topics=n_topics, mean_length=mean_length, seed=seed)
    counts = made.counts()
    assert counts.shape == (n_documents, n_terms)
    assert counts.dtype == np.float32
    assert counts.has_canonical_format
    assert counts.sum() == len(made.tokens)
    assert (np.diff(made.bounds) >= 1).all()
    assert made.labels.min() >= 0
    assert made.labels.max() < n_topics
    assert len(made.terms) == n_terms
    assert made.terms == sorted(made.terms)


def test_a_seed_gives_the_same_corpus_and_another_seed_another():
    first, again, other = (
        corpus(500, 1000, n_topics=5, mean_length=20, seed=seed) for seed in (3, 3, 4)
    )
    assert np.array_equal(first.tokens, again.tokens)
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.labels, other.labels)


def test_texts_hold_the_counted_terms():
    made = corpus(50, 300, n_topics=3, mean_length=12, seed=0)
    counts, terms = made.counts(), made.terms
    for row, text in enumerate(made.texts()):
        start, stop = counts.indptr[row : row + 2]
        expected = {
            terms[term]: count
            for term, count in zip(counts.indices[start:stop], counts.data[start:stop], strict=True)
        }
        assert Counter(text.split()) == expected


def test_lengths_and_frequencies_follow_their_laws():
    made = corpus(20_000, 5000, n_topics=1, mean_length=30, seed=1)
    assert np.diff(made.bounds).mean() == pytest.approx(30, rel=0.01)
    seen = np.bincount(made.tokens, minlength=5000) / len(made.tokens)
    ranks = np.arange(1, 5001)
    assert seen == pytest.approx(np.log1p(1 / ranks) / np.log(5001), abs=1e-3)


def test_planted_topics_can_be_told_from_the_counts():
    made = corpus(3000, 2000, n_topics=7, mean_length=40, seed=2)
    by_topic = made.counts() @ np.eye(7)[np.arange(2000) % 7]
    assert (by_topic.argmax(axis=1) == made.labels).mean() > 0.95


def test_a_corpus_becomes_a_catalogue(tmp_path):
    made = corpus(40, 100, n_topics=4, mean_length=10, seed=5)
    catalogue = load_catalogue(*made.write_csv(tmp_path))
    assert catalogue.to_arrow()["text"].to_pylist() == made.texts()
    assert catalogue.report.absent == ()
    assert catalogue.report.filled == {}
    assert catalogue.to_arrow()["genres"].to_pylist() == [[f"topic {t}"] for t in made.labels]
    with pytest.raises(errors.FileProblem, match="cannot be written"):
        made.write_csv(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [{"n_documents": 0}, {"n_topics": 0}, {"n_topics": 11}, {"mean_length": 0.5}, {"seed": -1}],
)
def test_arguments_outside_their_domain_are_refused(wrong):
    sizes = {"n_documents": 5, "n_terms": 10, "n_topics": 2, "mean_length": 3, "seed": 0}
    with pytest.raises(errors.InvalidParam, match="got n_documents="):
        corpus(**(sizes | wrong))
