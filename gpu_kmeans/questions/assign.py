"""New rows to the clusters of a model: the nearest mean of each, and how far it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.backends.select import BackendSpec, resolve
from gpu_kmeans.clustering.distances import nearest, squared_distances
from gpu_kmeans.data.catalogue import Catalogue, load_catalogue
from gpu_kmeans.data.matrix_catalogue import load_matrix
from gpu_kmeans.data.number_formats import NumberFormat
from gpu_kmeans.data.roles import DEFAULTS, FEATURES, ROLES
from gpu_kmeans.errors import FeatureMismatch, InvalidParam
from gpu_kmeans.model import UNCLUSTERED, Model
from gpu_kmeans.tables.headers import column_names
from gpu_kmeans.tables.matrices import is_matrix
from gpu_kmeans.tables.paths import check_path

__all__ = ["Assignment", "Encoded", "assign", "encode"]


@dataclass(frozen=True, eq=False)
class Assignment:
    """Clusters of new rows.

    Attributes
    ----------
    ids : list of int or str
        As the file has them; rows are numbered from 1 where it has none.
    labels : ndarray of shape (n,), int32
        Nearest cluster of each row; -1 for a text without a known term.
    distances : ndarray of shape (n,), float64
        To its mean, Euclidean; NaN where there is no cluster.
    warnings : list of str
        What reading the file counted.
    """

    ids: list[int | str]
    labels: NDArray[np.int32]
    distances: NDArray[np.float64]
    warnings: list[str]

    def rows(self) -> Iterator[list[Any]]:
        """Yield a header, then id, cluster and distance of each row, as for CSV."""
        yield ["id", "cluster", "distance"]
        labels, distances = self.labels.tolist(), self.distances.tolist()
        for item, label, distance in zip(self.ids, labels, distances, strict=True):
            yield [item, label, "" if label == UNCLUSTERED else round(distance, 6)]


def assign(
    model: Model,
    path: str | PathLike[str],
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    backend: BackendSpec = "auto",
) -> Assignment:
    """Put the rows of a file into the clusters of a model, encoded as those of its fit were.

    Parameters
    ----------
    model : Model
    path : path
        A table with the columns that the model was fitted on, or a matrix with its features.
    encoding, delimiter : str or None
        As for :func:`gpu_kmeans.data.catalogue.load_catalogue`.
    backend : {"auto", "cpu", "gpu"} or Backend

    Raises
    ------
    InputError
        The file cannot be read, or lacks a column that was clustered.
    """
    encoded = encode(model, path, encoding=encoding, delimiter=delimiter, backend=backend)
    return Assignment(
        ids=encoded.items["id"].to_pylist(),
        labels=encoded.labels,
        distances=encoded.distances,
        warnings=encoded.warnings,
    )


@dataclass(frozen=True, eq=False)
class Encoded:
    """Rows of a file as a model has its own.

    Attributes
    ----------
    items, others : pyarrow.Table of n rows
        As in a :class:`~gpu_kmeans.model.Model`.
    rows, space : CSR or ndarray of n rows
        All features, and those in which the clusters are: the reduced ones, where there are such.
    labels, distances : ndarray of shape (n,)
        As in an :class:`Assignment`.
    warnings : list of str
    numbered : bool
        Whether the rows have no ids of their own.
    """

    items: pa.Table
    others: pa.Table
    rows: Any
    space: Any
    labels: NDArray[np.int32]
    distances: NDArray[np.float64]
    warnings: list[str]
    numbered: bool


def encode(
    model: Model,
    path: str | PathLike[str],
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    backend: BackendSpec = "auto",
) -> Encoded:
    """Read a file as the model's was read, encode its rows likewise, and assign them."""
    if not isinstance(model, Model):
        raise InvalidParam(f"model must be a Model, got {type(model).__name__}")
    device = resolve(backend)
    path = check_path("path", path)
    if is_matrix(path) and model.features.parts[0].encoder.kind == "matrix":
        catalogue = _aligned(load_matrix(path, device), model.features.names)
    else:
        catalogue = _load(model, path, encoding, delimiter, device)
    rows = device.to_host(model.features.transform(catalogue.features, device))
    known = np.ones(rows.shape[0], dtype=np.bool_)
    if model.is_text:
        known = np.diff(rows.indptr) > 0
    space = rows if model.reduction is None else model.reduction.project(rows)
    occupied = np.flatnonzero(model.sizes).astype(np.int32)
    centers = np.ascontiguousarray(model.centroids[occupied])
    labels = nearest(device, space, centers)
    distances = np.sqrt(squared_distances(device, space, centers, labels))
    return Encoded(
        items=catalogue.to_arrow(),
        others=catalogue.others,
        rows=rows,
        space=space,
        labels=np.where(known, occupied[labels], UNCLUSTERED).astype(np.int32),
        distances=np.where(known, distances, np.nan),
        warnings=list(catalogue.report.warnings),
        numbered=catalogue.report.numbered,
    )


def _load(
    model: Model, path: Path, encoding: str | None, delimiter: str | None, backend: Backend
) -> Catalogue:
    """Read a table as that of the model was: what was clustered must be there, the rest may."""
    named = dict(model.info.parameters.get("columns") or {})
    proposed = dict(model.info.catalogue.get("proposed") or {})
    header = set(column_names(path, encoding, delimiter))
    roles: dict[str, Any] = {}
    for role, about in ROLES.items():
        if about.in_credits or role == "text":
            continue
        column = named.get(role, proposed.get(role, about.column))
        if column is None or column in header:
            roles[role] = column
        elif not about.required:
            roles[role] = None
    columns = named | proposed
    clustered = {role: columns[role] for role in ("text", *FEATURES) if role in columns}
    roles |= clustered or {"text": DEFAULTS["text"]}
    return load_catalogue(
        path,
        encoding=encoding,
        delimiter=delimiter,
        number_formats=_number_formats(model),
        backend=backend,
        **roles,
    )


def _number_formats(model: Model) -> dict[str, NumberFormat]:
    """Return how the columns of a model's file wrote numbers."""
    stored = model.info.catalogue.get("number_formats") or {}
    formats = {name: NumberFormat.of(values) for name, values in stored.items()}
    return {name: custom for name, custom in formats.items() if custom is not None}


def _aligned(catalogue: Catalogue, names: Sequence[str]) -> Catalogue:
    """Return a matrix with its columns in the order of the model's features."""
    own = catalogue.feature_names
    if own is None or own == list(names):
        return catalogue
    if set(own) != set(names) or len(own) != len(names):
        missing = [name for name in names if name not in set(own)]
        what = f"lacks {missing[0]!r}" if missing else "has others than the model was fitted on"
        raise FeatureMismatch(
            f"the matrix has {len(own)} features and the model {len(names)}: it {what}; give a "
            "matrix of the same features"
        )
    position = {name: i for i, name in enumerate(own)}
    order = np.array([position[name] for name in names])
    values = catalogue.features["matrix"][:, order]
    return replace(catalogue, features={"matrix": values}, feature_names=list(names))
