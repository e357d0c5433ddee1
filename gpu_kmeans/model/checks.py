"""What makes values a model: the arrays that they are kept as, and what must hold of them.

Both ways through here end in the same checks: a model is held to them before it is written,
and what a directory holds before it is used. A flaw comes back as words, since only the caller
knows whether it is an argument or a file that is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.model import UNCLUSTERED, Postings, Reduction
from gpu_kmeans.model.rows import Rows

if TYPE_CHECKING:
    import pyarrow as pa

    from gpu_kmeans.model import Model

__all__ = [
    "FEATURES",
    "arrays_of",
    "centroids_of",
    "describe",
    "flaw_in_arrays",
    "flaw_in_items",
    "from_schema_1",
    "items_of",
    "names_of",
    "reduction_of",
    "rows_of",
    "table_of",
]

SPARSE_BYTES = 1 << 16
"""Number of bytes of the centroids up to which they are kept dense in any case."""
FEATURES = "features/"
"""Beginning of the names of the encoders' arrays."""
OTHER = "column "
"""Beginning of the names that the columns without a role have in the table of the items."""


def arrays_of(model: Model, of_features: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return a model's arrays by the names they are kept under, contiguous.

    Large centroids of which more than half are zeros are kept without these (CSR).
    """
    arrays: dict[str, NDArray[Any]] = {"labels": model.labels}
    centroids = model.centroids
    large = centroids.nbytes > SPARSE_BYTES
    if large and 2 * np.count_nonzero(centroids) < centroids.size:
        clusters, features = np.nonzero(centroids)
        counts = np.bincount(clusters, minlength=len(centroids))
        arrays["centroids_indptr"] = np.cumsum([0, *counts.tolist()], dtype=np.int64)
        arrays["centroids_indices"] = features.astype(np.int32)
        arrays["centroids_values"] = centroids[clusters, features]
    else:
        arrays["centroids"] = centroids
    rows = model.rows
    if isinstance(rows, Postings):
        arrays["postings_indptr"] = rows.indptr
        arrays["postings_rows"] = rows.rows
        arrays["postings_values"] = rows.values
    else:
        arrays["rows"] = rows
    if (reduction := model.reduction) is not None:
        arrays["reduction_components"] = reduction.components
        arrays["reduction_rows"] = reduction.rows
        if reduction.mean is not None:
            arrays["reduction_mean"] = reduction.mean
    arrays |= {f"{FEATURES}{name}": array for name, array in of_features.items()}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def describe(arrays: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, Any]]:
    """Return the type and shape of each array, as the manifest states them."""
    return {
        name: {"dtype": array.dtype.name, "shape": list(array.shape)}
        for name, array in arrays.items()
    }


# -- arrays to values: only of arrays that `flaw_in_arrays` found no flaw in --------------


def rows_of(arrays: Mapping[str, NDArray[Any]], n_items: int) -> Rows:
    """Return the rows of a model."""
    if "rows" in arrays:
        return arrays["rows"]
    return Postings(
        indptr=arrays["postings_indptr"],
        rows=arrays["postings_rows"],
        values=arrays["postings_values"],
        n_rows=n_items,
    )


def centroids_of(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Return the centroids of a model, dense."""
    if "centroids" in arrays:
        return arrays["centroids"]
    bounds = arrays["centroids_indptr"]
    values = arrays["centroids_values"]
    centroids = np.zeros((len(bounds) - 1, _width(arrays)), dtype=values.dtype)
    clusters = np.repeat(np.arange(len(centroids)), np.diff(bounds))
    centroids[clusters, arrays["centroids_indices"]] = values
    return centroids


def reduction_of(arrays: Mapping[str, NDArray[Any]], params: Any) -> Reduction | None:
    """Return the reduction of a model, with the manifest's word on its parameters.

    Raises
    ------
    TypeError, KeyError
        The manifest does not describe it.
    """
    if "reduction_rows" not in arrays:
        if params is not None:
            raise TypeError("a reduction without arrays")
        return None
    return Reduction(
        arrays["reduction_components"],
        arrays.get("reduction_mean"),
        bool(params["normalize"]),
        arrays["reduction_rows"],
    )


def names_of(stated: Any) -> dict[int, str]:
    """Return the names that people gave to clusters, as a manifest states them.

    Raises
    ------
    TypeError, ValueError
        They are not texts by numbers.
    """
    if not isinstance(stated, dict) or not all(isinstance(n, str) for n in stated.values()):
        raise TypeError("its names are no texts by labels")
    return {int(label): name for label, name in stated.items()}


def from_schema_1(
    manifest: Mapping[str, Any], arrays: dict[str, NDArray[Any]]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what a directory of schema 1, which holds texts alone, would be in schema 2."""
    own = ("idf", "vocabulary", "vocabulary_offsets")
    renamed = {f"{FEATURES}0/{name}" if name in own else name: a for name, a in arrays.items()}
    text = {"kind": "text", "weight": 1.0, "unit": 1.0, "params": manifest.get("vectorizer")}
    return {**manifest, "features": [text], "reduction": None}, renamed


# -- what must hold ----------------------------------------------------------------------

_REAL = ("float32", "float64")
_KINDS: dict[str, tuple[tuple[str, ...], int]] = {
    "labels": (("int32",), 1),
    "centroids": (_REAL, 2),
    "centroids_indptr": (("int64",), 1),
    "centroids_indices": (("int32",), 1),
    "centroids_values": (_REAL, 1),
    "postings_indptr": (("int64",), 1),
    "postings_rows": (("int32",), 1),
    "postings_values": (("float32",), 1),
    "rows": (_REAL, 2),
    "reduction_components": (_REAL, 2),
    "reduction_rows": (_REAL, 2),
    "reduction_mean": (("float64",), 1),
}
_GROUPS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("labels",),),
    (("centroids",), ("centroids_indptr", "centroids_indices", "centroids_values")),
    (("rows",), ("postings_indptr", "postings_rows", "postings_values")),
    (
        (),
        ("reduction_components", "reduction_rows"),
        ("reduction_components", "reduction_rows", "reduction_mean"),
    ),
)
"""Groups of arrays, and the ways in which each may be there."""


def flaw_in_arrays(arrays: Mapping[str, NDArray[Any]], n_items: int) -> str | None:
    """Say what keeps the arrays from being those of a model of ``n_items`` rows."""
    own = {name for name in arrays if not name.startswith(FEATURES)}
    for ways in _GROUPS:
        present = own & {name for way in ways for name in way}
        if present not in [set(way) for way in ways]:
            return f"its arrays are {', '.join(sorted(own))}"
        own -= present
    if own:
        return f"its arrays include {', '.join(sorted(own))}"
    for name, (dtypes, ndim) in _KINDS.items():
        array = arrays.get(name)
        if array is not None and (array.dtype.name not in dtypes or array.ndim != ndim):
            return f"{name} is not {ndim}-d {' or '.join(dtypes)}"
    flaw = (
        _flaw_in_rows(arrays, n_items)
        or _flaw_in_reduction(arrays, n_items)
        or _flaw_in_centroids(arrays)
        or _flaw_in_labels(arrays, n_items)
    )
    if flaw is not None:
        return flaw
    for name in _KINDS:
        array = arrays.get(name)
        if array is not None and array.dtype.kind == "f" and not np.isfinite(array).all():
            return f"{name} has a value that is not finite"
    return None


def _flaw_in_rows(arrays: Mapping[str, NDArray[Any]], n_items: int) -> str | None:
    if "rows" in arrays:
        n_rows, n_features = arrays["rows"].shape
        if n_rows != n_items:
            return f"rows has {n_rows} entries instead of {n_items}"
        return None if n_items and n_features else "it has no items or no features"
    bounds, rows = arrays["postings_indptr"], arrays["postings_rows"]
    if len(arrays["postings_values"]) != len(rows):
        return (
            f"postings_values has {len(arrays['postings_values'])} entries instead of {len(rows)}"
        )
    if not n_items or len(bounds) < 2:
        return "it has no items or no features"
    if len(rows) and (rows.min() < 0 or rows.max() >= n_items):
        return f"a posting's row lies outside 0..{n_items - 1}"
    if not _is_partition(bounds, len(rows)):
        return f"postings_indptr does not rise from 0 to {len(rows)}"
    return None if _rises_within(rows, bounds) else "the rows of a term's postings do not rise"


def _flaw_in_reduction(arrays: Mapping[str, NDArray[Any]], n_items: int) -> str | None:
    if "reduction_rows" not in arrays:
        return None
    n_components, n_features = arrays["reduction_components"].shape
    if n_features != _n_features(arrays) or not n_components:
        return f"reduction_components has {n_features} columns instead of {_n_features(arrays)}"
    if arrays["reduction_rows"].shape != (n_items, n_components):
        return f"reduction_rows is not of shape ({n_items}, {n_components})"
    if "reduction_mean" in arrays and len(arrays["reduction_mean"]) != n_features:
        return f"reduction_mean has {len(arrays['reduction_mean'])} entries instead of {n_features}"
    return None


def _flaw_in_centroids(arrays: Mapping[str, NDArray[Any]]) -> str | None:
    width = _width(arrays)
    if "centroids" in arrays:
        k, own = arrays["centroids"].shape
        if own != width:
            return f"centroids has {own} columns instead of {width}"
        return None if k else "it has no clusters"
    bounds, features = arrays["centroids_indptr"], arrays["centroids_indices"]
    if len(bounds) < 2:
        return "it has no clusters"
    if len(arrays["centroids_values"]) != len(features):
        return f"centroids_values has not {len(features)} entries"
    if len(features) and (features.min() < 0 or features.max() >= width):
        return f"a centroid's feature lies outside 0..{width - 1}"
    if not _is_partition(bounds, len(features)):
        return f"centroids_indptr does not rise from 0 to {len(features)}"
    return None if _rises_within(features, bounds) else "the features of a centroid do not rise"


def _flaw_in_labels(arrays: Mapping[str, NDArray[Any]], n_items: int) -> str | None:
    labels = arrays["labels"]
    n_clusters = len(arrays["centroids"] if "centroids" in arrays else arrays["centroids_indptr"])
    n_clusters -= "centroids" not in arrays
    if len(labels) != n_items:
        return f"labels has {len(labels)} entries instead of {n_items}"
    clustered = labels[labels != UNCLUSTERED]
    if len(clustered) and (clustered.min() < 0 or clustered.max() >= n_clusters):
        return f"a label is neither {UNCLUSTERED} nor in 0..{n_clusters - 1}"
    return None if len(clustered) else "no item is in a cluster"


def _n_features(arrays: Mapping[str, NDArray[Any]]) -> int:
    if "rows" in arrays:
        return int(arrays["rows"].shape[1])
    return len(arrays["postings_indptr"]) - 1


def _width(arrays: Mapping[str, NDArray[Any]]) -> int:
    """Return the number of numbers of a centroid."""
    if "reduction_components" in arrays:
        return len(arrays["reduction_components"])
    return _n_features(arrays)


def _is_partition(bounds: NDArray[Any], total: int) -> bool:
    return bool(bounds[0] == 0 and bounds[-1] == total and np.all(bounds[1:] >= bounds[:-1]))


def _rises_within(values: NDArray[Any], bounds: NDArray[Any]) -> bool:
    """Tell whether ``values`` rise strictly, except where a new part begins."""
    falls = np.flatnonzero(values[1:] <= values[:-1]) + 1
    return bool(np.all(np.isin(falls, bounds)))


_NUMBERS = ("popularity", "rating", "votes")
_ITEM_KINDS = {
    "id": ("int64", "string"),
    **dict.fromkeys(("text", "title", "date"), ("string",)),
    **dict.fromkeys(_NUMBERS, ("double",)),
    # Readers of Parquet differ in what they call a list's elements.
    **dict.fromkeys(
        ("keywords", "genres", "cast", "crew"), ("list<item: string>", "list<element: string>")
    ),
}
"""Arrow types of a catalogue's columns by their roles; ``id`` must be there, others may."""
_OTHER_KINDS = ("string", "double")
"""Arrow types of columns without a role."""


def table_of(model: Model) -> pa.Table:
    """Return the items with all their columns, as they are kept in one table."""
    table, others = model.items, model.others
    if others is not None:
        for name in others.column_names:
            table = table.append_column(f"{OTHER}{name}", others[name])
    return table


def items_of(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the columns of the catalogue's roles, and the others by their own names."""
    others = [name for name in table.column_names if name.startswith(OTHER)]
    items = table.select([name for name in table.column_names if name not in set(others)])
    return items, table.select(others).rename_columns([n.removeprefix(OTHER) for n in others])


def flaw_in_items(table: pa.Table, needs_text: bool) -> str | None:
    """Say what keeps the table from being that of a model's items."""
    names = table.column_names
    own = [name for name in names if not name.startswith(OTHER)]
    needed = {"id", "text"} if needs_text else {"id"}
    if len(set(names)) != len(names) or not needed <= set(own) <= set(_ITEM_KINDS):
        return f"the columns of its items are {', '.join(own)}"
    for name in names:
        column = table[name]
        try:
            column.validate(full=True)
        except ValueError as error:  # Arrow's ArrowInvalid is one
            return f"its items have a {name} that cannot be read ({error})"
        if str(column.type) not in _ITEM_KINDS.get(name, _OTHER_KINDS):
            return f"its items have {name} as {column.type}"
        if name in ("id", "text", *_NUMBERS) and column.null_count:
            return f"its items lack {name} in {column.null_count} rows"
        if name in _NUMBERS and not all(map(isfinite, column.to_pylist())):
            return f"its items have a {name} that is not a finite number"
    return None
