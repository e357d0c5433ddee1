"""How many different films searches can reach, as README states it.

Ten clusters of the TMDB films, seed 42, judged by :func:`gpu_kmeans.evaluate.evaluate` once for
each draw of queries.

    python -m bench.reach MOVIES CREDITS [--draws 10] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.measure import machine

__all__ = ["CLUSTERS", "SEED", "measure"]

CLUSTERS, SEED = 10, 42


def main() -> None:
    """Measure, print the record and write it as JSON."""
    parser = argparse.ArgumentParser(prog="bench.reach", description=__doc__.split("\n")[0])
    parser.add_argument("movies", type=Path)
    parser.add_argument("credits", type=Path)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    record = {
        "command": f"python -m bench.reach MOVIES CREDITS --draws {options.draws}",
        "machine": machine(),
        **measure(options.movies, options.credits, range(options.draws)),
    }
    text = json.dumps(record, indent=2)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    print(text)


def measure(movies: Path, credits: Path, draws: range) -> dict[str, Any]:
    """Fit once and judge with each seed of queries; the first is what the command line draws."""
    from gpu_kmeans import fit
    from gpu_kmeans.evaluate import evaluate

    model = fit(
        movies, credits, n_clusters=CLUSTERS, seed=SEED, weighting="tfidf", reduce=0, backend="cpu"
    )
    evaluations = [evaluate(model, seed=seed) for seed in draws]
    return {
        "clusters": CLUSTERS,
        "seed": SEED,
        "items": evaluations[0].n_items,
        "terms": len(model.vectorizer.vocabulary_),
        "inertia": evaluations[0].inertia,
        "inertia_one_cluster": evaluations[0].inertia_one_cluster,
        "explained": evaluations[0].explained,
        "draws": [
            {
                "seed": seed,
                "silhouette": None
                if evaluation.silhouette is None
                else evaluation.silhouette.value,
                **asdict(evaluation.reach),
            }
            for seed, evaluation in zip(draws, evaluations, strict=True)
        ],
    }


if __name__ == "__main__":
    main()
