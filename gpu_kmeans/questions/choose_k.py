"""How many clusters a file may have: read and encoded as a fit would, then fitted for several k."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any

from gpu_kmeans.backends.select import BackendSpec, resolve
from gpu_kmeans.clustering.choose import Choice, candidate_counts, choose_clusters
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.model import Model, Postings
from gpu_kmeans.pipeline import fit
from gpu_kmeans.validation import check_integer

__all__ = ["choose_k", "choose_k_of_model"]


def choose_k(
    path: str | PathLike[str],
    *,
    low: int = 2,
    high: int = 50,
    seed: int = 42,
    backend: BackendSpec = "auto",
    on_candidate: Callable[[int], object] | None = None,
    **options: Any,
) -> Choice:
    """Look for numbers of clusters that stand out in a table or a matrix.

    Parameters
    ----------
    path : path
    low, high : int
        Least and largest number of clusters to look at; all of few, twelve of many.
    seed : int
    on_candidate : callable, optional
        Called with each k before it is fitted.
    **options
        Those of :func:`gpu_kmeans.pipeline.fit` that say how the file is read and encoded.

    Raises
    ------
    InputError
        The file cannot be clustered, or an argument is outside its domain.
    """
    refused = {"n_clusters", "trim", "callback", "on_stage"} & set(options)
    if refused:
        raise InvalidParam(f"choose_k has no use for {', '.join(sorted(refused))}")
    model = fit(path, n_clusters=2, seed=seed, backend=backend, **options)
    return choose_k_of_model(
        model, low=low, high=high, seed=seed, backend=backend, on_candidate=on_candidate
    )


def choose_k_of_model(
    model: Model,
    *,
    low: int = 2,
    high: int = 50,
    seed: int = 42,
    backend: BackendSpec = "auto",
    on_candidate: Callable[[int], object] | None = None,
) -> Choice:
    """Look for numbers of clusters that stand out among the rows of a model."""
    check_integer("low", low, 2)
    check_integer("high", high, low)
    device = resolve(backend)
    inside = model.clustered
    space = model.space
    rows = (space.to_csr() if isinstance(space, Postings) else space)[inside]
    n = rows.shape[0]
    if low > n:
        raise InvalidParam(f"low={low} is more than the {n} items that can be clustered")
    is_text = model.features.text is not None
    return choose_clusters(
        rows,
        device,
        candidate_counts(low, min(high, n)),
        metric="cosine" if is_text else "euclidean",
        terms=model.postings.to_csr()[inside] if is_text else None,
        seed=seed,
        on_candidate=on_candidate,
    )
