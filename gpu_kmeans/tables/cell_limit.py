"""The csv module's limit on the length of a cell, lifted where files are read."""

from __future__ import annotations

import csv
from contextlib import AbstractContextManager

from gpu_kmeans.forking import SharedSetting

__all__ = ["cells_of_any_length"]

NO_LIMIT = 2**31 - 1
_cell_limit = SharedSetting[int](csv.field_size_limit, csv.field_size_limit)
"""Maximum number of characters of a cell, one for the whole process."""


def cells_of_any_length() -> AbstractContextManager[object]:
    """Lift the limit until the context ends."""
    return _cell_limit.changed_to(NO_LIMIT)
