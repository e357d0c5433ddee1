"""The whole flow on one screen: files -> catalogue -> weighted terms -> clusters -> model."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.doctor import versions
from gpu_kmeans.backends.protocol import Callback
from gpu_kmeans.backends.select import BackendSpec, choose
from gpu_kmeans.clustering.kmeans import ALGORITHMS, FewerClustersWarning, KMeans
from gpu_kmeans.data.catalogue import load_catalogue
from gpu_kmeans.data.roles import DEFAULTS
from gpu_kmeans.errors import EmptyVocabulary, InvalidParam
from gpu_kmeans.features.tfidf import TfidfVectorizer
from gpu_kmeans.features.weighting import Weighting
from gpu_kmeans.model import UNCLUSTERED, Model, ModelInfo, Postings
from gpu_kmeans.validation import check_integer

__all__ = ["fit"]


def fit(
    movies: str | PathLike[str],
    credits: str | PathLike[str] | None = None,
    *,
    n_clusters: int = 10,
    seed: int = 42,
    backend: BackendSpec = "auto",
    columns: Mapping[str, Any] | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    stop_words: Any = "english",
    ngram_range: tuple[int, int] = (1, 1),
    min_df: int | float = 1,
    max_df: int | float = 1.0,
    max_features: int | None = None,
    sublinear_tf: bool = False,
    weighting: str = "tfidf",
    algorithm: Literal["hartigan", "lloyd"] = "hartigan",
    max_iter: int = 300,
    callback: Callback | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> Model:
    """Read a catalogue, cluster its texts and return everything worth keeping.

    Parameters
    ----------
    movies, credits : path
        CSV, JSON lines, Parquet or Excel; see
        :func:`gpu_kmeans.data.catalogue.load_catalogue`.
    n_clusters : int
        At most the number of rows with at least one known term.
    seed : int
        All random draws come from it, on the host: the same on every backend.
    backend : {"auto", "cpu", "gpu"} or Backend
        ``"auto"`` takes the GPU when it can run; which one it was, and why, is kept.
    columns : mapping, optional
        Column arguments of ``load_catalogue``, such as ``{"text": "plot"}``.
    encoding, delimiter : str, optional
        What CSV files are in; see :func:`gpu_kmeans.data.catalogue.load_catalogue`.
    stop_words, ngram_range, min_df, max_df, max_features, sublinear_tf, weighting
        See :class:`gpu_kmeans.features.tfidf.TfidfVectorizer`.
    algorithm, max_iter
        See :class:`gpu_kmeans.clustering.kmeans.KMeans`.
    callback : callable, optional
        Told of every iteration; a true answer ends the clustering with what it has reached.
    on_stage : callable, optional
        Told ``"read"``, ``"vectorise"`` and ``"cluster"`` as each begins.

    Returns
    -------
    Model
        Its ``labels`` cover all items, with -1 for rows without a known term.

    Raises
    ------
    InputError
        The data or an argument cannot be used; :mod:`gpu_kmeans.errors` lists the kinds.
    BackendUnavailable
        ``backend="gpu"`` and it cannot run here.
    """
    check_integer("n_clusters", n_clusters, 1)
    check_integer("seed", seed, 0)
    check_integer("max_iter", max_iter, 1)
    columns = _check_columns(columns)
    _check_algorithm(algorithm)
    Weighting(scheme=weighting, sublinear=sublinear_tf is True)  # refuses what cannot be
    for name, told in (("callback", callback), ("on_stage", on_stage)):
        if told is not None and not callable(told):
            raise InvalidParam(f"{name} must be a function, got {type(told).__name__}")
    stages = _Stages(on_stage)
    stages.begin("read")
    device, reason = choose(backend)
    catalogue = load_catalogue(
        movies, credits, encoding=encoding, delimiter=delimiter, backend=device, **columns
    )

    stages.begin("vectorise")
    vectorizer = TfidfVectorizer(
        stop_words=stop_words,
        ngram_range=ngram_range,
        min_df=min_df,
        max_df=max_df,
        max_features=max_features,
        sublinear_tf=sublinear_tf,
        weighting=weighting,
        backend=device,
    )
    try:
        rows = vectorizer.fit_transform(catalogue.texts)
    except EmptyVocabulary as problem:
        column = columns.get("text", catalogue.report.proposed.get("text", DEFAULTS["text"]))
        raise EmptyVocabulary(f"{Path(movies).name}, column {column!r}: {problem}") from problem
    host_rows = device.to_host(rows)
    known = np.diff(host_rows.indptr) > 0
    _check_enough_rows(n_clusters, known)

    stages.begin("cluster")
    kmeans = KMeans(
        n_clusters,
        algorithm=algorithm,
        max_iter=max_iter,
        random_state=seed,
        backend=device,
        callback=callback,
    )
    with warnings.catch_warnings():
        # Kept with the model, in the catalogue's terms. All others go to the caller as usual.
        warnings.simplefilter("ignore", FewerClustersWarning)
        kmeans.fit(rows if known.all() else host_rows[known])
    labels = np.full(len(known), UNCLUSTERED, dtype=np.int32)
    labels[known] = kmeans.labels_
    stages.end()

    info = ModelInfo(
        backend=device.name,
        backend_reason=reason,
        seed=seed,
        parameters={
            "n_clusters": n_clusters,
            "algorithm": algorithm,
            "max_iter": max_iter,
            "columns": columns,
        },
        versions=versions(),
        catalogue=catalogue.report.to_dict(),
        seconds=stages.seconds,
        warnings=[*catalogue.report.warnings, *_fewer_clusters(kmeans.labels_, n_clusters)],
        inertia=kmeans.inertia_,
        n_iter=kmeans.n_iter_,
        history=[(each.stage, each.iteration, each.inertia) for each in kmeans.history_],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Model(
        items=catalogue.to_arrow(),
        vectorizer=vectorizer,
        postings=Postings.from_csr(host_rows),
        labels=labels,
        centroids=np.asarray(kmeans.cluster_centers_, dtype=np.float32),
        info=info,
    )


def _check_columns(columns: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the column arguments of ``load_catalogue``, each of a name that it has."""
    if columns is None:
        return {}
    roles = ", ".join(DEFAULTS)
    if not isinstance(columns, Mapping):
        raise InvalidParam(
            f"columns must map roles ({roles}) to names of columns, such as "
            f"{{'text': 'plot'}}, got {columns!r:.60}"
        )
    unknown = [role for role in columns if role not in DEFAULTS]
    if unknown:
        raise InvalidParam(f"columns has no role {unknown[0]!r:.60}; the roles are {roles}")
    return dict(columns)


