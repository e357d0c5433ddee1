"""The whole flow: files in, a model out that says how it came about."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpu_kmeans
from gpu_kmeans import errors
from gpu_kmeans.backends.protocol import Progress
from gpu_kmeans.backends.select import choose
from gpu_kmeans.clustering.kmeans import FewerClustersWarning, KMeans
from gpu_kmeans.features.tfidf import TfidfVectorizer
from gpu_kmeans.features.weighting import SCHEMES
from gpu_kmeans.model import UNCLUSTERED
from gpu_kmeans.pipeline import fit

SPACE = ["alien", "spaceship", "planet", "galaxy", "orbit"]
COOKING = ["recipe", "kitchen", "chef", "restaurant", "soup"]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def films(texts: list[str]) -> list[dict[str, Any]]:
    return [
        {"id": 100 + row, "title": f"Film {row}", "overview": text, "popularity": row}
        for row, text in enumerate(texts)
    ]


@pytest.fixture
def two_themes(tmp_path: Path) -> Path:
    """Twenty films, ten a theme, and two without a known term: rows 0 and 21."""
    random = np.random.default_rng(0)
    texts = [
        " ".join(random.choice(theme, 4, replace=False))
        for theme in (SPACE, COOKING)
        for _ in range(10)
    ]
    return write(tmp_path / "movies.csv", films(["", *texts, "and the of"]))


def test_finds_the_themes_and_sets_rows_without_a_known_term_aside(two_themes: Path) -> None:
    model = fit(two_themes, n_clusters=2)
    first, second = set(model.labels[1:11].tolist()), set(model.labels[11:21].tolist())
    assert len(first) == len(second) == 1
    assert first | second == {0, 1}
    assert model.labels[[0, 21]].tolist() == [UNCLUSTERED, UNCLUSTERED]
    assert model.metrics()["n_items"] == 22
    assert model.metrics()["n_clustered"] == 20


PLAIN: dict[str, Any] = {"weighting": "tfidf", "reduce": 0}
"""Rows of TF-IDF as they are, clustered by k-means."""


def test_rows_set_aside_are_in_no_statistics(two_themes: Path) -> None:
    model = fit(two_themes, n_clusters=2, **PLAIN)
    rows = model.postings.to_csr().astype(np.float64)
    inertia = 0.0
    for label in range(2):
        members = rows[model.labels == label].toarray()
        mean = members.mean(axis=0)
        inertia += float(np.square(members - mean).sum())
        assert model.centroids[label] == pytest.approx(mean, abs=1e-6)
    assert model.info.inertia == pytest.approx(inertia, rel=1e-5)


def test_everything_is_in_the_files_order(two_themes: Path) -> None:
    model = fit(two_themes, n_clusters=2)
    assert model.items["id"].to_pylist() == list(range(100, 122))
    assert np.diff(model.postings.to_csr().indptr).tolist() == [0, *[4] * 20, 0]


def test_the_model_says_how_it_came_about(two_themes: Path) -> None:
    info = fit(two_themes, n_clusters=2, seed=7, max_iter=50).info
    chosen, reason = choose("auto")
    assert (info.backend, info.seed) == (chosen.name, 7)
    assert info.backend_reason == reason
    assert info.parameters["n_clusters"] == 2
    assert info.parameters["max_iter"] == 50
    assert info.versions["gpu-kmeans"] == gpu_kmeans.__version__
    assert info.catalogue["rows"] == 22
    assert info.history[-1][2] == pytest.approx(info.inertia, rel=1e-5)
    assert info.created.endswith("+00:00")


def test_the_stages_are_announced_and_timed(two_themes: Path) -> None:
    stages: list[str] = []
    seconds = fit(two_themes, n_clusters=2, on_stage=stages.append).info.seconds
    assert stages == ["read", "vectorise", "reduce", "cluster"]
    assert list(seconds) == ["read", "vectorise", "reduce", "cluster", "total"]
    assert seconds["total"] == pytest.approx(sum(seconds[stage] for stage in stages), abs=0.01)
    assert min(seconds.values()) > 0


def test_the_callback_hears_of_iterations_and_can_stop(two_themes: Path) -> None:
    heard: list[Progress] = []

    def stop(progress: Progress) -> bool:
        heard.append(progress)
        return True

    model = fit(two_themes, n_clusters=2, callback=stop)
    assert [progress.stage for progress in heard] == ["spherical"]
    assert set(model.labels.tolist()) <= {-1, 0, 1}
    heard.clear()
    model = fit(two_themes, n_clusters=2, callback=stop, **PLAIN)
    assert {progress.stage for progress in heard} <= {"sketch", "lloyd"}
    assert set(model.labels.tolist()) <= {-1, 0, 1}


def test_the_same_seed_gives_the_same_model(two_themes: Path) -> None:
    one, other = (fit(two_themes, n_clusters=3, seed=1) for _ in range(2))
    assert one.labels.tolist() == other.labels.tolist()
    assert one.centroids.tolist() == other.centroids.tolist()


def test_columns_may_have_any_name(tmp_path: Path) -> None:
    rows = [
        {"isbn": f"00{row}", "plot": text, "name": f"Book {row}"}
        for row, text in enumerate(["alien planet", "alien orbit", "soup chef", "soup recipe"])
    ]
    books = write(tmp_path / "books.csv", rows)
    columns = {"id": "isbn", "text": "plot", "title": "name", "popularity": None}
    model = fit(books, n_clusters=2, columns=columns)
    assert model.items["id"].to_pylist() == ["000", "001", "002", "003"]
    assert model.labels[0] == model.labels[1] != model.labels[2] == model.labels[3]
    assert model.info.parameters["columns"] == columns


def test_text_options_reach_the_vectorizer(tmp_path: Path) -> None:
    movies = write(tmp_path / "m.csv", films(["the red alien", "the red planet", "a blue planet"]))
    model = fit(movies, n_clusters=1, stop_words=None, ngram_range=(1, 2), min_df=2)
    assert model.vectorizer.get_feature_names_out().tolist() == ["planet", "red", "the", "the red"]


@pytest.mark.parametrize("weighting", SCHEMES)
def test_queries_are_weighed_as_the_texts_of_the_fit_were(tmp_path: Path, weighting: str) -> None:
    random = np.random.default_rng(1)
    texts = [" ".join(random.choice(SPACE + COOKING, length)) for length in range(1, 25)]
    model = fit(write(tmp_path / "m.csv", films(texts)), n_clusters=3, weighting=weighting)
    model.save(tmp_path / "model")
    loaded = gpu_kmeans.Model.load(tmp_path / "model")
    rows = TfidfVectorizer(weighting=weighting, backend="cpu").fit_transform(texts).toarray()
    dots = rows.astype(np.float64) @ rows.T
    recommender = gpu_kmeans.Recommender(loaded)
    for row, text in enumerate(texts):
        columns, values = loaded.vectorizer.transform_query(text)
        query = np.zeros(rows.shape[1], np.float32)
        query[columns] = values
        np.testing.assert_array_equal(query, rows[row])
        answer = recommender.recommend(text, limit=24, rank="relevance", clusters=3)
        cosines = {item.id - 100: item.parts["relevance"] for item in answer.items}
        expected = {other: dots[row, other] for other in range(len(texts))}
        assert cosines == pytest.approx(expected, abs=1e-6)
        assert recommender.predict([text])[0][0] == model.labels[row]


def test_terms_that_weigh_nothing_leave_a_model_that_can_be_kept_and_asked(tmp_path: Path) -> None:
    texts = ["alien", "alien", "alien soup"]  # by log-entropy "alien" says nothing
    model = fit(write(tmp_path / "m.csv", films(texts)), n_clusters=2, weighting="log-entropy")
    model.save(tmp_path / "model")
    recommender = gpu_kmeans.Recommender(gpu_kmeans.Model.load(tmp_path / "model"))
    assert {item.id for item in recommender.recommend("alien", clusters=2).items} == {100, 101, 102}
    assert recommender.recommend("soup alien").items[0].id == 102


def test_a_weighting_is_checked_before_anything_is_read(tmp_path: Path) -> None:
    for wrong in ({"weighting": "bm26"}, {"weighting": "bm25", "sublinear_tf": True}):
        with pytest.raises(errors.InvalidParam, match="weighting"):
            fit(tmp_path / "missing.csv", **wrong)


def test_more_clusters_than_usable_rows_are_refused_with_both_numbers(two_themes: Path) -> None:
    stages: list[str] = []
    with pytest.raises(errors.InvalidParam, match=r"n_clusters=21 .* 20 items .*of 22 items, 2 "):
        fit(two_themes, n_clusters=21, on_stage=stages.append)
    assert "cluster" not in stages
    assert fit(two_themes, n_clusters=20).n_clusters == 20


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_clusters": 0},
        {"n_clusters": 1.5},
        {"n_clusters": True},
        {"seed": -1},
        {"max_iter": 0},
        {"algorithm": "centroids"},
        {"backend": "tpu"},
    ],
    ids=str,
)
def test_arguments_outside_their_domain_are_refused(
    two_themes: Path, wrong: dict[str, Any]
) -> None:
    with pytest.raises(errors.InvalidParam, match=next(iter(wrong))):
        fit(two_themes, **{"n_clusters": 2, **wrong})


def test_numbers_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidParam, match="n_clusters"):
        fit(tmp_path / "missing.csv", n_clusters=0)


def test_no_usable_text_at_all_is_refused(tmp_path: Path) -> None:
    movies = write(tmp_path / "m.csv", films(["", "the of and"]))
    with pytest.raises(errors.EmptyVocabulary, match=r"^m\.csv, column 'overview': "):
        fit(movies, n_clusters=1)
    columns = {"text": "title"}
    with pytest.raises(errors.EmptyVocabulary, match=r"^m\.csv, column 'title': .*max_df=1 "):
        fit(movies, n_clusters=1, columns=columns, max_df=1)


def test_fewer_distinct_rows_than_clusters_fits_and_warns(tmp_path: Path) -> None:
    movies = write(tmp_path / "m.csv", films(["alien planet"] * 3 + ["soup chef"] * 3))
    model = fit(movies, n_clusters=4)
    assert len(set(model.labels.tolist())) == 2
    assert "2 of 4 clusters have items; the others are empty" in model.info.warnings


def test_other_warnings_go_to_the_caller_and_not_into_the_model(
    two_themes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = KMeans.fit

    def noisy(self: KMeans, X: Any) -> KMeans:
        warnings.warn("a library says", RuntimeWarning, stacklevel=1)
        warnings.warn("fewer", FewerClustersWarning, stacklevel=1)
        return real(self, X)

    monkeypatch.setattr(KMeans, "fit", noisy)
    with pytest.warns(RuntimeWarning, match="a library says") as heard:
        model = fit(two_themes, n_clusters=2, algorithm="hartigan")
    assert [str(each.message) for each in heard] == ["a library says"]
    assert not any("library" in warning for warning in model.info.warnings)


def test_what_the_catalogue_warns_of_is_kept(two_themes: Path) -> None:
    warnings = fit(two_themes, n_clusters=2).info.warnings
    assert any("without a text" in warning for warning in warnings)


def test_the_gpu_is_not_replaced_quietly(two_themes: Path) -> None:
    if gpu_kmeans.why_not_gpu() is None:
        pytest.skip("a GPU can run here")
    with pytest.raises(errors.BackendUnavailable, match="GPU"):
        fit(two_themes, n_clusters=2, backend="gpu")


def test_tmdb_gives_the_known_matrix_and_a_low_inertia(tmdb: Path) -> None:
    model = fit(tmdb / "tmdb_5000_movies.csv", tmdb / "tmdb_5000_credits.csv", **PLAIN)
    metrics = model.metrics()
    assert (metrics["n_items"], metrics["n_terms"], metrics["nnz"]) == (4803, 20978, 125_840)
    assert metrics["inertia"] <= 4718.5
