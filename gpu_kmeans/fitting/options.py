"""The arguments of a fit, checked before anything is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gpu_kmeans.clustering.base import check_algorithm
from gpu_kmeans.data.roles import DEFAULTS, FEATURES
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.features.stop_words import stop_words_of
from gpu_kmeans.features.weighting import Weighting
from gpu_kmeans.validation import check_integer, check_number

__all__ = ["ClusterOptions", "check_callbacks", "check_columns", "is_auto", "text_options"]

NOISE = ("apart", "nearest")
"""What becomes of rows that an algorithm puts into no cluster."""
MOST_TRIM = 0.5
"""Share of the rows that a trimmed fit must leave out less than."""


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """How rows are clustered; see :func:`gpu_kmeans.pipeline.fit`.

    Raises
    ------
    InvalidParam
        A value is outside its domain.
    """

    n_clusters: int | Literal["auto"]
    seed: int
    reduce: int | Literal["auto"]
    algorithm: str
    noise: str
    trim: float
    max_iter: int

    def __post_init__(self) -> None:
        if not is_auto(self.n_clusters):
            check_integer("n_clusters", self.n_clusters, 1)
        check_integer("seed", self.seed, 0)
        check_integer("max_iter", self.max_iter, 1)
        if not is_auto(self.reduce):
            check_integer("reduce", self.reduce, 0)
        if check_number("trim", self.trim, 0.0) >= MOST_TRIM:
            raise InvalidParam(
                f"trim must be a share of the rows below {MOST_TRIM}, got {self.trim}"
            )
        if not is_auto(self.algorithm):
            check_algorithm(self.algorithm)
        if self.noise not in NOISE:
            raise InvalidParam(f"noise must be one of {', '.join(NOISE)}, got {self.noise!r:.60}")


def is_auto(value: object) -> bool:
    """Tell whether an argument is left to the fit; arrays and the like are not compared."""
    return isinstance(value, str) and value == "auto"


def check_callbacks(**callbacks: object) -> None:
    """Refuse what cannot be called; None is no callback."""
    for name, function in callbacks.items():
        if function is not None and not callable(function):
            raise InvalidParam(f"{name} must be a function, got {type(function).__name__}")


def check_columns(columns: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the column arguments of ``load_catalogue``, each of a name that it has."""
    if columns is None:
        return {}
    roles = ", ".join([*DEFAULTS, *FEATURES])
    if not isinstance(columns, Mapping):
        raise InvalidParam(
            f"columns must map roles ({roles}) to names of columns, such as "
            f"{{'text': 'plot'}}, got {columns!r:.60}"
        )
    unknown = [role for role in columns if role not in DEFAULTS and role not in FEATURES]
    if unknown:
        raise InvalidParam(f"columns has no role {unknown[0]!r:.60}; the roles are {roles}")
    return dict(columns)


def text_options(
    *, stop_words: Any, analyzer: str, weighting: str, sublinear_tf: bool, **others: Any
) -> dict[str, Any]:
    """Return the arguments of the vectorizer, with a weighting that may be ``"auto"`` still."""
    if not is_auto(weighting):
        Weighting(scheme=weighting, sublinear=sublinear_tf is True)  # refuses what cannot be
    return {
        "stop_words": _stop_words(stop_words, analyzer),
        "analyzer": analyzer,
        "weighting": weighting,
        "sublinear_tf": sublinear_tf,
        **others,
    }


def _stop_words(stop_words: Any, analyzer: str) -> Any:
    """Return the words to drop as the vectorizer takes them."""
    if analyzer != "word":
        return None
    if isinstance(stop_words, str) and stop_words != "english":
        return stop_words_of(stop_words)
    return stop_words
