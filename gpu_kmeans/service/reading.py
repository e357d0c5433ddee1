"""What was uploaded, read as a fit reads it, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpu_kmeans.backends.protocol import TokenRules
from gpu_kmeans.backends.select import resolve
from gpu_kmeans.data.catalogue import Catalogue, load_catalogue
from gpu_kmeans.data.matrix_catalogue import load_matrix
from gpu_kmeans.data.roles import DEFAULTS
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.tables.matrices import is_matrix

__all__ = ["describe_dataset", "read_dataset"]


def read_dataset(
    paths: Sequence[Path],
    columns: Mapping[str, Any],
    encoding: str | None = None,
    delimiter: str | None = None,
) -> Catalogue:
    """Read the items of a dataset, and its credits where there are any.

    Parameters
    ----------
    paths : sequence of one or two Path
    columns : mapping
        Columns by their roles, as they were named.
    encoding, delimiter : str or None
        Of files of texts, as they were named.

    Raises
    ------
    InputError
        A file cannot be used.
    """
    items, *credits = paths
    if not is_matrix(items):
        return load_catalogue(
            items, *credits, **columns, encoding=encoding, delimiter=delimiter, backend="cpu"
        )
    named = [*columns, *(["delimiter"] if delimiter else []), *(["credits"] if credits else [])]
    if named:
        raise InvalidParam(
            f"{items.name} holds a matrix, which has no use for {', '.join(named)}: leave it out"
        )
    return load_matrix(items, resolve("cpu"))


def describe_dataset(catalogue: Catalogue, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the registry says of a dataset.

    ``columns`` are the roles that are used, ``clustered`` what a fit takes, ``proposed`` what of it
    nobody named; ``features``, and ``words`` of texts, are what parameters of a fit are held to.
    """
    report, roles = catalogue.report, catalogue.roles
    names = {**DEFAULTS, **columns, **report.proposed}
    absent = {*report.absent, *report.left_out} | ({"id"} if report.numbered else set())
    absent |= set() if report.credits is not None else {"credits_id", "cast", "crew"}
    if roles.matrix is not None and not names.get("matrix"):  # the file has no columns
        absent = set(DEFAULTS)
    used = {role: names[role] for role in DEFAULTS if names[role] and role not in absent}
    used.pop("text", None)
    if len(roles.texts) == 1:
        used["text"] = roles.texts[0]
    about = {
        "rows": report.rows,
        "columns": {role: used[role] for role in DEFAULTS if role in used},
        "absent": list(report.absent),
        "problems": list(report.warnings),
        "clustered": {
            "text": list(roles.texts),
            "numbers": list(roles.numbers),
            "categories": list(roles.categories),
            "matrix": roles.matrix,
        },
        "proposed": report.proposed,
        "features": _features(catalogue),
    }
    return about | ({"words": _words(catalogue)} if roles.texts else {})


def _features(catalogue: Catalogue) -> dict[str, Any]:
    roles, cells = catalogue.roles, catalogue.features
    missing = {name: int(np.isnan(cells[name]).sum()) for name in roles.numbers}
    return {
        "missing": {name: count for name, count in missing.items() if count},
        "values": sum(len(set(cells[name])) for name in roles.categories),
        "width": 0 if roles.matrix is None else int(cells["matrix"].shape[1]),
    }


def _words(catalogue: Catalogue) -> dict[str, int]:
    """Count words; the stop words count, too."""
    rules = TokenRules(stop_words=frozenset(), ngram_range=(1, 1))
    terms, counts = catalogue.backend.count_terms(catalogue.texts, rules, None)
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    return {
        "different": len(terms),
        "texts": int((lengths > 0).sum()),
        "longest": int(lengths.max(initial=0)),
    }
