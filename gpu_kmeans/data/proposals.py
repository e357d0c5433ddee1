"""Roles proposed for columns from what they hold.

A proposal is what most people would say of a column at sight. It decides nothing by itself
unless it is the only one, and an option always overrules it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.data.columns import MISSING_NUMBER, Sheet
from gpu_kmeans.data.number_formats import number_format
from gpu_kmeans.data.roles import DEFAULTS, ROLES, FeatureRoles
from gpu_kmeans.errors import InputError
from gpu_kmeans.tables.cell_texts import is_list
from gpu_kmeans.tables.headers import column_names, named_once

__all__ = ["Proposal", "proposals", "proposed_features", "whole_sheet"]

Look = Literal[
    "id", "title", "text", "number", "category", "list", "matrix", "date", "other", "empty"
]

LEAST_WORDS = 3.0
"""Mean number of words from which on cells are texts to cluster, not names or titles."""
LEAST_WORDS_REPEATED = 5.0
"""Mean number of words from which on a few cells that repeat are texts, too: messages made from
templates, where names of categories are shorter."""
MOST_TIMES_LONGER = 3.0
"""Ratio of the longest texts' mean number of words to that of others, beyond which these are
titles beside the texts."""
MOST_CATEGORIES = 50
"""Maximum number of different values of a category."""
LEAST_REPEATS = 5
"""Minimum number of rows that a category has for each of its values, on average."""
LEAST_CATEGORIES = 2
"""Minimum number of categories that are clustered without a number beside them."""
LISTS_READ = 100
"""Number of cells that are read to tell lists from texts in brackets."""

_INTEGER = r"^\s*[+-]?\d{1,18}\s*$"
_DATE = (
    r"^\s*(\d{4}-\d{1,2}-\d{1,2}|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4})"
    r"([T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*(Z|[+-]\d{2}:?\d{2})?)?\s*$"
)
_LIST = r"(?s)^\s*(\[.*\]|null)\s*$"
_TOKEN = r"^\S{1,64}$"
_ADDRESS = r"^\s*(https?://|www\.|[^\s@]+@[^\s@]+\.)\S+\s*$"
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
"""Letters of scripts that put no spaces between words; about two make a word."""
_ID_NAME = r"(?i)(^|[^a-z])(id|uuid|guid|key|nr|no|number|code|isbn|sku|index)$"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a column seems to be.

    Attributes
    ----------
    column : str
    role : str
        A role of the catalogue (``"popularity"``, ``"genres"``, ...) where the column has its
        usual name and holds what it needs; else ``"id"``, ``"title"``, ``"text"``,
        ``"number"``, ``"category"``, ``"list"``, ``"matrix"`` (lists of as many numbers each),
        ``"date"``, ``"other"`` or ``"empty"``.
    missing : int
        Number of empty cells.
    distinct : int
        Number of different cells that are not empty.
    """

    column: str
    role: str
    missing: int
    distinct: int


def proposals(sheet: Sheet) -> list[Proposal]:
    """Propose a role for each column that was read, named by itself."""
    made = []
    words: dict[str, float] = {}
    for column in sheet.names:
        try:
            texts = sheet.written(column)
        except InputError:  # lists, or values without texts
            cells = sheet.column(column)
            look: Look = "other"
            if is_list(cells.type):
                look = "matrix" if _is_matrix(cells) else "list"
            made.append(Proposal(column, _named(column, look), cells.null_count, len(cells)))
            continue
        present = texts.filter(pc.not_equal(pc.utf8_trim_whitespace(texts), ""))
        named = present.filter(pc.invert(pc.match_substring_regex(present, MISSING_NUMBER)))
        if len(named) < len(present) and len(named) and _are_numbers(named):
            present = named  # what a program wrote for numbers that were missing
        distinct = pc.count_distinct(present).as_py()
        look = _look(column, present, distinct, len(texts))
        if look == "text":
            words[column] = _mean_words(present)
        made.append(Proposal(column, _named(column, look), len(texts) - len(present), distinct))
    least = max(words.values(), default=0.0) / MOST_TIMES_LONGER
    short = {column for column, mean in words.items() if mean < least}
    return [
        replace(proposal, role="title") if proposal.column in short else proposal
        for proposal in made
    ]


