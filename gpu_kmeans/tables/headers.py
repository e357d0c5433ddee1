"""Names of a table's columns, looked at on their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from gpu_kmeans.tables.encodings import in_utf8
from gpu_kmeans.tables.files import holds_parquet, opened
from gpu_kmeans.tables.parquet import parquet_names
from gpu_kmeans.tables.strict_csv import read_header

__all__ = ["column_names", "nameless"]


def column_names(path: Path, encoding: str | None) -> list[str]:
    """Return the names of all columns as they stand; none of what cannot be read twice, as a pipe.

    Raises
    ------
    InputError
        The file has no header that can be read.
    """
    if not path.is_file():
        return []
    with opened(path) as file:
        if holds_parquet(file, path, encoding):
            return parquet_names(file, path.name)
        return read_header(in_utf8(file, path.name, encoding), path.name)


def nameless(header: Sequence[str]) -> int:
    """Count the columns that no name leads to: those without one, or with another's."""
    times = Counter(header)
    return sum(1 for name in header if not name.strip() or times[name] > 1)
