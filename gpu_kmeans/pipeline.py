"""The whole flow on one screen: file -> columns -> features -> clusters -> model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.doctor import versions
from gpu_kmeans.backends.protocol import Backend, Callback
from gpu_kmeans.backends.select import BackendSpec, choose
from gpu_kmeans.clustering.base import ALGORITHMS, Clustering, check_rows_suit, clusterer
from gpu_kmeans.data.catalogue import Catalogue
from gpu_kmeans.features.build import FeatureOptions, build_features
from gpu_kmeans.features.combine import Features
from gpu_kmeans.fitting.decisions import check_enough_rows, choose_k, decide
from gpu_kmeans.fitting.encoding import EncodedRows, encode, reduce_rows
from gpu_kmeans.fitting.noise import empty_clusters, settle_noise
from gpu_kmeans.fitting.options import (
    ClusterOptions,
    check_callbacks,
    check_columns,
    is_auto,
    text_options,
)
from gpu_kmeans.fitting.source import read_source
from gpu_kmeans.fitting.stages import Stages
from gpu_kmeans.fitting.trimming import trimmed_fit
from gpu_kmeans.model import UNCLUSTERED, Model, ModelInfo

__all__ = ["fit"]


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
    how = ClusterOptions(n_clusters, seed, reduce, algorithm, noise, trim, max_iter)
    columns = check_columns(columns)
    options = FeatureOptions(
        text=text_options(
            stop_words=stop_words,
            analyzer=analyzer,
            ngram_range=ngram_range,
            min_df=min_df,
            max_df=max_df,
            max_features=max_features,
            sublinear_tf=sublinear_tf,
            weighting=weighting,
        ),
        numbers={"scale": scale, "missing": missing, "log": log},
        categories={"rare": rare},
        matrix={"normalise": normalise, "log1p": log1p},
        weights=weights or {},
    )
    check_callbacks(callback=callback, on_stage=on_stage)
    stages = Stages(on_stage)
    stages.begin("read")
    device, reason = choose(backend)
    catalogue = read_source(movies, credits, columns, encoding, delimiter, device)
    features = _features(catalogue, options, device)
    flow = _Flow(
        Path(movies).name, columns, catalogue, features, how, device, reason, stages, callback
    )
    return trimmed_fit(flow.run, trim, device) if trim else flow.run(None)


def _features(catalogue: Catalogue, options: FeatureOptions, backend: Backend) -> Features:
    """Return the encoders of a catalogue's columns; texts alone are weighed by BM25."""
    if is_auto(options.text["weighting"]):
        plain = options.text["sublinear_tf"] is True or not catalogue.roles.is_text
        options = replace(options, text={**options.text, "weighting": "tfidf" if plain else "bm25"})
    return build_features(catalogue.roles, options, catalogue.feature_names, backend)


@dataclass(frozen=True, eq=False)
class _Flow:
    """From a catalogue to a model: a trimmed fit goes this way several times."""

    file: str
    columns: dict[str, Any]
    catalogue: Catalogue
    features: Features
    how: ClusterOptions
    backend: Backend
    backend_reason: str
    stages: Stages
    callback: Callback | None

    def run(self, inside: NDArray[np.bool_] | None) -> Model:
        """Make a model whose means the rows of ``inside`` alone have a say in; None means all."""
        catalogue, features, how, backend = self.catalogue, self.features, self.how, self.backend
        self.stages.begin("vectorise")
        encoded = encode(self.file, catalogue, features, backend, inside)
        is_text = catalogue.roles.is_text
        decision = decide(is_text, encoded.host.shape, how.reduce, how.algorithm)
        notes = [*catalogue.report.warnings, *features.notes, *decision.notes]
        is_sparse = hasattr(encoded.host, "indptr") and not decision.reduce
        check_rows_suit(
            decision.algorithm, int(encoded.known.sum()), is_sparse, encoded.host.shape[1]
        )
        if decision.reduce:
            self.stages.begin("reduce")
            encoded = reduce_rows(encoded, decision.reduce, how.seed, backend)
        k, why = self._count(encoded, decision.algorithm)
        self.stages.begin("cluster")
        method = clusterer(
            decision.algorithm,
            n_clusters=k or 1,
            max_iter=how.max_iter,
            seed=how.seed,
            callback=self.callback,
        )
        clustering = method.fit(encoded.chosen, backend)
        clustering, noise_notes = settle_noise(clustering, encoded.chosen, how.noise, backend)
        self.stages.end()
        notes += [*why, *noise_notes, *empty_clusters(clustering, k)]
        parameters = {
            "n_clusters": how.n_clusters,
            "algorithm": decision.algorithm,
            "max_iter": how.max_iter,
            "reduce": decision.reduce,
            "trim": how.trim,
            "columns": self.columns,
        }
        return self._model(encoded, clustering, parameters, notes)

    def _count(self, encoded: EncodedRows, algorithm: str) -> tuple[int | None, list[str]]:
        """Return the number of clusters to make, None where the algorithm finds it, and why."""
        if ALGORITHMS[algorithm].finds_k:
            return None, []
        if is_auto(self.how.n_clusters):
            self.stages.begin("choose")
            k, why = choose_k(encoded, self.features, self.how.seed, self.backend)
            return k, [why]
        k = int(self.how.n_clusters)
        check_enough_rows(k, encoded)
        return k, []

    def _model(
        self,
        encoded: EncodedRows,
        clustering: Clustering,
        parameters: dict[str, Any],
        notes: list[str],
    ) -> Model:
        labels = np.full(len(encoded.known), UNCLUSTERED, dtype=np.int32)
        labels[encoded.known] = clustering.labels
        info = ModelInfo(
            backend=self.backend.name,
            backend_reason=self.backend_reason,
            seed=self.how.seed,
            parameters=parameters,
            versions=versions(),
            catalogue=self.catalogue.report.to_dict(),
            seconds=self.stages.seconds,
            warnings=notes,
            inertia=clustering.inertia,
            n_iter=clustering.n_iter,
            history=clustering.history,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        return Model(
            items=self.catalogue.to_arrow(),
            features=self.features,
            rows=encoded.kept,
            labels=labels,
            centroids=np.asarray(clustering.means, dtype=encoded.means_dtype),
            info=info,
            others=self.catalogue.others,
            reduction=encoded.reduction,
        )