def proposed_features(
    backend: Backend, path: Path, encoding: str | None, delimiter: str | None
) -> tuple[FeatureRoles, str | None]:
    """Return what a fit of a file would cluster by its columns' looks, and the column of ids.

    Texts, where there are any; else lists of numbers; else numbers and categories, of which one
    number or two categories are needed. The ids are None where not exactly one column looks so.
    """
    columns: dict[str, list[str]] = {}
    for proposal in proposals(whole_sheet(backend, path, encoding, delimiter)):
        columns.setdefault(proposal.role, []).append(proposal.column)
    ids = columns.get("id", [])
    id_column = ids[0] if len(ids) == 1 else None
    if texts := columns.get("text"):
        return FeatureRoles(texts=tuple(texts)), id_column
    if matrices := columns.get("matrix"):
        return FeatureRoles(matrix=matrices[0] if len(matrices) == 1 else None), id_column
    numbers, categories = columns.get("number", []), columns.get("category", [])
    if not numbers and len(categories) < LEAST_CATEGORIES:
        return FeatureRoles(), id_column
    return FeatureRoles(numbers=tuple(numbers), categories=tuple(categories)), id_column


def whole_sheet(backend: Backend, path: Path, encoding: str | None, delimiter: str | None) -> Sheet:
    """Read all columns of a file that have a name of their own, each under that name."""
    names = {name: name for name in named_once(column_names(path, encoding, delimiter))}
    return Sheet(backend, path, names, names, encoding, delimiter)


def _named(column: str, look: Look) -> str:
    """Return the catalogue's role of a column of a usual name, where it looks like that role."""
    roles = [role for role, usual in DEFAULTS.items() if usual == column]
    if not roles:
        return look
    (role,) = roles
    looks: dict[str, Sequence[Look]] = {
        "number": ("number", "id", "category"),
        "list": ("list",),
        "id": ("id", "number", "title", "category"),
        "text": ("title", "text", "date", "category", "id", "number", "other"),
    }
    if role == "text" and look not in ("text", "title"):
        return look
    return role if look in looks[ROLES[role].kind] else look


def _look(column: str, present: pa.ChunkedArray, distinct: int, rows: int) -> Look:
    if not len(present):
        return "empty"
    if _all(present, _LIST) and _are_lists(present):
        return "list"
    unique = distinct == rows
    if _are_numbers(present):
        is_id = unique and _all(present, _INTEGER) and _numbers_rows(column, present)
        return "id" if is_id else "number"
    if _all(present, _DATE):
        return "date"
    if distinct <= min(MOST_CATEGORIES, len(present) // LEAST_REPEATS):
        return "category" if _mean_words(present) < LEAST_WORDS_REPEATED else "text"
    if _all(present, _ADDRESS):
        return "other"
    if _mean_words(present) >= LEAST_WORDS:
        return "text"
    if unique and _all(present, _TOKEN) and _names_rows(column, present):
        return "id"
    return "category" if distinct <= 2 and not unique else "title"


def _all(cells: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(cells, pattern)).as_py())


def _are_numbers(cells: pa.ChunkedArray) -> bool:
    return number_format(pc.ascii_trim_whitespace(cells)) is not None


def _are_lists(cells: pa.ChunkedArray) -> bool:
    with suppress(ValueError, RecursionError):
        values = [json.loads(cell) for cell in cells[:LISTS_READ].to_pylist()]
        return any(isinstance(value, list) for value in values)
    return False


def _is_matrix(cells: pa.ChunkedArray) -> bool:
    """Tell whether lists hold as many numbers each, at least two."""
    kind = cells.type.value_type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)) or cells.null_count:
        return False
    lengths = pc.min_max(pc.list_value_length(cells)).as_py()
    return bool(lengths["min"] == lengths["max"] and (lengths["min"] or 0) > 1)


def _is_id_name(column: str) -> bool:
    return bool(pc.match_substring_regex(pa.scalar(column), _ID_NAME).as_py()) or (
        column.endswith(("Id", "ID"))
    )


def _numbers_rows(column: str, cells: pa.ChunkedArray) -> bool:
    """Tell whether different whole numbers are ids: by their column's name, or without a gap."""
    if _is_id_name(column):
        return True
    numbers = pc.utf8_trim_whitespace(cells).cast(pa.int64())
    ends = pc.min_max(numbers).as_py()
    return bool(ends["max"] - ends["min"] == len(cells) - 1 and len(cells) > 1)


def _names_rows(column: str, cells: pa.ChunkedArray) -> bool:
    """Tell whether different words are ids: by their column's name, or all with a digit."""
    return _is_id_name(column) or _all(cells, r"\d")


def _mean_words(cells: pa.ChunkedArray) -> float:
    words = pc.mean(pc.count_substring_regex(cells, r"\S+")).as_py()
    unspaced = pc.mean(pc.count_substring_regex(cells, _UNSPACED)).as_py()
    return float(words + unspaced / 2)
