"""Columns of a table that are clustered: named, usual or proposed, and their cells."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from gpu_kmeans.data.columns import Sheet, Words
from gpu_kmeans.data.roles import FeatureRoles, Usual
from gpu_kmeans.errors import InvalidParam, MissingColumn
from gpu_kmeans.tables.list_column import read_list_column

__all__ = [
    "check_proposal",
    "columns_by_role",
    "feature_cells",
    "feature_roles",
    "other_columns",
    "sheet_roles",
    "words_of",
]


def feature_roles(text: Any, numbers: Any, categories: Any, matrix: Any) -> FeatureRoles:
    """Return the columns to cluster as they are named; the usual text only where no other is."""
    named = FeatureRoles.of(None, numbers, categories, matrix)
    if named.columns and isinstance(text, Usual):
        return named
    roles = FeatureRoles.of(text, numbers, categories, matrix)
    if not roles.columns:
        raise InvalidParam(
            "text must be the name of a column, or numbers, categories or a matrix must name some: "
            f"got text={text!r:.60} and nothing else to cluster"
        )
    return roles


def sheet_roles(roles: FeatureRoles) -> dict[str, str]:
    """Return the columns to cluster by roles of a sheet, each of its own."""
    texts = {_text_role(i): name for i, name in enumerate(roles.texts)}
    others = {
        f"{role}/{name}": name
        for role, columns in (("numbers", roles.numbers), ("categories", roles.categories))
        for name in columns
    }
    matrix = {} if roles.matrix is None else {"matrix": roles.matrix}
    return texts | others | matrix


def _text_role(number: int) -> str:
    return "text" if number == 0 else f"text/{number}"


def check_proposal(roles: FeatureRoles, error: MissingColumn) -> None:
    """Raise what is said where no columns, or several texts, offer themselves."""
    if not roles.columns:
        raise MissingColumn(
            f"{error}: no column offers itself by what it holds, so name texts (--text), numbers "
            "(--numbers) or categories (--categories)"
        ) from error
    if len(roles.texts) > 1:
        listed = ", ".join(map(repr, roles.texts[:10]))
        first = roles.texts[0]
        raise MissingColumn(
            f"{error}; these hold texts: {listed}: name the one to cluster (text={first!r}, on "
            f"the command line --text {first!r}), or several"
        ) from error


def columns_by_role(roles: FeatureRoles) -> dict[str, Any]:
    """Return a proposal by roles, as the report has it."""
    named = {
        "text": roles.texts[0] if roles.texts else None,
        "numbers": list(roles.numbers),
        "categories": list(roles.categories),
        "matrix": roles.matrix,
    }
    return {role: columns for role, columns in named.items() if columns}


def words_of(items: Sheet, roles: FeatureRoles) -> Words | None:
    """Return the texts to cluster; of several columns, joined by line breaks."""
    if not roles.texts:
        return None
    if len(roles.texts) == 1:
        return items.words("text")
    columns = [items.words(_text_role(i)) for i in range(len(roles.texts))]
    cells = [column.cells if isinstance(column.cells, list) else None for column in columns]
    texts = [
        written if written is not None else items.written(_text_role(i)).to_pylist()
        for i, written in enumerate(cells)
    ]
    joined = ["\n".join(text for text in row if text) for row in zip(*texts, strict=True)]
    return Words(
        cells=joined,
        empty=sum(not text for text in joined),
        names_nothing=sum(column.names_nothing for column in columns),
        wordless=min(column.wordless for column in columns),
        different=len(set(joined)),
    )


def feature_cells(items: Sheet, roles: FeatureRoles) -> dict[str, Any]:
    """Return the cells of numbers, categories and a matrix."""
    features: dict[str, Any] = {}
    for name in roles.numbers:
        features[name] = items.measurements(f"numbers/{name}")
    for name in roles.categories:
        features[name] = items.written(f"categories/{name}").to_pylist()
    if roles.matrix is not None:
        features["matrix"] = read_list_column(items.column("matrix"), items.place("matrix"))
    return features


def other_columns(items: Sheet, features: dict[str, Any]) -> tuple[pa.Table, list[str]]:
    """Return the columns to keep beside those of the catalogue's roles, and those left out."""
    others, unkept = items.others()
    columns = {name: others[name] for name in others.column_names}
    for name, cells in features.items():
        if isinstance(cells, list):
            columns[name] = pa.chunked_array([pa.array(cells, pa.string())])
        elif cells.ndim == 1:
            columns[name] = pa.chunked_array([pa.array(cells, from_pandas=True)])
    return pa.table(columns), unkept
