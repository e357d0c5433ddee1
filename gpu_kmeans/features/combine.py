"""Several encoders side by side: the features of one model.

Every column of a table counts alike unless weights say otherwise: a standard-scaled number has
variance 1, so have the values of a category together, and rows of terms, which have length 1,
nearly so. A matrix beside others is brought to variance 1 in all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Matrix
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.features.base import Columns, Encoder, Reason, encoder_from_state
from gpu_kmeans.features.text_encoder import TextEncoder

__all__ = ["Features", "Part"]

DENSE_SHARE = 0.25
"""Share of numbers that are not 0 from which on rows of several encoders are kept dense."""
MOST_DENSE_FEATURES = 1_024
"""Maximum number of features of such dense rows."""


@dataclass
class Part:
    """One of the encoders, and the factor of its rows.

    Attributes
    ----------
    encoder : Encoder
    weight : float
        What its variance counts beside the others'; above 0.
    unit : float
        Factor that brings its variance to that of its columns; known after the fit.
    """

    encoder: Encoder
    weight: float = 1.0
    unit: float = 1.0

    @property
    def factor(self) -> float:
        """Factor of its rows among all features."""
        return self.unit * math.sqrt(self.weight)


@dataclass
class Features:
    """All encoders of a model.

    Attributes
    ----------
    parts : list of Part
        In the order of their features; at most one of texts.
    """

    parts: list[Part] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.parts:
            raise InvalidParam("there are no columns to cluster: name texts, numbers or categories")
        for part in self.parts:
            weight = part.weight
            if isinstance(weight, bool) or not isinstance(weight, int | float):
                raise InvalidParam(f"a weight must be a number, got {weight!r:.60}")
            if not 0 < weight < math.inf:
                raise InvalidParam(f"the weight of {part.encoder.kind} must be above 0: {weight}")

    def fit_transform(
        self, columns: Columns, backend: Backend, inside: NDArray[np.bool_] | None = None
    ) -> Matrix:
        """Fit all encoders; return rows of all their features, shape (n, n_features).

        Of one encoder they are where it left them, on the device or the host; of several, they
        are on the host, dense where many of their numbers are not 0. With ``inside``, shape (n,),
        numbers and categories are scaled by these rows alone.
        """
        if len(self.parts) == 1 and self.parts[0].factor == 1.0:
            return _fitted(self.parts[0].encoder, columns, backend, inside)
        blocks = []
        for part in self.parts:
            block = backend.to_host(_fitted(part.encoder, columns, backend, inside))
            if part.encoder.kind == "matrix" and len(self.parts) > 1:
                part.unit = _unit(block)
            blocks.append(block)
        self.__dict__.pop("bounds", None)
        return self._side_by_side(blocks)

    def transform(self, columns: Columns, backend: Backend) -> Matrix:
        """Return rows of new columns, encoded as those of the fit were."""
        if len(self.parts) == 1 and self.parts[0].factor == 1.0:
            return self.parts[0].encoder.transform(columns, backend)
        blocks = [backend.to_host(p.encoder.transform(columns, backend)) for p in self.parts]
        return self._side_by_side(blocks)

    def _side_by_side(self, blocks: Sequence[Any]) -> Any:
        from scipy.sparse import csr_matrix, hstack

        scaled = [_times(b, part.factor) for b, part in zip(blocks, self.parts, strict=True)]
        if len(scaled) == 1:
            return scaled[0]
        width = sum(block.shape[1] for block in scaled)
        filled = sum(b.nnz if hasattr(b, "indptr") else b.size for b in scaled)
        if filled >= DENSE_SHARE * width * scaled[0].shape[0] and width <= MOST_DENSE_FEATURES:
            dense = [b.toarray() if hasattr(b, "indptr") else b for b in scaled]
            return np.ascontiguousarray(np.hstack(dense))
        rows = hstack([csr_matrix(block) for block in scaled], format="csr")
        rows.sort_indices()
        return rows

    @property
    def names(self) -> list[str]:
        """Names of all features, in order."""
        return [name for part in self.parts for name in part.encoder.feature_names]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns that are read."""
        return tuple(name for part in self.parts for name in part.encoder.columns)

    @property
    def notes(self) -> list[str]:
        """What a reader of the results should know, of all encoders."""
        return [note for part in self.parts for note in part.encoder.notes]

    @cached_property
    def bounds(self) -> list[tuple[int, int]]:
        """First feature and the one after the last, of each part."""
        sizes = (len(part.encoder.feature_names) for part in self.parts)
        return list(pairwise(accumulate(sizes, initial=0)))

    @property
    def text(self) -> TextEncoder | None:
        """The encoder of texts, where there is one."""
        for part in self.parts:
            if isinstance(part.encoder, TextEncoder):
                return part.encoder
        return None

    def bounds_of(self, encoder: Encoder) -> tuple[int, int]:
        """Return the first feature of an encoder and the one after its last."""
        (bounds,) = [
            bounds
            for part, bounds in zip(self.parts, self.bounds, strict=True)
            if part.encoder is encoder
        ]
        return bounds

    def reasons(
        self, columns: Columns, rows: Any, labels: NDArray[np.int32], k: int, limit: int
    ) -> list[list[Reason]]:
        """Explain each cluster: at most ``limit`` reasons of each encoder, in the parts' order."""
        clusters: list[list[Reason]] = [[] for _ in range(k)]
        for part, (start, end) in zip(self.parts, self.bounds, strict=True):
            block = _times(rows[:, start:end], 1.0 / part.factor)
            if part.encoder.kind in ("text", "categories") and not hasattr(block, "indptr"):
                from scipy.sparse import csr_matrix

                block = csr_matrix(block)
            reasons = part.encoder.reasons(columns, block, labels, k, limit)
            for cluster, more in zip(clusters, reasons, strict=True):
                cluster.extend(more)
        return clusters

    # -- keeping --------------------------------------------------------------------------

    def state(self) -> tuple[list[dict[str, Any]], dict[str, NDArray[Any]]]:
        """Return a description of every part, and all their arrays, by ``"part/name"``."""
        described: list[dict[str, Any]] = []
        arrays: dict[str, NDArray[Any]] = {}
        for number, part in enumerate(self.parts):
            params, own = part.encoder.state()
            described.append(
                {
                    "kind": part.encoder.kind,
                    "weight": part.weight,
                    "unit": part.unit,
                    "params": params,
                }
            )
            arrays |= {f"{number}/{name}": array for name, array in own.items()}
        return described, arrays

    @classmethod
    def from_state(
        cls, described: Sequence[Mapping[str, Any]], arrays: Mapping[str, NDArray[Any]]
    ) -> Features:
        """Restore fitted encoders.

        Raises
        ------
        KeyError, TypeError, ValueError, InvalidParam
            These are not the state of encoders.
        """
        parts = []
        for number, about in enumerate(described):
            prefix = f"{number}/"
            own = {
                name.removeprefix(prefix): array
                for name, array in arrays.items()
                if name.startswith(prefix)
            }
            encoder = encoder_from_state(about["kind"], about["params"], own)
            parts.append(Part(encoder, about["weight"], float(about["unit"])))
        return cls(parts)


def _fitted(
    encoder: Encoder, columns: Columns, backend: Backend, inside: NDArray[np.bool_] | None
) -> Matrix:
    """Fit an encoder, by some rows alone where that matters; return the rows of all."""
    if inside is None or encoder.kind not in ("numbers", "categories"):
        return encoder.fit_transform(columns, backend)
    rows = np.flatnonzero(inside)
    some = {
        name: columns[name][rows]
        if isinstance(columns[name], np.ndarray)
        else [columns[name][row] for row in rows.tolist()]
        for name in encoder.columns
    }
    encoder.fit_transform(some, backend)
    return encoder.transform(columns, backend)


def _times(block: Any, factor: float) -> Any:
    """Return rows times a factor, in their dtype."""
    return block if factor == 1.0 else (block * factor).astype(block.dtype)


def _unit(rows: Any) -> float:
    """Return the factor that brings the variances of all columns to 1 together."""
    rows = rows.astype(np.float64)
    means = np.asarray(rows.mean(axis=0)).ravel()
    squares = rows.multiply(rows) if hasattr(rows, "indptr") else np.square(rows)
    variance = float(squares.sum()) / rows.shape[0] - float(means @ means)
    return 1.0 / math.sqrt(variance) if variance > 0 else 1.0
