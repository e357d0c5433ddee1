"""Spherical k-means: what it maximises, where it ends, and what a default fit of texts is."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from gpu_kmeans import errors
from gpu_kmeans.clustering.base import Clustering, clusterer
from gpu_kmeans.features.base import DIRECTIONS
from gpu_kmeans.pipeline import fit


def cluster(rows: Any, k: int, backend: Any, **options: Any) -> Clustering:
    options = {"max_iter": 300, "seed": 0, **options}
    return clusterer("spherical", n_clusters=k, **options).fit(rows, backend)


def unit(rows: Any) -> np.ndarray:
    rows = np.asarray(rows, np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def cosines(rows: Any, labels: np.ndarray, k: int) -> float:
    return float(sum(np.linalg.norm(unit(rows)[labels == b].sum(axis=0)) for b in range(k)))


@pytest.fixture(scope="module")
def rays() -> tuple[np.ndarray, np.ndarray]:
    """Rows of very different lengths around four directions."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    rows = np.eye(4, 6)[labels] + 0.1 * rng.normal(size=(200, 6))
    return (rows * rng.lognormal(0, 1, (200, 1))).astype(np.float32), labels


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_rows_are_clustered_by_direction_whatever_their_length(backend, rays, kind) -> None:
    rows, labels = rays
    clustering = cluster(kind(rows), 4, backend)
    pairs = set(zip(labels.tolist(), clustering.labels.tolist(), strict=True))
    assert len(pairs) == 4
    assert np.linalg.norm(clustering.means, axis=1) == pytest.approx(1, abs=1e-5)
    for label in range(4):
        direction = unit(rows)[clustering.labels == label].sum(axis=0)
        expected = direction / np.linalg.norm(direction)
        assert clustering.means[label] == pytest.approx(expected, abs=1e-5)


def test_the_inertia_is_that_around_the_means_of_the_rows_as_they_are(backend, rays) -> None:
    rows, _ = rays
    clustering = cluster(rows, 3, backend)
    inertia = 0.0
    for label in range(3):
        members = rows[clustering.labels == label].astype(np.float64)
        inertia += float(np.square(members - members.mean(axis=0)).sum())
    assert clustering.inertia == pytest.approx(inertia, rel=1e-5)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.sampled_from(["dense", "sparse"]))
def test_no_move_of_a_row_lengthens_the_sums(backend, seed: int, k: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(40, 8)) * (rng.random((40, 8)) < 0.5)
    rows[:, 0] += 0.1
    given_rows = rows if kind == "dense" else sparse.csr_matrix(rows)
    labels = cluster(given_rows, k, backend, seed=seed % 1000).labels
    best = cosines(rows, labels, k)
    sizes = np.bincount(labels, minlength=k)
    for row in range(40):
        for other in range(k):
            if other != labels[row] and sizes[labels[row]] > 1:
                moved = labels.copy()
                moved[row] = other
                assert cosines(rows, moved, k) <= best + 1e-3


def test_labels_are_those_of_the_nearest_direction(backend, rays) -> None:
    rows, _ = rays
    clustering = cluster(rows, 7, backend)
    products = unit(rows) @ clustering.means.T.astype(np.float64)
    best = products.max(axis=1)
    chosen = products[np.arange(len(rows)), clustering.labels]
    assert chosen == pytest.approx(best, abs=1e-6)


def test_kinds_of_texts_are_spread_evenly_where_k_means_leaves_a_remainder(backend) -> None:
    # 40 kinds of rows, five a topic, that share a little with those of their topic alone.
    kinds = np.repeat(np.arange(40), np.linspace(20, 40, 40).astype(int))
    rows = np.hstack([np.eye(40)[kinds], 0.3 * np.eye(8)[kinds % 8]]).astype(np.float32)
    largest = {}
    for algorithm in ("spherical", "hartigan"):
        fitted = clusterer(algorithm, n_clusters=8, max_iter=300, seed=0)
        labels = fitted.fit(sparse.csr_matrix(unit(rows).astype(np.float32)), backend).labels
        largest[algorithm] = np.bincount(labels).max() / len(kinds)
    assert largest["spherical"] < 0.15 < 0.25 < largest["hartigan"]


def test_fewer_distinct_rows_than_clusters_leave_clusters_empty(backend) -> None:
    rows = np.repeat(np.eye(2, dtype=np.float32), 5, axis=0)
    labels = cluster(rows, 4, backend).labels
    assert len(np.unique(labels)) == 2
    assert len(set(labels[:5].tolist())) == len(set(labels[5:].tolist())) == 1


def test_rows_of_nothing_but_zeros_are_put_somewhere(backend) -> None:
    rows = np.zeros((5, 3), np.float32)
    rows[:2] = np.eye(2, 3)
    labels = cluster(rows, 2, backend).labels
    assert labels[0] != labels[1]
    assert set(labels.tolist()) == {0, 1}


