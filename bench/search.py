"""How well searches find, as README states it: titles, titles with a typing error, words, tags.

The TMDB films, whose tags (the column ``keywords``) are taken out of what is searched, so that they
can judge: a film is right for a tag if it has it. ``cosine`` is the plain cosine of query and text
over all films, ``popularity_alone`` shows everyone the same films, and ``article`` shows the most
popular films of the nearest cluster. Times of queries are the processor's for the one thread that
asks, as the machine is shared.

    python -m bench.search MOVIES [--synthetic N] [--out FILE]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bench.measure import machine, summary, write

__all__ = ["CLUSTERS", "SEED", "measure"]

CLUSTERS, SEED = (10, 25, 50), 42
FIRST = 10
"""Number of items that a query is taken to show."""
WORDS, TAGS = 300, 500
FEWEST, MOST = 5, 60
"""Number of films that a word or a tag belongs to, from and to."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SHORTEST = 4
"""Minimum number of letters of a word that gets a typing error."""


def main() -> None:
    """Measure, print the record and write it as JSON."""
    parser = argparse.ArgumentParser(prog="bench.search", description=__doc__.split("\n")[0])
    parser.add_argument("movies", type=Path)
    parser.add_argument("--synthetic", type=int, default=100_000, metavar="N")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    record = {
        "command": f"python -m bench.search MOVIES --synthetic {options.synthetic}",
        "machine": machine(),
        **measure(options.movies),
        "synthetic": synthetic(options.synthetic),
    }
    write(record, options.out)


def measure(movies: Path, seed: int = SEED) -> dict[str, Any]:
    """Fit once for each number of clusters and ask."""
    from gpu_kmeans import Searcher, fit

    models = {k: fit(movies, n_clusters=k, seed=seed, backend="cpu") for k in CLUSTERS}
    tags = models[CLUSTERS[0]].items["keywords"].to_pylist()
    models = {
        k: replace(model, items=model.items.drop_columns(["keywords"]))
        for k, model in models.items()
    }
    model = models[CLUSTERS[0]]
    searcher = Searcher(model)
    start = time.thread_time()
    searcher.search("a")
    built = time.thread_time() - start
    random = np.random.default_rng(seed)
    return {
        "items": len(model.labels),
        "fields": searcher.fields,
        "build_seconds": round(built, 3),
        "titles": titles(searcher),
        "typing_errors": typing_errors(searcher, random),
        "words": words(searcher, random),
        "tags": by_tags(models, tags, random),
        "milliseconds": times(searcher, random),
    }


# -- titles ----------------------------------------------------------------------------------


def titles(searcher: Any) -> dict[str, Any]:
    """Ask for every title: is a film of this title the first?"""
    from gpu_kmeans.index.words import words_of

    names = [title for title in searcher.model.items["title"].to_pylist() if words_of(title)]
    missed = [title for title in names if not _is_first(searcher, title, title)]
    return {"queries": len(names), "first": 1 - len(missed) / len(names), "missed": missed[:20]}


def typing_errors(searcher: Any, random: np.random.Generator) -> dict[str, Any]:
    """Ask for every title that has a word of four letters, with one typing error in such a word."""
    queries = [
        (title, _mistyped(title, random))
        for title in searcher.model.items["title"].to_pylist()
        if _long_words(title)
    ]
    missed = [[title, query] for title, query in queries if not _is_first(searcher, query, title)]
    return {"queries": len(queries), "first": 1 - len(missed) / len(queries), "missed": missed[:20]}


def _is_first(searcher: Any, query: str, title: str) -> bool:
    from gpu_kmeans.index.words import words_of

    items = searcher.search(query, limit=1).items
    return bool(items) and words_of(items[0].title) == words_of(title)


def _long_words(title: str) -> list[tuple[int, int]]:
    """Return where words of four letters and more begin and end."""
    import re

    spans = (match.span() for match in re.finditer(r"[^\W\d_]+", title))
    return [(start, end) for start, end in spans if end - start >= SHORTEST]


