"""Fields of a model that are searched: titles, texts, names in lists, and other columns of texts.

Columns that hold nothing but numbers, dates, times, addresses or codes are no field: filters are
for them. A column of JSON lists, which nobody gave a role, is read as the names in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from gpu_kmeans.errors import InvalidParam, shown

if TYPE_CHECKING:
    import pyarrow as pa

    from gpu_kmeans.model import Model

__all__ = ["WEIGHTS", "Field", "cells_of", "fields_of", "names_in"]

WEIGHTS: dict[str, float] = {
    "title": 4.0,
    "keywords": 2.0,
    "genres": 2.0,
    "cast": 2.0,
    "crew": 2.0,
    "text": 1.0,
}
"""Weight of a word in each field, beside 1 in the text; :data:`OTHER_WEIGHT` in other columns."""
OTHER_WEIGHT = 0.5
MAX_FIELDS = 64
"""Maximum number of fields; further columns are not searched."""
CELLS_LOOKED_AT = 200
"""Number of cells, taken evenly, that tell what a column holds."""
CELLS_AT_ONCE = 4_096
"""Number of cells that are taken out of a column at once."""
_WORDLESS = re.compile(
    r"\W*|[\W\d]*(?:[eE][+-]?\d+)?|\d{4}-\d\d(?:-\d\d)?[T ]?[\d:.,+\-Z]*|\w+://\S*|www\.\S+|\S+@\S+|"
    r"(?i:true|false|nan|null|none)|(?=\S*\d)[0-9a-fA-F-]{16,}"
)
"""Pattern of cells that hold no words: numbers, dates, times, addresses, hexadecimal codes."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column that is searched.

    Attributes
    ----------
    name : str
        Its role in the catalogue, or its own name.
    weight : float
        What a word in it counts.
    column : pyarrow.ChunkedArray
        Texts, or lists of texts.
    is_json : bool
        Whether its texts are JSON lists of names.
    """

    name: str
    weight: float
    column: pa.ChunkedArray
    is_json: bool = False

    def texts(self) -> Iterator[str]:
        """Yield the text of each item; names of a list are joined."""
        read: Callable[[Any], str] = _names_in_json if self.is_json else _text
        return map(read, cells_of(self.column))


def fields_of(model: Model, weights: Mapping[str, Any] | None = None) -> list[Field]:
    """Return the fields of a model, those of its roles first.

    Parameters
    ----------
    model : Model
    weights : mapping, optional
        Weights that differ from the usual ones, by names of fields; 0 leaves a field out.

    Raises
    ------
    InvalidParam
        A weight is none, or that of a field which the model does not have.
    """
    own = dict(weights or {})
    fields = [field for field in _all_fields(model) if field is not None][:MAX_FIELDS]
    for name, weight in own.items():
        if not any(field.name == name for field in fields):
            names = ", ".join(field.name for field in fields)
            raise InvalidParam(f"weights names {shown(name)}, and the fields are: {names}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < 1e6:
            raise InvalidParam(
                f"weights[{name!r}] must be a number from 0 to 1e6, got {shown(weight)}"
            )
    weighed = [
        Field(field.name, float(own.get(field.name, field.weight)), field.column, field.is_json)
        for field in fields
    ]
    return [field for field in weighed if field.weight > 0]


def cells_of(column: Any) -> Iterator[Any]:
    """Yield the cells of an Arrow column, so that other threads have their turn between."""
    for start in range(0, len(column), CELLS_AT_ONCE):
        yield from column.slice(start, CELLS_AT_ONCE).to_pylist()


def names_in(cell: str) -> list[str] | None:
    """Return the names of a JSON list: its texts, or the ``"name"`` of its members; None if none.

    What is no list of names has none: nothing is refused here.
    """
    if not cell.startswith("["):
        return None
    try:
        members = orjson.loads(cell)
    except ValueError:
        return None
    if not isinstance(members, list):
        return None
    names = [member.get("name") if isinstance(member, dict) else member for member in members]
    return [name for name in names if isinstance(name, str)]


def _all_fields(model: Model) -> Iterator[Field | None]:
    for name, weight in WEIGHTS.items():
        if name in model.items.column_names:
            yield Field(name, weight, model.items[name])
    if model.others is None:
        return
    for name in model.others.column_names:
        column = model.others[name]
        if name not in WEIGHTS and str(column.type) in ("string", "large_string"):
            yield _other(name, column)


def _other(name: str, column: Any) -> Field | None:
    """Return a column without a role as a field, or None where it holds no words."""
    step = max(1, len(column) // CELLS_LOOKED_AT)
    sample = [cell for at in range(0, len(column), step) if (cell := column[at].as_py())]
    lists = sum(names_in(cell) is not None for cell in sample)
    if sample and 10 * lists >= 9 * len(sample):
        return Field(name, OTHER_WEIGHT, column, is_json=True)
    wordless = sum(_WORDLESS.fullmatch(cell) is not None for cell in sample)
    return None if 10 * wordless >= 9 * len(sample) else Field(name, OTHER_WEIGHT, column)


def _text(cell: Any) -> str:
    if isinstance(cell, list):
        return "\n".join(name for name in cell if name)
    return cell or ""


def _names_in_json(cell: str | None) -> str:
    if not cell:
        return ""
    names = names_in(cell)
    return cell if names is None else "\n".join(names)
