"""Short names of clusters: words that fit one cluster and no other.

A term names the one cluster in which it weighs most, and of those it names, the terms come first
that weigh much there and little elsewhere. Clusters of other rows are named by what they have more
or less of than all items. A person's own name overrules.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.model.model import Model
from gpu_kmeans.model.profiles import short_reasons

__all__ = ["cluster_names", "distinctive_terms"]

WORDS = 3
"""Number of words of a name."""
MORE_WORDS = 8
"""Maximum number of words of a name, where fewer would fit two clusters."""
STEM = 4
"""Number of letters from which on words that begin alike are one, and the first alone names."""
NO_NAME = "no items"
"""Name of a cluster without items."""


def cluster_names(model: Model) -> list[str]:
    """Return a name for each cluster, in the order of their labels; no two are the same.

    Names that a person has given stand as they are. A cluster without items is called so.
    """
    words = _words(model)
    names = [", ".join(chosen[:WORDS]) for chosen in words]
    for length in range(WORDS + 1, MORE_WORDS + 1):
        for label in _repeated(names):
            names[label] = ", ".join(words[label][:length])
    for label in range(model.n_clusters):
        if not model.sizes[label]:
            names[label] = NO_NAME
        elif not names[label]:
            names[label] = f"cluster {label}"
        if own := model.names.get(label):
            names[label] = own
    taken: set[str] = set()
    for label, name in enumerate(names):
        if name in taken and label not in model.names:
            names[label] = f"{name} ({label})"
        taken.add(names[label])
    return names


def distinctive_terms(model: Model, count: int = MORE_WORDS) -> list[list[str]]:
    """Return the terms that are a cluster's own, the most distinctive first; shape (k, <= count).

    A term is that of the cluster in which its mean weight is highest. Its rank there is the weight
    times the logarithm of how many times it exceeds that of all other items.
    """
    text = model.features.text
    if text is None:
        return [[] for _ in range(model.n_clusters)]
    start, end = model.features.bounds_of(text)
    means = np.asarray(model.feature_means[:, start:end], dtype=np.float64)
    sizes = model.sizes.astype(np.float64)
    means = np.where(sizes[:, None] > 0, means, 0.0)
    terms = text.vectorizer.get_feature_names_out()
    totals = sizes @ means
    owners = means.argmax(axis=0)
    chosen: list[list[str]] = []
    for label, mean in enumerate(means):
        own = np.flatnonzero((owners == label) & (mean > 0))
        rest = (totals[own] - sizes[label] * mean[own]) / max(model.n_clustered - sizes[label], 1)
        floor = mean[own].mean() / 100 if len(own) else 1.0
        scores = mean[own] * np.log((mean[own] + floor) / (np.maximum(rest, 0.0) + floor))
        ranked = own[np.argsort(-scores, kind="stable")]
        chosen.append(_unlike([str(terms[term]) for term in ranked[: 4 * count]], count))
    return chosen


def _words(model: Model) -> list[list[str]]:
    """Return the words that may name each cluster, best first."""
    if model.features.text is None:
        return short_reasons(model, MORE_WORDS)
    own = distinctive_terms(model)
    if model.is_text:
        return own
    # Beside texts, numbers and categories may say more than words do.
    others = short_reasons(model, MORE_WORDS)
    return [
        terms[:2] + [w for w in more if w not in terms]
        for terms, more in zip(own, others, strict=True)
    ]


def _unlike(terms: Sequence[str], count: int) -> list[str]:
    """Return the first terms of which none begins as one before it does."""
    chosen: list[str] = []
    for term in terms:
        if not any(_alike(term, before) for before in chosen):
            chosen.append(term)
        if len(chosen) == count:
            break
    return chosen


def _alike(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) < STEM:
        return longer == shorter
    stem = shorter[: max(STEM, len(shorter) - 2)]
    return longer.startswith(stem) and len(longer) - len(shorter) <= STEM


def _repeated(names: Sequence[str]) -> NDArray[np.intp]:
    """Return the labels whose name another cluster has, too."""
    _, inverse, counts = np.unique(
        np.array(names, dtype=object), return_inverse=True, return_counts=True
    )
    return np.flatnonzero(counts[inverse] > 1)
