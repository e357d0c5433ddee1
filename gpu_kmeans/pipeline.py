"""The whole flow on one screen: file -> columns -> features -> clusters -> model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.doctor import versions
from gpu_kmeans.backends.protocol import Backend, Callback, Matrix
from gpu_kmeans.backends.select import BackendSpec, choose
from gpu_kmeans.clustering.base import Clustering, check_algorithm, clusterer
from gpu_kmeans.data.catalogue import Catalogue, load_catalogue
from gpu_kmeans.data.matrix_catalogue import load_matrix
from gpu_kmeans.data.roles import DEFAULTS, FEATURES, FeatureRoles
from gpu_kmeans.errors import EmptyVocabulary, InvalidParam, OutOfRange
from gpu_kmeans.features.build import FeatureOptions, build_features
from gpu_kmeans.features.combine import Features
from gpu_kmeans.features.stop_words import stop_words_of
from gpu_kmeans.features.svd import RandomizedSVD
from gpu_kmeans.features.weighting import Weighting
from gpu_kmeans.model import UNCLUSTERED, Model, ModelInfo, Postings, Reduction
from gpu_kmeans.tables.matrices import is_matrix
from gpu_kmeans.tables.paths import check_path
from gpu_kmeans.validation import check_integer

__all__ = ["fit"]

DIRECTIONS = 100
"""Number of directions that texts are projected onto where nothing else is asked for; of fewer
rows or terms, as many as these have."""


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
    analyzer: str = "word",
    ngram_range: tuple[int, int] = (1, 1),
    min_df: int | float = 1,
    max_df: int | float = 1.0,
    max_features: int | None = None,
    sublinear_tf: bool = False,
    weighting: str = "auto",
    scale: str = "standard",
    missing: str = "fill",
    log: Sequence[str] = (),
    rare: float = 0.01,
    normalise: str = "none",
    log1p: bool = False,
    weights: Mapping[str, float] | None = None,
    reduce: int | Literal["auto"] = "auto",
    algorithm: str = "auto",
    max_iter: int = 300,
    callback: Callback | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> Model:
    """Read a table or a matrix, cluster its rows and return everything worth keeping.

    Parameters
    ----------
    movies, credits : path
        CSV, JSON lines, Parquet or Excel; see
        :func:`gpu_kmeans.data.catalogue.load_catalogue`. A matrix is read likewise; see
        :func:`gpu_kmeans.tables.matrices.read_matrix`.
    n_clusters : int
        At most the number of rows that can be clustered: of texts, those with a known term.
    seed : int
        All random draws come from it, on the host: the same on every backend.
    backend : {"auto", "cpu", "gpu"} or Backend
        ``"auto"`` takes the GPU when it can run; which one it was, and why, is kept.
    columns : mapping, optional
        Column arguments of ``load_catalogue``, such as ``{"text": "plot"}`` or ``{"numbers":
        ["age", "income"], "categories": ["plan"]}``. Without them the columns to cluster are
        proposed by what they hold, which the model's warnings say.
    encoding, delimiter : str, optional
        What CSV files are in; see :func:`gpu_kmeans.data.catalogue.load_catalogue`.
    stop_words : "english", str, collection of str, or None
        Words to drop: the English ones, those of a language by its ISO 639-1 code (``"de"``),
        or the words themselves. N-grams of characters drop none.
    analyzer : {"word", "char", "char_wb"}
        What n-grams are made of. Texts of languages that put no spaces between words are
        clustered by n-grams of characters: ``"char"``, with an ``ngram_range`` of (1, 2).
    ngram_range, min_df, max_df, max_features, sublinear_tf
        See :class:`gpu_kmeans.features.tfidf.TfidfVectorizer`.
    weighting : {"auto", "tfidf", "bm25", "log-entropy"}
        What a term weighs in a text; see :mod:`gpu_kmeans.features.weighting`. ``"auto"`` is
        ``"bm25"`` for texts alone, and ``"tfidf"`` beside other columns or with ``sublinear_tf``.
    scale, missing, log
        For numbers: see :class:`gpu_kmeans.features.numbers.NumbersEncoder`.
    rare
        For categories: see :class:`gpu_kmeans.features.categories.CategoriesEncoder`.
    normalise, log1p
        For a matrix: see :class:`gpu_kmeans.features.matrix.MatrixEncoder`.
    weights : mapping, optional
        What the variance of ``"text"``, ``"numbers"``, ``"categories"`` and ``"matrix"`` counts
        beside the others', above 0; 1 for those that are not named.
    reduce : int or "auto"
        Number of directions that rows are projected onto before they are clustered: latent
        semantic analysis of sparse rows, which have length 1 then, and principal components of
        dense ones. 0 clusters the rows as they are. ``"auto"`` is 100 for texts alone, unless an
        ``algorithm`` other than ``"spherical"`` is named, and 0 for everything else.
    algorithm : str
        A name of :data:`gpu_kmeans.clustering.base.ALGORITHMS`, or ``"auto"``: ``"spherical"`` for
        texts alone that are reduced, and ``"hartigan"`` otherwise.
    max_iter : int
        Iterations at most.
    callback : callable, optional
        Told of every iteration; a true answer ends the clustering with what it has reached.
    on_stage : callable, optional
        Told ``"read"``, ``"vectorise"`` and ``"cluster"`` as each begins.

    Notes
    -----
    The defaults for texts are those whose clusters agree best with labels that people gave, on the
    median of several collections: ``python -m bench agreement``, ``bench/results/agreement.md``.
    They make clusters of rather even size: labels that are very uneven are taken apart.
    ``weighting="tfidf", reduce=0`` is the plain recipe, with the lowest inertia on its rows.

    Returns
    -------
    Model
        Its ``labels`` cover all items, with -1 for texts without a known term.

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
    if not _is_auto(reduce):
        check_integer("reduce", reduce, 0)
    columns = _check_columns(columns)
    if not _is_auto(algorithm):
        check_algorithm(algorithm)
    if not _is_auto(weighting):
        Weighting(scheme=weighting, sublinear=sublinear_tf is True)  # refuses what cannot be
    options = FeatureOptions(
        text={
            "stop_words": _stop_words(stop_words, analyzer),
            "analyzer": analyzer,
            "ngram_range": ngram_range,
            "min_df": min_df,
            "max_df": max_df,
            "max_features": max_features,
            "sublinear_tf": sublinear_tf,
        },
        numbers={"scale": scale, "missing": missing, "log": log},
        categories={"rare": rare},
        matrix={"normalise": normalise, "log1p": log1p},
        weights=weights or {},
    )
    for name, function in (("callback", callback), ("on_stage", on_stage)):
        if function is not None and not callable(function):
            raise InvalidParam(f"{name} must be a function, got {type(function).__name__}")
    stages = _Stages(on_stage)
    stages.begin("read")
    device, reason = choose(backend)
    catalogue = _load(movies, credits, columns, encoding, delimiter, device)

    stages.begin("vectorise")
    if weighting == "auto":
        weighting = "tfidf" if sublinear_tf is True or not _is_text(catalogue.roles) else "bm25"
    options = replace(options, text={**options.text, "weighting": weighting})
    features = build_features(catalogue.roles, options, catalogue.feature_names, device)
    try:
        rows = features.fit_transform(catalogue.features, device)
    except EmptyVocabulary as problem:
        names = ", ".join(map(repr, catalogue.roles.texts))
        raise EmptyVocabulary(f"{Path(movies).name}, column {names}: {problem}") from problem
    known, host_rows = _known(features, rows, device)
    _check_enough_rows(n_clusters, known)
    chosen = _choose(_is_text(catalogue.roles), host_rows.shape, reduce, algorithm)
    space, reduction = rows, None
    if chosen.reduce:
        stages.begin("reduce")
        space, reduction = _reduce(rows, host_rows, chosen.reduce, seed, device)

    stages.begin("cluster")
    algorithms = clusterer(
        chosen.algorithm, n_clusters=n_clusters, max_iter=max_iter, seed=seed, callback=callback
    )
    if not known.all():
        space = (host_rows if reduction is None else reduction.rows)[known]
    clustering = algorithms.fit(space, device)
    labels = np.full(len(known), UNCLUSTERED, dtype=np.int32)
    labels[known] = clustering.labels
    stages.end()

    info = ModelInfo(
        backend=device.name,
        backend_reason=reason,
        seed=seed,
        parameters={
            "n_clusters": n_clusters,
            "algorithm": chosen.algorithm,
            "max_iter": max_iter,
            "reduce": chosen.reduce,
            "columns": columns,
        },
        versions=versions(),
        catalogue=catalogue.report.to_dict(),
        seconds=stages.seconds,
        warnings=[
            *catalogue.report.warnings,
            *features.notes,
            *chosen.notes,
            *_fewer_clusters(clustering.labels, n_clusters),
        ],
        inertia=clustering.inertia,
        n_iter=clustering.n_iter,
        history=clustering.history,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Model(
        items=catalogue.to_arrow(),
        features=features,
        rows=Postings.from_csr(host_rows) if hasattr(host_rows, "indptr") else host_rows,
        labels=labels,
        centroids=_centroids(clustering, reduction, host_rows),
        info=info,
        others=catalogue.others,
        reduction=reduction,
    )


def _is_auto(value: object) -> bool:
    """Whether an argument is left to the fit; arrays and the like are not compared."""
    return isinstance(value, str) and value == "auto"


def _stop_words(stop_words: Any, analyzer: str) -> Any:
    """Return the words to drop as the vectorizer takes them."""
    if analyzer != "word":
        return None
    if isinstance(stop_words, str) and stop_words != "english":
        return stop_words_of(stop_words)
    return stop_words


def _load(
    movies: str | PathLike[str],
    credits: str | PathLike[str] | None,
    columns: dict[str, Any],
    encoding: str | None,
    delimiter: str | None,
    backend: Backend,
) -> Catalogue:
    """Read a table, or a file or folder that holds a matrix."""
    path = check_path("movies", movies)
    if not is_matrix(path):
        return load_catalogue(
            path, credits, encoding=encoding, delimiter=delimiter, backend=backend, **columns
        )
    named = [f"columns={columns!r:.60}"] if columns else []
    named += [name for name, value in (("credits", credits), ("delimiter", delimiter)) if value]
    if named:
        raise InvalidParam(f"{path.name} holds a matrix, which has no use for {', '.join(named)}")
    return load_matrix(path, backend)


def _check_columns(columns: Mapping[str, Any] | None) -> dict[str, Any]:
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


def _known(features: Features, rows: Matrix, backend: Backend) -> tuple[NDArray[np.bool_], Any]:
    """Tell which rows can be clustered, and return all on the host.

    Of texts alone, those with a known term: the others would be in a cluster of their own.
    """
    host_rows = backend.to_host(rows)
    if hasattr(host_rows, "indptr"):
        if len(host_rows.data) and not np.isfinite(host_rows.data.astype(np.float32)).all():
            raise OutOfRange("sparse rows hold numbers beyond float32 (about 3.4e38): scale them")
        if features.text is not None and len(features.parts) == 1:
            return np.diff(host_rows.indptr) > 0, host_rows
    return np.ones(host_rows.shape[0], dtype=np.bool_), host_rows


def _is_text(roles: FeatureRoles) -> bool:
    """Whether texts are clustered, and nothing beside them."""
    return bool(roles.texts) and not (roles.numbers or roles.categories or roles.matrix)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What ``"auto"`` stands for, and what a reader of the results should know of it."""

    reduce: int
    algorithm: str
    notes: list[str]


def _choose(
    is_text: bool, shape: tuple[int, int], reduce: int | Literal["auto"], algorithm: str
) -> _Chosen:
    """Return the number of directions and the algorithm for rows of a shape."""
    notes: list[str] = []
    count = 0
    if reduce != "auto":
        count = reduce
    elif is_text and algorithm in ("auto", "spherical"):
        count = min(DIRECTIONS, *shape)
        if count < DIRECTIONS:
            notes = [
                f"texts were projected onto {count} directions, not {DIRECTIONS}: "
                f"there are {shape[0]} rows of {shape[1]} terms"
            ]
    if algorithm == "auto":
        algorithm = "spherical" if is_text and count else "hartigan"
    return _Chosen(count, algorithm, notes)


def _reduce(
    rows: Matrix, host_rows: Any, n_components: int, seed: int, backend: Backend
) -> tuple[Matrix, Reduction]:
    """Return rows projected onto their leading singular vectors, and how that is done."""
    most = min(host_rows.shape)
    if n_components > most:
        raise InvalidParam(
            f"reduce={n_components} is more than the {most} directions that "
            f"{host_rows.shape[0]} rows of {host_rows.shape[1]} features have; choose reduce <= "
            f"{most}, or 0"
        )
    svd = RandomizedSVD(
        n_components,
        normalize=hasattr(host_rows, "indptr"),
        random_state=seed,
        backend=backend,
    )
    reduced = svd.fit_transform(rows)
    return reduced, Reduction.of(svd, reduced)


def _centroids(clustering: Clustering, reduction: Reduction | None, host_rows: Any) -> NDArray[Any]:
    """Return the means in float32 where the rows are; of sparse rows always."""
    means = clustering.means
    rows = host_rows if reduction is None else reduction.rows
    sparse = hasattr(rows, "indptr")
    return np.asarray(means, dtype=np.float32 if sparse else rows.dtype)


def _check_enough_rows(n_clusters: int, known: NDArray[np.bool_]) -> None:
    """Refuse more clusters than usable rows, in the catalogue's terms, before the clustering."""
    usable = int(known.sum())
    if n_clusters > usable:
        unknown = len(known) - usable
        why = f" (of {len(known)} items, {unknown} have no known term)" if unknown else ""
        raise InvalidParam(
            f"n_clusters={n_clusters} is more than the {usable} items that can be clustered"
            f"{why}; choose n_clusters <= {usable}"
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
