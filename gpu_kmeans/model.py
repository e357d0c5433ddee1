"""A fitted model: what recommending, judging and showing needs, and how it came about.

The arrays are host arrays, whichever backend fitted them, so a model loads anywhere.
:mod:`gpu_kmeans.model_directory` keeps it on the disk; loading imports pyarrow and
safetensors, but no pandas, SciPy or FAISS.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from os import PathLike
from types import NoneType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

    from gpu_kmeans.text import TfidfVectorizer

__all__ = [
    "NO_KNOWN_TERM",
    "NO_TEXT",
    "SCHEMA_VERSION",
    "SET_APART",
    "UNCLUSTERED",
    "Model",
    "ModelInfo",
    "Postings",
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

_AT_ONCE = 1 << 20
SCHEMA_VERSION = 1
"""Raised by one when a model directory changes so that older versions cannot read it."""


@dataclass(frozen=True, eq=False)
class Postings:
    """The TF-IDF matrix by term (CSC), so that a query touches only the terms it has.

    Attributes
    ----------
    indptr : ndarray of shape (n_terms + 1,), int64
        The postings of term ``j`` stand at ``indptr[j]:indptr[j + 1]``.
    rows : ndarray of shape (nnz,), int32
        Rows that contain the term, rising within a term.
    values : ndarray of shape (nnz,), float32
    n_rows : int
    """

    indptr: NDArray[np.int64]
    rows: NDArray[np.int32]
    values: NDArray[np.float32]
    n_rows: int

    @classmethod
    def from_csr(cls, csr: Any) -> Self:
        """Reorder SciPy CSR rows of shape (n_rows, n_terms)."""
        csc = csr.tocsc()
        csc.sum_duplicates()
        return cls(
            indptr=csc.indptr.astype(np.int64, copy=False),
            rows=csc.indices.astype(np.int32, copy=False),
            values=csc.data.astype(np.float32, copy=False),
            n_rows=int(csr.shape[0]),
        )

    def row_sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Sum one value for each posting over the rows: shape (n_rows,).

        Some at a time: ``bincount`` lets no other thread run, and there may be millions.
        """
        sums = np.zeros(self.n_rows)
        for start in range(0, len(values), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            sums += np.bincount(self.rows[part], weights=values[part], minlength=self.n_rows)
        return sums

    def to_csr(self) -> Any:
        """Return the rows as a SciPy ``csr_matrix`` of float32."""
        from scipy.sparse import csc_matrix

        shape = (self.n_rows, len(self.indptr) - 1)
        return csc_matrix((self.values, self.rows, self.indptr), shape=shape).tocsr()


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
        Columns of the catalogue: ``id`` and ``text``, and those present of ``title``,
        ``popularity``, ``rating``, ``votes``, ``keywords``, ``genres``, ``date``, ...
    vectorizer : TfidfVectorizer
        Fitted; its terms are the columns of the arrays below.
    postings : Postings
        TF-IDF rows of the items.
    labels : ndarray of shape (n,), int32
        Cluster of each item; ``UNCLUSTERED`` (-1) for an item in none.
    centroids : ndarray of shape (k, n_terms), float32
    info : ModelInfo
    """

    items: pa.Table
    vectorizer: TfidfVectorizer
    postings: Postings
    labels: NDArray[np.int32]
    centroids: NDArray[np.float32]
    info: ModelInfo

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
        if self._has_terms[row]:
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
        return {
            "n_items": len(self.labels),
            "n_clustered": self.n_clustered,
            "n_terms": int(self.centroids.shape[1]),
            "nnz": len(self.postings.rows),
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
        from gpu_kmeans.model_directory import save_model

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
        from gpu_kmeans.model_directory import load_model

        return load_model(cls, path)
