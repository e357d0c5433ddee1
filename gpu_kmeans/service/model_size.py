"""Memory that a model takes while it answers: of one that is there, and of one before it is built.

What stands beside the arrays is Python's: a text of its own and an entry in a dictionary for each
term, another for each id, a few small objects for each cluster. An archive of a few megabytes can
hold millions of each, so they count.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson

from gpu_kmeans.errors import ModelCorrupt
from gpu_kmeans.model import Postings
from gpu_kmeans.model.storage import ARRAYS, ITEMS, MANIFEST
from gpu_kmeans.service.limits import CELL_BYTES, ID_CHARACTERS, allowance
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.schemas import MAX_NGRAM
from gpu_kmeans.service.unpacked_parquet import unpacked_bytes

if TYPE_CHECKING:
    from gpu_kmeans.model import Model

__all__ = ["check_folder", "check_memory", "check_model", "memory_of"]

TERM_BYTES = 300
"""Bytes of a term beside its characters: two texts, an entry in a dictionary, its array's."""
ITEM_BYTES = 400
"""Bytes of an item beside its cells: id, title and place in the dictionaries that find it."""
CLUSTER_BYTES = 1_500
"""Bytes of a cluster beside its centroid: its members' array and its heaviest terms."""
POSTING_BYTES = 24
"""Bytes of one non-zero: by term, by item, and its place in the order of popularity."""
NARROW, WIDEST = 4, 8
"""Bytes of a number of sparse rows and their centroids, and at most of dense ones."""
MEAN_BYTES = 8
"""Bytes of a number of the clusters' means, which are made of the rows before a reduction."""
INDEX_SHARE = 4
"""Bytes of the search index for each byte of the items' cells: of every word, its places and items.
Its words are texts beside: most of them are terms, which count as such."""
MAX_HEADER_BYTES = 1 << 20
MAX_PARAMETER_BYTES = 1 << 18
AGAIN = "this is no model as it was saved; send what was downloaded"


def memory_of(model: Model) -> int:
    """Bytes of memory that a model takes, with all that answers need beside it."""
    items = int(model.items.nbytes) + (0 if model.others is None else int(model.others.nbytes))
    cells = (1 + INDEX_SHARE) * items
    arrays = [model.rows, model.reduction.rows] if model.reduction else [model.rows]
    cells += sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))
    if model.reduction is not None:
        cells += model.reduction.components.nbytes
    sparse = isinstance(model.rows, Postings)
    k = model.n_clusters
    cells += model.centroids.nbytes
    if model.reduction is not None:
        cells += MEAN_BYTES * k * model.n_features
    terms = 0 if model.features.text is None else len(model.vectorizer.vocabulary_)
    nnz = model.nnz if sparse else model.items.num_rows * terms
    return _memory(model.items.num_rows, k, model.n_features, nnz, cells)


def check_memory(memory: int, most: int, what: str = "") -> None:
    """Refuse a model of so many bytes of memory.

    Raises
    ------
    Problem
        413 ``model_too_large``.
    """
    if memory > most:
        raise Problem(
            413,
            "model_too_large",
            f"the model{what} takes {memory} bytes of memory, more than the {most} allowed "
            "(max_model_bytes, max_loaded_bytes): use fewer items, clusters or terms",
        )


def check_model(model: Model, most: int) -> None:
    """Refuse a model that takes too much memory, or says too much of itself.

    Raises
    ------
    Problem
        413 ``model_too_large``, which says what makes it so, or ``too_large``.
    """
    k, n_features = model.n_clusters, model.n_features
    check_memory(memory_of(model), most, f" of {k} clusters of {n_features} terms")
    if len(orjson.dumps(model.info.parameters)) > MAX_PARAMETER_BYTES:
        raise Problem(
            413,
            "too_large",
            f"the model's parameters have more than {MAX_PARAMETER_BYTES} bytes: leave some out",
        )
    text = model.features.text
    longest_run = 1 if text is None else text.vectorizer.ngram_range[1]
    if longest_run > MAX_NGRAM:  # each length is as many terms of every question again
        raise Problem(
            413,
            "too_large",
            f"the model's terms are runs of up to {longest_run} words, more than the {MAX_NGRAM} "
            "allowed: fit it with a smaller ngram_range",
        )
    ids = model.items["id"]
    if str(ids.type) == "string":
        import pyarrow.compute as pc

        longest = pc.max(pc.utf8_length(ids)).as_py() or 0
        if longest > ID_CHARACTERS:
            raise Problem(
                413,
                "too_large",
                f"an id of the model has {longest} characters, more than the {ID_CHARACTERS} "
                "allowed: shorten it",
            )


