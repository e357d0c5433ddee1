"""What makes values a model: the arrays that they are kept as, and what must hold of them.

Both ways through here end in the same checks: a model is held to them before it is written,
and what a directory holds before it is used. A flaw comes back as words, since only the caller
knows whether it is an argument or a file that is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.model import UNCLUSTERED

if TYPE_CHECKING:
    import pyarrow as pa

    from gpu_kmeans.model import Model
    from gpu_kmeans.text import TfidfVectorizer

__all__ = [
    "arrays_of",
    "decode_vectorizer",
    "describe",
    "flaw_in_arrays",
    "flaw_in_items",
    "vectorizer_params",
]


def arrays_of(model: Model) -> dict[str, NDArray[Any]]:
    """Return a model's arrays by the names they are kept under, contiguous.

    The terms are one run of UTF-8 bytes, and the offsets at which each of them begins and ends.

    Raises
    ------
    InvalidParam
        A term is not text that UTF-8 can hold.
    """
    try:
        terms = [str(term).encode() for term in model.vectorizer.get_feature_names_out()]
    except UnicodeEncodeError as error:
        raise InvalidParam(f"this model cannot be saved: a term is not text ({error})") from error
    arrays: dict[str, NDArray[Any]] = {
        "labels": model.labels,
        "centroids": model.centroids,
        "idf": getattr(model.vectorizer, "idf_", np.ones(len(terms))),
        "postings_indptr": model.postings.indptr,
        "postings_rows": model.postings.rows,
        "postings_values": model.postings.values,
        "vocabulary": np.frombuffer(b"".join(terms), dtype=np.uint8),
        "vocabulary_offsets": np.cumsum([0, *map(len, terms)], dtype=np.int64),
    }
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def describe(arrays: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, Any]]:
    """Return the type and shape of each array, as the manifest states them."""
    return {
        name: {"dtype": array.dtype.name, "shape": list(array.shape)}
        for name, array in arrays.items()
    }


def vectorizer_params(vectorizer: TfidfVectorizer) -> dict[str, Any]:
    """Return what a query needs to be read as the texts were.

    The backend is the loading machine's own affair, and the vocabulary is in the arrays.
    """
    return vectorizer.storable_params()


def decode_vectorizer(
    manifest: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> TfidfVectorizer:
    """Restore the vectorizer from arrays that :func:`flaw_in_arrays` found no flaw in.

    Raises
    ------
    KeyError, TypeError, ValueError, InvalidParam
        The manifest's parameters, or the terms, are not those of a vectorizer.
    """
    from gpu_kmeans.text import TfidfVectorizer

    text, ends = arrays["vocabulary"].tobytes(), arrays["vocabulary_offsets"].tolist()
    terms = [text[start:end].decode() for start, end in pairwise(ends)]
    params = dict(manifest["vectorizer"])
    params["ngram_range"] = tuple(params["ngram_range"])
    average_length = params.pop("average_length_", 1.0)
    return TfidfVectorizer.from_fitted(terms, arrays["idf"], params, average_length)


# -- what must hold ----------------------------------------------------------------------

_ARRAY_KINDS = {
    "labels": ("int32", 1),
    "centroids": ("float32", 2),
    "idf": ("float64", 1),
    "postings_indptr": ("int64", 1),
    "postings_rows": ("int32", 1),
    "postings_values": ("float32", 1),
    "vocabulary": ("uint8", 1),
    "vocabulary_offsets": ("int64", 1),
}


def flaw_in_arrays(arrays: Mapping[str, NDArray[Any]], n_items: int) -> str | None:
    """Say what keeps the arrays from being those of a model of ``n_items`` rows."""
    if arrays.keys() != _ARRAY_KINDS.keys():
        return f"its arrays are {', '.join(sorted(arrays))}"
    for name, (dtype, ndim) in _ARRAY_KINDS.items():
        if (arrays[name].dtype.name, arrays[name].ndim) != (dtype, ndim):
            return f"{name} is not {ndim}-d {dtype}"
    n_clusters, n_terms = arrays["centroids"].shape
    labels, rows = arrays["labels"], arrays["postings_rows"]
    for name, size in {
        "labels": n_items,
        "idf": n_terms,
        "postings_indptr": n_terms + 1,
        "postings_values": len(rows),
        "vocabulary_offsets": n_terms + 1,
    }.items():
        if len(arrays[name]) != size:
            return f"{name} has {len(arrays[name])} entries instead of {size}"
    if not (n_items and n_clusters and n_terms):
        return "it has no items, no clusters or no terms"
    clustered = labels[labels != UNCLUSTERED]
    if len(clustered) and (clustered.min() < 0 or clustered.max() >= n_clusters):
        return f"a label is neither {UNCLUSTERED} nor in 0..{n_clusters - 1}"
    if not len(clustered):
        return "no item is in a cluster"
    if len(rows) and (rows.min() < 0 or rows.max() >= n_items):
        return f"a posting's row lies outside 0..{n_items - 1}"
    for name, total in {
        "postings_indptr": rows,
        "vocabulary_offsets": arrays["vocabulary"],
    }.items():
        if not _is_partition(arrays[name], len(total)):
            return f"{name} does not rise from 0 to {len(total)}"
    if not _rises_within(rows, arrays["postings_indptr"]):
        return "the rows of a term's postings do not rise"
    for name in ("centroids", "idf", "postings_values"):
        if not np.isfinite(arrays[name]).all():
            return f"{name} has a value that is not finite"
    return None


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
"""Arrow types of a catalogue's columns; ``id`` and ``text`` must be there, others may."""


def flaw_in_items(items: pa.Table) -> str | None:
    """Say what keeps the table from being a catalogue's."""
    names = items.column_names
    if len(set(names)) != len(names) or not {"id", "text"} <= set(names) <= set(_ITEM_KINDS):
        return f"the columns of its items are {', '.join(names)}"
    for name in names:
        column = items[name]
        try:
            column.validate(full=True)
        except ValueError as error:  # Arrow's ArrowInvalid is one
            return f"its items have a {name} that cannot be read ({error})"
        if str(column.type) not in _ITEM_KINDS[name]:
            return f"its items have {name} as {column.type}"
        if name in ("id", "text", *_NUMBERS) and column.null_count:
            return f"its items lack {name} in {column.null_count} rows"
        if name in _NUMBERS and not all(map(isfinite, column.to_pylist())):
            return f"its items have a {name} that is not a finite number"
    return None
