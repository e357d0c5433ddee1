"""Names of a table's columns, read without its rows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from gpu_kmeans.tables.host import table_names
from gpu_kmeans.tables.table_file import open_table

__all__ = ["column_names", "named_once", "nameless"]


def column_names(path: Path, encoding: str | None, delimiter: str | None = None) -> list[str]:
    """Return the names of all columns as they stand; none of what cannot be read twice, as a pipe.

    Raises
    ------
    InputError
        The file has no header that can be read.
    """
    if not os.path.isfile(path):  # which is false of what no file can be called
        return []
    with open_table(path, encoding, delimiter) as table:
        return table_names(table)


def named_once(header: Sequence[str]) -> list[str]:
    """Return the names that lead to one column each, in order."""
    times = Counter(header)
    return [name for name in header if name.strip() and times[name] == 1]


def nameless(header: Sequence[str]) -> int:
    """Count the columns that cannot be named: those without a name, or with another's."""
    times = Counter(header)
    return sum(1 for name in header if not name.strip() or times[name] > 1)
