"""Items like each item of a model, of all items at once: similar items, kept beside a catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpu_kmeans.backends.select import BackendSpec
from gpu_kmeans.clustering.neighbors import neighbors
from gpu_kmeans.model import Model, Postings
from gpu_kmeans.validation import check_integer

__all__ = ["similar_items"]

MOST = 1_000
"""Maximum number of neighbours of an item."""


def similar_items(
    model: Model, count: int = 15, *, backend: BackendSpec = "auto"
) -> Iterator[list[Any]]:
    """Yield a header, then an item, one like it and how like they are: the most like first.

    Of texts, and of other sparse rows that were clustered as they are, by the cosine of the rows.
    Of dense rows, by their distance ``d`` in the space in which the clusters were found:
    ``1 / (1 + d)``. For one item, :meth:`gpu_kmeans.recommend.Recommender.similar` says the same of
    texts and of dense rows.

    Parameters
    ----------
    model : Model
    count : int
        Number of neighbours of each item at most, 1 to 1000. Items that share no term are left out.
    backend : "auto", "gpu", "cpu" or a backend

    Yields
    ------
    list
        ``id``, ``neighbor`` (its id) and ``similarity``.

    Raises
    ------
    InvalidParam
        ``count`` is outside its bounds.
    """
    count = check_integer("count", count, 1, MOST)
    rows = model.rows if model.is_text else model.space
    yield ["id", "neighbor", "similarity"]
    ids = model.items["id"].to_pylist()
    count = min(count, len(ids) - 1)
    if not count:
        return
    if isinstance(rows, Postings):
        found = neighbors(rows.to_csr(), count, backend=backend)
        similarities = found.values
    else:
        found = neighbors(rows, count, metric="euclidean", backend=backend)
        similarities = 1 / (1 + found.values)
    for row, similarity, item in zip(found.indices, similarities, ids, strict=True):
        for other in np.flatnonzero(similarity > 0).tolist():
            yield [item, ids[row[other]], round(float(similarity[other]), 6)]
