"""Names of a table's columns, read without its rows."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from gpu_kmeans.tables.host import table_names
from gpu_kmeans.tables.table_file import open_table

__all__ = ["column_names", "looks_like_data", "named_once", "nameless"]

_CELL = re.compile(
    r"[+-]?\d{1,18}(\.\d+)?|\d{4}-\d\d-\d\d|\d{1,2}[./]\d{1,2}[./]\d{4}|\S+@\S+\.\w+"
)
"""Pattern of names that are rather cells: numbers, dates, addresses of mail."""


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


def looks_like_data(header: Sequence[str]) -> list[str]:
    """Return the names that look like cells of a first row, as those of a file without a header.

    Whole numbers that follow each other are names: of features, or of years.
    """
    cells = [name for name in header if _CELL.fullmatch(name.strip())]
    numbers = [int(name) for name in cells if name.strip().isdecimal()]
    follow = [b - a == 1 for a, b in pairwise(numbers)]
    if len(numbers) == len(cells) and (len(numbers) > 1 and all(follow)):
        return []
    return cells
