"""How many clusters: fits over several k of the same rows, and what speaks for each.

For each k stand beside the explained share, which only ever rises: the silhouette (are rows nearer
to their own cluster than to the next?), the stability (do fits of different parts of the rows agree
on all of them?), the largest and the smallest cluster, and of texts the coherence (do the words
that name a cluster occur together?). A k is recommended where silhouette and stability both stand
out against its neighbours, and the silhouette against that of rows without any clusters which
spread as these do; an elbow of the inertia alone is no evidence.

Stability by resampling: Ben-Hur, Elisseeff and Guyon, A stability based method for discovering
structure in clustered data, 2002. Coherence: normalised pointwise mutual information of a cluster's
terms over the texts, Bouma 2009.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.clustering.base import Clustering
from gpu_kmeans.clustering.indices import silhouettes, squared_norms, sums_of
from gpu_kmeans.clustering.resampling import RESAMPLED_ROWS, Parts, fit_rows
from gpu_kmeans.errors import InvalidParam

__all__ = ["Candidate", "Choice", "candidate_counts", "choose_clusters"]

MOST_ROWS = 10_000
"""Maximum number of rows that are fitted: more are drawn from, without replacement."""
SILHOUETTES = 2_000
"""Maximum number of rows whose silhouette is averaged."""
CANDIDATES = 12
"""Number of k that are looked at, if more lie between the ends."""
TERMS = 8
"""Number of terms of a cluster that its coherence is of."""
STABLE = 0.6
"""Stability from which on a k can be recommended."""
APART = 0.05
"""Silhouette from which on a k can be recommended."""
BESIDE = 0.9
"""Share of the best score from which on another k is recommended, too."""
BEYOND = 0.1
"""Difference of the silhouette from that of rows without clusters, likewise."""
MOST_RECOMMENDED = 3
"""Maximum number of k that are recommended."""
MOST_BETWEEN = 4
"""Maximum number of k between the best of the first ones and its neighbours that are looked at."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What speaks for a number of clusters.

    Attributes
    ----------
    k : int
    explained : float
        Share of the inertia of one cluster that is explained.
    silhouette, stability : float
        Means, each at most 1; stability is the adjusted Rand index of fits of resampled rows.
    largest, smallest : float
        Shares of the rows.
    coherence : float or None
        From -1 to 1, of texts.
    cluster_stability : tuple of float
        Mean overlap (Jaccard) of each cluster with its like in fits of resampled rows, by label.
    """

    k: int
    explained: float
    silhouette: float
    stability: float
    largest: float
    smallest: float
    coherence: float | None
    cluster_stability: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Candidates, and which of them stand out.

    Attributes
    ----------
    candidates : tuple of Candidate
        By rising k.
    recommended : tuple of int
        Best first; empty where nothing stands out.
    reason : str
        In words.
    """

    candidates: tuple[Candidate, ...]
    recommended: tuple[int, ...]
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, text and numbers."""
        candidates = [
            {**asdict(c), "cluster_stability": list(c.cluster_stability)} for c in self.candidates
        ]
        return {
            "candidates": candidates,
            "recommended": list(self.recommended),
            "reason": self.reason,
        }


def candidate_counts(low: int, high: int) -> list[int]:
    """Return the k to look at: all, or twelve that lie farther apart as they rise."""
    if high - low < CANDIDATES:
        return list(range(low, high + 1))
    small = list(range(low, low + CANDIDATES // 2))
    rest = np.geomspace(small[-1] + 1, high, CANDIDATES - len(small))
    return sorted({*small, *np.round(rest).astype(int).tolist()})


def choose_clusters(
    rows: Any,
    backend: Backend,
    counts: Sequence[int],
    *,
    metric: str = "euclidean",
    terms: Any = None,
    seed: int = 42,
    on_candidate: Callable[[int], object] | None = None,
) -> Choice:
    """Fit rows for several k and say which stand out.

    Parameters
    ----------
    rows : CSR of SciPy or ndarray of shape (n, n_features)
    backend : Backend
    counts : sequence of int
        Rising; k of at least 2 and at most n.
    metric : {"cosine", "euclidean"}
        Of the silhouettes.
    terms : CSR of shape (n, n_terms), or None
        Rows of terms, for the coherence.
    seed : int
        Source of all draws.
    on_candidate : callable, optional
        Called with each k before it is fitted.
    """
    draw = np.random.default_rng(seed)
    n = rows.shape[0]
    if n > MOST_ROWS:
        drawn = np.sort(draw.choice(n, MOST_ROWS, replace=False))
        rows, terms = rows[drawn], None if terms is None else terms[drawn]
    host = rows.astype(np.float64)
    total = _inertia(host, np.zeros(host.shape[0], dtype=np.int32), 1)
    parts = Parts(rows, backend, draw)
    by_k: dict[int, Candidate] = {}

    def judge(k: int) -> None:
        if k > rows.shape[0]:
            raise InvalidParam(
                f"{k} clusters are more than the {rows.shape[0]} rows to choose from"
            )
        if on_candidate is not None:
            on_candidate(k)
        clustering = fit_rows(rows, backend, k, seed)
        by_k[k] = _judge(host, clustering, total, metric, terms, parts, draw, seed)

    for k in counts:
        judge(k)
    for k in _between(by_k):
        judge(k)
    candidates = [by_k[k] for k in sorted(by_k)]
    peaks = _peaks(candidates)
    reference = _Reference(host, backend, metric, draw)
    peaks = [
        i
        for i in peaks[:MOST_RECOMMENDED]
        if candidates[i].silhouette > reference.silhouette(candidates[i].k, seed) + BEYOND
    ]
    return Choice(
        tuple(candidates), tuple(candidates[i].k for i in peaks), _reason(candidates, peaks)
    )


def _judge(
    rows: Any,
    clustering: Clustering,
    total: float,
    metric: str,
    terms: Any,
    parts: Parts,
    draw: np.random.Generator,
    seed: int,
) -> Candidate:
    labels, k = clustering.labels, len(clustering.means)
    sizes = np.bincount(labels, minlength=k)
    sample = draw.choice(len(labels), min(SILHOUETTES, len(labels)), replace=False)
    spread = (sizes > 0).sum() > 1
    values = silhouettes(rows, labels, sizes, sample, metric) if spread else np.zeros(1)
    stability, by_cluster = parts.stability(labels, k, seed)
    return Candidate(
        k=k,
        explained=1 - _inertia(rows, labels, k) / total if total else 0.0,
        silhouette=float(values.mean()),
        stability=stability,
        largest=float(sizes.max() / len(labels)),
        smallest=float(sizes.min() / len(labels)),
        coherence=None if terms is None else _coherence(terms, labels, k),
        cluster_stability=by_cluster,
    )


def _inertia(rows: Any, labels: NDArray[np.int32], k: int) -> float:
    sizes = np.maximum(np.bincount(labels, minlength=k), 1)
    if not hasattr(rows, "indptr"):
        rows = rows - rows.mean(axis=0)
    explained = squared_norms(sums_of(rows, labels, k)) / sizes
    return max(0.0, float(squared_norms(rows).sum() - explained.sum()))


def _coherence(terms: Any, labels: NDArray[np.int32], k: int) -> float:
    """Return the mean normalised pointwise mutual information of each cluster's heaviest terms."""
    present = terms.copy()
    present.data = np.ones(len(present.data))
    n = present.shape[0]
    means = sums_of(terms.astype(np.float64), labels, k).toarray()
    columns = present.tocsc()
    scores = []
    for mean in means:
        heaviest = np.argsort(-mean, kind="stable")[:TERMS]
        heaviest = heaviest[mean[heaviest] > 0]
        if len(heaviest) < 2:
            continue
        some = columns[:, heaviest]
        together = np.asarray((some.T @ some).todense()) / n
        alone = np.diag(together)
        one, other = np.triu_indices(len(heaviest), 1)
        joint = together[one, other]
        with np.errstate(divide="ignore", invalid="ignore"):
            mutual = np.log(joint / (alone[one] * alone[other])) / -np.log(joint)
        scores.append(float(np.where(joint > 0, np.where(joint < 1, mutual, 1.0), -1.0).mean()))
    return float(np.mean(scores)) if scores else 0.0


