"""The whole flow on one screen: file -> columns -> features -> clusters -> model."""

from __future__ import annotations

import math
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
from gpu_kmeans.clustering.base import ALGORITHMS, Clustering, check_algorithm, clusterer
from gpu_kmeans.clustering.choose import candidate_counts, choose_clusters
from gpu_kmeans.clustering.distances import nearest
from gpu_kmeans.data.catalogue import Catalogue, load_catalogue
from gpu_kmeans.data.matrix_catalogue import load_matrix
from gpu_kmeans.data.roles import DEFAULTS, FEATURES, FeatureRoles
from gpu_kmeans.errors import EmptyVocabulary, InvalidParam, OutOfRange
from gpu_kmeans.features.base import DIRECTIONS
from gpu_kmeans.features.build import FeatureOptions, build_features
from gpu_kmeans.features.combine import Features
from gpu_kmeans.features.stop_words import stop_words_of
from gpu_kmeans.features.svd import RandomizedSVD
from gpu_kmeans.features.weighting import Weighting
from gpu_kmeans.model import UNCLUSTERED, Model, ModelInfo, Postings, Reduction
from gpu_kmeans.model.outliers import outliers
from gpu_kmeans.model.rows import Rows
from gpu_kmeans.tables.matrices import is_matrix
from gpu_kmeans.tables.paths import check_path
from gpu_kmeans.validation import check_integer, check_number

__all__ = ["fit"]

NOISE = ("apart", "nearest")
"""What becomes of rows that an algorithm puts into no cluster."""
AUTO: Literal["auto"] = "auto"
"""In the place of a number of clusters: look for one that stands out."""
USUAL_CLUSTERS = 10
"""Number of clusters where none stands out."""
MOST_AUTO = 50
"""Largest number of clusters that is looked at."""
ROWS_A_CLUSTER = 3
"""Number of rows for each cluster at least, of those that are looked at."""
MOST_TRIM = 0.5
"""Share of the rows that a trimmed fit must leave out less than."""
MOST_TRIMS = 5
"""Maximum number of fits after the first, of a trimmed one."""
MUCH_NOISE = 0.25
"""Share of the rows beyond which noise is a reason to doubt the algorithm."""


def fit(
    movies: str | PathLike[str],
    credits: str | PathLike[str] | None = None,
    *,
    n_clusters: int | Literal["auto"] = 10,
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
    noise: str = "apart",
    trim: float = 0.0,
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
    n_clusters : int or "auto"
        At most the number of rows that can be clustered: of texts, those with a known term.
        ``"auto"`` looks for a number that stands out
        (:func:`gpu_kmeans.clustering.choose.choose_clusters`), and takes 10 where none does.
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
    noise : {"apart", "nearest"}
        What becomes of rows that the algorithm puts into no cluster: they stay apart, or go to the
        cluster of the nearest mean.
    trim : float
        Share of the rows, from 0 to below 0.5, that are in no cluster and have no say in the means
        and in the scale of numbers: those that fit worst.
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
    if not _is_auto(n_clusters):
        check_integer("n_clusters", n_clusters, 1)
    check_integer("seed", seed, 0)
    check_integer("max_iter", max_iter, 1)
    if not _is_auto(reduce):
        check_integer("reduce", reduce, 0)
    if check_number("trim", trim, 0.0) >= MOST_TRIM:
        raise InvalidParam(f"trim must be a share of the rows below {MOST_TRIM}, got {trim}")
    columns = _check_columns(columns)
    if not _is_auto(algorithm):
        check_algorithm(algorithm)
    if noise not in NOISE:
        raise InvalidParam(f"noise must be one of {', '.join(NOISE)}, got {noise!r:.60}")
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
    if _is_auto(weighting):
        weighting = "tfidf" if sublinear_tf is True or not _is_text(catalogue.roles) else "bm25"
    options = replace(options, text={**options.text, "weighting": weighting})
    features = build_features(catalogue.roles, options, catalogue.feature_names, device)

    def cluster(inside: NDArray[np.bool_] | None) -> Model:
        """Make a model whose means the rows of ``inside`` alone have a say in."""
        stages.begin("vectorise")
        encoded = _encode(Path(movies).name, catalogue, features, device, inside)
        chosen = _choose(_is_text(catalogue.roles), encoded.host.shape, reduce, algorithm)
        notes = [*catalogue.report.warnings, *features.notes, *chosen.notes]
        if chosen.reduce:
            stages.begin("reduce")
            encoded = _reduced(encoded, chosen.reduce, seed, device)
        k: int | None = None if ALGORITHMS[chosen.algorithm].finds_k else 0
        if _is_auto(n_clusters) and k is not None:
            stages.begin("choose")
            k, why = _choose_k(encoded, features, seed, device)
            notes.append(why)
        elif k is not None:
            k = int(n_clusters)
            _check_enough_rows(k, encoded)
        stages.begin("cluster")
        method = clusterer(
            chosen.algorithm, n_clusters=k or 1, max_iter=max_iter, seed=seed, callback=callback
        )
        clustering = method.fit(encoded.chosen, device)
        clustering, noise_notes = _settle_noise(clustering, encoded.chosen, noise, device)
        notes += [*noise_notes, *_fewer_clusters(clustering, k)]
        labels = np.full(len(encoded.known), UNCLUSTERED, dtype=np.int32)
        labels[encoded.known] = clustering.labels
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
                "trim": trim,
                "columns": columns,
            },
            versions=versions(),
            catalogue=catalogue.report.to_dict(),
            seconds=stages.seconds,
            warnings=notes,
            inertia=clustering.inertia,
            n_iter=clustering.n_iter,
            history=clustering.history,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        return Model(
            items=catalogue.to_arrow(),
            features=features,
            rows=encoded.kept,
            labels=labels,
            centroids=np.asarray(clustering.means, dtype=encoded.means_dtype),
            info=info,
            others=catalogue.others,
            reduction=encoded.reduction,
        )

    return _trimmed(cluster, trim, device) if trim else cluster(None)