def _mistyped(title: str, random: np.random.Generator) -> str:
    """Return a title with a letter more, less or another, or two exchanged, in a drawn word."""
    start, end = _long_words(title)[random.integers(len(_long_words(title)))]
    word = title[start:end]
    letter = LETTERS[random.integers(len(LETTERS))]
    wrong = word
    while wrong == word:
        at = int(random.integers(len(word)))
        kind = random.integers(4)
        if kind == 0:
            wrong = word[:at] + letter + word[at:]
        elif kind == 1:
            wrong = word[:at] + word[at + 1 :]
        elif kind == 2:
            wrong = word[:at] + letter + word[at + 1 :]
        else:
            wrong = word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
    return title[:start] + wrong + title[end:]


# -- words and tags --------------------------------------------------------------------------


def words(searcher: Any, random: np.random.Generator, n_words: int = WORDS) -> dict[str, Any]:
    """Ask for single words: where is the best match, and does a film without the word come early?

    The best match is the one of the highest cosine, and that of the highest BM25 over the texts.
    """
    from gpu_kmeans import Searcher
    from gpu_kmeans.index.words import words_of

    model = searcher.model
    postings, names = model.postings, model.vectorizer.get_feature_names_out()
    frequencies = np.diff(postings.indptr)
    fit = np.flatnonzero((frequencies >= FEWEST) & (frequencies <= MOST))
    drawn = [int(at) for at in random.choice(fit, n_words, replace=False)]
    over_texts = Searcher(model, weights={n: 0 for n in searcher.fields if n != "text"})
    ids = model.items["id"].to_pylist()
    missing = {"cosine": 0, "bm25_of_texts": 0, "bm25_of_fields": 0}
    unmatched = 0
    for at in drawn:
        part = slice(postings.indptr[at], postings.indptr[at + 1])
        cosines = postings.values[part]
        word = str(names[at])
        result = searcher.search(word, limit=100)
        shown = [item.id for item in result.items[:FIRST]]
        equals = postings.rows[part][cosines >= cosines.max() - 1e-6].tolist()
        missing["cosine"] += not any(ids[row] in shown for row in equals)
        by_texts = over_texts.search(word, limit=1, rank="relevance").items[0]
        missing["bm25_of_texts"] += by_texts.id not in shown
        by_fields = searcher.search(word, limit=1, rank="relevance").items[0]
        missing["bm25_of_fields"] += by_fields.id not in shown
        has = [
            any(word in words_of(w) for r in i.reasons.values() for w in r) for i in result.items
        ]
        unmatched += any(later and not earlier for earlier, later in pairwise(has))
    return {
        "queries": len(drawn),
        "best_match_not_in_first_ten": missing,
        "queries_with_an_unmatched_film_before_a_match": unmatched,
    }


def by_tags(
    models: dict[int, Any], tags: Sequence[Sequence[str]], random: np.random.Generator
) -> dict[str, Any]:
    """Ask for tags: how many of the first ten films have it, and how many of all that have it?"""
    from gpu_kmeans import Searcher
    from gpu_kmeans.recommend import Recommender
    from gpu_kmeans.search import SEARCH_RANKS

    model = models[CLUSTERS[0]]
    ids = model.items["id"].to_pylist()
    films: dict[str, set[Any]] = {}
    for item, names in zip(ids, tags, strict=True):
        for name in names:
            films.setdefault(name, set()).add(item)
    names = sorted(name for name, own in films.items() if len(own) >= FEWEST)
    drawn = [str(name) for name in random.choice(names, TAGS, replace=False)]
    searcher = Searcher(model)
    recommender = Recommender(model)

    def over_all(query: str, rank: Any) -> list[Any]:
        indices, weights = model.vectorizer.transform_query(query)
        relevance = recommender.relevance(indices, weights)
        places = np.flatnonzero(relevance) if rank == "relevance" else recommender.everything
        scored = recommender.rank(relevance, places, rank, FIRST)
        return [ids[row] for row in recommender.rows(scored.places)]

    rankings: dict[str, Callable[[str], list[Any]]] = {
        **{
            rank: lambda query, rank=rank: [
                item.id for item in searcher.search(query, limit=FIRST, rank=rank).items
            ]
            for rank in SEARCH_RANKS
        },
        "cosine": lambda query: over_all(query, "relevance"),
        "popularity_alone": lambda query: over_all("", "popularity"),
    }
    for k, clustered in models.items():
        own = Recommender(clustered)
        for name, rank in (("article", "popularity"), ("blend_in_nearest_cluster", "blend")):
            rankings[f"{name}_{k}"] = lambda query, own=own, rank=rank: [
                item.id for item in own.recommend(query, limit=FIRST, rank=rank).items
            ]
    figures = {}
    for name, ranked in rankings.items():
        precisions, recalls, shown = [], [], set()
        for tag in drawn:
            items = ranked(tag)
            right = len(films[tag].intersection(items))
            precisions.append(right / FIRST)
            recalls.append(right / len(films[tag]))
            shown.update(items)
        figures[name] = {
            "precision_at_10": round(float(np.mean(precisions)), 4),
            "recall_at_10": round(float(np.mean(recalls)), 4),
            "reach": len(shown),
        }
    return {"queries": len(drawn), "of": len(names), "rankings": figures}


