"""The article's job, with pandas and scikit-learn and with this package, side by side.

The job: read films and credits, join them, TF-IDF of the overviews, ten clusters with seed 42,
and the ten most popular films of the cluster that is nearest to three keywords.

    python -m bench.article MOVIES CREDITS [--pairs 7] [--out FILE]

Two questions. *The whole process*: each side runs in a fresh Python, in turns, and the clock
stops when it ends. *The clustering alone*: both sides cluster one matrix in one process, in
turns, after a warm-up. Ratios are taken pair by pair, so that a machine whose speed drifts
slows both sides of a pair; medians are reported. Inertia is recomputed from the labels in
float64, outside the timer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.measure import judge, machine, summary

QUERY = "space alien invasion"
SEED = 42

THEIRS = """
import sys
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import TfidfVectorizer

movies, credits, query, seed = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
films = pd.read_csv(movies).merge(
    pd.read_csv(credits).drop(columns="title"), left_on="id", right_on="movie_id"
)
films["overview"] = films["overview"].fillna("")
vectorizer = TfidfVectorizer(stop_words="english")
rows = vectorizer.fit_transform(films["overview"])
kmeans = KMeans(n_clusters=10, random_state=seed, n_init=10).fit(rows)
cluster = kmeans.predict(vectorizer.transform([query]))[0]
members = films[kmeans.labels_ == cluster]
for title in members.sort_values("popularity", ascending=False)["title"].head(10):
    print(title)
print(kmeans.inertia_, file=sys.stderr)
"""

OURS = """
import sys
from gpu_kmeans import Recommender, fit

movies, credits, query, seed = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
model = fit(
    movies, credits, n_clusters=10, seed=seed, weighting="tfidf", reduce=0, backend="cpu"
)
for item in Recommender(model).recommend(query, limit=10, rank="popularity").items:
    print(item.title)
print(model.info.inertia, file=sys.stderr)
"""


def main() -> None:
    """Measure, print a summary and write all figures as JSON."""
    parser = argparse.ArgumentParser(prog="bench.article", description=__doc__.split("\n")[0])
    parser.add_argument("movies", type=Path)
    parser.add_argument("credits", type=Path)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    files = [str(options.movies), str(options.credits)]
    record = {
        "machine": machine(),
        "seed": SEED,
        "pairs": options.pairs,
        "warm_up": 1,
        "whole_process": whole_process(files, options.pairs),
        "clustering": [clustering(options.movies, k, options.pairs) for k in (10, 50, 100)],
    }
    text = json.dumps(record, indent=2)
    if options.out:
        options.out.write_text(text + "\n")
    print(text)


def whole_process(files: list[str], pairs: int) -> dict[str, Any]:
    """Run both sides as fresh processes, in turns."""
    arguments = [*files, QUERY, str(SEED)]
    inertia: dict[str, float] = {}

    def run(name: str, code: str) -> None:
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        inertia[name] = float(done.stderr.split()[-1])

    times = in_turns(lambda: run("ours", OURS), lambda: run("theirs", THEIRS), pairs)
    return {**times, "inertia": inertia}


def clustering(movies: Path, k: int, pairs: int) -> dict[str, Any]:
    """Cluster the same TF-IDF rows with both, in turns, in this process."""
    import numpy as np
    import pandas as pd
    from sklearn.cluster import KMeans as Theirs
    from sklearn.feature_extraction.text import TfidfVectorizer

    from gpu_kmeans import KMeans as Ours

    texts = pd.read_csv(movies)["overview"].fillna("")
    rows = TfidfVectorizer(stop_words="english", dtype=np.float32).fit_transform(texts)
    labels: dict[str, Any] = {}

    def ours() -> None:
        labels["ours"] = Ours(k, random_state=SEED, backend="cpu").fit(rows).labels_

    def theirs() -> None:
        labels["theirs"] = Theirs(k, random_state=SEED, n_init=10).fit(rows).labels_

    times = in_turns(ours, theirs, pairs)
    judged = {side: judge(rows, assigned, k) for side, assigned in labels.items()}
    return {"k": k, "rows": rows.shape[0], "terms": rows.shape[1], "nnz": rows.nnz} | {
        **times,
        "inertia": judged,
    }


def in_turns(ours: Callable[[], None], theirs: Callable[[], None], pairs: int) -> dict[str, Any]:
    """Call both once unmeasured, then in turns; seconds and the median ratio of the pairs."""
    ours()
    theirs()
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(pairs):
        for side, call in (("ours", ours), ("theirs", theirs)):
            start = time.perf_counter()
            call()
            seconds[side].append(time.perf_counter() - start)
    ratios = [a / b for a, b in zip(seconds["ours"], seconds["theirs"], strict=True)]
    return {
        "seconds": {side: summary(times) for side, times in seconds.items()},
        "ratio": summary(ratios),
    }


if __name__ == "__main__":
    main()
