"""The columns of a catalogue to the rows that are clustered: encoded, and reduced on request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Matrix
from gpu_kmeans.data.catalogue import Catalogue
from gpu_kmeans.errors import EmptyVocabulary, InvalidParam, OutOfRange
from gpu_kmeans.features.combine import Features
from gpu_kmeans.features.svd import RandomizedSVD
from gpu_kmeans.model import Postings, Reduction
from gpu_kmeans.model.rows import Rows

__all__ = ["EncodedRows", "encode", "reduce_rows"]


@dataclass(frozen=True, eq=False)
class EncodedRows:
    """Rows of a catalogue, on their way to a clusterer.

    Attributes
    ----------
    rows : Matrix
        All of them, where the encoders left them.
    host : CSR or ndarray
        The same on the host.
    known : ndarray of bool
        Which are clustered.
    reduction : Reduction or None
    """

    rows: Matrix
    host: Any
    known: NDArray[np.bool_]
    reduction: Reduction | None = None

    @property
    def chosen(self) -> Matrix:
        """The rows to cluster."""
        if self.known.all():
            return self.rows if self.reduction is None else self.reduction.rows
        return (self.host if self.reduction is None else self.reduction.rows)[self.known]

    @property
    def kept(self) -> Rows:
        """All rows as a model keeps them."""
        return Postings.from_csr(self.host) if hasattr(self.host, "indptr") else self.host

    @property
    def means_dtype(self) -> Any:
        """Dtype of means as a model keeps them: of sparse rows float32 always."""
        rows = self.host if self.reduction is None else self.reduction.rows
        return np.float32 if hasattr(rows, "indptr") else rows.dtype


def encode(
    name: str,
    catalogue: Catalogue,
    features: Features,
    backend: Backend,
    inside: NDArray[np.bool_] | None,
) -> EncodedRows:
    """Encode the columns; tell which rows can be clustered: of texts, those with a known term."""
    try:
        rows = features.fit_transform(catalogue.features, backend, inside)
    except EmptyVocabulary as problem:
        names = ", ".join(map(repr, catalogue.roles.texts))
        raise EmptyVocabulary(f"{name}, column {names}: {problem}") from problem
    host = backend.to_host(rows)
    known = np.ones(host.shape[0], dtype=np.bool_) if inside is None else inside.copy()
    if hasattr(host, "indptr"):
        if len(host.data) and not np.isfinite(host.data.astype(np.float32)).all():
            raise OutOfRange("sparse rows hold numbers beyond float32 (about 3.4e38): scale them")
        if features.text is not None and len(features.parts) == 1:
            known &= np.diff(host.indptr) > 0
    return EncodedRows(rows, host, known)


def reduce_rows(
    encoded: EncodedRows, n_components: int, seed: int, backend: Backend
) -> EncodedRows:
    """Project rows onto their leading singular vectors."""
    n, n_features = encoded.host.shape
    if n_components > min(n, n_features):
        raise InvalidParam(
            f"reduce={n_components} is more than the {min(n, n_features)} directions that {n} rows "
            f"of {n_features} features have; choose reduce <= {min(n, n_features)}, or 0"
        )
    svd = RandomizedSVD(
        n_components,
        normalize=hasattr(encoded.host, "indptr"),
        random_state=seed,
        backend=backend,
    )
    reduced = svd.fit_transform(encoded.rows)
    return replace(encoded, reduction=Reduction.of(svd, reduced))
