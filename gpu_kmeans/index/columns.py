"""What can be filtered by: the columns of a model's items, each with its kind and its values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from gpu_kmeans.index.filters import YEAR, Filters, Numbers, Texts
from gpu_kmeans.model import Model

__all__ = ["ColumnView", "column_views"]

ColumnKind: TypeAlias = Literal["number", "date", "category", "list"]

MAX_VALUES = 100
"""Maximum number of values of a category or list that are listed, those of most items first."""
MAX_CATEGORIES = 200
"""Maximum number of different values of a category; a column of more is a text."""
MAX_LETTERS = 80
"""Maximum number of letters of a category's values, on average; longer ones are texts."""
MAX_COLUMNS = 100
"""Maximum number of columns that are looked at, in the order of the file."""
CELLS_LOOKED_AT = 200
"""Number of cells, taken evenly, that tell whether a column is worth reading whole."""
UNFILTERED = ("id", "title", "text", "vector")
"""Roles that tell items apart, or hold what is searched."""
_DATE = re.compile(r"\d{4}-\d\d(?:-\d\d)?(?:[T ].*)?", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class ColumnView:
    """A column that can be filtered by.

    Attributes
    ----------
    name : str
        As conditions name it.
    kind : {"number", "date", "category", "list"}
    n_items : int
        Number of items that have a value.
    n_values : int
        Number of different values.
    least, most : float or str or None
        Smallest and largest number, or date as it is written; None of the other kinds.
    whole : bool
        Whether all of it are whole numbers.
    values : tuple of (str, int)
        The first values of a category or list, and in how many items each stands.
    """

    name: str
    kind: ColumnKind
    n_items: int
    n_values: int
    least: float | str | None
    most: float | str | None
    whole: bool
    values: tuple[tuple[str, int], ...]


def column_views(model: Model) -> list[ColumnView]:
    """Return the columns of a model that can be filtered by, in the order of its tables.

    Columns of free texts, of one value alone, and of a value for each item are none.
    """
    filters = Filters(model)
    views = (_view(filters, name) for name in _names(model, filters))
    return [view for view in views if view is not None]


def _names(model: Model, filters: Filters) -> Iterator[str]:
    for name in filters.names[:MAX_COLUMNS]:
        if name in UNFILTERED:
            continue
        table = model.items if name in model.items.column_names else model.others
        if name == YEAR or table is None or _is_worth_reading(table, name):
            yield name


def _is_worth_reading(table: Any, name: str) -> bool:
    """Whether a column may be more than free text, by some of its cells."""
    if name not in table.column_names:
        return True
    column = table[name]
    if str(column.type) not in ("string", "large_string"):
        return True
    step = max(1, len(column) // CELLS_LOOKED_AT)
    cells = [cell for at in range(0, len(column), step) if (cell := column[at].as_py())]
    if not cells or cells[0].startswith("["):
        return bool(cells)
    return sum(map(len, cells)) <= MAX_LETTERS * len(cells)


def _view(filters: Filters, name: str) -> ColumnView | None:
    column = filters.read(name)
    if isinstance(column, Numbers):
        return _numbers(name, column)
    return _texts(name, column)


def _numbers(name: str, column: Numbers) -> ColumnView | None:
    cells = column.cells[np.isfinite(column.cells)]
    distinct = np.unique(cells)
    if len(distinct) < 2:
        return None
    whole = bool((distinct == np.floor(distinct)).all())
    least, most = float(distinct[0]), float(distinct[-1])
    return ColumnView(name, "number", len(cells), len(distinct), least, most, whole, ())


def _texts(name: str, column: Texts) -> ColumnView | None:
    counts = np.bincount(column.codes, minlength=len(column.texts))
    n_items = len(np.unique(column.rows))
    if len(column.texts) < 2:
        return None
    dates = sum(_DATE.fullmatch(text) is not None for text in column.texts)
    if not column.is_list and 10 * dates >= 9 * len(column.texts):
        own = [text for text in column.texts if _DATE.fullmatch(text)]
        return ColumnView(name, "date", n_items, len(column.texts), min(own), max(own), False, ())
    is_text = len(column.texts) > min(MAX_CATEGORIES, n_items // 2)
    if not column.is_list and is_text:
        return None
    order = np.argsort(-counts, kind="stable")[:MAX_VALUES].tolist()
    values = tuple((column.texts[at], int(counts[at])) for at in order)
    kind: ColumnKind = "list" if column.is_list else "category"
    return ColumnView(name, kind, n_items, len(column.texts), None, None, False, values)
