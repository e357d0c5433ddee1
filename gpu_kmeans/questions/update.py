"""New rows into a model without a refit: assigned, kept as items, and the means moved with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from os import PathLike
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpu_kmeans.backends.select import BackendSpec, resolve
from gpu_kmeans.clustering.base import inertia_of, means_of
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.model import UNCLUSTERED, Model, Postings
from gpu_kmeans.questions.assign import Encoded, encode
from gpu_kmeans.questions.compare import far_limits

__all__ = ["Update", "update"]


@dataclass(frozen=True, eq=False)
class Update:
    """A model with new items.

    Attributes
    ----------
    model : Model
        Clusters have the numbers and the names of before.
    n_new, n_known : int
        Items that came, and rows whose id the model has already: they are left out.
    strange : list of int or str
        Ids of new items that lie beyond the distances that their cluster had before, or that have
        no known term: what fits nowhere.
    """

    model: Model
    n_new: int
    n_known: int
    strange: list[int | str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, text and numbers."""
        return {"n_new": self.n_new, "n_known": self.n_known, "strange": self.strange}


def update(
    model: Model,
    path: str | PathLike[str],
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    backend: BackendSpec = "auto",
) -> Update:
    """Put the rows of a file into a model: each belongs to the nearest mean, which moves.

    Parameters
    ----------
    model, path, encoding, delimiter, backend
        As for :func:`gpu_kmeans.questions.assign.assign`.

    Raises
    ------
    InputError
        The file cannot be read, lacks a column that was clustered, or its ids are of another kind
        than the model's.
    """
    device = resolve(backend)
    encoded = encode(model, path, encoding=encoding, delimiter=delimiter, backend=device)
    if encoded.numbered and model.info.catalogue.get("numbered"):
        encoded = _numbered_on(model, encoded)
    fresh = _fresh(model, encoded)
    rows = np.flatnonzero(fresh)
    space = _stacked(model.space, encoded.space[rows])
    labels = np.concatenate([model.labels, encoded.labels[rows]])
    inside = np.flatnonzero(labels != UNCLUSTERED)
    matrix = device.matrix((space.to_csr() if isinstance(space, Postings) else space)[inside])
    means = means_of(device, matrix, labels[inside], model.n_clusters)
    empty = np.bincount(labels[inside], minlength=model.n_clusters) == 0
    means[empty] = model.centroids[empty]
    reduction = model.reduction
    features = _stacked(model.rows, encoded.rows[rows])
    if reduction is not None:
        assert not isinstance(space, Postings)
        reduction = replace(reduction, rows=space)
    info = replace(
        model.info,
        inertia=inertia_of(device, matrix, labels[inside], model.n_clusters),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        parameters={
            **model.info.parameters,
            "updates": [*model.info.parameters.get("updates", ()), len(rows)],
        },
    )
    limits = far_limits(model)
    far = (encoded.labels < 0) | (encoded.distances > limits[np.maximum(encoded.labels, 0)])
    ids = encoded.items["id"].to_pylist()
    updated = replace(
        model,
        items=_joined(model.items, encoded.items, rows),
        others=_joined_others(model, encoded, rows),
        rows=features,
        labels=labels,
        centroids=np.asarray(means, dtype=model.centroids.dtype),
        info=info,
        reduction=reduction,
    )
    strange = [ids[row] for row in rows.tolist() if far[row]]
    return Update(updated, len(rows), len(fresh) - len(rows), strange)


def _numbered_on(model: Model, encoded: Encoded) -> Encoded:
    """Number rows without ids on from the model's own."""
    items, count = encoded.items, encoded.items.num_rows
    first = max(model.items["id"].to_pylist(), default=0) + 1
    numbers = pa.array(range(first, first + count), pa.int64())
    return replace(encoded, items=items.set_column(0, "id", numbers))


def _fresh(model: Model, encoded: Encoded) -> NDArray[np.bool_]:
    """Tell which rows the model does not have yet."""
    old, new = model.items["id"], encoded.items["id"]
    if old.type != new.type:
        raise InvalidParam(
            f"ids of the model are {old.type} and those of the file {new.type}: they are not of "
            "one table"
        )
    known = set(old.to_pylist())
    return np.array([item not in known for item in new.to_pylist()])


def _stacked(old: Any, new: Any) -> Any:
    """Return rows with others below them, of the same kind."""
    if not isinstance(old, Postings):
        below = new.toarray() if hasattr(new, "toarray") else new
        return np.vstack([old, below.astype(old.dtype)])
    from scipy.sparse import csr_matrix, vstack

    return Postings.from_csr(vstack([old.to_csr(), csr_matrix(new)], format="csr"))


def _joined(old: pa.Table, new: pa.Table, rows: NDArray[np.intp]) -> pa.Table:
    """Return items with new ones below; columns that these lack are empty."""
    some = new.take(pa.array(rows))
    columns = []
    for field in old.schema:
        if field.name in some.column_names:
            below = some[field.name].cast(field.type)
        elif pa.types.is_floating(field.type):
            below = pa.chunked_array([pa.array(np.zeros(len(rows)), field.type)])
        elif pa.types.is_list(field.type):
            below = pa.chunked_array([pa.array([[]] * len(rows), field.type)])
        else:
            below = pa.chunked_array([pa.array([""] * len(rows), field.type)])
        columns.append(pa.chunked_array([*old[field.name].chunks, *below.chunks], field.type))
    return pa.table(columns, schema=old.schema)


def _joined_others(model: Model, encoded: Encoded, rows: NDArray[np.intp]) -> pa.Table | None:
    old = model.others
    if old is None or not old.num_columns:
        return old
    some = encoded.others.take(pa.array(rows))
    columns = []
    for field in old.schema:
        if field.name in some.column_names and some[field.name].type == field.type:
            below = some[field.name]
        elif pa.types.is_floating(field.type):
            below = pa.chunked_array([pa.nulls(len(rows), field.type)])
        else:
            below = pa.chunked_array([pa.array([""] * len(rows), field.type)])
        columns.append(pa.chunked_array([*old[field.name].chunks, *below.chunks], field.type))
    return pa.table(columns, schema=old.schema)