def check_folder(folder: Path, most: int, max_expansion: int) -> None:
    """Refuse a model directory whose model would take too much memory, before it is built.

    Parameters
    ----------
    folder : Path
    most : int
        Bytes of memory that it may take.
    max_expansion : int
        Times its size that its table may hold.

    Raises
    ------
    Problem
        413 ``model_too_large``.
    ModelCorrupt
        Its arrays are not described, so that nothing can be said of them.
    """
    shapes = _shapes(folder / ARRAYS)
    try:
        k, n_features, nnz, cells = _sizes(shapes)
        (n_items,) = shapes["labels"]
    except (KeyError, ValueError):
        raise ModelCorrupt(f"its arrays are not a model's: {AGAIN}") from None
    _check_stated(folder / MANIFEST, n_features)
    memory = _memory(n_items, k, n_features, nnz, cells)
    check_memory(memory, most, f" of {k} clusters of {n_features} terms")
    items = folder / ITEMS
    bound = allowance(items, (most - memory) // (1 + INDEX_SHARE), max_expansion)
    if unpacked_bytes(items, bound, CELL_BYTES) > bound:
        raise Problem(
            413,
            "model_too_large",
            f"the items of the model hold more than {bound} bytes once unpacked, which is more "
            "than allowed (max_model_bytes, max_expansion): fit fewer items, or shorter texts",
        )


def _sizes(shapes: dict[str, list[int]]) -> tuple[int, int, int, int]:
    """Clusters, features, non-zeros, and bytes of what is dense, by the widest numbers.

    The centroids count as they will be: what is kept of sparse ones says nothing of their size.
    """
    terms = sum(s[0] for name, s in shapes.items() if name.endswith("vocabulary_offsets") and s)
    if "rows" in shapes:
        n_rows, n_features = shapes["rows"]
        nnz, cells = n_rows * terms, WIDEST * n_rows * n_features
    else:
        (bounds,), (nnz,) = shapes["postings_indptr"], shapes["postings_rows"]
        n_features, cells = bounds - 1, 0
    (k,) = shapes["centroids"][:1] if "centroids" in shapes else shapes["centroids_indptr"]
    k -= "centroids" not in shapes
    width = n_features
    if "reduction_components" in shapes:
        width, features = shapes["reduction_components"]
        n_rows, components = shapes["reduction_rows"]
        cells += WIDEST * (width * features + n_rows * components) + MEAN_BYTES * k * n_features
    number = WIDEST if "rows" in shapes or "reduction_components" in shapes else NARROW
    cells += number * k * width
    return k, max(n_features, terms), nnz, cells


def _memory(n_items: int, k: int, n_features: int, nnz: int, cells: int) -> int:
    return (
        TERM_BYTES * n_features
        + ITEM_BYTES * n_items
        + CLUSTER_BYTES * k
        + POSTING_BYTES * nnz
        + cells
    )


def _check_stated(manifest: Path, n_features: int) -> None:
    """Refuse a matrix of more features than there are: each would get a name."""
    try:
        parts = orjson.loads(manifest.read_bytes()).get("features") or []
        stated = [part["params"]["n_features"] for part in parts if part["kind"] == "matrix"]
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return  # the reader of models says so
    if not all(type(number) is int and 0 <= number <= n_features for number in stated):
        raise ModelCorrupt(f"its matrix has not as many features as its rows: {AGAIN}")


def _shapes(arrays: Path) -> dict[str, list[int]]:
    """Shapes of the arrays as the file's first bytes state them; nothing else is read."""
    with arrays.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise ModelCorrupt(f"its arrays have no header: {AGAIN}")
        header = file.read(length)
    try:
        stated = orjson.loads(header)
        shapes = {name: about["shape"] for name, about in stated.items() if name != "__metadata__"}
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        raise ModelCorrupt(
            "the archive's arrays have no header; send what was downloaded"
        ) from None
    if not all(
        isinstance(shape, list) and all(type(side) is int and side >= 0 for side in shape)
        for shape in shapes.values()
    ):
        raise ModelCorrupt(f"its arrays have no shapes: {AGAIN}")
    return shapes
