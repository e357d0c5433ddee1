"""Rows that tests cluster: the same values once as CSR and once dense."""

from __future__ import annotations

import numpy as np
from scipy import sparse

KINDS = ("sparse", "dense")


def as_kind(values: np.ndarray, kind: str):
    return sparse.csr_array(values) if kind == "sparse" else np.array(values)


def values(n: int, n_features: int, seed: int, density: float = 0.4, dtype=np.float64):
    """Rows with zeros in them, none of them all zero."""
    rng = np.random.default_rng(seed)
    out = rng.random((n, n_features)) * (rng.random((n, n_features)) < density)
    out[np.arange(n), rng.integers(0, n_features, n)] += 0.5
    return out.astype(dtype)


def inertia_of(values: np.ndarray, labels: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Sum of squared distances to the means of the labels, in float64, by the definition."""
    values = values.astype(np.float64)
    weight = np.ones(len(values)) if weight is None else weight
    total = 0.0
    for label in np.unique(labels):
        mine, w = values[labels == label], weight[labels == label]
        if w.sum() > 0:
            mean = np.average(mine, axis=0, weights=w)
            total += float((w * ((mine - mean) ** 2).sum(axis=1)).sum())
    return total


def best_single_move(values: np.ndarray, labels: np.ndarray, k: int) -> float:
    """The lowest inertia that moving one row to another cluster reaches, by trying them all."""
    best = np.inf
    for row in range(len(values)):
        if (labels == labels[row]).sum() == 1:
            continue
        for target in range(k):
            if target != labels[row]:
                changed = labels.copy()
                changed[row] = target
                best = min(best, inertia_of(values, changed))
    return best


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two labelings are the same up to the numbering."""
    pairs = {(int(x), int(y)) for x, y in zip(a, b, strict=True)}
    return len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs})


def blobs(n: int, k: int, seed: int, dtype=np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Well separated groups in five dimensions, and their numbers."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    return (labels[:, None] * 3.0 + rng.normal(size=(n, 5)) * 0.1).astype(dtype), labels