@dataclass(frozen=True, eq=False)
class _Encoded:
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


def _encode(
    name: str,
    catalogue: Catalogue,
    features: Features,
    backend: Backend,
    inside: NDArray[np.bool_] | None,
) -> _Encoded:
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
    return _Encoded(rows, host, known)


def _reduced(encoded: _Encoded, n_components: int, seed: int, backend: Backend) -> _Encoded:
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


def _choose_k(
    encoded: _Encoded, features: Features, seed: int, backend: Backend
) -> tuple[int, str]:
    """Return the number of clusters that stands out, or the usual one, and what speaks for it."""
    n = int(encoded.known.sum())
    counts = candidate_counts(min(2, n), max(2, min(MOST_AUTO, n // ROWS_A_CLUSTER)))
    is_text = features.text is not None
    choice = choose_clusters(
        backend.to_host(encoded.chosen),
        backend,
        [k for k in counts if k <= n],
        metric="cosine" if is_text else "euclidean",
        seed=seed,
    )
    if choice.recommended:
        return choice.recommended[0], f"n_clusters='auto': {choice.reason}"
    usual = min(USUAL_CLUSTERS, n)
    return usual, f"n_clusters='auto': {choice.reason}; {usual} were made"


def _trimmed(
    cluster: Callable[[NDArray[np.bool_] | None], Model], trim: float, backend: Backend
) -> Model:
    """Fit again and again without the rows that fit worst, until they are the same ones.

    Cuesta-Albertos, Gordaliza and Matran, Trimmed k-means: an attempt to robustify quantizers,
    1997.
    """
    model = cluster(None)
    trimmed = np.zeros(len(model.labels), dtype=np.bool_)
    for _ in range(MOST_TRIMS):
        worst = outliers(model, backend=backend).first(math.ceil(trim * model.items.num_rows))
        again = np.zeros(len(trimmed), dtype=np.bool_)
        again[worst] = True
        if np.array_equal(again, trimmed):
            break
        trimmed, model = again, cluster(~again)
    note = f"{int(trimmed.sum())} rows that fit worst have no say in the means (trim={trim:g})"
    info = replace(model.info, warnings=[*model.info.warnings, note])
    return replace(model, info=info)


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


def _check_enough_rows(n_clusters: int, encoded: _Encoded) -> None:
    """Refuse more clusters than usable rows, in the catalogue's terms, before the clustering."""
    usable, n = int(encoded.known.sum()), len(encoded.known)
    if n_clusters > usable:
        why = f" (of {n} items, {n - usable} have no known term)" if usable < n else ""
        raise InvalidParam(
            f"n_clusters={n_clusters} is more than the {usable} items that can be clustered"
            f"{why}; choose n_clusters <= {usable}"
        )


def _settle_noise(
    clustering: Clustering, rows: Matrix, noise: str, backend: Backend
) -> tuple[Clustering, list[str]]:
    """Leave rows in no cluster there, or put them into the nearest; say how many they are."""
    apart = np.flatnonzero(clustering.labels == UNCLUSTERED)
    if not len(apart):
        return clustering, []
    n = len(clustering.labels)
    counts = f"{len(apart)} of {n} rows are noise, in no dense region"
    if noise == "nearest":
        labels = clustering.labels.copy()
        labels[apart] = nearest(backend, backend.to_host(rows)[apart], clustering.means)
        return replace(clustering, labels=labels), [f"{counts}: they went to the nearest cluster"]
    much = "; another algorithm may suit them better" if len(apart) > MUCH_NOISE * n else ""
    return clustering, [
        f"{counts}, and are in no cluster{much}; noise='nearest' (--noise nearest) puts them into "
        "the nearest"
    ]


def _fewer_clusters(clustering: Clustering, n_clusters: int | None) -> list[str]:
    """Say it where some clusters have no items, as when there are few distinct texts."""
    occupied = len(np.unique(clustering.labels[clustering.labels != UNCLUSTERED]))
    if n_clusters is None or occupied == n_clusters:
        return []
    has = "has" if occupied == 1 else "have"
    return [f"{occupied} of {n_clusters} clusters {has} items; the others are empty"]


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
            self.seconds[self._name] = self.seconds.get(self._name, 0.0) + now - self._began
        self._began = now
