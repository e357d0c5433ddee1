"""Rules of texts that backends follow, as data: tokens, and how counts become weights.

The rules are defined in :mod:`gpu_kmeans.features`, and both backends are held to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from gpu_kmeans.errors import InvalidParam, shown

__all__ = ["NORMS", "SCHEMES", "TokenRules", "Weighting", "check_norm"]

SCHEMES = ("tfidf", "bm25", "log-entropy")
"""Names of the ways to weigh counts."""
NORMS = (None, "l1", "l2")
"""Norms that a row can be divided by."""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """Rules of tokens; defined once in :mod:`gpu_kmeans.features.analysis`.

    A text is lower-cased (Unicode default case conversion), then every longest run of
    at least ``min_length`` letters, numbers and underscores is a token; stop words are
    dropped, and n-grams are runs of neighbouring tokens that are left, joined by a space.
    """

    stop_words: frozenset[str] = frozenset()
    ngram_range: tuple[int, int] = (1, 1)
    min_length: int = 2

    def __post_init__(self) -> None:
        """Refuse rules that kernels could not read."""
        numbers: tuple[Any, ...] = (*self.ngram_range, self.min_length)
        valid = len(numbers) == 3 and all(isinstance(n, int) and 0 < n < 2**31 for n in numbers)
        if not valid or numbers[0] > numbers[1]:
            raise InvalidParam(
                f"token rules need an ngram_range of two rising integers from 1 and a min_length "
                f"from 1, got {self.ngram_range!r:.60} and {self.min_length!r:.60}"
            )
        if not all(isinstance(word, str) for word in self.stop_words):
            raise InvalidParam("stop words must be text alone")


@dataclass(frozen=True, slots=True)
class Weighting:
    """How counts become weights, beside the weight of each term.

    Attributes
    ----------
    scheme : "tfidf", "bm25" or "log-entropy"
    sublinear : bool
        ``1 + ln(tf)`` for ``tf``; for ``"tfidf"`` alone.
    norm : "l2", "l1" or None
    average_length : float
        Mean length of a text of the fit; read by ``"bm25"`` alone.
    dtype : "float32" or "float64"
        Type of the rows; weights are computed in float64.
    """

    scheme: str = "tfidf"
    sublinear: bool = False
    norm: str | None = "l2"
    average_length: float = 1.0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        """Refuse weightings that no backend could read."""
        scheme: Any = self.scheme
        average: Any = self.average_length
        if not isinstance(scheme, str) or scheme not in SCHEMES:
            names = ", ".join(map(repr, SCHEMES))
            raise InvalidParam(f"weighting must be one of {names}, got {shown(self.scheme)}")
        check_norm(self.norm)
        if self.sublinear and self.scheme != "tfidf":
            raise InvalidParam(
                f"sublinear_tf=True belongs to weighting='tfidf': {self.scheme!r} has its own way "
                "to weigh counts"
            )
        if not isinstance(average, Real) or not 0 < float(average) < np.inf:
            raise InvalidParam(f"average_length must be positive, got {shown(average)}")
        if self.dtype not in ("float32", "float64"):
            raise InvalidParam(f"dtype must be float32 or float64, got {shown(self.dtype)}")


def check_norm(norm: Any) -> None:
    """Refuse a norm that is none of :data:`NORMS`."""
    if not (norm is None or isinstance(norm, str)) or norm not in NORMS:
        raise InvalidParam(f"norm must be 'l2', 'l1' or None, got {shown(norm)}")
