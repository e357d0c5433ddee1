"""Results that figures are drawn of: small, made by hand or by fits of planted rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from toy import toy_model

import gpu_kmeans
from gpu_kmeans.clustering.choose import Candidate, Choice
from gpu_kmeans.features.base import Reason
from gpu_kmeans.model import Model
from gpu_kmeans.model.hierarchy import Level
from gpu_kmeans.model.profiles import Profile
from gpu_kmeans.questions.compare import Comparison, Drift, Flow

LONG = [
    "Learnings of America for Make Benefit Glorious Nation of Kazakhstan, and more of the same",
    "七人の侍, 千と千尋の神隠し",
    "الرسالة, سينما",
    "$9.99 for $5_and_more_, <script>alert('&')</script>",
    "W" * 5_000,
    "👽 \ud800\u202e\x00",
    "Pneumonoultramicroscopicsilicovolcanoconiosis" * 3,
]


def choice(counts: Sequence[int], recommended: Sequence[int], coherent: bool = True) -> Choice:
    """Candidates whose silhouette and stability peak at the first recommended number."""
    best = recommended[0] if recommended else 0
    candidates = tuple(
        Candidate(
            k=k,
            explained=1 - 1 / k,
            silhouette=0.6 - 0.02 * abs(k - best),
            stability=max(0.0, 0.95 - 0.03 * abs(k - best)),
            largest=1.5 / k,
            smallest=0.2 / k,
            coherence=0.1 + 0.001 * k if coherent else None,
            cluster_stability=(0.5,) * k,
        )
        for k in counts
    )
    return Choice(candidates, tuple(recommended), "these lie apart and are found again")


def levels_of(sizes: Sequence[Sequence[int]], parents: Sequence[Sequence[int]]) -> list[Level]:
    """Levels of clusters of these sizes, each with its parent in the level before."""
    return [
        Level(
            labels=np.repeat(np.arange(len(level)), level).astype(np.int32),
            names=[f"{LONG[label % len(LONG)]} {depth}.{label}" for label in range(len(level))],
            sizes=np.array(level, dtype=np.int64),
            parents=np.array(parents[depth - 1], dtype=np.int32) if depth else None,
        )
        for depth, level in enumerate(sizes)
    ]


@cache
def planted(k: int, n: int = 240) -> Model:
    """A fit of ``k`` clouds of points, and one point far from all."""
    draw = np.random.default_rng(k)
    centers = draw.normal(0, 30, (k, 4))
    rows = centers[np.arange(n) % k] + draw.normal(0, 1, (n, 4))
    rows[0] = 3_000.0
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        np.save(path, rows)
        return gpu_kmeans.fit(path, n_clusters=k + 1, backend="cpu")


def named(model: Model) -> Model:
    """The model with long names, in several scripts, that a person gave."""
    return dataclasses.replace(model, names=dict(enumerate(LONG[: model.n_clusters])))


TOY = toy_model()


def comparison(flows: Sequence[tuple[int, int, int, bool]], agreement: float = 0.6) -> Comparison:
    """Flows as (before, after, items, matched)."""
    moved = sum(items for _, _, items, matched in flows if not matched)
    return Comparison(
        n_common=sum(flow[2] for flow in flows),
        n_gone=3,
        n_new=4,
        agreement=agreement,
        v_measure=0.7,
        n_moved=moved,
        flows=tuple(
            Flow(one, two, f"{LONG[one % 7]} {one}", f"was {LONG[two % 7]} {two}", items, matched)
            for one, two, items, matched in flows
        ),
        terms={},
        verdict=f"alike, with changes: {moved} moved",
        moved=[],
    )


def drift_of(clusters: dict[int, tuple[int, int]]) -> Drift:
    n, far = (sum(pair[at] for pair in clusters.values()) for at in (0, 1))
    return Drift(n, far, n / 100, clusters, f"{far} of {n} rows lie beyond what the model knows")


def profiles_of(k: int, columns: int = 3) -> list[Profile]:
    """Clusters whose mean of each number is their label, one category, and no typical item."""
    return [
        Profile(
            label=label,
            name=f"{LONG[label % 7]} {label}",
            size=10 * (k - label),
            share=1 / k,
            reasons=(
                *(
                    Reason("number", f"n{at}", f"n{at}", float(label), 1.0, label - 1.0, 0.0)
                    for at in range(columns)
                ),
                Reason("category", "plan", f"gold {LONG[0]}", 0.75, 0.25, 1.5),
            ),
            typical=(),
        )
        for label in range(k)
    ]