def test_more_clusters_than_rows_are_refused(backend) -> None:
    with pytest.raises(errors.InvalidParam, match="n_samples=2 should be >= n_clusters=3"):
        cluster(np.eye(2), 3, backend)


def test_a_callback_hears_of_iterations_and_can_stop(backend, rays) -> None:
    heard: list[Any] = []
    clustering = cluster(rays[0], 4, backend, callback=heard.append)
    assert {progress.stage for progress in heard} == {"spherical"}
    assert len(heard) >= len(clustering.history) == clustering.n_iter
    heard.clear()
    cluster(rays[0], 4, backend, callback=lambda progress: heard.append(progress) or True)
    assert len(heard) == 1
    assert cluster(rays[0], 4, backend, max_iter=2).n_iter == 2


# -- the defaults of a fit --------------------------------------------------------------------


def texts_file(path: Path, texts: list[str], **more: list[Any]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = zip(texts, *more.values(), strict=True)
        csv.writer(file).writerows([["text", *more], *rows])
    return path


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(400)])
    topics = np.repeat([0, 1], 75)
    texts = [" ".join(random.choice(words[200 * t : 200 * t + 200], 12)) for t in topics]
    return texts_file(tmp_path_factory.mktemp("texts") / "many.csv", texts)


def choices(model: Any) -> tuple[str, int, str]:
    parameters = model.info.parameters
    weighting = model.vectorizer.weighting
    return weighting, parameters["reduce"], parameters["algorithm"]


TEXT = {"text": "text"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("bm25", DIRECTIONS, "spherical")),
        ({"reduce": 0}, ("bm25", 0, "hartigan")),
        ({"reduce": 20}, ("bm25", 20, "spherical")),
        ({"weighting": "tfidf", "reduce": 0}, ("tfidf", 0, "hartigan")),
        ({"sublinear_tf": True}, ("tfidf", DIRECTIONS, "spherical")),
        ({"algorithm": "hartigan"}, ("bm25", 0, "hartigan")),
        ({"algorithm": "hartigan", "reduce": 20}, ("bm25", 20, "hartigan")),
        ({"algorithm": "spherical", "reduce": 0}, ("bm25", 0, "spherical")),
    ],
    ids=str,
)
def test_what_is_not_asked_for_is_chosen_for_texts(many: Path, options, expected) -> None:
    model = fit(many, n_clusters=2, columns=TEXT, backend="cpu", **options)
    assert choices(model) == expected
    assert len(set(model.labels[:75].tolist())) == len(set(model.labels[75:].tolist())) == 1
    assert not any("directions" in warning for warning in model.info.warnings)


def test_texts_of_few_rows_are_projected_onto_as_many_directions_with_a_note(tmp_path) -> None:
    file = texts_file(tmp_path / "few.csv", ["alien orbit", "alien planet", "soup chef", "soup"])
    model = fit(file, n_clusters=2, columns=TEXT, backend="cpu")
    assert choices(model)[1] == 4
    assert model.labels[0] == model.labels[1] != model.labels[2] == model.labels[3]
    (note,) = [warning for warning in model.info.warnings if "directions" in warning]
    assert "4 directions, not 100: there are 4 rows of 5 terms" in note
    assert fit(texts_file(tmp_path / "one.csv", ["alien"]), n_clusters=1, columns=TEXT).labels == 0


def test_texts_beside_numbers_are_not_reduced(tmp_path: Path) -> None:
    texts = ["alien orbit", "alien planet", "soup chef", "soup recipe"]
    file = texts_file(tmp_path / "mixed.csv", texts, size=[1, 2, 3, 4])
    columns = {"text": "text", "numbers": ["size"]}
    model = fit(file, n_clusters=2, columns=columns, backend="cpu")
    assert choices(model) == ("tfidf", 0, "hartigan")


def test_matrices_are_clustered_as_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.random.default_rng(0).normal(size=(30, 5)))
    parameters = fit(tmp_path / "m.npy", n_clusters=2, backend="cpu").info.parameters
    assert (parameters["reduce"], parameters["algorithm"]) == (0, "hartigan")


@pytest.mark.parametrize("wrong", [{"reduce": "some"}, {"algorithm": "Auto"}, {"weighting": "a"}])
def test_other_words_than_auto_are_refused(many: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(errors.InvalidParam, match=next(iter(wrong))):
        fit(many, columns=TEXT, **wrong)


def test_top_terms_of_directions_are_those_of_the_means(many: Path) -> None:
    model = fit(many, n_clusters=2, columns=TEXT, reduce=0, algorithm="spherical", backend="cpu")
    rows = model.postings.to_csr().toarray()
    for label in range(2):
        expected = rows[model.labels == label].mean(axis=0)
        assert model.feature_means[label] == pytest.approx(expected, abs=1e-6)
