"""The parameters ``init`` and ``n_init`` of KMeans, checked: a name, an array or a callable."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.clustering.init import INITS
from gpu_kmeans.errors import InputError, InvalidParam, shown
from gpu_kmeans.validation import check_integer, check_rows

__all__ = ["call_init", "check_init", "count_starts"]

DRAWN_STARTS = 10
"""Number of starts of ``n_init="auto"`` where each is no better than a draw, as in scikit-learn."""


def check_init(init: Any, k: int, n_features: int) -> str | NDArray[Any] | Callable[..., Any]:
    """Return the name of a way to start, a callable, or centroids of shape (k, n_features).

    Raises
    ------
    InvalidParam
        Another name, or centroids that are not finite or not of that shape.
    """
    if isinstance(init, str):
        if init not in INITS:
            raise InvalidParam(
                f"init must be one of {', '.join(INITS)}, an array or a callable, got {shown(init)}"
            )
        return init
    return init if callable(init) else _check_centers(init, k, n_features)


def count_starts(n_init: Any, init: str | NDArray[Any] | Callable[..., Any]) -> int:
    """Return the number of starts: that of ``n_init``, or one from centroids.

    Warns where ``n_init`` is more.
    """
    is_array = isinstance(init, np.ndarray)
    if isinstance(n_init, str) and n_init == "auto":
        is_draw = not is_array and (callable(init) or init == "random")
        return DRAWN_STARTS if is_draw else 1
    starts = check_integer("n_init", n_init, 1)
    if is_array and starts > 1:
        warnings.warn(
            "Explicit initial center position passed: performing only one init in KMeans instead "
            f"of n_init={starts}.",
            RuntimeWarning,
            stacklevel=4,
        )
        return 1
    return starts


def call_init(
    init: Callable[..., Any], rows: Any, k: int, rng: np.random.Generator
) -> NDArray[Any]:
    """Return the centroids that a callable makes, called as scikit-learn does.

    Raises
    ------
    InvalidParam
        It takes other arguments, or returns no centroids. Its own exceptions pass.
    """
    random_state = np.random.RandomState(rng.integers(2**31))
    try:
        inspect.signature(init).bind(rows, k, random_state=random_state)
    except TypeError as error:
        raise InvalidParam(
            f"init is called as init(X, n_clusters, random_state=...): {error}"
        ) from None
    except ValueError:
        pass  # a callable that has no signature to look at
    return _check_centers(init(rows, k, random_state=random_state), k, rows.shape[1])


def _check_centers(init: Any, k: int, n_features: int) -> NDArray[Any]:
    try:
        checked = check_rows(init)
        if hasattr(checked, "toarray"):  # centroids are dense, whatever they start as
            checked = checked.toarray()
        centers = np.asarray(checked.get() if hasattr(checked, "get") else checked)
    except InputError as error:
        raise InvalidParam(
            f"init must be one of {', '.join(INITS)}, a callable or an array of centroids: {error}"
        ) from None
    for axis, (needed, meaning) in enumerate(
        ((k, "number of clusters"), (n_features, "number of features of the data"))
    ):
        if centers.shape[axis] != needed:
            raise InvalidParam(
                f"The shape of the initial centers {centers.shape} does not match the {meaning} "
                f"{needed}: init must have shape {(k, n_features)}"
            )
    return centers
