"""The encoders of a table, by the roles of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.data.roles import FeatureRoles
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.features.base import ENCODERS, Encoder
from gpu_kmeans.features.categories import CategoriesEncoder
from gpu_kmeans.features.combine import Features, Part
from gpu_kmeans.features.matrix import MatrixEncoder
from gpu_kmeans.features.numbers import NumbersEncoder
from gpu_kmeans.features.text_encoder import TextEncoder
from gpu_kmeans.features.tfidf import TfidfVectorizer

__all__ = ["FeatureOptions", "build_features"]


@dataclass(frozen=True, slots=True)
class FeatureOptions:
    """Arguments of the encoders by their kinds, and what each counts beside the others."""

    text: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)
    categories: Mapping[str, Any] = field(default_factory=dict)
    matrix: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)


def build_features(
    roles: FeatureRoles,
    options: FeatureOptions,
    feature_names: Sequence[str] | None,
    backend: Backend,
) -> Features:
    """Return unfitted encoders: of texts, numbers, categories and a matrix, in this order.

    Raises
    ------
    InvalidParam
        An option is outside its domain, or a weight is of what is not there.
    """
    encoders: list[Encoder] = []
    if roles.texts:
        encoders.append(TextEncoder(TfidfVectorizer(**options.text, backend=backend)))
    if roles.numbers:
        encoders.append(NumbersEncoder(roles.numbers, **options.numbers))
    elif log := options.numbers.get("log"):
        NumbersEncoder((), log=log)  # says that these are no numbers
    if roles.categories:
        encoders.append(CategoriesEncoder(roles.categories, **options.categories))
    if roles.matrix is not None:
        encoders.append(MatrixEncoder(feature_names, **options.matrix))
    weights = _check_weights(options.weights, [encoder.kind for encoder in encoders])
    return Features([Part(encoder, weights.get(encoder.kind, 1.0)) for encoder in encoders])


def _check_weights(weights: Any, kinds: Sequence[str]) -> Mapping[str, float]:
    if not isinstance(weights, Mapping):
        raise InvalidParam(
            f"weights must map {', '.join(ENCODERS)} to numbers, got {weights!r:.60}"
        )
    for kind in weights:
        if kind not in kinds:
            raise InvalidParam(
                f"weights names {kind!r:.60}, and what is clustered is {', '.join(kinds)}"
            )
    return weights
