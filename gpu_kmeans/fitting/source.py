"""The file of a fit: a table or a matrix, as a catalogue."""

from __future__ import annotations

from os import PathLike
from typing import Any

from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.data.catalogue import Catalogue, load_catalogue
from gpu_kmeans.data.matrix_catalogue import load_matrix
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.tables.matrices import is_matrix
from gpu_kmeans.tables.paths import check_path

__all__ = ["read_source"]


def read_source(
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
