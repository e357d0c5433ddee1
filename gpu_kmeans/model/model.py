"""A fitted model: what recommending, judging and showing needs, and how it came about.

The arrays are host arrays, whichever backend fitted them, so a model loads anywhere.
:mod:`gpu_kmeans.model.storage` keeps it on the disk; loading imports pyarrow and
safetensors, but no pandas, SciPy or FAISS.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from os import PathLike
from types import NoneType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import InvalidQuery
from gpu_kmeans.model.rows import Postings, Reduction, Rows, distances_to, group_sums, own_products

if TYPE_CHECKING:
    import pyarrow as pa

    from gpu_kmeans.features.combine import Features
    from gpu_kmeans.features.tfidf import TfidfVectorizer

__all__ = [
    "NO_KNOWN_TERM",
    "NO_TEXT",
    "SCHEMA_VERSION",
    "SET_APART",
    "UNCLUSTERED",
    "Model",
    "ModelInfo",
]

UNCLUSTERED = -1
"""Label of an item that is in no cluster, for one of the three reasons below.

Such an item counts as an item of the model. It is in no cluster's size, mean, inertia, share or
silhouette, on no map, and among no cluster's candidates; searches of the whole catalogue and
similar items may show it. Nothing but :attr:`Model.clustered` compares labels with this one.
"""

NO_TEXT, NO_KNOWN_TERM, SET_APART = "no_text", "no_known_term", "set_apart"
"""Reasons to be in no cluster: the text is empty; no term of it is in the vocabulary; it has such
terms, and whoever made the labels set it apart."""

SCHEMA_VERSION = 2
"""Raised by one when a model directory changes so that older versions cannot read it."""


@dataclass(frozen=True)
class ModelInfo:
    """How a model came about. Every value is what JSON can hold; dictionaries have text keys.

    Attributes
    ----------
    backend, backend_reason : str
        Which backend fitted it, and why that one.
    seed : int or None
    parameters, versions, catalogue : dict
        Arguments of the fit, versions of the libraries, the catalogue's report.
    seconds : dict of str to float
        Wall-clock seconds of each stage.
    warnings : list of str
    inertia : float
        As the fit reported it; :func:`gpu_kmeans.evaluate.evaluate` recomputes it.
    n_iter : int
    history : list of (stage, iteration, inertia)
    created : str
        UTC time in ISO 8601.
    """

    backend: str
    backend_reason: str
    seed: int | None
    parameters: dict[str, Any]
    versions: dict[str, Any]
    catalogue: dict[str, Any]
    seconds: dict[str, float]
    warnings: list[str]
    inertia: float
    n_iter: int
    history: list[tuple[str, int, float]]
    created: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Build from what :meth:`to_dict` gave, after a way through JSON.

        Raises
        ------
        ValueError
            A field is missing, unknown or of another type.
        """
        if set(raw) != {field.name for field in fields(cls)}:
            raise ValueError("the fields of its info are not those of this schema")
        for name, kind in _INFO_TYPES.items():
            if not isinstance(raw[name], kind) or isinstance(raw[name], bool):
                raise ValueError(f"its info has a {name} that is {type(raw[name]).__name__}")
        history = [(str(stage), int(at), float(value)) for stage, at, value in raw["history"]]
        return cls(**{**raw, "history": history, "inertia": float(raw["inertia"])})


_INFO_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("backend", "backend_reason", "created"), str),
    **dict.fromkeys(("parameters", "versions", "catalogue", "seconds"), dict),
    **dict.fromkeys(("warnings", "history"), list),
    "seed": (int, NoneType),
    "inertia": (int, float),
    "n_iter": int,
}


