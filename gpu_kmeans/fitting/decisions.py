"""What ``"auto"`` stands for in a fit: the algorithm, the directions, the number of clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.clustering.choose import candidate_counts, choose_clusters
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.features.base import DIRECTIONS
from gpu_kmeans.features.combine import Features
from gpu_kmeans.fitting.encoding import EncodedRows

__all__ = ["Decision", "check_enough_rows", "choose_k", "decide"]

USUAL_CLUSTERS = 10
"""Number of clusters where none stands out."""
MOST_AUTO = 50
"""Largest number of clusters that is looked at."""
ROWS_A_CLUSTER = 3
"""Number of rows for each cluster at least, of those that are looked at."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What ``"auto"`` stands for, and what a reader of the results should know of it."""

    reduce: int
    algorithm: str
    notes: list[str]


def decide(
    is_text: bool, shape: tuple[int, int], reduce: int | Literal["auto"], algorithm: str
) -> Decision:
    """Return the number of directions and the algorithm for rows of a shape."""
    notes: list[str] = []
    count = 0
    if reduce != "auto":
        count = reduce
    elif is_text and algorithm in ("auto", "spherical"):
        count = min(DIRECTIONS, *shape)
        if count < DIRECTIONS:
            notes = [
                f"texts were projected onto {count} directions, not {DIRECTIONS}: "
                f"there are {shape[0]} rows of {shape[1]} terms"
            ]
    if algorithm == "auto":
        algorithm = "spherical" if is_text and count else "hartigan"
    return Decision(count, algorithm, notes)


def check_enough_rows(n_clusters: int, encoded: EncodedRows) -> None:
    """Refuse more clusters than usable rows, in the catalogue's terms, before the clustering."""
    usable, n = int(encoded.known.sum()), len(encoded.known)
    if n_clusters > usable:
        why = f" (of {n} items, {n - usable} have no known term)" if usable < n else ""
        raise InvalidParam(
            f"n_clusters={n_clusters} is more than the {usable} items that can be clustered"
            f"{why}; choose n_clusters <= {usable}"
        )


def choose_k(
    encoded: EncodedRows, features: Features, seed: int, backend: Backend
) -> tuple[int, str]:
    """Return the number of clusters that stands out, or the usual one, and what speaks for it."""
    n = int(encoded.known.sum())
    counts = candidate_counts(min(2, n), max(2, min(MOST_AUTO, n // ROWS_A_CLUSTER)))
    is_text = features.text is not None
    choice = choose_clusters(
        backend.to_host(encoded.chosen),
        backend,
        [k for k in counts if k <= n],
        metric="cosine" if is_text else "euclidean",
        seed=seed,
    )
    if choice.recommended:
        return choice.recommended[0], f"n_clusters='auto': {choice.reason}"
    usual = min(USUAL_CLUSTERS, n)
    return usual, f"n_clusters='auto': {choice.reason}; {usual} were made"
