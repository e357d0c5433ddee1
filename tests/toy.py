"""A model that fits on one page: 12 items in three obvious clusters, and one in none.

It is put together by hand, without any of the code that fits models: the terms are the words
of the texts, the weights come from the textbook's formula, the clusters are the themes.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix

from gpu_kmeans.features.combine import Features, Part
from gpu_kmeans.features.text_encoder import TextEncoder
from gpu_kmeans.features.tfidf import TfidfVectorizer
from gpu_kmeans.model import Model, ModelInfo, Postings

SPACE, KITCHEN, WAR, NONE = 0, 1, 2, -1

#       id, title,                       popularity, rating, label, text
ITEMS: list[tuple[int, str, float, float, int, str]] = [
    (10, "Red Planet Down", 50.0, 6.0, SPACE, "alien invasion planet alien"),
    (11, "NA", 80.0, 7.5, SPACE, "spaceship crew planet"),
    (12, "Star Harbour", 20.0, 5.5, SPACE, "alien spaceship rescue"),
    (13, "東京の星", 20.0, 8.1, SPACE, "invasion crew spaceship planet"),
    (20, "The Ladle", 10.0, 6.6, KITCHEN, "chef restaurant kitchen"),
    (21, "<script>alert(1)</script>", 95.0, 4.0, KITCHEN, "chef kitchen recipe rescue"),
    (22, "Salt", 20.0, 7.0, KITCHEN, "restaurant recipe chef"),
    (23, "The Ladle", 5.0, 7.9, KITCHEN, "kitchen recipe restaurant restaurant"),
    (30, 'He said "now"', 60.0, 8.4, WAR, "soldier battle general"),
    (31, "Last Trench", 30.0, 7.7, WAR, "battle invasion soldier"),
    (32, "=1+1", 0.0, 3.2, WAR, "general army soldier"),
    (33, "007", 99.0, 9.0, WAR, "army battle general army"),
    (40, "Untold", 100.0, 9.9, NONE, ""),
]
TERMS = sorted({word for item in ITEMS for word in item[5].split()})


def toy_rows() -> np.ndarray[Any, np.dtype[np.float64]]:
    """TF-IDF rows of the texts with smooth idf and length 1; dense float64."""
    counts = np.array([[item[5].split().count(term) for term in TERMS] for item in ITEMS])
    rows = counts * toy_idf()
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1)


def toy_idf() -> np.ndarray[Any, np.dtype[np.float64]]:
    """``log((1 + n) / (1 + df)) + 1`` of each term."""
    df = np.array([sum(term in item[5].split() for item in ITEMS) for term in TERMS])
    return np.log((1 + len(ITEMS)) / (1 + df)) + 1


def toy_info(**changes: Any) -> ModelInfo:
    """The story of a fit that never was."""
    info = ModelInfo(
        backend="cpu",
        backend_reason="asked for",
        seed=42,
        parameters={"n_clusters": 3, "algorithm": "hartigan"},
        versions={"numpy": np.__version__},
        catalogue={"rows": len(ITEMS), "missing_texts": 1},
        seconds={"read": 0.25, "total": 1.5},
        warnings=["1 of 13 rows has no text", "schön 東京"],
        inertia=5.25,
        n_iter=2,
        history=[("lloyd", 1, 5.5), ("hartigan", 2, 5.25)],
        created="2026-01-02T03:04:05+00:00",
    )
    return dataclasses.replace(info, **changes)


def text_features(vectorizer: TfidfVectorizer) -> Features:
    """The encoders of a model of texts alone."""
    return Features([Part(TextEncoder(vectorizer))])


def toy_model(*, without: tuple[str, ...] = (), **changes: Any) -> Model:
    """The model; ``without`` names columns to leave out, ``changes`` replaces fields."""
    ids, titles, popularity, rating, labels, texts = zip(*ITEMS, strict=True)
    items = pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "title": list(titles),
            "text": list(texts),
            "popularity": list(popularity),
            "rating": list(rating),
            "genres": pa.array([["drama"], *[[]] * (len(ITEMS) - 1)], pa.list_(pa.string())),
        }
    )
    rows, label = toy_rows(), np.array(labels, dtype=np.int32)
    model = Model(
        items=items.drop_columns(list(without)),
        features=text_features(TfidfVectorizer.from_fitted(TERMS, toy_idf(), {"stop_words": None})),
        rows=Postings.from_csr(csr_matrix(rows.astype(np.float32))),
        labels=label,
        centroids=np.array([rows[label == k].mean(axis=0) for k in range(3)], dtype=np.float32),
        info=toy_info(),
    )
    return dataclasses.replace(model, **changes)
