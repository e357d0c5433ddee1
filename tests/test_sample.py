"""The catalogue that comes with the package loads, and holds its awkward rows."""

from __future__ import annotations

import csv
from collections import Counter

import pytest

from gpu_kmeans.data.catalogue import load_catalogue
from gpu_kmeans.data.sample import paths

MOVIES = (
    "budget,genres,homepage,id,keywords,original_language,original_title,overview,popularity,"
    "production_companies,production_countries,release_date,revenue,runtime,spoken_languages,"
    "status,tagline,title,vote_average,vote_count"
)


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue(*paths(), backend="cpu")


def test_the_files_have_the_schema_of_tmdb():
    movies, credits = (path.read_text(encoding="utf-8").splitlines()[0] for path in paths())
    assert movies == MOVIES
    assert credits == "movie_id,title,cast,crew"


def test_it_holds_more_than_200_films_with_a_text_of_their_own(catalogue):
    texts = [text for text in catalogue.texts if text]
    assert len(texts) >= 240
    assert len(set(texts)) == len(texts)
    assert min(len(text.split()) for text in texts) >= 20


def test_every_column_of_a_catalogue_is_there(catalogue):
    assert catalogue.report.absent == ()
    table = catalogue.to_arrow()
    assert len(set(table["popularity"].to_pylist())) > 200
    assert 0 <= min(table["rating"].to_pylist()) <= max(table["rating"].to_pylist()) <= 10


def test_awkward_rows_are_counted_and_survive(catalogue):
    report, table = catalogue.report, catalogue.to_arrow()
    titles = table["title"].to_pylist()
    assert report.missing_texts == 3
    assert report.filled == {"keywords": 1}
    assert report.to_dict()["credits"] == {
        "matched": len(catalogue) - 1,
        "without_credits": 1,
        "dropped": 1,
    }
    assert {"None", "0090"} <= set(titles)
    assert Counter(titles).most_common(1) == [("Salvage Rights", 2)]
    assert any('"' in title and "," in title for title in titles)
    assert any("\n" in text for text in catalogue.texts)
    assert any(not title.isascii() for title in titles)


def test_the_csv_module_reads_the_same(catalogue):
    with paths()[0].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["overview"] for row in rows] == list(catalogue.texts)
    assert [int(row["id"]) for row in rows] == catalogue.to_arrow()["id"].to_pylist()