def _check_algorithm(algorithm: object) -> None:
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InvalidParam(
            f"algorithm must be one of {', '.join(ALGORITHMS)}, got {algorithm!r:.60}"
        )


def _check_enough_rows(n_clusters: int, known: NDArray[np.bool_]) -> None:
    """Refuse more clusters than usable rows, in the catalogue's terms, before the clustering."""
    usable = int(known.sum())
    if n_clusters > usable:
        raise InvalidParam(
            f"n_clusters={n_clusters} is more than the {usable} items that can be clustered "
            f"(of {len(known)} items, {len(known) - usable} have no known term); "
            f"choose n_clusters <= {usable}"
        )


def _fewer_clusters(labels: NDArray[np.int32], n_clusters: int) -> list[str]:
    """Say it where some clusters have no items, as when there are few distinct texts."""
    found = len(np.unique(labels))
    if found == n_clusters:
        return []
    has = "has" if found == 1 else "have"
    return [f"{found} of {n_clusters} clusters {has} items; the others are empty"]


class _Stages:
    """Tells which stage begins and keeps how long each took, in wall-clock seconds."""

    def __init__(self, tell: Callable[[str], None] | None) -> None:
        self.seconds: dict[str, float] = {}
        self._tell = tell
        self._name = ""
        self._start = self._began = time.perf_counter()

    def begin(self, name: str) -> None:
        self._finish()
        self._name = name
        if self._tell is not None:
            self._tell(name)

    def end(self) -> None:
        self._finish()
        self.seconds["total"] = self._began - self._start

    def _finish(self) -> None:
        now = time.perf_counter()
        if self._name:
            self.seconds[self._name] = now - self._began
        self._began = now