def _between(by_k: dict[int, Candidate]) -> list[int]:
    """Return the k between the best one and its neighbours that were left out."""
    counts = sorted(by_k)
    scores = [_score(by_k[k]) for k in counts]
    best = int(np.argmax(scores))
    low = counts[best - 1] if best else counts[best]
    high = counts[best + 1] if best + 1 < len(counts) else counts[best]
    left_out = [k for k in range(low + 1, high) if k not in by_k]
    nearest_first = sorted(left_out, key=lambda k: (abs(k - counts[best]), k))
    return nearest_first[:MOST_BETWEEN]


def _score(candidate: Candidate) -> float:
    return max(0.0, candidate.silhouette) * max(0.0, candidate.stability)


def _peaks(candidates: list[Candidate]) -> list[int]:
    """Return the candidates that are apart, stable and better than both neighbours, best first."""
    scores = np.array([_score(c) for c in candidates])
    last = len(candidates) - 1
    peaks = [
        i
        for i, c in enumerate(candidates)
        if c.stability >= STABLE
        and c.silhouette >= APART
        and (i == 0 or scores[i] >= scores[i - 1])
        # At the upper end the score may go on rising: no evidence for just this number.
        and (scores[i] > scores[i + 1] if i < last else last == 0 or scores[i] > 2 * scores[i - 1])
    ]
    best = sorted(peaks, key=lambda i: -scores[i])
    return [i for i in best if scores[i] >= BESIDE * scores[best[0]]]


