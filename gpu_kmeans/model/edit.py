"""Clusters changed by hand: merged, split, renamed, items moved. Each gives a new model.

What was done stands in the model's parameters as ``edits``, so that a model says how it came about.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.select import BackendSpec, resolve
from gpu_kmeans.clustering.base import clusterer, inertia_of, means_of
from gpu_kmeans.errors import InvalidParam, UnknownItem
from gpu_kmeans.model.model import Model
from gpu_kmeans.model.rows import Postings
from gpu_kmeans.validation import check_integer

__all__ = ["merge", "move", "rename", "split", "with_labels"]

MAX_NAME = 100
"""Maximum number of characters of a name."""


def rename(model: Model, label: int, name: str | None) -> Model:
    """Give a cluster a name of one's own; None takes it away.

    Raises
    ------
    InvalidParam
        There is no such cluster, the name is empty or too long, or another cluster has it.
    """
    _check_label(model, label)
    names = dict(model.names)
    names.pop(label, None)
    if name is not None:
        names[label] = _check_name(name, names)
    return replace(model, names=names, info=_with_edit(model, {"rename": label, "name": name}))


def merge(model: Model, labels: Sequence[int], *, backend: BackendSpec = "cpu") -> Model:
    """Make one cluster of several: the first of them; clusters after the others move up.

    Raises
    ------
    InvalidParam
        There are not two at least, or one is not there.
    """
    chosen = [_check_label(model, label) for label in labels]
    if len(set(chosen)) != len(chosen) or len(chosen) < 2:
        raise InvalidParam(f"merge needs two or more different clusters, got {list(labels)}")
    number = np.arange(model.n_clusters)
    number[chosen] = chosen[0]
    return _renumbered(model, number, {"merge": chosen}, backend)


def split(
    model: Model, label: int, parts: int = 2, *, seed: int = 42, backend: BackendSpec = "cpu"
) -> Model:
    """Split a cluster; its first part keeps its number, the others come after all clusters.

    Raises
    ------
    InvalidParam
        There is no such cluster, or it has fewer items than ``parts``.
    """
    _check_label(model, label)
    check_integer("parts", parts, 2)
    members = np.flatnonzero(model.labels == label)
    if len(members) < parts:
        raise InvalidParam(
            f"cluster {label} has {len(members)} items, and cannot be split into {parts}"
        )
    device = resolve(backend)
    rows = _space(model)[members]
    own = clusterer("hartigan", n_clusters=parts, max_iter=300, seed=seed).fit(rows, device).labels
    labels = model.labels.copy()
    # The largest part keeps the number, and with it the name.
    order = np.argsort(-np.bincount(own, minlength=parts), kind="stable")
    numbers = np.empty(parts, dtype=np.int32)
    numbers[order] = [label, *range(model.n_clusters, model.n_clusters + parts - 1)]
    labels[members] = numbers[own]
    edit = {"split": label, "parts": parts, "seed": seed}
    return with_labels(model, labels, model.n_clusters + parts - 1, edit, backend=backend)


def move(
    model: Model, items: Collection[int | str], label: int, *, backend: BackendSpec = "cpu"
) -> Model:
    """Put items into a cluster.

    Raises
    ------
    InvalidParam
        There is no such cluster.
    UnknownItem
        No item has one of the ids.
    """
    _check_label(model, label)
    row_of = {item: row for row, item in enumerate(model.items["id"].to_pylist())}
    labels = model.labels.copy()
    for item in items:
        if item not in row_of:
            raise UnknownItem(f"no item of the model has the id {item!r:.80}")
        labels[row_of[item]] = label
    edit = {"move": len(items), "to": label}
    return with_labels(model, labels, model.n_clusters, edit, backend=backend)


def with_labels(
    model: Model,
    labels: NDArray[np.int32],
    n_clusters: int,
    edit: dict[str, Any],
    *,
    backend: BackendSpec = "cpu",
) -> Model:
    """Return the model with other labels, the means and the inertia that follow from them."""
    device = resolve(backend)
    inside = np.flatnonzero(labels >= 0)
    rows = device.matrix(_space(model)[inside])
    members = labels[inside]
    centroids = means_of(device, rows, members, n_clusters)
    info = _with_edit(model, edit)
    inertia = inertia_of(device, rows, members, n_clusters)
    return replace(
        model,
        labels=labels,
        centroids=np.asarray(centroids, dtype=model.centroids.dtype),
        info=replace(info, inertia=inertia),
        names={label: name for label, name in model.names.items() if label < n_clusters},
    )


def _renumbered(
    model: Model, number: NDArray[np.intp], edit: dict[str, Any], backend: BackendSpec
) -> Model:
    """Return the model with each cluster under another number, gaps closed."""
    present = np.unique(number)
    closed = np.searchsorted(present, number).astype(np.int32)
    labels = np.where(model.labels >= 0, closed[model.labels], model.labels).astype(np.int32)
    names: dict[int, str] = {}
    for label, name in sorted(model.names.items()):
        names.setdefault(int(closed[label]), name)
    changed = with_labels(model, labels, len(present), edit, backend=backend)
    return replace(changed, names=names)


def _space(model: Model) -> Any:
    """Return the rows in which the clusters were found: CSR of SciPy, or an array."""
    space = model.space
    return space.to_csr() if isinstance(space, Postings) else space


def _with_edit(model: Model, edit: dict[str, Any]) -> Any:
    edits = [*model.info.parameters.get("edits", ()), edit]
    created = datetime.now(UTC).isoformat(timespec="seconds")
    parameters = {**model.info.parameters, "edits": edits}
    return replace(model.info, parameters=parameters, created=created)


def _check_label(model: Model, label: int) -> int:
    return check_integer("the cluster's number", label, 0, model.n_clusters - 1)


def _check_name(name: str, others: dict[int, str]) -> str:
    if type(name) is not str or not name.strip():
        raise InvalidParam(f"the name of a cluster must be a text, got {name!r:.60}")
    name = " ".join(name.split())
    if len(name) > MAX_NAME or not name.isprintable():
        raise InvalidParam(
            f"the name of a cluster must be of at most {MAX_NAME} printable characters"
        )
    for label, taken in others.items():
        if taken == name:
            raise InvalidParam(f"cluster {label} is called {name!r} already: give another name")
    return name