# -- times -----------------------------------------------------------------------------------


def times(
    searcher: Any, random: np.random.Generator, beginning: int = 3, n_queries: int = 200
) -> dict[str, Any]:
    """Time queries of several kinds, each drawn from the texts; milliseconds, without the first.

    ``beginning`` is the number of letters of the words that are only begun.
    """
    from gpu_kmeans.index.words import words_of

    texts = searcher.model.items["text"].to_pylist()
    kinds: dict[str, list[str]] = {
        name: [] for name in ("one word", "three words", "beginning", "phrase", "typing error")
    }
    while len(kinds["phrase"]) < n_queries:
        own = words_of(texts[random.integers(len(texts))] or "")
        long = [word for word in own if len(word) >= SHORTEST]
        if len(long) < 4:
            continue
        kinds["one word"].append(f"{long[0]} ")
        kinds["three words"].append(" ".join(long[1:4]) + " ")
        kinds["beginning"].append(long[1][:beginning])
        kinds["phrase"].append(f'"{" ".join(own[:2])}"')
        kinds["typing error"].append(long[2][:1] + "q" + long[2][1:])
    figures = {}
    for kind, queries in kinds.items():
        searcher.search(queries[0])
        seconds = []
        for query in queries:
            start = time.thread_time()
            searcher.search(query)
            seconds.append(time.thread_time() - start)
        milliseconds = [1e3 * value for value in seconds]
        figures[kind] = summary(milliseconds) | {
            "95 % within": float(f"{np.percentile(milliseconds, 95):.4g}")
        }
    return figures


def synthetic(n_items: int, seed: int = 1) -> dict[str, Any]:
    """Time the index and queries over a made-up corpus: three words of a text are its title."""
    import pyarrow as pa

    from gpu_kmeans import Searcher, TfidfVectorizer
    from gpu_kmeans.data.synthetic import corpus
    from gpu_kmeans.features.combine import Features, Part
    from gpu_kmeans.features.text_encoder import TextEncoder
    from gpu_kmeans.model import Model, ModelInfo, Postings

    made = corpus(n_items, n_items, n_topics=100, mean_length=60, seed=seed)
    texts = made.texts()
    vectorizer = TfidfVectorizer(backend="cpu")
    rows = vectorizer.fit_transform(texts)
    info = ModelInfo("cpu", "", seed, {}, {}, {}, {}, [], 0.0, 0, [], "")
    model = Model(
        items=pa.table(
            {
                "id": np.arange(n_items),
                "title": [" ".join(text.split()[:3]) for text in texts],
                "text": texts,
                "popularity": np.random.default_rng(seed).lognormal(2.0, 1.2, n_items),
            }
        ),
        features=Features([Part(TextEncoder(vectorizer))]),
        rows=Postings.from_csr(rows),
        labels=made.labels,
        centroids=np.zeros((100, rows.shape[1]), dtype=np.float32),
        info=info,
    )
    searcher = Searcher(model)
    start = time.thread_time()
    searcher.search("a")
    built = time.thread_time() - start
    return {
        "items": n_items,
        "build_seconds": round(built, 2),
        "index_bytes": searcher.nbytes,
        "milliseconds": times(searcher, np.random.default_rng(seed)),
    }


if __name__ == "__main__":
    main()