class _Reference:
    """Rows without clusters that spread as given ones do: as a Gaussian, and evenly.

    Tibshirani, Walther and Hastie, Estimating the number of clusters in a data set via the gap
    statistic, 2001, have the second. Sparse rows have none: their reference is 0.
    """

    def __init__(self, rows: Any, backend: Backend, metric: str, draw: np.random.Generator) -> None:
        self._backend = backend
        self._metric = metric
        self._rows: list[NDArray[np.float32]] = []
        if hasattr(rows, "indptr"):
            return
        n = min(len(rows), RESAMPLED_ROWS)
        some = rows[np.sort(draw.choice(len(rows), n, replace=False))]
        mean = some.mean(axis=0)
        _, _, axes = np.linalg.svd(some - mean, full_matrices=False)
        scores = (some - mean) @ axes.T
        lengths = np.sqrt(squared_norms(some))
        is_unit = bool(np.allclose(lengths, 1, atol=1e-3))
        for drawn in (
            draw.normal(0, 1, scores.shape) * scores.std(axis=0),
            draw.uniform(scores.min(axis=0), scores.max(axis=0), scores.shape),
        ):
            made = drawn @ axes + mean
            if is_unit:
                made /= np.sqrt(squared_norms(made))[:, None]
            self._rows.append(made.astype(np.float32))

    def silhouette(self, k: int, seed: int) -> float:
        """Return the higher mean silhouette of fits of both."""
        highest = 0.0
        for rows in self._rows:
            if k > len(rows):
                continue
            labels = fit_rows(rows, self._backend, k, seed).labels
            sizes = np.bincount(labels, minlength=k)
            sample = np.arange(min(len(rows), SILHOUETTES))
            values = silhouettes(rows.astype(np.float64), labels, sizes, sample, self._metric)
            highest = max(highest, float(values.mean()))
        return highest


def _reason(candidates: list[Candidate], best: list[int]) -> str:
    if best:
        first = candidates[best[0]]
        others = ", ".join(str(candidates[i].k) for i in best[1:])
        also = f"; {others} nearly as well" if others else ""
        return (
            f"{first.k} clusters lie apart (silhouette {first.silhouette:.2f}) and are found "
            f"again in other draws of the rows (stability {first.stability:.2f}), better than the "
            f"numbers beside{also}"
        )
    stable = max(candidates, key=lambda c: c.stability)
    apart = max(candidates, key=lambda c: c.silhouette)
    return (
        "no number of clusters stands out: the most stable is "
        f"{stable.k} (stability {stable.stability:.2f}), the farthest apart {apart.k} (silhouette "
        f"{apart.silhouette:.2f}); choose by what the clusters are for"
    )
