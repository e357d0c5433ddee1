"""Parameters of a fit, held to each other and to the data before the fit waits for its turn.

What is certain to fail must not hold the place of a fit that would not. Only what is known for
certain is refused: the terms of a fit are counted exactly where no bound on their frequency
takes any away, and otherwise are left for the fit to count.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from gpu_kmeans.clustering.base import ALGORITHMS, check_rows_suit
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.features.base import DIRECTIONS
from gpu_kmeans.features.stop_words import stop_words_of
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.schemas import Parameters
from gpu_kmeans.service.settings import Settings

__all__ = ["check_parameters"]

UNKNOWN = 2**62
"""Number of features where nobody knows a bound."""
CENTROID_COPIES = 2
"""Copies of the centroids that a fit holds at once at least: its own, and what is written."""


def check_parameters(asked: Parameters, about: dict[str, Any], settings: Settings) -> None:
    """Refuse what cannot be fitted on a dataset.

    Parameters
    ----------
    asked : Parameters
        Each within its own domain.
    about : dict
        What the registry says of the dataset: ``rows``; ``words`` where it has texts; and
        ``clustered`` and ``features``, unless an earlier release has checked it.
    settings : Settings

    Raises
    ------
    Problem
        422 ``invalid_param``, with both numbers.
    InvalidParam
        There is no list of the stop words.
    """
    rows, words = about["rows"], about.get("words")
    if asked.sublinear_tf and asked.weighting not in ("auto", "tfidf"):
        raise _refusal(
            f"sublinear_tf=true belongs to weighting=tfidf: {asked.weighting} has its own way to "
            "weigh counts"
        )
    _stop_words(asked)
    clustered = about.get("clustered")
    others = clustered is not None and [k for k in clustered if k != "text" and clustered[k]]
    if asked.algorithm == "auto" or not ALGORITHMS[asked.algorithm].finds_k:
        _check_clusters(asked, rows, None if others else words)
    _check_rows_suit(asked, rows, words, others)
    if clustered is not None:
        _check_names(asked, clustered, about["features"])
    if clustered is None or clustered["text"]:
        _check_frequencies(asked, rows)
    most = _most_features(asked, about)
    if asked.reduce != "auto" and asked.reduce > min(rows, most):
        raise _refusal(
            f"reduce={asked.reduce} is more than the {min(rows, most)} directions that {rows} rows"
            f"{'' if most > rows else f' of {most} features'} have at most: use fewer, or 0"
        )
    if words is not None and asked.analyzer == "word":
        shortest = asked.ngram_range[0]
        if shortest > words["longest"]:
            raise _refusal(
                f"ngram_range={list(asked.ngram_range)} asks for runs of at least {shortest} "
                f"words, and no text has more than {words['longest']}"
            )
    width = about.get("features", {}).get("width", 0)
    terms = 0 if words is None else _fewest_terms(asked, rows, words["different"])
    is_text = words is not None and not others
    features = terms + width
    if asked.reduce != "auto":
        features = asked.reduce or features
    elif is_text and asked.algorithm in ("auto", "spherical"):
        features = min(DIRECTIONS, rows, features)
    _check_memory(asked, features, settings)


def _check_rows_suit(
    asked: Parameters, rows: int, words: dict[str, int] | None, others: object
) -> None:
    """Refuse an algorithm whose fit would refuse the rows.

    Texts alone are sparse rows unless they are reduced; what stands beside others may be dense.
    """
    if asked.algorithm == "auto":
        return
    is_text = words is not None and not others
    # Directions are the default of texts that are left to an algorithm of theirs.
    is_sparse = is_text and asked.reduce in (0, "auto") and asked.algorithm != "spherical"
    usable = words["texts"] if words is not None and not others else rows
    try:
        check_rows_suit(asked.algorithm, usable, is_sparse)
    except InvalidParam as problem:
        raise _refusal(str(problem)) from None


def _check_names(asked: Parameters, clustered: dict[str, Any], features: dict[str, Any]) -> None:
    """Refuse parameters of what is not clustered."""
    kinds = [kind for kind, columns in clustered.items() if columns]
    for kind in asked.weights:
        if kind not in kinds:
            raise _refusal(
                f"weights names {kind}, and of this dataset {' and '.join(kinds)} are clustered"
            )
    numbers = clustered["numbers"]
    for column in asked.log:
        if column not in numbers:
            listed = ", ".join(repr(name[:60]) for name in numbers[:10]) or "none"
            raise _refusal(
                f"log names the column {column[:60]!r}, which is not clustered as a number: "
                f"{listed}"
            )
    if asked.missing == "refuse" and features["missing"]:
        column, count = next(iter(features["missing"].items()))
        raise _refusal(
            f"missing=refuse, and column {column[:60]!r} lacks {count} numbers: fill them, or use "
            "missing=fill or missing=flag"
        )


def _most_features(asked: Parameters, about: dict[str, Any]) -> int:
    """Return how many features the fit will have at most."""
    clustered, words = about.get("clustered"), about.get("words")
    is_counted = asked.analyzer == "word" and asked.ngram_range[1] == 1
    if clustered is None or (words is not None and not is_counted):
        return UNKNOWN
    features = about["features"]
    flags = len(features["missing"]) if asked.missing == "flag" else 0
    terms = 0 if words is None else min(words["different"], asked.max_features or UNKNOWN)
    return int(terms + len(clustered["numbers"]) + flags + features["values"] + features["width"])


def _check_clusters(asked: Parameters, rows: int, words: dict[str, int] | None) -> None:
    k = asked.n_clusters
    if k == "auto":
        return
    if k > rows:
        raise _refusal(f"n_clusters={k} is more than the {rows} rows of the dataset")
    if words is not None and k > words["texts"]:
        raise _refusal(
            f"n_clusters={k} is more than the {words['texts']} rows of the dataset that have a "
            f"text with a word (of {rows})"
        )


def _check_frequencies(asked: Parameters, rows: int) -> None:
    """Read the bounds as scikit-learn does: an integer counts texts, a float is a share."""
    low, high = _texts(asked.min_df, rows), _texts(asked.max_df, rows)
    if low > high:
        raise _refusal(
            f"min_df={asked.min_df} asks for at least {low:g} of {rows} texts and "
            f"max_df={asked.max_df} allows at most {high:g}: no term can be both"
        )
    if high < 1:
        raise _refusal(
            f"max_df={asked.max_df} allows at most {high:g} of {rows} texts, and every term is in "
            "one at least"
        )


def _check_memory(asked: Parameters, features: int, settings: Settings) -> None:
    k = 1 if asked.n_clusters == "auto" else asked.n_clusters
    centroids = 4 * k * features
    for needed, most, setting in (
        (CENTROID_COPIES * centroids, settings.fit_memory_bytes, "fit_memory_bytes"),
        (centroids, settings.max_model_bytes, "max_model_bytes"),
    ):
        if needed > most:
            raise _refusal(
                f"n_clusters={k} centroids of at least {features} features need "
                f"{needed} bytes of memory, more than the {most} allowed ({setting}): use fewer "
                "clusters, or fewer features (max_features, min_df, reduce)"
            )


def _fewest_terms(asked: Parameters, rows: int, different: int) -> int:
    """Terms that the fit will have at least; 0 where that is not known."""
    all_kept = _texts(asked.min_df, rows) <= 1 and _texts(asked.max_df, rows) >= rows
    if asked.ngram_range[0] > 1 or asked.analyzer != "word" or not all_kept:
        return 0
    terms = different - len(_stop_words(asked))
    return max(0, terms if asked.max_features is None else min(terms, asked.max_features))


def _stop_words(asked: Parameters) -> Collection[str]:
    """Return the words to drop.

    Raises
    ------
    InvalidParam
        There is no list of the language.
    """
    words = asked.stop_words
    return stop_words_of(words) if isinstance(words, str) else words or ()


def _texts(bound: int | float, rows: int) -> int | float:
    return bound if isinstance(bound, int) else bound * rows


def _refusal(detail: str) -> Problem:
    return Problem(422, "invalid_param", detail)