@dataclass(frozen=True, eq=False)
class Model:
    """Everything that recommending, judging and showing needs, on the host.

    Attributes
    ----------
    items : pyarrow.Table of n rows
        Columns of the catalogue by their roles: ``id``, and those present of ``text``, ``title``,
        ``popularity``, ``rating``, ``votes``, ``keywords``, ``genres``, ``date``, ...
    features : Features
        Fitted encoders; their features are the columns of the rows.
    rows : Postings or ndarray of shape (n, n_features), float32 or float64
        The items' features.
    labels : ndarray of shape (n,), int32
        Cluster of each item; ``UNCLUSTERED`` (-1) for an item in none.
    centroids : ndarray of shape (k, n_features), float32 or float64
        Of the reduced rows, where there are such: shape (k, n_components). Means, or directions of
        length 1 where the algorithm was "spherical".
    info : ModelInfo
    others : pyarrow.Table of n rows, or without a column
        The other columns of the items' file by their own names: texts, and numbers as float64.
    reduction : Reduction or None
        How rows were projected before they were clustered.
    names : dict of int to str
        Names that a person has given to clusters, by their labels.
    """

    items: pa.Table
    features: Features
    rows: Rows
    labels: NDArray[np.int32]
    centroids: NDArray[Any]
    info: ModelInfo
    others: pa.Table | None = None
    reduction: Reduction | None = None
    names: dict[int, str] = field(default_factory=dict)

    # -- texts ----------------------------------------------------------------------------

    @property
    def vectorizer(self) -> TfidfVectorizer:
        """What reads texts and queries.

        Raises
        ------
        InvalidQuery
            The model was fitted on no texts.
        """
        text = self.features.text
        if text is None:
            raise InvalidQuery(
                "the model was fitted on a table without texts, so that words find nothing in it: "
                "ask for items like one of them (recommend --like ID), or assign new rows"
            )
        return text.vectorizer

    @cached_property
    def postings(self) -> Postings:
        """Rows of the terms alone, by term; empty where there are no texts."""
        text = self.features.text
        if text is None:
            return Postings.empty(self.rows.shape[0])
        start, end = self.features.bounds_of(text)
        if isinstance(self.rows, Postings):
            return self.rows.between(start, end)
        return Postings.from_dense(self.rows[:, start:end])

    @property
    def is_text(self) -> bool:
        """Whether the features are terms of texts alone."""
        return self.features.text is not None and len(self.features.parts) == 1

    # -- clusters -------------------------------------------------------------------------

    @property
    def space(self) -> Rows:
        """Rows in which the clusters were found: the reduced ones, or all features."""
        return self.rows if self.reduction is None else self.reduction.rows

    @cached_property
    def feature_means(self) -> NDArray[Any]:
        """Mean of each cluster's own features, shape (k, n_features); the centroids, mostly."""
        is_of_means = self.info.parameters.get("algorithm") != "spherical"
        if self.reduction is None and is_of_means:
            return self.centroids
        sizes = np.maximum(self.sizes, 1)[:, None]
        if isinstance(self.rows, Postings):
            sums = group_sums(self.rows, self.labels, self.n_clusters)
            return (sums / sizes).astype(np.float32)
        means = np.zeros((self.n_clusters, self.n_features))
        for label in np.flatnonzero(self.sizes).tolist():
            means[label] = self.rows[self.labels == label].mean(axis=0, dtype=np.float64)
        return means

    @cached_property
    def distances(self) -> NDArray[np.float64]:
        """Distance of each item to its cluster's centroid, shape (n,); NaN for one in none."""
        return distances_to(self.space, self.centroids, self.labels)

    @cached_property
    def closeness(self) -> NDArray[np.float64]:
        """The higher, the more typical an item is of its cluster; shape (n,).

        Of rows of terms, which have one length, the product with the centroid, which orders them
        as distances do.
        """
        if self.is_text and isinstance(self.space, Postings):
            return own_products(self.space, self.centroids, self.labels)
        closeness: NDArray[np.float64] = -np.nan_to_num(self.distances, nan=np.inf)
        return closeness

    @property
    def n_features(self) -> int:
        """Number of features of the rows."""
        return int(self.rows.shape[1])

    @property
    def nnz(self) -> int:
        """Numbers of the rows that are kept: those that are not 0, of sparse rows."""
        rows = self.rows
        return len(rows.values) if isinstance(rows, Postings) else int(rows.size)

    @property
    def n_clusters(self) -> int:
        """Number of centroids."""
        return int(self.centroids.shape[0])

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Items of each cluster, shape (k,)."""
        return np.bincount(self.labels[self.clustered], minlength=self.n_clusters)

    @cached_property
    def clustered(self) -> NDArray[np.bool_]:
        """Whether each item is in a cluster, shape (n,)."""
        clustered: NDArray[np.bool_] = self.labels != UNCLUSTERED
        return clustered

    @property
    def n_clustered(self) -> int:
        """Number of items that are in a cluster."""
        return int(self.clustered.sum())

    def why_unclustered(self, row: int) -> str | None:
        """Return the reason why an item is in no cluster; None for one that is in a cluster."""
        if self.clustered[row]:
            return None
        if not self.is_text or self._has_terms[row]:
            return SET_APART
        return NO_KNOWN_TERM if self.items["text"][row].as_py() else NO_TEXT

    def unclustered(self) -> dict[str, int]:
        """Return the number of items in no cluster by reason, for the reasons that occur."""
        reasons = [self.why_unclustered(row) for row in np.flatnonzero(~self.clustered).tolist()]
        return dict(Counter(reason for reason in reasons if reason is not None))

    @cached_property
    def _has_terms(self) -> NDArray[np.bool_]:
        has_terms = np.zeros(self.postings.n_rows, dtype=np.bool_)
        has_terms[self.postings.rows] = True
        return has_terms

    def metrics(self) -> dict[str, int | float]:
        """Return the numbers that describe the fit at a glance."""
        text = self.features.text
        return {
            "n_items": len(self.labels),
            "n_clustered": self.n_clustered,
            "n_features": self.n_features,
            "n_terms": 0
            if (text := self.features.text) is None
            else len(text.vectorizer.vocabulary_),
            "nnz": self.nnz,
            "n_clusters": self.n_clusters,
            "inertia": float(self.info.inertia),
            "n_iter": self.info.n_iter,
        }

    def save(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write the model directory ``path``: the whole of it, or nothing.

        It is written beside ``path`` under a hidden name (``.gpu-kmeans-*``), flushed to
        the disk and renamed. With ``overwrite``, an older model of that name is replaced:
        on Linux both names are exchanged in one step (``renameat2``), so that there is
        always a whole model under ``path``; where the system or the file system cannot do
        that, the old one is renamed away first, and put back if the new one cannot take
        its place. A failure or an interrupt leaves under ``path`` what was there before or,
        in the last moment, the new model, either of them whole. The hidden directory goes in
        every case but a crash, ``kill -9``, or files that the system refuses to delete.

        Raises
        ------
        FileProblem
            ``path`` exists and ``overwrite`` is false, or what exists is not a model
            directory (which is never deleted); its parent is missing; it cannot be written.
        InvalidParam
            The arrays do not fit together.
        """
        from gpu_kmeans.model.storage import save_model

        save_model(self, path, overwrite)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a model directory, checking every byte of it.

        Raises
        ------
        FileProblem
            ``path`` is missing, not a directory, or cannot be opened.
        ModelCorrupt
            The directory is not what :meth:`save` wrote.
        UnsupportedSchema
            It was written by a newer version of this package.
        """
        from gpu_kmeans.model.storage import load_model

        return load_model(cls, path)
