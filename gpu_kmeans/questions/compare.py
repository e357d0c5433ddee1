"""Two models side by side: which cluster became which, and what moved.

Items are matched by their ids; clusters by the items that they share, one to one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.select import BackendSpec
from gpu_kmeans.clustering.indices import adjusted_rand, contingency, matched, v_measure
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.model import Model
from gpu_kmeans.model.naming import cluster_names, distinctive_terms
from gpu_kmeans.questions.assign import assign

__all__ = ["Comparison", "Drift", "Flow", "carry_names", "compare", "drift", "far_limits"]

FAR = 0.99
"""Share of a cluster's own items that lie no farther than what counts as known distances."""
NEW_SHARE = 3.0
"""Ratio of rows beyond the known distances to those expected, from which on there is a drift."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Items that two clusters share.

    Attributes
    ----------
    before, after : int
        Labels in the first and the second model.
    before_name, after_name : str
    items : int
    matched : bool
        Whether the second is what the first became.
    """

    before: int
    after: int
    before_name: str
    after_name: str
    items: int
    matched: bool


@dataclass(frozen=True, eq=False)
class Comparison:
    """How two models differ.

    Attributes
    ----------
    n_common, n_gone, n_new : int
        Items in both, in the first alone, and in the second alone.
    agreement, v_measure : float
        Adjusted Rand index and V-measure of the common items' clusters.
    n_moved : int
        Common items in clusters that are not in what their cluster became.
    flows : tuple of Flow
        Largest first.
    terms : dict of int to dict
        By labels of the second model: terms that came to the cluster, and that went, among the
        distinctive ones.
    verdict : str
        The same in a sentence.
    moved : list of int or str
        Ids of the items that moved.
    """

    n_common: int
    n_gone: int
    n_new: int
    agreement: float
    v_measure: float
    n_moved: int
    flows: tuple[Flow, ...]
    terms: dict[int, dict[str, list[str]]]
    verdict: str
    moved: list[int | str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, text and numbers."""
        return {
            **{name: getattr(self, name) for name in ("n_common", "n_gone", "n_new", "n_moved")},
            "agreement": self.agreement,
            "v_measure": self.v_measure,
            "flows": [asdict(flow) for flow in self.flows],
            "terms": {str(label): terms for label, terms in self.terms.items()},
            "verdict": self.verdict,
            "moved": self.moved,
        }


@dataclass(frozen=True, slots=True)
class Drift:
    """New rows against the distances that a model knows.

    Attributes
    ----------
    n_rows, n_far : int
        New rows, and those farther from their cluster than 99 in 100 of its own items.
    expected : float
        As many would be far if nothing had changed.
    clusters : dict of int to tuple of (int, int)
        New rows and far ones by cluster.
    verdict : str
    """

    n_rows: int
    n_far: int
    expected: float
    clusters: dict[int, tuple[int, int]]
    verdict: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, text and numbers."""
        return asdict(self) | {
            "clusters": [
                {"label": label, "rows": rows, "far": far}
                for label, (rows, far) in self.clusters.items()
            ]
        }


def compare(before: Model, after: Model) -> Comparison:
    """Compare two models of the same items, or of some of them.

    Raises
    ------
    InvalidParam
        They share no item that is in clusters of both.
    """
    for model in (before, after):
        if not isinstance(model, Model):
            raise InvalidParam(f"compare needs two models, got {type(model).__name__}")
    one, other, common = _labels_of_common(before, after)
    if not ((one >= 0) & (other >= 0)).any():
        raise InvalidParam("the two models share no item that is in a cluster of both")
    pairs = matched(one, other)
    table = contingency(one, other)
    names = cluster_names(before), cluster_names(after)
    flows = [
        Flow(
            int(row),
            int(column),
            names[0][row],
            names[1][column],
            int(table[row, column]),
            pairs.get(int(row)) == int(column),
        )
        for row, column in zip(*np.nonzero(table), strict=True)
    ]
    flows.sort(key=lambda flow: (-flow.items, flow.before, flow.after))
    inside = (one >= 0) & (other >= 0)
    became = np.array([pairs.get(label, -1) for label in range(before.n_clusters)])
    moved = np.flatnonzero(inside & (became[np.maximum(one, 0)] != other))
    agreement = adjusted_rand(one, other)
    return Comparison(
        n_common=len(common),
        n_gone=len(before.labels) - len(common),
        n_new=len(after.labels) - len(common),
        agreement=agreement,
        v_measure=v_measure(one, other),
        n_moved=len(moved),
        flows=tuple(flows),
        terms=_terms(before, after, pairs),
        verdict=_verdict(agreement, len(moved), int(inside.sum())),
        moved=[common[row] for row in moved.tolist()],
    )


def carry_names(before: Model, after: Model) -> dict[int, str]:
    """Return the names that people gave to clusters of a model, by what these became in another.

    A cluster keeps its name where it shares more than half of its items with what it became.
    """
    if not before.names:
        return {}
    one, other, _ = _labels_of_common(before, after)
    pairs = matched(one, other)
    table = contingency(one, other)
    return {
        pairs[label]: name
        for label, name in before.names.items()
        if label in pairs and 2 * table[label, pairs[label]] > table[label].sum()
    }


def drift(
    model: Model,
    path: str | PathLike[str],
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    backend: BackendSpec = "auto",
) -> Drift:
    """Tell whether the rows of a file still are what a model was fitted on.

    Parameters
    ----------
    model : Model
    path, encoding, delimiter, backend
        As for :func:`gpu_kmeans.questions.assign.assign`.
    """
    new = assign(model, path, encoding=encoding, delimiter=delimiter, backend=backend)
    limits = far_limits(model)
    inside = new.labels >= 0
    far = inside.copy()
    far[inside] = new.distances[inside] > limits[new.labels[inside]]
    far |= ~inside  # a text without a known term is farther than any
    n, n_far = len(new.labels), int(far.sum())
    expected = (1 - FAR) * n
    clusters = {
        label: (int((new.labels == label).sum()), int((far & (new.labels == label)).sum()))
        for label in np.unique(new.labels).tolist()
    }
    share = n_far / n
    if n_far > NEW_SHARE * expected + 3 * np.sqrt(expected):
        verdict = (
            f"{n_far} of {n} rows ({share:.1%}) lie beyond what the model knows, where "
            f"{expected:.0f} were to be expected: fit it anew"
        )
    else:
        verdict = f"{n_far} of {n} rows ({share:.1%}) lie beyond what the model knows: as expected"
    return Drift(n, n_far, expected, clusters, verdict)


def far_limits(model: Model) -> NDArray[np.float64]:
    """Return the distance that 99 in 100 items of each cluster keep within, shape (k,)."""
    limits = np.full(model.n_clusters, np.inf)
    for label in np.flatnonzero(model.sizes).tolist():
        limits[label] = np.quantile(model.distances[model.labels == label], FAR) * (1 + 1e-9)
    return limits


def _labels_of_common(
    before: Model, after: Model
) -> tuple[NDArray[np.int32], NDArray[np.int32], list[Any]]:
    """Return the labels in both models of the items that both have, and their ids."""
    row_of = {item: row for row, item in enumerate(after.items["id"].to_pylist())}
    ids = before.items["id"].to_pylist()
    rows = [(row, row_of[item]) for row, item in enumerate(ids) if item in row_of]
    if not rows:
        raise InvalidParam("the two models share no item: their ids are all different")
    first, second = (np.array(side) for side in zip(*rows, strict=True))
    return before.labels[first], after.labels[second], [ids[row] for row in first.tolist()]


def _terms(before: Model, after: Model, pairs: dict[int, int]) -> dict[int, dict[str, list[str]]]:
    if before.features.text is None or after.features.text is None:
        return {}
    old, new = distinctive_terms(before), distinctive_terms(after)
    changes = {}
    for label, became in pairs.items():
        came = [term for term in new[became] if term not in old[label]]
        went = [term for term in old[label] if term not in new[became]]
        if came or went:
            changes[became] = {"came": came, "went": went}
    return changes


def _verdict(agreement: float, n_moved: int, n: int) -> str:
    if n_moved == 0:
        return "all items are in the same clusters"
    share = f"{n_moved} of {n} items ({n_moved / n:.1%}) moved"
    if agreement > 0.9:
        return f"nearly the same clusters: {share}"
    if agreement > 0.5:
        return f"alike, with changes: {share}"
    return f"other clusters: {share}"
