"""Options of the command line that say how a file is read and encoded, as arguments of a fit."""

from __future__ import annotations

import argparse
from typing import Any

from gpu_kmeans.data.roles import FEATURES, ROLES

__all__ = ["fit_options"]


def fit_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of a fit that say how a file is read and encoded, and by what."""
    return {
        "backend": options.backend,
        "columns": _columns(options),
        "encoding": options.encoding,
        "delimiter": options.delimiter,
        "stop_words": options.stop_words,
        "analyzer": options.analyzer,
        "ngram_range": tuple(options.ngrams),
        "min_df": options.min_df,
        "max_df": options.max_df,
        "max_features": options.max_features,
        "sublinear_tf": options.sublinear_tf,
        "weighting": options.weighting,
        "scale": options.scale,
        "missing": options.missing,
        "log": options.log,
        "rare": options.rare,
        "normalise": options.normalise,
        "log1p": options.log1p,
        "weights": dict(options.weight),
        "reduce": options.reduce,
        "algorithm": options.algorithm,
        "max_iter": options.max_iter,
    }


def _columns(options: argparse.Namespace) -> dict[str, Any]:
    """Return the column arguments that were given; an empty name leaves a column out."""
    named = {name: getattr(options, f"column_{name}") for name in (*ROLES, *FEATURES)}
    if named["text"] is not None and len(named["text"]) == 1:
        named["text"] = named["text"][0]
    return {name: columns or None for name, columns in named.items() if columns is not None}
